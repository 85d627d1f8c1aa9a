//! One sink's loop: read the journal, decode, filter, deliver, advance the cursor, set aside or back off.
//!
//! The cursor never passes an event that the sink has not confirmed and that was not set aside (invariant I2). What an
//! operator wants delivered again goes its own way ([`again`]) and moves no cursor.

mod again;
mod ahead;
mod backoff;
mod counters;
mod missing;
mod pending;
mod reading;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::faults::{self, Mistake, Place};
use crate::journal::{self, Journal, Reader, Start};
use crate::model::Position;
use crate::pipeline::{Decoders, Expression};
use crate::sinks::{Batch, Health, Occasion, Sink, Trouble, Undelivered};

use ahead::{Ahead, Log, Portion};
use backoff::{Backoff, Complaint};
pub use counters::Counters;
use pending::Pending;
use reading::{Read, Reading, reader_of};

/// Entries that are looked through at once where the sink is given none of them, or few.
const BATCH_ENTRIES_MAX: usize = 1000;

/// Bodies in one delivery: a bound of each sink's memory, the decoded events included.
const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Validated settings of one sink's delivery, whatever its destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The sink's name in the configuration: its cursor's key in the journal.
    pub name: Arc<str>,
    /// The topics that it wants; `None`: all.
    pub topics: Option<HashSet<Arc<str>>>,
    /// The events that it wants; `None`: all.
    pub when: Option<Expression>,
    /// Where it begins when it is new; also where its destination has a cursor of its own, but none for this journal.
    pub start: Start,
}

