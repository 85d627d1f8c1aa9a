//! What the writer writes as one: batches and commands that wait together.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::command::{Command, QueuedCommand};
use super::{Entry, NewBatch, NewEntry};
use crate::model::Position;

/// A batch on its way to the disk.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) batch: NewBatch,
    /// Given back once the batch has left the memory.
    pub(super) room: OwnedSemaphorePermit,
    pub(super) done: oneshot::Sender<Position>,
}

/// What goes into one transaction.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) entries: Vec<NewEntry>,
    /// Who waits for how many of the entries, in order.
    appends: Vec<(usize, OwnedSemaphorePermit, oneshot::Sender<Position>)>,
    pub(super) commands: Vec<QueuedCommand>,
}

/// A group that is written, and on disk once the WAL is synced: only then is anybody told.
#[derive(Debug)]
pub(super) struct WrittenGroup {
    pub(super) entries: Vec<Entry>,
    pub(super) group: Group,
    /// How many rows each command has changed.
    pub(super) changed: Vec<u64>,
}

impl Group {
    /// Adds a batch.
    pub(super) fn append(&mut self, append: Append) {
        let Append { batch, room, done } = append;
        self.appends.push((batch.entries.len(), room, done));
        if self.entries.is_empty() {
            self.entries = batch.entries;
        } else {
            self.entries.extend(batch.entries);
        }
    }

    /// These of its entries get no position; by their places, in order.
    pub(super) fn drop_entries(&mut self, dropped: &[usize]) {
        let mut end = 0;
        let mut before = 0;
        for (count, ..) in &mut self.appends {
            end += *count;
            let through = dropped.partition_point(|place| *place < end);
            *count -= through - before;
            before = through;
        }
    }

    /// Whether what comes next is to be written after it.
    pub(super) fn is_ended(&self) -> bool {
        let last = self.commands.last();
        last.is_some_and(|queued| queued.command.ends_its_group())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.commands.is_empty()
    }

    /// That the link lives is all that it says: it is written over what said so before.
    pub(super) fn is_proof(&self) -> bool {
        let is_proof =
            |queued: &QueuedCommand| matches!(queued.command, Command::LinkProven { .. });
        self.appends.is_empty() && !self.commands.is_empty() && self.commands.iter().all(is_proof)
    }

    /// Answers every caller; one that has gone away loses only the answer.
    pub(super) fn answer(self, mut before: Position, changed: Vec<u64>) {
        for (count, _room, done) in self.appends {
            before.0 += i64::try_from(count).expect("a batch fits in memory");
            let _ = done.send(before);
        }
        for (queued, changed) in self.commands.into_iter().zip(changed) {
            let _ = queued.done.send(changed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::journal::NewContent;

    #[test]
    fn each_caller_hears_the_position_of_its_last_entry_also_where_some_make_none() {
        let room = Arc::new(Semaphore::new(1));
        let mut group = Group::default();
        let entry = || NewEntry {
            topic: "t".into(),
            received_at: jiff::Timestamp::UNIX_EPOCH,
            body: "{}".into(),
            content: NewContent::sample(),
        };
        let mut callers = Vec::new();
        for count in [2, 3, 1, 1] {
            let (done, written) = oneshot::channel();
            let entries = (0..count).map(|_| entry()).collect();
            group.append(Append {
                batch: NewBatch { entries },
                room: Arc::clone(&room).try_acquire_many_owned(0).unwrap(),
                done,
            });
            callers.push(written);
        }
        group.drop_entries(&[1, 2, 5]);
        group.answer(Position(10), Vec::new());
        let told = callers
            .iter_mut()
            .map(|caller| caller.try_recv().unwrap().0);
        assert_eq!(told.collect::<Vec<_>>(), [11, 13, 13, 14]);
    }
}
