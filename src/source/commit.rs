//! The batches that are being written to the journal. They outlive their connection where they hold
//! nothing that came from the server: such a batch is not worth waiting for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, OptionFuture};
use jiff::Timestamp;

use super::intake::{BATCH_MAX, Owed};
use super::status::Status;
use crate::journal::{self, Log, NewBatch, NewEntry, Queued};
use crate::model::Position;

/// Batches that are written at once: the journal writes one while the disk syncs the other.
const BATCHES_MAX: usize = 2;

/// The outcome of a batch, and the ACKs that are due for it.
pub(super) type Committed = (Result<Position, journal::Error>, Owed);

/// One batch behind the other, in the order of their messages.
pub(super) struct Commit {
    batches: VecDeque<Batch>,
    /// The batches that the journal has.
    queued: VecDeque<Queued>,
    /// The newest batch, while the journal's queue has no room for it.
    queueing: OptionFuture<BoxFuture<'static, Result<Queued, journal::Error>>>,
    /// Entries of all batches so far.
    begun: u64,
    status: Arc<Status>,
    since: Instant,
}

/// A batch that is being written.
struct Batch {
    owed: Owed,
    entries: usize,
    /// Of its bodies.
    bytes: usize,
    /// When so many of its entries came from the server, in their order.
    received: Vec<(Timestamp, u64)>,
}

impl Commit {
    /// Nothing is being written.
    pub(super) fn new(status: Arc<Status>, now: Instant) -> Commit {
        Commit {
            batches: VecDeque::new(),
            queued: VecDeque::new(),
            queueing: None.into(),
            begun: 0,
            status,
            since: now,
        }
    }

    /// Whether a batch of so many entries may begin. A second one waits until it is as large as the
    /// first: a commit has its price, however small it is.
    pub(super) fn takes(&self, entries: usize) -> bool {
        let before = self.batches.back();
        self.queued.len() == self.batches.len()
            && self.batches.len() < BATCHES_MAX
            && before.is_none_or(|before| entries >= before.entries.min(BATCH_MAX))
    }

    /// Begins to write a batch, behind those before. Says whether anything in it came from the
    /// server.
    pub(super) fn begin(
        &mut self,
        journal: &Log,
        batch: NewBatch,
        owed: Owed,
        now: Instant,
    ) -> bool {
        let received = received(&batch.entries);
        let is_received = !received.is_empty();
        self.batches.push_back(Batch {
            owed,
            entries: batch.entries.len(),
            bytes: batch.entries.iter().map(|entry| entry.body.len()).sum(),
            received,
        });
        self.begun += batch.entries.len() as u64;
        self.since = now;
        let journal = journal.clone();
        let mut queueing = async move { journal.queue(batch).await }.boxed();
        match queueing.as_mut().now_or_never() {
            Some(Ok(queued)) => self.queued.push_back(queued),
            // It is asked again, and tells of its end then.
            Some(Err(error)) => self.queueing = Some(std::future::ready(Err(error)).boxed()).into(),
            None => self.queueing = Some(queueing).into(),
        }
        is_received
    }

    /// Waits for the oldest batch. Cancel-safe; to be asked only while one is being written.
    pub(super) async fn done(&mut self) -> Committed {
        let outcome = loop {
            let oldest = self.queued.front_mut().map(Queued::done);
            tokio::select! {
                biased;
                // It may have its answer although nothing more is taken.
                Some(outcome) = OptionFuture::from(oldest) => {
                    self.queued.pop_front();
                    break outcome;
                }
                Some(queued) = &mut self.queueing => {
                    self.queueing = None.into();
                    match queued {
                        Ok(queued) => self.queued.push_back(queued),
                        Err(error) => break Err(error),
                    }
                }
            }
        };
        let Some(batch) = self.batches.pop_front() else {
            return (outcome, Owed::default());
        };
        if outcome.is_ok() {
            let now = Timestamp::now();
            for (at, entries) in batch.received {
                self.status.journaled.observe_between(at, now, entries);
            }
        }
        (outcome, batch.owed)
    }

    /// Whether a batch is being written.
    pub(super) fn is_under_way(&self) -> bool {
        !self.batches.is_empty()
    }

    /// Whether anything that is being written came from the server.
    pub(super) fn has_received(&self) -> bool {
        self.batches.iter().any(|batch| !batch.received.is_empty())
    }

    /// Bytes of the bodies that are being written.
    pub(super) fn bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.bytes).sum()
    }

    /// Messages that are being written and wait for an ACK.
    pub(super) fn unacknowledged(&self) -> usize {
        let messages = self.batches.iter().map(|batch| batch.owed.messages());
        messages.sum()
    }

    /// Entries that were given to the journal.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// Entries that are on disk. No message is cut: all of its entries are, or none.
    pub(super) fn finished(&self) -> u64 {
        let under_way = self.batches.iter().map(|batch| batch.entries);
        self.begun - under_way.sum::<usize>() as u64
    }

    /// When the last one was begun.
    pub(super) fn since(&self) -> Instant {
        self.since
    }
}

/// When so many entries came from the server, in their order. What one read has brought has one
/// time.
fn received(entries: &[NewEntry]) -> Vec<(Timestamp, u64)> {
    let mut received: Vec<(Timestamp, u64)> = Vec::new();
    for entry in entries.iter().filter(|entry| entry.is_received()) {
        match received.last_mut() {
            Some((at, count)) if *at == entry.received_at => *count += 1,
            _ => received.push((entry.received_at, 1)),
        }
    }
    received
}
