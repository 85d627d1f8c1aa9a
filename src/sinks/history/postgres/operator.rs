//! What an operator changes in a Postgres history beside the daemon that writes it. Each step is a
//! transaction of its own, which takes its turn as a daemon's does: so the daemon sees that somebody
//! else has written, and begins with the rows that are there.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Postgres, Row, Transaction};
use tracing::subscriber::NoSubscriber;

use super::UPKEEP_TIMEOUT;
use super::connect::connect;
use super::failure::{LOCKED, bounded, code};
use super::insert::text_time;
use super::partitions::{Partitions, count, drop_before};
use super::server::Server;
use super::session::{Session, end, query, query_scalar};
use crate::sinks::history::kept::{Beside, KeptDevice, Left, STEP_ROWS};

/// A look at all events; longer than the server's own limit, so that its error is seen.
const LOOK_TIMEOUT: Duration = Duration::from_secs(100);

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
        // What sqlx makes of the URL is logged by the daemon.
        let server = tracing::subscriber::with_default(NoSubscriber::default(), || {
            Server::parse(url, folder)
        })?;
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

    /// Runs statements as one transaction, in its turn.
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
        done.map_err(|failure| failure.of_upkeep())
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
        self.transact(async |transaction| {
            let devices = query(DEVICES).bind(name).try_map(device);
            devices.fetch_all(&mut **transaction).await
        })
        .await
    }

    /// What the device's events refer to, and no other device's: it goes with them. It looks at all
    /// events, and changes nothing.
    pub(in crate::sinks::history) async fn beside(
        &mut self,
        device: i64,
    ) -> Result<Beside, String> {
        let looked = async {
            let mut transaction = self.session.begin_reading(&mut self.connection).await?;
            let looked = beside(&mut transaction, device).await;
            end(transaction, looked).await
        };
        let looked = bounded(LOOK_TIMEOUT, looked).await;
        looked.map_err(|failure| failure.with_advice())
    }

    /// Deletes some of the device's rows; says whether more than one step is left.
    pub(in crate::sinks::history) async fn forget_some(
        &mut self,
        device: i64,
    ) -> Result<Left, String> {
        const EVENTS: &str = "DELETE FROM event WHERE device_key = $1 AND sequence IN \
             (SELECT sequence FROM event WHERE device_key = $1 LIMIT $2)";
        const PIECES: &str = "DELETE FROM state_interval_row WHERE device_key = $1 \
             AND (since, ends_sequence) IN (SELECT since, ends_sequence FROM state_interval_row \
             WHERE device_key = $1 LIMIT $2)";
        self.transact(async |transaction| {
            query(TURN).execute(&mut **transaction).await?;
            for text in [EVENTS, PIECES] {
                let delete = query(text).bind(device).bind(i64::from(STEP_ROWS));
                let deleted = delete.execute(&mut **transaction).await?;
                if deleted.rows_affected() >= u64::from(STEP_ROWS) {
                    return Ok(Left::Much);
                }
            }
            Ok(Left::Little)
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
        const PROFILES: &str = "DELETE FROM profile WHERE profile_key = ANY($1) \
             AND NOT EXISTS (SELECT 1 FROM event AS e \
                 WHERE e.sequence > $2 AND e.profile_key = profile.profile_key) \
             AND NOT EXISTS (SELECT 1 FROM device_row AS d \
                 WHERE d.profile_key = profile.profile_key)";
        self.transact(async |transaction| {
            query(TURN).execute(&mut **transaction).await?;
            for text in [
                "DELETE FROM event WHERE device_key = $1",
                "DELETE FROM state_interval_row WHERE device_key = $1",
                "DELETE FROM state_daily_row WHERE device_key = $1",
                "DELETE FROM device_row WHERE device_key = $1",
            ] {
                let delete = query(text).bind(device);
                delete.execute(&mut **transaction).await?;
            }
            for (text, keys) in [(PAYLOADS, &beside.payloads), (PROFILES, &beside.profiles)] {
                let delete = query(text).bind(keys.clone()).bind(beside.through);
                delete.execute(&mut **transaction).await?;
            }
            Ok(())
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
            .transact(async |transaction| {
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
        let mut dropped = 0;
        while let Some(rows) = self.drop_oldest(before).await? {
            dropped += rows;
        }
        self.transact(async |transaction| {
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
        self.transact(async |transaction| {
            query(TURN).execute(&mut **transaction).await?;
            let mut partitions = Partitions::new(None);
            partitions.load(transaction).await?;
            let oldest = partitions.oldest_before(before);
            if oldest.is_none() && !partitions.has_payloads_before(before) {
                return Ok(None);
            }
            let rows = match &oldest {
                Some(oldest) => count(transaction, oldest).await?,
                None => 0,
            };
            match drop_before(transaction, before).await {
                Ok(_) => Ok(Some(rows)),
                Err(error) if code(&error).as_deref() == Some(LOCKED) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await
    }
}

async fn beside(
    transaction: &mut Transaction<'_, Postgres>,
    device: i64,
) -> Result<Beside, sqlx::Error> {
    let through = "SELECT coalesce(max(sequence), 0)::bigint FROM event";
    Ok(Beside {
        through: query_scalar(through).fetch_one(&mut **transaction).await?,
        payloads: alone(transaction, "payload_key", device).await?,
        profiles: alone(transaction, "profile_key", device).await?,
    })
}

/// The values of a column of `event` that only this device's events have.
async fn alone(
    transaction: &mut Transaction<'_, Postgres>,
    column: &str,
    device: i64,
) -> Result<Vec<i64>, sqlx::Error> {
    let alone = format!(
        "SELECT DISTINCT o.{column}::bigint FROM event AS o WHERE o.device_key = $1 \
         AND o.{column} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM event AS e \
             WHERE e.{column} = o.{column} AND e.device_key <> $1)"
    );
    let alone = query_scalar(AssertSqlSafe(alone)).bind(device);
    alone.fetch_all(&mut **transaction).await
}
