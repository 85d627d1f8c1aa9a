//! Reads and writes the table `entry`, and the table `eviction` of what was removed from it before
//! its time.

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use sqlx::Arguments;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

use super::command::Which;
use super::error::failed;
use super::insert::Insert;
use super::received_times::ReceivedTimes;
use super::retention::{LogStart, Truncation};
use super::row::json;
use super::state::State;
use super::{Entry, EntryContent, Error};
use crate::model::{EntryKind, Position};

/// The names of the kinds, so that binding one copies no text.
static KINDS: LazyLock<[Arc<str>; EntryKind::ALL.len()]> =
    LazyLock::new(|| EntryKind::ALL.map(|kind| kind.as_str().into()));

/// The statement of [`insert`].
pub(super) fn statement() -> Insert {
    Insert::new(
        "INSERT INTO entry (position, kind, topic, received_at, body, previous, repeat, reason) VALUES ",
        8,
        "",
    )
}

/// Writes entries at their positions.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    insert: &Insert,
    entries: &[Entry],
) -> Result<(), Error> {
    let bind = |entry: &Entry, arguments: &mut SqliteArguments| {
        let (previous, repeat, reason) = match &entry.content {
            EntryContent::Status { previous, repeat } => {
                (previous.as_deref(), repeat.then_some(1), None)
            }
            EntryContent::Undecodable { reason } => (None, None, Some(&**reason)),
            EntryContent::Coverage | EntryContent::Alarm => (None, None, None),
            EntryContent::Resync { previous, confirms } => {
                (previous.as_deref(), confirms.then_some(1), None)
            }
        };
        arguments.add(entry.position.0)?;
        arguments.add(Arc::clone(&KINDS[entry.content.kind() as usize]))?;
        arguments.add(Arc::clone(&entry.topic))?;
        arguments.add(entry.received_at.as_microsecond())?;
        arguments.add(&*entry.body)?;
        arguments.add(previous)?;
        arguments.add(repeat)?;
        arguments.add(reason)
    };
    insert
        .run(connection, entries, bind)
        .await
        .map_err(failed("write entries"))
}

/// Marks undecodable entries as settled; gives how many.
pub(super) async fn settle_undecodable(
    connection: &mut SqliteConnection,
    which: &Which,
) -> Result<u64, sqlx::Error> {
    const ALL: &str = "UPDATE entry SET settled = 1 WHERE kind = 'undecodable' AND settled IS NULL";
    const SOME: &str = "UPDATE entry SET settled = 1 WHERE kind = 'undecodable' \
         AND settled IS NULL AND position IN (SELECT value FROM json_each(?))";
    let settled = match which {
        Which::All => sqlx::query(ALL),
        Which::Positions(positions) => sqlx::query(SOME).bind(json(positions)),
    };
    Ok(settled.execute(connection).await?.rows_affected())
}

/// Where the log begins.
pub(super) async fn begin(connection: &mut SqliteConnection) -> Result<LogStart, Error> {
    const BEGIN: &str = "SELECT position, received_at FROM entry ORDER BY position LIMIT 1";
    let oldest: Option<(i64, i64)> = sqlx::query_as(BEGIN)
        .fetch_optional(connection)
        .await
        .map_err(failed("find its oldest entry"))?;
    Ok(LogStart(oldest.map(|(position, received_at)| {
        (Position(position), received_at)
    })))
}

/// When some of the entries were received, as far as it is worth to know it.
pub(super) async fn received_times(
    connection: &mut SqliteConnection,
    state: &State,
    oldest: Position,
) -> Result<ReceivedTimes, Error> {
    const TIMES: &str = "SELECT position, received_at FROM entry \
         WHERE position IN (SELECT value FROM json_each(?)) ORDER BY position";
    let cursors = state.status().sinks.into_iter().map(|sink| sink.cursor);
    let worth = ReceivedTimes::worth(oldest, state.head(), cursors);
    let times: Vec<(i64, i64)> = sqlx::query_as(TIMES)
        .bind(json(&worth))
        .fetch_all(connection)
        .await
        .map_err(failed("read when its entries were received"))?;
    let times = times.into_iter().filter_map(|(position, received_at)| {
        let at = Timestamp::from_microsecond(received_at).ok()?;
        Some((Position(position), at))
    });
    Ok(ReceivedTimes::new(times.collect()))
}

