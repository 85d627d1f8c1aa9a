//! What the journal knows without asking the disk: shared by its handles and its writer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

use super::{SinkStatus, Start, Status};
use crate::faults::{self, Mistake};
use crate::model::Position;

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    pub(super) uuid: Uuid,
    /// The newest durable position.
    pub(super) head: watch::Sender<Position>,
    /// The oldest entry, or 0 where there is none.
    oldest: AtomicI64,
    pub(super) bytes: AtomicU64,
    pub(super) full: AtomicBool,
    pub(super) accepted: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) dropped: AtomicU64,
    sinks: Mutex<Sinks>,
}

/// The cursors of all sinks that the journal has ever seen.
#[derive(Debug, Default)]
struct Sinks {
    by_name: BTreeMap<Arc<str>, Cursor>,
    /// Until the sinks are registered nobody knows which entries are still needed.
    registered: bool,
}

#[derive(Debug, Clone, Default)]
struct Cursor {
    position: Position,
    /// What the disk has; `None`: nothing yet.
    durable: Option<Position>,
    set_aside: u64,
    /// It is in the configuration: entries after its cursor are kept for it.
    holding: bool,
}

/// The cursors at one moment, for one transaction.
#[derive(Debug)]
pub(super) struct Cursors {
    /// Those that the disk does not have yet.
    pub(super) moved: Vec<(Arc<str>, Position)>,
    /// Every registered sink is past the entries at or before it; `None`: not known yet.
    pub(super) floor: Option<Position>,
}

impl State {
    /// What the disk had when the journal was opened: cursors, and how many entries are set aside for each sink.
    pub(super) fn new(
        uuid: Uuid,
        head: Position,
        cursors: Vec<(String, i64)>,
        set_aside: Vec<(String, i64)>,
    ) -> State {
        let mut sinks = Sinks::default();
        for (sink, position) in cursors {
            let position = Position(position);
            let cursor = Cursor { position, durable: Some(position), ..Cursor::default() };
            sinks.by_name.insert(sink.into(), cursor);
        }
        let state = State {
            uuid,
            head: watch::Sender::new(head),
            oldest: AtomicI64::new(0),
            bytes: AtomicU64::new(0),
            full: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            sinks: Mutex::new(sinks),
        };
        state.set_aside_counts(set_aside);
        state
    }

    pub(super) fn head(&self) -> Position {
        *self.head.borrow()
    }

    pub(super) fn oldest(&self) -> Option<Position> {
        Some(Position(self.oldest.load(Ordering::Relaxed))).filter(|oldest| *oldest != Position::START)
    }

    pub(super) fn begins(&self, oldest: Option<Position>) {
        self.oldest.store(oldest.unwrap_or(Position::START).0, Ordering::Relaxed);
    }

    /// Only these sinks hold entries back from now on; those that are new begin at their start.
    pub(super) fn register(&self, sinks: &[(Arc<str>, Start)]) {
        let newest = self.head();
        let oldest = self.oldest().map_or(newest, |oldest| Position(oldest.0 - 1));
        let mut known = self.lock();
        known.registered = true;
        known.by_name.values_mut().for_each(|cursor| cursor.holding = false);
        for (sink, start) in sinks {
            let cursor = known.by_name.entry(Arc::clone(sink)).or_default();
            cursor.holding = true;
            if cursor.durable.is_none() {
                let first = match start {
                    Start::Oldest => oldest,
                    Start::Newest => newest,
                };
                cursor.position = cursor.position.max(first);
            }
        }
    }

    pub(super) fn cursor(&self, sink: &str) -> Option<Position> {
        self.lock().by_name.get(sink).map(|cursor| cursor.position)
    }

    /// Moves a cursor forward (invariant I2 depends on it never going back on its own).
    pub(super) fn advance(&self, sink: &str, to: Position) {
        let head = self.head();
        assert!(to <= head, "the cursor of {sink} may not pass the journal's head: {to} > {head}");
        let mut known = self.lock();
        let cursor = known.of(sink);
        let at = cursor.position;
        assert!(at <= to, "the cursor of {sink} may not go back: {at} > {to}");
        cursor.position = to;
    }

    /// Puts a cursor anywhere, for a replay.
    pub(super) fn place(&self, sink: &str, at: Position) {
        self.lock().of(sink).position = at;
    }

    pub(super) fn count_set_aside(&self, sink: &str) {
        self.lock().of(sink).set_aside += 1;
    }

    /// Entries that were set aside have been dropped: the counts, read anew.
    pub(super) fn set_aside_counts(&self, counts: Vec<(String, i64)>) {
        let mut known = self.lock();
        known.by_name.values_mut().for_each(|cursor| cursor.set_aside = 0);
        for (sink, count) in counts {
            known.of(&sink).set_aside = count.unsigned_abs();
        }
    }

    pub(super) fn cursors(&self) -> Cursors {
        let known = self.lock();
        let moved = known.by_name.iter().filter(|(_, cursor)| cursor.durable != Some(cursor.position));
        let moved = moved.map(|(sink, cursor)| (Arc::clone(sink), cursor.position)).collect();
        let held = known.by_name.values().filter(|cursor| cursor.holding).map(|cursor| cursor.position).min();
        if faults::makes(Mistake::CollectEarly) {
            return Cursors { moved, floor: Some(self.head()) };
        }
        let floor = known.registered.then(|| held.unwrap_or_else(|| self.head()));
        Cursors { moved, floor }
    }

    /// Takes note of what the disk has now.
    pub(super) fn saved(&self, cursors: &[(Arc<str>, Position)]) {
        let mut known = self.lock();
        for (sink, position) in cursors {
            known.of(sink).durable = Some(*position);
        }
    }

    pub(super) fn status(&self) -> Status {
        let known = self.lock();
        let sinks = known.by_name.iter().filter(|(_, cursor)| cursor.holding).map(|(name, cursor)| SinkStatus {
            name: Arc::clone(name),
            cursor: cursor.position,
            set_aside: cursor.set_aside,
        });
        Status {
            head: self.head(),
            oldest: self.oldest(),
            bytes: self.bytes.load(Ordering::Relaxed),
            full: self.full.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
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
        self.by_name.get_mut(sink).expect("it was inserted just above")
    }
}
