//! One device status, decoded: what every sink is given.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Position;

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

/// One status of one device. What is shown of it, and under which names, is the list of
/// [`columns`](super::columns).
#[derive(Debug, Clone)]
pub struct Event {
    /// Unique: made from the topic's `event_key` where it has one, else the origin. The same on
    /// every replay.
    pub event_id: String,
    /// The topic's name in the configuration, which is its STOMP subscription id.
    pub topic: Arc<str>,
    /// The owner of the device; empty where the message names none.
    pub client_id: String,
    /// The device; never empty (the serial stands in).
    pub device_id: String,
    /// The device's serial number.
    pub serial: Option<String>,
    /// The state before, as sent.
    pub old_state: Option<String>,
    /// The state now, as sent.
    pub new_state: String,
    /// The state now in the vocabulary's words; an unknown state keeps its own.
    pub state: String,
    /// From the vocabulary.
    pub severity: Severity,
    /// `old_state` differs from `new_state`; where no old state was sent, from the last one seen.
    pub changed: bool,
    /// `old_state` is not the last `new_state` that we saw of this device: a transition passed us
    /// by.
    pub missed_transition: bool,
    /// Where the device stands.
    pub place: Place,
    /// When it happened, where the message says so.
    pub occurred_at: Option<Timestamp>,
    /// When the daemon received it.
    pub received_at: Timestamp,
    /// `<journal>-<position>`.
    pub origin: String,
    /// The entry in the journal.
    pub position: Position,
    /// The device's own JSON, untouched.
    pub payload: Box<RawValue>,
}

impl Event {
    /// A status such as a device sends: what templates and expressions are tried on when they are
    /// compiled, and what tests begin with.
    pub fn sample() -> Event {
        Event {
            event_id: "0-1".to_owned(),
            topic: Arc::from("sample"),
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
            origin: "0-1".to_owned(),
            position: Position(1),
            payload: RawValue::NULL.to_owned(),
        }
    }
}
