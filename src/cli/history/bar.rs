//! The timeline of a device as a row of signs: each shows what lasted longest in its part of the
//! window.

use jiff::Timestamp;

use super::table::Look;
use crate::cli::terminal::{PLAIN, colour};
use crate::model::Severity;

/// What a part of a timeline shows, in the order of which wins where two lasted equally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Ok,
    Unknown,
    NotKnown,
    Warning,
    Critical,
}

const SIGNS: [Sign; 5] = [
    Sign::Ok,
    Sign::Unknown,
    Sign::NotKnown,
    Sign::Warning,
    Sign::Critical,
];

/// The timeline of one device.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    since: Timestamp,
    until: Timestamp,
    /// Seconds of each sign, for each part.
    parts: Vec<[f64; SIGNS.len()]>,
}

impl Bar {
    /// An empty one of a window, with this number of parts.
    pub(super) fn new(since: Timestamp, until: Timestamp, parts: usize) -> Bar {
        Bar {
            since,
            until,
            parts: vec![[0.0; SIGNS.len()]; parts],
        }
    }

    /// Adds a piece; one without an end lasts.
    pub(super) fn add(
        &mut self,
        severity: Severity,
        certain: bool,
        since: Timestamp,
        until: Option<Timestamp>,
    ) {
        let sign = match (certain, severity) {
            (false, _) => Sign::NotKnown,
            (_, Severity::Ok | Severity::Info) => Sign::Ok,
            (_, Severity::Warning) => Sign::Warning,
            (_, Severity::Critical) => Sign::Critical,
            (_, Severity::Unknown) => Sign::Unknown,
        };
        let whole = seconds(self.since, self.until);
        let length = whole / self.parts.len() as f64;
        let begin = seconds(self.since, since).clamp(0.0, whole);
        let end = until.map_or(whole, |until| seconds(self.since, until).clamp(0.0, whole));
        for (nth, part) in self.parts.iter_mut().enumerate() {
            let (from, to) = (nth as f64 * length, (nth + 1) as f64 * length);
            let lasted = end.min(to) - begin.max(from);
            if lasted > 0.0 {
                part[sign as usize] += lasted;
            }
        }
    }

    /// The signs; blank where the device had not been heard yet.
    pub(super) fn text(&self, look: &Look) -> String {
        let mut text = String::new();
        let mut painted = "";
        for part in &self.parts {
            let sign = longest(part);
            let wanted = match sign {
                Some(sign) if look.has_colours => sign.colour(),
                _ => "",
            };
            if wanted != painted {
                text += if painted.is_empty() { "" } else { PLAIN };
                text += wanted;
                painted = wanted;
            }
            text.push(sign.map_or(' ', |sign| sign.character(look.has_unicode)));
        }
        if !painted.is_empty() {
            text += PLAIN;
        }
        text.trim_end().to_owned()
    }
}

/// What the signs mean.
pub(super) fn legend(look: &Look) -> String {
    let words = [
        (Sign::Ok, "ok"),
        (Sign::Warning, "warning"),
        (Sign::Critical, "critical"),
        (Sign::Unknown, "unknown"),
        (Sign::NotKnown, "not known"),
    ];
    let each = words.map(|(sign, word)| format!("{} {word}", sign.character(look.has_unicode)));
    each.join("  ") + "  blank: no status yet"
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

fn longest(part: &[f64; SIGNS.len()]) -> Option<Sign> {
    let lasted = SIGNS.into_iter().filter(|sign| part[*sign as usize] > 0.0);
    lasted.max_by(|a, b| part[*a as usize].total_cmp(&part[*b as usize]))
}

impl Sign {
    fn character(self, has_unicode: bool) -> char {
        match (self, has_unicode) {
            (Sign::Ok, true) => '█',
            (Sign::Warning, true) => '▒',
            (Sign::Critical, true) => '▄',
            (Sign::Unknown, true) => '░',
            (Sign::NotKnown, true) => '·',
            (Sign::Ok, false) => '#',
            (Sign::Warning, false) => '-',
            (Sign::Critical, false) => '!',
            (Sign::Unknown, false) => '?',
            (Sign::NotKnown, false) => '.',
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Sign::Ok => colour(Severity::Ok),
            Sign::Warning => colour(Severity::Warning),
            Sign::Critical => colour(Severity::Critical),
            Sign::Unknown | Sign::NotKnown => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look {
        columns: None,
        has_colours: false,
        has_unicode: true,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn bar() -> Bar {
        let mut bar = Bar::new(at(100), at(200), 10);
        bar.add(Severity::Ok, true, at(110), Some(at(133)));
        bar.add(Severity::Critical, true, at(133), Some(at(150)));
        bar.add(Severity::Ok, false, at(150), Some(at(160)));
        bar.add(Severity::Unknown, true, at(160), Some(at(170)));
        bar.add(Severity::Warning, true, at(170), Some(at(180)));
        bar.add(Severity::Ok, true, at(180), None);
        bar
    }

    #[test]
    fn each_sign_is_what_lasted_longest() {
        assert_eq!(bar().text(&LOOK), " ██▄▄·░▒██");
        let ascii = Look {
            has_unicode: false,
            ..LOOK
        };
        assert_eq!(bar().text(&ascii), " ##!!.?-##");
        assert_eq!(
            legend(&ascii),
            "# ok  - warning  ! critical  ? unknown  . not known  blank: no status yet"
        );
    }

    #[test]
    fn pieces_beyond_the_window_and_empty_windows_are_no_trouble() {
        let mut bar = Bar::new(at(100), at(200), 4);
        bar.add(Severity::Ok, true, at(0), Some(at(150)));
        bar.add(Severity::Critical, true, at(300), None);
        assert_eq!(bar.text(&LOOK), "██");
        let mut none = Bar::new(at(100), at(100), 4);
        none.add(Severity::Ok, true, at(0), None);
        assert_eq!(none.text(&LOOK), "");
        assert_eq!(Bar::new(at(0), at(1), 0).text(&LOOK), "");
    }

    #[test]
    fn colours_begin_and_end() {
        let look = Look {
            has_colours: true,
            ..LOOK
        };
        let text = bar().text(&look);
        assert!(
            text.starts_with(" \x1b[32m██\x1b[0m\x1b[31m▄▄\x1b[0m·░\x1b[33m▒"),
            "{text:?}"
        );
        assert!(text.ends_with(PLAIN), "{text:?}");
    }
}
