//! How statements of both databases run in SQLite, and what it does in ways of its own.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::json;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe, Sqlite};

use super::insert::{insert, text_time};
use super::look_up;
use crate::sinks::history::device::Device;
use crate::sinks::history::dialect::Dialect;
use crate::sinks::history::recorder::{Found, Wanted};
use crate::sinks::history::retention::PIECE_ROWS;
use crate::sinks::history::statements::{Answer, Bind, Statements};
use crate::sinks::history::tables::{self, EventRow, Table};
use crate::sinks::history::times::{Months, storable};

impl Statements for SqliteConnection {
    const DIALECT: Dialect = Dialect::Sqlite;

    async fn run(&mut self, sql: &str, binds: Vec<Bind>) -> Result<u64, sqlx::Error> {
        let done = query(sql.to_owned(), binds)?.execute(self).await?;
        Ok(done.rows_affected())
    }

    async fn rows<Row: Answer>(
        &mut self,
        sql: &str,
        binds: Vec<Bind>,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let rows = query(sql.to_owned(), binds)?.fetch_all(self).await?;
        rows.iter().map(Row::from_row).collect()
    }

    async fn insert<Row: Sync>(
        &mut self,
        table: &Table<Row>,
        rows: &[Row],
    ) -> Result<(), sqlx::Error> {
        insert(self, table, rows).await
    }

    async fn add<Row: Sync>(
        &mut self,
        table: &Table<Row>,
        rows: &[Row],
    ) -> Result<(), sqlx::Error> {
        insert(self, table, rows).await
    }

    async fn add_events(&mut self, events: &[EventRow]) -> Result<(), sqlx::Error> {
        insert(self, &tables::EVENT, events).await
    }

    async fn update_devices(&mut self, devices: &[Device]) -> Result<(), sqlx::Error> {
        insert(self, &tables::DEVICE, devices).await
    }

    async fn found(&mut self, wanted: Wanted) -> Result<Found, sqlx::Error> {
        look_up::found(self, wanted).await
    }

    /// Payloads and profiles of months whose events are gone.
    async fn delete_months(&mut self, statuses: Option<Timestamp>) -> Result<u64, sqlx::Error> {
        let oldest: Option<String> = sqlx::query_scalar("SELECT min(received_at) FROM event")
            .fetch_one(&mut *self)
            .await?;
        let oldest = oldest.and_then(|text| text.parse().ok());
        // A person may have deleted events that the retention keeps.
        let Some(first) = oldest.or(statuses) else {
            return Ok(0);
        };
        let mut deleted = 0;
        for sql in [
            "DELETE FROM payload WHERE payload_key IN ( \
                 SELECT payload_key FROM payload WHERE month < $1 LIMIT $2)",
            "DELETE FROM profile WHERE profile_key IN ( \
                 SELECT profile_key FROM profile AS p WHERE month < $1 AND NOT EXISTS ( \
                     SELECT 1 FROM device_row AS d WHERE d.profile_key = p.profile_key) LIMIT $2)",
        ] {
            let month = Months::default().month(first);
            deleted += self.run(sql, vec![month.into(), PIECE_ROWS.into()]).await?;
        }
        Ok(deleted)
    }

    async fn own_payloads(&mut self, device: i64) -> Result<Vec<i64>, sqlx::Error> {
        const OWN: &str = "SELECT DISTINCT payload_key FROM event \
             WHERE device_key = $1 AND payload_key IS NOT NULL";
        const OTHERS: &str = "SELECT DISTINCT payload_key FROM event WHERE device_key <> $1 \
             AND payload_key IN (SELECT value FROM json_each($2))";
        let own: Vec<(i64,)> = self.rows(OWN, vec![device.into()]).await?;
        let own: Vec<i64> = own.into_iter().map(|(key,)| key).collect();
        let binds = vec![device.into(), Bind::Integers(own.clone())];
        let others: Vec<(i64,)> = self.rows(OTHERS, binds).await?;
        let others: HashSet<i64> = others.into_iter().map(|(key,)| key).collect();
        let alone = own.into_iter().filter(|key| !others.contains(key));
        Ok(alone.collect())
    }

    async fn delete_events(&mut self, device: i64, limit: u32) -> Result<u64, sqlx::Error> {
        let events = "DELETE FROM event WHERE sequence IN \
             (SELECT sequence FROM event WHERE device_key = $1 LIMIT $2)";
        self.run(events, vec![device.into(), limit.into()]).await
    }
}

/// A statement with its parameters.
pub(super) fn query(
    sql: String,
    binds: Vec<Bind>,
) -> Result<Query<'static, Sqlite, SqliteArguments>, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for bind in binds {
        let added = match bind {
            Bind::Text(text) => arguments.add(text),
            Bind::Integer(integer) => arguments.add(integer),
            Bind::Flag(flag) => arguments.add(flag),
            Bind::Time(time) => arguments.add(storable(time).map(text_time)),
            Bind::Texts(texts) => arguments.add(json!(texts).to_string()),
            Bind::Integers(integers) => arguments.add(json!(integers).to_string()),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(sqlx::query_with(AssertSqlSafe(sql), arguments))
}
