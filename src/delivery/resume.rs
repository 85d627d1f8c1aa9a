//! Where a sink's delivery begins, and goes on after trouble: by the journal's cursor, and by the
//! destination's own where it keeps one.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;
use tracing::info;

use super::decode::Decoded;
use super::engine::Engine;
use super::prefetch::CHUNK_BYTES_MAX;
use super::progress::Progress;
use crate::journal::{self, Entry, Start};
use crate::model::{Origin, Position};
use crate::sinks::{Newest, Ordering};

/// Some servers give a time of theirs only nearly to the microsecond.
const SAME_INSTANT: SignedDuration = SignedDuration::from_millis(1);

/// Where an open connection proves nothing and no event waits, the sink is asked after this time.
const PROBE_UNPROVEN: Duration = Duration::from_secs(1);

/// Entries that are looked through at once where the sink is given none of them, or few.
const ENTRIES_MAX: usize = 1000;

impl Engine {
    /// Where the journal knows the sink to be.
    pub(super) async fn resume(&mut self) -> Result<(), journal::Error> {
        let cursor = match self.log.journal.cursors.cursor(&self.log.sink) {
            Some(cursor) => cursor,
            None => {
                let head = self.log.journal.log.status().head;
                self.log.journal.cursors.place(&self.log.sink, head).await?;
                head
            }
        };
        self.stand_at(cursor).await
    }

    /// Connects, and finds where to go on: the destination's own cursor is the truth, since it
    /// moved in one transaction with what it stands for.
    pub(super) async fn open(&mut self) -> Result<(), journal::Error> {
        let journal = self.log.journal.log.uuid();
        let opened = self.sink().open(journal).await;
        let own = match opened {
            Ok(own) => own,
            Err(trouble) => {
                let (now, random) = (Instant::now(), fastrand::f64());
                let trouble = trouble.redacted();
                let news = self.scheduler.not_opened(trouble, now, random);
                self.report.news(&news, true);
                return Ok(());
            }
        };
        let status = self.log.journal.log.status();
        if let Some(position) = self.of_another_copy(own, status.head).await? {
            let error = self
                .log
                .journal
                .cursors
                .fence(&self.log.sink, position)
                .await;
            self.report.down(&error.to_string());
            return Err(error);
        }
        let before_oldest = status
            .oldest
            .map_or(status.head, |oldest| Position(oldest.0 - 1));
        let Progress {
            cursor, confirmed, ..
        } = self.progress;
        let start = match own {
            // What lies between was filtered or dead-lettered in this run: the sink was never given
            // it.
            Some(own) if own >= confirmed && confirmed > Position::START => own.max(cursor),
            Some(own) => own,
            None if self.capabilities.keeps_cursor && self.start == Start::Oldest => before_oldest,
            None => cursor,
        };
        if start < cursor {
            self.go_back(start).await?;
        }
        // Forward if the sink has confirmed more than we heard of. The entries between are still
        // read, for the accounting.
        self.progress.confirm_through(start);
        self.scheduler.drop_through(start);
        self.advance();
        let answers = self.scheduler.opened();
        self.idle_at = self.next_idle();
        match self.capabilities.ordering {
            // The sink has opened a connection.
            Ordering::Global if answers => self.report.up("sink is up"),
            // Where nothing waits, a probe says soon whether it is.
            Ordering::Global => self.idle_at = Instant::now() + PROBE_UNPROVEN,
            Ordering::PerDevice { .. } => self.idle().await,
        }
        Ok(())
    }

    /// A position of this journal that the sink has from another copy of it. This copy has not
    /// given that position yet, or has given it to another entry.
    async fn of_another_copy(
        &mut self,
        own: Option<Position>,
        head: Position,
    ) -> Result<Option<Position>, journal::Error> {
        let newest = self
            .sink()
            .newest()
            .filter(|newest| newest.origin.journal == self.log.journal.log.uuid());
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
        let entries = self
            .log
            .reader
            .read_after(Position(position.0 - 1), 1, 1)
            .await?;
        let differs =
            |entry: &Entry| entry.received_at.duration_since(received_at).abs() > SAME_INSTANT;
        let other = entries
            .first()
            .is_some_and(|entry| entry.position == position && differs(entry));
        Ok(other.then_some(position))
    }

    /// The sink has lost what it had after `own`.
    async fn go_back(&mut self, own: Position) -> Result<(), journal::Error> {
        let cursor = self.progress.cursor;
        let start = self.first_missing(own).await?;
        if start >= cursor {
            return Ok(());
        }
        info!(sink = %self.log.sink, from = cursor.0, to = start.0, "cursor follows the sink's own");
        // Dead letters stay; the cursor will pass and count them a second time.
        let dead_letters = self
            .log
            .reader
            .dead_letters_after(&self.log.sink, start)
            .await?;
        let passed = dead_letters.range(..=cursor).count() as u64;
        self.log
            .journal
            .cursors
            .rewind(&self.log.sink, start, passed)
            .await?;
        self.scheduler.drop_through(Position(i64::MAX));
        self.prefetch.discard();
        self.redrive.went_back(cursor);
        self.stand_at(start).await
    }

    async fn stand_at(&mut self, cursor: Position) -> Result<(), journal::Error> {
        self.log.dead_letters = self
            .log
            .reader
            .dead_letters_after(&self.log.sink, cursor)
            .await?;
        self.progress = Progress::at(cursor);
        self.report.at(cursor);
        Ok(())
    }

    /// Where to go on after `own`: before the first later event that is meant for the sink.
    /// Filtered and dead-lettered entries do not move the sink's own cursor.
    async fn first_missing(&mut self, own: Position) -> Result<Position, journal::Error> {
        let cursor = self.progress.cursor;
        let dead_letters = self
            .log
            .reader
            .dead_letters_after(&self.log.sink, own)
            .await?;
        let mut at = own;
        while at < cursor {
            let entries = self
                .log
                .reader
                .read_after(at, ENTRIES_MAX, CHUNK_BYTES_MAX)
                .await?;
            let Some(last) = entries.last() else { break };
            let missing = entries
                .iter()
                .take_while(|entry| entry.position <= cursor)
                .find(|entry| {
                    !dead_letters.contains(&entry.position)
                        && matches!((self.log.decode)(entry), Decoded::Event(_))
                });
            if let Some(missing) = missing {
                return Ok(Position(missing.position.0 - 1));
            }
            at = last.position;
        }
        Ok(cursor)
    }
}
