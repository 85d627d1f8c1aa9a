//! One device status, decoded: what every sink is given.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

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

/// One status of one device. Its JSON form ([`Event::to_json`]), the `when` variables, the template
/// variables and the SQL columns all have the same names.
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
    pub position: super::Position,
    /// The device's own JSON, untouched.
    pub payload: Box<RawValue>,
}

/// The JSON form: what is published to MQTT, posted to a webhook and offered to templates.
#[derive(Serialize)]
struct Wire<'a> {
    event_id: &'a str,
    topic: &'a str,
    client_id: &'a str,
    device_id: &'a str,
    serial: Option<&'a str>,
    old_state: Option<&'a str>,
    new_state: &'a str,
    state: &'a str,
    severity: Severity,
    changed: bool,
    missed_transition: bool,
    province: Option<&'a str>,
    city: Option<&'a str>,
    district: Option<&'a str>,
    detail: Option<&'a str>,
    coordinate_system: Option<&'a str>,
    longitude: Option<f64>,
    latitude: Option<f64>,
    wgs84_longitude: Option<f64>,
    wgs84_latitude: Option<f64>,
    occurred_at: Option<Timestamp>,
    received_at: Timestamp,
    origin: &'a str,
    payload: &'a RawValue,
}

impl Serialize for Event {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = &self.place;
        Wire {
            event_id: &self.event_id,
            topic: &self.topic,
            client_id: &self.client_id,
            device_id: &self.device_id,
            serial: self.serial.as_deref(),
            old_state: self.old_state.as_deref(),
            new_state: &self.new_state,
            state: &self.state,
            severity: self.severity,
            changed: self.changed,
            missed_transition: self.missed_transition,
            province: place.province.as_deref(),
            city: place.city.as_deref(),
            district: place.district.as_deref(),
            detail: place.detail.as_deref(),
            coordinate_system: place.coordinate_system.as_deref(),
            longitude: place.raw.map(|c| c.longitude),
            latitude: place.raw.map(|c| c.latitude),
            wgs84_longitude: place.wgs84.map(|c| c.longitude),
            wgs84_latitude: place.wgs84.map(|c| c.latitude),
            occurred_at: self.occurred_at,
            received_at: self.received_at,
            origin: &self.origin,
            payload: &self.payload,
        }
        .serialize(serializer)
    }
}

impl Event {
    /// Every name that a `when` expression or a template may use.
    pub const FIELDS: [&'static str; 24] = [
        "event_id",
        "topic",
        "client_id",
        "device_id",
        "serial",
        "old_state",
        "new_state",
        "state",
        "severity",
        "changed",
        "missed_transition",
        "province",
        "city",
        "district",
        "detail",
        "coordinate_system",
        "longitude",
        "latitude",
        "wgs84_longitude",
        "wgs84_latitude",
        "occurred_at",
        "received_at",
        "origin",
        "payload",
    ];

    /// The event as one JSON object, with the names of [`Event::FIELDS`].
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings, numbers and valid raw JSON always serialise")
    }
}
