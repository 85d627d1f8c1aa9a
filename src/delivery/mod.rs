//! One sink's loop: read the journal, decode, filter, deliver, advance the cursor, dead-lettered or
//! back off.
//!
//! The cursor never passes an event that the sink has not confirmed and that was not dead-lettered
//! (invariant I2). What an operator wants delivered again goes its own way (`again`) and moves no
//! cursor.
//!
//! Where a batch is the sink's unit (a transaction, a window of publishes), batches follow each
//! other here; a sink that takes several devices' events at once has a loop of its own
//! (`traffic`).

mod again;
mod ahead;
mod backoff;
mod counters;
mod lanes;
mod missing;
mod outcomes;
mod parcel;
mod pending;
mod reading;
mod refusals;
mod start;
#[cfg(test)]
mod tests;
mod traffic;
mod trouble;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio_util::sync::CancellationToken;

use crate::faults::{self, Failpoint, Mutation};
use crate::journal::{self, Journal, Passed, Reader, Start};
use crate::model::Position;
use crate::pipeline::{Decoders, Expression};
use crate::sinks::{Batch, By, Health, Occasion, Sink, Trouble, Undelivered};

use ahead::{Ahead, Log, Portion};
use backoff::{Backoff, Complaint};
pub use counters::Counters;
use pending::Pending;
use reading::{Read, Reading, reader_of};
use refusals::{Judgement, Refusals};

/// Entries that are looked through at once where the sink is given none of them, or few.
const BATCH_ENTRIES_MAX: usize = 1000;

/// Bodies in one delivery: a bound of each sink's memory, the decoded events included.
const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Events of the next attempt once the other side has refused one: where one in a hundred is
/// refused, a sink that does not name it would else be given thousands again and again to find
/// each. An attempt that fails otherwise halves the next, down to this; each that goes well allows
/// twice as many.
const CAREFUL_EVENTS: usize = 64;

/// Between two times that an idle sink may look after itself: deleting by the minute is exact
/// enough for days of retention.
const TEND_INTERVAL: Duration = Duration::from_secs(60);

/// Validated settings of one sink's delivery, whatever its destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The sink's name in the configuration: its cursor's key in the journal.
    pub name: Arc<str>,
    /// The topics that it wants; `None`: all.
    pub topics: Option<HashSet<Arc<str>>>,
    /// The events that it wants; `None`: all.
    pub when: Option<Expression>,
    /// Where it begins when it is new; also where its destination has a cursor of its own, but none
    /// for this journal.
    pub start: Start,
}

/// Delivers what the journal holds and what comes, until it is stopped; then what is in flight is
/// finished and the sink closed. A sink in trouble is tried again for ever: its entries wait in the
/// journal.
///
/// # Errors
/// The journal has failed; nothing else ends it.
pub async fn run(
    settings: Settings,
    sink: Box<dyn Sink>,
    health: Health,
    counters: Arc<Counters>,
    journal: Journal,
    decoders: Decoders,
    stop: CancellationToken,
) -> Result<(), journal::Error> {
    let (name, start) = (Arc::clone(&settings.name), settings.start);
    let read = reader_of(settings, journal.uuid(), decoders);
    Delivery::new(name, start, sink, health, counters, journal, read)
        .run(&stop)
        .await
}

/// One sink's delivery while it runs.
struct Delivery {
    name: Arc<str>,
    start: Start,
    sink: Box<dyn Sink>,
    health: Health,
    counters: Arc<Counters>,
    journal: Journal,
    read: Read,
    /// Everything at or before it is confirmed, filtered or dead-lettered.
    cursor: Position,
    /// What the sink has confirmed in this run: its own cursor cannot be before it without a loss
    /// on its side.
    confirmed: Position,
    /// The sink has everything at or before it, though the cursor may not have been there yet.
    already: Position,
    /// Dead-lettered before this run, after the cursor.
    aside: BTreeSet<Position>,
    pending: Pending,
    /// Events of one attempt; see [`CAREFUL_EVENTS`].
    attempt_max: usize,
    /// What comes after `pending`.
    ahead: Ahead,
    turn: Turn,
    /// There may be something to be delivered again.
    again: bool,
    backoff: Backoff,
    refusals: Refusals,
    /// It has been said that the sink is up, and nothing since.
    up: bool,
    /// An attempt has failed since the last that went well: that it lets us in again proves
    /// nothing.
    unproven: bool,
    trouble: Complaint,
    refusal: Complaint,
    lane_trouble: Complaint,
    held: Complaint,
}

/// Whose turn it is, where both have work: they take turns, so that neither starves the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// What comes next in the log.
    Log,
    /// What is to be delivered again.
    Again,
}

