//! What an operator wants a sink to have once more: entries that were dead-lettered, and replays.
//! Each is delivered in its own right, with the same event id, and moves no cursor.

use std::sync::atomic::Ordering;

use tracing::info;

use super::reading::Reading;
use super::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, Delivery, Next};
use crate::journal::{self, Entry, Reader, Replay, Settled, Verdict};
use crate::model::{Event, Position};
use crate::sinks::{Batch, Occasion, Trouble, Undelivered};

/// Entries of one turn: what comes next in the log waits no longer.
const REDRIVES_MAX: u32 = 20;

/// What an attempt at one entry led to.
enum Attempt {
    Done,
    Refused(String),
    /// The sink's trouble.
    Trouble(Next),
}

impl Delivery {
    /// One turn: a few redriven entries, or where there are none, a piece of the replay.
    pub(super) async fn deliver_again(
        &mut self,
        reader: &mut Reader,
    ) -> Result<Next, journal::Error> {
        // Orders that come from here on are seen in the next turn.
        let entries = reader.again(&self.name, REDRIVES_MAX).await?;
        if !entries.is_empty() {
            return self.redrive(entries).await;
        }
        match self.journal.replay(&self.name) {
            Some(replay) => self.replay(replay, reader).await,
            None => {
                self.again = false;
                Ok(Next::Go)
            }
        }
    }

    async fn redrive(&mut self, entries: Vec<Entry>) -> Result<Next, journal::Error> {
        for entry in entries {
            let position = entry.position;
            // An undecodable one stands here because it can be decoded by now.
            let verdict = match entry.verdict {
                Verdict::Undecodable { .. } => Verdict::Accepted { previous: None },
                accepted => accepted,
            };
            let attempt = match (self.read)(&Entry { verdict, ..entry }) {
                Reading::Event(event) => self.attempt(std::slice::from_ref(&*event)).await,
                Reading::Unreadable(reason) => Attempt::Refused(reason),
                // Not for this sink any more, by its `topics` or `when`.
                _ => Attempt::Done,
            };
            let settled = match attempt {
                Attempt::Done => Settled::Done,
                Attempt::Refused(error) => {
                    self.complain(position, &error);
                    Settled::Refused(error)
                }
                Attempt::Trouble(next) => return Ok(next),
            };
            self.journal.settle(&self.name, position, settled).await?;
        }
        Ok(Next::Go)
    }

    async fn replay(
        &mut self,
        replay: Replay,
        reader: &mut Reader,
    ) -> Result<Next, journal::Error> {
        // What the cursor has not passed comes in its turn.
        let through = replay.through.min(self.cursor);
        let mut entries = reader
            .read_after(replay.done, BATCH_ENTRIES_MAX, BATCH_BYTES_MAX)
            .await?;
        entries.retain(|entry| entry.position <= through);
        let Some(done) = entries.last().map(|entry| entry.position) else {
            info!(sink = %self.name, through = %replay.through, "replay is done");
            self.journal.replayed(&self.name, replay.through).await?;
            return Ok(Next::Go);
        };
        let aside = reader.dead_letters_after(&self.name, replay.done).await?;
        entries.retain(|entry| !aside.contains(&entry.position) && replay.wants(entry.received_at));
        let events = entries.iter().filter_map(|entry| match (self.read)(entry) {
            Reading::Event(event)
                if replay
                    .device_id
                    .as_ref()
                    .is_none_or(|id| *id == event.device_id) =>
            {
                Some(*event)
            }
            _ => None,
        });
        let events: Vec<Event> = events.collect();
        let mut rest = events.as_slice();
        let mut size = rest.len();
        while !rest.is_empty() {
            match self.attempt_some(&rest[..size]).await {
                (confirmed, Attempt::Done) => {
                    rest = &rest[confirmed..];
                    size = rest.len();
                }
                (_, Attempt::Refused(error)) if size == 1 => {
                    self.complain(rest[0].position, &error);
                    rest = &rest[1..];
                    size = rest.len();
                }
                (confirmed, Attempt::Refused(_)) => {
                    rest = &rest[confirmed..];
                    size = (size - confirmed).div_ceil(2);
                }
                (confirmed, Attempt::Trouble(next)) => {
                    let done = rest
                        .get(confirmed)
                        .map_or(done, |event| Position(event.position.0 - 1));
                    self.journal.replayed(&self.name, done).await?;
                    return Ok(next);
                }
            }
        }
        self.journal.replayed(&self.name, done).await?;
        Ok(Next::Go)
    }

    async fn attempt(&mut self, event: &[Event]) -> Attempt {
        self.attempt_some(event).await.1
    }

    /// How many are confirmed, and what became of the rest. The cursor that a history keeps stays
    /// where it is.
    async fn attempt_some(&mut self, events: &[Event]) -> (usize, Attempt) {
        let (journal, through) = (self.journal.uuid(), self.cursor);
        let outcome = self
            .sink
            .deliver(Batch {
                journal,
                events,
                through,
                occasion: Occasion::Again,
            })
            .await;
        let confirmed = match &outcome {
            Ok(()) => events.len(),
            Err(undelivered) => undelivered.confirmed.min(events.len()),
        };
        self.counters
            .again
            .fetch_add(confirmed as u64, Ordering::Relaxed);
        let attempt = match outcome {
            Ok(()) => {
                self.up("sink is up again");
                Attempt::Done
            }
            Err(Undelivered {
                trouble: Trouble::Refused { error, .. },
                ..
            }) => Attempt::Refused(error),
            Err(Undelivered {
                trouble: Trouble::Retry { error, after },
                ..
            }) => Attempt::Trouble(self.retry(&error, after)),
            Err(Undelivered {
                trouble: Trouble::Unclear { error },
                ..
            }) => Attempt::Trouble(self.retry(&error, None)),
            Err(Undelivered {
                trouble: Trouble::Disabled { error },
                ..
            }) => Attempt::Trouble(self.disabled(&error)),
        };
        (confirmed, attempt)
    }
}
