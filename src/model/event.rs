//! What sinks are given: one event of one entry of the log, by its kind.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Coverage, CoverageCause, EntryKind, Label, Payload, Position};

/// The kinds of entry that sinks can be given, each with columns of its own
/// ([`columns`](super::columns)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// A device's status.
    Status,
    /// A topic began or ceased to be heard.
    Coverage,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [EventKind; 2] = [EventKind::Status, EventKind::Coverage];

    /// The name used in the configuration, in JSON and in templates.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Status => EntryKind::Status.as_str(),
            EventKind::Coverage => EntryKind::Coverage.as_str(),
        }
    }
}

/// One event, of whichever kind.
#[derive(Debug, Clone)]
pub enum Event {
    /// A device's status.
    Status(Arc<StatusEvent>),
    /// A topic began or ceased to be heard.
    Coverage(Box<CoverageEvent>),
}

impl Event {
    /// What it is.
    pub fn kind(&self) -> EventKind {
        match self {
            Event::Status(_) => EventKind::Status,
            Event::Coverage(_) => EventKind::Coverage,
        }
    }

    /// Unique, and the same on every replay.
    pub fn event_id(&self) -> &str {
        match self {
            Event::Status(status) => &status.event_id,
            Event::Coverage(coverage) => &coverage.event_id,
        }
    }

    /// The topic's name in the configuration.
    pub fn topic(&self) -> &Arc<str> {
        match self {
            Event::Status(status) => &status.topic,
            Event::Coverage(coverage) => &coverage.topic,
        }
    }

    /// When the daemon received or observed it.
    pub fn received_at(&self) -> Timestamp {
        match self {
            Event::Status(status) => status.received_at,
            Event::Coverage(coverage) => coverage.received_at,
        }
    }

    /// `<journal>-<position>`.
    pub fn origin(&self) -> &str {
        match self {
            Event::Status(status) => &status.origin,
            Event::Coverage(coverage) => &coverage.origin,
        }
    }

    /// The entry in the journal.
    pub fn position(&self) -> Position {
        match self {
            Event::Status(status) => status.position,
            Event::Coverage(coverage) => coverage.position,
        }
    }

    /// The bytes of its payload, which may be of any length; the rest of an event is small.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Event::Status(status) => status.payload.get().len(),
            Event::Coverage(_) => 0,
        }
    }

    /// The device that it concerns, where it concerns one.
    pub fn device_id(&self) -> Option<&str> {
        self.status().map(|status| status.device_id.as_str())
    }

    /// Whether it concerns this device, in the words of an operator: its id, its client and its id
    /// as in `1/7`, or its name of `[names]`.
    pub fn is_of(&self, device: &str) -> bool {
        self.status().is_some_and(|status| status.is_of(device))
    }

    /// The status, where it is one.
    pub fn status(&self) -> Option<&StatusEvent> {
        match self {
            Event::Status(status) => Some(status),
            Event::Coverage(_) => None,
        }
    }
}

impl From<StatusEvent> for Event {
    fn from(status: StatusEvent) -> Event {
        Event::Status(Arc::new(status))
    }
}

impl From<CoverageEvent> for Event {
    fn from(coverage: CoverageEvent) -> Event {
        Event::Coverage(Box::new(coverage))
    }
}

/// A topic began or ceased to be heard. [`columns`](super::columns) lists its columns and their
/// names.
#[derive(Debug, Clone, PartialEq)]
pub struct CoverageEvent {
    /// Unique: the origin.
    pub event_id: String,
    /// The topic's name in the configuration.
    pub topic: Arc<str>,
    /// Since when it is heard, or since when not and why.
    pub coverage: Coverage,
    /// When the daemon wrote it down.
    pub received_at: Timestamp,
    /// `<journal>-<position>`.
    pub origin: String,
    /// The entry in the journal.
    pub position: Position,
}

impl CoverageEvent {
    /// The end of a topic's coverage: what templates are tried on when they are compiled, and what
    /// tests begin with.
    pub fn sample() -> CoverageEvent {
        CoverageEvent {
            event_id: "0-1".to_owned(),
            topic: Arc::from("sample"),
            coverage: Coverage {
                heard: false,
                at: Timestamp::UNIX_EPOCH,
                cause: Some(CoverageCause::ConnectionLost),
            },
            received_at: Timestamp::UNIX_EPOCH,
            origin: "0-1".to_owned(),
            position: Position(1),
        }
    }
}

/// How a status came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Via {
    /// In a message.
    #[default]
    Live,
    /// In a snapshot, which the daemon asked for.
    Resync,
}

impl Via {
    /// The name used in SQL, JSON and `when` expressions.
    pub fn as_str(self) -> &'static str {
        match self {
            Via::Live => "live",
            Via::Resync => "resync",
        }
    }
}

