//! What a file is: a journal, a backup of one, or something else.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sqlx::sqlite::SqliteConnection;

use crate::journal::Error;
use crate::journal::error::failed;

/// `PRAGMA application_id` of a journal: "StBj". It keeps the daemon from opening another SQLite
/// file as a journal, such as a history.
const APPLICATION_ID: i64 = 0x5374_426a;

/// `PRAGMA application_id` of a backup: "StBk". It keeps the daemon from opening one as its journal: it
/// would give positions that the journal has given since.
const BACKUP_ID: i64 = 0x5374_426b;

/// `PRAGMA user_version`: the number of the layout. 0.1 had none; a new number is a file that an
/// older version refuses.
const LAYOUT: i64 = 3;

/// What a file of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A journal, which a daemon may write.
    Journal,
    /// A copy of one, which no daemon writes.
    Backup,
}

impl Kind {
    /// What a file of this `application_id` is, of whichever version; `None`: nothing of ours.
    pub fn of_application_id(id: u32) -> Option<Kind> {
        match i64::from(id) {
            APPLICATION_ID => Some(Kind::Journal),
            BACKUP_ID => Some(Kind::Backup),
            _ => None,
        }
    }
}

/// What a file of ours is. Refuses one that is something else, or of another layout.
pub(in crate::journal) async fn kind(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<Kind, Error> {
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

/// The statements that say what a file is.
pub(in crate::journal) fn mark(kind: Kind, layout: i64) -> String {
    let id = match kind {
        Kind::Journal => APPLICATION_ID,
        Kind::Backup => BACKUP_ID,
    };
    format!("PRAGMA application_id = {id}; PRAGMA user_version = {layout}")
}

/// Marks an empty file as a journal, and refuses one that is something else or of another layout.
pub(super) async fn claim(connection: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
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

/// Makes a journal of a backup, by its mark alone.
pub(in crate::journal) async fn claim_backup(
    connection: &mut SqliteConnection,
) -> Result<(), Error> {
    let mark = mark(Kind::Journal, LAYOUT);
    let marked = sqlx::raw_sql(sqlx::AssertSqlSafe(mark))
        .execute(connection)
        .await;
    marked.map(drop).map_err(failed("mark its file"))
}

/// Whether a file's first page says that it is a backup. What may stand in a WAL does not count.
pub(super) fn is_marked_as_backup(file: &File) -> bool {
    /// <https://www.sqlite.org/fileformat.html>, section 1.3.
    const APPLICATION_ID_AT: u64 = 68;
    let mut id = [0; 4];
    let read = file.read_exact_at(&mut id, APPLICATION_ID_AT);
    read.is_ok() && i64::from(u32::from_be_bytes(id)) == BACKUP_ID
}
