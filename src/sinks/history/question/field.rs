//! The columns of an answer, and what they hold.

use jiff::Timestamp;

use crate::sinks::history::dialect::Dialect;

/// What a column of an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// An instant.
    Time,
    /// A number with a fraction, such as seconds.
    Number,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
}

/// A column of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// As the view has it.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

impl Field {
    /// The column so that both databases give the same. It has no name of its own: Postgres would
    /// order by that and not by the view's column.
    pub(super) fn read(self, dialect: Dialect) -> String {
        let name = self.name;
        match (dialect, self.kind) {
            (Dialect::Sqlite, Kind::Number) => format!("CAST({name} AS REAL)"),
            (Dialect::Postgres, Kind::Text) => format!("{name}::text"),
            (_, Kind::Time) => dialect.as_text(name),
            (Dialect::Postgres, Kind::Number) => format!("{name}::double precision"),
            (Dialect::Postgres, Kind::Integer) => format!("{name}::bigint"),
            (Dialect::Sqlite, _) | (Dialect::Postgres, Kind::Boolean) => name.to_owned(),
        }
    }
}

/// One value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// It is not there.
    Null,
    /// A text.
    Text(String),
    /// An instant.
    Time(Timestamp),
    /// A number with a fraction.
    Number(f64),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Boolean(bool),
}

impl Value {
    /// The text of a text.
    pub fn text(&self) -> &str {
        match self {
            Value::Text(text) => text,
            _ => "",
        }
    }
}

/// A column of that name.
pub const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind }
}

const fn text(name: &'static str) -> Field {
    field(name, Kind::Text)
}

const fn time(name: &'static str) -> Field {
    field(name, Kind::Time)
}

const fn number(name: &'static str) -> Field {
    field(name, Kind::Number)
}

const fn integer(name: &'static str) -> Field {
    field(name, Kind::Integer)
}

const fn boolean(name: &'static str) -> Field {
    field(name, Kind::Boolean)
}

/// One list of several.
const fn joined<const N: usize>(lists: &[&[Field]]) -> [Field; N] {
    let mut all = [text(""); N];
    let (mut list, mut count) = (0, 0);
    while list < lists.len() {
        let mut at = 0;
        while at < lists[list].len() {
            all[count] = lists[list][at];
            (at, count) = (at + 1, count + 1);
        }
        list += 1;
    }
    assert!(count == N, "a list is as long as it says");
    all
}

const DEVICE: &[Field] = &[text("stream"), text("client_id"), text("device_id")];

const PLACE: &[Field] = &[
    text("province"),
    text("city"),
    text("district"),
    text("detail"),
    text("coordinate_system"),
    number("longitude"),
    number("latitude"),
    number("wgs84_longitude"),
    number("wgs84_latitude"),
];

const SHARES: &[Field] = &[
    number("percent"),
    number("available_seconds"),
    number("known_seconds"),
    number("uncertain_seconds"),
    integer("faults"),
];

const TROUBLES: &[Field] = &[integer("devices"), integer("critical"), integer("warning")];

pub(super) static WORDS: [Field; 3] = [text("word"), text("state"), text("severity")];

pub(super) static KNOWN: [Field; 1] = [text("name")];

pub(super) static DEVICES: [Field; 22] = joined(&[
    DEVICE,
    &[
        text("serial"),
        text("state"),
        text("severity"),
        time("state_since"),
        time("last_seen"),
        boolean("certain"),
        text("new_state"),
        text("topic"),
    ],
    PLACE,
    &[time("first_seen"), text("event_id")],
]);

pub(super) static EVENTS: [Field; 27] = joined(&[
    &[
        integer("sequence"),
        time("received_at"),
        text("stream"),
        text("topic"),
        text("client_id"),
        text("device_id"),
        text("serial"),
        text("old_state"),
        text("new_state"),
        text("state"),
        text("severity"),
        boolean("changed"),
        boolean("missed_transition"),
    ],
    PLACE,
    &[
        time("occurred_at"),
        text("via"),
        text("event_id"),
        text("origin"),
        text("payload"),
    ],
]);

pub(super) static SEQUENCES: [Field; 2] = [integer("first"), integer("last")];

pub(super) static FAULTS: [Field; 9] = joined(&[
    DEVICE,
    &[
        text("state"),
        time("since"),
        time("until"),
        number("seconds"),
        number("uncertain_seconds"),
        boolean("certain"),
    ],
]);

pub(super) static GAPS: [Field; 5] = [
    text("topic"),
    time("since"),
    time("until"),
    number("seconds"),
    text("cause"),
];

pub(super) static INTERVALS: [Field; 9] = joined(&[
    DEVICE,
    &[
        text("state"),
        text("severity"),
        time("since"),
        time("until"),
        boolean("certain"),
        text("cause"),
    ],
]);

pub(super) static BY_DEVICE: [Field; 8] = joined(&[DEVICE, SHARES]);

pub(super) static BY_DAY: [Field; 6] = joined(&[&[text("day")], SHARES]);

pub(super) static STATES: [Field; 5] = [
    text("state"),
    text("new_state"),
    text("severity"),
    integer("devices"),
    integer("uncertain"),
];

pub(super) static GROUPS: [Field; 6] = joined(&[
    &[text("name")],
    TROUBLES,
    &[number("longitude"), number("latitude")],
]);

pub(super) static CELLS: [Field; 5] =
    joined(&[&[integer("map_row"), integer("map_column")], TROUBLES]);
