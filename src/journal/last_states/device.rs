//! A device, its last state, and what one status says of it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::pipeline::StatusKey;

/// Bytes that a device takes in the cache besides its texts.
pub(super) const CACHED_BYTES: usize = 320;

/// Bytes that a row takes on disk besides its texts.
pub(in crate::journal) const ROW_BYTES: usize = 48;

/// A device, within the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::journal) struct DeviceKey {
    pub(in crate::journal) stream: Arc<str>,
    pub(in crate::journal) client_id: Box<str>,
    pub(in crate::journal) device_id: Box<str>,
}

/// The last state of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::journal) struct LastState {
    /// Its newest state as sent, without the blanks around it.
    pub(in crate::journal) state: Box<str>,
    /// Its last event keys, the newest last.
    pub(in crate::journal) keys: Vec<u64>,
    /// When it was heard; on disk up to an hour before.
    pub(in crate::journal) heard_at: Timestamp,
}

/// A row of the table.
pub(in crate::journal) type Row = (DeviceKey, LastState);

/// A row that the table does not have yet.
pub(in crate::journal) type WaitingRow<'a> = (&'a DeviceKey, &'a LastState);

/// A change that a snapshot brought: the message that says the same may come after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Anticipated {
    /// The state before.
    pub(super) from: Box<str>,
    pub(super) at: Timestamp,
    /// Of the snapshot.
    pub(super) topic: Arc<str>,
    /// How often the topic had begun or ceased to be heard by then.
    pub(super) turns: u64,
}

impl LastState {
    pub(super) fn table_bytes(&self, key: &DeviceKey) -> u64 {
        let names = key.stream.len() + key.client_id.len() + key.device_id.len();
        // The names stand in the table and in its index.
        (2 * names + self.state.len() + 8 * self.keys.len() + ROW_BYTES) as u64
    }

    pub(super) fn cached_bytes(&self, key: &DeviceKey) -> usize {
        key.client_id.len() + key.device_id.len() + self.state.len() + CACHED_BYTES
    }
}

/// What one status says of its device.
pub(super) struct Said {
    pub(super) old_state: Option<String>,
    pub(super) new_state: String,
    pub(super) event_key: Option<u64>,
}

/// The device of a status, and what it says of that.
pub(super) fn taken_apart(stream: Arc<str>, key: StatusKey) -> (DeviceKey, Said) {
    let device = DeviceKey {
        stream,
        client_id: key.client_id.into(),
        device_id: key.device_id.into(),
    };
    let said = Said {
        old_state: key.old_state,
        new_state: key.new_state,
        event_key: key.event_key,
    };
    (device, said)
}
