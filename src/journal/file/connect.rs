//! Connections to the journal's file, each with what its use needs.

use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::io::Errno;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use tracing::warn;

use crate::journal::Error;
use crate::journal::error::failed;
use crate::sqlite_file::beside;

/// A commit writes whole pages: a paced one brings some five messages, which are about 2 KiB.
pub(in crate::journal) const PAGE_BYTES: u32 = 2048;

/// The writer works at the end of the table: it needs the pages of a commit, not the whole file.
const WRITER_CACHE_KIB: u32 = 4096;

/// A reader goes through the table once, front to back.
const READER_CACHE_KIB: u32 = 512;

/// Statements that stay prepared: 71 sizes of each of four INSERTs, and some more.
const STATEMENTS: usize = 330;

/// What the WAL is cut back to after it had to grow.
const WAL_KEPT_BYTES: u64 = 16 * 1024 * 1024;

/// Nobody else writes; only an external reader, such as the `sqlite3` shell, may be in the way for
/// a moment.
pub(in crate::journal) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Binds and rows are logged by nobody, and a slow statement is a slow disk: SQLite's own error
/// says so.
fn quiet(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options.disable_statement_logging()
}

/// The one write connection.
pub(in crate::journal) async fn open_to_write(path: &Path) -> Result<SqliteConnection, Error> {
    let options = quiet(SqliteConnectOptions::new())
        .filename(path)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        // The writer syncs the WAL itself.
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"))
        // `Checkpoint` does it, and SQLite would be silent about an error.
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", WAL_KEPT_BYTES.to_string())
        .pragma("temp_store", "MEMORY")
        .statement_cache_capacity(STATEMENTS)
        .thread_name(|_| "journal-writer".to_owned());
    options.connect().await.map_err(failed("open its file"))
}

/// The connection that copies the WAL to the file beside the writer.
pub(in crate::journal) async fn open_to_checkpoint(path: &Path) -> Result<SqliteConnection, Error> {
    quiet(SqliteConnectOptions::new())
        .filename(path)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", format!("-{READER_CACHE_KIB}"))
        .thread_name(|_| "journal-copy".to_owned())
        .connect()
        .await
        .map_err(failed("open its file to copy the WAL"))
}

/// A connection that can only read, for one [`Reader`](super::Reader).
pub(in crate::journal) async fn open_to_read(path: &Path) -> Result<SqliteConnection, Error> {
    quiet(SqliteConnectOptions::new())
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", format!("-{READER_CACHE_KIB}"))
        .thread_name(|_| "journal-reader".to_owned())
        .connect()
        .await
        .map_err(failed("open its file to read"))
}

/// What is wrong with a file that was to be looked at, where SQLite says no more than that it cannot
/// open it, or that it is no database.
pub(in crate::journal) fn unread(path: &Path, error: Error) -> Error {
    let path_of = || path.to_owned();
    if error.is_no_database() || path.is_dir() {
        return Error::Foreign { path: path_of() };
    }
    if !error.is_not_opened() {
        return error;
    }
    let is_denied = |suffix| {
        let access = access(beside(path, suffix), Access::READ_OK);
        access.is_err_and(|error| error == Errno::ACCESS)
    };
    if ["", "-wal", "-shm"].into_iter().any(is_denied) {
        return Error::Denied { path: path_of() };
    }
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    let may_make = access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    match may_make || beside(path, "-shm").exists() {
        true => error,
        false => Error::Unshared { path: path_of() },
    }
}

/// Closes the connection after everything in the WAL has gone to the database itself.
pub(in crate::journal) async fn close(mut connection: SqliteConnection) -> Result<(), Error> {
    let done = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_all(&mut connection)
        .await;
    match done.map(drop).map_err(failed("checkpoint before closing")) {
        // Committed entries are as safe in the WAL as in the database.
        Err(error) if error.is_out_of_space() => {
            warn!("journal closed with its -wal file: the disk is full; free some space")
        }
        done => done?,
    }
    connection.close().await.map_err(failed("close its file"))
}
