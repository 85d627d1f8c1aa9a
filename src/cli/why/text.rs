//! An event's way as people read it.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::fate::Fate;
use super::way::{AtSink, Way};
use crate::cli::print::{harmless, one_line};
use crate::model::StatusEvent;

/// All of it. Times are those of the zone, whose name stands in the first line.
pub(super) fn text(way: &Way, zone: &TimeZone, state_name: &dyn Fn(&str) -> String) -> String {
    let status = &way.status;
    let mut lines = vec![heading(status, zone, state_name)];
    let mut row = |name: &str, text: String| lines.push(format!("  {name:<9} {text}"));
    let received = time(way.received_at, zone);
    row("received", format!("{received}, position {}", way.position));
    row("topic", topic(status));
    row("decoded", decoded(way));
    row("event id", harmless(&status.event_id));
    row("payload", one_line(status.payload.get()));
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
    lines.extend(way.sinks.iter().flat_map(|at| at_sink(at, width, zone)));
    lines.join("\n")
}

fn heading(status: &StatusEvent, zone: &TimeZone, state_name: &dyn Fn(&str) -> String) -> String {
    let old = status
        .old_state
        .as_deref()
        .map_or("-".to_owned(), state_name);
    let serial = status
        .serial
        .as_deref()
        .map(|serial| format!(" ({serial})"));
    let zone = zone.iana_name().unwrap_or("UTC");
    let line = format!(
        "device {}/{}{}: {old} -> {}, times of {zone}",
        status.client_id,
        status.device_id,
        serial.unwrap_or_default(),
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
fn at_sink(at: &AtSink, width: usize, zone: &TimeZone) -> Vec<String> {
    let blanks = " ".repeat(width - at.sink.width());
    let removed = match at.configured {
        Some(false) => ", a removed sink",
        _ => "",
    };
    let (fate, said) = fate(&at.fate, zone);
    let first = format!("    {}{blanks}  {fate}{removed}", at.sink);
    let indent = " ".repeat(width + 6);
    let said = said.map(|said| format!("{indent}{}", one_line(&said)));
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
            if *before > 0 {
                let _ = write!(said, ", {before} times before");
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
        Fate::Waits { lag, because } => (format!("waits: lag {lag}"), because.clone()),
    }
}

/// To the millisecond.
pub(super) fn time(at: Timestamp, zone: &TimeZone) -> String {
    let local = at.to_zoned(zone.clone());
    local.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}
