//! What a batch has to know of what is stored.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::json;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::insert::text_time;
use crate::model::CoverageEvent;
use crate::sinks::history::device::{Device, DeviceId, DeviceText, select, state, time};
use crate::sinks::history::gaps::{Begins, GAPS_MAX, Heard};
use crate::sinks::history::recorder::{Base, Found, Kept, Keys, Wanted, journal_of};
use crate::sinks::history::stored::{
    HeardText, KeptText, PieceText, gap, select_heard, select_kept, select_pieces,
};
use crate::sinks::history::tables::Digest;
use crate::sinks::history::timeline::Piece;

/// Times are texts here.
fn as_it_is(time: &str) -> String {
    time.to_owned()
}

/// What every batch asks for; `held`: the devices that were known.
pub(super) async fn base(
    connection: &mut SqliteConnection,
    held: &[i64],
) -> Result<Base, sqlx::Error> {
    let journals = sqlx::query_as(
        "SELECT j.journal_key, j.journal, max( \
             coalesce((SELECT max(e.position) FROM event AS e WHERE e.journal_key = j.journal_key), 0), \
             coalesce((SELECT max(c.position) FROM bridge_cursor AS c WHERE c.journal = j.journal), 0)) \
         FROM journal AS j",
    );
    let topics = sqlx::query_as("SELECT topic_key, topic FROM topic");
    let gaps = sqlx::query_as(
        "SELECT topic, at, cause FROM coverage WHERE begins_gap = 1 ORDER BY at DESC LIMIT ?",
    );
    let gaps: Vec<(String, String, Option<String>)> =
        gaps.bind(GAPS_MAX).fetch_all(&mut *connection).await?;
    let (sequence, device, state, profile, payload) = sqlx::query_as(
        "SELECT max(coalesce((SELECT max(sequence) FROM event), 0), \
             coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)), \
         max(coalesce((SELECT max(device_key) FROM device_row), 0), \
             coalesce((WITH RECURSIVE day (day) AS ( \
                 SELECT min(substr(received_at, 1, 10)) FROM event \
                 UNION ALL SELECT (SELECT min(substr(received_at, 1, 10)) FROM event \
                     WHERE substr(received_at, 1, 10) > day) FROM day WHERE day IS NOT NULL) \
                 SELECT max((SELECT max(device_key) FROM event \
                     WHERE substr(received_at, 1, 10) = day)) FROM day), 0), \
             coalesce((SELECT max(device_key) FROM state_interval_row), 0)), \
         (SELECT coalesce(max(state_key), 0) FROM state), \
         (SELECT coalesce(max(profile_key), 0) FROM profile), \
         (SELECT coalesce(max(payload_key), 0) FROM payload)",
    )
    .fetch_one(&mut *connection)
    .await?;
    let recounted: Option<String> =
        sqlx::query_scalar("SELECT value FROM history_setting WHERE name = 'recounted_below'")
            .fetch_optional(&mut *connection)
            .await?;
    Ok(Base {
        journals: journals.fetch_all(&mut *connection).await?,
        topics: topics.fetch_all(&mut *connection).await?,
        gaps: gaps.into_iter().filter_map(gap).collect(),
        last: Keys {
            sequence,
            device,
            state,
            profile,
            payload,
        },
        recounted_below: recounted
            .and_then(|text| text.parse().ok())
            .unwrap_or(i64::MAX),
        robbed: robbed(connection, held).await?,
    })
}

/// The devices of these that have lost their rows by hand: who forgets a device leaves nothing of it.
async fn robbed(
    connection: &mut SqliteConnection,
    held: &[i64],
) -> Result<HashSet<i64>, sqlx::Error> {
    if held.is_empty() {
        return Ok(HashSet::new());
    }
    let query = "SELECT h.value FROM json_each(?) AS h \
        WHERE NOT EXISTS (SELECT 1 FROM device_row AS d WHERE d.device_key = h.value) \
        AND (EXISTS (SELECT 1 FROM event AS e WHERE e.device_key = h.value) \
            OR EXISTS (SELECT 1 FROM state_interval_row AS i WHERE i.device_key = h.value))";
    let robbed: Vec<i64> = sqlx::query_scalar(query)
        .bind(json!(held).to_string())
        .fetch_all(connection)
        .await?;
    Ok(robbed.into_iter().collect())
}

/// Which of these rows of `coverage` are there.
pub(super) async fn covered(
    connection: &mut SqliteConnection,
    ids: Vec<String>,
) -> Result<HashSet<String>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let query = "SELECT event_id FROM coverage WHERE event_id IN (SELECT value FROM json_each(?))";
    let found: Vec<String> = sqlx::query_scalar(query)
        .bind(json!(ids).to_string())
        .fetch_all(connection)
        .await?;
    Ok(found.into_iter().collect())
}

/// All rows of a topic, and what each says of gaps so far.
pub(super) async fn heard(
    connection: &mut SqliteConnection,
    topic: &str,
) -> Result<Vec<(Heard, Begins)>, sqlx::Error> {
    let query = format!("{} WHERE topic = ?", select_heard(as_it_is));
    let rows: Vec<HeardText> = sqlx::query_as(AssertSqlSafe(query))
        .bind(topic)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().filter_map(HeardText::heard).collect())
}

