//! The file of a SQLite history: made for its owner alone, or for whom `mode` lets in, and whether
//! it still is the file that was opened. SQLite goes on writing to a file that has lost its name.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::sqlite_file::{self, FileId, Header, beside, beside_now};

/// The bits of a mode that say who may do what.
const MODE_BITS: u32 = 0o777;
/// Those of them that let the group and others read.
const READ_BITS: u32 = 0o044;
/// A folder that is made, at least.
const FOLDER_MODE: u32 = 0o700;

/// A file as it was when it was last seen to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    id: FileId,
    bytes: u64,
    /// Its `-wal`.
    wal: Option<FileId>,
}

/// What has happened to a file that was open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// There is none of that name.
    Removed,
    /// Another one has its name.
    Replaced,
    /// It is smaller than it was; it may still be whole.
    Shrunk,
}

impl Seen {
    /// The file of that name, which a connection has open.
    pub(super) fn at(path: &Path) -> Option<Seen> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Seen {
            id: FileId::of(&metadata),
            bytes: metadata.len(),
            wal: FileId::at(&beside(path, "-wal")),
        })
    }

    /// What has happened since to the file of that name; takes note of how it has grown.
    pub(super) fn look(&mut self, path: &Path) -> Option<Lost> {
        let Some(now) = Seen::at(path) else {
            return Some(Lost::Removed);
        };
        if now.id != self.id {
            return Some(Lost::Replaced);
        }
        if now.bytes < self.bytes {
            return Some(Lost::Shrunk);
        }
        self.bytes = now.bytes;
        None
    }

    /// Gives our `-wal` another name where another file has taken that of ours, and gives that name.
    /// The connection is closed.
    pub(super) fn move_wal_away(&self, path: &Path) -> Option<PathBuf> {
        sqlite_file::move_wal_away(path, self.id, self.wal?)
    }
}

/// The file, and its folder where they are missing, before SQLite opens it: SQLite would make it
/// readable for all, and gives its `-wal` and `-shm` the mode of the file.
pub(super) fn prepare(path: &Path, mode: u32) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_folders(folder, FOLDER_MODE | enter(mode))?;
    }
    if let Some(folder) = closed(path, mode) {
        let (file, folder) = (path.display(), folder.display());
        warn!(
            %file, %folder, mode = format!("{mode:04o}"),
            "history file may be read by others who may not enter a folder above it: open that one \
             to them, such as by chmod g+x"
        );
    }
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(mode).open(path) {
        Ok(_) => {
            // The umask does not count.
            std::fs::set_permissions(path, Permissions::from_mode(mode))?;
            let (file, mode) = (path.display(), format!("{mode:04o}"));
            info!(%file, mode, "history created: there was none at this path");
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    for suffix in ["", "-wal", "-shm"] {
        set_mode(&beside(path, suffix), mode);
    }
    Ok(())
}

/// What lets those into a folder who may read a file of this mode.
fn enter(mode: u32) -> u32 {
    (mode & READ_BITS) >> 2
}

/// Folders of ours let those in who may read the file. The umask does not count.
fn make_folders(folder: &Path, mode: u32) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.exists();
    let missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(mode).create(folder)?;
    missing
        .into_iter()
        .try_for_each(|folder| std::fs::set_permissions(folder, Permissions::from_mode(mode)))
}

/// A folder above the file that keeps all of those out whom `mode` lets read.
fn closed(path: &Path, mode: u32) -> Option<&Path> {
    let lets_in = match enter(mode) {
        0 => return None,
        others if others & 0o001 != 0 => 0o001,
        _ => 0o011,
    };
    let is_closed = |folder: &&Path| {
        let found = std::fs::metadata(folder);
        found.is_ok_and(|found| found.permissions().mode() & lets_in == 0)
    };
    path.ancestors().skip(1).find(is_closed)
}

/// The umask does not count, and one that was made by somebody else is as the configuration says.
fn set_mode(path: &Path, mode: u32) {
    let Ok(metadata) = std::fs::metadata(path) else {
        return;
    };
    let found = metadata.permissions().mode() & MODE_BITS;
    if found == mode || !metadata.is_file() {
        return;
    }
    let (file, before) = (path.display(), format!("{found:04o}"));
    match std::fs::set_permissions(path, Permissions::from_mode(mode)) {
        Ok(()) => {
            info!(%file, before, mode = format!("{mode:04o}"), "history file has another mode")
        }
        Err(error) => warn!(%file, mode = before, %error, "history file keeps its mode"),
    }
}

/// Whether it has as many bytes as its own header says: after VACUUM it has, after a truncation it
/// has not.
pub(super) fn is_whole(file: &File) -> io::Result<bool> {
    let bytes = file.metadata()?.len();
    Ok(Header::read(file)?.is_some_and(|header| bytes >= header.bytes))
}

/// Gives a file that is not whole another name, with what SQLite has beside it, so that a new one
/// can begin. Gives that name.
pub(super) fn move_away(path: &Path) -> io::Result<PathBuf> {
    let rest = beside_now(path, "truncated");
    std::fs::rename(path, &rest)?;
    for suffix in ["-wal", "-shm"] {
        // As a rule they went with the connection.
        let _ = std::fs::rename(beside(path, suffix), beside(&rest, suffix));
    }
    Ok(rest)
}
