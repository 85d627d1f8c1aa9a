//! The files beside the journal's own.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::Error;

/// The file with `suffix` appended to its name, as SQLite does for `-wal`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The WAL of the journal at `path`, which a connection has open.
///
/// # Errors
/// There is none, or it cannot be opened.
pub(super) fn open_wal(path: &Path) -> Result<File, Error> {
    File::open(beside(path, "-wal")).map_err(|source| Error::Open {
        path: path.to_owned(),
        source,
    })
}

/// Syncs that WAL.
///
/// # Errors
/// There is none, or the sync has failed.
pub(super) fn sync_wal(path: &Path) -> Result<(), Error> {
    let synced = open_wal(path)?.sync_data();
    synced.map_err(|source| Error::Sync { source })
}
