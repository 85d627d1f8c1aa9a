//! What verbs print: tables, ages, sizes, JSON. What came over the network is never printed as it
//! is: a terminal would obey it.

use std::fmt;
use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::error_words::of_system;
use super::terminal::{error_columns, hanging, wrapped};
use crate::excerpt::beginning;
pub(super) use crate::ops::size as bytes;
use crate::secret::redact;

/// A line's worth of an error.
const LINE_CHARS: usize = 160;

/// A narrower last column of a table is no column: each row becomes lines.
const LAST_COLUMNS_MIN: usize = 24;

/// A line on standard output.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::print::line(format_args!($($text)*)) };
}
pub(super) use say;

/// A part of a line on standard output.
macro_rules! part {
    ($($text:tt)*) => { $crate::cli::print::text(format_args!($($text)*)) };
}
pub(super) use part;

/// A line on standard error. Where nobody can read it, the exit code has to do.
macro_rules! tell {
    ($($text:tt)*) => { $crate::cli::print::error_line(format_args!($($text)*)) };
}
pub(super) use tell;

/// Writes a line, for [`say`]. Ends the process if the reader of the pipe is gone (`head`), or if
/// there is no room for it.
pub(super) fn line(line: fmt::Arguments<'_>) {
    text(format_args!("{line}\n"));
}

/// The same without the end of the line, for [`part`].
pub(super) fn text(text: fmt::Arguments<'_>) {
    match write!(io::stdout(), "{text}") {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            error_line(format_args!(
                "stomp-bridge: standard output cannot be written to: {}",
                of_system(&error)
            ));
            std::process::exit(1)
        }
    }
}

/// Whether the reader of a pipe is gone.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error: Option<&io::Error> = error.downcast_ref();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes a line, for [`tell`]: std's `eprintln` would panic on a full disk. A terminal gets it broken
/// at spaces; what has several lines stands as it is, since a caret may point up from one.
pub(super) fn error_line(text: fmt::Arguments<'_>) {
    let text = text.to_string();
    let text = redact(&text);
    let lines = match text.contains('\n') {
        true => vec![text.into_owned()],
        false => hanging(&text, 0, error_columns()),
    };
    for line in lines {
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// What a zone is called beside a time.
pub(super) fn zone_name(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("UTC")
}

/// A time to the second, in a zone.
pub(super) fn local_time(at: Timestamp, zone: &TimeZone) -> String {
    let local = at.to_zoned(zone.clone());
    local.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// One JSON document on standard output.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Columns as wide as they need to be; the last one as it is.
pub(super) fn table<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> Vec<String> {
    let rows: Vec<[String; N]> = rows.into_iter().collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].width())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| cell.to_owned() + &" ".repeat(width - cell.width()))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// The same for a screen of this width, with a head in the first row; `None`: of any width. The
/// last column goes on below itself; where there is no room for that, each row becomes lines.
pub(super) fn fitted<const N: usize>(
    columns: Option<usize>,
    rows: impl IntoIterator<Item = [String; N]>,
) -> Vec<String> {
    let rows: Vec<[String; N]> = rows.into_iter().collect();
    let lines = table(rows.iter().cloned());
    let Some(columns) = columns else {
        return lines;
    };
    if lines.iter().all(|line| line.width() <= columns) {
        return lines;
    }
    let (last, without_last) = (N - 1, rows.iter().cloned());
    let without_last = without_last.map(|mut row| {
        // As wide as the others are; the end of a line is trimmed.
        row[last] = ".".to_owned();
        row
    });
    let heads = table(without_last);
    let lead = heads
        .first()
        .map_or(0, |head| head.width().saturating_sub(1));
    if columns < lead + LAST_COLUMNS_MIN {
        return stacked(columns, &rows);
    }
    let row = |(head, row): (&String, &[String; N])| {
        let mut lines = wrapped(&row[last], lead, columns);
        if let Some(first) = lines.first_mut() {
            let head = head.strip_suffix('.').unwrap_or(head);
            *first = format!("{head}{first}").trim_end().to_owned();
        }
        lines
    };
    heads.iter().zip(&rows).flat_map(row).collect()
}

/// Each row as lines, with the head's name before each value.
fn stacked<const N: usize>(columns: usize, rows: &[[String; N]]) -> Vec<String> {
    let Some((head, rows)) = rows.split_first() else {
        return Vec::new();
    };
    let cells = |row: &[String; N]| {
        let cells = head.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
        let lines =
            cells.flat_map(|(name, cell)| wrapped(&format!("{name}: {cell}"), 2, columns.max(8)));
        lines.collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    rows.join(&String::new())
}

/// How long ago, in its largest unit.
pub(super) fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// So many of a thing.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// On one line, without control characters, and cut where it is long.
pub(super) fn one_line(text: &str) -> String {
    beginning(&harmless(text).replace('\n', " "), LINE_CHARS)
}

/// Whether a terminal obeys a character: it moves the cursor, paints, or turns the order of letters.
pub(super) fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Harmful characters other than the end of a line as `\u{…}`.
pub(super) fn harmless(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) && c != '\n' {
            clean.extend(c.escape_unicode());
        } else {
            clean.push(c);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_have_one_unit() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (seconds, expected) in [
            (-5, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7200, "2 h"),
            (172_800, "2 d"),
        ] {
            assert_eq!(age(at(0), at(seconds)), expected);
        }
        for (count, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (5 << 30, "5 GiB"),
            (1 << 60, "1048576 TiB"),
        ] {
            assert_eq!(bytes(count), expected);
        }
    }

    #[test]
    fn what_came_from_afar_cannot_drive_the_terminal() {
        assert_eq!(
            harmless("a\u{1b}[2Jb\n\u{202e}c 射"),
            "a\\u{1b}[2Jb\n\\u{202e}c 射"
        );
        assert_eq!(one_line("a\nb"), "a b");
        assert_eq!(one_line(&"x".repeat(500)).chars().count(), LINE_CHARS + 1);
    }

    #[test]
    fn columns_line_up() {
        let rows = [["a", "1"], ["long", "22"], ["故障", "333"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(rows), ["a     1", "long  22", "故障  333"]);
    }

    #[test]
    fn a_table_keeps_to_the_screen_and_loses_nothing() {
        let rows = || {
            let rows = [
                ["SINK", "DLQ", "LAST ERROR"],
                [
                    "故障",
                    "3",
                    "the broker 射阳县 closed the connection at once",
                ],
                ["site", "0", ""],
            ];
            rows.map(|row| row.map(str::to_owned))
        };
        assert_eq!(fitted(None, rows()), table(rows()));
        assert_eq!(fitted(Some(80), rows()), table(rows()));
        let expected = [
            "SINK  DLQ  LAST ERROR",
            "故障  3    the broker 射阳县 closed",
            "           the connection at once",
            "site  0",
        ];
        assert_eq!(fitted(Some(38), rows()), expected);
        let expected = [
            "SINK: 故障",
            "DLQ: 3",
            "LAST ERROR: the",
            "  broker 射阳县",
            "  closed the",
            "  connection at once",
            "",
            "SINK: site",
            "DLQ: 0",
        ];
        assert_eq!(fitted(Some(20), rows()), expected);
    }
}
