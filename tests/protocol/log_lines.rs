//! The lines of the log as the sources write them: level, message, place.

use std::fs;

use crate::architecture::{self, Literals, production};
use crate::pages;

/// A line that the program may log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LogLine {
    pub(crate) level: &'static str,
    /// `src/source/intake.rs:392`.
    pub(crate) place: String,
    /// As it is printed; `…` stands for each placeholder.
    pub(crate) message: String,
}

/// The macros that the pages have to know. Others say what goes as it should, or are asked for.
const LEVELS: &[(&str, &str)] = &[("error!(", "error"), ("warn!(", "warn"), ("info!(", "info")];

/// Messages that stand elsewhere than in the macro: the file, what the macro has in its place, and
/// the texts, which must stand in that file. None: the text is no line of its own, and the page says
/// so in prose.
const INDIRECT: &[(&str, &str, &[&str])] = &[
    (
        "src/sinks/history/postgres/sink/tending.rs",
        "{what}",
        &[
            "the history was not tended",
            "rows past the retention were not deleted",
            "no partition was made ahead",
            "old event keys were not deleted",
        ],
    ),
    (
        "src/sinks/history/postgres/sink.rs",
        "{problem}",
        // `partitions::problem_of` says it.
        &[],
    ),
    (
        "src/sinks/history/sqlite/sink/tending.rs",
        "{what}",
        &[
            "the history was not tended",
            "rows past the retention were not deleted",
        ],
    ),
    (
        "src/sinks/history/sqlite/wal.rs",
        "{HELD}",
        &["history's -wal grows while another program has a transaction open"],
    ),
    // What `check` says of a configuration.
    ("src/app/daemon/reload.rs", "{warning}", &[]),
    ("src/app/daemon/reload.rs", "{message}", &[]),
    ("src/cli/run.rs", "{warning}", &[]),
    // `delivery::engine` says it: the sink is up.
    ("src/delivery/report.rs", "{message}", &[]),
];

/// All of them.
pub(crate) fn all() -> Vec<LogLine> {
    let mut files = Vec::new();
    architecture::collect(&pages::root().join("src"), &mut files);
    let mut lines = Vec::new();
    let mut needed = vec![false; INDIRECT.len()];
    for file in files {
        let path = file
            .strip_prefix(pages::root())
            .expect("it is in the repository");
        let path = path.to_string_lossy().into_owned();
        if path.ends_with("tests.rs") || path.contains("/tests/") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("read a source file");
        let code = architecture::code(&production(&text), Literals::Kept);
        for LogLine {
            level,
            place,
            message,
        } in of_code(&path, &code)
        {
            let indirect = INDIRECT
                .iter()
                .position(|(file, instead, _)| *file == path && *instead == message);
            let Some(indirect) = indirect else {
                let message = printed(&message);
                lines.push(LogLine {
                    level,
                    place,
                    message,
                });
                continue;
            };
            needed[indirect] = true;
            for said in INDIRECT[indirect].2 {
                assert!(code.contains(said), "{path} does not say `{said}`");
                let (place, message) = (place.clone(), (*said).to_owned());
                lines.push(LogLine {
                    level,
                    place,
                    message,
                });
            }
        }
    }
    for (entry, needed) in INDIRECT.iter().zip(needed) {
        assert!(needed, "nothing needs {entry:?}");
    }
    assert!(lines.len() > 120, "only {} log lines", lines.len());
    lines
}

/// Those of some code; each message as it is written.
fn of_code(path: &str, code: &str) -> Vec<LogLine> {
    let mut lines = Vec::new();
    for (name, level) in LEVELS {
        for (at, _) in code.match_indices(name) {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            let place = format!("{path}:{line}");
            let message = message(&code[at + name.len()..])
                .unwrap_or_else(|| panic!("{place}: a log line without a message"));
            lines.push(LogLine {
                level,
                place,
                message,
            });
        }
    }
    lines
}

/// The first text in a macro's own parentheses that is no field: not behind `=`, not in parentheses
/// within them.
fn message(arguments: &str) -> Option<String> {
    let mut depth = 1;
    let mut before = ' ';
    let mut rest = arguments;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let length = quoted(&rest[1..]);
            if depth == 1 && before != '=' {
                return Some(unbroken(&rest[1..=length]));
            }
            rest = &rest[length + 2..];
            before = '"';
            continue;
        }
        depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
        if depth == 0 {
            return None;
        }
        if !c.is_whitespace() {
            before = c;
        }
        rest = &rest[c.len_utf8()..];
    }
    None
}

/// The bytes up to the closing quote.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    let end = text.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.expect("a text ends")
}

/// A text without the line breaks of its source and without escapes.
fn unbroken(literal: &str) -> String {
    let mut pieces = literal.split("\\\n");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        text += piece.trim_start();
    }
    text.replace("\\\"", "\"")
}

/// `…` for each placeholder; none at the beginning, where nothing can be searched for.
fn printed(message: &str) -> String {
    let mut printed = String::new();
    let mut rest = message;
    while let Some((before, placeholder)) = rest.split_once('{') {
        let (_, after) = placeholder.split_once('}').expect("a placeholder ends");
        printed += before;
        printed.push('…');
        rest = after;
    }
    printed += rest;
    printed.trim_start_matches(['…', ' ']).to_owned()
}

#[test]
fn messages_are_found_among_fields() {
    let code = r#"
        warn!(%sink, error, retry_in_ms = wait.as_millis() as u64, "an event \
            of one {} waits; \"x\"", name);
        tracing::error!(task, error = format!("{error:#}"), "task failed");
        my_warn!("no");
        info!(a = "field", server = name.unwrap_or("unnamed"), "{text} … and {count} more");
    "#;
    let found = of_code("a.rs", code);
    let found: Vec<(&str, &str, String)> = found
        .iter()
        .map(|line| (line.level, &*line.place, printed(&line.message)))
        .collect();
    assert_eq!(
        found,
        [
            ("error", "a.rs:4", "task failed".to_owned()),
            (
                "warn",
                "a.rs:2",
                "an event of one … waits; \"x\"".to_owned()
            ),
            ("info", "a.rs:6", "and … more".to_owned()),
        ]
    );
}
