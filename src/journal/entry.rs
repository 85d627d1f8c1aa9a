//! The values that are written to the journal and read from it.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use crate::model::{EntryKind, Position};
use crate::pipeline::{FieldPlaces, StatusKey};

/// The kind of an entry, with what the journal knows of it besides its body.
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
    /// A body that could not be decoded: kept and counted, delivered to no sink.
    Undecodable {
        /// The expected value and the found one.
        reason: Box<str>,
    },
    /// A [`Coverage`](crate::model::Coverage), as JSON.
    Coverage,
    /// Nothing writes one yet.
    Alarm,
    /// A status of a snapshot.
    Resync {
        /// As in [`EntryContent::Status`].
        previous: Option<Box<str>>,
        /// It has the state that we knew: it only says that this is still so.
        confirms: bool,
    },
}

impl EntryContent {
    /// The kind of the entry.
    pub fn kind(&self) -> EntryKind {
        match self {
            EntryContent::Status { .. } => EntryKind::Status,
            EntryContent::Undecodable { .. } => EntryKind::Undecodable,
            EntryContent::Coverage => EntryKind::Coverage,
            EntryContent::Alarm => EntryKind::Alarm,
            EntryContent::Resync { .. } => EntryKind::Resync,
        }
    }

    /// The last state known of the device before a status, where it is not what that gives as its old
    /// one.
    pub fn previous(&self) -> Option<&str> {
        match self {
            EntryContent::Status { previous, .. } | EntryContent::Resync { previous, .. } => {
                previous.as_deref()
            }
            _ => None,
        }
    }
}

/// The content of an entry to be written. The journal adds what it knew of the device before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewContent {
    /// A status that could be decoded.
    Status {
        /// The stream of its devices: the topic's name, unless several topics bring the same
        /// statuses.
        stream: Arc<str>,
        /// The device, and what the status says of it.
        key: StatusKey,
        /// Where its fields stand, for the sinks that come by soon.
        places: Option<FieldPlaces>,
    },
    /// A body that could not be decoded.
    Undecodable {
        /// The expected value and the found one.
        reason: Box<str>,
    },
    /// A [`Coverage`](crate::model::Coverage), as JSON.
    Coverage,
    /// A status of a snapshot. It makes an entry where it differs from the last state known of the
    /// device, and no message has said the same before or something newer.
    Resync {
        /// As in [`NewContent::Status`].
        stream: Arc<str>,
        /// As in [`NewContent::Status`].
        key: StatusKey,
        /// Where it says what we knew.
        unchanged: Unchanged,
    },
}

/// What becomes of a snapshot's status that says what we knew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unchanged {
    /// An entry: the topic was not heard for a while, and its devices' states were uncertain.
    Confirms,
    /// Nothing.
    Dropped,
}

impl NewContent {
    /// The device of a status, by its stream, and what is said of it.
    pub fn status(&self) -> Option<(&Arc<str>, &StatusKey)> {
        match self {
            NewContent::Status { stream, key, .. } | NewContent::Resync { stream, key, .. } => {
                Some((stream, key))
            }
            NewContent::Undecodable { .. } | NewContent::Coverage => None,
        }
    }

    /// The kind of the entry.
    pub fn kind(&self) -> EntryKind {
        match self {
            NewContent::Status { .. } => EntryKind::Status,
            NewContent::Undecodable { .. } => EntryKind::Undecodable,
            NewContent::Coverage => EntryKind::Coverage,
            NewContent::Resync { .. } => EntryKind::Resync,
        }
    }

    /// A status of a device whose state never changes: what tests begin with.
    pub fn sample() -> NewContent {
        NewContent::Status {
            stream: "sample".into(),
            key: StatusKey {
                client_id: "1".to_owned(),
                device_id: "1".to_owned(),
                old_state: Some("ok".to_owned()),
                new_state: "ok".to_owned(),
                event_key: None,
                shared_hash: None,
            },
            places: None,
        }
    }
}

/// An entry to be written.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// The topic's name in the configuration.
    pub topic: Arc<str>,
    /// When the daemon received it.
    pub received_at: Timestamp,
    /// The status's own bytes, or the whole body where that could not be taken apart.
    pub body: Bytes,
    /// See [`NewContent`].
    pub content: NewContent,
}

impl NewEntry {
    /// Whether it came in a message of the server.
    pub fn is_received(&self) -> bool {
        self.content.kind().is_received()
    }
}

/// An entry as it stands in the log.
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
    /// See [`EntryContent`].
    pub content: EntryContent,
    /// Where the fields of a status stand; `None`, too, where it was read from the file.
    pub places: Option<FieldPlaces>,
}

impl Entry {
    /// Why a dead letter has nothing to deliver: its entry was evicted before it could be copied.
    pub fn gone(&self) -> Option<&str> {
        match &self.content {
            EntryContent::Undecodable { reason }
                if self.topic.is_empty() && self.body.is_empty() =>
            {
                Some(reason)
            }
            _ => None,
        }
    }
}

/// A copy of an entry that one sink rejected, until an operator redrives or drops it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// As in the configuration.
    pub sink: String,
    /// The entry that it is a copy of.
    pub position: Position,
    /// The sink's error.
    pub error: String,
    /// When the sink rejected it.
    pub at: Timestamp,
}

/// A dead letter, or an undecodable entry, with the beginning of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The entry that it is a copy of.
    pub position: Position,
    /// What that entry is.
    pub kind: EntryKind,
    /// As in [`NewEntry`].
    pub topic: Arc<str>,
    /// As in [`NewEntry`].
    pub received_at: Timestamp,
    /// When the sink rejected it.
    pub at: Timestamp,
    /// The sink's error, or why it cannot be decoded.
    pub error: String,
    /// The beginning of the body.
    pub body: Bytes,
    /// All of the body.
    pub body_bytes: u64,
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
    /// When the first of them was evicted.
    pub since: Timestamp,
    /// When the last of them was evicted.
    pub until: Timestamp,
    /// By which policy.
    pub reason: String,
}

impl Eviction {
    /// Whether an entry that is no longer there was one of them.
    pub fn has(&self, position: Position) -> bool {
        self.from <= position && position <= self.to
    }
}

/// Entries that are written in one transaction, whole or not at all.
#[derive(Debug, Clone, Default)]
pub struct NewBatch {
    /// In the order in which they get their positions.
    pub entries: Vec<NewEntry>,
}

impl NewBatch {
    /// Bytes that the batch occupies in memory while it waits, within a few.
    pub(super) fn bytes(&self) -> usize {
        const ENTRY_OVERHEAD_BYTES: usize = size_of::<NewEntry>() + size_of::<Entry>();
        self.entries
            .iter()
            .map(|entry| ENTRY_OVERHEAD_BYTES + entry.body.len())
            .sum()
    }
}
