//! An event in the SQL histories: the row of one that the journal has, and the newest one of a
//! device that it no longer has. Each is asked for a bounded time, and reads alone.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::time::timeout;

use super::device::Device;
use crate::config::HistoryPlace;
use crate::journal::{Entry, EntryContent};
use crate::model::{Origin, StatusEvent, Via};
use crate::sinks::history::question::{Devices, Filter, Order, Question, Value};
use crate::sinks::history::reader::Reader;

/// How long a history may take, from connecting to its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The newest events.
const EVENTS: Question = Question::Events(Order::Newest);

/// Rows of one device within a microsecond, or devices of one serial number.
const ROWS_MAX: usize = 100;

/// What a history says of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum InHistory {
    /// It has it, as this row of `status_event`.
    Sequence(i64),
    /// It has it not.
    Absent,
    /// Why nobody knows.
    Unknown(String),
}

/// An event that only a history has.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) sink: String,
    pub(super) sequence: i64,
    pub(super) origin: Origin,
    /// As the journal would have it.
    pub(super) entry: Entry,
    pub(super) changed: bool,
    pub(super) missed_transition: bool,
}

/// Whether a history has an event.
pub(super) async fn look_up(history: &HistoryPlace, status: &StatusEvent) -> InHistory {
    let filter = Filter {
        devices: Devices::One {
            client_id: Some(status.client_id.clone()),
            device_id: status.device_id.clone(),
        },
        since: Some(status.received_at),
        until: just_after(status.received_at),
        ..Filter::default()
    };
    match ask(history, &EVENTS, &filter, ROWS_MAX).await {
        Err(why) => InHistory::Unknown(why),
        Ok(rows) => {
            let mut rows = rows.iter().map(Row);
            let row = rows.find(|row| row.text("origin") == status.origin);
            row.and_then(|row| row.integer("sequence"))
                .map_or(InHistory::Absent, InHistory::Sequence)
        }
    }
}

/// The newest event of a device that a history has, received at or before a time.
///
/// # Errors
/// Why the history does not answer.
pub(super) async fn newest(
    history: &HistoryPlace,
    device: &Device,
    until: Timestamp,
) -> Result<Option<Stored>, String> {
    let filter = Filter {
        devices: devices(device),
        stream: device.stream.clone(),
        until: just_after(until),
        ..Filter::default()
    };
    let rows = ask(history, &EVENTS, &filter, 1).await?;
    let stored = rows
        .first()
        .and_then(|row| stored(&history.name, &Row(row)));
    Ok(stored)
}

/// Client and device of those that have a serial number now.
///
/// # Errors
/// Why the history does not answer.
pub(super) async fn of_serial(
    history: &HistoryPlace,
    serial: &str,
    stream: Option<&str>,
) -> Result<Vec<(String, String)>, String> {
    let filter = Filter {
        serial: Some(serial.to_owned()),
        stream: stream.map(str::to_owned),
        ..Filter::default()
    };
    let question = Question::Devices;
    let rows = ask(history, &question, &filter, ROWS_MAX).await?;
    let column = |row: &[Value], name: &str| {
        let mut columns = question.fields().iter().zip(row);
        let found = columns.find(|(field, _)| field.name == name);
        found.map_or(String::new(), |(_, value)| value.text().to_owned())
    };
    let ids = |row: &Vec<Value>| (column(row, "client_id"), column(row, "device_id"));
    Ok(rows.iter().map(ids).collect())
}

async fn ask(
    history: &HistoryPlace,
    question: &Question,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<Vec<Value>>, String> {
    let store = history.store.as_ref().map_err(Clone::clone)?;
    let asked = async {
        let mut reader = Reader::open(store).await?;
        reader.set_limit(PATIENCE);
        reader.rows(question, filter, Some(limit)).await
    };
    match timeout(PATIENCE, asked).await {
        Ok(rows) => rows.map_err(|error| error.to_string()),
        Err(_) => Err(format!("it did not answer within {} s", PATIENCE.as_secs())),
    }
}

/// A filter's end is not in it.
fn just_after(time: Timestamp) -> Option<Timestamp> {
    time.checked_add(SignedDuration::from_micros(1)).ok()
}

fn devices(device: &Device) -> Devices {
    match device.ids() {
        Some(ids) => Devices::listed(ids),
        None => Devices::One {
            client_id: None,
            device_id: device.texts().concat(),
        },
    }
}

/// One row of an answer to [`Question::Events`].
struct Row<'a>(&'a Vec<Value>);

impl Row<'_> {
    fn value(&self, name: &str) -> Option<&Value> {
        let index = EVENTS
            .fields()
            .iter()
            .position(|field| field.name == name)?;
        self.0.get(index)
    }

    fn text(&self, name: &str) -> &str {
        self.value(name).map_or("", Value::text)
    }

    fn integer(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            Value::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        match self.value(name)? {
            Value::Time(time) => Some(*time),
            _ => None,
        }
    }

    fn is(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Boolean(true)))
    }
}

/// `None`: a row that lacks what every row has.
fn stored(sink: &str, row: &Row<'_>) -> Option<Stored> {
    let origin = Origin::parse(row.text("origin"))?;
    Some(Stored {
        sink: sink.to_owned(),
        sequence: row.integer("sequence")?,
        origin,
        entry: Entry {
            position: origin.position,
            topic: row.text("topic").into(),
            received_at: row.time("received_at")?,
            body: row.text("payload").to_owned().into(),
            content: content(row.text("via")),
        },
        changed: row.is("changed"),
        missed_transition: row.is("missed_transition"),
    })
}

/// What the journal knew besides is not stored.
fn content(via: &str) -> EntryContent {
    match via == Via::Resync.as_str() {
        true => EntryContent::Resync {
            previous: None,
            confirms: false,
        },
        false => EntryContent::Status {
            previous: None,
            repeat: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_in_a_snapshot_is_read_as_one() {
        assert!(matches!(content("live"), EntryContent::Status { .. }));
        assert!(matches!(content("resync"), EntryContent::Resync { .. }));
    }

    #[test]
    fn one_device_is_found_by_an_index() {
        let device = |text| Device::written(text, None, None);
        let one = |client: Option<&str>, device: &str| Devices::One {
            client_id: client.map(str::to_owned),
            device_id: device.to_owned(),
        };
        assert_eq!(devices(&device("1/7")), one(Some("1"), "7"));
        assert_eq!(devices(&device("7")), one(None, "7"));
        assert!(matches!(devices(&device("a/b/c")), Devices::Listed(_)));
    }
}
