//! A file that gets its name once it is whole: a copy that is cut off must not look like one. What a
//! killed process has left of it makes room for the next one; nobody else's file is ever touched.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

/// What stands behind the name until the file is whole.
const UNFINISHED: &str = ".part";

/// The empty file beside it, which is locked meanwhile. Where it is left and nobody holds it, the
/// unfinished one is a killed process's. The lock is not on that itself: on NFS SQLite would meet it.
const LOCK: &str = ".part-lock";

/// Another process may remove the lock just when we take it: more in a row is no chance.
const LOCK_ATTEMPTS_MAX: u32 = 8;

/// A file that is being made. It is removed where it does not come to its name.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    file: File,
    /// Last, so that it is held until the other one is gone.
    _lock: PartLock,
}

/// Why a file cannot be made.
#[derive(Debug)]
pub enum Unmade {
    /// This file is there already.
    InTheWay(PathBuf),
    /// Another process is writing this one.
    BeingWritten(PathBuf),
    /// It would lie in this folder, which is not there.
    NoFolder(PathBuf),
    /// The system does not let us write this one.
    Io(PathBuf, io::Error),
}

impl From<Unmade> for io::Error {
    fn from(unmade: Unmade) -> io::Error {
        match unmade {
            Unmade::InTheWay(path) => {
                let why = format!("{} is there already", path.display());
                io::Error::new(io::ErrorKind::AlreadyExists, why)
            }
            Unmade::BeingWritten(path) => {
                let path = path.display();
                let why = format!("another process is writing {path}: wait for its end");
                io::Error::new(io::ErrorKind::ResourceBusy, why)
            }
            Unmade::NoFolder(folder) => {
                let folder = folder.display();
                let why = format!("there is no folder {folder}: make it, or name another file");
                io::Error::new(io::ErrorKind::NotFound, why)
            }
            Unmade::Io(_, error) => error,
        }
    }
}

