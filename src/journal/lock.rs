//! The lock beside the journal's file. It keeps other processes out, and holds a mark. The mark
//! tells the next process how the last one left the journal, and whether this is the same journal.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;
use uuid::Uuid;

use super::Error;
use super::beside::give_to_owner_of_folder;
use crate::model::Position;
use crate::sqlite_file::beside;

/// Who looks whether the lock is held has it for microseconds: so often it is tried again, after
/// this time each.
const LOOKERS_MAX: u32 = 3;
const LOOK_TIME: Duration = Duration::from_millis(10);

/// Held while the journal is written; the operating system releases it when the process ends,
/// however it ends. Two files are locked: the one beside the journal, and the journal itself, which
/// may have two names, and which nobody removes without being noticed.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
    journal: Arc<File>,
}

/// The journal's id, head and end, readable without opening the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) journal: Uuid,
    /// A position that was on disk when the mark was made.
    pub(super) head: Position,
    pub(super) left: Left,
}

/// How a journal was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Everything was written and closed.
    Closed,
    /// A process writes it, or has ended in the middle.
    Open,
    /// It is a stale copy, and a sink has noticed.
    Fenced,
}

impl Lock {
    /// Takes the lock of the journal at `path`, which is there, and gives the last mark; fails at
    /// once if another process holds it.
    pub(super) fn take(path: &Path) -> Result<(Lock, Option<Mark>), Error> {
        let open = |source| Error::Open {
            path: path.to_owned(),
            source,
        };
        let mut file = open_beside(path).map_err(open)?;
        try_lock(&file, path)?;
        // Only now: where this process has the journal open already, closing a second handle on it
        // would drop SQLite's locks.
        // NFS locks only what may be written.
        let journal = OpenOptions::new().read(true).write(true).open(path);
        let journal = journal.map_err(open)?;
        try_lock(&journal, path)?;
        let mut text = String::new();
        let mark = file
            .read_to_string(&mut text)
            .ok()
            .and_then(|_| Mark::parse(&text));
        Ok((
            Lock {
                file,
                path: path.to_owned(),
                journal: Arc::new(journal),
            },
            mark,
        ))
    }

    /// The handle on the journal's file. When it is closed, SQLite's locks on that file are dropped:
    /// it stays open as long as anybody reads there
    /// (<https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>).
    pub(super) fn journal(&self) -> Arc<File> {
        Arc::clone(&self.journal)
    }

    /// Whether the file with the mark still has its name.
    pub(super) fn is_there(&self) -> bool {
        let named = std::fs::metadata(beside(&self.path, "-lock"));
        match (named, self.file.metadata()) {
            (Ok(named), Ok(ours)) => (named.dev(), named.ino()) == (ours.dev(), ours.ino()),
            _ => false,
        }
    }

    /// Leaves a mark, on disk when it returns. It lies within one sector and always has the same
    /// length, so no crash leaves half of it. Where somebody has removed the file, it is made again.
    ///
    /// # Errors
    /// The file cannot be written; or it was replaced, and another process has locked that.
    pub(super) fn mark(&mut self, mark: Mark) -> Result<(), Error> {
        if !self.is_there() {
            let file = open_beside(&self.path).map_err(|source| self.not_written(source))?;
            try_lock(&file, &self.path)?;
            self.file = file;
        }
        let write = || -> io::Result<()> {
            let mut file = &self.file;
            file.rewind()?;
            file.write_all(mark.text().as_bytes())?;
            file.sync_data()
        };
        write().map_err(|source| self.not_written(source))
    }

    /// As [`Lock::mark`]. Where its file is gone and cannot be made again, says so once and gives
    /// false: the lock on the journal itself is still held.
    pub(super) fn mark_or_say(&mut self, mark: Mark, said: &mut bool) -> Result<bool, Error> {
        let was_there = self.is_there();
        let (path, source) = match self.mark(mark) {
            Ok(()) => return Ok(true),
            Err(Error::Open { path, source }) if !was_there => (path, source),
            Err(error) => return Err(error),
        };
        if !std::mem::replace(said, true) {
            warn!(
                lock = %path.display(),
                error = %source,
                "journal's -lock was removed or replaced, and cannot be made again: let the daemon \
                 write to its folder, since the next start cannot tell a stale copy without it"
            );
        }
        Ok(false)
    }

    fn not_written(&self, source: io::Error) -> Error {
        Error::Open {
            path: beside(&self.path, "-lock"),
            source,
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Readers may keep it open.
        let _ = self.journal.unlock();
    }
}

/// Whether a process holds the lock of the journal at `path`. One that may not be looked at counts
/// as held.
pub fn is_held(path: &Path) -> bool {
    let file = match File::open(beside(path, "-lock")) {
        Ok(file) => file,
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
    };
    match file.try_lock_shared() {
        // Given back at once, when the file is closed.
        Ok(()) => false,
        Err(_) => true,
    }
}

fn open_beside(path: &Path) -> io::Result<File> {
    let lock = beside(path, "-lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let made = options.clone().create_new(true).mode(0o600).open(&lock);
    match made {
        Ok(file) => {
            // Where that may not be done, root is the one who runs the daemon.
            let _ = give_to_owner_of_folder(&file, &lock);
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(&lock),
        Err(error) => Err(error),
    }
}

/// `path`: the journal's. Who only [looks](is_held) has the lock for a moment.
fn try_lock(file: &File, path: &Path) -> Result<(), Error> {
    let path = path.to_owned();
    let mut locked = file.try_lock();
    for _ in 0..LOOKERS_MAX {
        if !matches!(locked, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(LOOK_TIME);
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path }),
        Err(TryLockError::Error(source)) => Err(Error::Open { path, source }),
    }
}

impl Mark {
    /// Whether a journal of this id that ends at `head` may be a stale copy of the one that was
    /// here.
    pub(super) fn may_be_stale(&self, journal: Uuid, head: Position) -> bool {
        self.journal != journal || head < self.head || self.left == Left::Fenced
    }

    fn text(self) -> String {
        let left = match self.left {
            Left::Closed => "closed",
            Left::Open => "open  ",
            Left::Fenced => "stale ",
        };
        format!("{} {:020} {left}\n", self.journal.simple(), self.head.0)
    }

    fn parse(text: &str) -> Option<Mark> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [journal, head, left] = words[..] else {
            return None;
        };
        let left = match left {
            "closed" => Left::Closed,
            "open" => Left::Open,
            "stale" => Left::Fenced,
            _ => return None,
        };
        Some(Mark {
            journal: Uuid::parse_str(journal).ok()?,
            head: Position(head.parse().ok()?),
            left,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_is_read_back_whole_or_not_at_all() {
        for left in [Left::Closed, Left::Open, Left::Fenced] {
            for head in [0, 17, i64::MAX] {
                let mark = Mark {
                    journal: Uuid::new_v4(),
                    head: Position(head),
                    left,
                };
                let text = mark.text();
                assert_eq!(text.len(), 61, "{text}");
                assert_eq!(Mark::parse(&text), Some(mark));
                assert_eq!(Mark::parse(&text[..53]), None);
            }
        }
        assert_eq!(Mark::parse(""), None);
    }
}
