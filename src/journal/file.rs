//! The journal's file: its folder, its connections and its tables. Nothing here reads or writes
//! entries.

mod connect;
mod kind;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

pub(super) use connect::{
    BUSY_TIMEOUT, PAGE_BYTES, close, open_to_checkpoint, open_to_read, open_to_write, unread,
};
pub use kind::Kind;
use kind::{claim, is_marked_as_backup};
pub(super) use kind::{claim_backup, kind, mark};

use super::beside::sync_wal;
use super::error::failed;
use super::lock::{Lock, Mark};
use super::{Error, Settings};

/// The first release with the fix of the WAL-reset corruption (3.7.0 to 3.51.2 have the bug).
const SQLITE_VERSION_MIN: &str = "3.51.3";

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/journal");

/// How often the WAL is copied before a check of the file itself, while another copies it or writes
/// to it.
const COPIES_MAX: u32 = 100;
const COPY_INTERVAL: Duration = Duration::from_millis(20);

/// Links in a row, as Linux follows them (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// A journal that this process has for itself.
#[derive(Debug)]
pub(super) struct Opened {
    /// The file's real path, whatever links led there.
    pub(super) path: PathBuf,
    /// The one that writes.
    pub(super) connection: SqliteConnection,
    pub(super) lock: Lock,
    /// The mark that the last process left, if there was one.
    pub(super) mark: Option<Mark>,
    pub(super) uuid: Uuid,
}

/// Creates the folder and the file if they are missing, takes the lock, opens the one write
/// connection and creates the tables.
pub(super) async fn open(settings: &Settings) -> Result<Opened, Error> {
    let source = |source| Error::Open {
        path: settings.path.clone(),
        source,
    };
    create(&settings.path).map_err(source)?;
    // SQLite's files and ours lie beside the file itself: two links to it are one journal.
    let path = &settings.path.canonicalize().map_err(source)?;
    let (lock, mark) = Lock::take(path)?;
    // To open it is to change it.
    if is_marked_as_backup(&lock.journal()) {
        return Err(Error::Backup { path: path.clone() });
    }
    let mut connection = match open_to_write(path).await {
        Err(error) if error.is_no_database() => Err(match mark {
            Some(_) => Error::BeginningDamaged { path: path.clone() },
            None => Error::Foreign { path: path.clone() },
        }),
        opened => opened,
    }?;
    assert_version(&mut connection).await?;
    claim(&mut connection, path).await?;
    migrate(&mut connection, path).await?;
    let uuid = identify(&mut connection).await?;
    settle(&mut connection, path).await?;
    Ok(Opened {
        path: path.clone(),
        connection,
        lock,
        mark,
        uuid,
    })
}

/// Where the file at `path` really is, which may be a link to it. A file that is not there is where
/// its path says.
pub fn real_path(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Syncs the entries that a killed process left. They can be read, but a power cut may still take
/// them, so no reader may see them before. Then they are copied to the file: where another process
/// reads it, or the disk has no room, they stay in the WAL.
async fn settle(connection: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    sync_wal(path)?;
    let settled = sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)")
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed("sync what the last process has written"));
    match settled {
        Err(error) if error.is_out_of_space() => Ok(()),
        settled => settled,
    }
}

/// Looks for damage: SQLite reads every page, which takes about a second for each GiB.
pub(super) async fn check(path: PathBuf) -> Result<(), Error> {
    let mut connection = open_to_read(&path).await?;
    quick_check(&mut connection, &path).await
}

/// The same for the file itself: all that the WAL has is copied to it before. Fails where that does
/// not end, since others go on writing.
pub(super) async fn check_without_wal(path: PathBuf) -> Result<(), Error> {
    let mut connection = open_to_checkpoint(&path).await?;
    for _ in 0..COPIES_MAX {
        let row = sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)")
            .fetch_one(&mut connection)
            .await;
        let counted = row.and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)));
        let (busy, logged, copied): (i64, i64, i64) =
            counted.map_err(failed("copy its -wal file to the file itself"))?;
        if busy == 0 && logged == copied && logged >= 0 {
            return quick_check(&mut connection, &path).await;
        }
        tokio::time::sleep(COPY_INTERVAL).await;
    }
    let found = "its -wal file cannot be copied to it".to_owned();
    Err(Error::Damaged { path, found })
}

