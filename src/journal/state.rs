//! What the journal knows without asking the disk: shared by its handles and its writer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

use super::ledger::{Ledger, Passed};
use super::order::Replay;
use super::recent::Recent;
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
    pub(super) parts: AtomicU64,
    pub(super) dropped: AtomicU64,
    /// Counts the orders: a change wakes the sinks.
    pub(super) orders: watch::Sender<u64>,
    recent: Mutex<Recent>,
    sinks: Mutex<Sinks>,
}

/// The cursors of all sinks that the journal has ever seen.
#[derive(Debug, Default)]
struct Sinks {
    by_name: BTreeMap<Arc<str>, Cursor>,
    /// By sink: what is to be delivered again is kept.
    replays: BTreeMap<Arc<str>, Replay>,
    /// Until the sinks are registered nobody knows which entries are still needed.
    registered: bool,
}

#[derive(Debug, Clone, Default)]
struct Cursor {
    position: Position,
    ledger: Ledger,
    /// What the disk has; `None`: nothing yet.
    durable: Option<(Position, Ledger)>,
    set_aside: u64,
    /// It is in the configuration. Entries after its cursor are kept for it even where it is not,
    /// until it is forgotten.
    configured: bool,
}

/// A cursor and its account, as they are written together.
#[derive(Debug, Clone)]
pub(super) struct Saved {
    pub(super) sink: Arc<str>,
    pub(super) position: Position,
    pub(super) ledger: Ledger,
}

/// What orders have changed on disk, for every sink.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// How many entries are set aside.
    pub(super) set_aside: Vec<(String, i64)>,
    /// Redriven and discarded.
    pub(super) settled: Vec<(String, i64, i64)>,
    pub(super) replays: Vec<(String, Replay)>,
}

/// The cursors at one moment, for one transaction.
#[derive(Debug)]
pub(super) struct Cursors {
    /// Those that the disk does not have yet.
    pub(super) moved: Vec<Saved>,
    /// Every sink is past the entries at or before it; `None`: not known yet.
    pub(super) floor: Option<Position>,
}

impl State {
    /// What the disk had when the journal was opened.
    pub(super) fn new(uuid: Uuid, head: Position, cursors: Vec<Saved>, books: Books) -> State {
        let mut sinks = Sinks::default();
        for Saved {
            sink,
            position,
            ledger,
        } in cursors
        {
            let cursor = Cursor {
                position,
                ledger,
                durable: Some((position, ledger)),
                ..Cursor::default()
            };
            sinks.by_name.insert(sink, cursor);
        }
        let state = State {
            uuid,
            head: watch::Sender::new(head),
            oldest: AtomicI64::new(0),
            bytes: AtomicU64::new(0),
            full: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            parts: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            orders: watch::Sender::new(0),
            recent: Mutex::default(),
            sinks: Mutex::new(sinks),
        };
        state.booked(books);
        state
    }

    pub(super) fn head(&self) -> Position {
        *self.head.borrow()
    }

    pub(super) fn oldest(&self) -> Option<Position> {
        Some(Position(self.oldest.load(Ordering::Relaxed)))
            .filter(|oldest| *oldest != Position::START)
    }

    pub(super) fn begins(&self, oldest: Option<Position>) {
        self.oldest
            .store(oldest.unwrap_or(Position::START).0, Ordering::Relaxed);
    }

