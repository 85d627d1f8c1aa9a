//! One JSON value's text, read as an id, a word, a number or a time: lenient in form, never in what
//! it means.

use std::borrow::Cow;

use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::portable;
use crate::secret::{Beginning, beginning};

/// Numbers from here on are milliseconds since 1970, below seconds: as seconds this one lies in the
/// year 5138. A thousand times as much begins the microseconds, then the nanoseconds.
const FIRST_MILLISECOND_NUMBER: u128 = 100_000_000_000;

/// A number of seconds that lands later than this is none: a device's clock is rarely ahead by more.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(24);

/// How much of a message a reason quotes.
const EXCERPT_CHARS_MAX: usize = 60;

/// A text, or a number or boolean exactly as sent (so that no digit of a large id is lost). `None`:
/// nothing, `null` or an empty text. A NUL within it and half of a surrogate pair are U+FFFD, since no
/// database holds them; NULs at its end are cut.
///
/// # Errors
/// What stands there instead.
pub(super) fn text(json: Option<&str>) -> Result<Option<Cow<'_, str>>, String> {
    let Some(json) = json else { return Ok(None) };
    match json.as_bytes().first() {
        Some(b'"') => {
            let inner = &json[1..json.len() - 1];
            let text = match memchr::memchr(b'\\', inner.as_bytes()) {
                None => Cow::Borrowed(inner),
                Some(_) => Cow::Owned(unescaped(json)?),
            };
            Ok(Some(text).filter(|text| !text.is_empty()))
        }
        Some(b'{') => Err(format!("an object: {}", excerpt(json))),
        Some(b'[') => Err(format!("an array: {}", excerpt(json))),
        _ if json == "null" => Ok(None),
        _ => Ok(Some(Cow::Borrowed(json))),
    }
}

/// A text with escapes, as characters.
fn unescaped(json: &str) -> Result<String, String> {
    let text =
        characters(json).ok_or_else(|| format!("a text that is not Unicode: {}", excerpt(json)))?;
    Ok(match text.contains('\0') {
        true => text.trim_end_matches('\0').replace('\0', "\u{fffd}"),
        false => text,
    })
}

/// What a JSON text says, with U+FFFD for half of a surrogate pair; `None`: it is no JSON text.
pub(super) fn characters(json: &str) -> Option<String> {
    let text = serde_json::from_str(json);
    text.or_else(|_| serde_json::from_str(&portable(json))).ok()
}

