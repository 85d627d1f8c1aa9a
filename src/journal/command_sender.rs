//! Sends commands to the writer and waits for the answers.

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Error;
use super::command::{Command, QueuedCommand};

/// Sends commands to the writer; its clones share one queue.
#[derive(Debug, Clone)]
pub(super) struct CommandSender {
    pub(super) queue: mpsc::Sender<QueuedCommand>,
    /// The writer is gone.
    pub(super) ended: CancellationToken,
}

impl CommandSender {
    /// Sends a command, and waits until it is on disk; gives how many entries (or sinks) it has
    /// changed.
    pub(super) async fn send(&self, command: Command) -> Result<u64, Error> {
        let (done, mut written) = oneshot::channel();
        self.queue
            .send(QueuedCommand { command, done })
            .await
            .map_err(|_| Error::Closed)?;
        self.answer(&mut written).await
    }

    /// Waits until the cursors are on disk as they stand.
    pub(super) async fn flush(&self) -> Result<(), Error> {
        self.send(Command::Flush).await.map(drop)
    }

    /// Waits for the writer's end too: a command sent at that moment may stay in a queue that
    /// nobody empties.
    pub(super) async fn answer<T>(&self, written: &mut oneshot::Receiver<T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            answer = &mut *written => answer.map_err(|_| Error::Closed),
            () = self.ended.cancelled() => written.try_recv().map_err(|_| Error::Closed),
        }
    }
}
