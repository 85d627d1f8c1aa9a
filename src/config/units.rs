//! Values as people write them: `"10s"`, `"1GiB"`, `"forever"`, lists of one, numbers and switches
//! that an environment variable can give.

mod hidden;
mod lists;

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

pub(super) use hidden::{SecretTable, UrlText};
pub(super) use lists::{Each, List};

use crate::duration::{self, InWords};
use crate::sinks::mqtt::Protocol;

/// A duration: `"500ms"`, `"10s"`, `"1h30m"`, `"7d"`; the units are ms, s, m, h, d, w and y.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
pub(super) struct Span(#[schemars(with = "String")] pub(super) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(source: &str) -> Result<Span, String> {
        duration::read(source).map(Span).ok_or_else(|| {
            format!(
                "expected a duration such as \"500ms\", \"10s\", \"5m\", \"2h\" or \"7d\", found `{source}`"
            )
        })
    }
}

/// A number of bytes: `"1GiB"`, `"64 KiB"`, `1048576`; the units are B, kB, MB, GB, TB and, by 1,024,
/// KiB, MiB, GiB, TiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(extend("type" = ["string", "integer"]))]
pub(super) struct Size(#[schemars(with = "String")] pub(super) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(source: &str) -> Result<Size, String> {
        let wrong = || {
            format!("expected a size such as \"64KiB\", \"512MiB\" or \"1GiB\", found `{source}`")
        };
        let text = source.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let unit: u64 = match text[digits..].trim_start() {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(wrong()),
        };
        number.checked_mul(unit).map(Size).ok_or_else(wrong)
    }
}

/// How long something is kept: a duration, or `"forever"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
pub(super) struct Retention(#[schemars(with = "String")] pub(super) Option<Duration>);

impl FromStr for Retention {
    type Err = String;

    fn from_str(source: &str) -> Result<Retention, String> {
        match source.trim() {
            "forever" => Ok(Retention(None)),
            text => match text.parse() {
                Ok(Span(Duration::ZERO)) => {
                    Err("expected a duration above 0, or \"forever\"".to_owned())
                }
                Ok(Span(span)) => Ok(Retention(Some(span))),
                Err(error) => Err(format!("{error}; or \"forever\"")),
            },
        }
    }
}

/// Who may read and write a file, as `chmod` has it: `"0640"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
pub(super) struct Mode(#[schemars(with = "String")] pub(super) u32);

impl FromStr for Mode {
    type Err = String;

    fn from_str(source: &str) -> Result<Mode, String> {
        let mode = u32::from_str_radix(source.trim(), 8).ok();
        let is_meant = |mode: &u32| *mode <= 0o777 && mode & OWNER == OWNER;
        mode.filter(is_meant).map(Mode).ok_or_else(|| {
            format!(
                "expected a mode such as \"0600\" or \"0640\", by which the owner may read and \
                 write, found `{source}`"
            )
        })
    }
}

/// The owner reads and writes.
const OWNER: u32 = 0o600;

/// The most in a time: `"20/1m"`, `"5/s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub(super) struct Rate {
    pub(super) most: u32,
    pub(super) per: Duration,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(source: &str) -> Result<Rate, String> {
        let wrong = || {
            format!("expected a number and a time such as \"20/1m\" or \"5/s\", found `{source}`")
        };
        let (most, per) = source.split_once('/').ok_or_else(wrong)?;
        let most = most.trim().parse().map_err(|_| wrong())?;
        let per = per.trim();
        // `20/m` is 20 in one minute.
        let one = if per.starts_with(|c: char| c.is_ascii_digit()) {
            ""
        } else {
            "1"
        };
        let Span(per) = format!("{one}{per}").parse().map_err(|_| wrong())?;
        Ok(Rate { most, per })
    }
}

/// A number or a switch, also as a text: an environment variable has no types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(inline)]
pub(super) struct Plain<T>(pub(super) T);

impl FromStr for Plain<bool> {
    type Err = String;

    fn from_str(source: &str) -> Result<Plain<bool>, String> {
        source
            .trim()
            .parse()
            .map(Plain)
            .map_err(|_| format!("expected true or false, found `{source}`"))
    }
}

impl FromStr for Plain<u32> {
    type Err = String;

    fn from_str(source: &str) -> Result<Plain<u32>, String> {
        source
            .trim()
            .parse()
            .map(Plain)
            .map_err(|_| format!("expected a whole number from 0 on, found `{source}`"))
    }
}

/// A version of MQTT: `"auto"`, `"5"` or `"3.1.1"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema)]
pub(super) struct MqttProtocol(#[schemars(with = "String")] pub(super) Protocol);

impl FromStr for MqttProtocol {
    type Err = String;

    fn from_str(source: &str) -> Result<MqttProtocol, String> {
        match source.trim() {
            "auto" => Ok(MqttProtocol(Protocol::Auto)),
            "5" | "5.0" => Ok(MqttProtocol(Protocol::V5)),
            "3.1.1" => Ok(MqttProtocol(Protocol::V311)),
            _ => Err(format!(
                "expected \"auto\", \"5\" or \"3.1.1\", found `{source}`"
            )),
        }
    }
}

/// Reads a scalar of any type by its text, so that the message of a mistake is the same for all of
/// them.
fn by_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = String>,
{
    struct ByText<T>(PhantomData<T>);

    impl<T: FromStr<Err = String>> ByText<T> {
        fn parse<E: de::Error>(text: impl Display) -> Result<T, E> {
            text.to_string().parse().map_err(E::custom)
        }
    }

    impl<'de, T: FromStr<Err = String>> Visitor<'de> for ByText<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a single value")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            Self::parse(text)
        }
        fn visit_bool<E: de::Error>(self, switch: bool) -> Result<T, E> {
            Self::parse(switch)
        }
        fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
            Self::parse(number)
        }
        fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
            Self::parse(number)
        }
        fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
            Self::parse(number)
        }
    }

    deserializer.deserialize_any(ByText(PhantomData))
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        by_text(deserializer)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        by_text(deserializer)
    }
}

