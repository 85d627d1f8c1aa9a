//! Whether the journal's files are still the ones that the writer has open. Who removes, replaces or
//! truncates them leaves the writer with a file that no start will find: nothing that goes there may
//! be acknowledged. Reads names and sizes only: a second handle on the database itself would drop
//! SQLite's locks when it is closed. Where a size is odd, SQLite itself is asked: an operator may
//! have checkpointed or vacuumed the file, which takes nothing away.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::runtime::Handle;

use super::error::{Error, Taken};
use super::file;
use super::wal_end::{Found, WalEnd};
use crate::sqlite_file::{self, FileId, beside};

/// A file that is smaller has no header.
const PAGE_BYTES: u64 = file::PAGE_BYTES as u64;

/// The journal's file and its WAL, as they were when the writer opened them.
#[derive(Debug)]
pub(super) struct Identity {
    journal: PathBuf,
    wal: PathBuf,
    journal_id: FileId,
    wal_id: FileId,
    /// The size that the file was last seen to have: we never make it smaller.
    journal_bytes: AtomicU64,
    wal_end: Mutex<WalEnd>,
}

/// What a group of writes has put into the WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrote {
    /// Entries, and so a header before them.
    Entries,
    /// Perhaps nothing.
    Anything,
}

impl Identity {
    /// That of the journal at `path`, whose WAL is open as `wal`.
    ///
    /// # Errors
    /// One of them cannot be looked at.
    pub(super) fn new(path: &Path, wal: &File) -> io::Result<Identity> {
        let journal = std::fs::metadata(path)?;
        let mut wal_end = WalEnd::default();
        wal_end.look(wal);
        Ok(Identity {
            journal: path.to_owned(),
            wal: beside(path, "-wal"),
            journal_id: FileId::of(&journal),
            wal_id: FileId::of(&wal.metadata()?),
            journal_bytes: AtomicU64::new(journal.len()),
            wal_end: Mutex::new(wal_end),
        })
    }

    /// Whether another look at the same path has found the same file there.
    ///
    /// # Errors
    /// [`Error::Taken`]: another one has its name.
    pub(super) fn assert_same_journal(&self, as_before: &Identity) -> Result<(), Error> {
        match self.journal_id == as_before.journal_id {
            true => Ok(()),
            false => Err(self.error(Taken::Journal)),
        }
    }

    fn error(&self, what: Taken) -> Error {
        Error::Taken {
            path: self.journal.clone(),
            what,
        }
    }

    /// Looks whether the names still lead to these files, and whether they are whole. Waits for SQLite
    /// where it has to ask: not in a task.
    ///
    /// # Errors
    /// [`Error::Taken`].
    pub(super) fn check(&self, wal: &File, wrote: Wrote) -> Result<(), Error> {
        match self.suspicion(wal, wrote) {
            Some(what) => self.confirm(what, wal),
            None => Ok(()),
        }
    }

    /// Asks SQLite, where a suspicion may be nothing.
    ///
    /// # Errors
    /// [`Error::Taken`].
    pub(super) fn confirm(&self, what: Taken, wal: &File) -> Result<(), Error> {
        match self.is_whole_after_all(what, wal) {
            true => Ok(()),
            false => Err(self.error(what)),
        }
    }

    /// Gives our WAL another name where another file has taken that of the journal, and gives that
    /// name.
    pub(super) fn move_wal_away(&self) -> Option<PathBuf> {
        sqlite_file::move_wal_away(&self.journal, self.journal_id, self.wal_id)
    }

    /// Whether SQLite finds all that there should be, though a size says otherwise.
    fn is_whole_after_all(&self, what: Taken, wal: &File) -> bool {
        let path = self.journal.clone();
        let checked = match what {
            Taken::Journal | Taken::Wal | Taken::WalCut => return false,
            // SQLite would take it for a new database, and remove the WAL.
            Taken::Truncated if self.journal_bytes.load(Ordering::Relaxed) < PAGE_BYTES => {
                return false;
            }
            // The WAL may still have what the file lacks, until it begins again.
            Taken::Truncated => Handle::current().block_on(file::check_without_wal(path)),
            // What is written behind a hole is lost with the next crash.
            Taken::WalTruncated if wal.metadata().is_ok_and(|wal| wal.len() > 0) => return false,
            // Copying from it would copy what is not there.
            Taken::WalTruncated => Handle::current().block_on(file::check(path)),
        };
        checked.is_ok()
    }

    /// What seems to have been done, by names, sizes and the end of the WAL.
    pub(super) fn suspicion(&self, wal: &File, wrote: Wrote) -> Option<Taken> {
        let Ok(journal) = std::fs::metadata(&self.journal) else {
            return Some(Taken::Journal);
        };
        if FileId::of(&journal) != self.journal_id {
            return Some(Taken::Journal);
        }
        let bytes_before = self.journal_bytes.swap(journal.len(), Ordering::Relaxed);
        if journal.len() < bytes_before {
            return Some(Taken::Truncated);
        }
        if FileId::at(&self.wal) != Some(self.wal_id) {
            return Some(Taken::Wal);
        }
        let mut end = self.wal_end.lock().unwrap_or_else(PoisonError::into_inner);
        match end.look(wal) {
            Found::Cut => Some(Taken::WalCut),
            Found::Headless => Some(Taken::WalTruncated),
            Found::Empty if wrote == Wrote::Entries => Some(Taken::WalTruncated),
            Found::Whole | Found::Empty => None,
        }
    }
}
