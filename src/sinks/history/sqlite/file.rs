//! The file of a SQLite history: made for its owner alone, or for whom `mode` lets in, and whether
//! it still is the file that was opened. SQLite goes on writing to a file that has lost its name.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{info, warn};

/// The bits of a mode that say who may do what.
const MODE_BITS: u32 = 0o777;
/// Those of them that let the group and others read.
const READ_BITS: u32 = 0o044;
/// A folder that is made, at least.
const FOLDER_MODE: u32 = 0o700;

/// A database's header (<https://www.sqlite.org/fileformat2.html#the_database_header>): the size of
/// a page at 16, their number at 28.
const HEADER_BYTES: usize = 32;
const PAGE_SIZE_AT: usize = 16;
const PAGES_AT: usize = 28;

/// The largest page, which does not fit its two bytes and is written as 1.
const PAGE_BYTES_MAX: u64 = 65_536;

/// A file as it was when it was last seen to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Device and inode of its `-wal`.
    wal: Option<(u64, u64)>,
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
    fn of(metadata: &Metadata) -> Seen {
        Seen {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            wal: None,
        }
    }

    /// The file of that name, which a connection has open.
    pub(super) fn at(path: &Path) -> Option<Seen> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Seen {
            wal: id(&beside(path, "-wal")),
            ..Seen::of(&metadata)
        })
    }

    /// What has happened since to the file of that name; takes note of how it has grown.
    pub(super) fn look(&mut self, path: &Path) -> Option<Lost> {
        let Some(now) = Seen::at(path) else {
            return Some(Lost::Removed);
        };
        if (now.device, now.inode) != (self.device, self.inode) {
            return Some(Lost::Replaced);
        }
        if now.bytes < self.bytes {
            return Some(Lost::Shrunk);
        }
        self.bytes = now.bytes;
        None
    }

    /// Gives our `-wal` another name where another file has taken that of ours, and gives that name:
    /// SQLite would read it as the other file's, and destroy that. The connection is closed.
    pub(super) fn move_wal_away(&self, path: &Path) -> Option<PathBuf> {
        let is_another = id(path).is_some_and(|file| file != (self.device, self.inode));
        let wal = beside(path, "-wal");
        if !is_another || self.wal.is_none() || id(&wal) != self.wal {
            return None;
        }
        let moved = beside(path, &format!("-wal-of-replaced-{}", seconds()));
        std::fs::rename(&wal, &moved).ok()?;
        let _ = std::fs::remove_file(beside(path, "-shm"));
        Some(moved)
    }
}

/// Device and inode of the file of that name.
fn id(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The time, for names of files.
fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
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
    let mut header = [0; HEADER_BYTES];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(error),
    }
    let page_bytes = match u16::from_be_bytes([header[PAGE_SIZE_AT], header[PAGE_SIZE_AT + 1]]) {
        1 => PAGE_BYTES_MAX,
        bytes => u64::from(bytes),
    };
    let mut pages = [0; 4];
    pages.copy_from_slice(&header[PAGES_AT..HEADER_BYTES]);
    let bytes = page_bytes * u64::from(u32::from_be_bytes(pages));
    Ok(file.metadata()?.len() >= bytes)
}

/// Gives a file that is not whole another name, with what SQLite has beside it, so that a new one
/// can begin. Gives that name.
pub(super) fn move_away(path: &Path) -> io::Result<PathBuf> {
    let rest = beside(path, &format!("-truncated-{}", seconds()));
    std::fs::rename(path, &rest)?;
    for suffix in ["-wal", "-shm"] {
        // As a rule they went with the connection.
        let _ = std::fs::rename(beside(path, suffix), beside(&rest, suffix));
    }
    Ok(rest)
}

/// The file that SQLite has beside a database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