impl NewFile {
    /// Begins the file `to`, which is not there. `mode`: who may read and write it, as `chmod` has
    /// it.
    ///
    /// # Errors
    /// See [`Unmade`].
    pub fn begin(to: &Path, mode: u32) -> Result<NewFile, Unmade> {
        let [path, lock] = [UNFINISHED, LOCK].map(|end| beside(to, end));
        if is_there(to) {
            return Err(Unmade::InTheWay(to.to_owned()));
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| is_missing(folder)) {
            return Err(Unmade::NoFolder(folder.to_owned()));
        }
        let lock = PartLock::take(&lock, &path)?;
        let unmade = |error| Unmade::Io(path.clone(), error);
        if is_there(&path) {
            let is_left = lock.is_left && path.symlink_metadata().is_ok_and(|it| it.is_file());
            if !is_left {
                return Err(Unmade::InTheWay(path));
            }
            std::fs::remove_file(&path).map_err(unmade)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(mode);
        let file = options.open(&path).map_err(unmade)?;
        Ok(NewFile {
            path,
            file,
            _lock: lock,
        })
    }

    /// Where it is until it has its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives it the name `to`, which nobody may have taken meanwhile; durable on return. Gives its
    /// size in bytes.
    ///
    /// # Errors
    /// It cannot be synced or renamed; `AlreadyExists` where somebody has taken the name.
    pub fn take(self, to: &Path) -> io::Result<u64> {
        self.file.sync_all()?;
        let bytes = self.file.metadata()?.len();
        match renameat_with(CWD, &self.path, CWD, to, RenameFlags::NOREPLACE) {
            // Some file systems cannot do that as one.
            Err(Errno::INVAL | Errno::NOSYS) if !to.try_exists()? => {
                std::fs::rename(&self.path, to)?;
            }
            renamed => renamed?,
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(bytes)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // It is no longer there where it has its name.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The lock on a file that is being made. It is gone with its file.
#[derive(Debug)]
struct PartLock {
    path: PathBuf,
    file: File,
    /// A killed process has left it.
    is_left: bool,
}

impl PartLock {
    fn take(path: &Path, part: &Path) -> Result<PartLock, Unmade> {
        let unmade = |error| Unmade::Io(path.to_owned(), error);
        for _ in 0..LOCK_ATTEMPTS_MAX {
            let Some((file, mut is_left)) = open(path).map_err(unmade)? else {
                continue;
            };
            let opened = file.metadata().map_err(unmade)?;
            // Ours is empty.
            if !opened.is_file() || opened.len() > 0 {
                return Err(Unmade::InTheWay(path.to_owned()));
            }
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Unmade::BeingWritten(part.to_owned()));
                }
                // A file system without locks: nobody knows who has left what.
                Err(TryLockError::Error(_)) => is_left = false,
            }
            let named = path.symlink_metadata();
            let id = |it: &std::fs::Metadata| (it.dev(), it.ino());
            // The one who held it before has removed it meanwhile.
            if named.is_ok_and(|named| id(&named) == id(&opened)) {
                return Ok(PartLock {
                    path: path.to_owned(),
                    file,
                    is_left,
                });
            }
        }
        Err(Unmade::BeingWritten(part.to_owned()))
    }
}

impl Drop for PartLock {
    fn drop(&mut self) {
        // While it is held: another process finds that its own has no name.
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

/// The file of a lock, and whether it was there before. `None`: it went meanwhile.
fn open(path: &Path) -> io::Result<Option<(File, bool)>> {
    let mut options = OpenOptions::new();
    // A link leads to somebody else's file.
    let no_link = OFlags::NOFOLLOW.bits().cast_signed();
    options.write(true).mode(0o600).custom_flags(no_link);
    match options.clone().create_new(true).open(path) {
        Ok(file) => return Ok(Some((file, false))),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    match options.open(path) {
        Ok(file) => Ok(Some((file, true))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn beside(to: &Path, end: &str) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Whether there is no folder of that name, as far as this user can see.
fn is_missing(folder: &Path) -> bool {
    match std::fs::metadata(folder) {
        Ok(found) => !found.is_dir(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_over_and_nothing_unfinished_stays() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("copy");
        drop(NewFile::begin(&to, 0o600).unwrap());
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        let new = NewFile::begin(&to, 0o600).unwrap();
        let second = NewFile::begin(&to, 0o600);
        assert!(matches!(second, Err(Unmade::BeingWritten(path)) if path == new.path()));
        std::fs::write(&to, "another's").unwrap();
        let taken = new.take(&to).map_err(|error| error.kind());
        assert_eq!(taken, Err(io::ErrorKind::AlreadyExists));
        assert_eq!(std::fs::read(&to).unwrap(), b"another's");
        let third = NewFile::begin(&to, 0o600);
        assert!(matches!(third, Err(Unmade::InTheWay(path)) if path == to));
        for no_folder in [folder.path().join("absent"), to] {
            let new = NewFile::begin(&no_folder.join("copy"), 0o600);
            assert!(matches!(new, Err(Unmade::NoFolder(folder)) if folder == no_folder));
        }
    }

    #[test]
    fn what_a_killed_process_has_left_makes_room_and_what_others_have_there_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("copy");
        let [part, lock] = [UNFINISHED, LOCK].map(|end| beside(&to, end));
        let in_the_way = |path: &Path| {
            let begun = NewFile::begin(&to, 0o600);
            assert!(matches!(begun, Err(Unmade::InTheWay(it)) if it == path));
        };
        // Somebody's file, without our lock.
        std::fs::write(&part, "somebody's").unwrap();
        in_the_way(&part);
        assert_eq!(std::fs::read(&part).unwrap(), b"somebody's");
        assert!(!is_there(&lock));
        // Killed: both files stay, and nobody holds the lock.
        std::fs::write(&lock, "").unwrap();
        let mut new = NewFile::begin(&to, 0o600).unwrap();
        assert_eq!(std::fs::read(&part).unwrap(), b"");
        io::Write::write_all(&mut new.file, b"whole").unwrap();
        new.take(&to).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"whole");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
        std::fs::remove_file(&to).unwrap();
        // What is not empty is no lock of ours, and what is a link leads to another's file.
        std::fs::write(&lock, "somebody's").unwrap();
        in_the_way(&lock);
        assert_eq!(std::fs::read(&lock).unwrap(), b"somebody's");
        let other = folder.path().join("other");
        std::fs::rename(&lock, &other).unwrap();
        std::os::unix::fs::symlink(&other, &lock).unwrap();
        assert!(matches!(NewFile::begin(&to, 0o600), Err(Unmade::Io(..))));
        std::fs::remove_file(&lock).unwrap();
        std::fs::write(&lock, "").unwrap();
        std::os::unix::fs::symlink(&other, &part).unwrap();
        in_the_way(&part);
        assert_eq!(std::fs::read(&other).unwrap(), b"somebody's");
    }
}
