//! Makes a journal of a backup. The daemon that goes on with it gives positions that the journal may
//! have given after the backup was made: with an id of their own they are other origins. What is in
//! the backup keeps its id, and so its event ids.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::backup;
use super::beside::give_to_owner_of_folder;
use super::error::failed;
use super::file::{self, Kind};
use super::lock::{Left, Lock, Mark};
use super::{Error, disk, earlier_ids};
use crate::model::Position;
use crate::sqlite_file::{Header, beside};

/// A journal that was made of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// The newest position of the backup.
    pub head: Position,
    /// The id of what comes next.
    pub now: Uuid,
}

/// Makes the journal at `path` of the backup `from`, which stays. Durable on return.
///
/// # Errors
/// [`Error::InUse`] where a process writes the journal, [`Error::InTheWay`] where one is there,
/// [`Error::NoBackup`] where `from` is none, and [`Error::BackupDamaged`]; the others as they say.
pub async fn restore(path: &Path, from: &Path) -> Result<Restored, Error> {
    let unwritten = |source| Error::NotWritten {
        path: path.to_owned(),
        source,
    };
    nothing_is_there(path)?;
    file::create_folder(path).map_err(unwritten)?;
    let part = backup::begin(path)?;
    // SQLite would read as ours what a killed restore has left there.
    remove_beside(part.path());
    let copied = copy(from, part.path()).await;
    copied.map_err(|source| Error::NoBackup {
        path: from.to_owned(),
        source: Some(source),
    })?;
    let begun = begin(part.path(), from).await;
    remove_beside(part.path());
    let restored = begun?;
    give_to_owner_of_folder(part.file(), part.path()).map_err(unwritten)?;
    part.take(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::InTheWay {
            path: path.to_owned(),
        },
        _ => unwritten(error),
    })?;
    // What the last journal left here would have it look like another's place.
    let (mut lock, _) = Lock::take(path)?;
    lock.mark(Mark {
        journal: restored.now,
        head: restored.head,
        left: Left::Closed,
    })?;
    Ok(restored)
}

/// Refuses a place that has a journal, or a part of one.
fn nothing_is_there(path: &Path) -> Result<(), Error> {
    let is_there = |path: &Path| path.try_exists().unwrap_or(true);
    let is_locked = |path: &Path| {
        File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    };
    // To move the files of a running daemon away would end it.
    if is_there(path) && (is_locked(&beside(path, "-lock")) || is_locked(path)) {
        return Err(Error::InUse {
            path: path.to_owned(),
        });
    }
    // SQLite would read another journal's WAL as ours.
    let there = [path.to_owned(), beside(path, "-wal")];
    match there.into_iter().find(|path| is_there(path)) {
        Some(path) => Err(Error::InTheWay { path }),
        None => Ok(()),
    }
}

/// What an SQLite file lacks at its end. SQLite reads the rest of a page that is cut off as zeros.
fn cut_off(file: &Path) -> io::Result<Option<String>> {
    let file = File::open(file)?;
    let bytes = file.metadata()?.len();
    let header = Header::read(&file)?.filter(|header| header.is_certain);
    let expected = header.map(|header| header.bytes);
    let lacks = expected.filter(|expected| bytes < *expected);
    Ok(lacks.map(|expected| format!("it has {bytes} of {expected} bytes")))
}

async fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = tokio::fs::File::open(from).await?;
    let mut to = tokio::fs::OpenOptions::new().write(true).open(to).await?;
    tokio::io::copy(&mut from, &mut to).await?;
    to.sync_all().await
}

/// Gives the copy of a backup its new id, once it is known to be whole.
async fn begin(copy: &Path, from: &Path) -> Result<Restored, Error> {
    let none = || Error::NoBackup {
        path: from.to_owned(),
        source: None,
    };
    let damaged = |found| Error::BackupDamaged {
        path: from.to_owned(),
        found,
    };
    let lacks = cut_off(copy).map_err(|source| Error::NoBackup {
        path: from.to_owned(),
        source: Some(source),
    })?;
    if let Some(lacks) = lacks {
        return Err(damaged(lacks));
    }
    let mut connection = match file::open_to_write(copy).await {
        Err(error) if error.is_no_database() => return Err(none()),
        Err(error) if error.is_corrupt() => return Err(damaged(error.to_string())),
        opened => opened?,
    };
    match renewed(&mut connection, from).await {
        Ok(Some(restored)) => file::close(connection).await.map(|()| restored),
        refused => {
            // SQLite removes its own files then.
            let _ = connection.close().await;
            match refused {
                Ok(_) => Err(none()),
                Err(Error::Damaged { found, .. }) => Err(damaged(found)),
                Err(error) if error.is_corrupt() => Err(damaged(error.to_string())),
                Err(error) => Err(error),
            }
        }
    }
}

/// `None`: it is no backup.
async fn renewed(
    connection: &mut SqliteConnection,
    from: &Path,
) -> Result<Option<Restored>, Error> {
    match file::kind(connection, from).await {
        Ok(Kind::Backup) => {}
        Ok(Kind::Journal) | Err(Error::Foreign { .. }) => return Ok(None),
        Err(error) => return Err(error),
    }
    file::quick_check(connection, from).await?;
    file::migrate(connection, from).await?;
    renew(connection).await.map(Some)
}

async fn renew(connection: &mut SqliteConnection) -> Result<Restored, Error> {
    const RENEWING: &str = "write its new id";
    let now = Uuid::new_v4();
    let mut transaction = connection.begin().await.map_err(failed(RENEWING))?;
    let head = disk::head(&mut transaction).await?;
    earlier_ids::keep(&mut transaction, head).await?;
    file::write_id(&mut transaction, now).await?;
    file::claim_backup(&mut transaction).await?;
    transaction.commit().await.map_err(failed(RENEWING))?;
    Ok(Restored { head, now })
}

/// What SQLite makes beside a copy that nobody has open.
fn remove_beside(copy: &Path) {
    for suffix in ["-wal", "-shm", "-journal"] {
        let _ = std::fs::remove_file(beside(copy, suffix));
    }
}
