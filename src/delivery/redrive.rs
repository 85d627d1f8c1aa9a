//! What an operator wants a sink to have again: entries that were dead-lettered, and replays. Each
//! is delivered in its own right, with the same event id, and moves no cursor.

use std::collections::BTreeSet;

use tracing::{info, warn};

use super::decode::Decoded;
use super::prefetch::{CHUNK_BYTES_MAX, SinkLog};
use super::report::Report;
use super::scheduler::Finished;
use crate::journal::{self, Entry, EntryContent, Journal, Replay, Settled};
use crate::model::{Event, Position};
use crate::sinks::Reason;

/// Redriven entries that are here at once, each in an attempt of its own: what comes next in the
/// log waits for no more.
const REDRIVES_MAX: u32 = 20;

/// Entries of a replay that are here at once.
const REPLAY_ENTRIES_MAX: usize = 500;

/// The redrives and the replay of a sink, as far as they are read.
#[derive(Debug)]
pub(super) struct Redrive {
    /// There may be more of it in the journal.
    wanted: bool,
    /// Dead letters that are on their way.
    redriven: BTreeSet<Position>,
    replaying: Option<Page>,
    /// The cursor went back from here: what is redriven before it waits until it is passed again.
    look_at: Option<Position>,
}

impl Default for Redrive {
    fn default() -> Redrive {
        Redrive {
            wanted: true,
            redriven: BTreeSet::new(),
            replaying: None,
            look_at: None,
        }
    }
}

/// A piece of a replay.
#[derive(Debug)]
struct Page {
    /// As it stood when the piece was read: an operator may begin another one meanwhile.
    of: Replay,
    /// Events that are on their way.
    open: usize,
    /// Once there are none the replay has come so far.
    done: Position,
}

/// Events to be delivered again, in one attempt.
pub(super) type Again = (Reason, Vec<Event>);

impl Redrive {
    /// An operator may have asked for something.
    pub(super) fn look(&mut self) {
        self.wanted = true;
    }

    /// The cursor went back from this position.
    pub(super) fn went_back(&mut self, from: Position) {
        self.look_at = self.look_at.max(Some(from));
    }

