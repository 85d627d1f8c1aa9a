//! The replays that have not ended, one for each sink at most.

use std::sync::Arc;

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::command::Replay;
use crate::model::Position;

/// Begins a replay; it replaces one of the sink that has not ended. Gives how many entries that one
/// had yet to look through.
pub(super) async fn begin(
    connection: &mut SqliteConnection,
    sink: &Arc<str>,
    replay: &Replay,
) -> Result<u64, sqlx::Error> {
    const BEGIN: &str = "INSERT INTO replay (sink, position, last_position, since, until, device_id) \
         VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET position = excluded.position, \
         last_position = excluded.last_position, since = excluded.since, until = excluded.until, \
         device_id = excluded.device_id";
    const LEFT: &str =
        "SELECT coalesce(max(last_position - position), 0) FROM replay WHERE sink = ?";
    let left: i64 = sqlx::query_scalar(LEFT)
        .bind(Arc::clone(sink))
        .fetch_one(&mut *connection)
        .await?;
    let begun = sqlx::query(BEGIN)
        .bind(Arc::clone(sink))
        .bind(replay.done.0)
        .bind(replay.through.0)
        .bind(replay.since.map(Timestamp::as_microsecond))
        .bind(replay.until.map(Timestamp::as_microsecond))
        .bind(replay.device_id.clone());
    begun.execute(connection).await?;
    Ok(left.max(0).unsigned_abs())
}

/// Moves a replay to a position, and removes it at its end. One that an operator has put in its
/// place meanwhile stays as it is. Gives 1 if it was the replay of the sink.
pub(super) async fn go_on(
    connection: &mut SqliteConnection,
    sink: &Arc<str>,
    replay: &Replay,
    done: Position,
) -> Result<u64, sqlx::Error> {
    // `IS`: an absent bound is equal to itself.
    const MOVE: &str = "UPDATE replay SET position = ?1 WHERE sink = ?2 AND position = ?3 \
         AND last_position = ?4 AND since IS ?5 AND until IS ?6 AND device_id IS ?7";
    const END: &str = "DELETE FROM replay WHERE sink = ? AND position >= last_position";
    let moved = sqlx::query(MOVE)
        .bind(done.0)
        .bind(Arc::clone(sink))
        .bind(replay.done.0)
        .bind(replay.through.0)
        .bind(replay.since.map(Timestamp::as_microsecond))
        .bind(replay.until.map(Timestamp::as_microsecond))
        .bind(replay.device_id.clone())
        .execute(&mut *connection)
        .await?
        .rows_affected();
    if moved > 0 {
        let end = sqlx::query(END).bind(Arc::clone(sink));
        end.execute(connection).await?;
    }
    Ok(moved)
}

/// All replays, each with its sink.
pub(super) async fn all(
    connection: &mut SqliteConnection,
) -> Result<Vec<(String, Replay)>, sqlx::Error> {
    const ALL: &str = "SELECT sink, position, last_position, since, until, device_id FROM replay";
    let row = |row: SqliteRow| {
        // A time that is out of range bounds nothing.
        let time = |index: usize| {
            let time = row.try_get::<Option<i64>, _>(index)?;
            Ok::<_, sqlx::Error>(
                time.map(|time| Timestamp::from_microsecond(time).unwrap_or(Timestamp::MAX)),
            )
        };
        let replay = Replay {
            done: Position(row.try_get(1)?),
            through: Position(row.try_get(2)?),
            since: time(3)?,
            until: time(4)?,
            device_id: row.try_get(5)?,
        };
        Ok((row.try_get(0)?, replay))
    };
    sqlx::query(ALL).try_map(row).fetch_all(connection).await
}
