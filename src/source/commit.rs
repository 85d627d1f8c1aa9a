//! The batch that is being written to the journal. It outlives its connection where it holds
//! nothing that came from the server: such a batch is not worth waiting for.

use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Fuse, FusedFuture};

use super::intake::Owed;
use crate::journal::{self, Log, NewBatch, NewContent};
use crate::model::Position;

/// The outcome of a batch, and the ACKs that are due for it.
pub(super) type Committed = (Result<Position, journal::Error>, Owed);

/// One batch at a time.
pub(super) struct Commit {
    writing: Fuse<BoxFuture<'static, Committed>>,
    /// Something in it came from the server.
    received: bool,
    /// Bytes of its bodies.
    bytes: usize,
    /// Batches so far.
    begun: u64,
    since: Instant,
}

impl Commit {
    /// Nothing is being written.
    pub(super) fn new(now: Instant) -> Commit {
        Commit {
            writing: Fuse::terminated(),
            received: false,
            bytes: 0,
            begun: 0,
            since: now,
        }
    }

    /// Begins to write a batch, behind the one before. Says whether anything in it came from the
    /// server.
    pub(super) fn begin(
        &mut self,
        journal: &Log,
        batch: NewBatch,
        owed: Owed,
        now: Instant,
    ) -> bool {
        self.received = batch
            .entries
            .iter()
            .any(|entry| entry.content != NewContent::Coverage);
        self.bytes = batch.entries.iter().map(|entry| entry.body.len()).sum();
        self.begun += 1;
        self.since = now;
        let journal = journal.clone();
        let writing = async move { (journal.append(batch).await, owed) };
        self.writing = writing.boxed().fuse();
        self.received
    }

    /// Waits for the batch. Cancel-safe; to be asked only while one is being written.
    pub(super) async fn done(&mut self) -> Committed {
        (&mut self.writing).await
    }

    /// Whether a batch is being written.
    pub(super) fn is_under_way(&self) -> bool {
        !self.writing.is_terminated()
    }

    /// Whether the batch being written came from the server.
    pub(super) fn has_received(&self) -> bool {
        self.received && self.is_under_way()
    }

    /// Bytes of bodies in the batch being written.
    pub(super) fn bytes(&self) -> usize {
        if self.is_under_way() { self.bytes } else { 0 }
    }

    /// Batches that were begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// Batches that are on disk.
    pub(super) fn finished(&self) -> u64 {
        self.begun - u64::from(self.is_under_way())
    }

    /// When the last one was begun.
    pub(super) fn since(&self) -> Instant {
        self.since
    }
}
