//! A file that gets its name once it is whole: a copy that is cut off must not look like one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// What stands behind the name until the file is whole.
const UNFINISHED: &str = ".part";

/// A file that is being made. It is removed where it does not come to its name.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    file: File,
}

/// Why a file cannot be made.
#[derive(Debug)]
pub enum Unmade {
    /// This file is there already.
    InTheWay(PathBuf),
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
            Unmade::Io(_, error) => error,
        }
    }
}

impl NewFile {
    /// Begins the file `to`, which is not there. `mode`: who may read and write it, as `chmod` has
    /// it.
    ///
    /// # Errors
    /// See [`Unmade`]. What another process has left unfinished is in the way, too.
    pub fn begin(to: &Path, mode: u32) -> Result<NewFile, Unmade> {
        let mut name = to.as_os_str().to_owned();
        name.push(UNFINISHED);
        let path = PathBuf::from(name);
        if let Some(there) = [to, &path]
            .into_iter()
            .find(|it| it.symlink_metadata().is_ok())
        {
            return Err(Unmade::InTheWay(there.to_owned()));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(mode);
        match options.open(&path) {
            Ok(file) => Ok(NewFile { path, file }),
            Err(error) => Err(Unmade::Io(path, error)),
        }
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
        assert!(matches!(second, Err(Unmade::InTheWay(path)) if path == new.path()));
        std::fs::write(&to, "another's").unwrap();
        let taken = new.take(&to).map_err(|error| error.kind());
        assert_eq!(taken, Err(io::ErrorKind::AlreadyExists));
        assert_eq!(std::fs::read(&to).unwrap(), b"another's");
        let third = NewFile::begin(&to, 0o600);
        assert!(matches!(third, Err(Unmade::InTheWay(path)) if path == to));
    }
}
