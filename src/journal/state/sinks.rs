//! Where each sink stands: its cursor with its accounting, its dead letters and its replay. What
//! they add up to says which entries are still needed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use super::State;
use crate::faults::{self, Mutation};
use crate::journal::accounting::{Accounting, Passed};
use crate::journal::command::Replay;
use crate::journal::dead_letters::DlqTotal;
use crate::journal::{DlqWhenFull, SinkStatus, Start};
use crate::model::Position;

/// The cursors of all sinks that the journal has ever seen.
#[derive(Debug, Default)]
pub(super) struct Sinks {
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
pub(in crate::journal) struct CursorRow {
    pub(in crate::journal) sink: Arc<str>,
    pub(in crate::journal) position: Position,
    pub(in crate::journal) accounting: Accounting,
}

/// The state that commands have changed on disk, for every sink.
#[derive(Debug, Default)]
pub(in crate::journal) struct OperatorState {
    pub(in crate::journal) dead_letters: Vec<DlqTotal>,
    /// By sink: how many dead letters were redriven, and how many discarded.
    pub(in crate::journal) settled: Vec<(String, i64, i64)>,
    pub(in crate::journal) replays: Vec<(String, Replay)>,
}

impl State {
    /// Registers the sinks of the configuration; a new one begins at its start. The writer alone
    /// does it: what it removes meanwhile would be missing there.
    pub(in crate::journal) fn register(&self, sinks: &[(Arc<str>, Start)]) {
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
    }

    /// Whether the sink is in the configuration.
    pub(in crate::journal) fn is_configured(&self, sink: &str) -> bool {
        self.lock()
            .by_name
            .get(sink)
            .is_some_and(|cursor| cursor.configured)
    }

    /// Every sink that is in the configuration.
    pub(in crate::journal) fn configured(&self) -> Vec<Arc<str>> {
        self.lock().where_configured(true)
    }

    /// Every other sink that the journal knows: it keeps entries for them, too.
    pub(in crate::journal) fn not_configured(&self) -> Vec<Arc<str>> {
        self.lock().where_configured(false)
    }

    pub(in crate::journal) fn accountings(&self) -> Vec<(Arc<str>, Accounting)> {
        self.lock()
            .by_name
            .iter()
            .map(|(sink, cursor)| (Arc::clone(sink), cursor.accounting))
            .collect()
    }

    pub(in crate::journal) fn furthest(&self, sink: &str) -> Position {
        self.lock()
            .by_name
            .get(sink)
            .map(|cursor| cursor.accounting.furthest)
            .unwrap_or_default()
    }

    pub(in crate::journal) fn replay(&self, sink: &str) -> Option<Replay> {
        self.lock().replays.get(sink).cloned()
    }

    pub(in crate::journal) fn cursor(&self, sink: &str) -> Option<Position> {
        self.lock().by_name.get(sink).map(|cursor| cursor.position)
    }

    /// Moves a cursor forward; invariant I2 depends on it never going back on its own. `passed`
    /// counts the outcomes of the entries between.
    pub(in crate::journal) fn pass(&self, sink: &str, to: Position, passed: Passed) {
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
    pub(in crate::journal) fn place(&self, sink: &str, at: Position, dead_lettered: u64) {
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
    pub(in crate::journal) fn has_dlq_room(&self, sink: &str, bytes: u64) -> bool {
        let known = self.lock();
        let used = known.by_name.get(sink).map_or(0, |cursor| cursor.dlq_bytes);
        match self.dlq_when_full {
            DlqWhenFull::Pause => used.saturating_add(bytes) <= self.dlq_bytes_max,
            // Beyond it only while none of them may be dropped: the cursor has passed none.
            DlqWhenFull::DropOldest => used <= self.dlq_bytes_max,
        }
    }

    /// How many dead letters a sink has.
    pub(in crate::journal) fn dead_letters(&self, sink: &str) -> u64 {
        let known = self.lock();
        known
            .by_name
            .get(sink)
            .map_or(0, |cursor| cursor.dead_lettered)
    }

    /// The bytes of all dead letters.
    pub(in crate::journal) fn dlq_bytes(&self) -> u64 {
        self.lock()
            .by_name
            .values()
            .map(|cursor| cursor.dlq_bytes)
            .sum()
    }

    /// Takes the state on disk after commands were written or dead letters dropped.
    pub(in crate::journal) fn set_operator_state(&self, operator_state: OperatorState) {
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

    /// The cursors that the disk does not have yet. The writer hears of the next one that moves.
    pub(in crate::journal) fn moved(&self) -> Vec<CursorRow> {
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
    pub(in crate::journal) fn slowest(&self) -> Option<Position> {
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
    pub(in crate::journal) fn held_by(&self) -> String {
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
        let count = (head.0 - cursor.position.0).max(0);
        let pending = match count {
            1 => "1 pending entry".to_owned(),
            _ => format!("{count} pending entries"),
        };
        match (cursor.configured, count) {
            (_, 0) => "nobody: what every sink has makes room as it is needed".to_owned(),
            (true, _) => format!("the sink {sink} with {pending}: `stomp-bridge status` says why"),
            (false, _) => format!(
                "the sink {sink} with {pending}, which is not in the \
                 configuration: add it again, or run `stomp-bridge sinks forget {sink}`"
            ),
        }
    }

    /// Takes note of what the disk has now.
    pub(in crate::journal) fn saved(&self, cursors: &[CursorRow]) {
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

    pub(super) fn sink_statuses(&self) -> Vec<SinkStatus> {
        let known = self.lock();
        let sinks = known.by_name.iter().map(|(name, cursor)| SinkStatus {
            name: Arc::clone(name),
            cursor: cursor.position,
            dead_lettered: cursor.dead_lettered,
            dlq_bytes: cursor.dlq_bytes,
            configured: cursor.configured,
        });
        sinks.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Sinks> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sinks {
    /// As they were when the journal was opened.
    pub(super) fn new(cursors: Vec<CursorRow>) -> Sinks {
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
        sinks
    }

    fn where_configured(&self, configured: bool) -> Vec<Arc<str>> {
        let sinks = (self.by_name.iter()).filter(|(_, cursor)| cursor.configured == configured);
        sinks.map(|(sink, _)| Arc::clone(sink)).collect()
    }

    fn of(&mut self, sink: &str) -> &mut Cursor {
        if !self.by_name.contains_key(sink) {
            self.by_name.insert(sink.into(), Cursor::default());
        }
        self.by_name
            .get_mut(sink)
            .expect("it was inserted just above")
    }
}
