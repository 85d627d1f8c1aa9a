//! The columns of each kind of event. These lists make the JSON, the names in templates and `when`,
//! and docs/columns.md; the views of both SQL histories have them. A new column is a line here;
//! CONTRIBUTING.md says what else it needs. It does not know how any of them writes a value.

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{CoverageCause, CoverageEvent, Event, EventKind, Payload, StatusEvent};

/// Room for the other columns beside the payload: a text that grows as it is written is copied
/// four times.
const JSON_BYTES: usize = 1024;

/// What an event is: beside its columns a name of templates, and the first key of the JSON of
/// everything but a status.
pub const KIND: &str = "kind";

/// A column of the rows `Row`, each of which is one event, say.
#[derive(Debug)]
pub struct Column<Row: 'static> {
    /// The same in JSON, in templates, in `when` and in SQL.
    pub name: &'static str,
    /// What it holds, and how that is read from a row.
    pub kind: ColumnKind<Row>,
    /// What it says, for the documentation.
    pub about: &'static str,
}

/// What a column holds, with the function that reads it from a row: no value can be of another
/// kind than its column. `None` is null.
#[derive(Debug)]
pub enum ColumnKind<Row: 'static> {
    /// A text that many rows have in common, such as a state: worth keeping once for all of them.
    Word(fn(&Row) -> Option<&str>),
    /// A text of the row's own, such as an id.
    Text(fn(&Row) -> Option<&str>),
    /// True or false.
    Boolean(fn(&Row) -> bool),
    /// A number.
    Number(fn(&Row) -> Option<f64>),
    /// An instant.
    Time(fn(&Row) -> Option<Timestamp>),
    /// A JSON text, untouched.
    Json(fn(&Row) -> &Payload),
}

impl<Row> ColumnKind<Row> {
    /// The name for the documentation.
    pub fn name(&self) -> &'static str {
        match self {
            ColumnKind::Word(_) | ColumnKind::Text(_) => "text",
            ColumnKind::Boolean(_) => "boolean",
            ColumnKind::Number(_) => "number",
            ColumnKind::Time(_) => "time",
            ColumnKind::Json(_) => "JSON",
        }
    }
}

/// Columns of `status_event` and `device_current`, and the keys of a status's JSON in this order.
pub static STATUS: [Column<StatusEvent>; 25] = [
    Column {
        name: "event_id",
        kind: ColumnKind::Text(|event| Some(&event.event_id)),
        about: "unique: made from the topic's `event_key` where it has one, else the `origin`",
    },
    Column {
        name: "topic",
        kind: ColumnKind::Word(|event| Some(&event.topic)),
        about: "the topic's name in the configuration",
    },
    Column {
        name: "client_id",
        kind: ColumnKind::Word(|event| Some(&event.client_id)),
        about: "the owner of the device; empty where the message names none",
    },
    Column {
        name: "device_id",
        kind: ColumnKind::Word(|event| Some(&event.device_id)),
        about: "the device; its serial number where the message names none",
    },
    Column {
        name: "serial",
        kind: ColumnKind::Word(|event| event.serial.as_deref()),
        about: "the device's serial number",
    },
    Column {
        name: "old_state",
        kind: ColumnKind::Word(|event| event.old_state.as_deref()),
        about: "the state before, as sent",
    },
    Column {
        name: "new_state",
        kind: ColumnKind::Word(|event| Some(&event.new_state)),
        about: "the state now, as sent",
    },
    Column {
        name: "state",
        kind: ColumnKind::Word(|event| Some(&event.state)),
        about: "the state now, by the name that `[states]` gives it; an unknown one as sent, trimmed",
    },
    Column {
        name: "severity",
        kind: ColumnKind::Word(|event| Some(event.severity.as_str())),
        about: "`ok`, `info`, `warning` or `critical`, as `[states]` says; else `unknown`",
    },
    Column {
        name: "changed",
        kind: ColumnKind::Boolean(|event| event.changed),
        about: "the state is another than the last one known of the device, else than `old_state`",
    },
    Column {
        name: "missed_transition",
        kind: ColumnKind::Boolean(|event| event.missed_transition),
        about: "`old_state` is not the last state known of the device: a status was missed",
    },
    Column {
        name: "province",
        kind: ColumnKind::Word(|event| event.place.province.as_deref()),
        about: "first administrative level, as sent",
    },
    Column {
        name: "city",
        kind: ColumnKind::Word(|event| event.place.city.as_deref()),
        about: "second administrative level, as sent",
    },
    Column {
        name: "district",
        kind: ColumnKind::Word(|event| event.place.district.as_deref()),
        about: "third administrative level, as sent",
    },
    Column {
        name: "detail",
        kind: ColumnKind::Text(|event| event.place.detail.as_deref()),
        about: "the rest of the address, as sent",
    },
    Column {
        name: "coordinate_system",
        kind: ColumnKind::Word(|event| event.place.coordinate_system.as_deref()),
        about: "the system of `longitude` and `latitude`, as sent",
    },
    Column {
        name: "longitude",
        kind: ColumnKind::Number(|event| event.place.raw.map(|point| point.longitude)),
        about: "degrees east, as sent",
    },
    Column {
        name: "latitude",
        kind: ColumnKind::Number(|event| event.place.raw.map(|point| point.latitude)),
        about: "degrees north, as sent",
    },
    Column {
        name: "wgs84_longitude",
        kind: ColumnKind::Number(|event| event.place.wgs84.map(|point| point.longitude)),
        about: "degrees east in WGS-84; null where the system is unknown",
    },
    Column {
        name: "wgs84_latitude",
        kind: ColumnKind::Number(|event| event.place.wgs84.map(|point| point.latitude)),
        about: "degrees north in WGS-84; null where the system is unknown",
    },
    Column {
        name: "occurred_at",
        kind: ColumnKind::Time(|event| event.occurred_at),
        about: "when it happened, where the message says so",
    },
    Column {
        name: "received_at",
        kind: ColumnKind::Time(|event| Some(event.received_at)),
        about: "when the daemon received it; of a `resync`, when it asked for the snapshot",
    },
    Column {
        name: "via",
        kind: ColumnKind::Word(|event| Some(event.via.as_str())),
        about: "`live`: in a message; `resync`: in a snapshot of the topic",
    },
    Column {
        name: "origin",
        kind: ColumnKind::Text(|event| Some(&event.origin)),
        about: "`<journal>-<position>`: the journal entry that it was decoded from",
    },
    Column {
        name: "payload",
        kind: ColumnKind::Json(|event| &event.payload),
        about: "the device's own JSON, untouched",
    },
];

