//! The dead letters of each sink: copies of entries, which hold no entry in the log. Each sink has
//! its own bound for them.

use std::sync::Arc;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Sqlite};

use super::command::{Listing, Settled, Which};
use super::error::failed;
use super::row::json;
use super::{DlqWhenFull, Error, Settings};
use crate::model::Position;

/// Bytes that a dead letter counts for besides its texts: its row and its places in three indexes.
const ROW_BYTES: usize = 256;

/// Bytes kept of an error; the rest is cut.
pub(super) const ERROR_BYTES_MAX: usize = 2048;

/// What the error of a dead letter says besides, where the entry was evicted before it was copied.
const GONE_NOTE: &str = " (its entry was evicted before: nothing is left to redrive; drop it)";

/// Dead letters that are dropped in one step to make room.
const DROPPED_AT_ONCE: u32 = 16;

/// The dead letters of sink `?1` that its cursor has passed. An operator's command leaves the
/// others alone: the accounting has not counted them yet.
pub(super) const PASSED: &str = "sink = ?1 AND (intake = 1 \
     OR position <= (SELECT position FROM cursor WHERE cursor.sink = ?1))";

/// How many dead letters a sink has, and their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DlqTotal {
    /// As in the configuration.
    pub sink: String,
    /// How many.
    pub entries: u64,
    /// What they count for, as `journal.dlq_max_bytes` bounds it.
    pub bytes: u64,
}

/// The outcome of dead-lettering an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// It is in the list, new or from before.
    Listed,
    /// The sink's dead letters have no room for it.
    NoRoom,
}

/// Bytes that an entry with a body of this size counts for at most.
pub(super) fn room_for(body_bytes: usize) -> u64 {
    (body_bytes + ERROR_BYTES_MAX + ROW_BYTES) as u64
}

/// Copies an entry to the dead letters of a sink; a second call for the same entry changes nothing,
/// but that the log has it counted. Where there is to be room, a full sink that pauses gets nothing.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    settings: &Settings,
    (sink, position): (&Arc<str>, Position),
    error: &str,
    listing: Listing,
) -> Result<Added, Error> {
    let adding = || failed("dead-letter an entry");
    let error = cut(error);
    let pauses = settings.dlq_when_full == DlqWhenFull::Pause;
    let wants_room = listing != Listing::Log;
    if wants_room && pauses && !has_room(connection, settings, (sink, position)).await? {
        return Ok(Added::NoRoom);
    }
    const COPY: &str = "INSERT INTO dead_letter (sink, position, kind, topic, received_at, body, \
         previous, error, at, bytes, intake) \
         SELECT ?1, position, kind, topic, received_at, body, previous, ?3, ?4, \
         octet_length(body) + octet_length(?3) + ?5, ?6 FROM entry WHERE position = ?2 \
         ON CONFLICT (sink, position) DO UPDATE SET intake = 0, error = excluded.error, \
         at = excluded.at, bytes = excluded.bytes WHERE intake = 1 AND excluded.intake = 0";
    // Evicted meanwhile: there is nothing left to keep, but the accounting counts it. See
    // [`Entry::gone`](super::Entry::gone).
    const GONE: &str = "INSERT INTO dead_letter (sink, position, kind, topic, received_at, body, \
         error, at, bytes, intake) \
         VALUES (?1, ?2, 'undecodable', '', ?4, x'', ?3, ?4, octet_length(?3) + ?5, ?6) \
         ON CONFLICT DO NOTHING";
    let gone = format!(
        "{}{GONE_NOTE}",
        cut_to(error, ERROR_BYTES_MAX - GONE_NOTE.len())
    );
    for (text, error) in [(COPY, error), (GONE, &gone)] {
        let written = sqlx::query(text)
            .bind(Arc::clone(sink))
            .bind(position.0)
            .bind(error)
            .bind(Timestamp::now().as_microsecond())
            .bind(ROW_BYTES as i64)
            .bind(i64::from(listing == Listing::ReplayIfRoom))
            .execute(&mut *connection)
            .await
            .map_err(adding())?;
        if written.rows_affected() > 0 {
            break;
        }
    }
    if !pauses {
        drop_oldest(connection, settings, (sink, position))
            .await
            .map_err(adding())?;
    }
    Ok(Added::Listed)
}