/// Delivers what the journal holds and what comes, until it is stopped; then what is in flight is finished and the
/// sink closed. A sink in trouble is tried again for ever: its entries wait in the journal.
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
    Delivery::new(name, start, sink, health, counters, journal, read).run(&stop).await
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
    /// Everything at or before it is confirmed, filtered or set aside.
    cursor: Position,
    /// What the sink has confirmed in this run: its own cursor cannot be before it without a loss on its side.
    confirmed: Position,
    /// The sink has everything at or before it, though the cursor may not have been there yet.
    already: Position,
    /// Set aside before this run, after the cursor.
    aside: BTreeSet<Position>,
    pending: Pending,
    /// What comes after `pending`.
    ahead: Ahead,
    turn: Turn,
    /// There may be something to be delivered again.
    again: bool,
    backoff: Backoff,
    trouble: Complaint,
    refusal: Complaint,
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
            ahead: Ahead::default(),
            backoff: Backoff::default(),
            trouble: Complaint::default(),
            refusal: Complaint::default(),
        }
    }

    async fn run(mut self, stop: &CancellationToken) -> Result<(), journal::Error> {
        let result = self.work(stop).await;
        self.sink.close().await;
        result
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<(), journal::Error> {
        let mut reader = self.journal.reader().await?;
        let mut head = self.journal.head();
        let mut orders = self.journal.orders();
        self.resume(&mut reader).await?;
        let mut next = Next::Reopen(Duration::ZERO);
        loop {
            if orders.has_changed().unwrap_or(false) {
                orders.mark_unchanged();
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
                    let newest = *head.borrow();
                    self.deliver(newest, &mut reader).await?
                }
                Next::Go if self.again && *head.borrow() <= self.cursor => {
                    self.turn = Turn::Again;
                    Next::Go
                }
                Next::Go => {
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        // Both senders live as long as `self.journal`.
                        _ = orders.changed() => {
                            self.again = true;
                            self.turn = Turn::Again;
                        }
                        _ = head.wait_for(|head| *head > self.cursor) => {}
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

    /// Where the journal knows the sink to be.
    async fn resume(&mut self, reader: &mut Reader) -> Result<(), journal::Error> {
        self.cursor = match self.journal.cursor(&self.name).await? {
            Some(cursor) => cursor,
            None => {
                let head = self.journal.status().head;
                self.journal.place(&self.name, head).await?;
                head
            }
        };
        self.counters.position.store(self.cursor.0, Ordering::Relaxed);
        self.aside = reader.set_aside_after(&self.name, self.cursor).await?;
        Ok(())
    }

    /// Connects, and finds where to go on: the destination's own cursor is the truth, since it moved in one
    /// transaction with what it stands for.
    async fn reopen(&mut self, wait: Duration, reader: &mut Reader) -> Result<Next, journal::Error> {
        tokio::time::sleep(wait).await;
        self.turn = Turn::Log;
        let own = match self.sink.open(self.journal.uuid()).await {
            Ok(own) => own,
            Err(Trouble::Disabled { error }) => return Ok(self.disabled(&error)),
            Err(Trouble::Retry { error, after }) => return Ok(self.retry(&error, after)),
            Err(Trouble::Refused { error, .. }) => return Ok(self.retry(&error, None)),
        };
        let status = self.journal.status();
        let before_oldest = status.oldest.map_or(status.head, |oldest| Position(oldest.0 - 1));
        let start = match own {
            Some(own) if own > status.head => return Ok(self.ahead(own, status.head)),
            // What lies between was filtered or set aside in this run: the sink was never given it.
            Some(own) if own >= self.confirmed && self.confirmed > Position::START => own.max(self.cursor),
            Some(own) => own,
            None if self.sink.keeps_cursor() && self.start == Start::Oldest => before_oldest,
            None => self.cursor,
        };
        let confirmed = start;
        let start = if start < self.cursor { self.first_missing(start, reader).await? } else { start };
        self.go_to(start, reader).await?;
        self.confirmed = confirmed;
        if self.health.able() {
            info!(sink = %self.name, position = %start, "sink is able to deliver");
        }
        Ok(Next::Go)
    }

    /// Goes on at another place than before: forward where the sink has confirmed more than we heard of, back where
    /// it has lost something.
    async fn go_to(&mut self, start: Position, reader: &mut Reader) -> Result<(), journal::Error> {
        if start < self.cursor {
            info!(sink = %self.name, from = %self.cursor, to = %start, "cursor follows the sink's own");
            // What is set aside stays so; it will be passed, and counted, once more.
            self.aside = reader.set_aside_after(&self.name, start).await?;
            let passed = self.aside.iter().take_while(|position| **position <= self.cursor).count();
            self.journal.rewind(&self.name, start, passed as u64).await?;
            self.pending = Pending::default();
            self.ahead.discard();
            self.cursor = start;
            self.counters.position.store(start.0, Ordering::Relaxed);
        } else if start > self.cursor {
            // What lies between is read all the same: it is to be accounted for.
            self.already = start;
            self.pending.confirm_through(start);
            self.advance();
        }
        Ok(())
    }

    /// Where to go on after `own`: before the first event that the sink would have been given since. What was filtered
    /// or set aside since moves no cursor of its own.
    async fn first_missing(&mut self, own: Position, reader: &mut Reader) -> Result<Position, journal::Error> {
        let aside = reader.set_aside_after(&self.name, own).await?;
        let mut at = own;
        while at < self.cursor {
            let entries = reader.read_after(at, BATCH_ENTRIES_MAX, BATCH_BYTES_MAX).await?;
            let Some(last) = entries.last() else { break };
            let missing = entries
                .iter()
                .take_while(|entry| entry.position <= self.cursor)
                .find(|entry| !aside.contains(&entry.position) && matches!((self.read)(entry), Reading::Event(_)));
            if let Some(missing) = missing {
                return Ok(Position(missing.position.0 - 1));
            }
            at = last.position;
        }
        Ok(self.cursor)
    }

    /// Takes on what comes next in the log. What cannot be read is set aside before anything moves.
    async fn take(&mut self, newest: Position, reader: &mut Reader) -> Result<(), journal::Error> {
        let entries_max = self.sink.batch_events_max();
        let log = Log { sink: &self.name, journal: &self.journal, reader, read: &self.read, entries_max };
        let Portion { mut readings, through } = self.ahead.take(self.cursor, newest, log).await?;
        for (position, reading) in &mut readings {
            if self.aside.contains(position) && !matches!(reading, Reading::Lost(_) | Reading::Removed(_)) {
                *reading = Reading::SetAside;
            }
        }
        let unreadable = readings.iter().filter_map(|(position, reading)| match reading {
            Reading::Unreadable(reason) => Some((*position, reason)),
            _ => None,
        });
        for (position, reason) in unreadable.clone() {
            self.complain(position, reason);
        }
        try_join_all(unreadable.map(|(position, reason)| self.journal.set_aside(&self.name, position, reason)))
            .await?;
        self.pending = Pending::new(readings, through);
        self.pending.confirm_through(self.already);
        self.advance();
        Ok(())
    }

    /// One attempt. While the sink is busy with it, what comes next is read.
    async fn deliver(&mut self, newest: Position, reader: &mut Reader) -> Result<Next, journal::Error> {
        let (events, through) = self.pending.next();
        let attempted = events.len();
        if faults::makes(Mistake::CursorBeforeDelivery) && through > self.cursor {
            self.journal.advance(&self.name, through);
            self.cursor = through;
        }
        let batch = Batch { journal: self.journal.uuid(), events, through, occasion: Occasion::Turn };
        faults::reach(Place::BeforeDeliver);
        let entries_max = self.sink.batch_events_max();
        let log = Log { sink: &self.name, journal: &self.journal, reader, read: &self.read, entries_max };
        let (delivered, read) =
            tokio::join!(self.sink.deliver(batch), self.ahead.fill(self.pending.through(), newest, log));
        read?;
        match delivered {
            Ok(()) => {
                faults::reach(Place::AfterDeliver);
                self.confirmed = through;
                self.confirm(attempted);
                Ok(Next::Go)
            }
            Err(Undelivered { confirmed, trouble }) => {
                let confirmed = confirmed.min(attempted);
                self.confirm(confirmed);
                match trouble {
                    Trouble::Refused { index, error } => {
                        let index = index.and_then(|index| index.checked_sub(confirmed));
                        self.refused(attempted - confirmed, index, &error).await?;
                        Ok(Next::Go)
                    }
                    Trouble::Retry { error, after } => {
                        let left = attempted - confirmed;
                        match () {
                            () if faults::makes(Mistake::SkipAfterRetry) => self.confirm(left.min(1)),
                            () if faults::makes(Mistake::DropBatchOnReconnect) => self.confirm(left),
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
            self.trouble.over();
            if self.health.able() {
                info!(sink = %self.name, "sink delivers again");
            }
        }
    }

    /// Finds the one event that is refused, by halves where the sink does not know it, and sets it aside.
    async fn refused(&mut self, attempted: usize, index: Option<usize>, error: &str) -> Result<(), journal::Error> {
        if let Some((index, position)) = self.pending.refused(attempted, index) {
            self.complain(position, error);
            if !faults::makes(Mistake::ForgetSetAside) {
                self.journal.set_aside(&self.name, position, error).await?;
            }
            self.pending.set_aside(index);
            self.advance();
        } else if faults::makes(Mistake::LoseBisectHalf) {
            self.confirm(attempted / 2);
        }
        Ok(())
    }

    /// Moves the cursor over what is done without a hole.
    fn advance(&mut self) {
        let to = self.pending.done_through();
        if to > self.cursor {
            let passed = self.pending.pass(to);
            self.counters.add(passed);
            self.journal.pass(&self.name, to, passed);
            self.cursor = to;
            self.counters.position.store(to.0, Ordering::Relaxed);
        }
    }

    fn retry(&mut self, error: &str, after: Option<Duration>) -> Next {
        self.counters.retries.fetch_add(1, Ordering::Relaxed);
        self.health.in_trouble(error);
        let wait = self.backoff.next(after);
        if self.trouble.worth_a_line(error, Instant::now()) {
            warn!(
                sink = %self.name, error, again_in_ms = wait.as_millis() as u64, position = %self.cursor,
                "delivery waits for the sink; the journal keeps its entries: check that it is up and lets us in"
            );
        }
        Next::Reopen(wait)
    }

    fn disabled(&mut self, error: &str) -> Next {
        self.health.in_trouble(error);
        error!(
            sink = %self.name, error, position = %self.cursor,
            "the sink wants nothing any more; the journal keeps its entries: correct or remove the sink, then reload"
        );
        Next::Hold
    }

    /// The journal has been replaced by an older copy of itself: its next positions were used before (I4).
    fn ahead(&mut self, own: Position, head: Position) -> Next {
        let error = format!("it has confirmed position {own}, but the journal ends at {head}");
        self.health.in_trouble(&error);
        error!(
            sink = %self.name, error,
            "the journal is an older copy of the one that the sink knows: bring back the newer, or move it away for a new one"
        );
        Next::Hold
    }

    fn complain(&mut self, position: Position, error: &str) {
        if self.refusal.worth_a_line(error, Instant::now()) {
            warn!(sink = %self.name, %position, error, "event set aside for this sink alone; the others get it");
        }
    }
}
