//! The two languages of the page: which one a browser wants, and how numbers, times and ages are
//! written in it. The words themselves stand where they are used, English beside Chinese.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::cookie::cookie;
use crate::bilingual::Bilingual;

/// A language of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lang {
    En,
    Zh,
}

/// A day in seconds.
const DAY: i64 = 86_400;

impl Lang {
    pub(super) const ALL: [Lang; 2] = [Lang::En, Lang::Zh];

    /// By its name in a URL or a cookie.
    pub(super) fn named(name: &str) -> Option<Lang> {
        match name.get(..2)?.to_ascii_lowercase().as_str() {
            "en" => Some(Lang::En),
            "zh" => Some(Lang::Zh),
            _ => None,
        }
    }

    /// The one that an `Accept-Language` prefers (RFC 9110, section 12.5.4); English where it names
    /// neither.
    pub(super) fn accepted(header: &str) -> Lang {
        let ranges = header.split(',').filter_map(|range| {
            let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
            let weight = parameters.trim().strip_prefix("q=");
            let weight: f32 = weight.map_or(Some(1.0), |weight| weight.trim().parse().ok())?;
            Some((Lang::named(name.trim())?, weight))
        });
        let better = |best: (Lang, f32), next: (Lang, f32)| match next.1 > best.1 {
            true => next,
            false => best,
        };
        ranges.fold((Lang::En, 0.0), better).0
    }

    /// The one of a request: that which was chosen before, else the one that the browser prefers.
    pub(super) fn of_request(headers: &HeaderMap) -> Lang {
        let chosen = || Lang::named(&cookie(headers, "lang")?);
        let accepted = headers.get(header::ACCEPT_LANGUAGE);
        let accepted = || accepted.and_then(|it| it.to_str().ok()).map(Lang::accepted);
        chosen().or_else(accepted).unwrap_or(Lang::En)
    }

    /// As HTML's `lang` has it.
    pub(super) fn code(self) -> &'static str {
        self.t("en", "zh-CN")
    }

    /// The text in this language.
    pub(super) fn t<'a>(self, en: &'a str, zh: &'a str) -> &'a str {
        match self {
            Lang::En => en,
            Lang::Zh => zh,
        }
    }

    /// The text of both in this language.
    pub(super) fn of(self, both: &Bilingual) -> &str {
        self.t(&both.en, &both.zh)
    }

    /// A short time: to the millisecond, and below ten of them to a tenth.
    pub(super) fn took(self, took: Duration) -> String {
        let ms = took.as_secs_f64() * 1000.0;
        match ms {
            0.0..9.95 => format!("{ms:.1}{}", self.t(" ms", " 毫秒")),
            9.95..999.5 => format!("{ms:.0}{}", self.t(" ms", " 毫秒")),
            999.5..59_950.0 => format!("{:.1}{}", ms / 1000.0, self.t(" s", " 秒")),
            _ => self.age((ms / 1000.0) as i64),
        }
    }

    /// `one` of a thing or several, in English.
    pub(super) fn plural(self, count: u64, one: &'static str, many: &'static str) -> &'static str {
        match (self, count) {
            (Lang::En, 1) | (Lang::Zh, _) => one,
            (Lang::En, _) => many,
        }
    }

    /// How long, in seconds; page.js writes the same.
    pub(super) fn age(self, seconds: i64) -> String {
        let s = seconds.max(0);
        let units = match self {
            Lang::En => [" s", " min", " h", " d"],
            Lang::Zh => [" 秒", " 分钟", " 小时", " 天"],
        };
        match s {
            0..60 => format!("{s}{}", units[0]),
            60..3600 => format!("{}{}", s / 60, units[1]),
            3600..DAY => format!("{}{} {}{}", s / 3600, units[2], s % 3600 / 60, units[1]),
            _ => format!("{}{} {}{}", s / DAY, units[3], s % DAY / 3600, units[2]),
        }
    }

    /// From one moment to another.
    pub(super) fn between(self, since: Timestamp, now: Timestamp) -> String {
        self.age(now.as_second() - since.as_second())
    }

    /// A count, in groups of three digits; short where it is large.
    pub(super) fn count(self, count: u64) -> String {
        match self {
            Lang::En if count >= 10_000_000 => format!("{:.1} M", count as f64 / 1e6),
            Lang::Zh if count >= 10_000_000 => format!("{} 万", grouped(count / 10_000)),
            _ => grouped(count),
        }
    }
}

