//! The lock beside the journal's file. It keeps other processes out, and holds a mark. The mark
//! tells the next process how the last one left the journal, and whether this is the same journal.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::Error;
use super::beside::beside;
use crate::model::Position;

/// Held while the journal is written; the operating system releases it when the process ends,
/// however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
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
    /// Takes the lock beside the journal's file and gives the last mark; fails at once if another
    /// process holds it. It is a file of its own: a second handle on the database itself would drop
    /// SQLite's locks when it is closed.
    pub(super) fn take(path: &Path) -> Result<(Lock, Option<Mark>), Error> {
        let open = |source| Error::Open {
            path: path.to_owned(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(beside(path, "-lock"))
            .map_err(open)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::InUse {
                    path: path.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(open(source)),
        }
        let mut text = String::new();
        let mark = file
            .read_to_string(&mut text)
            .ok()
            .and_then(|_| Mark::parse(&text));
        Ok((
            Lock {
                file,
                path: path.to_owned(),
            },
            mark,
        ))
    }

    /// Leaves a mark, on disk when it returns. It lies within one sector and always has the same
    /// length, so no crash leaves half of it.
    pub(super) fn mark(&self, mark: Mark) -> Result<(), Error> {
        let write = || -> io::Result<()> {
            let mut file = &self.file;
            file.rewind()?;
            file.write_all(mark.text().as_bytes())?;
            file.sync_data()
        };
        write().map_err(|source| Error::Open {
            path: beside(&self.path, "-lock"),
            source,
        })
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
