//! What an operator changes in a SQLite history beside the daemon that writes it: a device is
//! forgotten, old rows go, a copy is made. Each step is a transaction of some ten milliseconds. The
//! daemon sees that somebody else has written, and begins with the rows that are there.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection, Row};

use super::backup;
use super::connect::changing;
use super::insert::text_time;
use super::reader::{SqliteReader, Unread};
use super::{DELETE_OLD, explained};
use crate::new_file::NewFile;
use crate::sinks::history::kept::{Beside, KeptDevice, Left, STEP_ROWS};

/// A copy is its owner's alone.
const COPY_MODE: u32 = 0o600;

/// A connection that writes.
#[derive(Debug)]
pub(in crate::sinks::history) struct SqliteOperator {
    connection: SqliteConnection,
    path: PathBuf,
}

impl SqliteOperator {
    /// Opens a history that is there.
    pub(in crate::sinks::history) async fn open(path: &Path) -> Result<SqliteOperator, Unread> {
        SqliteReader::open(path).await?;
        // What is forgotten is written over.
        let options = changing(path).pragma("secure_delete", "ON");
        let connection = options.connect().await?;
        Ok(SqliteOperator {
            connection,
            path: path.to_owned(),
        })
    }

    /// The devices of a name, with what is kept of each.
    pub(in crate::sinks::history) async fn devices(
        &mut self,
        name: &str,
    ) -> Result<Vec<KeptDevice>, sqlx::Error> {
        const DEVICES: &str = "SELECT device_key, stream, client_id, device_id, \
             (SELECT count(*) FROM event AS e WHERE e.device_key = d.device_key), \
             (SELECT count(*) FROM state_interval_row AS i WHERE i.device_key = d.device_key) \
             FROM device_row AS d WHERE device_id = ?1 OR client_id || '/' || device_id = ?1";
        let device = |row: sqlx::sqlite::SqliteRow| {
            Ok(KeptDevice {
                key: row.try_get(0)?,
                stream: row.try_get(1)?,
                client_id: row.try_get(2)?,
                device_id: row.try_get(3)?,
                statuses: row.try_get::<i64, _>(4)?.unsigned_abs(),
                intervals: row.try_get::<i64, _>(5)?.unsigned_abs(),
            })
        };
        sqlx::query(DEVICES)
            .bind(name.to_owned())
            .try_map(device)
            .fetch_all(&mut self.connection)
            .await
    }

    /// What the device's events refer to, and no other device's: it goes with them.
    pub(in crate::sinks::history) async fn beside(
        &mut self,
        device: i64,
    ) -> Result<Beside, sqlx::Error> {
        let through = "SELECT coalesce(max(sequence), 0) FROM event";
        Ok(Beside {
            through: sqlx::query_scalar(through)
                .fetch_one(&mut self.connection)
                .await?,
            payloads: self.payloads(device).await?,
            profiles: profiles(&mut self.connection, device).await?,
        })
    }

    /// The payloads that only this device's events have.
    async fn payloads(&mut self, device: i64) -> Result<Vec<i64>, sqlx::Error> {
        const OWN: &str = "SELECT DISTINCT payload_key FROM event \
             WHERE device_key = ? AND payload_key IS NOT NULL";
        const OTHERS: &str = "SELECT DISTINCT payload_key FROM event WHERE device_key <> ? \
             AND payload_key IN (SELECT value FROM json_each(?))";
        let own: Vec<i64> = sqlx::query_scalar(OWN)
            .bind(device)
            .fetch_all(&mut self.connection)
            .await?;
        let others: Vec<i64> = sqlx::query_scalar(OTHERS)
            .bind(device)
            .bind(json(&own))
            .fetch_all(&mut self.connection)
            .await?;
        let others: HashSet<i64> = others.into_iter().collect();
        Ok(own
            .into_iter()
            .filter(|key| !others.contains(key))
            .collect())
    }

