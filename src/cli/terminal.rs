//! What the terminal can show: how wide it is, whether it has colours, whether it knows other signs
//! than ASCII's.

use std::env;
use std::io::{IsTerminal, stdout};

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

#[cfg(test)]
mod tests {
    use super::*;

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
