//! The batch that is to be written next: whole messages, and the ACKs that are due after them.

use super::owed::{Due, Owed};
use super::{BATCH_MAX, Intake};
use crate::journal::{NewBatch, NewEntry};

/// From so many entries that wait the disk is the slow one.
const SLOW_MIN: usize = 4 * BATCH_MAX;

impl Intake {
    /// Lets the newest ACK that is still to wait go with others: see
    /// [`Mutation::AckOfAnother`](crate::faults::Mutation).
    pub(in crate::source) fn owe_less(&mut self, owed: &mut Owed) {
        owed.acks.extend(self.owed.acks.pop());
    }

    /// All that waits, and the ACKs that are due after it.
    pub(in crate::source) fn drain(&mut self) -> (NewBatch, Owed) {
        self.bytes = 0;
        self.received = false;
        self.arrays.clear();
        let entries = std::mem::take(&mut self.entries);
        (NewBatch { entries }, std::mem::take(&mut self.owed))
    }

    /// So many entries, and the rest of the message that the last of them is of: what comes in one
    /// message is stored as one.
    fn whole_messages(&self, count: usize) -> usize {
        let cut = self
            .arrays
            .iter()
            .find(|array| array.start < count && count < array.end);
        cut.map_or(count, |array| array.end)
    }

    /// The batch to be written next, and the ACKs that are due after it: see [`batch_entries`].
    pub(in crate::source) fn next_batch(&mut self) -> (NewBatch, Owed) {
        let count = self.whole_messages(batch_entries(self.entries.len()));
        if count == self.entries.len() {
            return self.drain();
        }
        let rest = self.entries.split_off(count);
        let entries = std::mem::replace(&mut self.entries, rest);
        let due = |due: &Due| due.entries <= entries.len();
        let first = self.owed.acks.partition_point(due);
        let mut later = self.owed.acks.split_off(first);
        later
            .iter_mut()
            .for_each(|due| due.entries -= entries.len());
        let acks = std::mem::replace(&mut self.owed.acks, later);
        self.arrays.retain(|array| array.start >= count);
        for array in &mut self.arrays {
            *array = array.start - count..array.end - count;
        }
        // An array's body is counted once, and its statuses are a part of it.
        let bytes: usize = entries.iter().map(|entry| entry.body.len()).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        self.received = self.entries.iter().any(NewEntry::is_received);
        (NewBatch { entries }, Owed { acks })
    }
}

/// How many of the entries that wait go into the next batch. In a flood it is a size that the
/// journal writes by one statement, and small enough that one batch is read while another is written
/// and a third is synced, also where the server waits for ACKs after a thousand messages. A disk that
/// is slower than that gets all that waits.
fn batch_entries(waiting: usize) -> usize {
    match waiting {
        BATCH_MAX..SLOW_MIN => BATCH_MAX,
        _ => waiting,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::journal::NewContent;
    use crate::stomp::{AckId, AckMode};

    #[test]
    fn a_flood_is_cut_into_batches_of_one_statement() {
        for (waiting, batch) in [
            (1, 1),
            (255, 255),
            (256, 256),
            (300, 256),
            (1_023, 256),
            (1_024, 1_024),
            (4_096, 4_096),
        ] {
            assert_eq!(batch_entries(waiting), batch, "of {waiting}");
        }
    }

    /// An intake in which messages with so many statuses each wait.
    fn filled(messages: &[usize]) -> Intake {
        let mut intake = Intake::new(Arc::default());
        for count in messages {
            let first = intake.entries.len();
            let entry = NewEntry {
                topic: "map".into(),
                received_at: Timestamp::UNIX_EPOCH,
                body: "x".into(),
                content: NewContent::sample(),
            };
            intake.entries.extend(vec![entry; *count]);
            intake.arrays.push(first..first + count);
            intake.bytes += count;
            intake.received = true;
            intake.owed.acks.push(Due {
                topic: "map".into(),
                ack: AckMode::Client,
                id: AckId::sample("map"),
                entries: intake.entries.len(),
            });
        }
        intake
    }

    #[test]
    fn a_batch_has_whole_messages_and_their_acks() {
        let mut intake = filled(&[[1; 250].as_slice(), &[10, 3, 500], &[1; 7]].concat());
        for (entries, acks) in [(260, 251), (503, 2), (7, 7)] {
            let (batch, owed) = intake.next_batch();
            assert_eq!((batch.entries.len(), owed.messages()), (entries, acks));
            assert_eq!(intake.bytes, intake.entries.len());
            assert_eq!(intake.received, !intake.entries.is_empty());
        }
    }
}
