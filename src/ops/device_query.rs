//! What pages ask a history of devices: the questions, and what comes back without secrets. Every
//! answer is bounded.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::snapshot::StateNow;
use crate::journal::KnownDevice;
use crate::model::{Label, Names, Severity};
use crate::secret::redact;
use crate::sinks::history::question::{
    self, After, DeviceKey, Devices, Group, Order, Question, Value,
};
use crate::sinks::history::reader::{ReadError, Reader};
use crate::sinks::history::row::{Row, cell};

/// Devices of a page.
pub(super) const DEVICES_MAX: usize = 50;

/// Rows of a table of clients.
const CLIENTS_MAX: usize = 10;

/// Provinces whose names may stand on the map.
const PROVINCES_MAX: usize = 60;

/// Cells of the map.
const CELLS_MAX: usize = 4000;

/// States, each of which is a word of the platform at most.
const STATES_MAX: usize = 1000;

/// Pieces of one device's timeline.
pub(super) const PIECES_MAX: usize = 400;

/// Events of one device.
const EVENTS_MAX: usize = 20;

/// Devices of a download.
const DOWNLOADED_MAX: usize = 50_000;

/// The width of a cell of the map, in degrees of longitude, and the distance of two rows in degrees
/// of latitude: hexagons, where a degree of longitude is 0.82 of one of latitude.
pub(super) const CELL: (f64, f64) = (1.6, 1.136);

/// Which devices are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// `trouble`, `all`, or the name of a state.
    pub(super) state: String,
    pub(super) uncertain: bool,
    pub(super) client: Option<String>,
    pub(super) province: Option<String>,
    /// A device, a serial or a place.
    pub(super) text: Option<String>,
    pub(super) after: Option<Key>,
}

impl Filter {
    fn asked(&self) -> question::Filter {
        let state = &*self.state;
        let devices = self.client.clone().map(Devices::OfClient);
        question::Filter {
            devices: devices.unwrap_or_default(),
            in_trouble: state == "trouble",
            severity: (state == "unknown").then(|| state.to_owned()),
            state: (!["trouble", "unknown", "all"].contains(&state)).then(|| state.to_owned()),
            uncertain: self.uncertain,
            province: self.province.clone(),
            text: self.text.clone(),
            after: self.after.clone().map(|Key(after)| after),
            ..question::Filter::default()
        }
    }
}

/// Where a page ends, in the order of devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key(After);

impl Key {
    /// As a URL has it.
    pub(super) fn text(&self) -> String {
        let Key(After {
            severity,
            since,
            device,
        }) = self;
        let since = format!("{since:.6}");
        let (client, id) = (&device.client_id, &device.device_id);
        serde_json::json!([severity.as_str(), since, client, id, device.stream]).to_string()
    }

    /// From a URL.
    pub(super) fn parse(text: &str) -> Option<Key> {
        let (name, since, client_id, device_id, stream): (String, String, _, _, _) =
            serde_json::from_str(text).ok()?;
        let mut severities = Severity::ALL.into_iter();
        Some(Key(After {
            severity: severities.find(|severity| severity.as_str() == name)?,
            since: since.parse().ok()?,
            device: DeviceKey {
                stream,
                client_id,
                device_id,
            },
        }))
    }
}

/// A device, as a list has it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Device {
    pub(super) stream: String,
    pub(super) client_id: String,
    pub(super) device_id: String,
    pub(super) serial: Option<String>,
    /// What it is called, by the names of the configuration.
    pub(super) name: Option<String>,
    /// The vocabulary's name.
    pub(super) state: String,
    /// As sent.
    pub(super) word: String,
    #[schema(value_type = String)]
    pub(super) severity: Severity,
    /// Its topic was heard all the time since.
    pub(super) certain: bool,
    #[schema(value_type = Option<String>)]
    pub(super) since: Option<Timestamp>,
    #[schema(value_type = Option<String>)]
    pub(super) last_seen: Option<Timestamp>,
    /// Province, city, district and the rest.
    pub(super) place: Vec<String>,
}

impl Device {
    /// One of which the journal alone knows.
    pub(super) fn known(known: KnownDevice, state: StateNow) -> Device {
        Device {
            stream: known.stream,
            client_id: known.client_id,
            device_id: known.device_id,
            serial: None,
            name: None,
            state: state.state,
            word: state.word,
            severity: state.severity,
            certain: true,
            since: None,
            last_seen: Some(known.heard_at),
            place: Vec::new(),
        }
    }

    fn of(row: &Row<'_>) -> Device {
        let DeviceKey {
            stream,
            client_id,
            device_id,
        } = row.device();
        let places = ["province", "city", "district", "detail"].into_iter();
        Device {
            stream,
            client_id,
            device_id,
            serial: row.serial().map(redacted),
            name: None,
            state: redacted(row.text("state")),
            word: redacted(row.text("new_state")),
            severity: row.severity(),
            certain: row.is("certain"),
            since: row.time("state_since"),
            last_seen: row.time("last_seen"),
            place: places
                .filter_map(|name| row.some_text(name).map(redacted))
                .collect(),
        }
    }

