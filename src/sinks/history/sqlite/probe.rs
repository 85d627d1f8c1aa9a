//! Whether a history's file can be used, without changing it.

use std::path::Path;

use rustix::fs::{Access, access};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::super::migration::{MIGRATIONS_TABLE, assert_ours};
use super::MIGRATIONS;

/// Whether a table of a database is there.
const HAS_TABLE: &str =
    "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?)";

/// What was found, in words for a person.
///
/// # Errors
/// The file, or the folder where it is to be, cannot be used.
pub(super) async fn probe(path: &Path) -> Result<String, sqlx::Error> {
    if !path.try_exists().map_err(sqlx::Error::Io)? {
        let mut folders = path.ancestors().skip(1);
        let folder = folders.find(|folder| folder.exists());
        let folder = folder.unwrap_or(Path::new("/"));
        let may = access(folder, Access::WRITE_OK | Access::EXEC_OK);
        may.map_err(|error| sqlx::Error::Io(error.into()))?;
        return Ok("there is no file yet, and the daemon can make one".to_owned());
    }
    let may = access(path, Access::WRITE_OK);
    may.map_err(|error| sqlx::Error::Io(error.into()))?;
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .disable_statement_logging()
        .connect()
        .await?;
    let found = found(&mut connection).await;
    connection.close().await?;
    found
}

async fn found(connection: &mut SqliteConnection) -> Result<String, sqlx::Error> {
    if !has_tables(connection).await? {
        return Ok("the file has no tables of a history yet".to_owned());
    }
    sqlx::query("SELECT count(*) FROM bridge_cursor")
        .execute(connection)
        .await?;
    Ok("the file is a history of this version".to_owned())
}

/// Whether there are tables of a history.
///
/// # Errors
/// They are another version's.
pub(super) async fn has_tables(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let has_tables: bool = sqlx::query_scalar(HAS_TABLE)
        .bind(MIGRATIONS_TABLE)
        .fetch_one(&mut *connection)
        .await?;
    if !has_tables {
        return Ok(false);
    }
    let sql = format!("SELECT version, checksum FROM {MIGRATIONS_TABLE}");
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(sql))
        .fetch_all(connection)
        .await?;
    assert_ours(&rows.into_iter().collect(), &MIGRATIONS)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_probe_makes_nothing_and_knows_another_layout() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("below/history.db");
        let said = probe(&path).await.expect("a folder to write to");
        assert!(said.contains("no file yet") && !path.exists(), "{said}");

        let path = folder.path().join("history.db");
        std::fs::write(&path, "").expect("a file");
        let said = probe(&path).await.expect("an empty database");
        assert!(said.contains("no tables"), "{said}");

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
        let said = probe(&path).await.expect("ours");
        assert!(said.contains("this version"), "{said}");
        let sql = "INSERT INTO bridge_migration VALUES (1, x'00')";
        sqlx::raw_sql(sql)
            .execute(&mut connection)
            .await
            .expect("a row");
        let error = probe(&path).await.expect_err("another layout");
        assert!(matches!(error, sqlx::Error::Migrate(_)), "{error}");
    }
}
