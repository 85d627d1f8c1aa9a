//! Reads and decodes the next entries of the log while the sink is busy. It moves no cursor: a
//! chunk that is not wanted is dropped, and read again when it is due.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::decode::{Decode, Decoded};
use super::gaps::missing;
use crate::journal::{self, Entry, Journal, Reader};
use crate::model::Position;
use crate::paced::Pacing;

/// Bodies in one chunk: a bound of each sink's memory, the decoded events included.
pub(super) const CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Entries that are decoded before the sink's delivery, which runs in the same task, is looked
/// after again: about a tenth of a millisecond.
const DECODED_AT_ONCE: usize = 32;
/// While the sink is busy, new entries are read this time after the first one of them: each time
/// many, where many come.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// A piece of the log: what every entry in it means to the sink, in order.
#[derive(Debug)]
pub(super) struct Chunk {
    /// It begins behind this one.
    after: Position,
    pub(super) entries: Vec<(Position, Decoded)>,
    /// Where the next one begins.
    pub(super) through: Position,
    /// Of its bodies.
    bytes: usize,
}

impl Chunk {
    fn empty(after: Position) -> Chunk {
        Chunk {
            after,
            entries: Vec::new(),
            through: after,
            bytes: 0,
        }
    }

    fn is_full(&self, entries_max: usize) -> bool {
        self.entries.len() >= entries_max || self.bytes >= CHUNK_BYTES_MAX
    }

    /// Adds what the log has up to `newest`, until the chunk is full.
    async fn extend(&mut self, newest: Position, log: &mut SinkLog) -> Result<(), journal::Error> {
        if newest <= self.through || self.is_full(log.entries_max) {
            return Ok(());
        }
        let (entries_max, bytes_max) = (
            log.entries_max - self.entries.len(),
            CHUNK_BYTES_MAX - self.bytes,
        );
        let entries = log
            .reader
            .read_after(self.through, entries_max, bytes_max)
            .await?;
        // Nothing there although the head is further: evicted because the journal was full.
        let through = entries.last().map_or(newest, |entry| entry.position);
        let furthest = log.journal.cursors.furthest(&log.sink);
        let missing = missing(
            self.through,
            furthest,
            &entries,
            through,
            &log.dead_letters,
            &mut log.reader,
        )
        .await?;
        let (first, in_order) = (self.entries.len(), missing.is_empty());
        self.entries.reserve(missing.len() + entries.len());
        self.entries.extend(missing);
        for (index, entries) in entries.chunks(DECODED_AT_ONCE).enumerate() {
            if index > 0 {
                tokio::task::yield_now().await;
            }
            self.entries.extend(
                entries
                    .iter()
                    .map(|entry| (entry.position, log.decoded(entry))),
            );
        }
        if !in_order {
            self.entries[first..].sort_by_key(|(position, _)| *position);
        }
        self.through = through;
        self.bytes += entries.iter().map(|entry| entry.body.len()).sum::<usize>();
        Ok(())
    }
}

/// At most one chunk: as much memory as a batch takes.
#[derive(Debug, Default)]
pub(super) struct Prefetch {
    next: Option<Chunk>,
}

impl Prefetch {
    /// The chunk after a position up to which the log was read; `newest` is after it.
    pub(super) async fn take(
        &mut self,
        after: Position,
        newest: Position,
        log: &mut SinkLog,
    ) -> Result<Chunk, journal::Error> {
        let mut chunk = self.behind(after);
        chunk.extend(newest, log).await?;
        Ok(chunk)
    }

    /// Reads what comes after a position, and what comes meanwhile, until the chunk is full or
    /// `done` says so.
    pub(super) async fn fill(
        &mut self,
        after: Position,
        done: &CancellationToken,
        log: &mut SinkLog,
    ) -> Result<(), journal::Error> {
        let mut head = log.journal.log.head();
        let mut chunk = self.behind(after);
        if *head.borrow() > chunk.through {
            log.hurry();
        }
        loop {
            let newest = *head.borrow_and_update();
            chunk.extend(newest, log).await?;
            if chunk.is_full(log.entries_max) {
                break;
            }
            let more = async {
                head.changed().await?;
                log.hurry();
                tokio::time::sleep(LOOK_INTERVAL).await;
                Ok::<(), RecvError>(())
            };
            tokio::select! {
                () = done.cancelled() => break,
                Ok(()) = more => {}
            }
        }
        self.next = Some(chunk);
        Ok(())
    }

