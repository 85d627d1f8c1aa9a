//! An event's way as people read it.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::fate::Fate;
use super::stored::InHistory;
use super::way::{AtSink, OnlyIn, Way};
use crate::cli::print::{harmless, one_line, zone_name};
use crate::cli::terminal::hanging;
use crate::model::{StatusEvent, device_name};

/// A payload and an answer have no more than this, however wide the terminal is.
const LINE_COLUMNS: usize = 160;

/// Where the texts of rows begin, and how far behind a sink's name what became of it there.
const ROW_LEAD: usize = 12;
const SINK_LEAD: usize = 6;

/// All of it, long texts cut to the columns. Times are those of the zone, whose name stands behind the
/// first of them.
pub(super) fn text(
    way: &Way,
    zone: &TimeZone,
    state_name: &dyn Fn(&str) -> String,
    columns: Option<usize>,
) -> String {
    let status = &way.status;
    let mut lines = vec![heading(status, state_name)];
    let mut row = |name: &str, text: String| lines.push(format!("  {name:<9} {text}"));
    if let Some(serial) = &status.serial {
        row("serial", harmless(serial));
    }
    let received = time(way.received_at, zone);
    let zone_name = zone_name(zone);
    let position = way.position;
    row(
        "received",
        format!("{received}, times of {zone_name}, position {position}"),
    );
    if let Some(OnlyIn { sink, sequence }) = &way.only_in {
        let gone = "no longer in the journal";
        row(
            "kept",
            format!("{gone}; sink {sink} has it as row {sequence}"),
        );
    }
    row("topic", topic(status));
    row("decoded", decoded(way));
    row("event id", harmless(&status.event_id));
    let wide = columns;
    let columns = columns.unwrap_or(LINE_COLUMNS).min(LINE_COLUMNS);
    row(
        "payload",
        cut(status.payload.get(), columns.saturating_sub(12)),
    );
    if way.repeats_behind > 0 {
        let behind = way.repeats_behind;
        row("repeats", format!("{behind} behind it, which no sink gets"));
    }
    if let Some(warning) = &way.warning {
        row("warning", one_line(warning));
    }
    lines.push(match way.sinks.is_empty() {
        true => "  sinks     the journal knows none".to_owned(),
        false => "  sinks".to_owned(),
    });
    let names = way.sinks.iter().map(|at| at.sink.width());
    let width = names.max().unwrap_or_default();
    let sinks = way.sinks.iter();
    let sinks = sinks.flat_map(|at| at_sink(at, width, zone, columns));
    // What is wider than the terminal goes on below its own column.
    let (first, rows) = lines.split_at(1);
    let first = first.iter().flat_map(|line| hanging(line, 0, wide));
    let rows = rows.iter().flat_map(|line| hanging(line, ROW_LEAD, wide));
    let sinks = sinks.flat_map(|line| hanging(&line, width + SINK_LEAD, wide));
    let lines: Vec<String> = first.chain(rows).chain(sinks).collect();
    lines.join("\n")
}

/// Which device and which change: what has a row of its own would make it too wide.
fn heading(status: &StatusEvent, state_name: &dyn Fn(&str) -> String) -> String {
    let old = status
        .old_state
        .as_deref()
        .map_or("-".to_owned(), state_name);
    let name = status.label.as_ref().and_then(|label| label.name.as_ref());
    let name = name.map(|name| format!(", {name}"));
    let line = format!(
        "device {}{}: {old} -> {}",
        device_name(&status.client_id, &status.device_id),
        name.unwrap_or_default(),
        status.state,
    );
    harmless(&line)
}

fn topic(status: &StatusEvent) -> String {
    let (topic, stream) = (&status.topic, &status.stream);
    match topic == stream {
        true => harmless(topic),
        false => harmless(&format!("{topic}, of the stream {stream}")),
    }
}

/// What was made of it.
fn decoded(way: &Way) -> String {
    let status = &way.status;
    let mut said = format!("{} ({})", status.state, status.severity.as_str());
    if status.new_state != status.state {
        let _ = write!(said, ", sent as {}", status.new_state);
    }
    said.push_str(match status.changed {
        true => ", changed",
        false => ", not changed",
    });
    match &way.last_known {
        Some(last) if status.missed_transition => {
            let _ = write!(said, ", missed transition: {last} was known before");
        }
        Some(last) => {
            let _ = write!(said, ", {last} was known before");
        }
        None => {}
    }
    one_line(&said)
}

