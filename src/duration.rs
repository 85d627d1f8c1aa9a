//! A duration as a person writes and reads it: in the configuration, on the command line, in log
//! lines. What is printed here is read here as the same.

use std::fmt;
use std::time::Duration;

/// The units of a text, each with its milliseconds.
const UNITS: [(&str, u128); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The units of a text that a person writes, as they are named to one.
pub const UNITS_READ: &str = "ms, s, m, h, d, w, y";

/// Reads a duration such as `10s`, `1h30m` or `5y`; `None`: it is none.
pub fn read(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit_and_rest = rest[digits..].trim_start();
        let end = unit_and_rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(unit_and_rest.len());
        let milliseconds = match &unit_and_rest[..end] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "y" => 31_536_000_000,
            _ => return None,
        };
        let part = Duration::from_millis(number.checked_mul(milliseconds)?);
        total = total.checked_add(part)?;
        rest = unit_and_rest[end..].trim_start();
    }
    Some(total)
}

/// Prints a duration to the millisecond: `10s`, `1h30m`, `1s500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InWords(pub Duration);

impl InWords {
    /// A measured duration: of a second and more the whole seconds.
    pub fn about(duration: Duration) -> InWords {
        match duration.as_secs() {
            0 => InWords(duration),
            seconds => InWords(Duration::from_secs(seconds)),
        }
    }
}

impl fmt::Display for InWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, milliseconds) in UNITS {
            let count = rest / milliseconds;
            rest %= milliseconds;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

/// The same, or `off`.
pub fn or_off(duration: Option<Duration>) -> String {
    duration.map_or_else(
        || "off".to_owned(),
        |duration| InWords(duration).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_that_is_named_is_read() {
        for unit in UNITS_READ.split(", ") {
            assert!(read(&format!("1{unit}")).is_some(), "{unit}");
        }
        assert_eq!(read("2w"), read("14d"));
        assert_eq!(read("1y"), read("365d"));
        for text in ["", "1", "y", "1 month", "-1h", "1.5h", "99999999999999999d"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_has_each_unit_once_and_none_that_is_zero() {
        for (milliseconds, expected) in [
            (0, "0s"),
            (1, "1ms"),
            (500, "500ms"),
            (1_500, "1s500ms"),
            (10_000, "10s"),
            (90_000, "1m30s"),
            (3_600_000, "1h"),
            (365 * 86_400_000, "365d"),
            (90_061_001, "1d1h1m1s1ms"),
        ] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(InWords(duration).to_string(), expected);
        }
        assert_eq!(InWords(Duration::from_micros(999)).to_string(), "0s");
        assert_eq!(
            InWords::about(Duration::from_millis(25_004)).to_string(),
            "25s"
        );
        assert_eq!(
            InWords::about(Duration::from_millis(250)).to_string(),
            "250ms"
        );
        assert_eq!(or_off(None), "off");
        assert_eq!(or_off(Some(Duration::from_secs(10))), "10s");
    }
}
