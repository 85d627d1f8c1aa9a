//! The end of the writer: what the mark says of it, and what can still be saved.

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Writer;
use crate::journal::lock::{Left, Mark};
use crate::journal::{Error, Taken, file};

impl Writer {
    /// Closes a journal that is not written to, and leaves it as it was found: a start that fails
    /// is no unclean stop.
    ///
    /// # Errors
    /// The file cannot be closed.
    pub async fn leave(mut self) -> Result<(), Error> {
        file::close(self.connection).await?;
        if !self.check.is_done() {
            // The next start checks it.
            return Ok(());
        }
        self.lock.mark(Mark {
            journal: self.state.uuid,
            head: self.state.head(),
            left: self.found,
        })
    }

    /// Closes the file and says so in the mark.
    pub(super) async fn close(mut self) -> Result<(), Error> {
        std::mem::take(&mut self.checkpoint).close().await;
        file::close(self.connection).await?;
        let left = match self.fenced {
            true => Left::Fenced,
            false if self.check.is_done() => Left::Closed,
            // As it was found: the next start checks it.
            false => return Ok(()),
        };
        let mark = Mark {
            journal: self.state.uuid,
            head: self.state.head(),
            left,
        };
        self.lock
            .mark_or_say(mark, &mut self.mark_missing)
            .map(drop)
    }

    /// The stop of a journal whose disk has no room for what still waits. Nobody was told that this
    /// is on disk, and what is there is whole, so the stop is a clean one.
    pub(super) async fn close_full(
        self,
        error: Error,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        warn!(
            %error,
            "journal closed without what still waited for it, since its disk is full: nothing of \
             that was acknowledged, so a server that keeps messages sends it again; free some space"
        );
        self.state.closes(&error);
        self.close().await?;
        match stop.is_cancelled() {
            true => Ok(()),
            false => Err(error),
        }
    }

    /// Copies what a WAL without a name holds to the file itself, so that the next start finds what
    /// was acknowledged. The error says what has happened; a failure here adds nothing to it.
    pub(super) async fn rescue(&mut self, what: Taken) {
        if what == Taken::Journal
            && let Some(moved) = self.wal.move_away()
        {
            warn!(
                moved = %moved.display(),
                "journal replaced by another file: the -wal of the former one has another name now"
            );
        }
        if what != Taken::Wal {
            return;
        }
        // Two cannot copy at once.
        std::mem::take(&mut self.checkpoint).close().await;
        if let Err(error) = self.checkpoint.finish(&mut self.connection).await {
            warn!(%error, "what the -wal file held was not copied");
        }
    }
}
