//! The tables that a batch writes to, with their columns: both databases make their statements of
//! these lists.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;

use super::daily::{Counted, DailyKey};
use super::device::{Device, ProfileRow};
use super::gaps::Begins;
use super::timeline::Piece;
use crate::model::{Coordinates, CoverageCause, CoverageEvent, Payload, StatusEvent, Via};

/// What a column holds, with the function that reads it from a row.
pub(super) enum Cell<Row: 'static> {
    /// A whole number of 64 bits.
    Integer(fn(&Row) -> Option<i64>),
    /// A key that 32 bits hold: of a journal, a topic, a state or a device.
    Key(fn(&Row) -> Option<i64>),
    /// A text that many rows of a batch have in common.
    Word(fn(&Row) -> Option<&str>),
    /// A text of the row's own.
    Text(fn(&Row) -> Option<&str>),
    /// True or false.
    Flag(fn(&Row) -> bool),
    /// A number.
    Number(fn(&Row) -> Option<f64>),
    /// An instant.
    Time(fn(&Row) -> Option<Timestamp>),
    /// A day.
    Day(fn(&Row) -> Date),
    /// A few bytes.
    Bytes(fn(&Row) -> &[u8]),
    /// A JSON text.
    Json(fn(&Row) -> Option<&Payload>),
}

/// A table, as far as a batch writes it.
pub(super) struct Table<Row: 'static> {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Cell<Row>)],
    /// What follows the rows of an INSERT.
    pub(super) on_conflict: &'static str,
}

impl<Row> Table<Row> {
    /// The names of the columns, separated by commas.
    pub(super) fn column_names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

/// A key and its text: `journal` and `topic`.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) key: i64,
    pub(super) name: Arc<str>,
}

/// A row of `state`: it means what its status does.
#[derive(Debug, Clone)]
pub(super) struct StateRow {
    pub(super) key: i64,
    pub(super) status: Arc<StatusEvent>,
}

/// A row of `payload`.
#[derive(Debug, Clone)]
pub(super) struct PayloadRow {
    pub(super) key: i64,
    pub(super) month: i64,
    pub(super) digest: Digest,
    pub(super) status: Arc<StatusEvent>,
}

/// The beginning of a payload's SHA-256.
pub(super) type Digest = [u8; 16];

/// A row of `event`.
#[derive(Debug, Clone)]
pub(super) struct EventRow {
    pub(super) sequence: i64,
    pub(super) journal_key: i64,
    pub(super) device_key: i64,
    pub(super) topic_key: i64,
    pub(super) state_key: i64,
    pub(super) profile_key: i64,
    pub(super) placed_at: Option<Timestamp>,
    /// `None`: the payload stands in the row.
    pub(super) payload_key: Option<i64>,
    pub(super) status: Arc<StatusEvent>,
}

/// A row of `state_interval_row`.
#[derive(Debug, Clone)]
pub(super) struct PieceRow {
    pub(super) device_key: i64,
    pub(super) piece: Piece,
}

/// A row of `coverage`.
#[derive(Debug, Clone)]
pub(super) struct CoverageRow {
    pub(super) event: CoverageEvent,
    pub(super) begins: Begins,
}

pub(super) static JOURNAL: Table<Named> = Table {
    name: "journal",
    columns: &[
        ("journal_key", Cell::Key(|row| Some(row.key))),
        ("journal", Cell::Text(|row| Some(&row.name))),
    ],
    on_conflict: "",
};

pub(super) static TOPIC: Table<Named> = Table {
    name: "topic",
    columns: &[
        ("topic_key", Cell::Key(|row| Some(row.key))),
        ("topic", Cell::Text(|row| Some(&row.name))),
    ],
    on_conflict: "",
};

pub(super) static STATE: Table<StateRow> = Table {
    name: "state",
    columns: &[
        ("state_key", Cell::Key(|row| Some(row.key))),
        ("word", Cell::Text(|row| Some(&row.status.new_state))),
        ("state", Cell::Word(|row| Some(&row.status.state))),
        (
            "severity",
            Cell::Word(|row| Some(row.status.severity.as_str())),
        ),
    ],
    on_conflict: "",
};

