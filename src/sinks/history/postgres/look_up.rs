//! What a batch has to know of what is stored.

use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::insert::text_time;
use super::session::{query_as, query_scalar};
use crate::model::CoverageEvent;
use crate::sinks::history::device::{Device, DeviceId, DeviceText, select, state, time};
use crate::sinks::history::gaps::{Begins, GAPS_MAX, Heard};
use crate::sinks::history::recorder::{Base, Found, Kept, Keys, Wanted, journal_of};
use crate::sinks::history::stored::{
    HeardText, KeptText, PieceText, gap, select_heard, select_kept, select_pieces,
};
use crate::sinks::history::tables::Digest;
use crate::sinks::history::timeline::Piece;
use crate::sinks::history::times::storable;

/// A time as SQLite has it: what reads both is the same.
fn as_text(time: &str) -> String {
    format!("to_char({time} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
}

/// What every batch asks for; `held`: the devices that were known.
pub(super) async fn base(connection: &mut PgConnection, held: &[i64]) -> Result<Base, sqlx::Error> {
    let journals = query_as(
        "SELECT j.journal_key::bigint, j.journal, greatest( \
             coalesce((SELECT max(e.position) FROM event AS e WHERE e.journal_key = j.journal_key), 0), \
             coalesce((SELECT max(c.position) FROM bridge_cursor AS c WHERE c.journal = j.journal), 0)) \
         FROM journal AS j",
    );
    let topics = query_as("SELECT topic_key::bigint, topic FROM topic");
    let gaps = format!(
        "SELECT topic, {}, cause FROM coverage WHERE begins_gap ORDER BY at DESC LIMIT $1",
        as_text("at")
    );
    let gaps: Vec<(String, String, Option<String>)> = query_as(AssertSqlSafe(gaps))
        .bind(i64::from(GAPS_MAX))
        .fetch_all(&mut *connection)
        .await?;
    let (sequence, device, state, profile, payload) = query_as(
        "SELECT greatest((SELECT max(sequence) FROM event), (SELECT max(sequence) FROM device_row), 0), \
         greatest((SELECT max(device_key) FROM device_row), (SELECT max(device_key) FROM event), \
             (SELECT max(device_key) FROM state_interval_row), 0)::bigint, \
         (SELECT coalesce(max(state_key), 0)::bigint FROM state), \
         (SELECT coalesce(max(profile_key), 0)::bigint FROM profile), \
         (SELECT coalesce(max(payload_key), 0)::bigint FROM payload)",
    )
    .fetch_one(&mut *connection)
    .await?;
    let recounted: Option<String> =
        query_scalar("SELECT value FROM history_setting WHERE name = 'recounted_below'")
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
async fn robbed(connection: &mut PgConnection, held: &[i64]) -> Result<HashSet<i64>, sqlx::Error> {
    if held.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = "SELECT h.device_key FROM unnest($1::bigint[]) AS h (device_key) \
        WHERE NOT EXISTS (SELECT FROM device_row AS d WHERE d.device_key = h.device_key) \
        AND (EXISTS (SELECT FROM event AS e WHERE e.device_key = h.device_key) \
            OR EXISTS (SELECT FROM state_interval_row AS i WHERE i.device_key = h.device_key))";
    let robbed: Vec<i64> = query_scalar(sql).bind(held).fetch_all(connection).await?;
    Ok(robbed.into_iter().collect())
}

/// Which of these rows of `coverage` are there.
pub(super) async fn covered(
    connection: &mut PgConnection,
    ids: Vec<String>,
) -> Result<HashSet<String>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = "SELECT event_id FROM coverage WHERE event_id = ANY($1)";
    let found: Vec<String> = query_scalar(sql).bind(ids).fetch_all(connection).await?;
    Ok(found.into_iter().collect())
}

/// All rows of a topic, and what each says of gaps so far.
pub(super) async fn heard(
    connection: &mut PgConnection,
    topic: &str,
) -> Result<Vec<(Heard, Begins)>, sqlx::Error> {
    let sql = format!("{} WHERE topic = $1", select_heard(as_text));
    let rows: Vec<HeardText> = query_as(AssertSqlSafe(sql))
        .bind(topic)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().filter_map(HeardText::heard).collect())
}

