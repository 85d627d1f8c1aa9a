//! Where a sink's delivery begins, and goes on after trouble: by the journal's cursor, and by the
//! destination's own where it keeps one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::SignedDuration;
use tracing::info;

use super::pending::Pending;
use super::reading::Reading;
use super::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, Delivery, Next, Turn};
use crate::journal::{self, Entry, Reader, Start};
use crate::model::{Origin, Position};
use crate::sinks::{Newest, Trouble};

/// Some servers give a time of theirs only nearly to the microsecond.
const SAME_INSTANT: SignedDuration = SignedDuration::from_millis(1);

impl Delivery {
    /// Where the journal knows the sink to be.
    pub(super) async fn resume(&mut self, reader: &mut Reader) -> Result<(), journal::Error> {
        self.cursor = match self.journal.cursor(&self.name).await? {
            Some(cursor) => cursor,
            None => {
                let head = self.journal.status().head;
                self.journal.place(&self.name, head).await?;
                head
            }
        };
        self.counters
            .position
            .store(self.cursor.0, Ordering::Relaxed);
        self.aside = reader.dead_letters_after(&self.name, self.cursor).await?;
        Ok(())
    }

    /// Connects, and finds where to go on: the destination's own cursor is the truth, since it
    /// moved in one transaction with what it stands for.
    pub(super) async fn reopen(
        &mut self,
        wait: Duration,
        reader: &mut Reader,
    ) -> Result<Next, journal::Error> {
        tokio::time::sleep(wait).await;
        self.turn = Turn::Log;
        let own = match self.sink.open(self.journal.uuid()).await {
            Ok(own) => own,
            Err(Trouble::Disabled { error }) => return Ok(self.disabled(&error)),
            Err(Trouble::Retry { error, after }) => return Ok(self.retry(&error, after)),
            Err(Trouble::Refused { error, .. } | Trouble::Unclear { error }) => {
                return Ok(self.retry(&error, None));
            }
        };
        let status = self.journal.status();
        if let Some(position) = self.of_another_copy(own, status.head, reader).await? {
            return Err(self.fence(position).await);
        }
        let before_oldest = status
            .oldest
            .map_or(status.head, |oldest| Position(oldest.0 - 1));
        let start = match own {
            // What lies between was filtered or dead-lettered in this run: the sink was never given
            // it.
            Some(own) if own >= self.confirmed && self.confirmed > Position::START => {
                own.max(self.cursor)
            }
            Some(own) => own,
            None if self.sink.keeps_cursor() && self.start == Start::Oldest => before_oldest,
            None => self.cursor,
        };
        let confirmed = start;
        let start = if start < self.cursor {
            self.first_missing(start, reader).await?
        } else {
            start
        };
        self.go_to(start, reader).await?;
        self.confirmed = confirmed;
        if !self.refusals.distrusts() && !self.unproven {
            self.up("sink is up");
        }
        Ok(Next::Go)
    }

    /// A position of this journal that the sink has from another copy of it: one that this copy has
    /// not given yet, or has given to another entry since.
    async fn of_another_copy(
        &mut self,
        own: Option<Position>,
        head: Position,
        reader: &mut Reader,
    ) -> Result<Option<Position>, journal::Error> {
        let newest = self
            .sink
            .newest()
            .filter(|newest| newest.origin.journal == self.journal.uuid());
        let known = own.max(newest.map(|newest| newest.origin.position));
        if known.is_some_and(|known| known > head) {
            return Ok(known);
        }
        let Some(Newest {
            origin: Origin { position, .. },
            received_at,
        }) = newest
        else {
            return Ok(None);
        };
        let entries = reader.read_after(Position(position.0 - 1), 1, 1).await?;
        let differs =
            |entry: &Entry| entry.received_at.duration_since(received_at).abs() > SAME_INSTANT;
        let other = entries
            .first()
            .is_some_and(|entry| entry.position == position && differs(entry));
        Ok(other.then_some(position))
    }

    /// Goes on at another place than before: forward where the sink has confirmed more than we
    /// heard of, back where it has lost something.
    async fn go_to(&mut self, start: Position, reader: &mut Reader) -> Result<(), journal::Error> {
        if start < self.cursor {
            info!(sink = %self.name, from = %self.cursor, to = %start, "cursor follows the sink's own");
            // What is dead-lettered stays so; it will be passed, and counted, once more.
            self.aside = reader.dead_letters_after(&self.name, start).await?;
            let passed = self
                .aside
                .iter()
                .take_while(|position| **position <= self.cursor)
                .count();
            self.journal
                .rewind(&self.name, start, passed as u64)
                .await?;
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

    /// Where to go on after `own`: before the first event that the sink would have been given
    /// since. What was filtered or dead-lettered since moves no cursor of its own.
    async fn first_missing(
        &mut self,
        own: Position,
        reader: &mut Reader,
    ) -> Result<Position, journal::Error> {
        let aside = reader.dead_letters_after(&self.name, own).await?;
        let mut at = own;
        while at < self.cursor {
            let entries = reader
                .read_after(at, BATCH_ENTRIES_MAX, BATCH_BYTES_MAX)
                .await?;
            let Some(last) = entries.last() else { break };
            let missing = entries
                .iter()
                .take_while(|entry| entry.position <= self.cursor)
                .find(|entry| {
                    !aside.contains(&entry.position)
                        && matches!((self.read)(entry), Reading::Event(_))
                });
            if let Some(missing) = missing {
                return Ok(Position(missing.position.0 - 1));
            }
            at = last.position;
        }
        Ok(self.cursor)
    }
}
