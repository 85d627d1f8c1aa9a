//! Which log lines are wanted: from `--log` or RUST_LOG to directives. A text that names no level
//! never silences the rest.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Directive;

use crate::cli::redacted::OUR_TARGET;
use crate::pipeline::nearest;

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// What is logged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Directives of tracing-subscriber's `EnvFilter`; the first is the level of all else.
    pub(super) directives: String,
    /// What of RUST_LOG is passed over: other programs read that variable, too.
    pub(super) passed_over: Vec<String>,
}

/// What `--log` says, else RUST_LOG; `level`: where neither names one for all.
///
/// # Errors
/// `--log` has a word that is no level, and which levels there are.
pub(super) fn wanted(
    option: Option<&str>,
    variable: Option<&str>,
    level: &str,
) -> Result<Wanted, String> {
    let mut passed_over = Vec::new();
    let mut directives = vec![level.to_owned()];
    for part in parts(option.or(variable).unwrap_or_default()) {
        match directive(part) {
            Ok(()) if part.parse::<LevelFilter>().is_ok() => directives[0] = part.to_owned(),
            Ok(()) => directives.push(part.to_owned()),
            Err(error) if option.is_some() => return Err(format!("--log: {error}")),
            Err(error) => passed_over.push(error),
        }
    }
    Ok(Wanted {
        directives: directives.join(","),
        passed_over,
    })
}

/// The directives of a list; a comma within `[…]` or `{…}` belongs to one of them.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    let parts = text.split(move |c: char| {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

/// Whether one directive says a level, of our own code.
fn directive(part: &str) -> Result<(), String> {
    let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
    if level.parse::<LevelFilter>().is_err() {
        let meant = match nearest(level, LEVELS) {
            Some(meant) => format!(", did you mean {meant}?"),
            None => ".".to_owned(),
        };
        let levels = LEVELS.join(", ");
        return Err(format!(
            "\"{level}\" is no level{meant} The levels are {levels}; a level for one part is \
             written as stomp_bridge::sinks=debug"
        ));
    }
    let target = part.split(['=', '[']).next().unwrap_or_default();
    let is_ours = target.starts_with(OUR_TARGET) || OUR_TARGET.starts_with(target);
    if part.parse::<LevelFilter>().is_err() && !is_ours {
        return Err(format!(
            "\"{part}\" shows nothing: lines of libraries have URLs and rows in them, and are never \
             logged; a level for one part is written as stomp_bridge::sinks=debug"
        ));
    }
    Directive::from_str(part)
        .map(|_| ())
        .map_err(|_| format!("\"{part}\" cannot be read: write it as stomp_bridge::sinks=debug"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_an_error_that_names_the_levels() {
        for (text, expected) in [
            (
                "inof",
                "\"inof\" is no level, did you mean info? The levels are error, warn, info",
            ),
            (
                "verbose",
                "\"verbose\" is no level. The levels are error, warn",
            ),
            (
                "info,stomp_bridge::sinks",
                "\"stomp_bridge::sinks\" is no level",
            ),
            (
                "stomp_bridge=inof",
                "\"inof\" is no level, did you mean info?",
            ),
            (
                "stomp_bridge[{=debug",
                "\"stomp_bridge[{=debug\" cannot be read",
            ),
            ("hyper=debug", "\"hyper=debug\" shows nothing"),
            ("info,hyper=trace,", "\"hyper=trace\" shows nothing"),
        ] {
            let error = wanted(Some(text), None, "info").unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn one_parts_level_leaves_the_others_theirs() {
        for (text, expected) in [
            ("", "info"),
            ("debug", "debug"),
            ("WARN", "WARN"),
            ("off", "off"),
            (
                "stomp_bridge::sinks=debug",
                "info,stomp_bridge::sinks=debug",
            ),
            ("stomp_bridge=trace, error", "error,stomp_bridge=trace"),
            ("stomp=off", "info,stomp=off"),
            (
                "stomp_bridge[b{c=d,e}]=debug",
                "info,stomp_bridge[b{c=d,e}]=debug",
            ),
        ] {
            let found = wanted(Some(text), Some("trace"), "info").unwrap();
            assert_eq!((&*found.directives, found.passed_over.len()), (expected, 0));
        }
    }

    #[test]
    fn a_variable_that_was_meant_for_another_program_silences_nothing() {
        for (text, expected, passed_over) in [
            ("foo", "info", 1),
            ("foo,hyper=debug,bar=loud", "info", 3),
            ("warn", "warn", 0),
        ] {
            let found = wanted(None, Some(text), "info").unwrap();
            assert_eq!(
                (&*found.directives, found.passed_over.len()),
                (expected, passed_over),
                "{text}"
            );
        }
    }
}
