//! How large the `-wal` of a SQLite history is. SQLite begins it again once all of it is copied and
//! nobody reads it: another program whose transaction does not end makes it grow without end.

use std::path::Path;

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;
use tracing::{info, warn};

use crate::sqlite_file::beside;

const HELD: &str = "history's -wal grows while another program has a transaction open: end that one \
     (`fuser` names who has the file open), and the space is given back";

/// From this size on, it is copied behind each piece of the upkeep.
const COPIED_BYTES: u64 = 4 * 1024 * 1024;

/// Watches one file's WAL.
#[derive(Debug)]
pub(super) struct Wal {
    /// From this size on it is larger than commits make it by themselves.
    grown_bytes: u64,
    /// It is looked at more closely from this size on.
    next_bytes: u64,
    /// Another program holds it, which was told of.
    held: bool,
}

impl Wal {
    /// A WAL that SQLite itself keeps below `grown_bytes` where nobody else reads it.
    pub(super) fn new(grown_bytes: u64) -> Wal {
        Wal {
            grown_bytes,
            next_bytes: grown_bytes,
            held: false,
        }
    }

    /// What makes it grow, where that lasts.
    pub(super) fn warning(&self) -> Option<&'static str> {
        self.held.then_some(HELD)
    }

    /// After a commit: names what makes it grow, once. SQLite itself begins it again.
    pub(super) async fn committed(
        &mut self,
        connection: &mut SqliteConnection,
        sink: &str,
        path: &Path,
    ) {
        let bytes = bytes(path);
        if bytes < self.grown_bytes {
            self.next_bytes = self.grown_bytes;
            self.given_back(sink, path);
        } else if bytes >= self.next_bytes {
            self.next_bytes = bytes.saturating_mul(2);
            self.cut(connection, sink, path, bytes).await;
        }
    }

    /// After a piece of the upkeep: copies what it has changed, unless the WAL was never large: its
    /// file stays as long as it was. A failure is the next checkpoint's, too: all is safe in it.
    pub(super) async fn tended(&self, connection: &mut SqliteConnection, path: &Path) {
        if bytes(path) >= COPIED_BYTES {
            let _ = copy(connection).await;
        }
    }

    /// While nothing is committed, SQLite does not begin it again: gives back what is no longer
    /// needed.
    pub(super) async fn idle(
        &mut self,
        connection: &mut SqliteConnection,
        sink: &str,
        path: &Path,
    ) {
        let bytes = bytes(path);
        if bytes >= self.grown_bytes {
            self.cut(connection, sink, path, bytes).await;
        }
    }

    /// A failure waits for the next time: every row is safe in it.
    async fn cut(
        &mut self,
        connection: &mut SqliteConnection,
        sink: &str,
        path: &Path,
        bytes: u64,
    ) {
        let (file, mebibytes) = (path.display(), bytes >> 20);
        match truncate(connection).await {
            Ok(true) => {
                self.next_bytes = self.grown_bytes;
                self.given_back(sink, path);
            }
            Ok(false) if !self.held => {
                self.held = true;
                warn!(sink, %file, mebibytes, "{HELD}");
            }
            Ok(false) => {}
            Err(error) => warn!(sink, %file, mebibytes, %error, "history's -wal not cut back"),
        }
    }

    fn given_back(&mut self, sink: &str, path: &Path) {
        if std::mem::take(&mut self.held) {
            info!(sink, file = %path.display(), "history's -wal cut back: nobody else holds it");
        }
    }
}

fn bytes(path: &Path) -> u64 {
    std::fs::metadata(beside(path, "-wal")).map_or(0, |wal| wal.len())
}

/// Copies to the file itself what no reader needs in the WAL.
pub(super) async fn copy(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let copied = sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)");
    copied.execute(connection).await.map(drop)
}

/// Has the WAL be empty, unless somebody needs it: that one is not waited for.
async fn truncate(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let wait = |milliseconds: i64| AssertSqlSafe(format!("PRAGMA busy_timeout = {milliseconds}"));
    let patience: i64 = sqlx::query_scalar("PRAGMA busy_timeout")
        .fetch_one(&mut *connection)
        .await?;
    sqlx::raw_sql(wait(0)).execute(&mut *connection).await?;
    let truncated = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(&mut *connection)
        .await;
    sqlx::raw_sql(wait(patience)).execute(connection).await?;
    let (busy, _, _): (i64, i64, i64) = truncated?;
    Ok(busy == 0)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
    use sqlx::{ConnectOptions, Connection};

    use super::*;

    const GROWN: u64 = 256 * 1024;

    async fn open(path: &Path) -> SqliteConnection {
        SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .pragma("wal_autocheckpoint", "8")
            .pragma("journal_size_limit", "32768")
            .connect()
            .await
            .unwrap()
    }

    async fn run(connection: &mut SqliteConnection, sql: &'static str) {
        sqlx::raw_sql(sql).execute(connection).await.unwrap();
    }

    /// One commit of more than 8 pages.
    async fn commit(connection: &mut SqliteConnection) {
        run(connection, "INSERT INTO t VALUES (randomblob(65536))").await;
    }

    async fn history() -> (tempfile::TempDir, PathBuf, SqliteConnection) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.db");
        let mut writer = open(&path).await;
        run(&mut writer, "CREATE TABLE t (b BLOB)").await;
        (folder, path, writer)
    }

    #[tokio::test]
    async fn a_long_reader_is_named_once_and_its_space_given_back() {
        let (_folder, path, mut writer) = history().await;
        let mut wal = Wal::new(GROWN);
        for _ in 0..20 {
            commit(&mut writer).await;
            wal.committed(&mut writer, "history", &path).await;
        }
        assert!(!wal.held && bytes(&path) < GROWN, "nobody else reads");

        let mut reader = open(&path).await;
        run(&mut reader, "BEGIN; SELECT count(*) FROM t").await;
        let mut named = 0;
        for _ in 0..20 {
            let was_held = wal.held;
            commit(&mut writer).await;
            wal.committed(&mut writer, "history", &path).await;
            named += u32::from(wal.held && !was_held);
        }
        assert_eq!(named, 1);
        wal.idle(&mut writer, "history", &path).await;
        assert!(wal.held && bytes(&path) > GROWN);

        run(&mut reader, "ROLLBACK").await;
        wal.idle(&mut writer, "history", &path).await;
        assert!(!wal.held);
        assert_eq!(bytes(&path), 0);
        let patience: i64 = sqlx::query_scalar("PRAGMA busy_timeout")
            .fetch_one(&mut writer)
            .await
            .unwrap();
        assert!(patience > 0, "another writer is waited for as before");
        reader.close().await.unwrap();
    }

    #[tokio::test]
    async fn the_space_is_given_back_while_rows_come_too() {
        let (_folder, path, mut writer) = history().await;
        let mut wal = Wal::new(GROWN);
        let mut reader = open(&path).await;
        run(&mut reader, "BEGIN; SELECT count(*) FROM t").await;
        for _ in 0..10 {
            commit(&mut writer).await;
            wal.committed(&mut writer, "history", &path).await;
        }
        assert!(wal.held);
        reader.close().await.unwrap();
        // SQLite copies all of it at the first commit, and begins it again with the next.
        for _ in 0..3 {
            commit(&mut writer).await;
            wal.committed(&mut writer, "history", &path).await;
        }
        assert!(!wal.held && bytes(&path) < GROWN, "{}", bytes(&path));
    }
}