/// What a status also has where the configuration names devices: the last keys of its JSON, and
/// names of templates and `when`. The histories have no such columns.
pub static LABEL: [Column<StatusEvent>; 2] = [
    Column {
        name: "name",
        kind: ColumnKind::Word(|event| event.label.as_ref()?.name.as_deref()),
        about: "with `[names]`: what its device is called",
    },
    Column {
        name: "group",
        kind: ColumnKind::Word(|event| event.label.as_ref()?.group.as_deref()),
        about: "with `[names]`: the group of its device",
    },
];

/// The column of a status of that name, in [`STATUS`] or [`LABEL`].
pub fn of_status(name: &str) -> Option<&'static Column<StatusEvent>> {
    let mut columns = STATUS.iter().chain(&LABEL);
    columns.find(|column| column.name == name)
}

/// The columns of the table `coverage`, and the keys of its JSON after `kind`, in this order.
pub static COVERAGE: [Column<CoverageEvent>; 7] = [
    Column {
        name: "event_id",
        kind: ColumnKind::Text(|event| Some(&event.event_id)),
        about: "unique: the `origin`",
    },
    Column {
        name: "topic",
        kind: ColumnKind::Word(|event| Some(&event.topic)),
        about: "the topic's name in the configuration",
    },
    Column {
        name: "heard",
        kind: ColumnKind::Boolean(|event| event.coverage.heard),
        about: "true: the topic's messages come from `at` on; false: they do not",
    },
    Column {
        name: "cause",
        kind: ColumnKind::Word(|event| event.coverage.cause.map(CoverageCause::as_str)),
        about: "why they do not; null where they come",
    },
    Column {
        name: "at",
        kind: ColumnKind::Time(|event| Some(event.coverage.at)),
        about: "since when; after a crash, the last time at which the topic was surely heard",
    },
    Column {
        name: "received_at",
        kind: ColumnKind::Time(|event| Some(event.received_at)),
        about: "when the daemon wrote it down",
    },
    Column {
        name: "origin",
        kind: ColumnKind::Text(|event| Some(&event.origin)),
        about: "`<journal>-<position>`: the journal entry",
    },
];

impl EventKind {
    /// The names of its columns, in their order.
    pub fn columns(self) -> &'static [&'static str] {
        const STATUS_NAMES: [&str; STATUS.len()] = names(&STATUS);
        const COVERAGE_NAMES: [&str; COVERAGE.len()] = names(&COVERAGE);
        match self {
            EventKind::Status => &STATUS_NAMES,
            EventKind::Coverage => &COVERAGE_NAMES,
        }
    }

    /// The names that templates and `when` know: its columns, and what its device is called.
    pub fn names(self) -> &'static [&'static str] {
        const STATUS_NAMES: [&str; STATUS.len() + LABEL.len()] = joined(&STATUS, &LABEL);
        match self {
            EventKind::Status => &STATUS_NAMES,
            EventKind::Coverage => self.columns(),
        }
    }
}

impl Event {
    /// The event as one JSON object, with the names of its columns.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(JSON_BYTES + self.payload_bytes());
        serde_json::to_writer(&mut json, self)
            .expect("strings, numbers and valid raw JSON always serialise");
        json
    }
}

/// The JSON form, which is published to MQTT, posted to a webhook and offered to templates.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Event::Status(status) => status.serialize(serializer),
            Event::Coverage(coverage) => {
                object(serializer, Some(self.kind()), &[&COVERAGE], coverage)
            }
        }
    }
}

