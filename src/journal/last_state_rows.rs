//! Reads and writes the table `last_state`.

use std::sync::Arc;

use jiff::Timestamp;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, Row as _};

use super::Error;
use super::command::ForgottenDevice;
use super::device_states::DeviceStates;
use super::error::failed;
use super::insert::Insert;
use super::last_states::{DeviceKey, LastState, LastStates, ROW_BYTES, Row, TableSize, WaitingRow};
use super::row::timestamp;
use crate::model::{Position, Via};

/// Statuses that a start reads again at once.
const READ_AT_ONCE: i64 = 1000;

/// A status as it stands in the log.
#[derive(Debug)]
pub(super) struct LoggedStatus {
    pub(super) position: Position,
    pub(super) topic: String,
    pub(super) via: Via,
    pub(super) received_at: Timestamp,
    pub(super) body: Vec<u8>,
}

/// A device and its last state, as far as that is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownDevice {
    /// The stream that it belongs to.
    pub stream: String,
    /// Empty where its messages name none.
    pub client_id: String,
    /// Never empty.
    pub device_id: String,
    /// As sent.
    pub state: String,
    /// When it was heard; up to an hour before.
    pub heard_at: Timestamp,
}

const KNOWN: &str = "stream, client_id, device_id, state, heard_at";

const COLUMNS: &str = "stream, client_id, device_id, state, keys, heard_at";

/// The size of the table.
pub(super) async fn size(connection: &mut SqliteConnection) -> Result<TableSize, Error> {
    // As `LastState::table_bytes` counts a row.
    let size = format!(
        "SELECT count(*), coalesce(sum(2 * (octet_length(stream) + octet_length(client_id) \
         + octet_length(device_id)) + octet_length(state) + coalesce(octet_length(keys), 0) \
         + {ROW_BYTES}), 0) FROM last_state"
    );
    let (rows, bytes): (i64, i64) = sqlx::query_as(sqlx::AssertSqlSafe(size))
        .fetch_one(connection)
        .await
        .map_err(failed("measure the last states"))?;
    Ok(TableSize {
        rows: rows.unsigned_abs(),
        bytes: bytes.unsigned_abs(),
    })
}

/// The next devices after one, in the order of their keys: those in one of these states.
pub(super) async fn after(
    connection: &mut SqliteConnection,
    after: [&str; 3],
    states: Option<&[String]>,
    devices_max: u32,
) -> Result<Vec<KnownDevice>, Error> {
    let text = format!(
        "SELECT {KNOWN} FROM last_state WHERE (stream, client_id, device_id) > (?1, ?2, ?3) \
         AND (?4 IS NULL OR state IN (SELECT value FROM json_each(?4))) \
         ORDER BY stream, client_id, device_id LIMIT ?5"
    );
    let states = states.map(|states| serde_json::to_string(states).expect("texts are JSON"));
    let [stream, client, device] = after.map(str::to_owned);
    sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(stream)
        .bind(client)
        .bind(device)
        .bind(states)
        .bind(devices_max)
        .try_map(|row: SqliteRow| known(&row))
        .fetch_all(connection)
        .await
        .map_err(failed("read the last states"))
}

/// One device.
pub(super) async fn one(
    connection: &mut SqliteConnection,
    key: [&str; 3],
) -> Result<Option<KnownDevice>, Error> {
    let text = format!(
        "SELECT {KNOWN} FROM last_state WHERE stream = ?1 AND client_id = ?2 AND device_id = ?3"
    );
    let [stream, client, device] = key.map(str::to_owned);
    sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(stream)
        .bind(client)
        .bind(device)
        .try_map(|row: SqliteRow| known(&row))
        .fetch_optional(connection)
        .await
        .map_err(failed("read the last state of a device"))
}

fn known(row: &SqliteRow) -> Result<KnownDevice, sqlx::Error> {
    Ok(KnownDevice {
        stream: row.try_get(0)?,
        client_id: row.try_get(1)?,
        device_id: row.try_get(2)?,
        state: row.try_get(3)?,
        heard_at: timestamp(row.try_get(4)?)?,
    })
}

