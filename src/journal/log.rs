//! The handle for the log: the source appends to it, everybody reads it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use uuid::Uuid;

use super::command::Command;
use super::command_sender::CommandSender;
use super::coverage::{self, Heard};
use super::group::{Append, PartsRedrive};
use super::state::State;
use super::writer::OUT_OF_SPACE_INTERVAL;
use super::{Bound, Change, Error, NewBatch, Reader, Room, StateCount, Status, WhenFull, file};
use crate::model::{JournalIds, Position};

/// Bytes that may wait for a commit: a few commits' worth, so that the writer never waits for the
/// source. It also bounds the memory that a slow disk can cost. A batch counts for half of it at
/// most: there is always room for two.
pub(super) const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The log: one task appends to it, many read it. Its clones share one writer.
#[derive(Debug, Clone)]
pub struct Log {
    pub(super) path: Arc<PathBuf>,
    pub(super) state: Arc<State>,
    /// The last process ended without closing it.
    pub(super) unclean: bool,
    pub(super) appends: mpsc::Sender<Append>,
    pub(super) room: Arc<Semaphore>,
    pub(super) commands: CommandSender,
}

/// A batch in the writer's queue.
#[derive(Debug)]
pub struct Queued {
    written: oneshot::Receiver<Position>,
    commands: CommandSender,
}

impl Queued {
    /// Waits until the batch is synced to disk, and gives the position of its last entry. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Closed`]: the writer has ended, and the batch may or may not be written.
    pub async fn done(&mut self) -> Result<Position, Error> {
        self.commands.answer(&mut self.written).await
    }
}

impl Log {
    /// Whether it was closed while its disk had no room for what waited: of that, nothing is stored
    /// and nothing was acknowledged.
    pub fn is_closed_full(&self) -> bool {
        self.state.closed_full.load(Ordering::Acquire)
    }

    /// The journal's id, made with its file.
    pub fn uuid(&self) -> Uuid {
        self.state.uuid
    }

    /// The same, with those that it had before it was restored from a backup.
    pub fn ids(&self) -> JournalIds {
        self.state.ids.clone()
    }

    /// The journal's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a batch and returns the position of its last entry once it is synced to disk. Batches
    /// are written in the order of the calls. A queued batch is written even if its caller goes
    /// away. Waits while the journal is full and may not evict anything.
    ///
    /// # Errors
    /// [`Error::Closed`]: the writer has ended, and the batch may or may not be written.
    pub async fn append(&self, batch: NewBatch) -> Result<Position, Error> {
        self.queue(batch).await?.done().await
    }

    /// Queues a batch for the writer, and returns before it is written. Batches are written in the
    /// order in which they were queued. Waits for room in the queue, and so for a full journal.
    ///
    /// # Errors
    /// [`Error::Closed`]: the writer has ended, and the batch is gone.
    pub async fn queue(&self, batch: NewBatch) -> Result<Queued, Error> {
        self.queue_with(batch, None).await
    }

    /// The same for a batch whose entries are statuses of undecodable ones.
    pub(super) async fn queue_with(
        &self,
        batch: NewBatch,
        redrive: Option<PartsRedrive>,
    ) -> Result<Queued, Error> {
        let wanted = batch.bytes().clamp(1, QUEUE_BYTES_MAX / 2);
        let wanted = u32::try_from(wanted).expect("the queue holds less than 4 GiB");
        // Both waits are first come, first served, so the order of the calls is kept.
        let room = Arc::clone(&self.room)
            .acquire_many_owned(wanted)
            .await
            .map_err(|_| Error::Closed)?;
        let (done, written) = oneshot::channel();
        let append = Append {
            batch,
            room,
            done,
            redrive,
        };
        self.appends.send(append).await.map_err(|_| Error::Closed)?;
        Ok(Queued {
            written,
            commands: self.commands.clone(),
        })
    }

    /// Queues the last batch of a source that stops, without waiting for the commit. It comes after
    /// every batch whose [`Log::append`] was polled. It needs no room in bytes, since nothing
    /// follows it. The writer writes it, at its end at the latest.
    ///
    /// # Errors
    /// [`Error::Closed`]: the writer has ended, or the queue of batches is full. The batch is gone.
    pub fn append_last(&self, batch: NewBatch) -> Result<(), Error> {
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(0)
            .map_err(|_| Error::Closed)?;
        let (done, _) = oneshot::channel();
        let append = Append {
            batch,
            room,
            done,
            redrive: None,
        };
        self.appends.try_send(append).map_err(|_| Error::Closed)
    }

    /// What happens when the log is full.
    pub fn when_full(&self) -> WhenFull {
        self.state.when_full
    }

    /// Whether nothing is accepted: the journal is full, or its disk is.
    pub fn is_full(&self) -> bool {
        self.state.full.load(Ordering::Relaxed)
    }

    /// Waits until entries are accepted. Cancel-safe.
    pub async fn until_room(&self) {
        while self.is_full() {
            // The writer looks as often.
            tokio::time::sleep(OUT_OF_SPACE_INTERVAL).await;
        }
    }

    /// Since when the oldest entry behind a cursor waits, to about a second or a 64th of that time;
    /// `None`: none does. It reads memory only.
    pub fn waits_since(&self, cursor: Position) -> Option<Timestamp> {
        self.state.waits_since(cursor)
    }

    /// Whether the writer should have gone on before: it hangs, or its disk does.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.state.next_turn.is_overdue(now)
    }

    /// The newest durable position; changes wake the sinks.
    pub fn head(&self) -> watch::Receiver<Position> {
        self.state.head.subscribe()
    }

    /// Whether the last process ended without a stop: killed, or over something that it received.
    pub fn was_left_open(&self) -> bool {
        self.unclean
    }

    /// Which topics were heard when the last process ended, and until when that is certain.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn heard(&self) -> Result<Heard, Error> {
        coverage::heard(&self.path).await
    }

    /// Records that the server was heard at this time, though no entry came of it. A power cut may
    /// take it back until the next sync: the gap is then longer, never too short.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn link_proven(&self, at: Timestamp) -> Result<(), Error> {
        self.commands
            .send(Command::LinkProven { at })
            .await
            .map(drop)
    }

    /// A reader with a connection of its own.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub async fn reader(&self) -> Result<Reader, Error> {
        Ok(Reader::new(
            file::open_to_read(&self.path).await?,
            Some(Arc::clone(&self.state)),
        ))
    }

    /// What the log may still take; reads memory only.
    pub fn room(&self) -> Room {
        self.state.room()
    }

    /// How many bytes were taken beyond the size of the log: see [`Bound::Disk`].
    pub fn beyond_bytes(&self) -> u64 {
        self.state.beyond_bytes()
    }

    /// From now on this bounds the log; the writer may take one more batch by the bound before.
    pub fn bound_by(&self, bound: Bound) {
        let beyond = bound == Bound::Disk;
        self.state.beyond.store(beyond, Ordering::Relaxed);
        self.state.bound_changed.notify_one();
    }

    /// How many devices are in each state; reads memory only.
    pub fn device_states(&self) -> Vec<StateCount> {
        self.state.device_states().counts()
    }

    /// The last devices that changed their state, the newest first, at most 24; and how many did
    /// since the start. Reads memory only.
    pub fn changes(&self) -> (Vec<Change>, u64) {
        self.state.device_states().changes()
    }

    /// The journal's state for an operator; reads memory only.
    pub fn status(&self) -> Status {
        self.state.status()
    }
}
