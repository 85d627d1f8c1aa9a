//! What the engine takes on: the log, as far as the sink has room for it, and what an operator wants
//! delivered again.

use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::{AHEAD_ENTRIES_MAX, Engine};
use crate::delivery::decode::Decoded;
use crate::delivery::prefetch::{Chunk, SinkLog};
use crate::journal;
use crate::model::Position;
use crate::sinks::{Ordering, Reason};

/// Payloads of the events that are here: a bound of the sink's memory.
const AHEAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Events that could go at once; more are not read before they are needed.
pub(super) const READY_MAX: usize = 1000;

impl Engine {
    /// Each attempt may end with a dead letter: where there is no room for them, the log waits, and
    /// what an operator wants delivered again goes on, since it makes room.
    pub(super) fn look_at_dlq(&mut self) {
        let (events, bytes_max) = self.scheduler.dead_letters_next();
        let SinkLog { sink, journal, .. } = &self.log;
        let bytes_max = bytes_max.max(self.unreadable_bytes);
        let has_room = journal.cursors.has_dlq_room(sink, events, bytes_max);
        if !has_room && self.scheduler.is_quiet() {
            self.report.dlq_full();
        } else if has_room && self.report.dlq_has_room() {
            // Where nothing waits, a probe says that the sink is up.
            self.idle_at = Instant::now();
        }
        let released = (!has_room)
            .then(|| journal.cursors.dead_letters(sink))
            .and_then(|dead_letters| self.progress.holds_all(dead_letters));
        self.scheduler.hold_log(!has_room, released);
    }

    /// Whether what comes next in the log may be read.
    pub(in crate::delivery) fn may_read(&self) -> bool {
        self.scheduler.is_open()
            && !self.scheduler.is_log_held()
            && match self.capabilities.ordering {
                Ordering::Global => self.progress.ahead() == 0,
                Ordering::PerDevice { .. } => self.has_room() && !self.is_held(),
            }
    }

    /// Whether what comes in the log waits for more to go with it.
    pub(super) fn gathers(&self) -> bool {
        Instant::now() < self.gathers_until && !self.prefetch.is_full(self.log.entries_max)
    }

    /// Whether redrives and replays may be read.
    pub(super) fn may_redrive(&self) -> bool {
        self.scheduler.is_open() && self.redrive.is_wanted()
    }

    fn has_room(&self) -> bool {
        self.scheduler.ready() < READY_MAX && self.scheduler.bytes() < AHEAD_BYTES_MAX
    }

    /// One event holds the cursor, and too much is ahead of it.
    fn is_held(&self) -> bool {
        self.progress.ahead() >= AHEAD_ENTRIES_MAX
    }

    /// Takes on what comes next in the log. What cannot be read is dead-lettered before anything
    /// moves.
    pub(in crate::delivery) async fn read_log(
        &mut self,
        newest: Position,
    ) -> Result<(), journal::Error> {
        let after = self.progress.through;
        let chunk = self.prefetch.take(after, newest, &mut self.log);
        let Chunk {
            mut entries,
            mut through,
            ..
        } = chunk.await?;
        if let Some(refused) = self.dead_letter_unreadable(&entries).await? {
            entries.retain(|(position, _)| *position < refused);
            through = Position(refused.0 - 1);
            self.prefetch.discard();
            let unreadable = self.log.reader.entry(refused).await?;
            self.unreadable_bytes = unreadable.map_or(0, |entry| entry.body.len());
        } else {
            self.unreadable_bytes = 0;
        }
        if self.report.read(&entries)
            && let Some(digest) = self.when_digest
        {
            let cursors = &self.log.journal.cursors;
            cursors.judged(&self.log.sink, &digest).await?;
        }
        let events = self.progress.read(entries, through);
        if !events.is_empty() {
            let now = Instant::now();
            self.scheduler.push(Reason::Log, events, Some(through), now);
        }
        self.advance();
        if self.is_held() {
            self.report.held(self.progress.ahead());
        }
        Ok(())
    }

    /// Dead-letters events that cannot be decoded. Gives the first for which the sink's dead
    /// letters have no room: the log goes on with it once they have.
    async fn dead_letter_unreadable(
        &mut self,
        entries: &[(Position, Decoded)],
    ) -> Result<Option<Position>, journal::Error> {
        let unreadable = entries
            .iter()
            .filter_map(|(position, decoded)| match decoded {
                Decoded::Unreadable(reason) => Some((*position, reason)),
                _ => None,
            });
        // The journal answers once its disk has room.
        self.report.turns_by(None);
        let SinkLog { sink, journal, .. } = &self.log;
        let listing = unreadable
            .clone()
            .map(|(position, reason)| journal.cursors.dead_letter_if_room(sink, position, reason));
        let listed = try_join_all(listing).await?;
        let mut refused = None;
        for ((position, reason), listed) in unreadable.zip(listed) {
            if !listed {
                refused.get_or_insert(position);
            } else if refused.is_none() {
                self.report.dead_lettered(position, reason);
            } else {
                // It is read again, and known by then.
                self.log.dead_letters.insert(position);
            }
        }
        Ok(refused)
    }

    /// Takes on what an operator wants delivered again.
    pub(super) async fn read_again(&mut self) -> Result<(), journal::Error> {
        let cursor = self.progress.cursor;
        let again = self.redrive.read(&mut self.log, cursor, &mut self.report);
        for (reason, events) in again.await? {
            self.scheduler.push(reason, events, None, Instant::now());
        }
        Ok(())
    }
}