/// A finite number, or a text that holds one.
pub(super) fn number(json: Option<&str>) -> Option<f64> {
    let text = text(json).ok()??;
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

/// A time after 1970: a text by RFC 3339, ISO 8601 or RFC 1123, or its digits alone, in `zone` where
/// it names none; a list from the year to the nanosecond, as Jackson writes it; or a number of
/// seconds, milliseconds, microseconds or nanoseconds since 1970, which is not later than `received`
/// by a day.
pub(super) fn time(json: Option<&str>, zone: &TimeZone, received: Timestamp) -> Option<Timestamp> {
    let json = json?;
    let time = if json.starts_with('[') {
        listed(json, zone)
    } else {
        let text = text(Some(json)).ok()??;
        let text = text.trim();
        match text.parse() {
            Ok(number) => numbered(text, number, zone, received),
            Err(_) => written(text, zone),
        }
    };
    // Platforms write a zero of some kind where there is none.
    time.filter(|time| *time >= Timestamp::UNIX_EPOCH)
}

/// `[2020, 12, 9, 11, 16, 16, 0]`, without what is zero at the end.
fn listed(json: &str, zone: &TimeZone) -> Option<Timestamp> {
    let parts: Vec<i64> = serde_json::from_str(json).ok()?;
    if !(3..=7).contains(&parts.len()) {
        return None;
    }
    let part = |index: usize| parts.get(index).copied().unwrap_or(0);
    let small = |index: usize| i8::try_from(part(index)).ok();
    let civil = DateTime::new(
        i16::try_from(part(0)).ok()?,
        small(1)?,
        small(2)?,
        small(3)?,
        small(4)?,
        small(5)?,
        i32::try_from(part(6)).ok()?,
    );
    zone.to_timestamp(civil.ok()?).ok()
}

fn numbered(text: &str, number: f64, zone: &TimeZone, received: Timestamp) -> Option<Timestamp> {
    if !number.is_finite() {
        return None;
    }
    if let Some(civil) = compact(text) {
        return zone.to_timestamp(civil).ok();
    }
    let time = match text.parse::<i128>() {
        Ok(whole) => {
            // Each step is a thousand times as much.
            let is_below =
                |step: &u32| whole.unsigned_abs() < FIRST_MILLISECOND_NUMBER * 1000_u128.pow(*step);
            let steps = (0..4).find(is_below)?;
            let nanoseconds = whole.checked_mul(1000_i128.pow(3 - steps))?;
            Timestamp::from_nanosecond(nanoseconds).ok()?
        }
        Err(_) => {
            let is_seconds = number.abs() < FIRST_MILLISECOND_NUMBER as f64;
            let seconds = if is_seconds { number } else { number / 1000.0 };
            // Whole microseconds: what a double still holds of today's times.
            Timestamp::from_microsecond((seconds * 1e6).round() as i64).ok()?
        }
    };
    let is_ahead = time.duration_since(received) > AHEAD_MAX;
    (!is_ahead).then_some(time)
}

/// `20201209111616`: as milliseconds it would be in the year 2610.
fn compact(digits: &str) -> Option<DateTime> {
    let is_compact = digits.len() == 14 && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_compact {
        return None;
    }
    DateTime::strptime("%Y%m%d%H%M%S", digits).ok()
}

fn written(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(instant) = text.parse() {
        return Some(instant);
    }
    let text = text.replace('/', "-");
    let civil = text.parse::<DateTime>();
    if let Some(time) = civil.ok().and_then(|civil| zone.to_timestamp(civil).ok()) {
        return Some(time);
    }
    // A blank before the offset, or an offset without a colon.
    let joined = text
        .rsplit_once(' ')
        .map(|(time, offset)| format!("{time}{offset}"));
    let with_offset = |text: &str| {
        ["%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%dT%H:%M:%S%.f%z"]
            .into_iter()
            .find_map(|format| Timestamp::strptime(format, text).ok())
    };
    joined
        .as_deref()
        .and_then(with_offset)
        .or_else(|| with_offset(&text))
        .or_else(|| rfc2822::DateTimeParser::new().parse_timestamp(&text).ok())
}

/// The beginning of the found value, for a reason.
pub(super) fn excerpt(found: &str) -> String {
    let Beginning { text, is_cut } = beginning(found.as_bytes(), EXCERPT_CHARS_MAX);
    let start: String = text.chars().flat_map(visible).collect();
    match is_cut {
        true => format!("`{start}…`"),
        false => format!("`{start}`"),
    }
}

/// Control characters as escapes: a reason is one line in a log.
fn visible(character: char) -> impl Iterator<Item = char> {
    let escape = character.is_control().then(|| character.escape_default());
    let plain = if escape.is_none() {
        Some(character)
    } else {
        None
    };
    escape.into_iter().flatten().chain(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_words_keep_every_character_that_was_sent() {
        for (json, expected) in [
            ("1", Some("1")),
            (
                "123456789012345678901234567890",
                Some("123456789012345678901234567890"),
            ),
            ("1.50", Some("1.50")),
            ("true", Some("true")),
            ("\"0012\"", Some("0012")),
            ("\" a \"", Some(" a ")),
            (r#""\u6545\u969c""#, Some("故障")),
            ("\"\"", None),
            ("null", None),
        ] {
            assert_eq!(text(Some(json)).unwrap().as_deref(), expected, "{json}");
        }
        assert_eq!(text(None), Ok(None));
        for (json, expected) in [
            (r#""ab\u0000cd""#, Some("ab\u{fffd}cd")),
            (r#""ab\u0000\u0000""#, Some("ab")),
            (r#""\u0000""#, None),
            (r#""a\ud800""#, Some("a\u{fffd}")),
        ] {
            assert_eq!(text(Some(json)).unwrap().as_deref(), expected, "{json}");
        }
        for json in ["{}", "[1]"] {
            assert!(text(Some(json)).is_err(), "{json}");
        }
    }

    #[test]
    fn numbers_may_be_texts_and_are_finite() {
        for (json, expected) in [
            ("33.77", Some(33.77)),
            ("\" 33.77 \"", Some(33.77)),
            ("-1e2", Some(-100.0)),
            ("1e999", None),
            ("\"NaN\"", None),
            ("\"\"", None),
            ("true", None),
            ("[1]", None),
        ] {
            assert_eq!(number(Some(json)), expected, "{json}");
        }
    }

    #[test]
    fn times_without_a_zone_are_in_the_configured_one() {
        let shanghai = jiff::tz::offset(8).to_time_zone();
        let received = Timestamp::from_second(1_700_050_000).unwrap();
        for (json, expected) in [
            ("\"2020-12-09 11:16:16\"", Some("2020-12-09T03:16:16Z")),
            ("\"2020/12/09 11:16:16.5\"", Some("2020-12-09T03:16:16.5Z")),
            ("\"2020-12-09T11:16:16\"", Some("2020-12-09T03:16:16Z")),
            ("\"2020-12-09T11:16:16Z\"", Some("2020-12-09T11:16:16Z")),
            (
                "\"2020-12-09T11:16:16+02:00\"",
                Some("2020-12-09T09:16:16Z"),
            ),
            ("1607483776", Some("2020-12-09T03:16:16Z")),
            ("\"NaN\"", None),
            ("\"-inf\"", None),
            ("1607483776123", Some("2020-12-09T03:16:16.123Z")),
            ("\"1607483776123\"", Some("2020-12-09T03:16:16.123Z")),
            ("1607483776123456", Some("2020-12-09T03:16:16.123456Z")),
            (
                "1607483776123456789",
                Some("2020-12-09T03:16:16.123456789Z"),
            ),
            ("1607483776.5", Some("2020-12-09T03:16:16.5Z")),
            ("\"20201209111616\"", Some("2020-12-09T03:16:16Z")),
            ("20201209111616", Some("2020-12-09T03:16:16Z")),
            ("[2020, 12, 9, 11, 16, 16]", Some("2020-12-09T03:16:16Z")),
            ("[2020,12,9,11,16]", Some("2020-12-09T03:16:00Z")),
            (
                "[2020,12,9,11,16,16,5000000]",
                Some("2020-12-09T03:16:16.005Z"),
            ),
            (
                "\"2020-12-09 11:16:16 +0800\"",
                Some("2020-12-09T03:16:16Z"),
            ),
            (
                "\"2020-12-09T11:16:16.250+0800\"",
                Some("2020-12-09T03:16:16.25Z"),
            ),
            (
                "\"Wed, 09 Dec 2020 03:16:16 GMT\"",
                Some("2020-12-09T03:16:16Z"),
            ),
            // Zeros of some kind, and what lands in another age.
            ("\"0001-01-01T00:00:00\"", None),
            ("\"0000-00-00 00:00:00\"", None),
            ("-1", None),
            ("1700200001", None),
            ("1700100000", Some("2023-11-16T02:00:00Z")),
            ("[2020]", None),
            ("[2020, 13, 1]", None),
            ("[2020, 1, 99999999999]", None),
            ("99999999999999999999999", None),
            ("-170141183460469231731687303715884105728", None),
            ("1e300", None),
            ("\"yesterday\"", None),
            ("{}", None),
        ] {
            let expected = expected.map(|text: &str| text.parse::<Timestamp>().unwrap());
            assert_eq!(time(Some(json), &shanghai, received), expected, "{json}");
        }
    }

    #[test]
    fn half_a_secret_is_in_no_excerpt() {
        crate::secret::protect("scalar-secret-77d0", crate::secret::Lifetime::Configured);
        let found = format!("{}scalar-secret-77d0 and more", " ".repeat(50));
        let shown = excerpt(&found);
        assert!(shown.contains('…') && !shown.contains("scalar"), "{shown}");
    }

    #[test]
    fn an_excerpt_is_short_and_one_line() {
        assert_eq!(excerpt("a\nb"), "`a\\nb`");
        assert_eq!(
            excerpt(&"故".repeat(100)),
            format!("`{}…`", "故".repeat(EXCERPT_CHARS_MAX))
        );
    }
}
