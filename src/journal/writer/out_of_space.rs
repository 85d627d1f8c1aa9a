//! A transaction for which the disk had no room: SQLite has undone it, and it is tried again.

use std::sync::atomic::Ordering;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{OUT_OF_SPACE_INTERVAL, TURN_MAX, Writer};
use crate::journal::group::WrittenGroup;
use crate::journal::wal::Wal;
use crate::journal::{Error, Taken, disk, file};

impl Writer {
    /// Waits before the transaction is tried again, on a new connection that knows nothing of the
    /// failure. SQLite has rolled it back, and nobody has an answer yet. Until then nothing is
    /// accepted.
    pub(super) async fn wait_for_space(
        &mut self,
        error: &Error,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        if !std::mem::replace(&mut self.out_of_space, true) {
            warn!(%error, "journal stopped: its disk is full, and nothing is accepted; free some \
             space");
            self.state.full.store(true, Ordering::Relaxed);
            self.state.disk_full.store(true, Ordering::Relaxed);
        } else {
            debug!("journal still stopped: its disk is full");
        }
        self.state.next_turn.within(TURN_MAX);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(OUT_OF_SPACE_INTERVAL) => {}
        }
        // The WAL may become another file.
        self.sync_all().await?;
        // Others free some space, and may take the wrong files.
        self.wal.check().await?;
        match self.open_again().await {
            Ok((connection, wal)) => {
                // Closing a connection that failed may fail too: it holds nothing that anybody has
                // an answer for.
                let _ = std::mem::replace(&mut self.connection, connection)
                    .close()
                    .await;
                self.wal = wal;
                Ok(())
            }
            Err(error) if error.is_out_of_space() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Another write connection to the journal that this is, as far as it was written.
    async fn open_again(&mut self) -> Result<(SqliteConnection, Wal<WrittenGroup>), Error> {
        let path = &self.settings.path;
        let mut connection = file::open_to_write(path).await?;
        let wal = self.wal.open_again(path)?;
        let uuid = file::read_id(&mut connection).await?;
        let head = disk::head(&mut connection).await?;
        if (uuid, head) != (self.state.uuid, self.head) {
            return Err(Error::Taken {
                path: path.clone(),
                what: Taken::Journal,
            });
        }
        Ok((connection, wal))
    }
}
