//! The SQL statements that read and write the journal's tables. It decides nothing.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Row};

use super::accounting::{Accounting, Passed};
use super::command::Which;
use super::error::failed;
use super::insert::Insert;
use super::received_times::ReceivedTimes;
use super::retention::{LogStart, Truncation, Usage};
use super::row::json;
use super::state::{CursorRow, OperatorState, State};
use super::{
    Entry, EntryContent, Error, Settings, dead_letters, earlier_ids, file, proof_rows, replays,
};
use crate::faults::{self, Mutation};
use crate::model::{EntryKind, Position};

/// The names of the kinds, so that binding one copies no text.
static KINDS: LazyLock<[Arc<str>; EntryKind::ALL.len()]> =
    LazyLock::new(|| EntryKind::ALL.map(|kind| kind.as_str().into()));

/// The statement of [`insert_entries`].
pub(super) fn entries_statement() -> Insert {
    Insert::new(
        "INSERT INTO entry (position, kind, topic, received_at, body, previous, repeat, reason) VALUES ",
        8,
        "",
    )
}

/// The statement of [`save_cursors`].
pub(super) fn cursors_statement() -> Insert {
    let head = "INSERT INTO cursor (sink, position, started, rewound, furthest, delivered, filtered, undecodable, \
             dead_lettered, evicted, removed) VALUES ";
    // The commands count `redriven` and `discarded` themselves.
    let tail = " ON CONFLICT DO UPDATE SET position = excluded.position, started = excluded.started, \
             rewound = excluded.rewound, furthest = excluded.furthest, delivered = excluded.delivered, filtered = excluded.filtered, \
             undecodable = excluded.undecodable, dead_lettered = excluded.dead_lettered, evicted = excluded.evicted, \
             removed = excluded.removed";
    Insert::new(head, 11, tail)
}

/// Writes entries at their positions.
pub(super) async fn insert_entries(
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

/// Everything that is kept in memory while the journal is open, and where the log begins.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    settings: &Settings,
) -> Result<(State, LogStart), Error> {
    if faults::makes(Mutation::ReusePositions) {
        sqlx::query("UPDATE journal SET head = 0")
            .execute(&mut *connection)
            .await
            .map_err(failed("rewind"))?;
    }
    let head = head(&mut *connection).await?;
    let cursors = cursors(&mut *connection).await?;
    let operator_state = operator_state(&mut *connection).await?;
    let judged = judged(&mut *connection).await?;
    let proofs = proof_rows::kept(&mut *connection).await?;
    let begin = begin(connection).await?;
    let ids = earlier_ids::read(&mut *connection).await?;
    let state = State::new(settings, ids, head, cursors, operator_state, proofs);
    state.begins(begin.oldest());
    if let Some(oldest) = begin.oldest() {
        state.knows_times(received_times(connection, &state, oldest).await?);
    }
    for (sink, digest) in judged {
        state.judge(sink.as_str().into(), digest.into());
    }
    Ok((state, begin))
}

/// The newest position. It outlives its entry: a position is never used twice (invariant I4).
pub(super) async fn head(connection: &mut SqliteConnection) -> Result<Position, Error> {
    const HEAD: &str =
        "SELECT max(head, coalesce((SELECT max(position) FROM entry), 0)) FROM journal";
    let head: i64 = sqlx::query_scalar(HEAD)
        .fetch_one(connection)
        .await
        .map_err(failed("read its newest position"))?;
    Ok(Position(head))
}

/// Saves the newest position, so that it outlives its entry.
pub(super) async fn save_head(
    connection: &mut SqliteConnection,
    head: Position,
) -> Result<(), Error> {
    sqlx::query("UPDATE journal SET head = ?")
        .bind(head.0)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed("keep its newest position"))
}

