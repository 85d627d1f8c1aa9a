//! What the writer writes as one: batches and commands that wait together.

use std::sync::Arc;

use jiff::Timestamp;
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
    /// What the entries are the statuses of.
    pub(super) redrive: Option<PartsRedrive>,
}

/// Undecodable entries whose statuses are the entries of a batch: they are redriven with the commit of
/// that, so that no crash leaves both in the list.
#[derive(Debug)]
pub(super) struct PartsRedrive {
    /// Each with how many of the batch's entries are its statuses, in order; 0: it is one itself.
    pub(super) wholes: Vec<(Position, usize)>,
    pub(super) sinks: Vec<Arc<str>>,
    pub(super) done: oneshot::Sender<u64>,
}

/// What goes into one transaction.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) entries: Vec<NewEntry>,
    /// Who waits for how many of the entries, in order.
    appends: Vec<(usize, OwnedSemaphorePermit, oneshot::Sender<Position>)>,
    pub(super) commands: Vec<QueuedCommand>,
    /// By the number of their append.
    redrives: Vec<(usize, PartsRedrive)>,
}

/// A group that is written, and on disk once the WAL is synced: only then is anybody told.
#[derive(Debug)]
pub(super) struct WrittenGroup {
    /// When the writer began to write it.
    pub(super) at: Timestamp,
    pub(super) entries: Vec<Entry>,
    pub(super) group: Group,
    /// How many rows each command has changed.
    pub(super) changed: Vec<u64>,
}

impl Group {
    /// Adds a batch.
    pub(super) fn append(&mut self, append: Append) {
        let Append {
            batch,
            room,
            done,
            redrive,
        } = append;
        let nth = self.appends.len();
        self.redrives.extend(redrive.map(|redrive| (nth, redrive)));
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

    /// Its entries get the positions after this one: those who wait to be redriven become commands.
    pub(super) fn place_redrives(&mut self, before: Position) {
        for (nth, redrive) in std::mem::take(&mut self.redrives) {
            let PartsRedrive {
                wholes,
                sinks,
                done,
            } = redrive;
            let counts = self.appends[..nth].iter().map(|(count, ..)| count);
            let first = before.0 + 1 + in_positions(counts.sum());
            let mut next = first;
            let placed = wholes.into_iter().map(|(whole, count)| match count {
                0 => (whole, vec![whole]),
                count => {
                    let parts = next..next + in_positions(count);
                    next = parts.end;
                    (whole, parts.map(Position).collect())
                }
            });
            let command = Command::RedriveUndecodable {
                entries: placed.collect(),
                sinks,
            };
            self.commands.push(QueuedCommand { command, done });
        }
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
            before.0 += in_positions(count);
            let _ = done.send(before);
        }
        for (queued, changed) in self.commands.into_iter().zip(changed) {
            let _ = queued.done.send(changed);
        }
    }
}

fn in_positions(count: usize) -> i64 {
    i64::try_from(count).expect("a batch fits in memory")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::journal::NewContent;

    fn entry() -> NewEntry {
        NewEntry {
            topic: "t".into(),
            received_at: jiff::Timestamp::UNIX_EPOCH,
            body: "{}".into(),
            content: NewContent::sample(),
        }
    }

    #[test]
    fn what_is_redriven_gets_the_positions_of_its_own_batch() {
        let room = Arc::new(Semaphore::new(1));
        let mut group = Group::default();
        let redrive = |wholes: &[(i64, usize)]| PartsRedrive {
            wholes: wholes.iter().map(|(at, n)| (Position(*at), *n)).collect(),
            sinks: Vec::new(),
            done: oneshot::channel().0,
        };
        for (count, redrive) in [
            (2, None),
            (3, Some(redrive(&[(4, 1), (5, 0), (6, 2)]))),
            (1, None),
            (1, Some(redrive(&[(7, 1)]))),
        ] {
            let entries = (0..count).map(|_| entry()).collect();
            group.append(Append {
                batch: NewBatch { entries },
                room: Arc::clone(&room).try_acquire_many_owned(0).unwrap(),
                done: oneshot::channel().0,
                redrive,
            });
        }
        // One of the first batch makes no entry.
        group.drop_entries(&[1]);
        group.place_redrives(Position(10));
        type Parts = (i64, Vec<i64>);
        let placed = group.commands.iter().map(|queued| match &queued.command {
            Command::RedriveUndecodable { entries, .. } => {
                let plain = |(whole, parts): &(Position, Vec<Position>)| {
                    (whole.0, parts.iter().map(|part| part.0).collect())
                };
                (queued.command.parts(), entries.iter().map(plain).collect())
            }
            other => panic!("{other:?}"),
        });
        let placed: Vec<(u64, Vec<Parts>)> = placed.collect();
        let first = vec![(4, vec![12]), (5, vec![5]), (6, vec![13, 14])];
        assert_eq!(placed, [(3, first), (1, vec![(7, vec![16])])]);
    }

    #[test]
    fn each_caller_hears_the_position_of_its_last_entry_also_where_some_make_none() {
        let room = Arc::new(Semaphore::new(1));
        let mut group = Group::default();
        let mut callers = Vec::new();
        for count in [2, 3, 1, 1] {
            let (done, written) = oneshot::channel();
            let entries = (0..count).map(|_| entry()).collect();
            group.append(Append {
                batch: NewBatch { entries },
                room: Arc::clone(&room).try_acquire_many_owned(0).unwrap(),
                done,
                redrive: None,
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
