//! An event in the SQL histories: the row of one that the journal has, and the newest one of a
//! device that it no longer has. Each is asked for a bounded time, and reads alone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::time::timeout;

use super::device::Device;
use crate::cli::meaning::{Ids, splits};
use crate::config::HistoryPlace;
use crate::model::{
    Coordinates, Origin, Payload, Place, Position, Severity, StatusEvent, Via, device_key,
};
use crate::sinks::history::question::{Devices, Filter, Order, Question, Value};
use crate::sinks::history::reader::{ReadError, Reader};
use crate::sinks::history::row::Row;

/// How long a history may take, from connecting to its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The same, where it is asked for every device.
const PATIENCE_WITH_ALL: Duration = Duration::from_secs(20);

/// The newest events.
const EVENTS: Question = Question::Events(Order::Newest);

/// Rows of one device within a microsecond, or devices of one id.
const ROWS_MAX: usize = 100;

/// Rows of every device within a microsecond: what one commit of the journal may bring.
const ROWS_OF_ALL_MAX: usize = 10_000;

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

/// What a row says of an event that is read otherwise by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct StoredAs {
    /// Its device, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device: Option<String>,
    pub(super) state: String,
    pub(super) severity: Severity,
}

impl StoredAs {
    /// `None`: the row says the same.
    fn of(row: &Row<'_>, status: &StatusEvent) -> Option<StoredAs> {
        let device = ids(row);
        let is_another = device != (status.client_id.clone(), status.device_id.clone());
        let stored = StoredAs {
            device: is_another.then(|| device_key(&device.0, &device.1)),
            state: row.text("state").to_owned(),
            severity: row.severity(),
        };
        let is_same = stored.state == status.state && stored.severity == status.severity;
        (is_another || !is_same).then_some(stored)
    }
}

/// An event as a history's row has it.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) sink: String,
    pub(super) sequence: i64,
    pub(super) origin: Origin,
    /// As the row says it, whatever the configuration says by now. What the sink omits is absent.
    pub(super) status: StatusEvent,
    /// What the history calls the state before, where it knows that.
    pub(super) old_name: Option<String>,
}

impl Stored {
    /// Whether the row has its payload.
    pub(super) fn has_payload(&self) -> bool {
        has_payload(&self.status)
    }

    /// Whether it is rather to be shown than another history's row: it is of a later event, or of
    /// the same with its payload.
    pub(super) fn is_before(&self, other: &Stored) -> bool {
        self.rank() > other.rank()
    }

    fn rank(&self) -> (Timestamp, Position, bool) {
        let at = self.status.received_at;
        (at, self.origin.position, self.has_payload())
    }
}

/// Whether a status has its payload: a sink may omit it.
pub(super) fn has_payload(status: &StatusEvent) -> bool {
    !status.payload.is_null()
}

/// Whether a history has an event, and what its row says where it is read otherwise by now.
pub(super) async fn look_up(
    history: &HistoryPlace,
    status: &StatusEvent,
) -> (InHistory, Option<StoredAs>) {
    let own = Devices::One {
        client_id: Some(status.client_id.clone()),
        device_id: status.device_id.clone(),
    };
    // It may have been stored as another device's, by the configuration of that time.
    for (devices, rows_max) in [(own, ROWS_MAX), (Devices::All, ROWS_OF_ALL_MAX)] {
        let filter = Filter {
            devices,
            since: Some(status.received_at),
            until: just_after(status.received_at),
            ..Filter::default()
        };
        let rows = match ask(history, &EVENTS, &filter, Some(rows_max)).await {
            Err(why) => return (InHistory::Unknown(why), None),
            Ok(rows) => rows,
        };
        let mut rows = rows.iter().map(|values| row(values));
        let row = rows.find(|row| row.text("origin") == status.origin);
        if let Some((sequence, row)) = row.and_then(|row| Some((row.integer("sequence")?, row))) {
            return (InHistory::Sequence(sequence), StoredAs::of(&row, status));
        }
    }
    (InHistory::Absent, None)
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
    let rows = ask(history, &EVENTS, &filter, Some(1)).await?;
    let stored = rows
        .first()
        .and_then(|values| stored(&history.name, &row(values)));
    let Some(stored) = stored else {
        return Ok(None);
    };
    let old_name = match &stored.status.old_state {
        Some(word) => name_of(history, word).await,
        None => None,
    };
    Ok(Some(Stored { old_name, ..stored }))
}

/// A device as a history knows it, whose statuses may be past the retention.
#[derive(Debug)]
pub(super) struct LastKnown {
    pub(super) state: String,
    pub(super) since: Option<Timestamp>,
    pub(super) last_seen: Option<Timestamp>,
}

