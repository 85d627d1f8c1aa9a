//! The handle for the operator's commands: redrive, drop, replay, forget.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::command::{Command, ForgottenDevice, ForgottenSink, Replay, Which};
use super::command_sender::CommandSender;
use super::log::Log;
use super::state::State;
use super::{Error, NewBatch, NewEntry};
use crate::model::Position;

/// The admin commands. Its clones share one writer.
#[derive(Debug, Clone)]
pub struct Admin {
    pub(super) state: Arc<State>,
    pub(super) commands: CommandSender,
    pub(super) log: Log,
}

impl Admin {
    /// Forgets a sink's cursor, its dead letters and its replay: the journal keeps nothing for it.
    /// One that is in the configuration is left as it is. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn forget(&self, sink: &str) -> Result<ForgottenSink, Error> {
        let forget = Command::Forget { sink: sink.into() };
        Ok(match self.commands.send(forget).await? {
            0 if self.state.is_configured(sink) => ForgottenSink::Configured,
            0 => ForgottenSink::Unknown,
            _ => ForgottenSink::Forgotten,
        })
    }

    /// Forgets the last states of devices: the next status of each begins as that of a new one. Gives
    /// how many were known. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn forget_devices(&self, devices: Vec<ForgottenDevice>) -> Result<u64, Error> {
        self.commands.send(Command::ForgetDevices { devices }).await
    }

    /// Marks a sink's dead letters for redelivery; those that its cursor has not passed yet are
    /// left alone. Gives the number of dead letters. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn redrive(&self, sink: &str, which: Which) -> Result<u64, Error> {
        self.commands
            .send(Command::Redrive {
                sink: sink.into(),
                which,
            })
            .await
    }

    /// Drops a sink's dead letters; those that its cursor has not passed yet stay. Gives their
    /// number. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn discard(&self, sink: &str, which: Which) -> Result<u64, Error> {
        self.commands
            .send(Command::Discard {
                sink: sink.into(),
                which,
            })
            .await
    }

    /// Delivers undecodable entries that can be decoded now to every sink of the configuration. Each
    /// is given with the positions of its statuses: its own if it is one status, else those that
    /// [`Admin::append_parts`] gave. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn redrive_undecodable(
        &self,
        entries: Vec<(Position, Vec<Position>)>,
    ) -> Result<u64, Error> {
        let sinks = self.state.configured();
        self.commands
            .send(Command::RedriveUndecodable { entries, sinks })
            .await
    }

    /// Appends the statuses of undecodable entries as undecodable entries of their own, for
    /// [`Admin::redrive_undecodable`]. Gives their positions.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn append_parts(&self, parts: Vec<NewEntry>) -> Result<Vec<Position>, Error> {
        let count = parts.len();
        let batch = NewBatch { entries: parts };
        let last = self.log.append(batch).await?;
        self.state.parts.fetch_add(count as u64, Ordering::Relaxed);
        let count = i64::try_from(count).expect("a batch fits in memory");
        Ok((last.0 - count + 1..=last.0).map(Position).collect())
    }

    /// Marks undecodable entries as settled, so that no list has them. Gives their number. Durable
    /// on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn discard_undecodable(&self, which: Which) -> Result<u64, Error> {
        self.commands
            .send(Command::DiscardUndecodable { which })
            .await
    }

    /// Begins a replay for a sink; it replaces one that has not ended. Gives how many entries that
    /// one had yet to look through. Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn begin_replay(&self, sink: &str, replay: Replay) -> Result<u64, Error> {
        self.commands
            .send(Command::Replay {
                sink: sink.into(),
                replay,
            })
            .await
    }
}
