//! The journal as the other parts see it: a handle that is cheap to clone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tracing::warn;
use uuid::Uuid;

use super::check::Check;
use super::lock::{Left, Mark};
use super::state::State;
use super::writer::{Append, Note, Queue, Writer};
use super::{Error, LastState, NewBatch, Reader, Settings, Start, Status, disk, file};
use crate::model::Position;

/// What may wait to be committed, in bytes: a few commits' worth, so that the writer never waits for the source, and
/// a bound of the memory that a slow disk can cost.
const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What may wait to be committed, in batches: enough for single entries from many callers at once.
const QUEUE_BATCHES_MAX: usize = 1024;

/// Sinks wait for each note, so a few for each sink will do.
const NOTES_MAX: usize = 64;

/// See the module.
#[derive(Debug, Clone)]
pub struct Journal {
    path: Arc<PathBuf>,
    state: Arc<State>,
    appends: mpsc::Sender<Append>,
    notes: mpsc::Sender<Note>,
    room: Arc<Semaphore>,
}

impl Journal {
    /// Opens the journal, with its folder and file where they are missing, for this process alone. The writer must
    /// be run for anything to be written.
    ///
    /// # Errors
    /// [`Error::InUse`] at once where another process has it; the others as they say.
    pub async fn open(settings: &Settings) -> Result<(Journal, Writer), Error> {
        let mut opened = file::open(settings).await?;
        let (state, begin) = disk::load(&mut opened.connection, opened.uuid).await?;
        compare(&settings.path, opened.mark, opened.uuid, state.head())?;
        opened.lock.mark(Mark { journal: opened.uuid, head: state.head(), left: Left::Open })?;
        let check = match opened.mark {
            Some(Mark { left: Left::Open, .. }) => Check::begin(settings.path.clone()).await?,
            _ => Check::default(),
        };
        let state = Arc::new(state);
        let (appends, queued_appends) = mpsc::channel(QUEUE_BATCHES_MAX);
        let (notes, queued_notes) = mpsc::channel(NOTES_MAX);
        let room = Arc::new(Semaphore::new(QUEUE_BYTES_MAX));
        let queue = Queue { appends: queued_appends, notes: queued_notes, room: Arc::clone(&room) };
        let writer = Writer::new(settings.clone(), opened, Arc::clone(&state), begin, queue, check);
        let path = Arc::new(settings.path.clone());
        Ok((Journal { path, state, appends, notes, room }, writer))
    }

    /// The journal's own id, made when its file was.
    pub fn uuid(&self) -> Uuid {
        self.state.uuid
    }

    /// Writes a batch and returns the position of its last entry once it was synced to disk; batches are written in
    /// the order of the calls. Where the caller goes away, a batch that was queued is written all the same. Waits
    /// while the journal is full and may not drop anything.
    ///
    /// # Errors
    /// [`Error::Closed`]: the writer has ended, and the batch may or may not be written.
    pub async fn append(&self, batch: NewBatch) -> Result<Position, Error> {
        let wanted = batch.bytes().clamp(1, QUEUE_BYTES_MAX);
        let wanted = u32::try_from(wanted).expect("the queue holds less than 4 GiB");
        // Both waits are first come, first served, so the order of the calls is kept.
        let room = Arc::clone(&self.room).acquire_many_owned(wanted).await.map_err(|_| Error::Closed)?;
        let (done, written) = oneshot::channel();
        self.appends.send(Append { batch, room, done }).await.map_err(|_| Error::Closed)?;
        written.await.map_err(|_| Error::Closed)
    }

    /// The newest durable position; changes wake the sinks.
    pub fn head(&self) -> watch::Receiver<Position> {
        self.state.head.subscribe()
    }

    /// Every device's newest state.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn last_states(&self) -> Result<Vec<LastState>, Error> {
        disk::last_states(&self.path).await
    }

    /// Says which sinks there are: from now on entries after the cursor of any of them are kept, and no others. A
    /// sink that was never seen begins at its start. Until this was called nothing is removed. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn register_sinks(&self, sinks: &[(Arc<str>, Start)]) -> Result<(), Error> {
        self.state.register(sinks);
        self.flush().await
    }

    /// Where a sink stands; `None`: it was never seen.
    ///
    /// # Errors
    /// Never so far: it reads memory.
    pub async fn cursor(&self, sink: &str) -> Result<Option<Position>, Error> {
        Ok(self.state.cursor(sink))
    }

    /// Moves a sink's cursor forward: in memory at once, on disk with the next commit or within 200 ms.
    ///
    /// # Panics
    /// The cursor would go back, or past the newest entry.
    pub fn advance(&self, sink: &str, to: Position) {
        self.state.advance(sink, to);
    }

    /// Puts a sink's cursor anywhere, backwards too: for a replay, and for a sink that keeps a cursor of its own.
    /// Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn place(&self, sink: &str, at: Position) -> Result<(), Error> {
        self.state.place(sink, at);
        self.flush().await
    }

    /// Records that a sink will not get this entry. Durable on return; again for the same entry changes nothing.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn set_aside(&self, sink: &str, position: Position, error: &str) -> Result<(), Error> {
        let (sink, error) = (sink.into(), error.into());
        self.note(|done| Note::SetAside { sink, position, error, done }).await
    }

    /// A reader with a connection of its own.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub async fn reader(&self) -> Result<Reader, Error> {
        Ok(Reader::new(file::open_to_read(&self.path).await?, self.head()))
    }

    /// What an operator wants to know; reads memory only.
    pub fn status(&self) -> Status {
        self.state.status()
    }

    async fn flush(&self) -> Result<(), Error> {
        self.note(|done| Note::Flush { done }).await
    }

    async fn note(&self, note: impl FnOnce(oneshot::Sender<()>) -> Note) -> Result<(), Error> {
        let (done, written) = oneshot::channel();
        self.notes.send(note(done)).await.map_err(|_| Error::Closed)?;
        written.await.map_err(|_| Error::Closed)
    }
}

/// Holds the journal that was found against the one that was left.
fn compare(path: &Path, mark: Option<Mark>, uuid: Uuid, head: Position) -> Result<(), Error> {
    let Some(mark) = mark else { return Ok(()) };
    if mark.journal != uuid {
        warn!(
            journal = %uuid.simple(),
            before = %mark.journal.simple(),
            head = %mark.head,
            "this is not the journal that was here before: where that one was deleted, what some sink had not got yet is \
             lost; where it was moved, stop and bring it back"
        );
    } else if head < mark.head {
        return Err(Error::OlderCopy { path: path.to_owned(), head, known: mark.head });
    }
    Ok(())
}
