//! What a history still gets at a stop: the source's last entries, which say that its topics are no
//! longer heard. Else a history would know nothing of the stop before the next start.

use super::engine::Engine;
use super::scheduler::Action;
use crate::journal::{self, Entry, EntryContent};
use crate::model::{Coverage, CoverageCause, Position};
use crate::sinks::Ordering;

impl Engine {
    /// Delivers what is left, where the log ends with a stop of the daemon and all that is left fits
    /// a batch. Does nothing where the sink is in trouble: its entries wait in the journal.
    pub(super) async fn deliver_last(&mut self) -> Result<(), journal::Error> {
        let newest = self.log.journal.log.status().head;
        if !self.gets_last(newest).await? {
            return Ok(());
        }
        loop {
            if newest > self.progress.through && self.may_read() {
                self.read_log(newest).await?;
            }
            match self.scheduler.next(tokio::time::Instant::now()) {
                Some(Action::Attempt(attempt)) => self.begin(attempt),
                Some(Action::Open) | None => return Ok(()),
            }
            self.finish_attempts().await?;
        }
    }

    async fn gets_last(&mut self, newest: Position) -> Result<bool, journal::Error> {
        let left = (newest.0 - self.progress.cursor.0).unsigned_abs();
        let is_near = left > 0 && left <= self.log.entries_max as u64;
        let is_history = self.wants_coverage && self.capabilities.ordering == Ordering::Global;
        let is_up = self.scheduler.is_open() && !self.scheduler.is_stuck();
        if !(is_near && is_history && is_up) {
            return Ok(false);
        }
        let entry = self.log.reader.entry(newest).await?;
        Ok(entry.is_some_and(|entry| is_of_a_stop(&entry)))
    }
}

/// Whether an entry says that the daemon was stopped.
fn is_of_a_stop(entry: &Entry) -> bool {
    entry.content == EntryContent::Coverage
        && serde_json::from_slice::<Coverage>(&entry.body)
            .is_ok_and(|coverage| coverage.cause == Some(CoverageCause::DaemonStopped))
}
