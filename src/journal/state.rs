//! The journal's state in memory, which its handles and its writer share.

mod sinks;

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use sinks::Sinks;
pub(super) use sinks::{CursorRow, OperatorState};

use super::cache::Cache;
use super::device_states::DeviceStates;
use super::last_states::{LastStates, Met};
use super::proof::{DeliveryProof, Kept, ProofSave, Proofs};
use super::received_times::ReceivedTimes;
use super::retention::waiting_bytes;
use super::{DlqWhenFull, Error, Room, Settings, Status, WhenFull};
use crate::model::{JournalIds, Position};
use crate::next_turn::NextTurn;

/// Head, cursors and commands, as handles and the writer share them.
#[derive(Debug)]
pub(super) struct State {
    pub(super) uuid: Uuid,
    /// That one, and those of what was there before a restore.
    pub(super) ids: JournalIds,
    /// The newest durable position.
    pub(super) head: watch::Sender<Position>,
    /// The oldest entry, or 0 where there is none.
    oldest: AtomicI64,
    pub(super) bytes: AtomicU64,
    /// Written since `bytes` was measured.
    pub(super) unmeasured_bytes: AtomicU64,
    /// The size of the log at which nothing is accepted; `u64::MAX`: none.
    limit: AtomicU64,
    pub(super) when_full: WhenFull,
    bytes_max: u64,
    /// What the source appends is accepted beyond the size of the log.
    pub(super) beyond: AtomicBool,
    /// Tells the writer of a change of that.
    pub(super) bound_changed: Notify,
    pub(super) full: AtomicBool,
    /// It is full since its disk is.
    pub(super) disk_full: AtomicBool,
    /// It was closed while its disk had no room for what waited.
    pub(super) closed_full: AtomicBool,
    pub(super) accepted: AtomicU64,
    pub(super) undecodable: AtomicU64,
    pub(super) resynced: AtomicU64,
    pub(super) parts: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) undecodable_removed: AtomicU64,
    devices: AtomicU64,
    devices_evicted: AtomicU64,
    missed_transitions: AtomicU64,
    repeats: AtomicU64,
    device_states: Mutex<DeviceStates>,
    /// Tells the writer once that cursors have moved, until it asks which.
    pub(super) cursors_moved: Notify,
    /// Counts the commands: a change wakes the sinks.
    pub(super) commands: watch::Sender<u64>,
    /// The bound of each sink's dead letters, in bytes, and what happens there.
    dlq_bytes_max: u64,
    dlq_when_full: DlqWhenFull,
    cache: Mutex<Cache>,
    proofs: Mutex<Proofs>,
    sinks: Mutex<Sinks>,
    /// The digest of each sink's `when`, where it is known what that makes of statuses.
    judged: Mutex<BTreeMap<Arc<str>, Arc<[u8]>>>,
    received_times: Mutex<ReceivedTimes>,
    /// The writer's.
    pub(super) next_turn: NextTurn,
    /// The lock's handle on the file, which is not closed before those that read it.
    file: OnceLock<Arc<File>>,
}

impl State {
    /// The state on disk when the journal was opened.
    pub(super) fn new(
        settings: &Settings,
        ids: JournalIds,
        head: Position,
        cursors: Vec<CursorRow>,
        operator_state: OperatorState,
        proofs: Kept,
    ) -> State {
        let state = State {
            uuid: ids.now(),
            ids,
            head: watch::Sender::new(head),
            oldest: AtomicI64::new(0),
            bytes: AtomicU64::new(0),
            unmeasured_bytes: AtomicU64::new(0),
            limit: AtomicU64::new(0),
            bytes_max: settings.bytes_max,
            when_full: settings.when_full,
            beyond: AtomicBool::new(false),
            bound_changed: Notify::new(),
            full: AtomicBool::new(false),
            disk_full: AtomicBool::new(false),
            closed_full: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            undecodable: AtomicU64::new(0),
            resynced: AtomicU64::new(0),
            parts: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            undecodable_removed: AtomicU64::new(0),
            devices: AtomicU64::new(0),
            devices_evicted: AtomicU64::new(0),
            missed_transitions: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
            device_states: Mutex::default(),
            cursors_moved: Notify::new(),
            commands: watch::Sender::new(0),
            dlq_bytes_max: settings.dlq_bytes_max,
            dlq_when_full: settings.dlq_when_full,
            cache: Mutex::default(),
            proofs: Mutex::new(Proofs::new(proofs)),
            sinks: Mutex::new(Sinks::new(cursors)),
            judged: Mutex::default(),
            received_times: Mutex::default(),
            next_turn: NextTurn::default(),
            file: OnceLock::new(),
        };
        state.set_operator_state(operator_state);
        state
    }

    /// Keeps a handle on the journal's file open.
    pub(super) fn keep_open(&self, file: Arc<File>) {
        let _ = self.file.set(file);
    }

    pub(super) fn head(&self) -> Position {
        *self.head.borrow()
    }

    pub(super) fn oldest(&self) -> Option<Position> {
        Some(Position(self.oldest.load(Ordering::Relaxed)))
            .filter(|oldest| *oldest != Position::START)
    }

    /// Takes when the entries of a log that was opened were received.
    pub(super) fn knows_times(&self, times: ReceivedTimes) {
        *self.received_times() = times;
    }

