//! What a history is to write.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use crate::model::StatusEvent;
use crate::sinks::history::device::{Device, DeviceId, ProfileRow};
use crate::sinks::history::tables::{CoverageRow, EventRow, Named, PayloadRow, PieceRow, StateRow};
use crate::sinks::history::timeline::Met;

/// Rows to write, in the order of the fields.
#[derive(Debug, Default)]
pub(in crate::sinks::history) struct Recording {
    pub(in crate::sinks::history) journals: Vec<Named>,
    pub(in crate::sinks::history) topics: Vec<Named>,
    pub(in crate::sinks::history) states: Vec<StateRow>,
    pub(in crate::sinks::history) profiles: Vec<ProfileRow>,
    pub(in crate::sinks::history) payloads: Vec<PayloadRow>,
    pub(in crate::sinks::history) events: Vec<EventRow>,
    pub(in crate::sinks::history) pieces: Vec<PieceRow>,
    /// Devices whose timeline is to be made again, from the event that is the earliest.
    pub(in crate::sinks::history) late: HashMap<Arc<DeviceId>, Timestamp>,
    /// Statuses without a row, since they are older than what the history keeps.
    pub(in crate::sinks::history) too_old: u64,
}

impl Recording {
    pub(super) fn event(&mut self, row: EventRow, floor: Option<Timestamp>) {
        match is_below(floor, &row.status) {
            true => self.too_old += 1,
            false => self.events.push(row),
        }
    }
}

/// An event that is stored, as far as a timeline asks for it.
#[derive(Debug, Clone)]
pub(in crate::sinks::history) struct Kept {
    pub(in crate::sinks::history) met: Met,
    pub(in crate::sinks::history) changed: bool,
    pub(in crate::sinks::history) topic_key: i64,
    pub(in crate::sinks::history) journal_key: i64,
    pub(in crate::sinks::history) position: i64,
    pub(in crate::sinks::history) profile_key: i64,
    pub(in crate::sinks::history) received_at: Timestamp,
}

/// What to do with the pieces of a device.
#[derive(Debug, Default)]
pub(in crate::sinks::history) struct Rebuilt {
    /// By their beginning and the event that closed them.
    pub(in crate::sinks::history) remove: Vec<(Timestamp, i64)>,
    pub(in crate::sinks::history) add: Vec<PieceRow>,
}

/// What to do with the rows of `coverage`.
#[derive(Debug, Default)]
pub(in crate::sinks::history) struct Covered {
    pub(in crate::sinks::history) rows: Vec<CoverageRow>,
    /// Gaps that end, by the event that began them.
    pub(in crate::sinks::history) ends: Vec<(String, Timestamp)>,
    /// Topics whose gaps have to be made of all rows.
    pub(in crate::sinks::history) topics: BTreeSet<Arc<str>>,
    /// Of the rows those that may be the first of their topic and journal, and begin a gap: what was
    /// heard before was heard by another journal.
    pub(in crate::sinks::history) taken_over: Vec<usize>,
}

/// Devices that are not as the history has them, in the order of their keys.
pub(in crate::sinks::history) struct Changed {
    /// They have rows.
    pub(in crate::sinks::history) known: Vec<Device>,
    pub(in crate::sinks::history) new: Vec<Device>,
}

/// Whether the history keeps nothing of its time.
pub(super) fn is_below(floor: Option<Timestamp>, status: &StatusEvent) -> bool {
    floor.is_some_and(|floor| status.received_at < floor)
}