pub(super) static PROFILE: Table<ProfileRow> = Table {
    name: "profile",
    columns: &[
        ("profile_key", Cell::Integer(|row| Some(row.key))),
        ("month", Cell::Key(|row| Some(row.month))),
        (
            "serial",
            Cell::Text(|row| row.profile.as_ref()?.serial.as_deref()),
        ),
        (
            "province",
            Cell::Word(|row| row.profile.as_ref()?.place.province.as_deref()),
        ),
        (
            "city",
            Cell::Word(|row| row.profile.as_ref()?.place.city.as_deref()),
        ),
        (
            "district",
            Cell::Word(|row| row.profile.as_ref()?.place.district.as_deref()),
        ),
        (
            "detail",
            Cell::Text(|row| row.profile.as_ref()?.place.detail.as_deref()),
        ),
        (
            "coordinate_system",
            Cell::Word(|row| row.profile.as_ref()?.place.coordinate_system.as_deref()),
        ),
        ("longitude", Cell::Number(|row| Some(raw(row)?.longitude))),
        ("latitude", Cell::Number(|row| Some(raw(row)?.latitude))),
        (
            "wgs84_longitude",
            Cell::Number(|row| Some(wgs84(row)?.longitude)),
        ),
        (
            "wgs84_latitude",
            Cell::Number(|row| Some(wgs84(row)?.latitude)),
        ),
    ],
    on_conflict: "",
};

fn raw(row: &ProfileRow) -> Option<Coordinates> {
    row.profile.as_ref()?.place.raw
}

fn wgs84(row: &ProfileRow) -> Option<Coordinates> {
    row.profile.as_ref()?.place.wgs84
}

pub(super) static PAYLOAD: Table<PayloadRow> = Table {
    name: "payload",
    columns: &[
        ("payload_key", Cell::Integer(|row| Some(row.key))),
        ("month", Cell::Key(|row| Some(row.month))),
        ("digest", Cell::Bytes(|row| &row.digest)),
        ("body", Cell::Json(|row| Some(&row.status.payload))),
    ],
    on_conflict: "",
};

pub(super) static EVENT: Table<EventRow> = Table {
    name: "event",
    columns: &[
        ("sequence", Cell::Integer(|row| Some(row.sequence))),
        ("journal_key", Cell::Key(|row| Some(row.journal_key))),
        ("position", Cell::Integer(|row| Some(row.status.position.0))),
        ("event_id", Cell::Text(|row| own_id(&row.status))),
        ("device_key", Cell::Key(|row| Some(row.device_key))),
        ("topic_key", Cell::Key(|row| Some(row.topic_key))),
        ("state_key", Cell::Key(|row| Some(row.state_key))),
        (
            "old_state",
            Cell::Word(|row| row.status.old_state.as_deref()),
        ),
        ("changed", Cell::Flag(|row| row.status.changed)),
        (
            "missed_transition",
            Cell::Flag(|row| row.status.missed_transition),
        ),
        ("profile_key", Cell::Integer(|row| Some(row.profile_key))),
        ("occurred_at", Cell::Time(|row| row.status.occurred_at)),
        (
            "received_at",
            Cell::Time(|row| Some(row.status.received_at)),
        ),
        ("placed_at", Cell::Time(|row| row.placed_at)),
        ("via", Cell::Word(|row| own_via(&row.status))),
        ("payload_key", Cell::Integer(|row| row.payload_key)),
        (
            "payload",
            Cell::Json(|row| match row.payload_key {
                None => Some(&row.status.payload),
                Some(_) => None,
            }),
        ),
    ],
    on_conflict: "",
};

/// How it came, where not in a message.
fn own_via(status: &StatusEvent) -> Option<&'static str> {
    (status.via != Via::Live).then(|| status.via.as_str())
}

/// The ids of events that are not their origins.
pub(super) static EVENT_KEY: Table<EventRow> = Table {
    name: "event_key_seen",
    columns: &[
        ("event_id", Cell::Text(|row| own_id(&row.status))),
        (
            "received_at",
            Cell::Time(|row| Some(row.status.received_at)),
        ),
    ],
    on_conflict: "",
};

/// The event's id where it is not its origin.
pub(super) fn own_id(status: &StatusEvent) -> Option<&str> {
    (status.event_id != status.origin).then_some(&status.event_id)
}

pub(super) static PIECE: Table<PieceRow> = Table {
    name: "state_interval_row",
    columns: &[
        ("device_key", Cell::Key(|row| Some(row.device_key))),
        ("since", Cell::Time(|row| Some(row.piece.since))),
        (
            "ends_sequence",
            Cell::Integer(|row| Some(row.piece.ends_sequence)),
        ),
        ("until", Cell::Time(|row| Some(row.piece.until))),
        ("us", Cell::Integer(|row| Some(row.piece.microseconds()))),
        ("state_key", Cell::Key(|row| Some(row.piece.state.key))),
        ("cause", Cell::Word(|row| row.piece.cause.as_deref())),
        (
            "run_since",
            Cell::Time(|row| earlier(row.piece.run_since, row)),
        ),
        (
            "fault_since",
            Cell::Time(|row| earlier(row.piece.fault?.since, row)),
        ),
        (
            "fault_uncertain_us",
            Cell::Integer(|row| Some(row.piece.fault.map_or(0, |fault| fault.uncertain_us))),
        ),
        ("ends_fault", Cell::Flag(|row| row.piece.ends_fault)),
    ],
    on_conflict: "",
};

