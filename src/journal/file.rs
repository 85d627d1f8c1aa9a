//! The journal's file: its folder, its connections and its tables. Nothing here reads or writes
//! entries.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};
use tracing::warn;
use uuid::Uuid;

use super::beside::sync_wal;
use super::error::failed;
use super::lock::{Lock, Mark};
use super::{Error, Settings};

/// The first release with the fix of the WAL-reset corruption (3.7.0 to 3.51.2 have the bug).
const SQLITE_VERSION_MIN: &str = "3.51.3";

/// `PRAGMA application_id` of a journal: "StBj". It keeps the daemon from opening another SQLite
/// file as a journal, such as a history.
const APPLICATION_ID: i64 = 0x5374_426a;

/// `PRAGMA application_id` of a backup: "StBk". It keeps the daemon from opening one as its journal: it
/// would give positions that the journal has given since.
const BACKUP_ID: i64 = 0x5374_426b;

/// `PRAGMA user_version`: the number of the layout. 0.1 had none; a new number is a file that an
/// older version refuses.
const LAYOUT: i64 = 3;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/journal");

/// A commit writes whole pages: a paced one brings some five messages, which are about 2 KiB.
pub(super) const PAGE_BYTES: u32 = 2048;

/// The writer works at the end of the table: it needs the pages of a commit, not the whole file.
const WRITER_CACHE_KIB: u32 = 4096;

/// A reader goes through the table once, front to back.
const READER_CACHE_KIB: u32 = 512;

/// Statements that stay prepared: 71 sizes of each of four INSERTs, and some more.
const STATEMENTS: usize = 330;

/// What the WAL is cut back to after it had to grow.
const WAL_KEPT_BYTES: u64 = 16 * 1024 * 1024;

/// How often the WAL is copied before a check of the file itself, while another copies it or writes
/// to it.
const COPIES_MAX: u32 = 100;
const COPY_INTERVAL: Duration = Duration::from_millis(20);

/// Links in a row, as Linux follows them (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Nobody else writes; only an external reader, such as the `sqlite3` shell, may be in the way for
/// a moment.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Binds and rows are logged by nobody, and a slow statement is a slow disk: SQLite's own error
/// says so.
fn quiet(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options.disable_statement_logging()
}

/// What a file of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A journal, which a daemon may write.
    Journal,
    /// A copy of one, which no daemon writes.
    Backup,
}

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

/// The one write connection.
pub(super) async fn open_to_write(path: &Path) -> Result<SqliteConnection, Error> {
    let options = quiet(SqliteConnectOptions::new())
        .filename(path)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        // The writer syncs the WAL itself.
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"))
        // `Checkpoint` does it, and SQLite would be silent about an error.
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", WAL_KEPT_BYTES.to_string())
        .pragma("temp_store", "MEMORY")
        .statement_cache_capacity(STATEMENTS)
        .thread_name(|_| "journal-writer".to_owned());
    options.connect().await.map_err(failed("open its file"))
}

/// The connection that copies the WAL to the file beside the writer.
pub(super) async fn open_to_checkpoint(path: &Path) -> Result<SqliteConnection, Error> {
    quiet(SqliteConnectOptions::new())
        .filename(path)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", format!("-{READER_CACHE_KIB}"))
        .thread_name(|_| "journal-copy".to_owned())
        .connect()
        .await
        .map_err(failed("open its file to copy the WAL"))
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

/// A connection that can only read, for one [`Reader`](super::Reader).
pub(super) async fn open_to_read(path: &Path) -> Result<SqliteConnection, Error> {
    quiet(SqliteConnectOptions::new())
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", format!("-{READER_CACHE_KIB}"))
        .thread_name(|_| "journal-reader".to_owned())
        .connect()
        .await
        .map_err(failed("open its file to read"))
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

/// Marks an empty file as a journal, and refuses one that is something else or of another layout.
async fn claim(connection: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    const EMPTY: &str = "SELECT (SELECT application_id FROM pragma_application_id) = 0 \
         AND NOT EXISTS (SELECT 1 FROM sqlite_schema)";
    let empty: bool = sqlx::query_scalar(EMPTY)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed("read its file"))?;
    if !empty {
        return match kind(connection, path).await? {
            Kind::Journal => Ok(()),
            Kind::Backup => Err(Error::Backup {
                path: path.to_owned(),
            }),
        };
    }
    let mark = format!("BEGIN; {}; COMMIT", mark(Kind::Journal, LAYOUT));
    let marked = sqlx::raw_sql(sqlx::AssertSqlSafe(mark))
        .execute(connection)
        .await;
    marked.map(drop).map_err(failed("mark its file"))
}

/// The statements that say what a file is.
pub(super) fn mark(kind: Kind, layout: i64) -> String {
    let id = match kind {
        Kind::Journal => APPLICATION_ID,
        Kind::Backup => BACKUP_ID,
    };
    format!("PRAGMA application_id = {id}; PRAGMA user_version = {layout}")
}

/// Whether a file's first page says that it is a backup. What may stand in a WAL does not count.
fn is_marked_as_backup(file: &File) -> bool {
    /// <https://www.sqlite.org/fileformat.html>, section 1.3.
    const APPLICATION_ID_AT: u64 = 68;
    let mut id = [0; 4];
    let read = file.read_exact_at(&mut id, APPLICATION_ID_AT);
    read.is_ok() && i64::from(u32::from_be_bytes(id)) == BACKUP_ID
}

/// Makes a journal of a backup, by its mark alone.
pub(super) async fn claim_backup(connection: &mut SqliteConnection) -> Result<(), Error> {
    let mark = mark(Kind::Journal, LAYOUT);
    let marked = sqlx::raw_sql(sqlx::AssertSqlSafe(mark))
        .execute(connection)
        .await;
    marked.map(drop).map_err(failed("mark its file"))
}

/// What a file of ours is. Refuses one that is something else, or of another layout.
pub(super) async fn kind(connection: &mut SqliteConnection, path: &Path) -> Result<Kind, Error> {
    const READ: &str = "SELECT application_id, user_version \
         FROM pragma_application_id, pragma_user_version";
    let (id, layout): (i64, i64) = sqlx::query_as(READ)
        .fetch_one(connection)
        .await
        .map_err(failed("read its file"))?;
    let path = path.to_owned();
    let of = match (id, layout) {
        (APPLICATION_ID, LAYOUT) => return Ok(Kind::Journal),
        (BACKUP_ID, LAYOUT) => return Ok(Kind::Backup),
        (APPLICATION_ID | BACKUP_ID, LAYOUT..) => return Err(Error::Newer { path }),
        (APPLICATION_ID, ..=0) => "stomp-bridge 0.1",
        (APPLICATION_ID | BACKUP_ID, _) => "an older stomp-bridge",
        _ => return Err(Error::Foreign { path }),
    };
    Err(Error::OtherLayout { path, of })
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

/// Closes the connection after everything in the WAL has gone to the database itself.
pub(super) async fn close(mut connection: SqliteConnection) -> Result<(), Error> {
    let done = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_all(&mut connection)
        .await;
    match done.map(drop).map_err(failed("checkpoint before closing")) {
        // Committed entries are as safe in the WAL as in the database.
        Err(error) if error.is_out_of_space() => {
            warn!("journal closed with its -wal file: the disk is full; free some space")
        }
        done => done?,
    }
    connection.close().await.map_err(failed("close its file"))
}
