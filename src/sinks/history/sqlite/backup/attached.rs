//! A connection to a history that has the copy attached.

use std::path::Path;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::super::connect::{Sharing, copying};

/// See the module.
pub(super) struct Attached(SqliteConnection);

impl Attached {
    /// Nothing is attached yet.
    pub(super) async fn open(history: &Path) -> Result<Attached, sqlx::Error> {
        // A reader has opened it: without a -shm there is no -wal either.
        let sharing = Sharing::of(history).unwrap_or(Sharing::WithWriter);
        copying(history, sharing).connect().await.map(Attached)
    }

    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        self.0.close().await
    }

    /// The copy in one statement, with nothing attached.
    pub(super) async fn vacuum_into(&mut self, to: &str) -> Result<(), sqlx::Error> {
        sqlx::query("VACUUM INTO ?")
            .bind(to.to_owned())
            .execute(&mut self.0)
            .await
            .map(drop)
    }

    pub(super) async fn run(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .execute(&mut self.0)
            .await?;
        Ok(done.rows_affected())
    }

    pub(super) async fn texts(&mut self, sql: &str) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_all(&mut self.0)
            .await
    }

    pub(super) async fn number(&mut self, sql: &str) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_one(&mut self.0)
            .await
    }

    /// A copy that is not finished is of no use: nothing of it is synced before the end.
    pub(super) async fn attach(&mut self, to: &str) -> Result<(), sqlx::Error> {
        sqlx::query("ATTACH ? AS copy")
            .bind(to.to_owned())
            .execute(&mut self.0)
            .await?;
        for pragma in ["page_size", "auto_vacuum", "application_id", "user_version"] {
            let value = self.number(&format!("PRAGMA main.{pragma}")).await?;
            self.run(&format!("PRAGMA copy.{pragma} = {value}")).await?;
        }
        for pragma in ["journal_mode = OFF", "synchronous = OFF"] {
            self.texts(&format!("PRAGMA copy.{pragma}")).await?;
        }
        Ok(())
    }

    /// Makes the views and triggers, word for word. A view that somebody has added may name `main`,
    /// which is the copy once it is opened. SQLite reads none of them before that, so triggers do
    /// not act either.
    pub(super) async fn make_views_and_triggers(&mut self) -> Result<(), sqlx::Error> {
        self.run("PRAGMA writable_schema = ON").await?;
        let made = self
            .run(
                "INSERT INTO copy.sqlite_schema (type, name, tbl_name, rootpage, sql) \
                 SELECT type, name, tbl_name, 0, sql FROM main.sqlite_schema \
                 WHERE type IN ('view', 'trigger') ORDER BY rowid",
            )
            .await;
        self.run("PRAGMA writable_schema = OFF").await?;
        made.map(drop)
    }

    /// Makes what the history has of a kind, tables without their rows. SQLite keeps the words that
    /// made it, without the name of its database.
    pub(super) async fn make(&mut self, kind: &str) -> Result<(), sqlx::Error> {
        let made = format!("CREATE {}", kind.to_uppercase());
        let sql = format!(
            "SELECT sql FROM main.sqlite_schema \
             WHERE upper(sql) LIKE '{made} %' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY rowid"
        );
        for sql in self.texts(&sql).await? {
            let name = sql[made.len()..].trim_start();
            self.run(&format!("{made} copy.{name}")).await?;
        }
        Ok(())
    }
}
