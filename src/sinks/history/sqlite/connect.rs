//! How a history's file is opened.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

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

/// To look at it.
pub(super) fn reading(path: &Path) -> SqliteConnectOptions {
    patient(path).read_only(true)
}

fn patient(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}
