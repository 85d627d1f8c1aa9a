//! Which times a row can hold, alike in both databases, and what they look like as texts.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// 0001-01-01T00:00:00Z.
const FIRST: Timestamp = Timestamp::constant(-62_135_596_800, 0);

/// The time, in the years 1 to 9999. A year beyond them is a device's clock that was never set:
/// SQLite has no text for it that sorts, Postgres writes it in another form, and other programs
/// refuse to read it. The row is stored without it.
pub(super) fn storable(time: Option<Timestamp>) -> Option<Timestamp> {
    time.filter(|time| *time >= FIRST)
}

const DAY_SECONDS: i64 = 86_400;

/// The second that a time lies in. Of a time before 1970 both parts are negative.
fn second(time: Timestamp) -> i64 {
    time.as_second() + i64::from(time.subsec_nanosecond()).div_euclid(1_000_000_000)
}

/// Year * 12 + month of the year, in UTC: what profiles and payloads belong to. Most times of a
/// batch are of one day.
#[derive(Debug, Default)]
pub(super) struct Months {
    /// A day since 1970-01-01, and its month.
    last: Option<(i64, i64)>,
}

impl Months {
    /// That of a time.
    pub(super) fn month(&mut self, time: Timestamp) -> i64 {
        let day = second(time).div_euclid(DAY_SECONDS);
        if let Some((_, month)) = self.last.filter(|(last, _)| *last == day) {
            return month;
        }
        let date = time.to_zoned(TimeZone::UTC).date();
        let month = i64::from(date.year()) * 12 + i64::from(date.month()) - 1;
        self.last = Some((day, month));
        month
    }
}

/// As long as `2026-01-02T03:04:05.678901Z`.
const TEXT_BYTES: usize = 27;

/// Texts of storable times: always with six digits, so that they sort as the times do. A batch has
/// some ten thousand of them, nearly all of one day: its date is written once.
#[derive(Debug)]
pub(super) struct TimeTexts {
    /// Since 1970-01-01; that of the text.
    day: Option<i64>,
    text: [u8; TEXT_BYTES],
}

impl Default for TimeTexts {
    fn default() -> TimeTexts {
        TimeTexts {
            day: None,
            text: *b"0000-00-00T00:00:00.000000Z",
        }
    }
}

impl TimeTexts {
    /// The text of a time in the years 1 to 9999.
    pub(super) fn text(&mut self, time: Timestamp) -> &str {
        let microsecond = i64::from(time.subsec_nanosecond()).rem_euclid(1_000_000_000) / 1000;
        let second = second(time);
        let (day, in_day) = (
            second.div_euclid(DAY_SECONDS),
            second.rem_euclid(DAY_SECONDS),
        );
        if self.day != Some(day) {
            let date = time.to_zoned(TimeZone::UTC).date();
            self.day = Some(day);
            self.write(0, 4, i64::from(date.year()));
            self.write(5, 2, i64::from(date.month()));
            self.write(8, 2, i64::from(date.day()));
        }
        self.write(11, 2, in_day / 3600);
        self.write(14, 2, in_day / 60 % 60);
        self.write(17, 2, in_day % 60);
        self.write(20, 6, microsecond);
        std::str::from_utf8(&self.text).expect("digits are ASCII")
    }

    fn write(&mut self, at: usize, digits: usize, mut number: i64) {
        for digit in self.text[at..at + digits].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
}

/// Whole microseconds, as the tables have them.
pub(super) fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_that_of_the_day_in_utc() {
        let mut months = Months::default();
        for (time, expected) in [
            ("2026-11-30T23:59:59.999999999Z", 2026 * 12 + 10),
            ("2026-12-01T00:00:00Z", 2026 * 12 + 11),
            ("1970-01-01T00:00:00Z", 1970 * 12),
            ("1969-12-31T23:59:59.999999999Z", 1969 * 12 + 11),
        ] {
            assert_eq!(months.month(time.parse().unwrap()), expected, "{time}");
        }
    }

    #[test]
    fn texts_are_those_of_the_calendar_with_six_digits() {
        let mut texts = TimeTexts::default();
        for time in [
            "2026-11-29T16:01:17.5Z",
            "2026-11-29T23:59:59.999999999Z",
            "2026-11-30T00:00:00Z",
            "2024-02-29T12:00:00.000001Z",
            "1970-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999999999Z",
            "1969-12-31T23:59:58Z",
            "0001-01-01T00:00:00Z",
            "0999-12-31T00:00:00.000000001Z",
            "9999-12-30T22:00:00Z",
        ] {
            let time: Timestamp = time.parse().unwrap();
            assert_eq!(texts.text(time), format!("{time:.6}"));
        }
    }

    #[test]
    fn years_before_the_first_are_none() {
        for (time, expected) in [
            (Timestamp::MIN, false),
            ("0000-12-31T23:59:59.999999Z".parse().unwrap(), false),
            ("0001-01-01T00:00:00Z".parse().unwrap(), true),
            (Timestamp::MAX, true),
        ] {
            assert_eq!(storable(Some(time)).is_some(), expected, "{time}");
        }
        assert_eq!(storable(None), None);
    }
}
