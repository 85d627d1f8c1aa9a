//! Whether a history's file can be used, without changing it.

use std::fmt;
use std::path::Path;

use rustix::fs::{Access, access};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::super::migration::{Applied, MIGRATIONS_TABLE, assert_ours};
use super::MIGRATIONS;
use super::connect::reading;

/// Whether a table of a database is there.
const HAS_TABLE: &str =
    "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?)";

/// What was found at a history's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// No file.
    Nothing,
    /// A database without tables of ours.
    NoTables,
    /// Tables of an earlier version, which the daemon changes at its next start.
    Earlier,
    /// A history that rows can be stored in.
    History,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Found::Nothing => "there is no file yet, and the daemon can make one",
            Found::NoTables => "the file has no tables of a history yet",
            Found::Earlier => {
                "the file is a history of an earlier version, which the daemon updates"
            }
            Found::History => "the file is a history of this version",
        })
    }
}

/// What was found.
///
/// # Errors
/// The file, or the folder where it is to be, cannot be used.
pub(super) async fn probe(path: &Path) -> Result<Found, sqlx::Error> {
    if !path.try_exists().map_err(sqlx::Error::Io)? {
        let mut folders = path.ancestors().skip(1);
        let folder = folders.find(|folder| folder.exists());
        let folder = folder.unwrap_or(Path::new("/"));
        let may = access(folder, Access::WRITE_OK | Access::EXEC_OK);
        may.map_err(|error| sqlx::Error::Io(error.into()))?;
        return Ok(Found::Nothing);
    }
    let may = access(path, Access::WRITE_OK);
    may.map_err(|error| sqlx::Error::Io(error.into()))?;
    let mut connection = reading(path).connect().await?;
    let found = found(&mut connection).await;
    connection.close().await?;
    found
}

async fn found(connection: &mut SqliteConnection) -> Result<Found, sqlx::Error> {
    let Some(applied) = applied(connection).await? else {
        return Ok(Found::NoTables);
    };
    let are_all = applied.len() == MIGRATIONS.iter().count();
    sqlx::query("SELECT count(*) FROM bridge_cursor")
        .execute(connection)
        .await?;
    Ok(match are_all {
        true => Found::History,
        false => Found::Earlier,
    })
}

/// The migrations of the tables of a history; `None`: there are none.
///
/// # Errors
/// They are another version's.
pub(super) async fn applied(
    connection: &mut SqliteConnection,
) -> Result<Option<Applied>, sqlx::Error> {
    let has_tables: bool = sqlx::query_scalar(HAS_TABLE)
        .bind(MIGRATIONS_TABLE)
        .fetch_one(&mut *connection)
        .await?;
    if !has_tables {
        return Ok(None);
    }
    let sql = format!("SELECT version, checksum FROM {MIGRATIONS_TABLE}");
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(sql))
        .fetch_all(connection)
        .await?;
    let applied = rows.into_iter().collect();
    assert_ours(&applied, &MIGRATIONS)?;
    Ok(Some(applied))
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;

    #[tokio::test]
    async fn a_probe_makes_nothing_and_knows_another_layout() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("below/history.db");
        let found = probe(&path).await.expect("a folder to write to");
        assert_eq!((found, path.exists()), (Found::Nothing, false));

        let path = folder.path().join("history.db");
        std::fs::write(&path, "").expect("a file");
        let found = probe(&path).await.expect("an empty database");
        assert_eq!(found, Found::NoTables);

        let mut connection = SqliteConnectOptions::new()
            .filename(&path)
            .connect()
            .await
            .expect("a connection");
        let sql = "CREATE TABLE bridge_migration (version BIGINT, checksum BLOB); \
                   CREATE TABLE bridge_cursor (x)";
        sqlx::raw_sql(sql)
            .execute(&mut connection)
            .await
            .expect("tables");
        let found = probe(&path).await.expect("ours");
        assert_eq!(found, Found::Earlier);
        let sql = "INSERT INTO bridge_migration VALUES (1, x'00')";
        sqlx::raw_sql(sql)
            .execute(&mut connection)
            .await
            .expect("a row");
        let error = probe(&path).await.expect_err("another layout");
        assert!(matches!(error, sqlx::Error::Migrate(_)), "{error}");
    }
}
