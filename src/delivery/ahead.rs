//! What comes next in the log, read and decoded while the sink is busy with what came before. It moves nothing: a
//! portion that is not wanted any more is dropped, and read again where it belongs.

use super::BATCH_BYTES_MAX;
use super::missing::missing;
use super::reading::{Read, Reading};
use crate::journal::{self, Journal, Reader};
use crate::model::Position;

/// Entries that are decoded before the sink's delivery, which runs in the same task, is looked after again: about a
/// tenth of a millisecond.
const DECODED_AT_ONCE: usize = 32;

/// A piece of the log: what every entry in it means to the sink, in order.
#[derive(Debug)]
pub(super) struct Portion {
    pub(super) readings: Vec<(Position, Reading)>,
    /// Where the next one begins.
    pub(super) through: Position,
}

/// At most one portion: as much memory as a batch takes.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    next: Option<(Position, Portion)>,
}

impl Ahead {
    /// The portion after a position up to which the log was read; `newest` is after it.
    pub(super) async fn take(
        &mut self,
        after: Position,
        newest: Position,
        log: Log<'_>,
    ) -> Result<Portion, journal::Error> {
        match self.next.take() {
            Some((begin, portion)) if begin == after => Ok(portion),
            _ => log.portion(after, newest).await,
        }
    }

    /// Reads the portion after a position, where there is anything and it is not here yet.
    pub(super) async fn fill(
        &mut self,
        after: Position,
        newest: Position,
        log: Log<'_>,
    ) -> Result<(), journal::Error> {
        if newest > after && !matches!(&self.next, Some((begin, _)) if *begin == after) {
            self.next = Some((after, log.portion(after, newest).await?));
        }
        Ok(())
    }

    /// Nothing of it is wanted any more: the sink goes back, or entries are read in another way from now on.
    pub(super) fn discard(&mut self) {
        self.next = None;
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

impl Log<'_> {
    async fn portion(self, after: Position, newest: Position) -> Result<Portion, journal::Error> {
        let entries = self.reader.read_after(after, self.entries_max, BATCH_BYTES_MAX).await?;
        // Nothing there although the head is further: dropped because the journal was full.
        let through = entries.last().map_or(newest, |entry| entry.position);
        let furthest = self.journal.furthest(self.sink);
        let mut readings = missing(after, furthest, &entries, through, self.reader).await?;
        let in_order = readings.is_empty();
        readings.reserve(entries.len());
        for (index, entries) in entries.chunks(DECODED_AT_ONCE).enumerate() {
            if index > 0 {
                tokio::task::yield_now().await;
            }
            readings.extend(entries.iter().map(|entry| (entry.position, (self.read)(entry))));
        }
        if !in_order {
            readings.sort_by_key(|(position, _)| *position);
        }
        Ok(Portion { readings, through })
    }
}
