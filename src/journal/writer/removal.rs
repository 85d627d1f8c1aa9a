//! The entries that a commit removes, and what is to be said of them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::Writer;
use crate::journal::Error;
use crate::journal::due::SAVE_INTERVAL;
use crate::journal::entry_rows::{self, Removed};
use crate::journal::retention::{Truncation, Worth};

/// Removals go on piece by piece: at most one log line of a kind in this time.
const LINE_INTERVAL: Duration = Duration::from_secs(60);

impl Writer {
    /// The next piece of the log to remove.
    pub(super) fn due_truncation(&mut self, incoming: usize, worth: Worth) -> Option<Truncation> {
        let slowest = self.state.slowest();
        let held = self.last_states.held();
        let past = slowest.map(|slowest| held.map_or(slowest, |held| held.min(slowest)));
        let now = self.age.now();
        let truncation = self.retention.due(past, incoming, worth, now)?;
        let truncation = self.age.allowed(truncation, self.head)?;
        if let (Truncation::Past { through, .. }, Some(slowest)) = (truncation, slowest) {
            assert!(
                through <= slowest,
                "only what every sink is past is removed (I3): {through} > {slowest}"
            );
        }
        // What is not synced nobody has seen.
        let truncation = truncation.until(self.state.head())?;
        held.is_none_or(|held| truncation.through() <= held)
            .then_some(truncation)
    }

    pub(super) async fn removed(
        &mut self,
        truncation: Truncation,
        Removed {
            entries,
            undecodable,
        }: Removed,
    ) -> Result<(), Error> {
        self.state.cache().removed(truncation.through());
        self.age.removed(truncation, entries);
        self.say_undecodable(undecodable);
        if let Truncation::Drop { from, through } = truncation {
            self.state.evicted.fetch_add(entries, Ordering::Relaxed);
            self.retention.evicted(through);
            if is_line_due(&mut self.drop_said) {
                warn!(
                    from = from.0,
                    through = through.0,
                    held_by = self.state.held_by(),
                    "journal full: its oldest entries are evicted; raise journal.max_bytes, or see \
                     what holds them"
                );
            }
        }
        self.retention
            .begins(entry_rows::begin(&mut self.connection).await?);
        self.state.begins(self.retention.oldest());
        // More may be there: at once after a whole piece, else not more often than cursors move.
        let wait = match truncation.has_more(entries) {
            true => Duration::ZERO,
            false => SAVE_INTERVAL,
        };
        self.due.look_within(Instant::now(), wait);
        self.measure().await
    }

    /// Counts undecodable entries that went before anybody had dealt with them.
    fn say_undecodable(&mut self, removed: u64) {
        let total = &self.state.undecodable_removed;
        let removed = total.fetch_add(removed, Ordering::Relaxed) + removed;
        if removed > self.undecodable_said.0 && is_line_due(&mut self.undecodable_said.1) {
            self.undecodable_said.0 = removed;
            warn!(
                removed,
                "undecodable entries removed with nobody having dealt with them: correct the \
                 topic's mapping before the next ones go, or raise journal.keep or journal.max_bytes"
            );
        }
    }
}

fn is_line_due(said: &mut Option<Instant>) -> bool {
    let is_due = said.is_none_or(|said| said.elapsed() >= LINE_INTERVAL);
    if is_due {
        *said = Some(Instant::now());
    }
    is_due
}