/// What a history knows of a device.
///
/// # Errors
/// Why the history does not answer.
pub(super) async fn last_known(
    history: &HistoryPlace,
    device: &Device,
) -> Result<Option<LastKnown>, String> {
    let filter = Filter {
        devices: devices(device),
        stream: device.stream.clone(),
        ..Filter::default()
    };
    let question = Question::Devices;
    let rows = ask(history, &question, &filter, Some(1)).await?;
    let last = rows.first().map(|values| {
        let row = Row::new(question.fields(), values);
        LastKnown {
            state: row.text("state").to_owned(),
            since: row.time("state_since"),
            last_seen: row.time("last_seen"),
        }
    });
    Ok(last)
}

/// What a history calls a state as sent: the newest meaning of the word. Who may not read its
/// vocabulary has none.
async fn name_of(history: &HistoryPlace, word: &str) -> Option<String> {
    let question = Question::Words;
    let words = ask(history, &question, &Filter::default(), None)
        .await
        .ok()?;
    let mut words = words.iter().rev().map(|it| Row::new(question.fields(), it));
    let found = words.find(|it| it.text("word").trim() == word.trim())?;
    found.some_text("state").map(str::to_owned)
}

/// Client and device of those that have a text as their ids, or as the id alone.
///
/// # Errors
/// Why the history does not answer.
pub(super) async fn of_ids(
    history: &HistoryPlace,
    text: &str,
    stream: Option<&str>,
) -> Result<Ids, String> {
    let alone = Devices::One {
        client_id: None,
        device_id: text.to_owned(),
    };
    let whole = Some(splits(text)).filter(|splits| !splits.is_empty());
    let mut found = Vec::new();
    for devices in whole.map(Devices::listed).into_iter().chain([alone]) {
        let filter = Filter {
            devices,
            stream: stream.map(str::to_owned),
            ..Filter::default()
        };
        let question = Question::Devices;
        let rows = ask(history, &question, &filter, Some(ROWS_MAX)).await?;
        found.extend(
            rows.iter()
                .map(|values| ids(&Row::new(question.fields(), values))),
        );
    }
    Ok(found)
}

/// Client and device of those that have one of these serial numbers now, each with that.
///
/// # Errors
/// Why the history does not answer.
pub(super) async fn of_serials(
    history: &HistoryPlace,
    serials: &[Arc<str>],
    stream: Option<&str>,
) -> Result<Vec<(String, (String, String))>, String> {
    // One is found by an index. Of many, one look at every device is the quickest.
    let (serial, patience) = match serials {
        [serial] => (Some(serial.to_string()), PATIENCE),
        _ => (None, PATIENCE_WITH_ALL),
    };
    let filter = Filter {
        serial,
        stream: stream.map(str::to_owned),
        ..Filter::default()
    };
    let wanted: HashSet<&str> = serials.iter().map(|serial| &**serial).collect();
    let question = Question::Devices;
    let mut found = Vec::new();
    let mut each = |values: Vec<Value>| {
        let row = Row::new(question.fields(), &values);
        if let Some(serial) = row.serial().filter(|serial| wanted.contains(serial)) {
            found.push((serial.to_owned(), ids(&row)));
        }
    };
    let store = history.store.as_ref().map_err(Clone::clone)?;
    let asked = async {
        let mut reader = Reader::open(store).await?;
        reader.set_limit(patience);
        reader.each(&question, &filter, None, &mut each).await
    };
    in_time(patience, asked).await?;
    Ok(found)
}

fn ids(row: &Row<'_>) -> (String, String) {
    let key = row.device();
    (key.client_id, key.device_id)
}

async fn ask(
    history: &HistoryPlace,
    question: &Question,
    filter: &Filter,
    limit: Option<usize>,
) -> Result<Vec<Vec<Value>>, String> {
    let store = history.store.as_ref().map_err(Clone::clone)?;
    let asked = async {
        let mut reader = Reader::open(store).await?;
        reader.set_limit(PATIENCE);
        reader.rows(question, filter, limit).await
    };
    in_time(PATIENCE, asked).await
}