/// How many devices are in each state.
pub(super) async fn states(connection: &mut SqliteConnection) -> Result<DeviceStates, Error> {
    const STATES: &str =
        "SELECT stream, state, count(*) FROM last_state GROUP BY stream, state ORDER BY 3 DESC";
    let rows: Vec<(String, String, i64)> = sqlx::query_as(STATES)
        .fetch_all(connection)
        .await
        .map_err(failed("count the last states"))?;
    let mut states = DeviceStates::default();
    for (stream, state, devices) in rows {
        states.begin(stream.into(), state.into(), devices.unsigned_abs());
    }
    Ok(states)
}

/// The rows of the devices that were heard last, the newest first.
pub(super) async fn newest(connection: &mut SqliteConnection) -> Result<Vec<Row>, Error> {
    let text = format!("SELECT {COLUMNS} FROM last_state ORDER BY heard_at DESC LIMIT ?");
    let limit = i64::try_from(LastStates::preloaded_max()).unwrap_or(i64::MAX);
    sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(limit)
        .try_map(|row: SqliteRow| read(&row))
        .fetch_all(connection)
        .await
        .map_err(failed("read the last states"))
}

/// The rows of these devices, as far as there are any.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    devices: &[DeviceKey],
) -> Result<Vec<Row>, Error> {
    let text = format!(
        "SELECT {COLUMNS} FROM json_each(?) JOIN last_state ON stream = value ->> 0 \
         AND client_id = value ->> 1 AND device_id = value ->> 2"
    );
    let keys: Vec<[&str; 3]> = devices
        .iter()
        .map(|key| [&*key.stream, &*key.client_id, &*key.device_id])
        .collect();
    let keys = serde_json::to_string(&keys).expect("texts always serialise");
    sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(keys)
        .try_map(|row: SqliteRow| read(&row))
        .fetch_all(connection)
        .await
        .map_err(failed("look up last states"))
}

/// The statement of [`upsert`].
pub(super) fn upsert_statement() -> Insert {
    Insert::new(
        "INSERT INTO last_state (stream, client_id, device_id, state, keys, heard_at) VALUES ",
        6,
        " ON CONFLICT DO UPDATE SET state = excluded.state, keys = excluded.keys, \
         heard_at = excluded.heard_at",
    )
}

/// Writes the rows of devices.
pub(super) async fn upsert(
    connection: &mut SqliteConnection,
    insert: &Insert,
    rows: &[WaitingRow<'_>],
) -> Result<(), Error> {
    let bind = |(key, last): &WaitingRow<'_>, arguments: &mut SqliteArguments| {
        let keys: Vec<u8> = last.keys.iter().flat_map(|key| key.to_be_bytes()).collect();
        arguments.add(Arc::clone(&key.stream))?;
        arguments.add(&*key.client_id)?;
        arguments.add(&*key.device_id)?;
        arguments.add(&*last.state)?;
        arguments.add(Some(keys).filter(|keys| !keys.is_empty()))?;
        arguments.add(last.heard_at.as_microsecond())
    };
    insert
        .run(connection, rows, bind)
        .await
        .map_err(failed("write last states"))
}

/// The position that the table has reached.
pub(super) async fn position(connection: &mut SqliteConnection) -> Result<Position, Error> {
    let position = sqlx::query_scalar("SELECT last_states_position FROM journal");
    position
        .fetch_one(connection)
        .await
        .map(Position)
        .map_err(failed("read how far the last states have come"))
}

/// Saves the position that the table has reached.
pub(super) async fn save_position(
    connection: &mut SqliteConnection,
    position: Position,
) -> Result<(), Error> {
    sqlx::query("UPDATE journal SET last_states_position = ?")
        .bind(position.0)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed("write how far the last states have come"))
}

