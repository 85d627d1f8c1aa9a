//! What an operator changes in a Postgres history beside the daemon that writes it. Each step is a
//! transaction of its own, which takes its turn as a daemon's does: so the daemon sees that somebody
//! else has written, and begins with the rows that are there.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Postgres, Row, Transaction};

use super::UPKEEP_TIMEOUT;
use super::connect::connect;
use super::failure::{LOCKED, bounded, code};
use super::insert::text_time;
use super::partitions::{Partitions, drop_before};
use super::row_count::count;
use super::server::Server;
use super::session::{Session, end, query, query_scalar};
use crate::sinks::history::kept::{Beside, KeptDevice, Left, STEP_ROWS};

/// A look at many events; longer than the server's own limit, so that its error is seen.
const LOOK_TIMEOUT: Duration = Duration::from_secs(100);
/// The server's own: a person waits, and the daemon does not wait for who only looks.
const LOOK_LIMIT: &str = "SET LOCAL statement_timeout = '90s'";

/// A connection that writes.
#[derive(Debug)]
pub(in crate::sinks::history) struct PostgresOperator {
    connection: PgConnection,
    session: Session,
    /// The server without its password.
    server: String,
    user: String,
    schema: Option<String>,
}

/// Who writes next has to begin with the rows that are there.
const TURN: &str = "UPDATE bridge_writer SET turn = turn + 1";

impl PostgresOperator {
    /// Connects to a server that takes rows.
    pub(in crate::sinks::history) async fn open(
        url: &str,
        folder: &Path,
        schema: Option<&str>,
    ) -> Result<PostgresOperator, String> {
        let server = Server::parse_quietly(url, folder)?;
        let connected = connect(&server).await;
        let (connection, _) =
            connected.map_err(|failure| format!("{server}: {}", failure.with_advice()))?;
        Ok(PostgresOperator {
            connection,
            session: Session::new(schema),
            server: server.to_string(),
            user: server.user().to_owned(),
            schema: schema.map(str::to_owned),
        })
    }

    /// Its server, without user and password.
    pub(in crate::sinks::history) fn server(&self) -> &str {
        &self.server
    }