/// Whether the sink's bound allows one more dead letter, or this one is listed already.
async fn has_room(
    connection: &mut SqliteConnection,
    settings: &Settings,
    (sink, position): (&Arc<str>, Position),
) -> Result<bool, Error> {
    const ROOM: &str = "SELECT coalesce((SELECT bytes FROM dlq WHERE sink = ?1), 0), \
         coalesce((SELECT octet_length(body) FROM entry WHERE position = ?2), 0), \
         EXISTS (SELECT 1 FROM dead_letter WHERE sink = ?1 AND position = ?2)";
    let (used, body, listed): (i64, i64, bool) = sqlx::query_as(ROOM)
        .bind(Arc::clone(sink))
        .bind(position.0)
        .fetch_one(connection)
        .await
        .map_err(failed("measure the dead letters"))?;
    let body = usize::try_from(body).unwrap_or(usize::MAX);
    Ok(listed || used.unsigned_abs() + room_for(body) <= settings.dlq_bytes_max)
}

/// Drops the oldest dead letters of a sink, but for the newest one, until they are within their
/// bound.
async fn drop_oldest(
    connection: &mut SqliteConnection,
    settings: &Settings,
    (sink, newest): (&Arc<str>, Position),
) -> Result<(), sqlx::Error> {
    const BYTES: &str = "SELECT coalesce((SELECT bytes FROM dlq WHERE sink = ?), 0)";
    loop {
        let bytes: i64 = sqlx::query_scalar(BYTES)
            .bind(Arc::clone(sink))
            .fetch_one(&mut *connection)
            .await?;
        if bytes.unsigned_abs() <= settings.dlq_bytes_max {
            return Ok(());
        }
        let oldest = format!(
            "SELECT id FROM dead_letter WHERE {PASSED} AND position <> ?2 AND redrive = 0 \
             ORDER BY position LIMIT {DROPPED_AT_ONCE}"
        );
        if discard_ids(connection, sink, newest.0, &oldest).await? == 0 {
            return Ok(());
        }
    }
}

/// Drops the dead letters that a query gives, whose `?1` is the sink and `?2` a value; gives how
/// many.
async fn discard_ids<'q, T>(
    connection: &mut SqliteConnection,
    sink: &Arc<str>,
    value: T,
    ids: &str,
) -> Result<u64, sqlx::Error>
where
    T: sqlx::Encode<'q, Sqlite> + sqlx::Type<Sqlite> + Clone + 'q,
{
    let count = format!(
        "UPDATE cursor SET discarded = discarded + (SELECT count(*) FROM dead_letter \
         WHERE intake = 0 AND id IN ({ids})) WHERE sink = ?1"
    );
    let delete = format!("DELETE FROM dead_letter WHERE id IN ({ids})");
    let mut changed = 0;
    for text in [count, delete] {
        changed = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(Arc::clone(sink))
            .bind(value.clone())
            .execute(&mut *connection)
            .await?
            .rows_affected();
    }
    Ok(changed)
}

/// How many there are, of all sinks.
pub(super) async fn count(connection: &mut SqliteConnection) -> Result<u64, Error> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM dead_letter")
        .fetch_one(connection)
        .await
        .map_err(failed("count the dead letters"))?;
    Ok(count.unsigned_abs())
}

/// Drops dead letters that were listed before a moment (microseconds), at most `at_once` of them;
/// gives how many.
pub(super) async fn expire(
    connection: &mut SqliteConnection,
    before: i64,
    at_once: u32,
) -> Result<u64, Error> {
    const DUE: &str = "SELECT DISTINCT sink FROM dead_letter INDEXED BY dead_letter_at \
         WHERE at < ? AND redrive = 0";
    let expiring = || failed("drop dead letters that are too old");
    let mut transaction = connection.begin().await.map_err(expiring())?;
    let sinks: Vec<String> = sqlx::query_scalar(DUE)
        .bind(before)
        .fetch_all(&mut *transaction)
        .await
        .map_err(expiring())?;
    let mut expired = 0;
    for sink in sinks {
        let left = u64::from(at_once).saturating_sub(expired);
        let old = format!(
            "SELECT id FROM dead_letter INDEXED BY dead_letter_at WHERE {PASSED} AND at < ?2 \
             AND redrive = 0 ORDER BY at LIMIT {left}"
        );
        expired += discard_ids(&mut transaction, &sink.into(), before, &old)
            .await
            .map_err(expiring())?;
    }
    transaction.commit().await.map_err(expiring())?;
    Ok(expired)
}

