//! The journal's state in memory, which its handles and its writer share.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::accounting::{Accounting, Passed};
use super::cache::Cache;
use super::command::Replay;
use super::dead_letters::DlqTotal;
use super::device_states::DeviceStates;
use super::last_states::{LastStates, Met};
use super::proof::{DeliveryProof, Kept, ProofSave, Proofs};
use super::received_times::ReceivedTimes;
use super::retention::waiting_bytes;
use super::{DlqWhenFull, Error, Room, Settings, SinkStatus, Start, Status, WhenFull};
use crate::faults::{self, Mutation};
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

/// The cursors of all sinks that the journal has ever seen.
#[derive(Debug, Default)]
struct Sinks {
    by_name: BTreeMap<Arc<str>, Cursor>,
    /// The replays, by sink: their entries are kept.
    replays: BTreeMap<Arc<str>, Replay>,
    /// The writer knows that cursors have moved.
    told: bool,
    /// Until the sinks are registered nobody knows which entries are still needed.
    registered: bool,
}

#[derive(Debug, Clone, Default)]
struct Cursor {
    position: Position,
    accounting: Accounting,
    /// The position on disk; `None`: nothing yet.
    durable: Option<(Position, Accounting)>,
    dead_lettered: u64,
    /// The bytes of the dead letters.
    dlq_bytes: u64,
    /// It is in the configuration. Entries after its cursor are kept for it even where it is not,
    /// until it is forgotten.
    configured: bool,
}

/// A cursor and its accounting, as they are written together.
#[derive(Debug, Clone)]
pub(super) struct CursorRow {
    pub(super) sink: Arc<str>,
    pub(super) position: Position,
    pub(super) accounting: Accounting,
}

/// The state that commands have changed on disk, for every sink.
#[derive(Debug, Default)]
pub(super) struct OperatorState {
    pub(super) dead_letters: Vec<DlqTotal>,
    /// By sink: how many dead letters were redriven, and how many discarded.
    pub(super) settled: Vec<(String, i64, i64)>,
    pub(super) replays: Vec<(String, Replay)>,
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
        let mut sinks = Sinks::default();
        for CursorRow {
            sink,
            position,
            accounting,
        } in cursors
        {
            let cursor = Cursor {
                position,
                accounting,
                durable: Some((position, accounting)),
                ..Cursor::default()
            };
            sinks.by_name.insert(sink, cursor);
        }
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
            sinks: Mutex::new(sinks),
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

