//! One sink's loop: read the journal, decode, filter, deliver, advance the cursor, set aside or back off.
//!
//! The cursor never passes an event that the sink has not confirmed and that was not set aside (invariant I2).

mod backoff;
mod counters;
mod pending;
mod reading;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::faults::{self, Mistake, Place};
use crate::journal::{self, Entry, Journal};
use crate::model::Position;
use crate::pipeline::{Decoder, Expression};
use crate::sinks::{Batch, Health, Sink, Trouble, Undelivered};

use backoff::{Backoff, Complaint};
pub use counters::Counters;
use pending::Pending;
use reading::{Read, Reading, reader_of};

/// Events in one delivery: a transaction of this size costs a history little more than one row.
const BATCH_ENTRIES_MAX: usize = 1000;

/// Bodies in one delivery: a bound of each sink's memory, the decoded events included.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Validated settings of one sink's delivery, whatever its destination.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sink's name in the configuration: its cursor's key in the journal.
    pub name: Arc<str>,
    /// The topics that it wants; `None`: all.
    pub topics: Option<HashSet<Arc<str>>>,
    /// The events that it wants; `None`: all.
    pub when: Option<Expression>,
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
    decoders: Arc<HashMap<Arc<str>, Decoder>>,
    stop: CancellationToken,
) -> Result<(), journal::Error> {
    let name = Arc::clone(&settings.name);
    let read = reader_of(settings, journal.uuid(), decoders);
    Delivery::new(name, sink, health, counters, journal, read).run(&stop).await
}

/// One sink's delivery while it runs.
struct Delivery {
    name: Arc<str>,
    sink: Box<dyn Sink>,
    health: Health,
    counters: Arc<Counters>,
    journal: Journal,
    read: Read,
    /// Everything at or before it is confirmed, filtered or set aside.
    cursor: Position,
    /// What the sink has confirmed in this run: its own cursor cannot be before it without a loss on its side.
    confirmed: Position,
    pending: Pending,
    backoff: Backoff,
    trouble: Complaint,
    refusal: Complaint,
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
        sink: Box<dyn Sink>,
        health: Health,
        counters: Arc<Counters>,
        journal: Journal,
        read: Read,
    ) -> Delivery {
        Delivery {
            name,
            sink,
            health,
            counters,
            journal,
            read,
            cursor: Position::START,
            confirmed: Position::START,
            pending: Pending::default(),
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
        let mut next = Next::Reopen(Duration::ZERO);
        loop {
            next = match next {
                Next::Hold => {
                    stop.cancelled().await;
                    return Ok(());
                }
                Next::Reopen(wait) => tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    next = self.reopen(wait) => next?,
                },
                Next::Go if stop.is_cancelled() => return Ok(()),
                Next::Go if !self.pending.is_empty() => self.deliver().await?,
                Next::Go => {
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        // The sender lives as long as `self.journal`.
                        _ = head.wait_for(|head| *head > self.cursor) => {}
                    }
                    let newest = *head.borrow();
                    let entries = reader.read_after(self.cursor, BATCH_ENTRIES_MAX, BATCH_BYTES_MAX).await?;
                    self.take(entries, newest).await?;
                    Next::Go
                }
            };
        }
    }

    /// Connects, and finds where to go on: the destination's own cursor is the truth, since it moved in one
    /// transaction with what it stands for.
    async fn reopen(&mut self, wait: Duration) -> Result<Next, journal::Error> {
        tokio::time::sleep(wait).await;
        let own = match self.sink.open(self.journal.uuid()).await {
            Ok(own) => own,
            Err(Trouble::Disabled { error }) => return Ok(self.disabled(&error)),
            Err(Trouble::Retry { error, after }) => return Ok(self.retry(&error, after)),
            Err(Trouble::Refused { error, .. }) => return Ok(self.retry(&error, None)),
        };
        let status = self.journal.status();
        let known = self.journal.cursor(&self.name).await?;
        let before_oldest = status.oldest.map_or(status.head, |oldest| Position(oldest.0 - 1));
        let start = match own {
            Some(own) if own > status.head => return Ok(self.ahead(own, status.head)),
            // What lies between was filtered or set aside in this run: the sink was never given it.
            Some(own) if own >= self.confirmed && self.confirmed > Position::START => own.max(self.cursor),
            Some(own) => own,
            None if self.sink.keeps_cursor() => before_oldest,
            None => known.unwrap_or(status.head),
        };
        if known != Some(start) || self.cursor != start {
            self.go_to(start, known).await?;
        }
        if self.health.able() {
            info!(sink = %self.name, position = %start, "sink is able to deliver");
        }
        Ok(Next::Go)
    }

    /// Goes on at another place than before: forward where the sink has confirmed more than we heard of, back where
    /// it has lost something.
    async fn go_to(&mut self, start: Position, known: Option<Position>) -> Result<(), journal::Error> {
        if start >= self.cursor && start <= self.pending.through() {
            self.counters.add(self.pending.pass(start));
        } else {
            self.pending = Pending::default();
        }
        if known != Some(start) {
            info!(sink = %self.name, from = ?known.map(|known| known.0), to = %start, "cursor follows the sink's own");
            self.journal.place(&self.name, start).await?;
        }
        self.cursor = start;
        self.confirmed = start;
        self.counters.position.store(start.0, Ordering::Relaxed);
        Ok(())
    }

    /// Reads entries for what they mean to this sink. What cannot be read is set aside before anything moves.
    async fn take(&mut self, entries: Vec<Entry>, newest: Position) -> Result<(), journal::Error> {
        // Nothing there although the head is further: dropped because the journal was full.
        let through = entries.last().map_or(newest, |entry| entry.position);
        let readings: Vec<(Position, Reading)> =
            entries.iter().map(|entry| (entry.position, (self.read)(entry))).collect();
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
        self.advance();
        Ok(())
    }

    async fn deliver(&mut self) -> Result<Next, journal::Error> {
        let (events, through) = self.pending.next();
        let attempted = events.len();
        if faults::makes(Mistake::CursorBeforeDelivery) && through > self.cursor {
            self.journal.advance(&self.name, through);
            self.cursor = through;
        }
        let batch = Batch { journal: self.journal.uuid(), events, through };
        faults::reach(Place::BeforeDeliver);
        match self.sink.deliver(batch).await {
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
            self.counters.add(self.pending.pass(to));
            self.journal.advance(&self.name, to);
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
            "the sink wants nothing any more; the journal keeps its entries: correct or remove the sink, then restart"
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