    /// The command that copies the history to a file; it asks for the password.
    pub(in crate::sinks::history) fn dump(&self, to: &Path) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let schema = self
            .schema
            .as_deref()
            .map(|schema| format!(" --schema={}", quoted(schema)));
        format!(
            "pg_dump --format=custom --username={}{} --file={} {}",
            quoted(&self.user),
            schema.unwrap_or_default(),
            quoted(&to.to_string_lossy()),
            quoted(&self.server)
        )
    }

    /// Looks at as many rows as there are, and changes nothing.
    async fn look<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Transaction<'_, Postgres>) -> Result<T, sqlx::Error>,
    ) -> Result<T, String> {
        let looked = async {
            let mut transaction = self.session.begin_reading(&mut self.connection).await?;
            let limited = sqlx::raw_sql(LOOK_LIMIT).execute(&mut *transaction).await;
            let looked = match limited {
                Ok(_) => work(&mut transaction).await,
                Err(error) => Err(error),
            };
            end(transaction, looked).await
        };
        let looked = bounded(LOOK_TIMEOUT, looked).await;
        looked.map_err(|failure| failure.of_operator())
    }

    /// Runs statements as one transaction.
    async fn transact<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Transaction<'_, Postgres>) -> Result<T, sqlx::Error>,
    ) -> Result<T, String> {
        let transacted = async {
            let mut transaction = self.session.begin_upkeep(&mut self.connection).await?;
            let done = work(&mut transaction).await;
            end(transaction, done).await
        };
        let done = bounded(UPKEEP_TIMEOUT, transacted).await;
        done.map_err(|failure| failure.of_operator())
    }

    /// The devices of a name, with what is kept of each.
    pub(in crate::sinks::history) async fn devices(
        &mut self,
        name: &str,
    ) -> Result<Vec<KeptDevice>, String> {
        const DEVICES: &str = "SELECT device_key::bigint, stream, client_id, device_id, \
             (SELECT count(*) FROM event AS e WHERE e.device_key = d.device_key), \
             (SELECT count(*) FROM state_interval_row AS i WHERE i.device_key = d.device_key) \
             FROM device_row AS d WHERE device_id = $1 OR client_id || '/' || device_id = $1";
        let device = |row: PgRow| {
            Ok(KeptDevice {
                key: row.try_get(0)?,
                stream: row.try_get(1)?,
                client_id: row.try_get(2)?,
                device_id: row.try_get(3)?,
                statuses: row.try_get::<i64, _>(4)?.unsigned_abs(),
                intervals: row.try_get::<i64, _>(5)?.unsigned_abs(),
            })
        };
        let name = name.to_owned();
        self.look(async |transaction| {
            let devices = query(DEVICES).bind(name).try_map(device);
            devices.fetch_all(&mut **transaction).await
        })
        .await
    }

    /// What the device's events refer to, and no other device's: it goes with them.
    pub(in crate::sinks::history) async fn beside(
        &mut self,
        device: i64,
    ) -> Result<Beside, String> {
        self.look(async |transaction| {
            let through = "SELECT coalesce(max(sequence), 0)::bigint FROM event";
            Ok(Beside {
                through: query_scalar(through).fetch_one(&mut **transaction).await?,
                profiles: profiles(transaction, device).await?,
                payloads: payloads(transaction, device).await?,
            })
        })
        .await
    }

    /// Deletes some of the device's rows; says whether more than one step is left.
    pub(in crate::sinks::history) async fn forget_some(
        &mut self,
        device: i64,
    ) -> Result<Left, String> {
        const PIECES: &str = "DELETE FROM state_interval_row WHERE device_key = $1 \
             AND (since, ends_sequence) IN (SELECT since, ends_sequence FROM state_interval_row \
             WHERE device_key = $1 LIMIT $2)";
        self.transact(async |transaction| {
            query(TURN).execute(&mut **transaction).await?;
            if delete_events(transaction, device).await? >= u64::from(STEP_ROWS) {
                return Ok(Left::Much);
            }
            let delete = query(PIECES).bind(device).bind(i64::from(STEP_ROWS));
            let deleted = delete.execute(&mut **transaction).await?.rows_affected();
            Ok(match deleted >= u64::from(STEP_ROWS) {
                true => Left::Much,
                false => Left::Little,
            })
        })
        .await
    }

    /// Deletes all that is left of it.
    pub(in crate::sinks::history) async fn forget_rest(
        &mut self,
        device: i64,
        beside: &Beside,
    ) -> Result<(), String> {
        const PAYLOADS: &str = "DELETE FROM payload WHERE payload_key = ANY($1) \
             AND NOT EXISTS (SELECT 1 FROM event AS e \
                 WHERE e.sequence > $2 AND e.payload_key = payload.payload_key)";
        self.transact(async |transaction| {
            query(TURN).execute(&mut **transaction).await?;
            let mut own = profiles(transaction, device).await?;
            own.extend(&beside.profiles);
            while delete_events(transaction, device).await? > 0 {}
            for text in [
                "DELETE FROM state_interval_row WHERE device_key = $1",
                "DELETE FROM state_daily_row WHERE device_key = $1",
                "DELETE FROM device_row WHERE device_key = $1",
            ] {
                let delete = query(text).bind(device);
                delete.execute(&mut **transaction).await?;
            }
            let delete = query("DELETE FROM profile WHERE profile_key = ANY($1)").bind(own);
            delete.execute(&mut **transaction).await?;
            let payloads = beside.payloads.clone();
            let delete = query(PAYLOADS).bind(payloads).bind(beside.through);
            delete.execute(&mut **transaction).await.map(drop)
        })
        .await
    }

    /// How many statuses were received before a time.
    pub(in crate::sinks::history) async fn older(
        &mut self,
        before: Timestamp,
    ) -> Result<u64, String> {
        const OLDER: &str = "SELECT count(*) FROM event WHERE received_at < $1::timestamptz";
        let older: i64 = self
            .look(async |transaction| {
                let older = query_scalar(OLDER).bind(text_time(before));
                older.fetch_one(&mut **transaction).await
            })
            .await?;
        Ok(older.unsigned_abs())
    }

    /// Deletes some of them; gives how many. A partition of which all is older goes whole.
    pub(in crate::sinks::history) async fn prune_some(
        &mut self,
        before: Timestamp,
    ) -> Result<u64, String> {
        const DELETE_OLD: &str = "DELETE FROM event AS e USING (SELECT received_at, sequence \
             FROM event WHERE received_at < $1::timestamptz ORDER BY received_at LIMIT $2) AS old \
             WHERE e.received_at = old.received_at AND e.sequence = old.sequence";
        const HAS_OLD: &str =
            "SELECT EXISTS (SELECT 1 FROM event WHERE received_at < $1::timestamptz)";
        let mut dropped = 0;
        while let Some(rows) = self.drop_oldest(before).await? {
            dropped += rows;
        }
        self.transact(async |transaction| {
            let has_old = query_scalar::<bool>(HAS_OLD).bind(text_time(before));
            if !has_old.fetch_one(&mut **transaction).await? {
                return Ok(dropped);
            }
            let delete = query(DELETE_OLD).bind(text_time(before));
            let deleted = delete
                .bind(i64::from(STEP_ROWS))
                .execute(&mut **transaction);
            Ok(dropped + deleted.await?.rows_affected())
        })
        .await
    }

    /// Drops the oldest partition, if all in it was received before; gives its rows. `None`: there
    /// is none, or somebody reads it, and its rows go one by one.
    async fn drop_oldest(&mut self, before: Timestamp) -> Result<Option<u64>, String> {
        // A daemon's batch waits for who has the turn: what takes long comes before.
        let counted = self.look(async |transaction| {
            let mut partitions = Partitions::new(None);
            partitions.load(transaction).await?;
            match partitions.oldest_before(before) {
                Some(oldest) => count(transaction, &oldest).await.map(Some),
                None => Ok(partitions.has_payloads_before(before).then_some(0)),
            }
        });
        let Some(rows) = counted.await? else {
            return Ok(None);
        };
        self.transact(async |transaction| {
            query(TURN).execute(&mut **transaction).await?;
            match drop_before(transaction, before).await {
                Ok(dropped) => Ok(dropped.map(|_| rows)),
                Err(error) if code(&error).as_deref() == Some(LOCKED) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await
    }
}

/// Deletes some of a device's events, and what is remembered of their event keys; gives how many.
async fn delete_events(
    transaction: &mut Transaction<'_, Postgres>,
    device: i64,
) -> Result<u64, sqlx::Error> {
    const EVENTS: &str = "WITH gone AS (DELETE FROM event WHERE device_key = $1 AND sequence IN \
             (SELECT sequence FROM event WHERE device_key = $1 LIMIT $2) RETURNING event_id), \
         keys AS (DELETE FROM event_key_seen WHERE event_id IN (SELECT event_id FROM gone)) \
         SELECT count(*) FROM gone";
    let delete = query_scalar(EVENTS).bind(device).bind(i64::from(STEP_ROWS));
    let deleted: i64 = delete.fetch_one(&mut **transaction).await?;
    Ok(deleted.unsigned_abs())
}

/// What is said of the device: no other has the same rows.
async fn profiles(
    transaction: &mut Transaction<'_, Postgres>,
    device: i64,
) -> Result<Vec<i64>, sqlx::Error> {
    let profiles = "SELECT profile_key::bigint FROM event WHERE device_key = $1 \
         UNION SELECT profile_key::bigint FROM device_row WHERE device_key = $1";
    let profiles = query_scalar(profiles).bind(device);
    profiles.fetch_all(&mut **transaction).await
}

/// The payloads that only this device's events have. Devices share one within a month.
async fn payloads(
    transaction: &mut Transaction<'_, Postgres>,
    device: i64,
) -> Result<Vec<i64>, sqlx::Error> {
    const MONTHS: &str = "SELECT DISTINCT to_char(date_trunc('month', received_at AT TIME ZONE 'UTC'), \
         'YYYY-MM-DD') FROM event WHERE device_key = $1 AND payload_key IS NOT NULL";
    let own = of_month("o");
    let other = of_month("e");
    let alone = format!(
        "SELECT DISTINCT o.payload_key::bigint FROM event AS o WHERE o.device_key = $1 AND {own} \
         AND o.payload_key IS NOT NULL AND NOT EXISTS (SELECT 1 FROM event AS e \
             WHERE e.payload_key = o.payload_key AND e.device_key <> $1 AND {other})"
    );
    let months = query_scalar(MONTHS).bind(device);
    let months: Vec<String> = months.fetch_all(&mut **transaction).await?;
    let mut payloads: Vec<i64> = Vec::new();
    for month in months {
        let alone = query_scalar::<i64>(AssertSqlSafe(alone.clone()))
            .bind(device)
            .bind(month);
        payloads.extend(alone.fetch_all(&mut **transaction).await?);
    }
    Ok(payloads)
}

/// That a row is of the month that begins with the day `$2`, in UTC.
fn of_month(row: &str) -> String {
    format!(
        "{row}.received_at >= $2::timestamp AT TIME ZONE 'UTC' AND {row}.received_at < \
         ($2::timestamp + interval '1 month') AT TIME ZONE 'UTC'"
    )
}
