//! Times on the command line: a duration ago, or a local time of the zone that the verb shows times in.

use anyhow::{Context, anyhow};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A time as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum When {
    /// `24h`, `7d`.
    Ago(SignedDuration),
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
    ago(text).map(When::Ago).ok_or_else(|| {
        anyhow!(
            "expected an age such as 24h or 7d, or a time such as 2026-11-01 or 2026-11-01T10:00"
        )
    })
}

fn ago(text: &str) -> Option<SignedDuration> {
    let days = |unit, days: i64| {
        let count: i64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        Some(SignedDuration::from_secs(
            count.checked_mul(days)?.checked_mul(86_400)?,
        ))
    };
    let ago = days('d', 1).or_else(|| days('w', 7));
    let ago = ago.or_else(|| text.parse().ok());
    ago.filter(|ago| !ago.is_negative())
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
            "2026-13-01",
            "99999999999999999d",
        ] {
            assert!(when(text).is_err(), "{text}");
        }
        let long_ago = when("9999999d").unwrap();
        assert!(long_ago.instant(Timestamp::now(), &TimeZone::UTC).is_err());
    }
}
