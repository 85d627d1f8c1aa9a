//! The journal's state for an operator.

use std::sync::Arc;

use crate::model::Position;

/// A copy of the journal's state; taking one reads memory only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The newest durable entry.
    pub head: Position,
    /// The oldest entry still there; `None`: there is none.
    pub oldest: Option<Position>,
    /// Bytes that the entries occupy; the file may be larger, since it keeps freed pages for later.
    pub bytes: u64,
    /// Nothing is accepted until the sinks have caught up.
    pub full: bool,
    /// Its disk is what is full: the sinks make no room there.
    pub disk_full: bool,
    /// Accepted entries written since the journal was opened.
    pub accepted: u64,
    /// Undecodable entries written since the journal was opened.
    pub undecodable: u64,
    /// How many statuses of snapshots it has written since the start.
    pub resynced: u64,
    /// How many of the undecodable entries are parts of an earlier one, appended on an operator's
    /// redrive.
    pub parts: u64,
    /// Entries evicted by [`WhenFull::DropOldest`](super::WhenFull) since the journal was opened.
    pub evicted: u64,
    /// Undecodable entries that were removed since the journal was opened, by their age or to make
    /// room, before anybody had dealt with them.
    pub undecodable_removed: u64,
    /// Devices whose last state is known.
    pub devices: u64,
    /// Devices that were forgotten since the start, because of `devices_max`.
    pub devices_evicted: u64,
    /// Statuses since the start whose old state was not the last one known.
    pub missed_transitions: u64,
    /// Statuses since the start that were received before.
    pub repeats: u64,
    /// Every sink that the journal knows, by name.
    pub sinks: Vec<SinkStatus>,
}

/// What the log may still take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes until it is full. What every sink is past counts as free: it goes before that.
    pub bytes: u64,
    /// The size at which it is full.
    pub bytes_max: u64,
}

impl Room {
    /// It is never full.
    pub(super) const ENDLESS: Room = Room {
        bytes: u64::MAX,
        bytes_max: u64::MAX,
    };
}

/// How far one sink has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkStatus {
    /// As in the configuration.
    pub name: Arc<str>,
    /// Everything at or before it is confirmed or dead-lettered.
    pub cursor: Position,
    /// How many entries are dead-lettered for it.
    pub dead_lettered: u64,
    /// The bytes of its dead letters.
    pub dlq_bytes: u64,
    /// It is in the configuration; where it is not, its cursor still holds entries back.
    pub configured: bool,
}

impl SinkStatus {
    /// How many positions lie between its cursor and this head.
    pub fn pending(&self, head: Position) -> u64 {
        (head.0 - self.cursor.0).max(0).unsigned_abs()
    }
}