impl<'de> Deserialize<'de> for MqttProtocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MqttProtocol, D::Error> {
        by_text(deserializer)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        by_text(deserializer)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Mode, D::Error> {
        by_text(deserializer)
    }
}

impl<'de> Deserialize<'de> for Retention {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Retention, D::Error> {
        by_text(deserializer)
    }
}

impl<'de, T> Deserialize<'de> for Plain<T>
where
    Plain<T>: FromStr<Err = String>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Plain<T>, D::Error> {
        by_text(deserializer)
    }
}

/// As a default is shown, in the schema and by `config show`: as a person would write it. What may
/// be secret has no such form.
macro_rules! shown_as_text {
    ($($unit:ident),*) => {
        $(impl Serialize for $unit {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        })*
    };
}

shown_as_text!(Span, Size, Mode, Retention, MqttProtocol);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        InWords(self.0).fmt(f)
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];
        let is_whole = |(_, power): &(&str, u32)| self.0 > 0 && self.0.is_multiple_of(1 << power);
        let (unit, power) = units.into_iter().find(is_whole).unwrap_or(("B", 0));
        write!(f, "{}{unit}", self.0 >> power)
    }
}

impl Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// A year's seconds.
const YEAR: u64 = 31_536_000;

impl Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(kept) => match kept.as_secs() / YEAR {
                years @ 2.. if kept == Duration::from_secs(years * YEAR) => write!(f, "{years}y"),
                _ => InWords(kept).fmt(f),
            },
            None => f.write_str("forever"),
        }
    }
}

impl Display for MqttProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Protocol::Auto => "auto",
            Protocol::V5 => "5",
            Protocol::V311 => "3.1.1",
        })
    }
}

impl<T: Serialize> Serialize for Plain<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

// Its mistakes are kept, so that the variable is known in spite of them.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (source, expected) in [
            ("0s", Some(0)),
            ("500ms", Some(500)),
            ("10s", Some(10_000)),
            ("1h30m", Some(5_400_000)),
            (" 7 d ", Some(604_800_000)),
            ("10", None),
            ("s", None),
            ("", None),
            ("1.5h", None),
            ("10 parsecs", None),
            ("-1s", None),
            ("99999999999999999999s", None),
            ("99999999999999999d", None),
        ] {
            let span = source
                .parse::<Span>()
                .ok()
                .map(|Span(span)| span.as_millis());
            assert_eq!(span, expected, "{source}");
        }
    }

    #[test]
    fn a_duration_is_read_as_it_is_shown() {
        for milliseconds in [0, 1, 999, 1_500, 90_000, 3_601_000, 90_061_001, u64::MAX] {
            let duration = Duration::from_millis(milliseconds);
            let shown = InWords(duration).to_string();
            assert_eq!(shown.parse(), Ok(Span(duration)), "{shown}");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (source, expected) in [
            ("1GiB", Some(1 << 30)),
            ("64 KiB", Some(65_536)),
            ("1kB", Some(1_000)),
            ("1048576", Some(1_048_576)),
            ("1 gigabyte", None),
            ("-1", None),
            ("", None),
            ("99999999TiB", None),
        ] {
            assert_eq!(
                source.parse::<Size>().ok().map(|Size(bytes)| bytes),
                expected,
                "{source}"
            );
        }
    }

    #[test]
    fn what_is_shown_of_a_default_is_read_as_the_same() {
        fn check<T: FromStr<Err = String> + Display + PartialEq + fmt::Debug>(
            value: T,
            expected: &str,
        ) {
            assert_eq!(value.to_string(), expected);
            assert_eq!(expected.parse(), Ok(value));
        }
        check(Span(Duration::from_secs(90)), "1m30s");
        check(Size(0), "0B");
        check(Size(1 << 30), "1GiB");
        check(Size(1536), "1536B");
        check(Size(256 << 10), "256KiB");
        check(Mode(0o640), "0640");
        check(Retention(None), "forever");
        check(Retention(Some(Duration::from_secs(86_400))), "1d");
        check(Retention(Some(Duration::from_secs(YEAR))), "365d");
        check(Retention(Some(Duration::from_secs(5 * YEAR))), "5y");
        for protocol in [Protocol::Auto, Protocol::V5, Protocol::V311] {
            let protocol = MqttProtocol(protocol);
            check(protocol, &protocol.to_string());
        }
    }

    #[test]
    fn a_rate_is_a_number_in_a_time() {
        for (source, expected) in [
            ("20/1m", Some((20, 60))),
            (" 20 / 1 m ", Some((20, 60))),
            ("20/m", Some((20, 60))),
            ("5/s", Some((5, 1))),
            ("100/1h30m", Some((100, 5_400))),
            ("20", None),
            ("/1m", None),
            ("20/", None),
            ("20/minute", None),
            ("-1/s", None),
            ("1.5/s", None),
            ("20/1m/s", None),
        ] {
            let rate = source.parse::<Rate>().ok();
            let rate = rate.map(|rate| (rate.most, rate.per.as_secs()));
            assert_eq!(rate, expected, "{source}");
        }
    }

    #[test]
    fn forever_is_a_retention_and_nothing_is_not() {
        assert_eq!("forever".parse(), Ok(Retention(None)));
        assert_eq!(
            "1d".parse(),
            Ok(Retention(Some(Duration::from_secs(86_400))))
        );
        assert!("0s".parse::<Retention>().is_err());
    }
}
