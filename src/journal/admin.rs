//! The handle for the operator's commands: redrive, drop, replay, forget.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::command::{Command, ForgottenDevice, ForgottenSink, Replay, Which};
use super::command_sender::CommandSender;
use super::group::PartsRedrive;
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
    /// is given with its statuses, which are appended as undecodable entries of their own, all in one
    /// transaction; with none where it is one status itself. Gives how many statuses are on their way.
    /// Durable on return.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn redrive_undecodable(
        &self,
        entries: Vec<(Position, Vec<NewEntry>)>,
    ) -> Result<u64, Error> {
        let sinks = self.state.configured();
        // A full journal accepts these, too.
        if entries.iter().all(|(_, parts)| parts.is_empty()) {
            let itself = |(whole, _)| (whole, vec![whole]);
            let entries = entries.into_iter().map(itself).collect();
            let redrive = Command::RedriveUndecodable { entries, sinks };
            return self.commands.send(redrive).await;
        }
        let (done, mut written) = oneshot::channel();
        let redrive = PartsRedrive {
            wholes: (entries.iter())
                .map(|(whole, parts)| (*whole, parts.len()))
                .collect(),
            sinks,
            done,
        };
        let parts = entries.into_iter().flat_map(|(_, parts)| parts);
        let batch = NewBatch {
            entries: parts.collect(),
        };
        self.log.queue_with(batch, Some(redrive)).await?;
        self.commands.answer(&mut written).await
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