/// The next statuses of the log after a position, in order, without the repeats: what a start reads
/// again.
pub(super) async fn statuses_after(
    connection: &mut SqliteConnection,
    after: Position,
) -> Result<Vec<LoggedStatus>, Error> {
    const AFTER: &str = "SELECT position, topic, received_at, body, kind FROM entry WHERE position > ? \
         AND (kind = 'status' AND repeat IS NULL OR kind = 'resync') ORDER BY position LIMIT ?";
    let status = |row: SqliteRow| {
        Ok(LoggedStatus {
            position: Position(row.try_get(0)?),
            topic: row.try_get(1)?,
            via: match row.try_get(4)? {
                "resync" => Via::Resync,
                _ => Via::Live,
            },
            received_at: timestamp(row.try_get(2)?)?,
            body: row.try_get(3)?,
        })
    };
    sqlx::query(AFTER)
        .bind(after.0)
        .bind(READ_AT_ONCE)
        .try_map(status)
        .fetch_all(connection)
        .await
        .map_err(failed("read the last states from the log"))
}

/// Forgets these devices. Gives those that were known.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    devices: &[ForgottenDevice],
) -> Result<Vec<Row>, Error> {
    let text = format!(
        "DELETE FROM last_state WHERE stream = ? AND client_id = ? AND device_id = ? \
         RETURNING {COLUMNS}"
    );
    let mut forgotten = Vec::new();
    for device in devices {
        let rows = sqlx::query(sqlx::AssertSqlSafe(text.clone()))
            .bind(device.stream.clone())
            .bind(device.client_id.clone())
            .bind(device.device_id.clone())
            .try_map(|row: SqliteRow| read(&row))
            .fetch_all(&mut *connection)
            .await;
        forgotten.extend(rows.map_err(failed("forget a device"))?);
    }
    Ok(forgotten)
}

/// The devices of a name, which is `client/device` or the id alone.
pub(super) async fn named(
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<Vec<ForgottenDevice>, Error> {
    const NAMED: &str = "SELECT stream, client_id, device_id FROM last_state \
         WHERE device_id = ?1 OR client_id || '/' || device_id = ?1";
    let rows: Vec<(String, String, String)> = sqlx::query_as(NAMED)
        .bind(name.to_owned())
        .fetch_all(connection)
        .await
        .map_err(failed("look up a device"))?;
    let device = |(stream, client_id, device_id)| ForgottenDevice {
        stream,
        client_id,
        device_id,
    };
    Ok(rows.into_iter().map(device).collect())
}

/// Forgets this many devices, the ones not heard for longest. Gives them.
pub(super) async fn evict(
    connection: &mut SqliteConnection,
    devices: u64,
) -> Result<Vec<Row>, Error> {
    let text = format!(
        "DELETE FROM last_state WHERE (stream, client_id, device_id) IN (SELECT stream, client_id, \
         device_id FROM last_state ORDER BY heard_at LIMIT ?) RETURNING {COLUMNS}"
    );
    sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(i64::try_from(devices).unwrap_or(i64::MAX))
        .try_map(|row: SqliteRow| read(&row))
        .fetch_all(connection)
        .await
        .map_err(failed("forget last states"))
}

fn read(row: &SqliteRow) -> Result<Row, sqlx::Error> {
    let key = DeviceKey {
        stream: row.try_get::<&str, _>(0)?.into(),
        client_id: row.try_get::<&str, _>(1)?.into(),
        device_id: row.try_get::<&str, _>(2)?.into(),
    };
    let keys: Option<&[u8]> = row.try_get(4)?;
    let keys = keys.unwrap_or_default().as_chunks::<8>().0;
    let last = LastState {
        state: row.try_get::<&str, _>(3)?.into(),
        keys: keys.iter().map(|key| u64::from_be_bytes(*key)).collect(),
        heard_at: Timestamp::from_microsecond(row.try_get(5)?).unwrap_or_default(),
    };
    Ok((key, last))
}