async fn in_time<T>(
    patience: Duration,
    asked: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, String> {
    match timeout(patience, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("it did not answer within {} s", patience.as_secs())),
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

fn row(values: &[Value]) -> Row<'_> {
    Row::new(EVENTS.fields(), values)
}

/// `None`: a row that lacks what every row has.
fn stored(sink: &str, row: &Row<'_>) -> Option<Stored> {
    let origin = Origin::parse(row.text("origin"))?;
    Some(Stored {
        sink: sink.to_owned(),
        sequence: row.integer("sequence")?,
        origin,
        status: status(row, origin)?,
        old_name: None,
    })
}

/// The event, column by column: nothing of it is decoded again.
fn status(row: &Row<'_>, origin: Origin) -> Option<StatusEvent> {
    let text = |name| row.some_text(name).map(str::to_owned);
    let pair = |longitude, latitude| {
        Some(Coordinates {
            longitude: row.number(longitude)?,
            latitude: row.number(latitude)?,
        })
    };
    let payload = row.some_text("payload");
    let payload = payload.and_then(|payload| Payload::parse(payload).ok());
    Some(StatusEvent {
        event_id: row.text("event_id").to_owned(),
        topic: row.text("topic").into(),
        stream: row.text("stream").into(),
        client_id: row.text("client_id").to_owned(),
        device_id: row.text("device_id").to_owned(),
        serial: text("serial"),
        old_state: text("old_state"),
        new_state: row.text("new_state").to_owned(),
        state: row.text("state").to_owned(),
        severity: row.severity(),
        changed: row.is("changed"),
        missed_transition: row.is("missed_transition"),
        place: Place {
            province: text("province"),
            city: text("city"),
            district: text("district"),
            detail: text("detail"),
            coordinate_system: text("coordinate_system"),
            raw: pair("longitude", "latitude"),
            wgs84: pair("wgs84_longitude", "wgs84_latitude"),
        },
        occurred_at: row.time("occurred_at"),
        received_at: row.time("received_at")?,
        via: match row.text("via") == Via::Resync.as_str() {
            true => Via::Resync,
            false => Via::Live,
        },
        origin: origin.to_string(),
        position: origin.position,
        payload: payload.unwrap_or_else(Payload::null),
        label: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::history::question::Field;

    /// A row with these values; the others are not there.
    fn stored_with(sink: &str, given: &[(&str, Value)]) -> Stored {
        stored(sink, &row(&values_of(given))).unwrap()
    }

    fn values_of(given: &[(&str, Value)]) -> Vec<Value> {
        let value = |field: &Field| {
            let found = given.iter().find(|(name, _)| *name == field.name);
            found.map_or(Value::Null, |(_, value)| value.clone())
        };
        EVENTS.fields().iter().map(value).collect()
    }

    fn sample(sink: &str, more: &[(&str, Value)]) -> Stored {
        let text = |text: &str| Value::Text(text.to_owned());
        let mut given = vec![
            ("sequence", Value::Integer(3)),
            ("received_at", Value::Time(Timestamp::UNIX_EPOCH)),
            ("origin", text(&format!("{}-7", "a".repeat(32)))),
            ("topic", text("map-1")),
            ("stream", text("site")),
            ("client_id", text("1")),
            ("device_id", text("7")),
            ("new_state", text("故障")),
            ("state", text("fault")),
            ("severity", text("critical")),
            ("via", text("resync")),
            ("missed_transition", Value::Boolean(true)),
        ];
        given.splice(0..0, more.iter().cloned());
        stored_with(sink, &given)
    }

    #[test]
    fn a_row_is_read_as_it_stands() {
        let found = sample("h", &[]);
        assert!(!found.has_payload());
        let status = &found.status;
        assert_eq!((&*status.stream, &*status.device_id), ("site", "7"));
        assert_eq!(
            (&*status.state, status.severity),
            ("fault", Severity::Critical)
        );
        assert_eq!((status.via, status.position.0), (Via::Resync, 7));
        assert!(status.missed_transition && !status.changed);
        assert_eq!(status.place, Place::default());
        let payload = r#"{"x": 1}"#;
        let found = sample("h", &[("payload", Value::Text(payload.to_owned()))]);
        assert_eq!(found.status.payload.get(), payload);
    }

    #[test]
    fn a_later_event_comes_before_the_same_one_with_its_payload() {
        let without = sample("h", &[]);
        let with = sample("w", &[("payload", Value::Text("{}".to_owned()))]);
        assert!(with.is_before(&without) && !without.is_before(&with));
        assert!(!without.is_before(&sample("i", &[])), "the first stays");
        let later = Value::Time(Timestamp::from_second(1).unwrap());
        let later = sample("h", &[("received_at", later)]);
        assert!(later.is_before(&with));
    }

    #[test]
    fn what_a_row_says_otherwise_is_told() {
        let text = |text: &str| Value::Text(text.to_owned());
        let mut status = StatusEvent::sample();
        let (client, device) = (status.client_id.clone(), status.device_id.clone());
        let values = |device: &str| {
            values_of(&[
                ("client_id", text(&client)),
                ("device_id", text(device)),
                ("state", text("fine")),
                ("severity", text("info")),
            ])
        };
        let (own, another) = (values(&device), values("A1"));
        let row = row(&own);
        let stored = StoredAs::of(&row, &status).unwrap();
        assert_eq!(stored.device, None);
        assert_eq!((&*stored.state, stored.severity), ("fine", Severity::Info));
        (status.state, status.severity) = (stored.state, stored.severity);
        assert_eq!(StoredAs::of(&row, &status), None);
        let stored = StoredAs::of(&Row::new(EVENTS.fields(), &another), &status).unwrap();
        assert_eq!(stored.device, Some(device_key(&client, "A1")));
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
