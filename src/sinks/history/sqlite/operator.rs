//! What an operator changes in a SQLite history beside the daemon that writes it: a device is
//! forgotten, old rows go, a copy is made. Each step is a transaction of some ten milliseconds. The
//! daemon sees that somebody else has written, and begins with the rows that are there.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection};

use super::backup;
use super::connect::changing;
use super::insert::text_time;
use super::reader::{SqliteReader, Unread};
use super::{DELETE_OLD, explained};
use crate::new_file::NewFile;
use crate::sinks::history::kept::STEP_ROWS;

/// A copy is its owner's alone.
const COPY_MODE: u32 = 0o600;

/// A history that is there.
#[derive(Debug)]
pub(in crate::sinks::history) struct SqliteOperator {
    /// One that writes, once it is needed: who copies may have no right to it.
    connection: Option<SqliteConnection>,
    path: PathBuf,
}

impl SqliteOperator {
    /// Opens a history that is there.
    pub(in crate::sinks::history) async fn open(path: &Path) -> Result<SqliteOperator, Unread> {
        SqliteReader::open(path).await?;
        Ok(SqliteOperator {
            connection: None,
            path: path.to_owned(),
        })
    }

    async fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            none => {
                // What is forgotten is written over.
                let options = changing(&self.path).pragma("secure_delete", "ON");
                Ok(none.insert(options.connect().await?))
            }
        }
    }

    /// Looks at rows, and changes none.
    pub(in crate::sinks::history) async fn look<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        work(self.connection().await?).await
    }

    /// Changes rows in one transaction.
    pub(in crate::sinks::history) async fn change<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let connection = self.connection().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let done = work(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done)
    }

    /// Deletes some of the statuses that were received before a time; gives how many.
    pub(in crate::sinks::history) async fn prune_some(
        &mut self,
        before: Timestamp,
    ) -> Result<u64, sqlx::Error> {
        let deleted = sqlx::query(DELETE_OLD)
            .bind(text_time(before))
            .bind(STEP_ROWS)
            .execute(self.connection().await?)
            .await?;
        Ok(deleted.rows_affected())
    }

    /// Copies the history as it is at one moment to a file that is not there yet. The daemon writes
    /// on meanwhile.
    pub(in crate::sinks::history) async fn back_up(&mut self, to: &Path) -> io::Result<u64> {
        // `:memory:` and `file:…` mean something else to SQLite.
        let to = &std::path::absolute(to)?;
        // SQLite fills an empty file, and would make one that others can read.
        let new = NewFile::begin(to, COPY_MODE)?;
        let Some(name) = new.path().to_str() else {
            let why = "SQLite writes no file whose name is not UTF-8: name another one";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        };
        let copied = backup::copy(&self.path, name).await;
        copied.map_err(|error| io::Error::other(explained(&error)))?;
        new.take(to)
    }
}
