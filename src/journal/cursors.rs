//! The cursors as the deliveries move them, with what goes beside them: accounting, dead letters and
//! what is delivered again.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::accounting::{Accounting, Passed};
use super::command::{Command, Replay, Settled};
use super::command_sender::CommandSender;
use super::state::State;
use super::{Error, Start, dead_letters};
use crate::model::Position;

/// Where each sink stands. Its clones share one writer.
#[derive(Debug, Clone)]
pub struct Cursors {
    pub(super) path: Arc<PathBuf>,
    pub(super) state: Arc<State>,
    pub(super) commands: CommandSender,
}

impl Cursors {
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
        self.commands.flush().await?;
        Ok(left)
    }

    /// Whether a sink is in the configuration.
    pub fn is_configured(&self, sink: &str) -> bool {
        self.state.is_configured(sink)
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
        self.commands.flush().await
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
        let listed = self.commands.send(Command::DeadLetter {
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
        match self.commands.send(Command::Fence).await {
            Ok(_) => Error::OtherCopy {
                path: self.path.to_path_buf(),
                sink: sink.into(),
                position,
            },
            Err(error) => error,
        }
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
        self.commands
            .send(Command::Settle {
                sink: sink.into(),
                position,
                settled,
            })
            .await
            .map(drop)
    }

    /// The replay that a sink has still to do.
    pub fn replay(&self, sink: &str) -> Option<Replay> {
        self.state.replay(sink)
    }

    /// A sink's replay has come so far; at its end it is over. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn replayed(&self, sink: &str, done: Position) -> Result<(), Error> {
        self.commands
            .send(Command::Replayed {
                sink: sink.into(),
                done,
            })
            .await
            .map(drop)
    }

    /// Changes whenever commands were written.
    pub fn commands(&self) -> watch::Receiver<u64> {
        self.state.commands.subscribe()
    }
}