    /// The newest entries, for a moment.
    pub(super) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These sinks are in the configuration; those that are new begin at their start. Gives the
    /// others that the journal knows, for which it keeps entries all the same.
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
            if cursor.durable.is_none() && cursor.ledger == Ledger::default() {
                let first = match start {
                    Start::Oldest => oldest,
                    Start::Newest => newest,
                };
                cursor.position = cursor.position.max(first);
                cursor.ledger.started = cursor.position;
            }
        }
        let left = known
            .by_name
            .iter()
            .filter(|(_, cursor)| !cursor.configured);
        left.map(|(sink, _)| Arc::clone(sink)).collect()
    }

    /// The sink is in the configuration.
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

    pub(super) fn ledgers(&self) -> Vec<(Arc<str>, Ledger)> {
        self.lock()
            .by_name
            .iter()
            .map(|(sink, cursor)| (Arc::clone(sink), cursor.ledger))
            .collect()
    }

    pub(super) fn furthest(&self, sink: &str) -> Position {
        self.lock()
            .by_name
            .get(sink)
            .map(|cursor| cursor.ledger.furthest)
            .unwrap_or_default()
    }

    pub(super) fn replay(&self, sink: &str) -> Option<Replay> {
        self.lock().replays.get(sink).cloned()
    }

    pub(super) fn cursor(&self, sink: &str) -> Option<Position> {
        self.lock().by_name.get(sink).map(|cursor| cursor.position)
    }

    /// Moves a cursor forward (invariant I2 depends on it never going back on its own). `passed`
    /// says what became of the entries; `None`: the sink has them all.
    pub(super) fn advance(&self, sink: &str, to: Position, passed: Option<Passed>) {
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
        let all = Passed {
            delivered: (to.0 - at.0).unsigned_abs(),
            ..Passed::default()
        };
        cursor.ledger.passed.add(passed.unwrap_or(all));
    }

    /// Puts a cursor anywhere. So many entries that it has passed are set aside, and will be passed
    /// once more.
    pub(super) fn place(&self, sink: &str, at: Position, set_aside: u64) {
        let mut known = self.lock();
        let cursor = known.of(sink);
        cursor.ledger.furthest = cursor.ledger.furthest.max(cursor.position);
        cursor.ledger.passed.set_aside = cursor.ledger.passed.set_aside.saturating_sub(set_aside);
        cursor.ledger.rewound += cursor.position.0 - at.0 - i64::try_from(set_aside).unwrap_or(0);
        cursor.position = at;
    }

    pub(super) fn count_set_aside(&self, sink: &str) {
        self.lock().of(sink).set_aside += 1;
    }

    /// Orders were written, or entries that were set aside dropped: what the disk says now.
    pub(super) fn booked(&self, books: Books) {
        let mut known = self.lock();
        known
            .by_name
            .values_mut()
            .for_each(|cursor| cursor.set_aside = 0);
        for (sink, count) in books.set_aside {
            known.of(&sink).set_aside = count.unsigned_abs();
        }
        let kept: BTreeSet<String> = books
            .settled
            .iter()
            .map(|(sink, ..)| sink.clone())
            .collect();
        for (sink, redriven, discarded) in books.settled {
            let cursor = known.of(&sink);
            let ledgers = std::iter::once(&mut cursor.ledger)
                .chain(cursor.durable.as_mut().map(|(_, ledger)| ledger));
            for ledger in ledgers {
                ledger.redriven = redriven.unsigned_abs();
                ledger.discarded = discarded.unsigned_abs();
            }
        }
        // Forgotten: it was on disk and is no more.
        known
            .by_name
            .retain(|sink, cursor| cursor.durable.is_none() || kept.contains(&**sink));
        known.replays = books
            .replays
            .into_iter()
            .map(|(sink, replay)| (sink.into(), replay))
            .collect();
    }

    pub(super) fn cursors(&self) -> Cursors {
        let known = self.lock();
        let moved = known
            .by_name
            .iter()
            .filter(|(_, cursor)| cursor.durable != Some((cursor.position, cursor.ledger)));
        let moved = moved.map(|(sink, cursor)| Saved {
            sink: Arc::clone(sink),
            position: cursor.position,
            ledger: cursor.ledger,
        });
        if faults::makes(Mistake::CollectEarly) {
            return Cursors {
                moved: moved.collect(),
                floor: Some(self.head()),
            };
        }
        let replays = known.replays.values().map(|replay| replay.done);
        let held = known
            .by_name
            .values()
            .map(|cursor| cursor.position)
            .chain(replays)
            .min();
        let floor = known
            .registered
            .then(|| held.unwrap_or_else(|| self.head()));
        Cursors {
            moved: moved.collect(),
            floor,
        }
    }

    /// Takes note of what the disk has now.
    pub(super) fn saved(&self, cursors: &[Saved]) {
        let mut known = self.lock();
        for Saved {
            sink,
            position,
            ledger,
        } in cursors
        {
            known.of(sink).durable = Some((*position, *ledger));
        }
    }

    pub(super) fn status(&self) -> Status {
        let known = self.lock();
        let sinks = known.by_name.iter().map(|(name, cursor)| SinkStatus {
            name: Arc::clone(name),
            cursor: cursor.position,
            set_aside: cursor.set_aside,
            configured: cursor.configured,
        });
        Status {
            head: self.head(),
            oldest: self.oldest(),
            bytes: self.bytes.load(Ordering::Relaxed),
            full: self.full.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            parts: self.parts.load(Ordering::Relaxed),
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
        self.by_name
            .get_mut(sink)
            .expect("it was inserted just above")
    }
}
