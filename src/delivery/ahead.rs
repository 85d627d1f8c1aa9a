//! What comes next in the log, read and decoded while the sink is busy with what came before. It
//! moves nothing: a portion that is not wanted any more is dropped, and read again where it
//! belongs.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::BATCH_BYTES_MAX;
use super::missing::missing;
use super::reading::{Read, Reading};
use crate::journal::{self, Journal, Reader};
use crate::model::Position;

/// Entries that are decoded before the sink's delivery, which runs in the same task, is looked
/// after again: about a tenth of a millisecond.
const DECODED_AT_ONCE: usize = 32;
/// While the sink is busy, new entries are looked for so often: each time for many, where many
/// come.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// A piece of the log: what every entry in it means to the sink, in order.
#[derive(Debug)]
pub(super) struct Portion {
    /// It begins behind this one.
    after: Position,
    pub(super) readings: Vec<(Position, Reading)>,
    /// Where the next one begins.
    pub(super) through: Position,
    /// Of its bodies.
    bytes: usize,
}

impl Portion {
    fn empty(after: Position) -> Portion {
        Portion {
            after,
            readings: Vec::new(),
            through: after,
            bytes: 0,
        }
    }

    fn is_full(&self, entries_max: usize) -> bool {
        self.readings.len() >= entries_max || self.bytes >= BATCH_BYTES_MAX
    }

    /// Adds what the log has up to `newest`, until the portion is full.
    async fn extend(&mut self, newest: Position, log: &mut Log<'_>) -> Result<(), journal::Error> {
        if newest <= self.through || self.is_full(log.entries_max) {
            return Ok(());
        }
        let (entries_max, bytes_max) = (
            log.entries_max - self.readings.len(),
            BATCH_BYTES_MAX - self.bytes,
        );
        let entries = log
            .reader
            .read_after(self.through, entries_max, bytes_max)
            .await?;
        // Nothing there although the head is further: evicted because the journal was full.
        let through = entries.last().map_or(newest, |entry| entry.position);
        let furthest = log.journal.furthest(log.sink);
        let missing = missing(self.through, furthest, &entries, through, log.reader).await?;
        let (first, in_order) = (self.readings.len(), missing.is_empty());
        self.readings.reserve(missing.len() + entries.len());
        self.readings.extend(missing);
        for (index, entries) in entries.chunks(DECODED_AT_ONCE).enumerate() {
            if index > 0 {
                tokio::task::yield_now().await;
            }
            self.readings.extend(
                entries
                    .iter()
                    .map(|entry| (entry.position, (log.read)(entry))),
            );
        }
        if !in_order {
            self.readings[first..].sort_by_key(|(position, _)| *position);
        }
        self.through = through;
        self.bytes += entries.iter().map(|entry| entry.body.len()).sum::<usize>();
        Ok(())
    }
}

/// At most one portion: as much memory as a batch takes.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    next: Option<Portion>,
}

impl Ahead {
    /// The portion after a position up to which the log was read; `newest` is after it.
    pub(super) async fn take(
        &mut self,
        after: Position,
        newest: Position,
        mut log: Log<'_>,
    ) -> Result<Portion, journal::Error> {
        let mut portion = self.behind(after);
        portion.extend(newest, &mut log).await?;
        Ok(portion)
    }

    /// Reads what comes after a position, and what comes meanwhile, until the portion is full or
    /// the sink is `done` with what it has.
    pub(super) async fn fill(
        &mut self,
        after: Position,
        done: &CancellationToken,
        mut log: Log<'_>,
    ) -> Result<(), journal::Error> {
        let mut head = log.journal.head();
        let mut portion = self.behind(after);
        loop {
            let newest = *head.borrow_and_update();
            portion.extend(newest, &mut log).await?;
            if portion.is_full(log.entries_max) {
                break;
            }
            let more = async {
                tokio::time::sleep(LOOK_INTERVAL).await;
                head.changed().await
            };
            tokio::select! {
                () = done.cancelled() => break,
                Ok(()) = more => {}
            }
        }
        self.next = Some(portion);
        Ok(())
    }

    /// Nothing of it is wanted any more: the sink goes back, or entries are read in another way
    /// from now on.
    pub(super) fn discard(&mut self) {
        self.next = None;
    }

    fn behind(&mut self, after: Position) -> Portion {
        self.next
            .take()
            .filter(|portion| portion.after == after)
            .unwrap_or_else(|| Portion::empty(after))
    }
}

/// The log as one sink reads it.
pub(super) struct Log<'a> {
    pub(super) sink: &'a str,
    pub(super) journal: &'a Journal,
    pub(super) reader: &'a mut Reader,
    pub(super) read: &'a Read,
    /// Of one portion.
    pub(super) entries_max: usize,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::tests::{Far, House};
    use super::*;

    fn log<'a>(
        journal: &'a Journal,
        reader: &'a mut Reader,
        read: &'a Read,
        entries_max: usize,
    ) -> Log<'a> {
        Log {
            sink: "site",
            journal,
            reader,
            read,
            entries_max,
        }
    }

    #[tokio::test]
    async fn what_comes_while_the_sink_is_busy_is_read_meanwhile() {
        let house = House::new(Far::default()).await;
        let journal = &house.journal;
        let mut reader = journal.reader().await.unwrap();
        let decoded = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&decoded);
        let read: Read = Box::new(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            Reading::Filtered
        });
        let mut ahead = Ahead::default();
        let done = CancellationToken::new();
        let busy = async {
            for (new, all) in [(2, 2), (3, 5)] {
                house.append(vec!["ok"; new]).await;
                while decoded.load(Ordering::Relaxed) < all {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
            }
            done.cancel();
        };
        let (filled, ()) = tokio::join!(
            ahead.fill(Position::START, &done, log(journal, &mut reader, &read, 6)),
            busy
        );
        filled.unwrap();
        // The last ones have come after the sink was done, and there is room for one.
        house.append(["ok"; 3]).await;
        let portion = ahead
            .take(
                Position::START,
                Position(8),
                log(journal, &mut reader, &read, 6),
            )
            .await
            .unwrap();
        let positions: Vec<i64> = portion
            .readings
            .iter()
            .map(|(position, _)| position.0)
            .collect();
        assert_eq!(
            (positions, portion.through),
            (vec![1, 2, 3, 4, 5, 6], Position(6))
        );
        assert_eq!(decoded.load(Ordering::Relaxed), 6, "each was read once");

        // A full portion waits for nobody.
        ahead
            .fill(
                Position(6),
                &CancellationToken::new(),
                log(journal, &mut reader, &read, 2),
            )
            .await
            .unwrap();
        assert_eq!(decoded.load(Ordering::Relaxed), 8);
    }
}
