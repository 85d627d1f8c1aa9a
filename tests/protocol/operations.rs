//! `docs/operations.md` and its Chinese page: every line of the log that warns or reports an error is
//! there, as it is printed, and every alert with its metrics. What is quoted exists.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use crate::architecture::{self, production};
use crate::log_lines::{self, LogLine};
use crate::pages;
use crate::vocabulary::lexed;

const PAGES: &[&str] = &["docs/operations.md", "docs/zh/operations.md"];

/// What a row of a table quotes, and how.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Quoted {
    /// The beginning of a log line, with its level.
    Line(String, String),
    /// A text within an error.
    Error(String),
    Alert(String),
}

#[test]
fn every_warning_and_error_of_the_log_is_in_the_page() {
    let lines = log_lines::all();
    for page in PAGES {
        let rows: Vec<(String, String)> = quoted(page)
            .into_iter()
            .filter_map(|row| match row {
                Quoted::Line(text, level) => Some((text, level)),
                Quoted::Error(_) | Quoted::Alert(_) => None,
            })
            .collect();
        let mut report = String::new();
        let mut needed = BTreeSet::new();
        for line in &lines {
            match row_of(line, &rows) {
                Some(row) => {
                    needed.insert(row);
                }
                None if line.level == "info" => {}
                None => writeln!(
                    report,
                    "no row: {}: `{}`, {}",
                    line.place, line.message, line.level
                )
                .expect("write to a String"),
            }
        }
        for (index, (text, level)) in rows.iter().enumerate() {
            let messages: BTreeSet<&str> = lines
                .iter()
                .filter(|line| row_of(line, &rows) == Some(index))
                .map(|line| &*line.message)
                .collect();
            match messages.len() {
                0 => writeln!(report, "no log line begins so: `{text}`, {level}"),
                1 => Ok(()),
                count => writeln!(report, "{count} log lines begin so: `{text}`, {level}"),
            }
            .expect("write to a String");
        }
        assert!(report.is_empty(), "{page}:\n{report}");
        assert!(needed.len() > 80, "{page} has {} log lines", needed.len());
    }
}

#[test]
fn every_alert_is_in_the_page_and_so_are_its_metrics() {
    let rules = pages::read("docs/alerts/stomp-bridge.rules.yml");
    let wanted: BTreeSet<String> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .map(str::to_owned)
        .collect();
    let listed = metrics(&pages::read("docs/metrics.md"));
    let fired: BTreeSet<String> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .flat_map(metrics)
        .collect();
    assert!(
        wanted.len() > 15 && fired.len() > 15,
        "{wanted:?} {fired:?}"
    );
    for page in PAGES {
        let alerts: BTreeSet<String> = quoted(page)
            .into_iter()
            .filter_map(|row| match row {
                Quoted::Alert(name) => Some(name),
                Quoted::Line(..) | Quoted::Error(_) => None,
            })
            .collect();
        assert_eq!(alerts, wanted, "{page}");
        let named = metrics(&pages::read(page));
        let missing: Vec<_> = fired.difference(&named).collect();
        assert!(
            missing.is_empty(),
            "{page} lacks what alerts look at: {missing:?}"
        );
        let unknown: Vec<_> = named.difference(&listed).collect();
        assert!(
            unknown.is_empty(),
            "{page} names what is none of the metrics: {unknown:?}"
        );
    }
}

#[test]
fn the_errors_in_the_page_are_those_of_the_program() {
    let texts = texts();
    for page in PAGES {
        let mut found = 0;
        for row in quoted(page) {
            let Quoted::Error(quoted) = row else { continue };
            // What stands between the pieces differs from line to line.
            let is_said = texts.iter().any(|text| {
                quoted
                    .split('…')
                    .try_fold(&**text, |rest, piece| Some(rest.split_once(piece)?.1))
                    .is_some()
            });
            assert!(is_said, "{page}: no text of src/ says `{quoted}`");
            found += 1;
        }
        assert!(found > 15, "{page} has {found} errors");
    }
}

/// Both pages quote the same, in the same order: what one reader learns, the other learns too.
#[test]
fn both_languages_have_the_same_rows() {
    let [english, chinese] = PAGES else {
        panic!("two pages")
    };
    assert_eq!(quoted(chinese), quoted(english));
}

/// The row that a line belongs to: the longest that it begins with.
fn row_of(line: &LogLine, rows: &[(String, String)]) -> Option<usize> {
    let begins = |text: &str| {
        let rest = line.message.strip_prefix(text)?;
        // Not within a word.
        (!rest.starts_with(|c: char| c.is_alphanumeric())).then_some(text.len())
    };
    let (_, row) = rows
        .iter()
        .enumerate()
        .filter(|(_, (_, level))| level == line.level)
        .filter_map(|(row, (text, _))| Some((begins(text)?, row)))
        .max()?;
    Some(row)
}

/// What the tables of a page quote, in their order.
fn quoted(page: &str) -> Vec<Quoted> {
    let text = pages::prose(&pages::read(page));
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let (quoted, second) = (cells.next()?.strip_suffix('`')?, cells.next()?);
        let quoted = quoted.to_owned();
        Some(if quoted.starts_with("StompBridge") {
            Quoted::Alert(quoted)
        } else if ["error", "warn", "info"].contains(&second) {
            Quoted::Line(quoted, second.to_owned())
        } else {
            Quoted::Error(quoted)
        })
    });
    let rows: Vec<Quoted> = rows.collect();
    assert!(rows.len() > 100, "{page} has {} rows", rows.len());
    rows
}

/// The names of metrics in a text: ours, those of every process, and Prometheus' own `up`.
fn metrics(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_name(c));
    let ours = |word: &&str| word.starts_with("stomp_bridge_") || word.starts_with("process_");
    words.filter(ours).map(str::to_owned).collect()
}

/// The texts of the program.
pub(crate) fn texts() -> Vec<String> {
    let mut files = Vec::new();
    architecture::collect(&pages::root().join("src"), &mut files);
    let read = |file| fs::read_to_string(file).expect("read a source file");
    let literals = files
        .into_iter()
        .flat_map(|file| lexed(&production(&read(file))).1);
    literals.map(|(_, literal)| literal).collect()
}
