//! A device as a history knows it: its newest status, what seldom changes of it, and the piece of
//! its timeline that is open.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;

use super::timeline::{Fault, Open, State};
use crate::model::{Coordinates, Place, Severity, StatusEvent, Via};

/// What tells a device from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeviceId {
    pub(super) stream: Arc<str>,
    pub(super) client_id: String,
    pub(super) device_id: String,
}

/// As its parts: a status has the same hash.
impl Hash for DeviceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&*self.stream, &*self.client_id, &*self.device_id).hash(state);
    }
}

impl DeviceId {
    /// That of a status.
    pub(super) fn of(status: &StatusEvent) -> DeviceId {
        DeviceId {
            stream: Arc::clone(&status.stream),
            client_id: status.client_id.clone(),
            device_id: status.device_id.clone(),
        }
    }

    /// What that of a status consists of.
    pub(super) fn parts(status: &StatusEvent) -> (&str, &str, &str) {
        (&status.stream, &status.client_id, &status.device_id)
    }

    /// Whether it is that of a status.
    pub(super) fn is_of(&self, status: &StatusEvent) -> bool {
        (&*self.stream, &*self.client_id, &*self.device_id) == DeviceId::parts(status)
    }
}

/// What seldom changes of a device.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Profile {
    pub(super) serial: Option<String>,
    pub(super) place: Place,
}

impl Profile {
    /// The one that a status leaves, where the device had another one before.
    pub(super) fn after(before: Option<&Profile>, status: &StatusEvent) -> Profile {
        let mut profile = Profile {
            serial: status.serial.clone(),
            place: status.place.clone(),
        };
        if let Some(before) = before.filter(|_| status.via == Via::Resync) {
            if profile.serial.is_none() {
                profile.serial.clone_from(&before.serial);
            }
            if profile.place == Place::default() {
                profile.place = before.place.clone();
            }
        }
        profile
    }

    /// Whether a status says the same. A snapshot may say nothing of the place or the serial number:
    /// that takes away neither.
    pub(super) fn is_of(&self, status: &StatusEvent) -> bool {
        let is_silent = status.via == Via::Resync;
        let says_place = !is_silent || status.place != Place::default();
        let says_serial = !is_silent || status.serial.is_some();
        (!says_serial || self.serial == status.serial)
            && (!says_place || self.place == status.place)
    }
}

/// A row of `profile`.
#[derive(Debug, Clone)]
pub(super) struct ProfileRow {
    pub(super) key: i64,
    pub(super) month: i64,
    /// `None`: nobody has looked yet.
    pub(super) profile: Option<Arc<Profile>>,
}

/// How far `state_daily_row` has the open piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) certain_until: Timestamp,
    pub(super) until: Timestamp,
}

/// A row of `device_row`.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) key: i64,
    pub(super) id: Arc<DeviceId>,
    pub(super) topic_key: i64,
    pub(super) journal_key: i64,
    pub(super) position: i64,
    pub(super) sequence: i64,
    pub(super) profile: ProfileRow,
    /// The state of the newest status, by its word: the open piece may have begun with another one.
    pub(super) word_key: i64,
    /// When the newest status was received, by the clock of then.
    pub(super) received_at: Timestamp,
    pub(super) first_seen: Timestamp,
    pub(super) open: Open,
    pub(super) swept: Option<Swept>,
}

/// A device as both databases give it, by [`SELECT`].
#[derive(Debug, sqlx::FromRow)]
pub(super) struct DeviceText {
    device_key: i64,
    stream: String,
    client_id: String,
    device_id: String,
    topic_key: i64,
    journal_key: i64,
    position: i64,
    sequence: i64,
    profile_key: i64,
    month: i64,
    serial: Option<String>,
    province: Option<String>,
    city: Option<String>,
    district: Option<String>,
    detail: Option<String>,
    coordinate_system: Option<String>,
    longitude: Option<f64>,
    latitude: Option<f64>,
    wgs84_longitude: Option<f64>,
    wgs84_latitude: Option<f64>,
    state_key: i64,
    word_key: i64,
    state: String,
    severity: String,
    received_at: String,
    first_seen: String,
    last_seen: String,
    piece_since: String,
    run_since: String,
    fault_since: Option<String>,
    fault_uncertain_us: i64,
    counted_until: Option<String>,
    counted_certain_until: Option<String>,
}