    /// The entries from this one on are on disk.
    pub(super) fn wrote_from(&self, from: Position) {
        self.received_times().wrote(from, Timestamp::now());
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

    /// Registers the sinks of the configuration; a new one begins at its start. Gives the other
    /// sinks that the journal knows: it keeps entries for them too.
    pub(super) fn register(&self, sinks: &[(Arc<str>, Start)]) -> Vec<Arc<str>> {
        let newest = self.head();
        let oldest = self
            .oldest()
            .map_or(newest, |oldest| Position(oldest.0 - 1));
        let mut known = self.lock();
        known.registered = true;
        known
            .by_name
            .values_mut()
            .for_each(|cursor| cursor.configured = false);
        for (sink, start) in sinks {
            let cursor = known.by_name.entry(Arc::clone(sink)).or_default();
            cursor.configured = true;
            if cursor.durable.is_none() && cursor.accounting == Accounting::default() {
                let first = match start {
                    Start::Oldest => oldest,
                    Start::Newest => newest,
                };
                cursor.position = cursor.position.max(first);
                cursor.accounting.started = cursor.position;
            }
        }
        let left = known
            .by_name
            .iter()
            .filter(|(_, cursor)| !cursor.configured);
        left.map(|(sink, _)| Arc::clone(sink)).collect()
    }

    /// Whether the sink is in the configuration.
    pub(super) fn is_configured(&self, sink: &str) -> bool {
        self.lock()
            .by_name
            .get(sink)
            .is_some_and(|cursor| cursor.configured)
    }

    /// Every sink that is in the configuration.
    pub(super) fn configured(&self) -> Vec<Arc<str>> {
        let known = self.lock();
        known
            .by_name
            .iter()
            .filter(|(_, cursor)| cursor.configured)
            .map(|(sink, _)| Arc::clone(sink))
            .collect()
    }

    pub(super) fn accountings(&self) -> Vec<(Arc<str>, Accounting)> {
        self.lock()
            .by_name
            .iter()
            .map(|(sink, cursor)| (Arc::clone(sink), cursor.accounting))
            .collect()
    }

    pub(super) fn furthest(&self, sink: &str) -> Position {
        self.lock()
            .by_name
            .get(sink)
            .map(|cursor| cursor.accounting.furthest)
            .unwrap_or_default()
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

    pub(super) fn replay(&self, sink: &str) -> Option<Replay> {
        self.lock().replays.get(sink).cloned()
    }

    pub(super) fn cursor(&self, sink: &str) -> Option<Position> {
        self.lock().by_name.get(sink).map(|cursor| cursor.position)
    }

    /// Moves a cursor forward; invariant I2 depends on it never going back on its own. `passed`
    /// counts the outcomes of the entries between.
    pub(super) fn pass(&self, sink: &str, to: Position, passed: Passed) {
        let head = self.head();
        assert!(
            to <= head,
            "the cursor of {sink} may not pass the journal's head: {to} > {head}"
        );
        let mut known = self.lock();
        let cursor = known.of(sink);
        let at = cursor.position;
        assert!(
            at <= to,
            "the cursor of {sink} may not go back: {at} > {to}"
        );
        cursor.position = to;
        cursor.accounting.passed.add(passed);
        if !std::mem::replace(&mut known.told, true) {
            self.cursors_moved.notify_one();
        }
    }

    /// Puts a cursor anywhere. `dead_lettered` entries that it has passed will be passed a second
    /// time.
    pub(super) fn place(&self, sink: &str, at: Position, dead_lettered: u64) {
        let mut known = self.lock();
        let cursor = known.of(sink);
        cursor.accounting.furthest = cursor.accounting.furthest.max(cursor.position);
        cursor.accounting.passed.dead_lettered = cursor
            .accounting
            .passed
            .dead_lettered
            .saturating_sub(dead_lettered);
        cursor.accounting.rewound +=
            cursor.position.0 - at.0 - i64::try_from(dead_lettered).unwrap_or(0);
        cursor.position = at;
    }

    /// Whether a sink's dead letters have room for more bytes.
    pub(super) fn has_dlq_room(&self, sink: &str, bytes: u64) -> bool {
        let known = self.lock();
        let used = known.by_name.get(sink).map_or(0, |cursor| cursor.dlq_bytes);
        match self.dlq_when_full {
            DlqWhenFull::Pause => used.saturating_add(bytes) <= self.dlq_bytes_max,
            // Beyond it only while none of them may be dropped: the cursor has passed none.
            DlqWhenFull::DropOldest => used <= self.dlq_bytes_max,
        }
    }

    /// How many dead letters a sink has.
    pub(super) fn dead_letters(&self, sink: &str) -> u64 {
        let known = self.lock();
        known
            .by_name
            .get(sink)
            .map_or(0, |cursor| cursor.dead_lettered)
    }

    /// The bytes of all dead letters.
    pub(super) fn dlq_bytes(&self) -> u64 {
        self.lock()
            .by_name
            .values()
            .map(|cursor| cursor.dlq_bytes)
            .sum()
    }

    /// Takes the state on disk after commands were written or dead letters dropped.
    pub(super) fn set_operator_state(&self, operator_state: OperatorState) {
        let mut known = self.lock();
        known
            .by_name
            .values_mut()
            .for_each(|cursor| (cursor.dead_lettered, cursor.dlq_bytes) = (0, 0));
        for DlqTotal {
            sink,
            entries,
            bytes,
        } in operator_state.dead_letters
        {
            let cursor = known.of(&sink);
            (cursor.dead_lettered, cursor.dlq_bytes) = (entries, bytes);
        }
        let kept: BTreeSet<String> = operator_state
            .settled
            .iter()
            .map(|(sink, ..)| sink.clone())
            .collect();
        for (sink, redriven, discarded) in operator_state.settled {
            let cursor = known.of(&sink);
            let accountings = std::iter::once(&mut cursor.accounting)
                .chain(cursor.durable.as_mut().map(|(_, accounting)| accounting));
            for accounting in accountings {
                accounting.redriven = redriven.unsigned_abs();
                accounting.discarded = discarded.unsigned_abs();
            }
        }
        // Forgotten: it was on disk and is no more.
        known
            .by_name
            .retain(|sink, cursor| cursor.durable.is_none() || kept.contains(&**sink));
        known.replays = operator_state
            .replays
            .into_iter()
            .map(|(sink, replay)| (sink.into(), replay))
            .collect();
    }

    /// The cursors that the disk does not have yet. The writer is told of the next one that moves.
    pub(super) fn moved(&self) -> Vec<CursorRow> {
        let mut known = self.lock();
        known.told = false;
        let moved = known
            .by_name
            .iter()
            .filter(|(_, cursor)| cursor.durable != Some((cursor.position, cursor.accounting)));
        let moved = moved.map(|(sink, cursor)| CursorRow {
            sink: Arc::clone(sink),
            position: cursor.position,
            accounting: cursor.accounting,
        });
        moved.collect()
    }

    /// Every sink is past the entries at or before it; `None`: not known yet.
    pub(super) fn slowest(&self) -> Option<Position> {
        if faults::makes(Mutation::CollectEarly) {
            return Some(self.head());
        }
        let known = self.lock();
        let replays = known.replays.values().map(|replay| replay.done);
        let held = known
            .by_name
            .values()
            .map(|cursor| cursor.position)
            .chain(replays)
            .min();
        known
            .registered
            .then(|| held.unwrap_or_else(|| self.head()))
    }

    /// What keeps the oldest entries in the log, and what helps: for log lines about its room.
    pub(super) fn held_by(&self) -> String {
        let head = self.head();
        let known = self.lock();
        let slowest = known.by_name.iter().min_by_key(|(_, at)| at.position);
        let replay = known.replays.iter().min_by_key(|(_, replay)| replay.done);
        if let Some((sink, replay)) = replay
            && slowest.is_none_or(|(_, cursor)| replay.done < cursor.position)
        {
            return format!("a replay to the sink {sink}, which goes on as that accepts it");
        }
        let Some((sink, cursor)) = slowest else {
            return "nobody: there are no sinks, and new entries are all that it has".to_owned();
        };
        let pending = (head.0 - cursor.position.0).max(0);
        match (cursor.configured, pending) {
            (_, 0) => "nobody: what every sink has makes room as it is needed".to_owned(),
            (true, _) => format!(
                "the sink {sink} with {pending} pending entries: `stomp-bridge status` says why"
            ),
            (false, _) => format!(
                "the sink {sink} with {pending} pending entries, which is not in the \
                 configuration: add it again, or run `stomp-bridge sinks forget {sink}`"
            ),
        }
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

    /// Takes note of what the disk has now.
    pub(super) fn saved(&self, cursors: &[CursorRow]) {
        let mut known = self.lock();
        for CursorRow {
            sink,
            position,
            accounting,
        } in cursors
        {
            known.of(sink).durable = Some((*position, *accounting));
        }
    }

    pub(super) fn status(&self) -> Status {
        let known = self.lock();
        let sinks = known.by_name.iter().map(|(name, cursor)| SinkStatus {
            name: Arc::clone(name),
            cursor: cursor.position,
            dead_lettered: cursor.dead_lettered,
            dlq_bytes: cursor.dlq_bytes,
            configured: cursor.configured,
        });
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
            devices: self.devices.load(Ordering::Relaxed),
            devices_evicted: self.devices_evicted.load(Ordering::Relaxed),
            missed_transitions: self.missed_transitions.load(Ordering::Relaxed),
            repeats: self.repeats.load(Ordering::Relaxed),
            sinks: sinks.collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sinks> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sinks {
    fn of(&mut self, sink: &str) -> &mut Cursor {
        if !self.by_name.contains_key(sink) {
            self.by_name.insert(sink.into(), Cursor::default());
        }
        self.by_name
            .get_mut(sink)
            .expect("it was inserted just above")
    }
}
