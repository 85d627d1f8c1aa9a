//! The handle for the deliveries: each sink's cursor with its accounting, its dead letters and its
//! replay.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::accounting::{Accounting, Passed};
use super::command::{Command, Listing, Replay, Settled};
use super::command_sender::CommandSender;
use super::state::State;
use super::{DeliveryProof, Error, Start, dead_letters};
use crate::model::Position;
use crate::secret::redact;

/// The cursors of all sinks, and what the deliveries write besides. Its clones share one writer.
#[derive(Debug, Clone)]
pub struct Cursors {
    pub(super) path: Arc<PathBuf>,
    pub(super) state: Arc<State>,
    pub(super) commands: CommandSender,
}

impl Cursors {
    /// How many dead letters a sink has.
    pub fn dead_letters(&self, sink: &str) -> u64 {
        self.state.dead_letters(sink)
    }

    /// Registers the sinks of the configuration; a new one begins at its start. Before the first
    /// call no entry is removed. Gives the other sinks that the journal knows: it keeps entries for
    /// them until they are forgotten. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn register_sinks(
        &self,
        sinks: &[(Arc<str>, Start)],
    ) -> Result<Vec<Arc<str>>, Error> {
        let sinks = sinks.to_vec();
        self.commands.send(Command::Register { sinks }).await?;
        Ok(self.state.not_configured())
    }

    /// Whether a sink is in the configuration.
    pub fn is_configured(&self, sink: &str) -> bool {
        self.state.is_configured(sink)
    }

    /// Where a sink stands; `None`: it was never seen.
    pub fn cursor(&self, sink: &str) -> Option<Position> {
        self.state.cursor(sink)
    }

    /// Every sink's accounting as it stands in memory.
    pub fn accountings(&self) -> Vec<(Arc<str>, Accounting)> {
        self.state.accountings()
    }

    /// The furthest position from which a sink's cursor was put back: every entry before it was
    /// accounted for once.
    pub fn furthest(&self, sink: &str) -> Position {
        self.state.furthest(sink)
    }

    /// Moves a sink's cursor forward: in memory at once, on disk a second later at most, or with a
    /// command before that. `passed` counts the outcomes of the entries between.
    ///
    /// # Panics
    /// The cursor would go back, or past the newest entry.
    pub fn pass(&self, sink: &str, to: Position, passed: Passed) {
        self.state.pass(sink, to, passed);
    }

    /// Keeps what a sink has confirmed, without secrets, for who asks what became of an event. It is
    /// written with the next save of the cursors, and lost with that in a crash.
    pub fn prove(&self, proof: DeliveryProof) {
        self.state.prove(proof.bounded());
    }

    /// Has the cursors on disk on return, as they stand.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn save(&self) -> Result<(), Error> {
        self.commands.flush().await
    }

    /// Puts a sink's cursor anywhere, backwards too: for a sink that keeps a cursor of its own and
    /// has lost something. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn place(&self, sink: &str, at: Position) -> Result<(), Error> {
        self.rewind(sink, at, 0).await
    }

    /// As [`Cursors::place`], for a sink that has `dead_lettered` entries between there and its
    /// cursor: the cursor will pass and count them a second time.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn rewind(&self, sink: &str, at: Position, dead_lettered: u64) -> Result<(), Error> {
        self.state.place(sink, at, dead_lettered);
        self.save().await
    }

    /// Copies an entry to a sink's dead letters, with the error. Durable on return; a second call
    /// for the same entry changes nothing.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn dead_letter(
        &self,
        sink: &str,
        position: Position,
        error: &str,
    ) -> Result<(), Error> {
        let listed = self.list_dead_letter(sink, position, error, Listing::Log);
        listed.await.map(drop)
    }

    /// As [`Cursors::dead_letter`] if the sink's dead letters have room for it; else writes nothing
    /// and gives false.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn dead_letter_if_room(
        &self,
        sink: &str,
        position: Position,
        error: &str,
    ) -> Result<bool, Error> {
        self.list_dead_letter(sink, position, error, Listing::LogIfRoom)
            .await
    }

    /// The same of an entry that the sink has rejected in a replay: the accounting does not count
    /// it a second time.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn replay_rejected(
        &self,
        sink: &str,
        position: Position,
        error: &str,
    ) -> Result<bool, Error> {
        let error = format!("rejected in a replay: {error}");
        self.list_dead_letter(sink, position, &error, Listing::ReplayIfRoom)
            .await
    }

    async fn list_dead_letter(
        &self,
        sink: &str,
        position: Position,
        error: &str,
        listing: Listing,
    ) -> Result<bool, Error> {
        let (sink, error) = (sink.into(), redact(error).into());
        let listed = self.commands.send(Command::DeadLetter {
            sink,
            position,
            error,
            listing,
        });
        Ok(listed.await? > 0)
    }

    /// Whether a sink's dead letters have room for `entries` more, each with a body of at most
    /// `body_bytes`.
    pub fn has_dlq_room(&self, sink: &str, entries: usize, body_bytes: usize) -> bool {
        let bytes = dead_letters::room_for(body_bytes).saturating_mul(entries as u64);
        self.state.has_dlq_room(sink, bytes)
    }

    /// Fences this journal, since a sink has an entry from another copy of it: the next process
    /// refuses it until its id is reset. Gives the error that says so.
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

    /// Records the outcome of a redelivered dead letter. Durable on return.
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

    /// Whether it is known what a sink's `when` of this digest makes of statuses: it has held for
    /// one, or the log has said that it holds for none.
    pub fn is_judged(&self, sink: &str, digest: &[u8]) -> bool {
        self.state.is_judged(sink, digest)
    }

    /// Keeps that it is known. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn judged(&self, sink: &str, digest: &[u8]) -> Result<(), Error> {
        let (sink, digest): (Arc<str>, Arc<[u8]>) = (sink.into(), digest.into());
        let command = Command::Judged {
            sink: Arc::clone(&sink),
            digest: Arc::clone(&digest),
        };
        self.commands.send(command).await?;
        self.state.judge(sink, digest);
        Ok(())
    }

    /// A sink's replay that has not ended.
    pub fn replay(&self, sink: &str) -> Option<Replay> {
        self.state.replay(sink)
    }

    /// Moves a sink's replay to a position, and removes it at its end. `replay`: as it was given.
    /// Changes nothing where an operator has begun another one since. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn replayed(&self, sink: &str, replay: &Replay, done: Position) -> Result<(), Error> {
        self.commands
            .send(Command::Replayed {
                sink: sink.into(),
                replay: replay.clone(),
                done,
            })
            .await
            .map(drop)
    }

    /// A count that changes whenever commands were written.
    pub fn commands(&self) -> watch::Receiver<u64> {
        self.state.commands.subscribe()
    }
}
