//! Dates in cookies, as every server and library has written them (RFC 6265, section 5.1.1): the
//! parts may come in nearly any order and form.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// What the words of a date say; of each the first counts.
#[derive(Default)]
struct Parts {
    time: Option<(i8, i8, i8)>,
    day: Option<i8>,
    month: Option<i8>,
    year: Option<i16>,
}

/// The time that a date says. A number alone counts as seconds since 1970, which is how `0` is
/// meant.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim().trim_matches('"');
    if let Ok(seconds) = text.parse() {
        return Timestamp::from_second(seconds).ok();
    }
    let mut parts = Parts::default();
    text.split(is_delimiter)
        .filter(|word| !word.is_empty())
        .for_each(|word| parts.take(word));
    let (hour, minute, second) = parts.time.unwrap_or_default();
    let civil = DateTime::new(
        parts.year?,
        parts.month?,
        parts.day?,
        hour,
        minute,
        second,
        0,
    );
    Offset::UTC.to_timestamp(civil.ok()?).ok()
}

fn is_delimiter(letter: char) -> bool {
    !letter.is_alphanumeric() && letter != ':'
}

impl Parts {
    fn take(&mut self, word: &str) {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let number: Option<i16> = word[..digits].parse().ok();
        if self.time.is_none()
            && let Some(time) = time(word)
        {
            self.time = Some(time);
        } else if let (None, 1..=2, Some(day)) = (self.day, digits, number) {
            self.day = i8::try_from(day).ok();
        } else if let (None, Some(month)) = (self.month, month(word)) {
            self.month = Some(month);
        } else if let (None, 2 | 4, Some(year)) = (self.year, digits, number) {
            self.year = Some(match year {
                0..70 => year + 2000,
                70..100 => year + 1900,
                _ => year,
            });
        }
    }
}

/// `hh:mm:ss`, each with one digit or two.
fn time(word: &str) -> Option<(i8, i8, i8)> {
    let mut fields = word.splitn(3, ':');
    let mut field = || -> Option<i8> {
        let field = fields.next()?;
        let digits = field.bytes().take_while(u8::is_ascii_digit).count();
        field[..digits].parse().ok()
    };
    Some((field()?, field()?, field()?))
}

fn month(word: &str) -> Option<i8> {
    let begins = word.get(..3)?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|month| *month == begins)?;
    i8::try_from(month + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_in_every_form_that_servers_write() {
        let check = |text: &str, expected: Option<&str>| {
            let found = parse(text).map(|at| at.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        let ten = Some("1970-01-01T00:00:10Z");
        check("Thu, 01 Jan 1970 00:00:10 GMT", ten);
        check("Thu, 01-Jan-1970 00:00:10 GMT", ten);
        check("Thursday, 01-Jan-70 00:00:10 GMT", ten);
        check("Thu Jan  1 00:00:10 1970", ten);
        check("1 Jan 1970 0:0:10", ten);
        check("\"Thu, 01 Jan 1970 00:00:10 GMT\"", ten);
        check("THU, 01 JAN 1970 00:00:10 UTC", ten);
        check("10", ten);
        check("0", Some("1970-01-01T00:00:00Z"));
        check("-1", Some("1969-12-31T23:59:59Z"));
        check("1 Jan 1970", Some("1970-01-01T00:00:00Z"));
        check("01-Jan-70", Some("1970-01-01T00:00:00Z"));
        check("Wed, 09-Dec-26 11:16:16 GMT", Some("2026-12-09T11:16:16Z"));
        check("2026 Dec 9 11:16:16", Some("2026-12-09T11:16:16Z"));
        for none in [
            "",
            "tomorrow",
            "Thu, 32 Jan 1970",
            "Jan 1970",
            "故障 1 五月 1970",
            "é",
        ] {
            check(none, None);
        }
        check("99999999999999999999", None);
    }
}
