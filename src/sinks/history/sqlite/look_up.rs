//! What a batch asks of the statuses that are stored: all of a kind in one statement, whose list is
//! one JSON text.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use crate::hex::hex;
use crate::sinks::history::device::{Device, DeviceId, DeviceText, select, state};
use crate::sinks::history::recorder::{Found, Wanted};
use crate::sinks::history::tables::Digest;

/// Times are texts here.
fn as_it_is(time: &str) -> String {
    time.to_owned()
}

/// What a batch wants.
pub(super) async fn found(
    connection: &mut SqliteConnection,
    wanted: Wanted,
) -> Result<Found, sqlx::Error> {
    let mut found = Found::default();
    for (journal, positions) in wanted.positions {
        let query = "SELECT position FROM event \
                     WHERE journal_key = ? AND position IN (SELECT value FROM json_each(?))";
        let stored: Vec<i64> = sqlx::query_scalar(query)
            .bind(journal)
            .bind(json!(positions).to_string())
            .fetch_all(&mut *connection)
            .await?;
        let stored = stored.into_iter().map(|position| (journal, position));
        found.positions.extend(stored);
    }
    if !wanted.ids.is_empty() {
        let query = "SELECT event_id FROM event WHERE event_id IN (SELECT value FROM json_each(?))";
        let stored: Vec<String> = sqlx::query_scalar(query)
            .bind(json!(wanted.ids).to_string())
            .fetch_all(&mut *connection)
            .await?;
        found.ids.extend(stored);
    }
    if !wanted.devices.is_empty() {
        found.devices = devices(&mut *connection, &wanted.devices).await?;
    }
    if !wanted.words.is_empty() {
        let query = "SELECT word, state_key, state, severity FROM state \
                     WHERE word IN (SELECT value FROM json_each(?))";
        let rows: Vec<(String, i64, String, String)> = sqlx::query_as(query)
            .bind(json!(wanted.words).to_string())
            .fetch_all(&mut *connection)
            .await?;
        let states = rows
            .into_iter()
            .map(|(word, key, name, severity)| (word, state(key, &name, &severity)));
        found.states = states.collect();
    }
    if !wanted.payloads.is_empty() {
        found.payloads = payloads(connection, &wanted.payloads).await?;
    }
    Ok(found)
}

async fn devices(
    connection: &mut SqliteConnection,
    wanted: &[DeviceId],
) -> Result<Vec<Device>, sqlx::Error> {
    let keys: Vec<_> = wanted
        .iter()
        .map(|id| (&id.client_id, &id.device_id, &*id.stream))
        .collect();
    let from = "json_each(?) AS w CROSS JOIN device_row AS d ON d.client_id = w.value ->> 0 \
                AND d.device_id = w.value ->> 1 AND d.stream = w.value ->> 2";
    let rows: Vec<DeviceText> = sqlx::query_as(AssertSqlSafe(select(from, as_it_is)))
        .bind(json!(keys).to_string())
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().filter_map(DeviceText::device).collect())
}

async fn payloads(
    connection: &mut SqliteConnection,
    wanted: &[(i64, Digest)],
) -> Result<Vec<(i64, Digest, i64)>, sqlx::Error> {
    let mut months: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (month, digest) in wanted {
        months.entry(*month).or_default().push(hex(*digest));
    }
    let query = "SELECT p.digest, p.payload_key FROM json_each(?) AS w \
                 CROSS JOIN payload AS p ON p.month = ? AND p.digest = unhex(w.value)";
    let mut known = Vec::new();
    for (month, digests) in months {
        let rows: Vec<(Vec<u8>, i64)> = sqlx::query_as(query)
            .bind(json!(digests).to_string())
            .bind(month)
            .fetch_all(&mut *connection)
            .await?;
        let rows = rows.into_iter();
        known.extend(rows.filter_map(|(digest, key)| Some((month, digest.try_into().ok()?, key))));
    }
    Ok(known)
}
