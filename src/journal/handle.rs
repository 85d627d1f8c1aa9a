//! The journal as the other parts see it: a handle that is cheap to clone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::accounting::{Accounting, Passed};
use super::check::Check;
use super::command::{Command, QueuedCommand, Replay, Settled, Which};
use super::coverage::{self, Heard};
use super::last_states::{LastStates, Met};
use super::lock::{Left, Mark};
use super::state::State;
use super::writer::{Append, Queue, Writer};
use super::{
    Error, NewBatch, NewEntry, Reader, Settings, Start, Status, dead_letters, disk, file,
    last_state_rows,
};
use crate::model::Position;

/// What may wait to be committed, in bytes: a few commits' worth, so that the writer never waits
/// for the source, and a bound of the memory that a slow disk can cost.
const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What may wait to be committed, in batches: enough for single entries from many callers at once.
const QUEUE_BATCHES_MAX: usize = 1024;

/// Sinks wait for each command, so a few for each sink will do.
const COMMANDS_MAX: usize = 64;

/// A handle of the journal; its clones share one writer.
#[derive(Debug, Clone)]
pub struct Journal {
    path: Arc<PathBuf>,
    state: Arc<State>,
    appends: mpsc::Sender<Append>,
    commands: mpsc::Sender<QueuedCommand>,
    room: Arc<Semaphore>,
    /// The writer is gone.
    ended: CancellationToken,
}

impl Journal {
    /// Opens the journal, with its folder and file where they are missing, for this process alone.
    /// The writer must be run for anything to be written.
    ///
    /// # Errors
    /// [`Error::InUse`] at once where another process has it; the others as they say.
    pub async fn open(settings: &Settings) -> Result<(Journal, Writer), Error> {
        let mut opened = file::open(settings).await?;
        let (state, begin) = disk::load(&mut opened.connection, settings, opened.uuid).await?;
        compare(&settings.path, opened.mark, opened.uuid, state.head())?;
        opened.lock.mark(Mark {
            journal: opened.uuid,
            head: state.head(),
            left: Left::Open,
        })?;
        let check = match opened.mark {
            Some(Mark {
                left: Left::Open | Left::Fenced,
                ..
            }) => Check::begin(settings.path.clone()).await?,
            _ => Check::default(),
        };
        let state = Arc::new(state);
        let (appends, queued_appends) = mpsc::channel(QUEUE_BATCHES_MAX);
        let (commands, queued_commands) = mpsc::channel(COMMANDS_MAX);
        let room = Arc::new(Semaphore::new(QUEUE_BYTES_MAX));
        let ended = CancellationToken::new();
        let queue = Queue {
            appends: queued_appends,
            commands: queued_commands,
            room: Arc::clone(&room),
            _ended: ended.clone().drop_guard(),
        };
        let newest = disk::newest(&mut opened.connection).await?;
        let size = last_state_rows::size(&mut opened.connection).await?;
        let known = last_state_rows::newest(&mut opened.connection).await?;
        state.tell_devices(size.rows, 0, Met::default());
        let writer = Writer::new(
            settings.clone(),
            opened,
            Arc::clone(&state),
            LastStates::new(settings, size, known),
            begin,
            newest,
            queue,
            check,
        );
        let path = Arc::new(settings.path.clone());
        Ok((
            Journal {
                path,
                state,
                appends,
                commands,
                room,
                ended,
            },
            writer,
        ))
    }

    /// The journal's own id, made when its file was.
    pub fn uuid(&self) -> Uuid {
        self.state.uuid
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a batch and returns the position of its last entry once it was synced to disk;
    /// batches are written in the order of the calls. Where the caller goes away, a batch that
    /// was queued is written all the same. Waits while the journal is full and may not drop
    /// anything.
    ///
    /// # Errors
    /// [`Error::Closed`]: the writer has ended, and the batch may or may not be written.
    pub async fn append(&self, batch: NewBatch) -> Result<Position, Error> {
        let wanted = batch.bytes().clamp(1, QUEUE_BYTES_MAX);
        let wanted = u32::try_from(wanted).expect("the queue holds less than 4 GiB");
        // Both waits are first come, first served, so the order of the calls is kept.
        let room = Arc::clone(&self.room)
            .acquire_many_owned(wanted)
            .await
            .map_err(|_| Error::Closed)?;
        let (done, written) = oneshot::channel();
        self.appends
            .send(Append { batch, room, done })
            .await
            .map_err(|_| Error::Closed)?;
        self.answer(written).await
    }

    /// Queues a batch that nobody can wait for, behind those whose [`Journal::append`] was polled:
    /// the last of a source that stops. It needs no room in the queue, since nothing follows it;
    /// the writer writes it, at its end at the latest.
    ///
    /// # Errors
    /// [`Error::Closed`]: the writer has ended, or so many batches wait that the queue has no place
    /// for one more. The batch is gone.
    pub fn append_last(&self, batch: NewBatch) -> Result<(), Error> {
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(0)
            .map_err(|_| Error::Closed)?;
        let (done, _) = oneshot::channel();
        self.appends
            .try_send(Append { batch, room, done })
            .map_err(|_| Error::Closed)
    }

    /// The newest durable position; changes wake the sinks.
    pub fn head(&self) -> watch::Receiver<Position> {
        self.state.head.subscribe()
    }

    /// Which topics were heard when the last process ended, and until when that is certain.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn heard(&self) -> Result<Heard, Error> {
        coverage::heard(&self.path).await
    }

