//! Makes a journal of a backup. The daemon that goes on with it gives positions that the journal may
//! have given after the backup was made: with an id of their own they are other origins. What is in
//! the backup keeps its id, and so its event ids.

use std::io;
use std::path::Path;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::backup::Part;
use super::beside::beside;
use super::error::failed;
use super::file::{self, Kind};
use super::lock::{Left, Lock, Mark};
use super::{Error, disk, earlier_ids};
use crate::model::Position;

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
/// [`Error::InTheWay`] where a journal is there, [`Error::NoBackup`] where `from` is none, and
/// [`Error::Damaged`]; the others as they say.
pub async fn restore(path: &Path, from: &Path) -> Result<Restored, Error> {
    let unwritten = |source| Error::NotWritten {
        path: path.to_owned(),
        source,
    };
    // SQLite would read another journal's WAL as ours.
    let wal = beside(path, "-wal");
    if wal.try_exists().unwrap_or(false) {
        return Err(Error::InTheWay { path: wal });
    }
    file::create_folder(path).map_err(unwritten)?;
    let part = Part::new(path)?;
    let copied = copy(from, &part.path).await;
    copied.map_err(|source| Error::NoBackup {
        path: from.to_owned(),
        source: Some(source),
    })?;
    let restored = begin(&part.path, from).await?;
    part.give_to_owner_of_folder().map_err(unwritten)?;
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
    let mut connection = match file::open_to_write(copy).await {
        Err(error) if error.is_no_database() => {
            remove_beside(copy);
            return Err(none());
        }
        opened => opened?,
    };
    let restored = match renewed(&mut connection, from).await {
        Ok(Some(restored)) => file::close(connection).await.map(|()| restored),
        refused => {
            // SQLite removes its own files then.
            let _ = connection.close().await;
            refused.and(Err(none()))
        }
    };
    remove_beside(copy);
    restored
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

/// A closed connection leaves nothing there but, on some file systems, empty files.
fn remove_beside(copy: &Path) {
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(beside(copy, suffix));
    }
}