/// As that of [`Event`]: a status has no `kind`, as it was before there were others.
impl Serialize for StatusEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.label {
            None => object(serializer, None, &[&STATUS], self),
            Some(_) => object(serializer, None, &[&STATUS, &LABEL], self),
        }
    }
}

/// A JSON object of these columns.
fn object<S: Serializer, Row>(
    serializer: S,
    kind: Option<EventKind>,
    columns: &[&[Column<Row>]],
    row: &Row,
) -> Result<S::Ok, S::Error> {
    let count: usize = columns.iter().map(|columns| columns.len()).sum();
    let entries = count + usize::from(kind.is_some());
    let mut object = serializer.serialize_map(Some(entries))?;
    if let Some(kind) = kind {
        object.serialize_entry(KIND, kind.as_str())?;
    }
    for Column { name, kind, .. } in columns.iter().copied().flatten() {
        match kind {
            ColumnKind::Word(read) | ColumnKind::Text(read) => {
                object.serialize_entry(name, &read(row))?;
            }
            ColumnKind::Boolean(read) => object.serialize_entry(name, &read(row))?,
            ColumnKind::Number(read) => object.serialize_entry(name, &read(row))?,
            ColumnKind::Time(read) => object.serialize_entry(name, &read(row))?,
            ColumnKind::Json(read) => object.serialize_entry(name, read(row))?,
        }
    }
    object.end()
}

/// The names of some columns, in their order.
const fn names<Row, const N: usize>(columns: &[Column<Row>; N]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut index = 0;
    while index < N {
        names[index] = columns[index].name;
        index += 1;
    }
    names
}

/// The names of two lists of columns, in their order.
const fn joined<Row, const A: usize, const B: usize, const N: usize>(
    first: &[Column<Row>; A],
    second: &[Column<Row>; B],
) -> [&'static str; N] {
    let mut names = [""; N];
    let mut index = 0;
    while index < N {
        names[index] = if index < A {
            first[index].name
        } else {
            second[index - A].name
        };
        index += 1;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::model::Label;

    /// The failure prints the expected content.
    #[test]
    fn docs_list_every_column() {
        let documented: Vec<&str> = include_str!("../../docs/columns.md")
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        let columns = [rows(&STATUS), rows(&LABEL), rows(&COVERAGE)].concat();
        assert!(
            documented == columns,
            "docs/columns.md should have these rows:\n{}",
            columns.join("\n")
        );
    }

    fn rows<Row>(columns: &[Column<Row>]) -> Vec<String> {
        columns
            .iter()
            .map(|Column { name, kind, about }| format!("| `{name}` | {} | {about} |", kind.name()))
            .collect()
    }

    fn json(event: impl Into<Event>) -> String {
        String::from_utf8(event.into().to_json()).unwrap()
    }

    #[test]
    fn json_has_the_columns_as_keys_and_null_for_what_is_absent() {
        let event = StatusEvent {
            payload: Payload::parse(r#"{"a":1e400, "b" : 0.10}"#).unwrap(),
            ..StatusEvent::sample()
        };
        let expected = concat!(
            r#"{"event_id":"0-1","topic":"sample","client_id":"1","device_id":"1","#,
            r#""serial":"5223","old_state":"正常","new_state":"故障","state":"fault","#,
            r#""severity":"critical","changed":true,"missed_transition":true,"#,
            r#""province":null,"city":null,"district":null,"detail":null,"#,
            r#""coordinate_system":null,"longitude":null,"latitude":null,"#,
            r#""wgs84_longitude":null,"wgs84_latitude":null,"occurred_at":null,"#,
            r#""received_at":"1970-01-01T00:00:00Z","via":"live","origin":"0-1","#,
            r#""payload":{"a":1e400, "b" : 0.10}}"#
        );
        assert_eq!(json(event), expected);
    }

    #[test]
    fn json_ends_with_the_name_where_devices_are_named() {
        let label = |name: Option<&str>| {
            Some(Label {
                name: name.map(Arc::from),
                group: None,
            })
        };
        let ends = |label, expected: &str| {
            let event = StatusEvent {
                label,
                ..StatusEvent::sample()
            };
            let json = json(event);
            assert!(json.ends_with(expected), "{json}");
        };
        ends(label(Some("泵站")), r#","name":"泵站","group":null}"#);
        ends(label(None), r#","name":null,"group":null}"#);
        ends(None, r#","payload":null}"#);
    }

    #[test]
    fn json_of_another_kind_than_a_status_begins_with_its_kind() {
        let expected = concat!(
            r#"{"kind":"coverage","event_id":"0-1","topic":"sample","heard":false,"#,
            r#""cause":"connection_lost","at":"1970-01-01T00:00:00Z","#,
            r#""received_at":"1970-01-01T00:00:00Z","origin":"0-1"}"#
        );
        assert_eq!(json(CoverageEvent::sample()), expected);
    }

    #[test]
    fn no_column_is_named_as_the_kind() {
        for kind in EventKind::ALL {
            assert!(!kind.columns().contains(&KIND), "{}", kind.as_str());
            assert_eq!(kind.columns()[0], "event_id", "{}", kind.as_str());
        }
    }
}