    /// The entries from this one on are on disk; the writer had them at `at`.
    pub(super) fn wrote_from(&self, from: Position, at: Timestamp) {
        self.received_times().wrote(from, at);
    }

    /// Since when the oldest entry behind a cursor waits, to about a second or a 64th of that time;
    /// `None`: none does.
    pub(super) fn waits_since(&self, cursor: Position) -> Option<Timestamp> {
        (cursor < self.head())
            .then(|| self.received_times().at(Position(cursor.0 + 1)))
            .flatten()
    }

    fn received_times(&self) -> MutexGuard<'_, ReceivedTimes> {
        self.received_times
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begins(&self, oldest: Option<Position>) {
        self.oldest
            .store(oldest.unwrap_or(Position::START).0, Ordering::Relaxed);
    }

    /// Takes how many devices are known and how many were just forgotten, and the counts since the
    /// start.
    pub(super) fn tell_devices(&self, known: &mut LastStates, evicted: usize, met: Met) {
        self.devices.store(known.size().rows, Ordering::Relaxed);
        if let Some(states) = known.take_states() {
            self.device_states().clone_from(states);
        }
        for (counter, more) in [
            (&self.devices_evicted, evicted as u64),
            (&self.missed_transitions, met.missed_transitions),
            (&self.repeats, met.repeats),
        ] {
            counter.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// How many devices are in each state, and the last changes.
    pub(super) fn device_states(&self) -> MutexGuard<'_, DeviceStates> {
        self.device_states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest entries, for a moment.
    pub(super) fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a proof with the next save of the cursors.
    pub(super) fn prove(&self, proof: DeliveryProof) {
        self.proofs().push(proof);
    }

    /// What that save writes of them.
    pub(super) fn proofs_to_save(&self) -> ProofSave {
        self.proofs().to_save()
    }

    /// It is written, and so many bytes of older ones went.
    pub(super) fn saved_proofs(&self, save: &ProofSave, removed_bytes: u64) {
        self.proofs().saved(save, removed_bytes);
    }

    /// What the proofs take on disk.
    pub(super) fn proofs_bytes(&self) -> u64 {
        self.proofs().bytes()
    }

    fn proofs(&self) -> MutexGuard<'_, Proofs> {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes that it is known what a sink's `when` makes of statuses.
    pub(super) fn judge(&self, sink: Arc<str>, digest: Arc<[u8]>) {
        self.judged().insert(sink, digest);
    }

    pub(super) fn is_judged(&self, sink: &str, digest: &[u8]) -> bool {
        self.judged()
            .get(sink)
            .is_some_and(|known| **known == *digest)
    }

    /// The sink is forgotten.
    pub(super) fn forget_judged(&self, sink: &str) {
        self.judged().remove(sink);
    }

    fn judged(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<[u8]>>> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a measurement of the log: its bytes, and the size at which nothing is accepted.
    pub(super) fn measured(&self, bytes: u64, limit: Option<u64>) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.unmeasured_bytes.store(0, Ordering::Relaxed);
        self.limit
            .store(limit.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What the log may still take. What every sink is past goes before it is full.
    pub(super) fn room(&self) -> Room {
        let limit = self.limit.load(Ordering::Relaxed);
        if limit == u64::MAX {
            return Room::ENDLESS;
        }
        let used =
            self.bytes.load(Ordering::Relaxed) + self.unmeasured_bytes.load(Ordering::Relaxed);
        let waiting = match (self.oldest(), self.slowest()) {
            (None, _) => 0,
            (Some(oldest), Some(slowest)) => waiting_bytes(used, oldest, self.head(), slowest),
            // Nobody knows yet which are needed.
            (Some(_), None) => used,
        };
        let bytes = match self.full.load(Ordering::Relaxed) {
            true => 0,
            false => limit.saturating_sub(waiting),
        };
        Room {
            bytes,
            bytes_max: limit.min(self.bytes_max),
        }
    }

    /// How much of it is beyond its bound.
    pub(super) fn beyond_bytes(&self) -> u64 {
        let used =
            self.bytes.load(Ordering::Relaxed) + self.unmeasured_bytes.load(Ordering::Relaxed);
        used.saturating_sub(self.limit.load(Ordering::Relaxed))
    }

    /// What the writer ends with.
    pub(super) fn closes(&self, error: &Error) {
        if error.is_out_of_space() {
            self.closed_full.store(true, Ordering::Release);
        }
    }

    pub(super) fn status(&self) -> Status {
        // Before the head, which is past every cursor.
        let sinks = self.sink_statuses();
        Status {
            head: self.head(),
            oldest: self.oldest(),
            bytes: self.bytes.load(Ordering::Relaxed),
            full: self.full.load(Ordering::Relaxed),
            disk_full: self.disk_full.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            undecodable: self.undecodable.load(Ordering::Relaxed),
            resynced: self.resynced.load(Ordering::Relaxed),
            parts: self.parts.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
            undecodable_removed: self.undecodable_removed.load(Ordering::Relaxed),
            devices: self.devices.load(Ordering::Relaxed),
            devices_evicted: self.devices_evicted.load(Ordering::Relaxed),
            missed_transitions: self.missed_transitions.load(Ordering::Relaxed),
            repeats: self.repeats.load(Ordering::Relaxed),
            sinks,
        }
    }
}
