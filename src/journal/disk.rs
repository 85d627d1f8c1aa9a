//! What the file says of the journal as a whole: its newest position, its clock and its size.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

use super::error::failed;
use super::retention::{LogStart, Usage};
use super::state::{OperatorState, State};
use super::{
    Error, Settings, cursor_rows, dead_letters, earlier_ids, entry_rows, file, proof_rows, replays,
};
use crate::faults::{self, Mutation};
use crate::model::Position;

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
    let cursors = cursor_rows::all(&mut *connection).await?;
    let operator_state = operator_state(&mut *connection).await?;
    let judged = judged(&mut *connection).await?;
    let proofs = proof_rows::kept(&mut *connection).await?;
    let begin = entry_rows::begin(connection).await?;
    let ids = earlier_ids::read(&mut *connection).await?;
    let state = State::new(settings, ids, head, cursors, operator_state, proofs);
    state.begins(begin.oldest());
    if let Some(oldest) = begin.oldest() {
        state.knows_times(entry_rows::received_times(connection, &state, oldest).await?);
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
