//! The columns of a status: the one list from which its JSON, the names of templates and `when`,
//! the statements of both SQL histories and docs/columns.md are made. A new column is a line here;
//! ARCHITECTURE.md says what else it needs. It does not know how any of them writes a value.

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::value::RawValue;

use super::Event;

/// Room for the other columns beside the payload: a text that grows as it is written is copied
/// four times.
const JSON_BYTES: usize = 1024;

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
    Json(fn(&Row) -> &RawValue),
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

/// The columns of `status_event` and of the view `device_current`, and the keys of an event's JSON,
/// in this order.
pub static STATUS: [Column<Event>; 24] = [
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
        about: "the state now, by the name that `[states]` gives it; an unknown state as sent",
    },
    Column {
        name: "severity",
        kind: ColumnKind::Word(|event| Some(event.severity.as_str())),
        about: "`ok`, `info`, `warning` or `critical`, as `[states]` says; else `unknown`",
    },
    Column {
        name: "changed",
        kind: ColumnKind::Boolean(|event| event.changed),
        about: "the state is another than before: than `old_state`, else than the last one seen",
    },
    Column {
        name: "missed_transition",
        kind: ColumnKind::Boolean(|event| event.missed_transition),
        about: "`old_state` is not the last state seen of the device: a status was missed",
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
        about: "when the daemon received it",
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

impl Event {
    /// The names of [`STATUS`]: all that a `when` expression or a template may use.
    pub const FIELDS: [&'static str; STATUS.len()] = names(&STATUS);

    /// The event as one JSON object, with the names of [`Event::FIELDS`].
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(JSON_BYTES + self.payload.get().len());
        serde_json::to_writer(&mut json, self)
            .expect("strings, numbers and valid raw JSON always serialise");
        json
    }
}

/// The JSON form: what is published to MQTT, posted to a webhook and offered to templates.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Event", STATUS.len())?;
        for Column { name, kind, .. } in &STATUS {
            match kind {
                ColumnKind::Word(read) | ColumnKind::Text(read) => {
                    object.serialize_field(name, &read(self))?;
                }
                ColumnKind::Boolean(read) => object.serialize_field(name, &read(self))?,
                ColumnKind::Number(read) => object.serialize_field(name, &read(self))?,
                ColumnKind::Time(read) => object.serialize_field(name, &read(self))?,
                ColumnKind::Json(read) => object.serialize_field(name, read(self))?,
            }
        }
        object.end()
    }
}

/// The names of some columns, in their order.
pub const fn names<Row, const N: usize>(columns: &[Column<Row>; N]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut index = 0;
    while index < N {
        names[index] = columns[index].name;
        index += 1;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is to stand there is what the failure prints.
    #[test]
    fn docs_list_every_column() {
        let documented: Vec<&str> = include_str!("../../docs/columns.md")
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        let columns: Vec<String> = STATUS
            .iter()
            .map(|Column { name, kind, about }| format!("| `{name}` | {} | {about} |", kind.name()))
            .collect();
        assert!(
            documented == columns,
            "docs/columns.md should have these rows:\n{}",
            columns.join("\n")
        );
    }

    #[test]
    fn json_has_the_columns_as_keys_and_null_for_what_is_absent() {
        let event = Event {
            payload: RawValue::from_string(r#"{"a":1e400, "b" : 0.10}"#.to_owned()).unwrap(),
            ..Event::sample()
        };
        let json = concat!(
            r#"{"event_id":"0-1","topic":"sample","client_id":"1","device_id":"1","#,
            r#""serial":"5223","old_state":"正常","new_state":"故障","state":"fault","#,
            r#""severity":"critical","changed":true,"missed_transition":true,"#,
            r#""province":null,"city":null,"district":null,"detail":null,"#,
            r#""coordinate_system":null,"longitude":null,"latitude":null,"#,
            r#""wgs84_longitude":null,"wgs84_latitude":null,"occurred_at":null,"#,
            r#""received_at":"1970-01-01T00:00:00Z","origin":"0-1","#,
            r#""payload":{"a":1e400, "b" : 0.10}}"#
        );
        assert_eq!(String::from_utf8(event.to_json()).unwrap(), json);
    }
}
