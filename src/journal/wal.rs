//! The sync of the WAL. SQLite writes a group there and leaves the sync to us
//! (`synchronous=NORMAL`), so that the writer writes one group while the disk syncs the one before.
//! SQLite itself still syncs the WAL before it copies from it, and before it begins it again:
//! nothing of it is overwritten that is not on disk elsewhere.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::Error;
use super::beside::open_wal;
use super::identity::{Identity, Wrote};
use crate::faults::{self, Mutation};

/// The WAL of the write connection, which is one file for as long as that is open, and the groups
/// in it that are not on disk for certain.
#[derive(Debug)]
pub(super) struct Wal<G> {
    /// Open all the time: the kernel tells of a page that it could not write only who had the file
    /// open when that happened.
    file: Arc<File>,
    identity: Arc<Identity>,
    sync: Option<Syncing<G>>,
    /// The groups that were written after that sync began.
    written: Vec<G>,
    /// What they have put into the file.
    wrote: Wrote,
}

/// A sync that runs, and the groups that are on disk once it has ended.
#[derive(Debug)]
struct Syncing<G> {
    task: JoinHandle<Result<(), Error>>,
    groups: Vec<G>,
}

impl<G> Wal<G> {
    /// The WAL of the journal at `path`, whose write connection is open.
    ///
    /// # Errors
    /// There is none, or it cannot be opened.
    pub(super) fn open(path: &Path) -> Result<Wal<G>, Error> {
        let file = open_wal(path)?;
        let identity = Identity::new(path, &file).map_err(|source| Error::Open {
            path: path.to_owned(),
            source,
        })?;
        Ok(Wal {
            file: Arc::new(file),
            identity: Arc::new(identity),
            sync: None,
            written: Vec::new(),
            wrote: Wrote::Anything,
        })
    }

    /// The WAL of the same journal, whose write connection is another one now.
    ///
    /// # Errors
    /// As for [`Wal::open`]; and [`Error::Taken`] where the path leads to another journal.
    pub(super) fn open_again(&self, path: &Path) -> Result<Wal<G>, Error> {
        let again = Wal::open(path)?;
        again.identity.assert_same_journal(&self.identity)?;
        Ok(again)
    }

    /// Looks whether the files are still there, though nothing was written.
    ///
    /// # Errors
    /// [`Error::Taken`].
    pub(super) async fn check(&self) -> Result<(), Error> {
        let Some(what) = self.identity.suspicion(&self.file, Wrote::Anything) else {
            return Ok(());
        };
        let (file, identity) = (Arc::clone(&self.file), Arc::clone(&self.identity));
        let confirmed = tokio::task::spawn_blocking(move || identity.confirm(what, &file)).await;
        // It does not panic, and nobody aborts it but the runtime's end.
        confirmed.unwrap_or(Err(Error::Closed))
    }

    /// See [`Identity::move_wal_away`].
    pub(super) fn move_away(&self) -> Option<PathBuf> {
        self.identity.move_wal_away()
    }

    /// Whether another group is to be written: one waits for the running sync at most, and the
    /// next gathers meanwhile.
    pub(super) fn takes(&self) -> bool {
        self.written.is_empty()
    }

    /// Takes a group that is written, to have it synced, and what it has put into the file.
    pub(super) fn wrote(&mut self, group: G, wrote: Wrote) {
        self.written.push(group);
        if wrote == Wrote::Entries {
            self.wrote = wrote;
        }
        self.begin_sync();
    }

    /// Waits for the end of the running sync and gives the groups that it covers, in order; never
    /// returns where there is none. Begins the next sync. Cancel-safe.
    ///
    /// # Errors
    /// The sync has failed: nobody knows then what is on disk. Or somebody has taken the files away
    /// ([`Error::Taken`]).
    pub(super) async fn synced(&mut self) -> Result<Vec<G>, Error> {
        let Some(sync) = &mut self.sync else {
            return std::future::pending().await;
        };
        let outcome = (&mut sync.task).await;
        let groups = std::mem::take(&mut sync.groups);
        self.sync = None;
        // It does not panic, and nobody aborts it but the runtime's end.
        outcome.unwrap_or(Err(Error::Closed))?;
        self.begin_sync();
        Ok(groups)
    }

    /// Waits until all that is written is on disk; gives those groups.
    ///
    /// # Errors
    /// As for [`Wal::synced`].
    pub(super) async fn sync_all(&mut self) -> Result<Vec<G>, Error> {
        let mut groups = Vec::new();
        while self.sync.is_some() {
            groups.extend(self.synced().await?);
        }
        Ok(groups)
    }

    fn begin_sync(&mut self) {
        if self.sync.is_some() || self.written.is_empty() {
            return;
        }
        let (file, identity) = (Arc::clone(&self.file), Arc::clone(&self.identity));
        let wrote = std::mem::replace(&mut self.wrote, Wrote::Anything);
        let sync = move || {
            if !faults::makes(Mutation::CommitWithoutSync) {
                file.sync_data().map_err(|source| Error::Sync { source })?;
            }
            // After it: what is on disk has to have a name, too.
            identity.check(&file, wrote)
        };
        self.sync = Some(Syncing {
            task: tokio::task::spawn_blocking(sync),
            groups: std::mem::take(&mut self.written),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite_file::beside;

    #[tokio::test]
    async fn what_is_written_during_a_sync_is_synced_by_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.db");
        std::fs::write(&journal, "").unwrap();
        std::fs::write(beside(&journal, "-wal"), "").unwrap();
        let mut wal = Wal::open(&journal).unwrap();
        wal.wrote(1, Wrote::Anything);
        assert!(wal.takes(), "the disk is busy, the writer is not");
        wal.wrote(2, Wrote::Anything);
        assert!(!wal.takes());
        wal.wrote(3, Wrote::Anything);
        assert_eq!(wal.synced().await.unwrap(), [1]);
        assert!(wal.takes());
        wal.wrote(4, Wrote::Anything);
        assert_eq!(wal.sync_all().await.unwrap(), [2, 3, 4]);
        assert!(wal.sync_all().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn journal_without_a_wal_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let opened = Wal::<()>::open(&folder.path().join("journal.db"));
        assert!(matches!(opened, Err(Error::Open { .. })));
    }
}