/// Where the journal of this event has said nothing of its topic before: up to when another one has,
/// or has brought a status by it.
pub(super) async fn heard_elsewhere(
    connection: &mut PgConnection,
    event: &CoverageEvent,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let sql = format!(
        "SELECT {} FROM ( \
             SELECT max(at) AS at FROM coverage WHERE topic = $1 AND at <= $2::timestamptz \
             UNION ALL SELECT max(d.last_seen) FROM topic AS t \
             JOIN device_row AS d ON d.topic_key = t.topic_key \
             WHERE t.topic = $1 AND d.last_seen <= $2::timestamptz) AS heard \
         WHERE NOT EXISTS (SELECT FROM coverage WHERE topic = $1 AND origin LIKE $3 || '-%')",
        as_text("max(at)")
    );
    let until: Option<String> = query_scalar(AssertSqlSafe(sql))
        .bind(event.topic.to_string())
        .bind(storable(Some(event.received_at)).map(text_time))
        .bind(journal_of(&event.origin).to_owned())
        .fetch_one(connection)
        .await?;
    Ok(until.as_deref().and_then(time))
}

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
    let rows: Vec<DeviceText> = query_as(AssertSqlSafe(select(from, as_text)))
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
    let sql = "SELECT p.month::bigint, p.digest, p.payload_key::bigint \
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

/// The devices that follow one, as far as their open piece began before `until` and is not counted
/// up to it.
pub(super) async fn unswept(
    connection: &mut PgConnection,
    after: i64,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<Device>, sqlx::Error> {
    let sql = format!(
        "{} WHERE d.device_key > $1 AND d.piece_since < $2::timestamptz \
         AND (d.counted_until IS NULL OR d.counted_until < $2::timestamptz) \
         ORDER BY d.device_key LIMIT $3",
        select("device_row AS d", as_text)
    );
    let rows: Vec<DeviceText> = query_as(AssertSqlSafe(sql))
        .bind(after)
        .bind(text_time(until))
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().filter_map(DeviceText::device).collect())
}

/// The devices from one on.
pub(super) async fn devices_from(
    connection: &mut PgConnection,
    from: i64,
    limit: u32,
) -> Result<Vec<Device>, sqlx::Error> {
    let sql = format!(
        "{} WHERE d.device_key >= $1 ORDER BY d.device_key LIMIT $2",
        select("device_row AS d", as_text)
    );
    let rows: Vec<DeviceText> = query_as(AssertSqlSafe(sql))
        .bind(from)
        .bind(i64::from(limit))
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
    connection: &mut PgConnection,
    device: i64,
    late: Timestamp,
) -> Result<Part, sqlx::Error> {
    let sql = format!(
        "SELECT {} FROM event WHERE device_key = $1 \
         AND coalesce(placed_at, received_at) < $2::timestamptz",
        as_text("max(coalesce(placed_at, received_at))")
    );
    let begins: Option<String> = query_scalar(AssertSqlSafe(sql))
        .bind(device)
        .bind(text_time(late))
        .fetch_one(&mut *connection)
        .await?;
    let from_first = begins.is_none();
    let begins = begins.unwrap_or_else(|| "-infinity".to_owned());
    let sql = format!(
        "{} WHERE e.device_key = $1 AND coalesce(e.placed_at, e.received_at) >= $2::timestamptz \
         ORDER BY coalesce(e.placed_at, e.received_at), e.position, e.sequence",
        select_kept(as_text)
    );
    let kept: Vec<KeptText> = query_as(AssertSqlSafe(sql))
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
    connection: &mut PgConnection,
    device: i64,
    until: &str,
) -> Result<Vec<Piece>, sqlx::Error> {
    let sql = format!(
        "{} WHERE i.device_key = $1 AND i.until >= $2::timestamptz ORDER BY i.since, i.ends_sequence",
        select_pieces(as_text)
    );
    let rows: Vec<PieceText> = query_as(AssertSqlSafe(sql))
        .bind(device)
        .bind(until)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().filter_map(PieceText::piece).collect())
}
