//! The files beside the journal's own: who owns them, and its WAL.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

use super::Error;
use crate::sqlite_file::beside;

/// Root works for a daemon that has a user of its own: what root makes there belongs to the owner of
/// the folder that `path` lies in. `file` is one that was just made, since a link that somebody has
/// put there would lead elsewhere.
///
/// # Errors
/// It cannot be given away.
pub(super) fn give_to_owner_of_folder(file: &File, path: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let folder = std::fs::metadata(folder.unwrap_or(Path::new(".")))?;
    if folder.uid() == file.metadata()?.uid() {
        return Ok(());
    }
    fchown(file, Some(folder.uid()), Some(folder.gid()))
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