/// Digits in groups of three.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size as people read it: `5 GiB`.
pub fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (0..units.len() - 1)
        .find(|power| bytes >> (10 * (power + 1)) == 0)
        .unwrap_or(units.len() - 1);
    format!("{} {}", bytes >> (10 * power), units[power])
}

/// So many a second.
pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 10.0 => format!("{rate:.0}"),
        rate if rate > 0.0 => format!("{rate:.1}"),
        _ => "0".to_owned(),
    }
}

/// A moment in a zone: the time of the day, and before it the date where the moment is more than a
/// day before `now`.
pub(super) fn clock(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let local = at.to_zoned(zone.clone());
    let form = match (now.as_second() - at.as_second()).abs() < DAY {
        true => "%H:%M:%S",
        false => "%m-%d %H:%M",
    };
    local.strftime(form).to_string()
}

/// A moment in a zone: date and time.
pub(super) fn date(at: Timestamp, zone: &TimeZone) -> String {
    let local = at.to_zoned(zone.clone());
    local.strftime("%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_the_language_that_it_prefers() {
        for (header, expected) in [
            ("", Lang::En),
            ("fr, de;q=0.5", Lang::En),
            ("zh-CN,zh;q=0.9,en;q=0.8", Lang::Zh),
            ("en-GB,en;q=0.9,zh;q=0.8", Lang::En),
            ("fr, zh-TW;q=0.3, en;q=0.2", Lang::Zh),
            ("en;q=0, zh;q=0.1", Lang::Zh),
            ("z", Lang::En),
            ("é", Lang::En),
            ("zh;q=x", Lang::En),
        ] {
            assert_eq!(Lang::accepted(header), expected, "{header}");
        }
    }

    #[test]
    fn numbers_are_written_for_people() {
        let both = |count| Lang::ALL.map(|lang| lang.count(count));
        assert_eq!(both(999), ["999", "999"]);
        assert_eq!(both(481_330), ["481,330", "481,330"]);
        assert_eq!(both(48_100_000), ["48.1 M", "4,810 万"]);
        assert_eq!(
            [size(0), size(412 << 20), size(u64::MAX)],
            ["0 B", "412 MiB", "16777215 TiB"]
        );
        assert_eq!([rate(0.0), rate(0.44), rate(185.6)], ["0", "0.4", "186"]);
        let ages = [-5, 59, 60, 3600 * 12 + 960, DAY * 2 + 3600];
        let ages = ages.map(|seconds| Lang::En.age(seconds));
        assert_eq!(ages, ["0 s", "59 s", "1 min", "12 h 16 min", "2 d 1 h"]);
        assert_eq!(Lang::Zh.age(4320), "1 小时 12 分钟");
        let took = [0, 9_940, 9_960, 999_400, 1_240_000, 61_000_000];
        let took = took.map(|us| Lang::En.took(Duration::from_micros(us)));
        assert_eq!(
            took,
            ["0.0 ms", "9.9 ms", "10 ms", "999 ms", "1.2 s", "1 min"]
        );
    }

    #[test]
    fn a_moment_of_another_day_has_its_date() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-28T19:04:12Z");
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        assert_eq!(clock(at("2026-11-28T19:04:00Z"), now, &zone), "03:04:00");
        assert_eq!(clock(at("2026-11-26T14:41:00Z"), now, &zone), "11-26 22:41");
        assert_eq!(date(now, &zone), "11-29 03:04:12");
    }
}