    /// Its place in the order.
    pub(super) fn key(&self) -> Option<Key> {
        Some(Key(After {
            severity: self.severity,
            since: self.since?,
            device: DeviceKey {
                stream: self.stream.clone(),
                client_id: self.client_id.clone(),
                device_id: self.device_id.clone(),
            },
        }))
    }
}

/// How many devices are in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct StateSum {
    pub(super) state: String,
    pub(super) word: String,
    #[schema(value_type = String)]
    pub(super) severity: Severity,
    pub(super) devices: u64,
    pub(super) uncertain: u64,
}

/// Devices of a province or of a client.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Sum {
    pub(super) name: String,
    pub(super) devices: u64,
    pub(super) critical: u64,
    pub(super) warning: u64,
    /// The mean of their coordinates.
    pub(super) middle: Option<(f64, f64)>,
}

/// A cell of the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Cell {
    pub(super) row: i64,
    pub(super) column: i64,
    pub(super) devices: u64,
    pub(super) critical: u64,
    pub(super) warning: u64,
}

/// A piece of one device's timeline.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Piece {
    pub(super) state: String,
    #[schema(value_type = String)]
    pub(super) severity: Severity,
    #[schema(value_type = String)]
    pub(super) since: Timestamp,
    #[schema(value_type = Option<String>)]
    pub(super) until: Option<Timestamp>,
    /// Why it is uncertain.
    pub(super) cause: Option<String>,
}

/// A status of one device.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct DeviceEvent {
    pub(super) event_id: String,
    #[schema(value_type = String)]
    pub(super) at: Timestamp,
    /// As sent.
    pub(super) old_state: Option<String>,
    /// The vocabulary's name.
    pub(super) state: String,
    /// As sent.
    pub(super) word: String,
    #[schema(value_type = String)]
    pub(super) severity: Severity,
    pub(super) missed_transition: bool,
    /// `<journal>-<position>`.
    pub(super) origin: String,
}

/// What only the page of one device shows.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Profile {
    pub(super) topic: String,
    pub(super) coordinate_system: Option<String>,
    pub(super) sent: Option<(f64, f64)>,
    pub(super) wgs84: Option<(f64, f64)>,
}

fn redacted(text: &str) -> String {
    redact(text).into_owned()
}

/// What a question is answered with, each row as `read` makes it.
async fn asked<T>(
    reader: &mut Reader,
    question: &Question,
    filter: &question::Filter,
    limit: usize,
    read: impl Fn(&Row<'_>) -> Option<T>,
) -> Result<Vec<T>, ReadError> {
    let rows = reader.rows(question, filter, Some(limit)).await?;
    let fields = question.fields();
    let rows = rows.iter();
    Ok(rows
        .filter_map(|values| read(&Row::new(fields, values)))
        .collect())
}

/// The next devices, the worst first, then those that changed last; one more than a page has.
pub(super) async fn devices(
    reader: &mut Reader,
    filter: &Filter,
) -> Result<Vec<Device>, ReadError> {
    let read = |row: &Row<'_>| Some(Device::of(row));
    let limit = DEVICES_MAX + 1;
    asked(reader, &Question::Devices, &filter.asked(), limit, read).await
}

/// All of them as CSV, in the same order, with what they are called where there is a `[names]`;
/// `None`: there are too many.
pub(super) async fn csv(
    reader: &mut Reader,
    filter: &Filter,
    names: Option<&Names>,
) -> Result<Option<String>, ReadError> {
    let question = Question::Devices;
    let fields = question.fields();
    let mut heads: Vec<&str> = fields.iter().map(|field| field.name).collect();
    if names.is_some() {
        heads.extend(["name", "group"]);
    }
    let (mut text, mut rows) = (heads.join(",") + "\r\n", 0);
    let mut each = |values: Vec<Value>| {
        let labels = names.map(|names| labels(names, &Row::new(fields, &values)));
        let values: Vec<Value> = values.into_iter().map(without_secrets).collect();
        let mut cells = Row::new(fields, &values).csv();
        cells.extend(labels.into_iter().flatten());
        text += &cells.join(",");
        text += "\r\n";
        rows += 1;
    };
    let (filter, limit) = (filter.asked(), DOWNLOADED_MAX + 1);
    reader
        .each(&question, &filter, Some(limit), &mut each)
        .await?;
    Ok((rows <= DOWNLOADED_MAX).then_some(text))
}

/// Name and group of a row's device, as cells.
fn labels(names: &Names, row: &Row<'_>) -> [String; 2] {
    let key = row.device();
    let label = names.of(&key.client_id, &key.device_id, row.serial());
    let Label { name, group } = label.cloned().unwrap_or_default();
    [name, group].map(|text| cell(&redacted(text.as_deref().unwrap_or(""))))
}

fn without_secrets(value: Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(redacted(&text)),
        value => value,
    }
}