    /// Deletes some of the device's rows; says whether more than one step is left.
    pub(in crate::sinks::history) async fn forget_some(
        &mut self,
        device: i64,
    ) -> Result<Left, sqlx::Error> {
        const EVENTS: &str = "DELETE FROM event WHERE sequence IN \
             (SELECT sequence FROM event WHERE device_key = ? LIMIT ?)";
        const PIECES: &str = "DELETE FROM state_interval_row WHERE device_key = ?1 \
             AND (since, ends_sequence) IN (SELECT since, ends_sequence FROM state_interval_row \
             WHERE device_key = ?1 LIMIT ?2)";
        for text in [EVENTS, PIECES] {
            let deleted = sqlx::query(text)
                .bind(device)
                .bind(STEP_ROWS)
                .execute(&mut self.connection)
                .await?;
            if deleted.rows_affected() >= u64::from(STEP_ROWS) {
                return Ok(Left::Much);
            }
        }
        Ok(Left::Little)
    }

    /// Deletes all that is left of it.
    pub(in crate::sinks::history) async fn forget_rest(
        &mut self,
        device: i64,
        beside: &Beside,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        let mut own = profiles(&mut transaction, device).await?;
        own.extend(&beside.profiles);
        for text in [
            "DELETE FROM event WHERE device_key = ?",
            "DELETE FROM state_interval_row WHERE device_key = ?",
            "DELETE FROM state_daily_row WHERE device_key = ?",
            "DELETE FROM device_row WHERE device_key = ?",
        ] {
            let delete = sqlx::query(text).bind(device);
            delete.execute(&mut *transaction).await?;
        }
        const PAYLOADS: &str = "DELETE FROM payload \
             WHERE payload_key IN (SELECT value FROM json_each(?1)) AND payload_key NOT IN \
             (SELECT payload_key FROM event WHERE sequence > ?2 AND payload_key IS NOT NULL)";
        const PROFILES: &str =
            "DELETE FROM profile WHERE profile_key IN (SELECT value FROM json_each(?))";
        let delete = sqlx::query(PROFILES).bind(json(&own));
        delete.execute(&mut *transaction).await?;
        let delete = sqlx::query(PAYLOADS).bind(json(&beside.payloads));
        let delete = delete.bind(beside.through);
        delete.execute(&mut *transaction).await?;
        transaction.commit().await
    }

    /// How many statuses were received before a time.
    pub(in crate::sinks::history) async fn older(
        &mut self,
        before: Timestamp,
    ) -> Result<u64, sqlx::Error> {
        let older: i64 = sqlx::query_scalar("SELECT count(*) FROM event WHERE received_at < ?")
            .bind(text_time(before))
            .fetch_one(&mut self.connection)
            .await?;
        Ok(older.unsigned_abs())
    }

    /// Deletes some of them; gives how many.
    pub(in crate::sinks::history) async fn prune_some(
        &mut self,
        before: Timestamp,
    ) -> Result<u64, sqlx::Error> {
        let deleted = sqlx::query(DELETE_OLD)
            .bind(text_time(before))
            .bind(STEP_ROWS)
            .execute(&mut self.connection)
            .await?;
        Ok(deleted.rows_affected())
    }

    /// Copies the history as it is at one moment to a file that is not there yet. The daemon writes
    /// on meanwhile.
    pub(in crate::sinks::history) async fn back_up(&mut self, to: &Path) -> io::Result<u64> {
        // `:memory:` and `file:…` mean something else to SQLite.
        let to = &std::path::absolute(to)?;
        // SQLite fills an empty file, and would make one that others can read.
        let new = NewFile::begin(to, COPY_MODE)?;
        let Some(name) = new.path().to_str() else {
            let why = "SQLite writes no file whose name is not UTF-8: name another one";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        };
        let copied = backup::copy(&self.path, name).await;
        copied.map_err(|error| io::Error::other(explained(&error)))?;
        new.take(to)
    }
}

/// What is said of the device: no other has the same rows.
async fn profiles(connection: &mut SqliteConnection, device: i64) -> Result<Vec<i64>, sqlx::Error> {
    const PROFILES: &str = "SELECT profile_key FROM event WHERE device_key = ?1 \
         UNION SELECT profile_key FROM device_row WHERE device_key = ?1";
    let profiles = sqlx::query_scalar(PROFILES).bind(device);
    profiles.fetch_all(connection).await
}

fn json(keys: &[i64]) -> String {
    serde_json::to_string(keys).unwrap_or_default()
}
