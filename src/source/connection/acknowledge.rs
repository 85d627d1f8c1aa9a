//! What was taken in is committed, and only then acknowledged.

use std::sync::atomic::Ordering::Relaxed;

use super::Connection;
use crate::faults::{self, Failpoint, Mutation};
use crate::source::clock;
use crate::source::intake::Owed;
use crate::stomp::AckId;

impl Connection<'_> {
    pub(super) fn start_committing(&mut self) {
        if self.intake.is_empty() || !self.commit.takes(self.intake.entries()) {
            return;
        }
        let (batch, mut owed) = self.intake.next_batch();
        if batch.entries.is_empty() {
            // Messages without a status: nothing is to be on disk before their ACKs.
            self.acknowledge(&owed);
            return self.start_writing();
        }
        if faults::makes(Mutation::AckBeforeCommit) {
            self.acknowledge(&std::mem::take(&mut owed));
            self.start_writing();
        }
        let now = clock::now();
        if self.commit.begin(self.journal, batch, owed, now) {
            self.proof.carried(now);
        }
    }

    pub(super) fn acknowledge(&mut self, owed: &Owed) {
        for ack in owed.acks() {
            if !self.subscriptions.hold(ack) {
                self.acknowledge_one(ack);
            }
        }
    }

    pub(super) fn acknowledge_one(&mut self, ack: &AckId) {
        self.session.ack(ack);
        self.acknowledged(1);
    }

    /// Counts queued ACKs.
    pub(super) fn acknowledged(&mut self, count: usize) {
        self.acknowledged |= count > 0;
        self.status
            .counters
            .acknowledged
            .fetch_add(count as u64, Relaxed);
    }

    pub(super) fn reach_ack_written(&self) {
        if self.status.counters.acknowledged.load(Relaxed) > 0 {
            faults::reach(Failpoint::AckWritten);
        }
    }

    /// Entries that were taken in so far, written or not.
    pub(super) fn taken(&self) -> u64 {
        self.commit.begun() + self.intake.entries() as u64
    }

    /// The newest of them, as [`Subscriptions`] counts them.
    pub(super) fn newest(&self) -> u64 {
        self.taken().saturating_sub(1)
    }

    /// Whether anything that came from the server is not on disk yet.
    pub(super) fn has_received(&self) -> bool {
        self.intake.has_received() || self.commit.has_received()
    }
}
