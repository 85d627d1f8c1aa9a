//! What a recorder has to know of what is stored: what every batch asks for, and what one wants.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::sinks::history::device::{Device, DeviceId};
use crate::sinks::history::tables::Digest;
use crate::sinks::history::timeline::{Gap, State};

/// What a history has, as far as every batch asks for it.
#[derive(Debug, Default)]
pub(in crate::sinks::history) struct Base {
    /// Key, journal, and the newest position that may be stored.
    pub(in crate::sinks::history) journals: Vec<(i64, String, i64)>,
    pub(in crate::sinks::history) topics: Vec<(i64, String)>,
    pub(in crate::sinks::history) states: Vec<State>,
    /// Topic and gap.
    pub(in crate::sinks::history) gaps: Vec<(String, Gap)>,
    pub(in crate::sinks::history) last: Keys,
    /// The devices with smaller keys are counted in `state_daily_row`.
    pub(in crate::sinks::history) recounted_below: i64,
    /// Of the devices that were held: somebody has deleted their rows, and not what belongs to them.
    pub(in crate::sinks::history) robbed: HashSet<i64>,
}

/// The keys that were given last.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::sinks::history) struct Keys {
    pub(in crate::sinks::history) sequence: i64,
    pub(in crate::sinks::history) device: i64,
    pub(in crate::sinks::history) state: i64,
    pub(in crate::sinks::history) profile: i64,
    pub(in crate::sinks::history) payload: i64,
}

/// What has to be looked up for a batch.
#[derive(Debug, Default)]
pub(in crate::sinks::history) struct Wanted {
    /// By journal key: the positions that may be stored already.
    pub(in crate::sinks::history) positions: HashMap<i64, Vec<i64>>,
    /// The first and the last time at which these were received.
    pub(in crate::sinks::history) times: Option<(Timestamp, Timestamp)>,
    /// The event ids that are no origins.
    pub(in crate::sinks::history) ids: Vec<String>,
    pub(in crate::sinks::history) devices: Vec<DeviceId>,
    pub(in crate::sinks::history) words: Vec<String>,
    pub(in crate::sinks::history) payloads: Vec<(i64, Digest)>,
}

/// What was found of it.
#[derive(Debug, Default)]
pub(in crate::sinks::history) struct Found {
    /// Journal key and position.
    pub(in crate::sinks::history) positions: HashSet<(i64, i64)>,
    pub(in crate::sinks::history) ids: HashSet<String>,
    pub(in crate::sinks::history) devices: Vec<Device>,
    /// Word and state.
    pub(in crate::sinks::history) states: Vec<(String, State)>,
    /// Month, digest and key.
    pub(in crate::sinks::history) payloads: Vec<(i64, Digest, i64)>,
}