/// Marks dead letters of a sink for redelivery; gives how many.
pub(super) async fn redrive(
    connection: &mut SqliteConnection,
    sink: &Arc<str>,
    which: &Which,
) -> Result<u64, sqlx::Error> {
    let (chosen, positions) = chosen(which);
    let text = format!("UPDATE dead_letter SET redrive = 1 WHERE {PASSED} AND {chosen}");
    let redriven = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(Arc::clone(sink))
        .bind(positions);
    Ok(redriven.execute(connection).await?.rows_affected())
}

/// Drops dead letters of a sink; gives how many.
pub(super) async fn discard(
    connection: &mut SqliteConnection,
    sink: &Arc<str>,
    which: &Which,
) -> Result<u64, sqlx::Error> {
    let (chosen, positions) = chosen(which);
    let ids = format!("SELECT id FROM dead_letter WHERE {PASSED} AND {chosen}");
    discard_ids(connection, sink, positions, &ids).await
}

/// Marks an entry that was undecodable when received for delivery to a sink.
pub(super) async fn redrive_undecodable(
    connection: &mut SqliteConnection,
    sink: &Arc<str>,
    part: Position,
) -> Result<(), sqlx::Error> {
    const ERROR: &str = "undecodable when received, decodable now: waits for delivery";
    const ADD: &str = "INSERT INTO dead_letter (sink, position, kind, topic, received_at, body, \
         error, at, redrive, intake, bytes) \
         SELECT ?1, position, kind, topic, received_at, body, ?5, ?3, 1, 1, \
         octet_length(body) + octet_length(?5) + ?4 FROM entry WHERE position = ?2 \
         ON CONFLICT DO UPDATE SET redrive = 1";
    sqlx::query(ADD)
        .bind(Arc::clone(sink))
        .bind(part.0)
        .bind(Timestamp::now().as_microsecond())
        .bind(ROW_BYTES as i64)
        .bind(ERROR)
        .execute(connection)
        .await
        .map(drop)
}

/// Writes the outcome of a redelivered dead letter.
pub(super) async fn settle(
    connection: &mut SqliteConnection,
    sink: &Arc<str>,
    position: Position,
    settled: &Settled,
) -> Result<u64, sqlx::Error> {
    const REFUSED: &str = "UPDATE dead_letter SET redrive = 0, error = ?3, at = ?4, \
         bytes = bytes - octet_length(error) + octet_length(?3) WHERE sink = ?1 AND position = ?2";
    const COUNT: &str = "UPDATE cursor SET redriven = redriven + (SELECT count(*) FROM dead_letter \
         WHERE sink = ?1 AND position = ?2 AND intake = 0) WHERE sink = ?1";
    const REMOVE: &str = "DELETE FROM dead_letter WHERE sink = ?1 AND position = ?2";
    if let Settled::Refused(error) = settled {
        let refused = sqlx::query(REFUSED)
            .bind(Arc::clone(sink))
            .bind(position.0)
            .bind(cut(error))
            .bind(Timestamp::now().as_microsecond());
        return Ok(refused.execute(connection).await?.rows_affected());
    }
    let mut changed = 0;
    for text in [COUNT, REMOVE] {
        changed = sqlx::query(text)
            .bind(Arc::clone(sink))
            .bind(position.0)
            .execute(&mut *connection)
            .await?
            .rows_affected();
    }
    Ok(changed)
}

/// How many dead letters each sink has, and their bytes.
pub(super) async fn totals(connection: &mut SqliteConnection) -> Result<Vec<DlqTotal>, Error> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as("SELECT sink, entries, bytes FROM dlq")
        .fetch_all(connection)
        .await
        .map_err(failed("count the dead letters"))?;
    let total = |(sink, entries, bytes): (String, i64, i64)| DlqTotal {
        sink,
        entries: entries.unsigned_abs(),
        bytes: bytes.unsigned_abs(),
    };
    Ok(rows.into_iter().map(total).collect())
}

/// A condition, and the JSON array of positions that is its `?2`.
fn chosen(which: &Which) -> (&'static str, String) {
    match which {
        Which::All => ("?2 = '[]'", "[]".to_owned()),
        Which::Positions(positions) => (
            "position IN (SELECT value FROM json_each(?2))",
            json(positions),
        ),
    }
}

/// An error's text within [`ERROR_BYTES_MAX`].
fn cut(error: &str) -> &str {
    cut_to(error, ERROR_BYTES_MAX)
}

fn cut_to(error: &str, bytes_max: usize) -> &str {
    &error[..error.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_two_characters() {
        assert_eq!(cut("故障"), "故障");
        let long = "故".repeat(1000);
        assert_eq!(cut(&long).len(), ERROR_BYTES_MAX / 3 * 3);
    }
}
