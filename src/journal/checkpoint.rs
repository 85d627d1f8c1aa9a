//! The checkpoints: what stands in the WAL is copied to the file itself, so that the WAL can begin
//! again. Most of it is copied by a connection of its own while the writer goes on; the writer
//! itself copies only what has come meanwhile, and syncs the file: SQLite does that where all of the
//! WAL is copied. Copying 8 MiB takes 15 ms and more, and nobody would be answered in that time.
//!
//! A failure other than a full disk is final. What a round has copied is not copied again, though a
//! failed sync may have lost it.

use std::fmt;
use std::path::Path;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use tracing::warn;

use super::error::failed;
use super::{Entry, Error, file};

/// From this size of the WAL on it is copied.
const BEGIN_BYTES: u64 = 8 * 1024 * 1024;

/// So much may be left for the writer.
const REST_BYTES: u64 = 512 * 1024;

/// Rounds beside the writer. Each has less to copy than the one before, unless the disk is slow.
const ROUNDS_MAX: u32 = 4;

/// What an entry takes in the WAL besides its body and its topic.
const ENTRY_BYTES: u64 = 64;

/// What a commit takes besides its entries: the pages above them, and the frames' own headers.
const COMMIT_BYTES: u64 = 3 * 2048;

/// The end of a round: its connection, and whether the writer is to copy the rest.
type Round = (Option<SqliteConnection>, Result<bool, Error>);

/// Looks after the size of the WAL.
#[derive(Default)]
pub(super) struct Checkpoint {
    /// Open from the first round on.
    connection: Option<SqliteConnection>,
    round: Option<BoxFuture<'static, Round>>,
    rounds: u32,
    /// Written since the last round began, about.
    bytes: u64,
}

impl Checkpoint {
    /// Takes note of a commit.
    pub(super) fn wrote(&mut self, entries: &[Entry]) {
        let bytes = entries
            .iter()
            .map(|entry| (entry.body.len() + entry.topic.len()) as u64 + ENTRY_BYTES);
        self.bytes += bytes.sum::<u64>() + COMMIT_BYTES;
    }

    /// Begins a round beside the writer where there is enough to copy.
    pub(super) fn begin(&mut self, path: &Path) {
        if self.round.is_none() && self.rounds == 0 && self.bytes >= BEGIN_BYTES {
            self.begin_round(path);
        }
    }

    fn begin_round(&mut self, path: &Path) {
        self.bytes = 0;
        self.rounds += 1;
        let (path, connection) = (path.to_owned(), self.connection.take());
        let round = async move {
            let mut connection = match connection {
                Some(connection) => connection,
                None => match file::open_to_checkpoint(&path).await {
                    Ok(connection) => connection,
                    // Nothing was copied, so nothing is lost.
                    Err(error) => {
                        warn!(%error, "journal keeps entries in its -wal file, and tries again");
                        return (None, Ok(false));
                    }
                },
            };
            let copied = copy(&mut connection).await;
            (Some(connection), copied)
        };
        self.round = Some(round.boxed());
    }

    /// Waits for the end of the rounds; never returns where there are none. Says whether the writer
    /// is to copy the rest. Cancel-safe.
    ///
    /// # Errors
    /// A page cannot be copied.
    pub(super) async fn done(&mut self, path: &Path) -> Result<bool, Error> {
        loop {
            let Some(round) = &mut self.round else {
                return std::future::pending().await;
            };
            let (connection, copied) = round.await;
            self.round = None;
            self.connection = connection;
            let copied = copied?;
            if !copied || self.bytes < REST_BYTES || self.rounds >= ROUNDS_MAX {
                self.rounds = 0;
                return Ok(copied);
            }
            self.begin_round(path);
        }
    }

    /// Copies the rest, on the writer's own connection.
    ///
    /// # Errors
    /// A page cannot be copied, or the file not be synced.
    pub(super) async fn finish(&mut self, writer: &mut SqliteConnection) -> Result<(), Error> {
        self.bytes = 0;
        copy(writer).await.map(drop)
    }

    /// Ends the round that runs, and closes the connection.
    pub(super) async fn close(self) {
        let connection = match self.round {
            Some(round) => round.await.0,
            None => self.connection,
        };
        if let Some(connection) = connection {
            // It holds nothing that anybody has an answer for.
            let _ = connection.close().await;
        }
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("round", &self.rounds)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// Copies what no reader needs in the WAL. Says whether it could: another process may be at it, or
/// the disk be full, and the entries are as safe in the WAL.
async fn copy(connection: &mut SqliteConnection) -> Result<bool, Error> {
    let copied = sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)")
        .fetch_one(connection)
        .await
        .and_then(|row| row.try_get::<i64, _>(0))
        .map(|busy| busy == 0)
        .map_err(failed("copy its -wal file to the file itself"));
    match copied {
        Err(error) if error.is_out_of_space() => Ok(false),
        copied => copied,
    }
}
