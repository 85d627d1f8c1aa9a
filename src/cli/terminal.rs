//! What the terminal can show: its width, colours, and characters beyond ASCII.

use std::io::{IsTerminal, stdout};

use rustix::termios::tcgetwinsize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A narrower terminal gets lines of this width: in fewer columns nothing can be read.
const COLUMNS_MIN: usize = 20;

/// Of a terminal that does not say.
const COLUMNS_USUAL: usize = 80;

/// The columns of a line. Where standard output is no terminal a program reads it: lines are whole
/// there.
pub(super) fn columns() -> usize {
    if !stdout().is_terminal() {
        return usize::MAX;
    }
    let width = tcgetwinsize(stdout()).map_or(0, |size| size.ws_col.into());
    match width {
        0 => COLUMNS_USUAL,
        columns => columns.max(COLUMNS_MIN),
    }
}

/// Whether standard output is a terminal that wants colours (<https://no-color.org>).
pub(super) fn has_colours() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// Whether characters beyond ASCII can be shown, by the locale.
pub(super) fn is_utf8() -> bool {
    let variables = ["LC_ALL", "LC_CTYPE", "LANG"].map(std::env::var);
    let locale = variables
        .into_iter()
        .flatten()
        .find(|text| !text.is_empty());
    locale.is_some_and(|locale| is_utf8_locale(&locale))
}

fn is_utf8_locale(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_locale_names_its_charset() {
        for (locale, expected) in [
            ("C", false),
            ("POSIX", false),
            ("C.UTF-8", true),
            ("zh_CN.utf8", true),
            ("zh_CN.GBK", false),
        ] {
            assert_eq!(is_utf8_locale(locale), expected, "{locale}");
        }
    }
}