/// When the newest entry that is kept was received.
pub(super) async fn newest(connection: &mut SqliteConnection) -> Result<Option<Timestamp>, Error> {
    const NEWEST: &str = "SELECT received_at FROM entry ORDER BY position DESC LIMIT 1";
    let newest: Option<i64> = sqlx::query_scalar(NEWEST)
        .fetch_optional(connection)
        .await
        .map_err(failed("find its newest entry"))?;
    Ok(newest.and_then(|newest| Timestamp::from_microsecond(newest).ok()))
}

/// What a truncation has removed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Removed {
    pub(super) entries: u64,
    /// Those of them that were undecodable, and that nobody had dealt with.
    pub(super) undecodable: u64,
}

/// Removes entries.
pub(super) async fn truncate(
    connection: &mut SqliteConnection,
    truncation: Truncation,
) -> Result<Removed, Error> {
    const PAST: &str = "DELETE FROM entry WHERE position BETWEEN ? AND ? AND received_at < ?";
    let undecodable = record_undecodable(connection, truncation).await?;
    let entries = match truncation {
        Truncation::Past {
            from,
            through,
            received_before,
        } => {
            let past = sqlx::query(PAST)
                .bind(from.0)
                .bind(through.0)
                .bind(received_before);
            past.execute(connection)
                .await
                .map_err(failed("delete delivered entries"))?
                .rows_affected()
        }
        Truncation::Drop { from, through } => drop_oldest(connection, from, through).await?,
    };
    Ok(Removed {
        entries,
        undecodable,
    })
}

/// Records the undecodable entries that a truncation is about to remove and that nobody has dealt
/// with: no sink's accounting misses them.
async fn record_undecodable(
    connection: &mut SqliteConnection,
    truncation: Truncation,
) -> Result<u64, Error> {
    const COUNT: &str = "SELECT count(*) FROM entry INDEXED BY entry_undecodable \
         WHERE kind = 'undecodable' AND settled IS NULL AND position BETWEEN ? AND ? \
         AND received_at < ?";
    const RECORD: &str = "UPDATE journal SET undecodable_removed = undecodable_removed + ?";
    let counting = || failed("count the undecodable entries that it removes");
    let (from, through, received_before) = match truncation {
        Truncation::Past {
            from,
            through,
            received_before,
        } => (from, through, received_before),
        Truncation::Drop { from, through } => (from, through, i64::MAX),
    };
    let count: i64 = sqlx::query_scalar(COUNT)
        .bind(from.0)
        .bind(through.0)
        .bind(received_before)
        .fetch_one(&mut *connection)
        .await
        .map_err(counting())?;
    if count > 0 {
        let record = sqlx::query(RECORD).bind(count).execute(connection);
        record.await.map_err(counting())?;
    }
    Ok(count.unsigned_abs())
}

/// Everything that may be evicted up to there was. What is left before it, such as when topics were
/// heard, is no beginning of another run.
pub(super) async fn evicted(connection: &mut SqliteConnection) -> Result<Position, Error> {
    sqlx::query_scalar("SELECT coalesce(max(to_position), 0) FROM eviction")
        .fetch_one(connection)
        .await
        .map(Position)
        .map_err(failed("read what it has evicted"))
}

/// Removes entries that some sink may still need, and records it: a run of removals is one row.
async fn drop_oldest(
    connection: &mut SqliteConnection,
    from: Position,
    through: Position,
) -> Result<u64, Error> {
    const RECORD: &str = "INSERT INTO eviction (from_position, to_position, entries, since, until, reason) \
         SELECT coalesce((SELECT from_position FROM eviction WHERE to_position = ?1 - 1), ?1), ?2, ?3, ?4, ?4, ?5 \
         WHERE true ON CONFLICT DO UPDATE SET to_position = max(to_position, excluded.to_position), \
         entries = entries + excluded.entries, until = excluded.until";
    let dropping = || failed("evict its oldest entries");
    const DROP: &str = "DELETE FROM entry WHERE position BETWEEN ? AND ? \
         AND kind IN ('status', 'undecodable', 'resync')";
    let removed = sqlx::query(DROP)
        .bind(from.0)
        .bind(through.0)
        .execute(&mut *connection)
        .await
        .map_err(dropping())?
        .rows_affected();
    sqlx::query(RECORD)
        .bind(from.0)
        .bind(through.0)
        .bind(removed.cast_signed())
        .bind(Timestamp::now().as_microsecond())
        .bind("journal full: drop_oldest")
        .execute(connection)
        .await
        .map_err(dropping())?;
    Ok(removed)
}