/// Where the journal of this event has said nothing of its topic before: up to when another one has,
/// or has brought a status by it.
pub(super) async fn heard_elsewhere(
    connection: &mut SqliteConnection,
    event: &CoverageEvent,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let query = "SELECT max(at) FROM ( \
             SELECT max(at) AS at FROM coverage WHERE topic = ?1 AND at <= ?2 \
             UNION ALL SELECT max(d.last_seen) FROM topic AS t \
             JOIN device_row AS d ON d.topic_key = t.topic_key \
             WHERE t.topic = ?1 AND d.last_seen <= ?2) \
         WHERE NOT EXISTS (SELECT 1 FROM coverage WHERE topic = ?1 AND origin LIKE ?3 || '-%')";
    let until: Option<String> = sqlx::query_scalar(query)
        .bind(event.topic.to_string())
        .bind(text_time(event.received_at))
        .bind(journal_of(&event.origin).to_owned())
        .fetch_one(connection)
        .await?;
    Ok(until.as_deref().and_then(time))
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
    let keys: Vec<(i64, String)> = wanted
        .iter()
        .map(|(month, digest)| (*month, hex(digest)))
        .collect();
    let query = "SELECT p.month, p.digest, p.payload_key FROM json_each(?) AS w \
                 CROSS JOIN payload AS p ON p.month = w.value ->> 0 AND p.digest = unhex(w.value ->> 1)";
    let rows: Vec<(i64, Vec<u8>, i64)> = sqlx::query_as(query)
        .bind(json!(keys).to_string())
        .fetch_all(connection)
        .await?;
    let known = rows
        .into_iter()
        .filter_map(|(month, digest, key)| Some((month, digest.try_into().ok()?, key)));
    Ok(known.collect())
}

fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The devices that follow one, as far as their open piece began before `until` and is not counted
/// up to it.
pub(super) async fn unswept(
    connection: &mut SqliteConnection,
    after: i64,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<Device>, sqlx::Error> {
    let query = format!(
        "{} WHERE d.device_key > ? AND d.piece_since < ?2 \
         AND (d.counted_until IS NULL OR d.counted_until < ?2) ORDER BY d.device_key LIMIT ?3",
        select("device_row AS d", as_it_is)
    );
    let rows: Vec<DeviceText> = sqlx::query_as(AssertSqlSafe(query))
        .bind(after)
        .bind(text_time(until))
        .bind(limit)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().filter_map(DeviceText::device).collect())
}

/// The devices from one on.
pub(super) async fn devices_from(
    connection: &mut SqliteConnection,
    from: i64,
    limit: u32,
) -> Result<Vec<Device>, sqlx::Error> {
    let query = format!(
        "{} WHERE d.device_key >= ? ORDER BY d.device_key LIMIT ?",
        select("device_row AS d", as_it_is)
    );
    let rows: Vec<DeviceText> = sqlx::query_as(AssertSqlSafe(query))
        .bind(from)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().filter_map(DeviceText::device).collect())
}

/// A part of a device's timeline, from which it can be made again.
pub(super) struct Part {
    pub(super) kept: Vec<Kept>,
    pub(super) closed: Vec<Piece>,
    /// Nothing is kept before it.
    pub(super) from_first: bool,
}

/// The part of a device's timeline from the last event before `late`.
pub(super) async fn part(
    connection: &mut SqliteConnection,
    device: i64,
    late: Timestamp,
) -> Result<Part, sqlx::Error> {
    let begins: Option<String> = sqlx::query_scalar(
        "SELECT max(coalesce(placed_at, received_at)) FROM event \
         WHERE device_key = ? AND coalesce(placed_at, received_at) < ?",
    )
    .bind(device)
    .bind(text_time(late))
    .fetch_one(&mut *connection)
    .await?;
    let from_first = begins.is_none();
    let begins = begins.unwrap_or_default();
    let query = format!(
        "{} WHERE e.device_key = ? AND coalesce(e.placed_at, e.received_at) >= ? \
         ORDER BY coalesce(e.placed_at, e.received_at), e.position, e.sequence",
        select_kept(as_it_is)
    );
    let kept: Vec<KeptText> = sqlx::query_as(AssertSqlSafe(query))
        .bind(device)
        .bind(&begins)
        .fetch_all(&mut *connection)
        .await?;
    Ok(Part {
        kept: kept.into_iter().filter_map(KeptText::kept).collect(),
        closed: pieces(connection, device, &begins).await?,
        from_first,
    })
}

/// The closed pieces of a device that last up to a time or longer, in order.
pub(super) async fn pieces(
    connection: &mut SqliteConnection,
    device: i64,
    until: &str,
) -> Result<Vec<Piece>, sqlx::Error> {
    let query = format!(
        "{} WHERE i.device_key = ? AND i.until >= ? ORDER BY i.since, i.ends_sequence",
        select_pieces(as_it_is)
    );
    let rows: Vec<PieceText> = sqlx::query_as(AssertSqlSafe(query))
        .bind(device)
        .bind(until)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().filter_map(PieceText::piece).collect())
}
