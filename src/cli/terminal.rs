//! What the terminal can show: how wide it is, whether it has colours, whether it knows other signs
//! than ASCII's.

use std::env;
use std::io::{IsTerminal, stderr, stdout};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::model::Severity;

/// What ends a colour.
pub(super) const PLAIN: &str = "\x1b[0m";

/// The columns of standard output; `None`: it is none that has a width. COLUMNS says it where it is
/// no terminal.
pub(super) fn columns() -> Option<usize> {
    if stdout().is_terminal()
        && let Ok(size) = rustix::termios::tcgetwinsize(stdout())
        && size.ws_col > 0
    {
        return Some(usize::from(size.ws_col));
    }
    let columns = env::var("COLUMNS").ok()?.parse().ok();
    columns.filter(|columns| *columns > 0)
}

/// The columns of standard error, where that is a terminal.
pub(super) fn error_columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stderr()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Whether a person looks, who has not asked for no colours (<https://no-color.org>).
pub(super) fn has_colours() -> bool {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// Whether the locale's character set is Unicode.
pub(super) fn has_unicode() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter();
    let locale = set
        .filter_map(|name| env::var(name).ok())
        .find(|value| !value.is_empty());
    is_unicode(locale.as_deref())
}

fn is_unicode(locale: Option<&str>) -> bool {
    let locale = locale.unwrap_or("C").to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// What begins the colour of a severity; empty: it has none.
pub(super) fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "\x1b[31m",
        Severity::Warning => "\x1b[33m",
        Severity::Ok => "\x1b[32m",
        Severity::Info | Severity::Unknown => "",
    }
}

/// The text in lines of at most that width, broken at spaces where that is possible; each line
/// but the first begins with the indent.
pub(super) fn wrapped(text: &str, indent: usize, columns: usize) -> Vec<String> {
    let room = columns.saturating_sub(indent).max(1);
    if text.width() <= room {
        return vec![text.to_owned()];
    }
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let width = word.width();
        let gap = usize::from(used > 0);
        if used + gap + width <= room {
            if let Some(line) = lines.last_mut() {
                line.push_str(&" ".repeat(gap));
                line.push_str(word);
            }
            used += gap + width;
            continue;
        }
        if used > 0 {
            lines.push(String::new());
            used = 0;
        }
        for character in word.chars() {
            let width = character.width().unwrap_or(0);
            if used + width > room {
                lines.push(String::new());
                used = 0;
            }
            lines
                .last_mut()
                .into_iter()
                .for_each(|line| line.push(character));
            used += width;
        }
    }
    let indented = |(index, line): (usize, String)| match index {
        0 => line,
        _ => " ".repeat(indent) + &line,
    };
    lines.into_iter().enumerate().map(indented).collect()
}

/// The line in lines of at most that width, where it is wider. Its first `lead` columns stand as they
/// are, and the others begin below what follows; `None`: of any width.
pub(super) fn hanging(line: &str, lead: usize, columns: Option<usize>) -> Vec<String> {
    let Some(columns) = columns.filter(|columns| line.width() > *columns) else {
        return vec![line.to_owned()];
    };
    let spaces = line.len() - line.trim_start_matches(' ').len();
    let lead = lead.max(spaces);
    let (at, _) = line.char_indices().nth(lead).unwrap_or((line.len(), ' '));
    let (head, rest) = line.split_at(at);
    if columns < HANGING_COLUMNS_MIN {
        let indent = NARROW_INDENT.min(lead);
        return match head.trim_end() {
            "" => behind(&" ".repeat(indent), wrapped(rest, indent, columns)),
            // Without the gap behind a short head.
            short if short.len() < head.len() => {
                wrapped(&format!("{short} {rest}"), indent, columns)
            }
            _ => wrapped(line, indent, columns),
        };
    }
    behind(head, wrapped(rest, head.width(), columns))
}

/// Lines whose first one stands behind a head.
fn behind(head: &str, mut lines: Vec<String>) -> Vec<String> {
    if let Some(first) = lines.first_mut() {
        first.insert_str(0, head);
    }
    lines
}

/// Of a narrower terminal such an indent would take too much; it has this one.
const HANGING_COLUMNS_MIN: usize = 40;
const NARROW_INDENT: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_lines_head_goes_on_below_itself() {
        let check = |line: &str, columns, expected: &[&str]| {
            assert_eq!(hanging(line, 9, columns), expected, "{line} {columns:?}");
        };
        let line = "link     receiving for 3 s, last message 1 s ago, ready";
        check(line, None, &[line]);
        check(line, Some(80), &[line]);
        let expected = [
            "link     receiving for 3 s, last message",
            "         1 s ago, ready",
        ];
        check(line, Some(40), &expected);
        let line = "         topic 射阳县: no message yet, and then";
        let expected = [
            "         topic 射阳县: no message yet,",
            "         and then",
        ];
        check(line, Some(40), &expected);
        let expected = ["link receiving", "  for 3 s, last", "  message"];
        check(
            "link     receiving for 3 s, last message",
            Some(18),
            &expected,
        );
        let expected = ["  topic 射阳县:", "  no message"];
        check("         topic 射阳县: no message", Some(16), &expected);
        for columns in 8..80 {
            for line in [line, "  - x: 故障 and more", "link     receiving for 3 s"] {
                let lines = hanging(line, 9, Some(columns));
                let wide = lines.iter().find(|line| line.width() > columns);
                assert!(wide.is_none(), "{columns}: {wide:?}");
                let words = |text: &str| text.split_whitespace().collect::<String>();
                assert_eq!(words(&lines.join(" ")), words(line));
            }
        }
    }

    #[test]
    fn lines_break_at_spaces_and_keep_to_the_columns() {
        let check = |text: &str, indent, columns, expected: &[&str]| {
            assert_eq!(wrapped(text, indent, columns), expected, "{text}");
        };
        check("a bc def", 2, 6, &["a bc", "  def"]);
        check("", 2, 6, &[""]);
        check("abcdefgh ij", 2, 6, &["abcd", "  efgh", "  ij"]);
        check("x 射阳县人", 2, 8, &["x", "  射阳县", "  人"]);
        check("a  b", 2, usize::MAX, &["a  b"]);
        check("a  b cd", 2, 7, &["a b", "  cd"]);
        for columns in 0..8 {
            assert!(!wrapped("故障 fault", 4, columns).is_empty());
        }
    }

    #[test]
    fn a_locale_says_its_character_set() {
        for (locale, expected) in [
            (Some("zh_CN.UTF-8"), true),
            (Some("C.utf8"), true),
            (Some("C"), false),
            (Some("zh_CN.GB18030"), false),
            (None, false),
        ] {
            assert_eq!(is_unicode(locale), expected, "{locale:?}");
        }
    }
}