/// How many devices are in each state, the worst first.
pub(super) async fn states(reader: &mut Reader) -> Result<Vec<StateSum>, ReadError> {
    let read = |row: &Row<'_>| {
        Some(StateSum {
            state: redacted(row.text("state")),
            word: redacted(row.text("new_state")),
            severity: row.severity(),
            devices: row.count("devices"),
            uncertain: row.count("uncertain"),
        })
    };
    let all = question::Filter::default();
    asked(reader, &Question::States, &all, STATES_MAX, read).await
}

/// What is in trouble, by province: the first few have a row, and all of them a name on the map.
pub(super) async fn provinces(reader: &mut Reader) -> Result<Vec<Sum>, ReadError> {
    sums(reader, Group::Province, PROVINCES_MAX).await
}

/// The same by client.
pub(super) async fn clients(reader: &mut Reader) -> Result<Vec<Sum>, ReadError> {
    sums(reader, Group::Client, CLIENTS_MAX).await
}

async fn sums(reader: &mut Reader, group: Group, limit: usize) -> Result<Vec<Sum>, ReadError> {
    let read = |row: &Row<'_>| {
        Some(Sum {
            name: redacted(row.text("name")),
            devices: row.count("devices"),
            critical: row.count("critical"),
            warning: row.count("warning"),
            middle: row.number("longitude").zip(row.number("latitude")),
        })
    };
    let all = question::Filter::default();
    asked(reader, &Question::Groups(group), &all, limit, read).await
}

/// The cells of the map that have devices.
pub(super) async fn cells(reader: &mut Reader) -> Result<Vec<Cell>, ReadError> {
    let (width, height) = CELL;
    let read = |row: &Row<'_>| {
        Some(Cell {
            row: row.integer("map_row")?,
            column: row.integer("map_column")?,
            devices: row.count("devices"),
            critical: row.count("critical"),
            warning: row.count("warning"),
        })
    };
    let all = question::Filter::default();
    let question = Question::Cells { width, height };
    asked(reader, &question, &all, CELLS_MAX, read).await
}

fn of_device(key: &DeviceKey) -> question::Filter {
    question::Filter {
        stream: Some(key.stream.clone()),
        devices: Devices::one(key),
        ..question::Filter::default()
    }
}

/// One device, and what only its page shows; `None`: the history has no such device.
pub(super) async fn one(
    reader: &mut Reader,
    key: &DeviceKey,
) -> Result<Option<(Device, Profile)>, ReadError> {
    let read = |row: &Row<'_>| {
        let pair = |longitude, latitude| row.number(longitude).zip(row.number(latitude));
        let profile = Profile {
            topic: row.text("topic").to_owned(),
            coordinate_system: row.some_text("coordinate_system").map(redacted),
            sent: pair("longitude", "latitude"),
            wgs84: pair("wgs84_longitude", "wgs84_latitude"),
        };
        Some((Device::of(row), profile))
    };
    let mut found = asked(reader, &Question::Devices, &of_device(key), 1, read).await?;
    Ok(found.pop())
}

/// The timeline of one device since a moment, the newest piece first.
pub(super) async fn timeline(
    reader: &mut Reader,
    key: &DeviceKey,
    since: Timestamp,
) -> Result<Vec<Piece>, ReadError> {
    let read = |row: &Row<'_>| {
        Some(Piece {
            state: redacted(row.text("state")),
            severity: row.severity(),
            since: row.time("since")?,
            until: row.time("until"),
            cause: row.some_text("cause").map(str::to_owned),
        })
    };
    let filter = question::Filter {
        since: Some(since),
        ..of_device(key)
    };
    let question = Question::NewestIntervals;
    asked(reader, &question, &filter, PIECES_MAX, read).await
}

/// The last changes of one device, the newest first.
pub(super) async fn events(
    reader: &mut Reader,
    key: &DeviceKey,
) -> Result<Vec<DeviceEvent>, ReadError> {
    let read = |row: &Row<'_>| {
        Some(DeviceEvent {
            event_id: row.text("event_id").to_owned(),
            at: row.time("received_at")?,
            old_state: row.some_text("old_state").map(redacted),
            state: redacted(row.text("state")),
            word: redacted(row.text("new_state")),
            severity: row.severity(),
            missed_transition: row.is("missed_transition"),
            origin: row.text("origin").to_owned(),
        })
    };
    let filter = question::Filter {
        changed: true,
        ..of_device(key)
    };
    let question = Question::Events(Order::Received);
    asked(reader, &question, &filter, EVENTS_MAX, read).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_order_comes_back_from_a_url_and_nothing_else_does() {
        let key = Key(After {
            severity: Severity::Critical,
            since: "2026-11-28T06:47:58.123456Z".parse().unwrap(),
            device: DeviceKey {
                stream: "platform".to_owned(),
                client_id: "1|2".to_owned(),
                device_id: "\"7\"".to_owned(),
            },
        });
        assert_eq!(Key::parse(&key.text()), Some(key));
        for text in [
            "",
            "[]",
            "[\"worst\",\"2026-11-28T06:47:58Z\",\"\",\"\",\"\"]",
            "[\"ok\",\"today\",\"\",\"\",\"\"]",
            "[1,2,3,4,5]",
            "{\"a\":1}",
        ] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }
}
