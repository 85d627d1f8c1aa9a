//! Whether the journal's files are still the ones that the writer has open. Who removes, replaces or
//! truncates them leaves the writer with a file that no start will find: nothing that goes there may
//! be acknowledged. Reads names and sizes only: a second handle on the database itself would drop
//! SQLite's locks when it is closed.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::beside::beside;
use super::error::{Error, Taken};

/// The first bytes of a WAL (<https://www.sqlite.org/fileformat2.html#walformat>), but for the last
/// bit, which says the byte order of its checksums.
const WAL_MAGIC: [u8; 4] = [0x37, 0x7f, 0x06, 0x82];

/// The journal's file and its WAL, as they were when the writer opened them.
#[derive(Debug)]
pub(super) struct Identity {
    journal: PathBuf,
    wal: PathBuf,
    journal_id: FileId,
    wal_id: FileId,
    /// The largest size that the file was seen to have: it never shrinks.
    journal_bytes: AtomicU64,
    /// The WAL was seen to have its header. Before the first change it is empty.
    wal_begun: AtomicBool,
}

/// Device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId(u64, u64);

impl FileId {
    fn of(metadata: &Metadata) -> FileId {
        FileId(metadata.dev(), metadata.ino())
    }
}

impl Identity {
    /// That of the journal at `path`, whose WAL is open as `wal`.
    ///
    /// # Errors
    /// One of them cannot be looked at.
    pub(super) fn new(path: &Path, wal: &File) -> io::Result<Identity> {
        let journal = std::fs::metadata(path)?;
        Ok(Identity {
            journal: path.to_owned(),
            wal: beside(path, "-wal"),
            journal_id: FileId::of(&journal),
            wal_id: FileId::of(&wal.metadata()?),
            journal_bytes: AtomicU64::new(journal.len()),
            wal_begun: AtomicBool::new(false),
        })
    }

    /// Looks whether the names still lead to these files, and whether they are whole. `wal` has
    /// just been written to.
    ///
    /// # Errors
    /// [`Error::Taken`].
    pub(super) fn check(&self, wal: &File) -> Result<(), Error> {
        match self.taken(wal) {
            None => Ok(()),
            Some(what) => Err(Error::Taken {
                path: self.journal.clone(),
                what,
            }),
        }
    }

    fn taken(&self, wal: &File) -> Option<Taken> {
        let Ok(journal) = std::fs::metadata(&self.journal) else {
            return Some(Taken::Journal);
        };
        if FileId::of(&journal) != self.journal_id {
            return Some(Taken::Journal);
        }
        if journal.len()
            < self
                .journal_bytes
                .fetch_max(journal.len(), Ordering::Relaxed)
        {
            return Some(Taken::Truncated);
        }
        let named = std::fs::metadata(&self.wal).map(|wal| FileId::of(&wal));
        if named.ok() != Some(self.wal_id) {
            return Some(Taken::Wal);
        }
        let has_header = has_header(wal);
        let had_header = self.wal_begun.fetch_or(has_header, Ordering::Relaxed);
        (had_header && !has_header).then_some(Taken::WalTruncated)
    }
}

fn has_header(wal: &File) -> bool {
    let mut magic = [0; 4];
    let read = wal.read_exact_at(&mut magic, 0);
    magic[3] &= !1;
    read.is_ok() && magic == WAL_MAGIC
}