/// How much a state matters, from the configuration's vocabulary.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The vocabulary does not have this state.
    #[default]
    Unknown,
    /// All is well.
    Ok,
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warning,
    /// Somebody should act.
    Critical,
}

impl Severity {
    /// All of them.
    pub const ALL: [Severity; 5] = [
        Severity::Unknown,
        Severity::Ok,
        Severity::Info,
        Severity::Warning,
        Severity::Critical,
    ];

    /// Those that have a place in the order, the least first.
    pub const RANKED: [Severity; 4] = [
        Severity::Ok,
        Severity::Info,
        Severity::Warning,
        Severity::Critical,
    ];

    /// The name used in SQL, JSON and `when` expressions.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Unknown => "unknown",
            Severity::Ok => "ok",
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// A pair of degrees, longitude first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Coordinates {
    /// Degrees east.
    pub longitude: f64,
    /// Degrees north.
    pub latitude: f64,
}

/// Where the device stands, as far as the message says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Place {
    /// First administrative level, as sent.
    pub province: Option<String>,
    /// Second administrative level, as sent.
    pub city: Option<String>,
    /// Third administrative level, as sent.
    pub district: Option<String>,
    /// The rest of the address, as sent.
    pub detail: Option<String>,
    /// The system of `raw` as sent: `baidu`, `gcj02`, `wgs84`, ….
    pub coordinate_system: Option<String>,
    /// The pair as sent, in `coordinate_system`.
    pub raw: Option<Coordinates>,
    /// The same point in WGS-84; absent where the system is unknown.
    pub wgs84: Option<Coordinates>,
}

/// One status of one device. [`columns`](super::columns) lists its columns and their names.
#[derive(Debug, Clone)]
pub struct StatusEvent {
    /// Unique: made from the topic's `event_key` where it has one, else the origin. The same on
    /// every replay.
    pub event_id: String,
    /// The topic's name in the configuration, which is its STOMP subscription id.
    pub topic: Arc<str>,
    /// The stream that its device belongs to: the topic's name, unless several topics bring the
    /// same statuses.
    pub stream: Arc<str>,
    /// The owner of the device; empty where the message names none.
    pub client_id: String,
    /// The device; never empty (the serial stands in).
    pub device_id: String,
    /// The device's serial number; one that is too long is cut.
    pub serial: Option<String>,
    /// The state before, as sent.
    pub old_state: Option<String>,
    /// The state now, as sent.
    pub new_state: String,
    /// The state now in the vocabulary's words; an unknown state keeps its own.
    pub state: String,
    /// From the vocabulary.
    pub severity: Severity,
    /// `new_state` differs from the last one that we knew of this device, else from `old_state`;
    /// false where there is neither.
    pub changed: bool,
    /// `old_state` is not the last `new_state` that we knew of this device: a transition passed us
    /// by.
    pub missed_transition: bool,
    /// Where the device stands.
    pub place: Place,
    /// When it happened, where the message says so.
    pub occurred_at: Option<Timestamp>,
    /// When the daemon received it; of a resync, when the snapshot was asked for, or the last sign
    /// of life of the link before.
    pub received_at: Timestamp,
    /// How it came.
    pub via: Via,
    /// `<journal>-<position>`.
    pub origin: String,
    /// The entry in the journal.
    pub position: Position,
    /// The device's own JSON, untouched.
    pub payload: Payload,
    /// What the device is called; `None`: the configuration has no names.
    pub label: Option<Label>,
}

impl StatusEvent {
    /// Whether it is of this device, as [`Event::is_of`] says.
    pub fn is_of(&self, device: &str) -> bool {
        let name = self.label.as_ref().and_then(|label| label.name.as_deref());
        let key = super::device_key(&self.client_id, &self.device_id);
        self.device_id == device || key == device || name == Some(device)
    }

    /// A status such as a device sends: what templates and expressions are tried on when they are
    /// compiled, and what tests begin with.
    pub fn sample() -> StatusEvent {
        StatusEvent {
            event_id: "0-1".to_owned(),
            topic: Arc::from("sample"),
            stream: Arc::from("sample"),
            client_id: "1".to_owned(),
            device_id: "1".to_owned(),
            serial: Some("5223".to_owned()),
            old_state: Some("正常".to_owned()),
            new_state: "故障".to_owned(),
            state: "fault".to_owned(),
            severity: Severity::Critical,
            changed: true,
            missed_transition: true,
            place: Place::default(),
            occurred_at: None,
            received_at: Timestamp::UNIX_EPOCH,
            via: Via::Live,
            origin: "0-1".to_owned(),
            position: Position(1),
            payload: Payload::null(),
            label: None,
        }
    }
}
