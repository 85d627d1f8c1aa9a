//! One JSON value's text, read as an id, a word, a number or a time: lenient in form, never in what
//! it means.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Numbers from here on are milliseconds since 1970, below seconds: as seconds this one lies in the
/// year 5138.
const FIRST_MILLISECOND_NUMBER: f64 = 100_000_000_000.0;

/// How much of a message a reason quotes.
const EXCERPT_CHARS_MAX: usize = 60;

/// A text, or a number or boolean exactly as sent (so that no digit of a large id is lost). `None`:
/// nothing, `null` or an empty text.
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
                Some(_) => match serde_json::from_str::<String>(json) {
                    Ok(text) => Cow::Owned(text),
                    Err(_) => return Err(format!("a text that is not Unicode: {}", excerpt(json))),
                },
            };
            Ok(Some(text).filter(|text| !text.is_empty()))
        }
        Some(b'{') => Err(format!("an object: {}", excerpt(json))),
        Some(b'[') => Err(format!("an array: {}", excerpt(json))),
        _ if json == "null" => Ok(None),
        _ => Ok(Some(Cow::Borrowed(json))),
    }
}

/// A finite number, or a text that holds one.
pub(super) fn number(json: Option<&str>) -> Option<f64> {
    let text = text(json).ok()??;
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

/// A time: a text by RFC 3339 or ISO 8601, in `zone` where it names none, or a number of seconds or
/// milliseconds since 1970.
pub(super) fn time(json: Option<&str>, zone: &TimeZone) -> Option<Timestamp> {
    let text = text(json).ok()??;
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        let seconds = if number.abs() < FIRST_MILLISECOND_NUMBER {
            number
        } else {
            number / 1000.0
        };
        // Whole microseconds: what a double still holds of today's times.
        return Timestamp::from_microsecond((seconds * 1e6).round() as i64).ok();
    }
    if let Ok(instant) = text.parse() {
        return Some(instant);
    }
    let civil: DateTime = text.replace('/', "-").parse().ok()?;
    zone.to_timestamp(civil).ok()
}

/// The beginning of the found value, for a reason.
pub(super) fn excerpt(found: &str) -> String {
    let mut chars = found.chars();
    let start: String = chars
        .by_ref()
        .take(EXCERPT_CHARS_MAX)
        .flat_map(visible)
        .collect();
    if chars.next().is_some() {
        format!("`{start}…`")
    } else {
        format!("`{start}`")
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
        for json in ["{}", "[1]", r#""\ud800""#] {
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
            ("1607483776123", Some("2020-12-09T03:16:16.123Z")),
            ("\"1607483776123\"", Some("2020-12-09T03:16:16.123Z")),
            ("1e300", None),
            ("\"yesterday\"", None),
            ("{}", None),
        ] {
            let expected = expected.map(|text: &str| text.parse::<Timestamp>().unwrap());
            assert_eq!(time(Some(json), &shanghai), expected, "{json}");
        }
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