/// What comes after an attempt.
enum Next {
    Go,
    /// Wait so long, then connect again.
    Reopen(Duration),
    /// Nothing until the end.
    Hold,
}

impl Delivery {
    fn new(
        name: Arc<str>,
        start: Start,
        sink: Box<dyn Sink>,
        health: Health,
        counters: Arc<Counters>,
        journal: Journal,
        read: Read,
    ) -> Delivery {
        Delivery {
            name,
            start,
            sink,
            health,
            counters,
            journal,
            read,
            cursor: Position::START,
            confirmed: Position::START,
            already: Position::START,
            aside: BTreeSet::new(),
            turn: Turn::Log,
            again: true,
            pending: Pending::default(),
            attempt_max: usize::MAX,
            ahead: Ahead::default(),
            backoff: Backoff::default(),
            refusals: Refusals::default(),
            up: false,
            unproven: false,
            trouble: Complaint::default(),
            refusal: Complaint::default(),
            lane_trouble: Complaint::default(),
            held: Complaint::default(),
        }
    }

    async fn run(mut self, stop: &CancellationToken) -> Result<(), journal::Error> {
        let result = match self.sink.lanes() {
            Some(lanes) => self.work_in_lanes(lanes, stop).await,
            None => self.work(stop).await,
        };
        self.sink.close().await;
        result
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<(), journal::Error> {
        let mut reader = self.journal.reader().await?;
        let mut head = self.journal.head();
        let mut commands = self.journal.commands();
        self.resume(&mut reader).await?;
        let mut next = Next::Reopen(Duration::ZERO);
        loop {
            if commands.has_changed().unwrap_or(false) {
                commands.mark_unchanged();
                self.again = true;
            }
            next = match next {
                Next::Hold => {
                    stop.cancelled().await;
                    return Ok(());
                }
                Next::Reopen(wait) => tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    next = self.reopen(wait, &mut reader) => next?,
                },
                Next::Go if stop.is_cancelled() => return Ok(()),
                Next::Go if self.turn == Turn::Again && self.again => {
                    self.turn = Turn::Log;
                    self.deliver_again(&mut reader).await?
                }
                Next::Go if !self.pending.is_empty() => {
                    self.turn = Turn::Again;
                    self.deliver(&mut reader).await?
                }
                Next::Go if self.again && *head.borrow() <= self.cursor => {
                    self.turn = Turn::Again;
                    Next::Go
                }
                Next::Go => {
                    let idle = tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        // Both senders live as long as `self.journal`.
                        _ = commands.changed() => {
                            self.again = true;
                            self.turn = Turn::Again;
                            false
                        }
                        _ = head.wait_for(|head| *head > self.cursor) => false,
                        () = tokio::time::sleep(TEND_INTERVAL) => true,
                    };
                    if idle {
                        self.sink.tend().await;
                    }
                    let newest = *head.borrow();
                    if newest > self.cursor {
                        self.take(newest, &mut reader).await?;
                    }
                    Next::Go
                }
            };
        }
    }

    /// Takes on what comes next in the log.
    async fn take(&mut self, newest: Position, reader: &mut Reader) -> Result<(), journal::Error> {
        let Portion {
            readings, through, ..
        } = self.portion(self.cursor, newest, reader).await?;
        self.pending = Pending::new(readings, through);
        self.pending.confirm_through(self.already);
        self.advance();
        Ok(())
    }

    /// What comes after a position, of which `newest` is after it. What cannot be read is
    /// dead-lettered before anything moves.
    async fn portion(
        &mut self,
        after: Position,
        newest: Position,
        reader: &mut Reader,
    ) -> Result<Portion, journal::Error> {
        let entries_max = self.sink.batch_events_max();
        let log = Log {
            sink: &self.name,
            journal: &self.journal,
            reader,
            read: &self.read,
            entries_max,
        };
        let mut portion = self.ahead.take(after, newest, log).await?;
        for (position, reading) in &mut portion.readings {
            if self.aside.contains(position)
                && !matches!(reading, Reading::Evicted(_) | Reading::Removed(_))
            {
                *reading = Reading::DeadLetter;
            }
        }
        let unreadable = portion
            .readings
            .iter()
            .filter_map(|(position, reading)| match reading {
                Reading::Unreadable(reason) => Some((*position, reason)),
                _ => None,
            });
        for (position, reason) in unreadable.clone() {
            self.complain(position, reason);
        }
        try_join_all(
            unreadable
                .map(|(position, reason)| self.journal.dead_letter(&self.name, position, reason)),
        )
        .await?;
        Ok(portion)
    }

    /// One attempt. While the sink is busy with it, what comes next is read.
    async fn deliver(&mut self, reader: &mut Reader) -> Result<Next, journal::Error> {
        let (events, through) = self.pending.next(self.attempt_max);
        let attempted = events.len();
        if faults::makes(Mutation::CursorBeforeDelivery) && through > self.cursor {
            let passed = Passed {
                delivered: (through.0 - self.cursor.0).unsigned_abs(),
                ..Passed::default()
            };
            self.journal.pass(&self.name, through, passed);
            self.cursor = through;
        }
        let batch = Batch {
            journal: self.journal.uuid(),
            events,
            through,
            occasion: Occasion::Turn,
        };
        faults::reach(Failpoint::BeforeDeliver);
        let entries_max = self.sink.batch_events_max();
        let log = Log {
            sink: &self.name,
            journal: &self.journal,
            reader,
            read: &self.read,
            entries_max,
        };
        let done = CancellationToken::new();
        let delivering = async {
            let delivered = self.sink.deliver(batch).await;
            done.cancel();
            delivered
        };
        let (delivered, read) = tokio::join!(
            delivering,
            self.ahead.fill(self.pending.through(), &done, log)
        );
        read?;
        match delivered {
            Ok(()) => {
                faults::reach(Failpoint::AfterDeliver);
                self.confirmed = through;
                self.confirm(attempted);
                self.attempt_max = self.attempt_max.saturating_mul(2);
                Ok(Next::Go)
            }
            Err(Undelivered { confirmed, trouble }) => {
                let confirmed = confirmed.min(attempted);
                self.confirm(confirmed);
                self.unproven |= matches!(trouble, Trouble::Retry { .. } | Trouble::Unclear { .. });
                match trouble {
                    Trouble::Refused { index, by, error } => {
                        let index = index.and_then(|index| index.checked_sub(confirmed));
                        self.refused(attempted - confirmed, index, by, &error).await
                    }
                    Trouble::Unclear { error } => Ok(self.retry(&error, None)),
                    Trouble::Retry { error, after } => {
                        let left = attempted - confirmed;
                        // A slow sink may not take so many in the time that it has.
                        self.attempt_max = self.attempt_max.min((left / 2).max(CAREFUL_EVENTS));
                        match () {
                            () if faults::makes(Mutation::SkipAfterRetry) => {
                                self.confirm(left.min(1))
                            }
                            () if faults::makes(Mutation::DropBatchOnReconnect) => {
                                self.confirm(left)
                            }
                            () => {}
                        }
                        Ok(self.retry(&error, after))
                    }
                    Trouble::Disabled { error } => Ok(self.disabled(&error)),
                }
            }
        }
    }

    fn confirm(&mut self, count: usize) {
        self.pending.confirm(count);
        self.advance();
        if count > 0 {
            self.backoff.reset();
            self.unproven = false;
            self.trouble.over();
            self.refusals.accepted(count);
            self.up("sink is up again");
        }
    }

    /// Finds the one event that is refused, by halves where the sink does not know it, and sets it
    /// aside; unless the sink refuses too much.
    async fn refused(
        &mut self,
        attempted: usize,
        index: Option<usize>,
        by: By,
        error: &str,
    ) -> Result<Next, journal::Error> {
        let Some((index, position)) = self.pending.refused(attempted, index) else {
            if faults::makes(Mutation::LoseBisectHalf) {
                self.confirm(attempted / 2);
            }
            return Ok(Next::Go);
        };
        let judgement = match by {
            By::Us => Judgement::OF_THE_EVENT,
            By::Them => {
                let judgement = self.refusals.refused(position);
                self.attempt_max = if judgement.wait.is_some() {
                    1
                } else {
                    CAREFUL_EVENTS
                };
                judgement
            }
        };
        if judgement.dead_lettered {
            self.complain(position, error);
            if !faults::makes(Mutation::ForgetDeadLetter) {
                self.journal
                    .dead_letter(&self.name, position, error)
                    .await?;
            }
            self.pending.dead_letter(index);
            self.advance();
        }
        let Some(wait) = judgement.wait else {
            // It answers: what it refuses is the event's fault.
            if self.unproven && by == By::Them {
                self.unproven = false;
                self.up("sink is up again");
            }
            return Ok(Next::Go);
        };
        self.distrusts(
            &format!("{} events were refused: {error}", self.refusals.ratio()),
            wait,
        );
        Ok(Next::Reopen(wait))
    }

    /// Moves the cursor over what is done without a hole.
    fn advance(&mut self) {
        let to = self.pending.done_through();
        if to > self.cursor {
            let passed = self.pending.pass(to);
            self.pass_to(to, passed);
        }
    }

    fn pass_to(&mut self, to: Position, passed: Passed) {
        self.counters.add(passed);
        self.journal.pass(&self.name, to, passed);
        self.cursor = to;
        self.counters.position.store(to.0, Ordering::Relaxed);
    }
}