    /// The cursor has come so far.
    pub(super) fn passed(&mut self, cursor: Position) {
        if self.look_at.is_some_and(|at| cursor >= at) {
            self.look_at = None;
            self.wanted = true;
        }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// What an operator wants delivered again, at most so much of it that the log need not wait.
    /// `cursor`: what the sink's has not passed comes in its turn.
    pub(super) async fn read(
        &mut self,
        log: &mut SinkLog,
        cursor: Position,
        report: &mut Report,
    ) -> Result<Vec<Again>, journal::Error> {
        // The next look sees commands that come from here on.
        self.wanted = false;
        let mut again = Vec::new();
        if self.redriven.len() < REDRIVES_MAX as usize {
            for entry in log.reader.to_redrive(&log.sink, REDRIVES_MAX).await? {
                if !self.redriven.contains(&entry.position) {
                    again.extend(self.redrive(entry, log, report).await?);
                }
            }
        }
        if let Some(replay) = log.journal.cursors.replay(&log.sink)
            // The piece that is on its way looks again.
            && self.replaying.is_none()
        {
            again.extend(self.replay(replay, log, cursor).await?);
        }
        Ok(again)
    }

    async fn redrive(
        &mut self,
        entry: Entry,
        log: &SinkLog,
        report: &mut Report,
    ) -> Result<Option<Again>, journal::Error> {
        let position = entry.position;
        if let Some(reason) = entry.gone() {
            report.dead_lettered(position, reason);
            let refused = Settled::Refused(reason.to_owned());
            let cursors = &log.journal.cursors;
            cursors.settle(&log.sink, position, refused).await?;
            return Ok(None);
        }
        // An undecodable one stands here because it can be decoded by now.
        let content = match entry.content {
            EntryContent::Undecodable { .. } => EntryContent::Status {
                previous: None,
                repeat: false,
            },
            accepted => accepted,
        };
        let settled = match (log.decode)(&Entry { content, ..entry }) {
            Decoded::Event(event) => {
                self.redriven.insert(position);
                return Ok(Some((Reason::Redrive, vec![event])));
            }
            Decoded::Unreadable(reason) => {
                report.dead_lettered(position, &reason);
                Settled::Refused(reason)
            }
            // No longer for this sink, by its `kinds`, `topics` or `when`.
            _ => Settled::Done,
        };
        log.journal
            .cursors
            .settle(&log.sink, position, settled)
            .await?;
        Ok(None)
    }

    async fn replay(
        &mut self,
        replay: Replay,
        log: &mut SinkLog,
        cursor: Position,
    ) -> Result<Option<Again>, journal::Error> {
        let through = replay.through.min(cursor);
        let mut entries = log
            .reader
            .read_after(replay.done, REPLAY_ENTRIES_MAX, CHUNK_BYTES_MAX)
            .await?;
        entries.retain(|entry| entry.position <= through);
        let Some(done) = entries.last().map(|entry| entry.position) else {
            info!(sink = %log.sink, through = replay.through.0, "replay is done");
            log.journal
                .cursors
                .replayed(&log.sink, &replay, replay.through)
                .await?;
            return Ok(None);
        };
        let first = entries.first().map_or(done, |entry| entry.position);
        // Positions have no holes.
        if let missing @ 1.. = first.0 - replay.done.0 - 1 {
            warn!(
                sink = %log.sink, missing, from = replay.done.0 + 1, through = first.0 - 1,
                "replay shortened: entries were removed before it came to them; raise \
                 journal.max_bytes, or replay a smaller slice at once"
            );
        }
        // They are redriven, or dropped.
        let listed = log.reader.listed_between(&log.sink, replay.done, done);
        let dead_letters = listed.await?;
        entries.retain(|entry| {
            !dead_letters.contains(&entry.position) && replay.wants(entry.received_at)
        });
        let device = replay.device_id.as_deref();
        let wanted = |event: &Event| device.is_none_or(|device| event.is_of(device));
        let events = entries
            .iter()
            .filter_map(|entry| match (log.decode)(entry) {
                Decoded::Event(event) if wanted(&event) => Some(event),
                _ => None,
            });
        let events: Vec<Event> = events.collect();
        if events.is_empty() {
            self.look();
            let cursors = &log.journal.cursors;
            cursors.replayed(&log.sink, &replay, done).await?;
            return Ok(None);
        }
        self.replaying = Some(Page {
            of: replay,
            open: events.len(),
            done,
        });
        Ok(Some((Reason::Replay, events)))
    }

    /// What has become of events that were delivered again.
    pub(super) async fn settle(
        &mut self,
        finished: &Finished,
        sink: &str,
        journal: &Journal,
    ) -> Result<(), journal::Error> {
        if finished.reason == Reason::Replay {
            let settled = finished.delivered.len() + usize::from(finished.rejected.is_some());
            return self.settle_page(settled, sink, journal).await;
        }
        for position in &finished.delivered {
            journal
                .cursors
                .settle(sink, *position, Settled::Done)
                .await?;
            self.redriven.remove(position);
        }
        if let Some((position, error)) = &finished.rejected {
            let refused = Settled::Refused(error.clone());
            journal.cursors.settle(sink, *position, refused).await?;
            self.redriven.remove(position);
        }
        self.wanted |= self.redriven.len() <= REDRIVES_MAX as usize / 2;
        Ok(())
    }

    async fn settle_page(
        &mut self,
        settled: usize,
        sink: &str,
        journal: &Journal,
    ) -> Result<(), journal::Error> {
        let Some(page) = &mut self.replaying else {
            return Ok(());
        };
        page.open -= settled;
        if page.open > 0 {
            return Ok(());
        }
        let Page { of, done, .. } = page;
        journal.cursors.replayed(sink, of, *done).await?;
        self.replaying = None;
        self.look();
        Ok(())
    }
}
