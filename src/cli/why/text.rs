//! An event's way as people read it.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::fate::Fate;
use super::find::Undecodable;
use super::stored::{InHistory, StoredAs, has_payload};
use super::way::{AtSink, OnlyIn, Way};
use crate::cli::print::{counted, harmless, one_line, zone_name};
use crate::cli::terminal::hanging;
use crate::model::{Position, StatusEvent, device_name};

/// A payload and an answer have no more than this, however wide the terminal is.
const LINE_COLUMNS: usize = 160;

/// Where the texts of rows begin, and how far behind a sink's name what became of it there.
const ROW_LEAD: usize = 12;
const SINK_LEAD: usize = 6;

/// All of it, long texts cut to the columns. Times are those of the zone, whose name stands behind the
/// first of them.
pub(super) fn text(way: &Way, zone: &TimeZone, columns: Option<usize>) -> String {
    let status = &way.status;
    let mut lines = vec![heading(status, way.old_name.as_deref())];
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
    if let Some(OnlyIn {
        sink,
        sequence,
        in_journal,
    }) = &way.only_in
    {
        let gone = match in_journal {
            true => "the configuration reads its entry in the journal otherwise by now",
            false => "no longer in the journal",
        };
        row(
            "kept",
            format!("{gone}; sink {sink} has it as row {sequence}"),
        );
    }
    row("topic", topic(status));
    let read = match way.only_in {
        Some(_) => "stored",
        None => "decoded",
    };
    row(read, decoded(way));
    row("event id", harmless(&status.event_id));
    let wide = columns;
    let columns = columns.unwrap_or(LINE_COLUMNS).min(LINE_COLUMNS);
    row(
        "payload",
        match way.only_in.is_some() && !has_payload(status) {
            true => "the row has none".to_owned(),
            false => cut(status.payload.get(), columns.saturating_sub(12)),
        },
    );
    if way.repeats_behind > 0 {
        let behind = way.repeats_behind;
        row("repeats", format!("{behind} behind it, which no sink gets"));
    }
    if let Some(Undecodable {
        statuses, newest, ..
    }) = &way.undecodable_behind
    {
        row("newer", undecodable(*statuses, *newest));
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
fn heading(status: &StatusEvent, old_name: Option<&str>) -> String {
    let old = old_name.unwrap_or("-");
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
        None if status.missed_transition => said.push_str(", missed transition"),
        None => {}
    }
    one_line(&said)
}

/// That statuses of a device could not be decoded, and where they are listed.
pub(super) fn undecodable(statuses: u64, newest: Option<Position>) -> String {
    let at = newest.map(|newest| match statuses {
        1 => format!(", at position {newest}"),
        _ => format!(", the newest at position {newest}"),
    });
    let statuses = counted(
        statuses,
        "status that is undecodable",
        "statuses that are undecodable",
    );
    let at = at.unwrap_or_default();
    format!("{statuses}{at}: see stomp-bridge dlq list --undecodable")
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
    let history = at.history.as_ref().map(|history| in_history(history, at));
    let said = said.into_iter().chain(history);
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
        Fate::Evicted {
            since,
            until,
            perhaps_in_memory,
        } => (
            format!(
                "evicted before the sink had it, since the journal was full: {} to {}",
                time(*since, zone),
                time(*until, zone)
            ),
            perhaps_in_memory.then(|| "what it has read before, it may still deliver".to_owned()),
        ),
        Fate::Passed {
            perhaps_dropped,
            perhaps_evicted,
        } => (passed(*perhaps_dropped, *perhaps_evicted), None),
        Fate::Stored => ("stored".to_owned(), None),
        Fate::Waits { lag, because } => (format!("waits: lag {lag}"), because.clone()),
    }
}

/// What is behind the cursor of a sink without a proof, as far as that is known.
fn passed(perhaps_dropped: bool, perhaps_evicted: bool) -> String {
    let mut ways = vec!["delivered", "filtered"];
    if perhaps_dropped {
        ways.push("its dead letter was dropped");
    }
    if perhaps_evicted {
        ways.push("evicted before the sink had it");
    }
    let last = ways.pop().unwrap_or_default();
    let first = ways.join(", ");
    format!("does not wait: {first} or {last}; no proof of that is kept")
}

fn in_history(known: &InHistory, at: &AtSink) -> String {
    match (known, &at.stored_as) {
        (InHistory::Sequence(sequence), Some(stored)) => {
            let StoredAs {
                device,
                state,
                severity,
            } = stored;
            let of = device.as_ref().map(|device| format!("device {device}: "));
            format!(
                "row {sequence} of status_event, which says {}{state} ({})",
                of.unwrap_or_default(),
                severity.as_str()
            )
        }
        (InHistory::Sequence(sequence), None) => format!("row {sequence} of status_event"),
        (InHistory::Absent, _) => "status_event has no row of it".to_owned(),
        (InHistory::Unknown(why), _) => format!("not asked: {why}"),
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

    #[test]
    fn what_is_not_proven_is_not_claimed() {
        let said = |dropped, evicted| {
            let fate = Fate::Passed {
                perhaps_dropped: dropped,
                perhaps_evicted: evicted,
            };
            super::fate(&fate, &TimeZone::UTC).0
        };
        assert_eq!(
            said(false, false),
            "does not wait: delivered or filtered; no proof of that is kept"
        );
        assert_eq!(
            said(true, true),
            "does not wait: delivered, filtered, its dead letter was dropped or evicted before \
             the sink had it; no proof of that is kept"
        );
    }

    #[test]
    fn undecodable_statuses_are_counted() {
        let list = "see stomp-bridge dlq list --undecodable";
        let newest = Some(Position(9));
        assert_eq!(
            undecodable(1, newest),
            format!("1 status that is undecodable, at position 9: {list}")
        );
        assert_eq!(
            undecodable(2, newest),
            format!("2 statuses that are undecodable, the newest at position 9: {list}")
        );
    }

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