    /// The server was heard then, though nothing came that has an entry. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn link_proven(&self, at: Timestamp) -> Result<(), Error> {
        self.command(Command::LinkProven { at }).await.map(drop)
    }

    /// Says which sinks there are. A sink that was never seen begins at its start. Until this was
    /// called nothing is removed. Gives the sinks that the journal knows besides: it keeps entries
    /// for them until they are forgotten. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn register_sinks(
        &self,
        sinks: &[(Arc<str>, Start)],
    ) -> Result<Vec<Arc<str>>, Error> {
        let left = self.state.register(sinks);
        self.flush().await?;
        Ok(left)
    }

    /// Whether a sink is in the configuration.
    pub fn is_configured(&self, sink: &str) -> bool {
        self.state.is_configured(sink)
    }

    /// Forgets a sink's cursor and its dead letters: the journal keeps nothing for it.
    /// True where there was one. Durable on return.
    ///
    /// # Panics
    /// The sink is in the configuration.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn forget(&self, sink: &str) -> Result<bool, Error> {
        assert!(!self.is_configured(sink), "the sink {sink} is in use");
        Ok(self.command(Command::Forget { sink: sink.into() }).await? > 0)
    }

    /// Where a sink stands; `None`: it was never seen.
    ///
    /// # Errors
    /// Never so far: it reads memory.
    pub async fn cursor(&self, sink: &str) -> Result<Option<Position>, Error> {
        Ok(self.state.cursor(sink))
    }

    /// Every sink's account as it stands in memory.
    pub fn accountings(&self) -> Vec<(Arc<str>, Accounting)> {
        self.state.accountings()
    }

    /// The furthest from which a sink's cursor was ever put back: what is before it was accounted
    /// for once.
    pub fn furthest(&self, sink: &str) -> Position {
        self.state.furthest(sink)
    }

    /// Moves a sink's cursor forward, over entries of which `passed` says what became of them: in
    /// memory at once, on disk with the next commit or within 200 ms.
    ///
    /// # Panics
    /// The cursor would go back, or past the newest entry.
    pub fn pass(&self, sink: &str, to: Position, passed: Passed) {
        self.state.pass(sink, to, passed);
    }

    /// Puts a sink's cursor anywhere, backwards too: for a sink that keeps a cursor of its own and
    /// has lost something. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn place(&self, sink: &str, at: Position) -> Result<(), Error> {
        self.rewind(sink, at, 0).await
    }

    /// The same for a sink that has so many entries dead-lettered between there and its cursor:
    /// they will be passed, and counted, again.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn rewind(&self, sink: &str, at: Position, dead_lettered: u64) -> Result<(), Error> {
        self.state.place(sink, at, dead_lettered);
        self.flush().await
    }

    /// Records that a sink will not get this entry. Durable on return; again for the same entry
    /// changes nothing.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn dead_letter(
        &self,
        sink: &str,
        position: Position,
        error: &str,
    ) -> Result<(), Error> {
        let listed = self.list_dead_letter(sink, position, error, false);
        listed.await.map(drop)
    }

    /// The same where the sink's dead letters have room for it; false where they have none: then
    /// nothing was written.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn dead_letter_if_room(
        &self,
        sink: &str,
        position: Position,
        error: &str,
    ) -> Result<bool, Error> {
        self.list_dead_letter(sink, position, error, true).await
    }

    async fn list_dead_letter(
        &self,
        sink: &str,
        position: Position,
        error: &str,
        only_if_room: bool,
    ) -> Result<bool, Error> {
        let (sink, error) = (sink.into(), error.into());
        let listed = self.command(Command::DeadLetter {
            sink,
            position,
            error,
            only_if_room,
        });
        Ok(listed.await? > 0)
    }

    /// Whether a sink's dead letters have room for so many entries whose bodies have at most so
    /// many bytes.
    pub fn has_dlq_room(&self, sink: &str, entries: usize, body_bytes: usize) -> bool {
        let bytes = dead_letters::room_for(body_bytes).saturating_mul(entries as u64);
        self.state.has_dlq_room(sink, bytes)
    }

    /// A sink has an entry from another copy of this journal: the next process is told, and is
    /// refused this one unless its id is reset. Gives the error that says so.
    pub async fn fence(&self, sink: &str, position: Position) -> Error {
        match self.command(Command::Fence).await {
            Ok(_) => Error::OtherCopy {
                path: self.path.to_path_buf(),
                sink: sink.into(),
                position,
            },
            Err(error) => error,
        }
    }

    /// Has a sink's dead letters delivered again, or drops them; what its cursor has
    /// not passed yet stays. Gives the number of entries. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn redrive(&self, sink: &str, which: Which) -> Result<u64, Error> {
        self.command(Command::Redrive {
            sink: sink.into(),
            which,
        })
        .await
    }

    /// Drops a sink's dead letters, as [`Journal::redrive`].
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn discard(&self, sink: &str, which: Which) -> Result<u64, Error> {
        self.command(Command::Discard {
            sink: sink.into(),
            which,
        })
        .await
    }

    /// Has an undecodable entry that can be decoded now delivered to every sink of the
    /// configuration, each of its parts in its own right. `parts` are positions of its statuses:
    /// its own where it is one, else those of entries that were appended (as undecodable ones) in
    /// its place. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn redrive_undecodable(
        &self,
        position: Position,
        parts: Vec<Position>,
    ) -> Result<u64, Error> {
        let sinks = self.state.configured();
        self.command(Command::RedriveUndecodable {
            position,
            parts,
            sinks,
        })
        .await
    }

    /// Appends the statuses of an undecodable entry, for [`Journal::redrive_undecodable`]; gives
    /// their positions.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn append_parts(&self, parts: Vec<NewEntry>) -> Result<Vec<Position>, Error> {
        let count = parts.len();
        let batch = NewBatch { entries: parts };
        let last = self.append(batch).await?;
        self.state.parts.fetch_add(count as u64, Ordering::Relaxed);
        let count = i64::try_from(count).expect("a batch fits in memory");
        Ok((last.0 - count + 1..=last.0).map(Position).collect())
    }

    /// Lists undecodable entries no more. Gives their number. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn discard_undecodable(&self, which: Which) -> Result<u64, Error> {
        self.command(Command::DiscardUndecodable { which }).await
    }

    /// An entry that was to be delivered again was, or was refused. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn settle(
        &self,
        sink: &str,
        position: Position,
        settled: Settled,
    ) -> Result<(), Error> {
        self.command(Command::Settle {
            sink: sink.into(),
            position,
            settled,
        })
        .await
        .map(drop)
    }

    /// Begins a replay for a sink, in place of one that is not done. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn begin_replay(&self, sink: &str, replay: Replay) -> Result<(), Error> {
        self.command(Command::Replay {
            sink: sink.into(),
            replay,
        })
        .await
        .map(drop)
    }

    /// A sink's replay has come so far; at its end it is over. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn replayed(&self, sink: &str, done: Position) -> Result<(), Error> {
        self.command(Command::Replayed {
            sink: sink.into(),
            done,
        })
        .await
        .map(drop)
    }

    /// The replay that a sink has still to do.
    pub fn replay(&self, sink: &str) -> Option<Replay> {
        self.state.replay(sink)
    }

    /// Changes whenever commands were written.
    pub fn commands(&self) -> watch::Receiver<u64> {
        self.state.commands.subscribe()
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

    /// What an operator wants to know; reads memory only.
    pub fn status(&self) -> Status {
        self.state.status()
    }

    async fn command(&self, command: Command) -> Result<u64, Error> {
        let (done, written) = oneshot::channel();
        self.commands
            .send(QueuedCommand { command, done })
            .await
            .map_err(|_| Error::Closed)?;
        self.answer(written).await
    }

    async fn flush(&self) -> Result<(), Error> {
        self.command(Command::Flush).await.map(drop)
    }

    /// What is sent in the moment in which the writer goes may stay in a queue that nobody empties
    /// any more, so its end is waited for as well.
    async fn answer<T>(&self, mut written: oneshot::Receiver<T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            answer = &mut written => answer.map_err(|_| Error::Closed),
            () = self.ended.cancelled() => written.try_recv().map_err(|_| Error::Closed),
        }
    }
}

