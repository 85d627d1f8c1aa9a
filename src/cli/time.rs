//! Times on the command line: a duration ago, or a local time of the zone that the verb shows times in.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use crate::duration::{self, UNITS_READ};

/// A time as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum When {
    /// `24h`, `7d`.
    Ago(Duration),
    /// `2026-11-01`, `2026-11-01T10:00`.
    Local(DateTime),
    /// `2026-11-01T10:00Z`.
    At(Timestamp),
}

/// For the command line.
pub(super) fn when(text: &str) -> anyhow::Result<When> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(When::At(time));
    }
    if let Ok(local) = text.parse::<DateTime>() {
        return Ok(When::Local(local));
    }
    if let Some(ago) = duration::read(text) {
        return Ok(When::Ago(ago));
    }
    Err(anyhow!(no_such_time(text).unwrap_or_else(|| format!(
        "expected an age such as 24h, 7d or 1y (units: {UNITS_READ}), or a time such as 2026-11-01 \
         or 2026-11-01T10:00"
    ))))
}

/// The same, where only an age is of use.
pub(super) fn age(text: &str) -> anyhow::Result<When> {
    match duration::read(text) {
        Some(ago) => Ok(When::Ago(ago)),
        None => bail!("expected an age such as 90d or 1y (units: {UNITS_READ})"),
    }
}

/// What is wrong with a text that has the form of a time, such as the 31st of November.
fn no_such_time(text: &str) -> Option<String> {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let day_of = |day: i16| Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok();
    let Some(first) = day_of(1) else {
        return Some(format!(
            "there is no month {month:02}: a year has the months 01 to 12"
        ));
    };
    if day_of(day).is_none() {
        let days = first.days_in_month();
        return Some(format!(
            "there is no day {date}: that month has the days 01 to {days}"
        ));
    }
    // Seconds, their parts and an offset may follow.
    let time = time?;
    let clock = &time[..time
        .find(|c| !matches!(c, '0'..='9' | ':'))
        .unwrap_or(time.len())];
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])
        .or_else(|| numbers(clock, ':', [2, 2]).map(|[hour, minute]| [hour, minute, 0]))
        .or_else(|| numbers(clock, ':', [2]).map(|[hour]| [hour, 0, 0]))?;
    let [hour, minute, second] = [hour, minute, second].map(|it| i8::try_from(it).ok());
    match Time::new(hour?, minute?, second?, 0) {
        Ok(_) => None,
        Err(_) => Some(format!(
            "there is no time {clock}: a day has the hours 00 to 23, and they have the minutes 00 \
             to 59"
        )),
    }
}

/// The numbers of a text, each of so many digits.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i16; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|it| it.is_ascii_digit());
        *number = part.parse().ok().filter(|_| is_number)?;
    }
    parts.next().is_none().then_some(numbers)
}

impl When {
    /// The instant, in a zone.
    ///
    /// # Errors
    /// No calendar goes back so far.
    pub(super) fn instant(self, now: Timestamp, zone: &TimeZone) -> anyhow::Result<Timestamp> {
        match self {
            When::At(time) => Ok(time),
            When::Local(local) => {
                let time = local.to_zoned(zone.clone());
                Ok(time.with_context(|| format!("{local}"))?.timestamp())
            }
            When::Ago(ago) => {
                let time = now.checked_sub(ago).ok();
                time.context("no calendar goes back that far")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, zone: &str, expected: &str) {
        let now = "2026-11-29T12:00:00Z".parse().unwrap();
        let zone = TimeZone::get(zone).unwrap();
        let time = when(text).unwrap().instant(now, &zone).unwrap();
        assert_eq!(time.to_string(), expected, "{text}");
    }

    #[test]
    fn local_times_are_those_of_the_zone() {
        check("24h", "Asia/Shanghai", "2026-11-28T12:00:00Z");
        check("7d", "Asia/Shanghai", "2026-11-22T12:00:00Z");
        check("2w", "UTC", "2026-11-15T12:00:00Z");
        check("90m", "UTC", "2026-11-29T10:30:00Z");
        // The units of the configuration, of which several may follow each other.
        check("1y", "UTC", "2025-11-29T12:00:00Z");
        check("1d12h", "UTC", "2026-11-28T00:00:00Z");
        check("2026-11-01", "Asia/Shanghai", "2026-10-31T16:00:00Z");
        check("2026-11-01T10:00", "Asia/Shanghai", "2026-11-01T02:00:00Z");
        check("2026-11-01 10:00", "Asia/Shanghai", "2026-11-01T02:00:00Z");
        check(
            "2026-11-01T10:00:05Z",
            "Asia/Shanghai",
            "2026-11-01T10:00:05Z",
        );
        check("2026-11-01T10:00+02:00", "UTC", "2026-11-01T08:00:00Z");
        // A time that the clocks jump over, and one that they show twice.
        check("2026-03-29T02:30", "Europe/Berlin", "2026-03-29T01:30:00Z");
        check("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30:00Z");
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "yesterday",
            "-2h",
            "7",
            "2026-1-1",
            "2026-11-01T10:00+99:00",
            "20261131",
            "2026-11-01 noon",
            "99999999999999999d",
            "1 month",
        ] {
            let said = when(text).unwrap_err().to_string();
            assert!(
                said.starts_with("expected an age such as 24h"),
                "{text}: {said}"
            );
            assert!(said.contains(UNITS_READ), "{said}");
        }
        for text in ["2026-11-01", "5", "forever"] {
            assert!(age(text).unwrap_err().to_string().contains(UNITS_READ));
        }
        assert_eq!(age("90d").unwrap(), when("90d").unwrap());
        let long_ago = when("9999999d").unwrap();
        assert!(long_ago.instant(Timestamp::now(), &TimeZone::UTC).is_err());
    }

    #[test]
    fn a_time_that_does_not_exist_is_not_a_wrong_form() {
        for (text, expected) in [
            (
                "2026-11-31",
                "there is no day 2026-11-31: that month has the days 01 to 30",
            ),
            (
                "2026-02-29T10:00",
                "there is no day 2026-02-29: that month has the days 01 to 28",
            ),
            ("2026-11-00", "there is no day 2026-11-00"),
            ("2026-13-01", "there is no month 13"),
            ("2026-00-01 10:00Z", "there is no month 00"),
            (
                "2026-11-01T25:00",
                "there is no time 25:00: a day has the hours 00 to 23",
            ),
            ("2026-11-01 24:00:00", "there is no time 24:00:00"),
            ("2026-11-01 10:61Z", "there is no time 10:61"),
            ("2026-11-01T25", "there is no time 25"),
            ("2026-11-01T10:00:99.5+02:00", "there is no time 10:00:99"),
        ] {
            let said = when(text).unwrap_err().to_string();
            assert!(said.starts_with(expected), "{text}: {said}");
        }
    }
}