/// Writes cursors where they stand now.
pub(super) async fn save_cursors(
    connection: &mut SqliteConnection,
    insert: &Insert,
    cursors: &[CursorRow],
) -> Result<(), Error> {
    let bind = |CursorRow {
                    sink,
                    position,
                    accounting,
                }: &CursorRow,
                arguments: &mut SqliteArguments| {
        let Passed {
            delivered,
            filtered,
            undecodable,
            dead_lettered,
            evicted,
            removed,
        } = accounting.passed;
        arguments.add(Arc::clone(sink))?;
        for position in [
            position.0,
            accounting.started.0,
            accounting.rewound,
            accounting.furthest.0,
        ] {
            arguments.add(position)?;
        }
        for count in [
            delivered,
            filtered,
            undecodable,
            dead_lettered,
            evicted,
            removed,
        ] {
            arguments.add(i64::try_from(count)?)?;
        }
        Ok(())
    };
    insert
        .run(connection, cursors, bind)
        .await
        .map_err(failed("save the cursors"))?;
    Ok(())
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

/// Every cursor, with its accounting.
pub(super) async fn cursors(connection: &mut SqliteConnection) -> Result<Vec<CursorRow>, Error> {
    const CURSORS: &str = "SELECT sink, position, started, rewound, delivered, filtered, undecodable, dead_lettered, evicted, \
         removed, redriven, discarded, furthest FROM cursor";
    let row = |row: SqliteRow| {
        let count = |index: usize| row.try_get(index).map(i64::unsigned_abs);
        let passed = Passed {
            delivered: count(4)?,
            filtered: count(5)?,
            undecodable: count(6)?,
            dead_lettered: count(7)?,
            evicted: count(8)?,
            removed: count(9)?,
        };
        let accounting = Accounting {
            started: Position(row.try_get(2)?),
            rewound: row.try_get(3)?,
            furthest: Position(row.try_get(12)?),
            passed,
            redriven: count(10)?,
            discarded: count(11)?,
        };
        Ok(CursorRow {
            sink: row.try_get::<&str, _>(0)?.into(),
            position: Position(row.try_get(1)?),
            accounting,
        })
    };
    sqlx::query(CURSORS)
        .try_map(row)
        .fetch_all(connection)
        .await
        .map_err(failed("read the cursors"))
}

/// The state that commands change: dead letters, redriven and discarded counts, replays.
pub(super) async fn operator_state(
    connection: &mut SqliteConnection,
) -> Result<OperatorState, Error> {
    let reading = || failed("read the pending redrives and replays");
    let dead_letters = dead_letters::totals(&mut *connection).await?;
    let settled = sqlx::query_as("SELECT sink, redriven, discarded FROM cursor")
        .fetch_all(&mut *connection)
        .await
        .map_err(reading())?;
    let replays = replays::all(connection).await.map_err(reading())?;
    Ok(OperatorState {
        dead_letters,
        settled,
        replays,
    })
}

/// The digest of each sink's `when`, where it is known what that makes of statuses.
async fn judged(connection: &mut SqliteConnection) -> Result<Vec<(String, Vec<u8>)>, Error> {
    sqlx::query_as("SELECT sink, digest FROM judged")
        .fetch_all(connection)
        .await
        .map_err(failed("read the `when` of each sink"))
}

/// Keeps such a digest.
pub(super) async fn save_judged(
    connection: &mut SqliteConnection,
    sink: &Arc<str>,
    digest: &[u8],
) -> Result<u64, sqlx::Error> {
    const SAVE: &str = "INSERT INTO judged (sink, digest) VALUES (?, ?) \
         ON CONFLICT DO UPDATE SET digest = excluded.digest";
    let save = sqlx::query(SAVE).bind(Arc::clone(sink)).bind(digest);
    Ok(save.execute(connection).await?.rows_affected())
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
async fn received_times(
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

/// The time that the journal believed last. One that has none begins with its newest entry, or with
/// the clock: before the first entry of this process, which a wrong clock may date.
pub(super) async fn believed_at(
    connection: &mut SqliteConnection,
    newest: Option<Timestamp>,
) -> Result<Timestamp, Error> {
    const BEGIN: &str = "INSERT INTO clock (one, believed_at) VALUES (1, ?) ON CONFLICT DO NOTHING";
    const BELIEVED: &str = "SELECT believed_at FROM clock";
    let reading = || failed("read the time that was believed last");
    let first = newest.unwrap_or_else(Timestamp::now);
    let believed: Option<i64> = sqlx::query_scalar(BELIEVED)
        .fetch_optional(&mut *connection)
        .await
        .map_err(reading())?;
    let Some(believed) = believed else {
        sqlx::query(BEGIN)
            .bind(first.as_microsecond())
            .execute(connection)
            .await
            .map_err(reading())?;
        return Ok(first);
    };
    Ok(Timestamp::from_microsecond(believed).unwrap_or(first))
}

/// Keeps the time that is believed now.
pub(super) async fn save_believed_at(
    connection: &mut SqliteConnection,
    time: Timestamp,
) -> Result<(), Error> {
    sqlx::query("UPDATE clock SET believed_at = ?")
        .bind(time.as_microsecond())
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed("keep the time that is believed"))
}

/// Removes entries; gives how many.
pub(super) async fn truncate(
    connection: &mut SqliteConnection,
    truncation: Truncation,
) -> Result<u64, Error> {
    const PAST: &str = "DELETE FROM entry WHERE position BETWEEN ? AND ? AND received_at < ?";
    match truncation {
        Truncation::Past {
            from,
            through,
            received_before,
        } => {
            let past = sqlx::query(PAST)
                .bind(from.0)
                .bind(through.0)
                .bind(received_before);
            Ok(past
                .execute(connection)
                .await
                .map_err(failed("delete delivered entries"))?
                .rows_affected())
        }
        Truncation::Drop { from, through } => drop_oldest(connection, from, through).await,
    }
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

/// The bytes that the file uses and the bytes that are free.
pub(super) async fn usage(connection: &mut SqliteConnection, path: &Path) -> Result<Usage, Error> {
    const PAGES: &str = "SELECT page_count, freelist_count, page_size \
         FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    let measuring = "measure its file";
    let (pages, freed, page_bytes): (i64, i64, i64) = sqlx::query_as(PAGES)
        .fetch_one(connection)
        .await
        .map_err(failed(measuring))?;
    let file_system = rustix::fs::statvfs(path)
        .map_err(|errno| failed(measuring)(sqlx::Error::Io(errno.into())))?;
    let free_bytes =
        file_system.f_bavail * file_system.f_frsize + (freed * page_bytes).unsigned_abs();
    Ok(Usage {
        used_bytes: ((pages - freed) * page_bytes).unsigned_abs(),
        free_bytes,
    })
}

/// Has the WAL begin at its start again as soon as no reader needs it; its file is kept, since
/// growing it costs more than writing over it. Gives up after a while and gives false: to be tried
/// again.
pub(super) async fn restart_wal(
    connection: &mut SqliteConnection,
    patience: Duration,
) -> Result<bool, Error> {
    let checkpointing = || failed("checkpoint");
    let wait =
        |timeout: Duration| AssertSqlSafe(format!("PRAGMA busy_timeout = {}", timeout.as_millis()));
    sqlx::raw_sql(wait(patience))
        .execute(&mut *connection)
        .await
        .map_err(checkpointing())?;
    let restarted = sqlx::raw_sql("PRAGMA wal_checkpoint(RESTART)")
        .fetch_one(&mut *connection)
        .await
        .and_then(|row| row.try_get::<i64, _>(0));
    sqlx::raw_sql(wait(file::BUSY_TIMEOUT))
        .execute(connection)
        .await
        .map_err(checkpointing())?;
    restarted.map(|busy| busy == 0).map_err(checkpointing())
}