/// Holds the journal that was found against the one that was left.
fn compare(path: &Path, mark: Option<Mark>, uuid: Uuid, head: Position) -> Result<(), Error> {
    let Some(mark) = mark else {
        if head == Position::START {
            info!(path = %path.display(), "journal created: there was none at this path");
        }
        return Ok(());
    };
    if mark.journal != uuid {
        warn!(
            journal = %uuid.simple(),
            before = %mark.journal.simple(),
            head = %mark.head,
            "journal replaced: another one was here before; if it was deleted, its pending \
             entries are lost; if it was moved, stop and bring it back"
        );
    } else if head < mark.head {
        return Err(Error::OlderCopy {
            path: path.to_owned(),
            head,
            known: mark.head,
        });
    } else if head == mark.head && mark.left == Left::Fenced {
        return Err(Error::Fenced {
            path: path.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn caller_whose_batch_came_after_the_writers_end_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let settings = Settings {
            bytes_max: 1 << 30,
            keep: Duration::ZERO,
            ..Settings::new(path)
        };
        let (journal, writer) = Journal::open(&settings).await.unwrap();
        let place = journal.appends.reserve().await.unwrap();
        drop(writer);
        let room = Arc::clone(&journal.room).acquire_owned().await.unwrap();
        let (done, written) = oneshot::channel();
        place.send(Append {
            batch: NewBatch::default(),
            room,
            done,
        });
        assert!(matches!(journal.answer(written).await, Err(Error::Closed)));
    }
}