/// Devices with their profile and state. `from` names device_row `d` and what it is joined to;
/// `time` writes a time as a text.
pub(super) fn select(from: &str, time: impl Fn(&str) -> String) -> String {
    let times = [
        "received_at",
        "first_seen",
        "last_seen",
        "piece_since",
        "run_since",
        "fault_since",
        "counted_until",
        "counted_certain_until",
    ];
    let times = times.map(|name| format!("{} AS {name}", time(&format!("d.{name}"))));
    format!(
        "SELECT CAST(d.device_key AS bigint) AS device_key, d.stream, d.client_id, d.device_id, \
         CAST(d.topic_key AS bigint) AS topic_key, CAST(d.journal_key AS bigint) AS journal_key, \
         d.position, d.sequence, d.profile_key, \
         CAST(p.month AS bigint) AS month, p.serial, p.province, p.city, p.district, p.detail, \
         p.coordinate_system, p.longitude, p.latitude, p.wgs84_longitude, p.wgs84_latitude, \
         CAST(d.state_key AS bigint) AS state_key, CAST(d.word_key AS bigint) AS word_key, \
         s.state, s.severity, d.fault_uncertain_us, {} \
         FROM {from} JOIN profile AS p ON p.profile_key = d.profile_key \
         JOIN state AS s ON s.state_key = d.state_key",
        times.join(", ")
    )
}

impl DeviceText {
    /// `None`: a time in it is none.
    pub(super) fn device(self) -> Option<Device> {
        let pair = |longitude: Option<f64>, latitude: Option<f64>| {
            Some(Coordinates {
                longitude: longitude?,
                latitude: latitude?,
            })
        };
        let place = Place {
            province: self.province,
            city: self.city,
            district: self.district,
            detail: self.detail,
            coordinate_system: self.coordinate_system,
            raw: pair(self.longitude, self.latitude),
            wgs84: pair(self.wgs84_longitude, self.wgs84_latitude),
        };
        let profile = Profile {
            serial: self.serial,
            place,
        };
        let fault = match &self.fault_since {
            Some(since) => Some(Fault {
                since: time(since)?,
                uncertain_us: self.fault_uncertain_us,
            }),
            None => None,
        };
        let swept = match (&self.counted_certain_until, &self.counted_until) {
            (Some(certain_until), Some(until)) => Some(Swept {
                certain_until: time(certain_until)?,
                until: time(until)?,
            }),
            _ => None,
        };
        Some(Device {
            key: self.device_key,
            id: Arc::new(DeviceId {
                stream: self.stream.into(),
                client_id: self.client_id,
                device_id: self.device_id,
            }),
            topic_key: self.topic_key,
            journal_key: self.journal_key,
            position: self.position,
            sequence: self.sequence,
            profile: ProfileRow {
                key: self.profile_key,
                month: self.month,
                profile: Some(Arc::new(profile)),
            },
            word_key: self.word_key,
            received_at: time(&self.received_at)?,
            first_seen: time(&self.first_seen)?,
            open: Open {
                state: state(self.state_key, &self.state, &self.severity),
                since: time(&self.piece_since)?,
                run_since: time(&self.run_since)?,
                fault,
                last_seen: time(&self.last_seen)?,
            },
            swept,
        })
    }
}

/// A row of `state`.
pub(super) fn state(key: i64, state: &str, severity: &str) -> State {
    let known = Severity::ALL;
    let severity = known.into_iter().find(|known| known.as_str() == severity);
    State {
        key,
        state: state.into(),
        severity: severity.unwrap_or_default(),
    }
}

/// A time as both databases give it.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
