//! How statements of both databases run in Postgres, and what it does in ways of its own.

use jiff::Timestamp;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::{Arguments, AssertSqlSafe};

use super::insert::{insert, text_time, update};
use super::look_up;
use super::session::{Statement, query, query_with};
use crate::sinks::history::copy::copy;
use crate::sinks::history::device::Device;
use crate::sinks::history::dialect::Dialect;
use crate::sinks::history::recorder::{Found, Wanted};
use crate::sinks::history::retention::PIECE_ROWS;
use crate::sinks::history::statements::{Answer, Bind, Statements};
use crate::sinks::history::tables::{self, EventRow, Table, own_id};
use crate::sinks::history::times::storable;

/// Fewer rows go by INSERT, one message to the server: COPY takes several. sqlx 0.9.0 does not
/// set TCP_NODELAY. So our kernel holds the last, short one until the server's has acknowledged the
/// one before, up to 40 ms later.
const COPY_ROWS_MIN: usize = 500;

/// How the many rows of a batch come into tables that only get new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// COPY for many rows: the server needs half as much processor time. It parses no times, takes
    /// no arrays apart and fills a page at once.
    Copy,
    /// INSERT: a table with row-level security takes no COPY.
    Insert,
}

/// A transaction that is begun, and how many rows come into its tables.
pub(in crate::sinks::history) struct Writing<'c> {
    pub(super) connection: &'c mut PgConnection,
    pub(super) way: Way,
}

impl Writing<'_> {
    /// One of few rows.
    pub(super) fn few(connection: &mut PgConnection) -> Writing<'_> {
        Writing {
            connection,
            way: Way::Insert,
        }
    }
}

impl Statements for Writing<'_> {
    const DIALECT: Dialect = Dialect::Postgres;

    async fn run(&mut self, sql: &str, binds: Vec<Bind>) -> Result<u64, sqlx::Error> {
        let done = bound(sql, binds)?.execute(&mut *self.connection).await?;
        Ok(done.rows_affected())
    }

    async fn rows<Row: Answer>(
        &mut self,
        sql: &str,
        binds: Vec<Bind>,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let rows = bound(sql, binds)?.fetch_all(&mut *self.connection).await?;
        rows.iter().map(Row::from_row).collect()
    }

    async fn insert<Row: Sync>(
        &mut self,
        table: &Table<Row>,
        rows: &[Row],
    ) -> Result<(), sqlx::Error> {
        insert(self.connection, table, rows).await
    }

    async fn add<Row: Sync>(
        &mut self,
        table: &Table<Row>,
        rows: &[Row],
    ) -> Result<(), sqlx::Error> {
        match self.way {
            Way::Copy if rows.len() >= COPY_ROWS_MIN => copy(self.connection, table, rows).await,
            _ => insert(self.connection, table, rows).await,
        }
    }

    async fn add_events(&mut self, events: &[EventRow]) -> Result<(), sqlx::Error> {
        self.add(&tables::EVENT, events).await?;
        let has_key = |row: &&EventRow| own_id(&row.status).is_some();
        let keys: Vec<EventRow> = events.iter().filter(has_key).cloned().collect();
        self.insert(&tables::EVENT_KEY, &keys).await
    }

    async fn update_devices(&mut self, devices: &[Device]) -> Result<(), sqlx::Error> {
        let (table, constant) = (&tables::DEVICE, &tables::DEVICE_CONSTANT);
        let updated = update(self.connection, table, constant, devices).await?;
        // A person may have deleted some.
        if updated < devices.len() as u64 {
            self.insert(table, devices).await?;
        }
        Ok(())
    }

    async fn found(&mut self, wanted: Wanted) -> Result<Found, sqlx::Error> {
        look_up::found(self.connection, wanted).await
    }

    /// Profiles of months whose events are gone; payloads go with their partition. Nobody knows which
    /// a DEFAULT partition has.
    async fn delete_months(&mut self, _: Option<Timestamp>) -> Result<u64, sqlx::Error> {
        let sql = "DELETE FROM profile WHERE profile_key IN ( \
                 SELECT profile_key FROM profile AS p WHERE month < ( \
                     SELECT CASE WHEN count(*) = count(since) THEN bridge_month(min(since)) END \
                     FROM bridge_partitions() WHERE parent = 'event') \
                 AND NOT EXISTS (SELECT 1 FROM device_row AS d WHERE d.profile_key = p.profile_key) \
                 LIMIT $1)";
        self.run(sql, vec![PIECE_ROWS.into()]).await
    }

    /// Devices share one within a month.
    async fn own_payloads(&mut self, device: i64) -> Result<Vec<i64>, sqlx::Error> {
        const MONTHS: &str = "SELECT DISTINCT to_char(date_trunc('month', received_at AT TIME ZONE 'UTC'), \
             'YYYY-MM-DD') FROM event WHERE device_key = $1 AND payload_key IS NOT NULL";
        let own = of_month("o");
        let other = of_month("e");
        let alone = format!(
            "SELECT DISTINCT o.payload_key FROM event AS o WHERE o.device_key = $1 AND {own} \
             AND o.payload_key IS NOT NULL AND NOT EXISTS (SELECT 1 FROM event AS e \
                 WHERE e.payload_key = o.payload_key AND e.device_key <> $1 AND {other})"
        );
        let months: Vec<(String,)> = self.rows(MONTHS, vec![device.into()]).await?;
        let mut payloads = Vec::new();
        for (month,) in months {
            let keys: Vec<(i64,)> = self
                .rows(&alone, vec![device.into(), Bind::Text(month)])
                .await?;
            payloads.extend(keys.into_iter().map(|(key,)| key));
        }
        Ok(payloads)
    }

    async fn delete_events(&mut self, device: i64, limit: u32) -> Result<u64, sqlx::Error> {
        let events = "WITH gone AS (DELETE FROM event WHERE device_key = $1 AND sequence IN \
                 (SELECT sequence FROM event WHERE device_key = $1 LIMIT $2) RETURNING event_id), \
             keys AS (DELETE FROM event_key_seen WHERE event_id IN (SELECT event_id FROM gone)) \
             SELECT count(*) FROM gone";
        let (deleted,): (i64,) = self.row(events, vec![device.into(), limit.into()]).await?;
        Ok(deleted.unsigned_abs())
    }
}

/// That a row is of the month that begins with the day `$2`, in UTC.
fn of_month(row: &str) -> String {
    format!(
        "{row}.received_at >= $2::timestamp AT TIME ZONE 'UTC' AND {row}.received_at < \
         ($2::timestamp + interval '1 month') AT TIME ZONE 'UTC'"
    )
}

fn bound(sql: &str, binds: Vec<Bind>) -> Result<Statement, sqlx::Error> {
    match binds.is_empty() {
        true => Ok(query(AssertSqlSafe(sql))),
        false => Ok(query_with(AssertSqlSafe(sql), arguments(binds)?)),
    }
}

/// The parameters of a statement.
pub(super) fn arguments(binds: Vec<Bind>) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for bind in binds {
        let added = match bind {
            Bind::Text(text) => arguments.add(text),
            Bind::Integer(integer) => arguments.add(integer),
            Bind::Flag(flag) => arguments.add(flag),
            Bind::Time(time) => arguments.add(storable(time).map(text_time)),
            Bind::Texts(texts) => arguments.add(texts),
            Bind::Integers(integers) => arguments.add(integers),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}