/// A time that is not when the piece began itself: so most rows are shorter.
fn earlier(time: Timestamp, row: &PieceRow) -> Option<Timestamp> {
    (time != row.piece.since).then_some(time)
}

pub(super) static DEVICE: Table<Device> = Table {
    name: "device_row",
    columns: &[
        ("device_key", Cell::Key(|row| Some(row.key))),
        ("stream", Cell::Word(|row| Some(&row.id.stream))),
        ("client_id", Cell::Word(|row| Some(&row.id.client_id))),
        ("device_id", Cell::Text(|row| Some(&row.id.device_id))),
        ("topic_key", Cell::Key(|row| Some(row.topic_key))),
        ("journal_key", Cell::Key(|row| Some(row.journal_key))),
        ("position", Cell::Integer(|row| Some(row.position))),
        ("sequence", Cell::Integer(|row| Some(row.sequence))),
        ("profile_key", Cell::Integer(|row| Some(row.profile.key))),
        ("state_key", Cell::Key(|row| Some(row.open.state.key))),
        ("word_key", Cell::Key(|row| Some(row.word_key))),
        ("received_at", Cell::Time(|row| Some(row.received_at))),
        ("first_seen", Cell::Time(|row| Some(row.first_seen))),
        ("last_seen", Cell::Time(|row| Some(row.open.last_seen))),
        ("piece_since", Cell::Time(|row| Some(row.open.since))),
        ("run_since", Cell::Time(|row| Some(row.open.run_since))),
        ("fault_since", Cell::Time(|row| Some(row.open.fault?.since))),
        (
            "fault_uncertain_us",
            Cell::Integer(|row| Some(row.open.fault.map_or(0, |fault| fault.uncertain_us))),
        ),
        ("counted_until", Cell::Time(|row| Some(row.swept?.until))),
        (
            "counted_certain_until",
            Cell::Time(|row| Some(row.swept?.certain_until)),
        ),
    ],
    on_conflict: "ON CONFLICT (device_key) DO UPDATE SET topic_key = excluded.topic_key, \
        journal_key = excluded.journal_key, position = excluded.position, \
        sequence = excluded.sequence, profile_key = excluded.profile_key, \
        state_key = excluded.state_key, word_key = excluded.word_key, received_at = excluded.received_at, \
        first_seen = excluded.first_seen, \
        last_seen = excluded.last_seen, piece_since = excluded.piece_since, \
        run_since = excluded.run_since, fault_since = excluded.fault_since, \
        fault_uncertain_us = excluded.fault_uncertain_us, \
        counted_until = excluded.counted_until, \
        counted_certain_until = excluded.counted_certain_until",
};

/// What never changes of a device, besides its key.
pub(super) const DEVICE_CONSTANT: [&str; 3] = ["stream", "client_id", "device_id"];

pub(super) static DAILY: Table<(DailyKey, Counted)> = Table {
    name: "state_daily_row",
    columns: &[
        ("day", Cell::Day(|((day, ..), _)| *day)),
        ("device_key", Cell::Key(|((_, device, _), _)| Some(*device))),
        ("state_key", Cell::Key(|((.., state), _)| Some(*state))),
        (
            "certain_us",
            Cell::Integer(|(_, counted)| Some(counted.certain_us)),
        ),
        (
            "uncertain_us",
            Cell::Integer(|(_, counted)| Some(counted.uncertain_us)),
        ),
        ("entered", Cell::Key(|(_, counted)| Some(counted.entered))),
    ],
    on_conflict: "ON CONFLICT (day, device_key, state_key) DO UPDATE SET \
        certain_us = state_daily_row.certain_us + excluded.certain_us, \
        uncertain_us = state_daily_row.uncertain_us + excluded.uncertain_us, \
        entered = state_daily_row.entered + excluded.entered",
};

pub(super) static COVERAGE: Table<CoverageRow> = Table {
    name: "coverage",
    columns: &[
        ("event_id", Cell::Text(|row| Some(&row.event.event_id))),
        ("topic", Cell::Word(|row| Some(&row.event.topic))),
        ("heard", Cell::Flag(|row| row.event.coverage.heard)),
        (
            "cause",
            Cell::Word(|row| row.event.coverage.cause.map(CoverageCause::as_str)),
        ),
        ("at", Cell::Time(|row| Some(row.event.coverage.at))),
        ("received_at", Cell::Time(|row| Some(row.event.received_at))),
        ("origin", Cell::Text(|row| Some(&row.event.origin))),
        ("begins_gap", Cell::Flag(|row| row.begins.gap)),
        ("gap_until", Cell::Time(|row| row.begins.until)),
    ],
    on_conflict: "",
};
