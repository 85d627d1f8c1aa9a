//! What a batch asks of the statuses that are stored: all of a kind in one statement, whose list is
//! an array.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::insert::text_time;
use super::session::{query_as, query_scalar};
use crate::sinks::history::device::{Device, DeviceId, DeviceText, select, state};
use crate::sinks::history::dialect::Dialect;
use crate::sinks::history::recorder::{Found, Wanted};
use crate::sinks::history::tables::Digest;
use crate::sinks::history::times::storable;

/// What a batch wants.
pub(super) async fn found(
    connection: &mut PgConnection,
    wanted: Wanted,
) -> Result<Found, sqlx::Error> {
    let mut found = Found::default();
    let (since, until) = wanted.times.unwrap_or_default();
    for (journal, positions) in wanted.positions {
        // The times say in which partitions they may be.
        let sql = "SELECT position FROM event WHERE journal_key = $2 AND position = ANY($1) \
                     AND received_at BETWEEN $3::timestamptz AND $4::timestamptz";
        let stored: Vec<i64> = query_scalar(sql)
            .bind(positions)
            .bind(journal)
            .bind(storable(Some(since)).map(text_time))
            .bind(storable(Some(until)).map(text_time))
            .fetch_all(&mut *connection)
            .await?;
        let stored = stored.into_iter().map(|position| (journal, position));
        found.positions.extend(stored);
    }
    if !wanted.ids.is_empty() {
        let sql = "SELECT event_id FROM event_key_seen WHERE event_id = ANY($1)";
        let stored: Vec<String> = query_scalar(sql)
            .bind(wanted.ids)
            .fetch_all(&mut *connection)
            .await?;
        found.ids.extend(stored);
    }
    if !wanted.devices.is_empty() {
        found.devices = devices(&mut *connection, &wanted.devices).await?;
    }
    if !wanted.words.is_empty() {
        let sql = "SELECT word, state_key::bigint, state, severity FROM state \
                     WHERE word = ANY($1)";
        let rows: Vec<(String, i64, String, String)> = query_as(sql)
            .bind(wanted.words)
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
    connection: &mut PgConnection,
    wanted: &[DeviceId],
) -> Result<Vec<Device>, sqlx::Error> {
    let [clients, ids, streams] = [
        wanted
            .iter()
            .map(|id| id.client_id.as_str())
            .collect::<Vec<_>>(),
        wanted.iter().map(|id| id.device_id.as_str()).collect(),
        wanted.iter().map(|id| &*id.stream).collect(),
    ];
    let from = "unnest($1::text[], $2::text[], $3::text[]) AS w (client_id, device_id, stream) \
                JOIN device_row AS d ON d.client_id = w.client_id AND d.device_id = w.device_id \
                AND d.stream = w.stream";
    let rows: Vec<DeviceText> = query_as(AssertSqlSafe(select(from, |time| {
        Dialect::Postgres.as_text(time)
    })))
    .bind(clients)
    .bind(ids)
    .bind(streams)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().filter_map(DeviceText::device).collect())
}

async fn payloads(
    connection: &mut PgConnection,
    wanted: &[(i64, Digest)],
) -> Result<Vec<(i64, Digest, i64)>, sqlx::Error> {
    let months: Vec<i64> = wanted.iter().map(|(month, _)| *month).collect();
    let digests: Vec<&[u8]> = wanted.iter().map(|(_, digest)| &digest[..]).collect();
    let sql = "SELECT p.month::bigint, p.digest, p.payload_key \
                 FROM unnest($1::bigint[], $2::bytea[]) AS w (month, digest) \
                 JOIN payload AS p ON p.month = w.month::integer AND p.digest = w.digest";
    let rows: Vec<(i64, Vec<u8>, i64)> = query_as(sql)
        .bind(months)
        .bind(digests)
        .fetch_all(connection)
        .await?;
    let known = rows
        .into_iter()
        .filter_map(|(month, digest, key)| Some((month, digest.try_into().ok()?, key)));
    Ok(known.collect())
}