/// One line, and one more for what the other side has said.
fn at_sink(at: &AtSink, width: usize, zone: &TimeZone, columns: usize) -> Vec<String> {
    let blanks = " ".repeat(width - at.sink.width());
    let removed = match at.configured {
        Some(false) => ", a removed sink",
        _ => "",
    };
    let (fate, said) = fate(&at.fate, zone);
    let first = format!("    {}{blanks}  {fate}{removed}", at.sink);
    let indent = " ".repeat(width + 6);
    let said = said.into_iter().chain(at.history.as_ref().map(in_history));
    let room = columns.saturating_sub(width + 6);
    let said = said.map(|said| format!("{indent}{}", cut(&said, room)));
    std::iter::once(first).chain(said).collect()
}

fn fate(fate: &Fate, zone: &TimeZone) -> (String, Option<String>) {
    match fate {
        Fate::Confirmed {
            at,
            attempts,
            answer,
            from,
            to,
            before,
        } => {
            let mut said = format!("confirmed {}", time(*at, zone));
            if *attempts > 1 {
                let _ = write!(said, ", attempt {attempts}");
            }
            if from != to {
                let _ = write!(said, ", with positions {from} to {to}");
            }
            match before {
                0 => {}
                1 => said += ", and once before",
                _ => {
                    let _ = write!(said, ", and {before} times before");
                }
            }
            (
                said,
                Some(answer.clone()).filter(|answer| !answer.is_empty()),
            )
        }
        Fate::DeadLetter { since, error } => (
            format!("dead letter since {}", time(*since, zone)),
            Some(error.clone()),
        ),
        Fate::Filtered { why, values } => {
            let value = |(name, value): (&String, &Value)| format!("{name} = {value}");
            let values: Vec<String> = values.iter().map(value).collect();
            let values = Some(values.join(", ")).filter(|values| !values.is_empty());
            (format!("filtered: {}", one_line(why)), values)
        }
        Fate::Before { started } => (
            format!("not for it: the sink began behind position {started}"),
            None,
        ),
        Fate::Passed => (
            "done, by its cursor; a proof of that is no longer kept".to_owned(),
            None,
        ),
        Fate::Stored => ("stored".to_owned(), None),
        Fate::Waits { lag, because } => (format!("waits: lag {lag}"), because.clone()),
    }
}

fn in_history(known: &InHistory) -> String {
    match known {
        InHistory::Sequence(sequence) => format!("row {sequence} of status_event"),
        InHistory::Absent => "status_event has no row of it".to_owned(),
        InHistory::Unknown(why) => format!("not asked: {why}"),
    }
}

/// On one line of so many columns at most; a Chinese character takes two.
fn cut(text: &str, columns: usize) -> String {
    let text = one_line(text);
    if text.width() <= columns {
        return text;
    }
    let mut room = columns.max(2) - 1;
    let fits = |c: &char| {
        let width = c.width().unwrap_or(0);
        let fits = width <= room;
        room = room.saturating_sub(width);
        fits
    };
    let kept: String = text.chars().take_while(fits).collect();
    kept + "…"
}

/// To the millisecond.
pub(super) fn time(at: Timestamp, zone: &TimeZone) -> String {
    let local = at.to_zoned(zone.clone());
    local.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Position;

    #[test]
    fn earlier_confirmations_are_counted() {
        let said = |before| {
            let confirmed = Fate::Confirmed {
                at: Timestamp::UNIX_EPOCH,
                attempts: 1,
                answer: String::new(),
                from: Position(3),
                to: Position(3),
                before,
            };
            fate(&confirmed, &TimeZone::UTC).0
        };
        let once = "confirmed 1970-01-01 00:00:00.000";
        assert_eq!(said(0), once);
        assert_eq!(said(1), format!("{once}, and once before"));
        assert_eq!(said(2), format!("{once}, and 2 times before"));
    }

    #[test]
    fn a_line_fits_its_columns() {
        for (text, columns, expected) in [
            ("", 4, ""),
            ("abcd", 4, "abcd"),
            ("abcde", 4, "abc…"),
            ("故障故障", 6, "故障…"),
            ("故障故障", 7, "故障故…"),
            ("a\nb", 9, "a b"),
        ] {
            let found = cut(text, columns);
            assert_eq!(found, expected);
            assert!(found.width() <= columns);
        }
    }
}
