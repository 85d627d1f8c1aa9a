//! What is written to the journal and what is read from it.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use crate::model::{EntryKind, Position};

/// What an entry is, with what the journal knows of it beside its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryContent {
    /// A status that could be decoded when it was received.
    Status {
        /// The last state known of this device before, where it is not what the status gives as
        /// its old state.
        previous: Option<Box<str>>,
        /// The same status was received before: no sink gets it.
        repeat: bool,
    },
    /// What could not be decoded: kept, counted, for no sink.
    Undecodable {
        /// What was expected and what stands there.
        reason: Box<str>,
    },
    /// A [`Coverage`](crate::model::Coverage), as JSON.
    Coverage,
    /// Nothing writes one yet.
    Alarm,
}

impl EntryContent {
    /// The kind of the entry.
    pub fn kind(&self) -> EntryKind {
        match self {
            EntryContent::Status { .. } => EntryKind::Status,
            EntryContent::Undecodable { .. } => EntryKind::Undecodable,
            EntryContent::Coverage => EntryKind::Coverage,
            EntryContent::Alarm => EntryKind::Alarm,
        }
    }
}

/// A status to be written.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// The topic's name in the configuration.
    pub topic: Arc<str>,
    /// When the daemon received it.
    pub received_at: Timestamp,
    /// The status's own bytes, or the whole body where that could not be taken apart.
    pub body: Bytes,
    /// See [`EntryContent`].
    pub content: EntryContent,
}

/// A status that was read back.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place, given by the journal.
    pub position: Position,
    /// As in [`NewEntry`].
    pub topic: Arc<str>,
    /// As in [`NewEntry`], in whole microseconds.
    pub received_at: Timestamp,
    /// As in [`NewEntry`].
    pub body: Bytes,
    /// As in [`NewEntry`].
    pub content: EntryContent,
}

/// The newest state of one device on one topic, kept with the journal so that a missed transition
/// is seen across a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastState {
    /// The topic's name in the configuration.
    pub topic: Arc<str>,
    /// As in an event.
    pub client_id: String,
    /// As in an event.
    pub device_id: String,
    /// As sent.
    pub new_state: String,
}

/// An entry that one sink will never get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// As in the configuration.
    pub sink: String,
    /// The entry; it stays in the log for as long as it is dead-lettered.
    pub position: Position,
    /// What was refused and why.
    pub error: String,
    /// When that was.
    pub at: Timestamp,
}

/// A run of entries that were evicted before every sink had them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eviction {
    /// The first of them.
    pub from: Position,
    /// The last of them.
    pub to: Position,
    /// How many there were.
    pub entries: u64,
    /// When the first was evicted.
    pub since: Timestamp,
    /// When the last was evicted.
    pub until: Timestamp,
    /// By which policy.
    pub reason: String,
}

/// What is written in one transaction, whole or not at all.
#[derive(Debug, Clone, Default)]
pub struct NewBatch {
    /// In the order in which they get their positions.
    pub entries: Vec<NewEntry>,
    /// The newest states that the entries bring; of two for one device the later one holds.
    pub last_states: Vec<LastState>,
}

impl NewBatch {
    /// What the batch occupies in memory while it waits, in bytes, within a few.
    pub(super) fn bytes(&self) -> usize {
        const ENTRY_OVERHEAD_BYTES: usize = size_of::<NewEntry>() + size_of::<LastState>();
        self.entries
            .iter()
            .map(|entry| ENTRY_OVERHEAD_BYTES + entry.body.len())
            .sum()
    }
}
