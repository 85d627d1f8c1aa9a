//! How a history's file is opened.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{Access, access};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use crate::sqlite_file::beside;

/// Pages in the WAL from which a commit also checkpoints, 32 MiB. Most batches change the same
/// pages of the indexes, which are so written once for many batches.
const CHECKPOINT_PAGES: u32 = 8192;
/// What the WAL is cut back to after a long reader made it grow: a checkpoint's worth.
pub(super) const WAL_KEPT_BYTES: u64 = CHECKPOINT_PAGES as u64 * 4096;
/// Holds those pages for some thousand devices.
const CACHE_KIB: u32 = 16 * 1024;
/// How long another program may hold the file before the batch is tried again later.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// To store batches.
pub(super) fn storing(path: &Path) -> SqliteConnectOptions {
    changing(path)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("cache_size", format!("-{CACHE_KIB}"))
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
        .pragma("journal_size_limit", WAL_KEPT_BYTES.to_string())
        .pragma("temp_store", "MEMORY")
}

/// To change or copy what is there, beside the daemon that stores.
pub(super) fn changing(path: &Path) -> SqliteConnectOptions {
    patient(path).synchronous(SqliteSynchronous::Full)
}

/// To copy it. Rows come in another order than they were stored in, and whether all of them fit is
/// not the copy's business: foreign keys of tables that somebody has added are not checked.
pub(super) fn copying(path: &Path, sharing: Sharing) -> SqliteConnectOptions {
    changing(path)
        .immutable(sharing != Sharing::WithWriter)
        .foreign_keys(false)
}

/// To look at it.
pub(super) fn reading(path: &Path) -> SqliteConnectOptions {
    patient(path).read_only(true)
}

/// Whether a reader shares a history with a writer. They do that by a `-shm` beside the file, which
/// the first of them makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// It does.
    WithWriter,
    /// There is no `-shm`, and this user cannot make one: the folder is another user's, or the file
    /// system is read-only. Nobody writes the file, and all rows are in it: it is read as it is.
    /// SQLite then notices no change; here is how to know one.
    WithNobody(Stamp),
}

/// When the file was changed last, and how long it is.
type Stamp = (Option<SystemTime>, u64);

/// There is a `-wal` with rows, and no way to make the `-shm` that they are read with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unshared;

impl Sharing {
    /// How a history can be read now.
    pub(super) fn of(path: &Path) -> Result<Sharing, Unshared> {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let may_make = access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
        if may_make || beside(path, "-shm").exists() {
            return Ok(Sharing::WithWriter);
        }
        if std::fs::metadata(beside(path, "-wal")).is_ok_and(|wal| wal.len() > 0) {
            return Err(Unshared);
        }
        let file = std::fs::metadata(path);
        let stamp = file.map_or((None, 0), |file| (file.modified().ok(), file.len()));
        Ok(Sharing::WithNobody(stamp))
    }
}

fn patient(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}