    /// Whether nothing more is read before the sink takes what is here.
    pub(super) fn is_full(&self, entries_max: usize) -> bool {
        let next = self.next.as_ref();
        next.is_some_and(|chunk| chunk.is_full(entries_max))
    }

    /// Drops all chunks: the sink goes back, or entries are read in another way from now on.
    pub(super) fn discard(&mut self) {
        self.next = None;
    }

    fn behind(&mut self, after: Position) -> Chunk {
        self.next
            .take()
            .filter(|chunk| chunk.after == after)
            .unwrap_or_else(|| Chunk::empty(after))
    }
}

/// The log as one sink reads it.
pub(super) struct SinkLog {
    pub(super) sink: Arc<str>,
    pub(super) journal: Journal,
    pub(super) reader: Reader,
    pub(super) decode: Decode,
    /// Dead-lettered already, after the cursor.
    pub(super) dead_letters: BTreeSet<Position>,
    /// See [`Sink::pacing`](crate::sinks::Sink::pacing).
    pub(super) pacing: Option<Pacing>,
    /// Of one chunk.
    pub(super) entries_max: usize,
}

impl SinkLog {
    /// More is there than the sink has: what confirms that is read now.
    fn hurry(&self) {
        if let Some(pacing) = &self.pacing {
            pacing.hurry();
        }
    }

    /// What an entry that comes next means to the sink.
    fn decoded(&self, entry: &Entry) -> Decoded {
        match self.dead_letters.contains(&entry.position) {
            true => Decoded::DeadLetter,
            false => (self.decode)(entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::tests::{Far, Rig};
    use super::*;

    #[tokio::test]
    async fn what_comes_while_the_sink_is_busy_is_read_meanwhile() {
        let rig = Rig::new(Far::default()).await;
        let decoded = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&decoded);
        let pacing = Pacing::default();
        let decode: Decode = Box::new(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            Decoded::Filtered
        });
        let mut log = SinkLog {
            sink: "site".into(),
            journal: rig.journal.clone(),
            reader: rig.journal.log.reader().await.unwrap(),
            decode,
            dead_letters: BTreeSet::new(),
            pacing: Some(pacing.clone()),
            entries_max: 6,
        };
        let mut prefetch = Prefetch::default();
        let done = CancellationToken::new();
        let busy = async {
            for (new, all) in [(2, 2), (3, 5)] {
                rig.append(vec!["ok"; new]).await;
                while decoded.load(Ordering::Relaxed) < all {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
            }
            done.cancel();
        };
        let (filled, ()) = tokio::join!(prefetch.fill(Position::START, &done, &mut log), busy);
        filled.unwrap();
        assert!(
            pacing.is_hurried(),
            "more is ready: confirmations are wanted"
        );
        // The last ones have come after the sink was done, and there is room for one.
        rig.append(["ok"; 3]).await;
        let chunk = prefetch
            .take(Position::START, Position(8), &mut log)
            .await
            .unwrap();
        let positions: Vec<i64> = chunk
            .entries
            .iter()
            .map(|(position, _)| position.0)
            .collect();
        assert_eq!(
            (positions, chunk.through),
            (vec![1, 2, 3, 4, 5, 6], Position(6))
        );
        assert_eq!(decoded.load(Ordering::Relaxed), 6, "each was read once");

        // A full chunk waits for nobody.
        log.entries_max = 2;
        prefetch
            .fill(Position(6), &CancellationToken::new(), &mut log)
            .await
            .unwrap();
        assert_eq!(decoded.load(Ordering::Relaxed), 8);
    }
}