/// Whether SQLite finds the file whole.
pub(super) async fn quick_check(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<(), Error> {
    let checked = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(connection)
        .await;
    let found: String = checked.map_err(failed("check its file"))?;
    match found.as_str() {
        "ok" => Ok(()),
        _ => Err(Error::Damaged {
            path: path.to_owned(),
            found,
        }),
    }
}

/// Makes the tables that are missing.
pub(super) async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    let made = MIGRATIONS.run(connection).await;
    made.map_err(|source| migration_failed(path, source))
}

/// The folder of the journal (0700): what the journal holds is nobody else's business.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The folder and an empty file (0600). SQLite gives the WAL the same mode.
fn create(path: &Path) -> io::Result<()> {
    let target = end_of_links(path);
    create_folder(&target)?;
    let folder = target.parent().unwrap_or(Path::new("/"));
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&target)
    {
        // A file whose name is not on disk yet could vanish with all that was acknowledged.
        Ok(_) => File::open(folder)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Where links lead that begin at `path`, whether anything is there or not.
fn end_of_links(path: &Path) -> PathBuf {
    let mut end = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(next) = std::fs::read_link(&end) else {
            break;
        };
        end = match end.parent() {
            Some(folder) => folder.join(next),
            None => next,
        };
    }
    end
}

async fn assert_version(connection: &mut SqliteConnection) -> Result<(), Error> {
    let row = sqlx::query("SELECT sqlite_version()")
        .fetch_one(connection)
        .await;
    let found: String = row
        .and_then(|row| row.try_get(0))
        .map_err(failed("ask for SQLite's version"))?;
    if parts(&found) < parts(SQLITE_VERSION_MIN) {
        return Err(Error::SqliteTooOld {
            found,
            wanted: SQLITE_VERSION_MIN,
        });
    }
    Ok(())
}

fn parts(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map(|part| part.parse().unwrap_or(0))
        .collect()
}

/// The tables of another version have other migrations.
fn migration_failed(path: &Path, source: MigrateError) -> Error {
    let path = path.to_owned();
    let newest = MIGRATIONS.iter().map(|known| known.version).max();
    match source {
        MigrateError::VersionMissing(version) if Some(version) > newest => Error::Newer { path },
        MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) => {
            let of = "another stomp-bridge";
            Error::OtherLayout { path, of }
        }
        source => Error::Migrate { path, source },
    }
}

/// The journal's own id, made with its tables.
async fn identify(connection: &mut SqliteConnection) -> Result<Uuid, Error> {
    const MAKE: &str = "INSERT INTO journal (uuid, created_at) SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM journal)";
    sqlx::query(MAKE)
        .bind(Uuid::new_v4().simple().to_string())
        .bind(Timestamp::now().as_microsecond())
        .execute(&mut *connection)
        .await
        .map_err(failed("write its id"))?;
    read_id(connection).await
}

/// The id that the file has.
pub(super) async fn read_id(connection: &mut SqliteConnection) -> Result<Uuid, Error> {
    let text: String = sqlx::query_scalar("SELECT uuid FROM journal")
        .fetch_one(connection)
        .await
        .map_err(failed("read its id"))?;
    Uuid::parse_str(&text).map_err(|error| failed("read its id")(sqlx::Error::Decode(error.into())))
}

/// Gives the file another id.
pub(super) async fn write_id(connection: &mut SqliteConnection, id: Uuid) -> Result<(), Error> {
    let written = sqlx::query("UPDATE journal SET uuid = ?").bind(id.simple().to_string());
    let written = written.execute(connection).await;
    written.map(drop).map_err(failed("write its id"))
}
