//! What an operator, or a sink's redelivery, wants changed in the journal: each command is one
//! transaction's, whole or not at all. No entry is ever rewritten.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnection;
use tokio::sync::oneshot;

use super::Error;
use super::error::failed;
use crate::model::Position;

/// Entries that are dead-lettered for a sink, or that were undecodable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// All of them.
    All,
    /// These; one that is not among them is passed over.
    Positions(Vec<Position>),
}

/// A slice of the log that one sink is to get again. What it keeps holds the entries of the slice
/// in the log until they were delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Everything at or before it is done.
    pub done: Position,
    /// The last entry of the slice.
    pub through: Position,
    /// Only what was received at or after it.
    pub since: Option<Timestamp>,
    /// Only what was received before it.
    pub until: Option<Timestamp>,
    /// Only this device's.
    pub device_id: Option<String>,
}

impl Replay {
    /// Whether an entry that was received then is in the slice.
    pub fn wants(&self, received_at: Timestamp) -> bool {
        self.since.is_none_or(|since| received_at >= since)
            && self.until.is_none_or(|until| received_at < until)
    }
}

/// What became of an entry that was delivered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The sink has it, or does not want it: it is no longer a dead letter.
    Done,
    /// It was refused again, and why: it stays dead-lettered until somebody asks again.
    Refused(String),
}

/// A change that an operator or a redelivery asks of the journal.
#[derive(Debug)]
pub(super) enum Command {
    /// Deliver a sink's dead letters again.
    Redrive { sink: Arc<str>, which: Which },
    /// Drop a sink's dead letters.
    Discard { sink: Arc<str>, which: Which },
    /// An undecodable entry can be decoded now: deliver these to these sinks, in its place.
    RedriveUndecodable {
        position: Position,
        parts: Vec<Position>,
        sinks: Vec<Arc<str>>,
    },
    /// These undecodable entries are settled: no list has them.
    DiscardUndecodable { which: Which },
    /// An entry was delivered again.
    Settle {
        sink: Arc<str>,
        position: Position,
        settled: Settled,
    },
    /// Begin a replay, in place of one that is not done.
    Replay { sink: Arc<str>, replay: Replay },
    /// A replay has come so far; at its end it is forgotten.
    Replayed { sink: Arc<str>, done: Position },
    /// A sink is forgotten: its cursor and its dead letters go.
    Forget { sink: Arc<str> },
}

/// A command on its way, and who waits for the number of entries (or sinks) that it has changed.
#[derive(Debug)]
pub(super) struct QueuedCommand {
    pub(super) command: Command,
    pub(super) done: oneshot::Sender<u64>,
}

/// The dead letters of `?1` that its cursor has passed: those ahead of it are delivery's, which has
/// not counted them yet.
const PASSED: &str =
    "sink = ?1 AND position <= (SELECT position FROM cursor WHERE cursor.sink = ?1)";

impl Command {
    /// Writes it; gives how many entries (or sinks) it has changed.
    pub(super) async fn write(&self, connection: &mut SqliteConnection) -> Result<u64, Error> {
        self.execute(connection)
            .await
            .map_err(failed("write a command"))
    }

    async fn execute(&self, connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
        match self {
            Command::Redrive { sink, which } => {
                let text = format!(
                    "UPDATE dead_letter SET redrive = 1 WHERE {PASSED} AND {}",
                    chosen(which)
                );
                run(connection, &text, sink, which).await
            }
            Command::Discard { sink, which } => {
                let count = format!(
                    "UPDATE cursor SET discarded = discarded + (SELECT count(*) FROM dead_letter WHERE {PASSED} \
                     AND intake = 0 AND {}) WHERE sink = ?1",
                    chosen(which)
                );
                run(connection, &count, sink, which).await?;
                run(
                    connection,
                    &format!(
                        "DELETE FROM dead_letter WHERE {PASSED} AND {}",
                        chosen(which)
                    ),
                    sink,
                    which,
                )
                .await
            }
            Command::RedriveUndecodable {
                position,
                parts,
                sinks,
            } => {
                settle_undecodable(connection, &[&[*position], parts.as_slice()].concat()).await?;
                for sink in sinks {
                    for part in parts {
                        const ADD: &str = "INSERT INTO dead_letter (sink, position, kind, topic, received_at, body, error, at, redrive, intake, bytes) \
                             SELECT ?1, position, kind, topic, received_at, body, \
                             'undecodable when received, decodable now: waits for delivery', ?3, 1, 1, octet_length(body) + 256 \
                             FROM entry WHERE position = ?2 ON CONFLICT DO UPDATE SET redrive = 1";
                        let now = Timestamp::now().as_microsecond();
                        sqlx::query(ADD)
                            .bind(Arc::clone(sink))
                            .bind(part.0)
                            .bind(now)
                            .execute(&mut *connection)
                            .await?;
                    }
                }
                Ok(parts.len() as u64)
            }
            Command::DiscardUndecodable {
                which: Which::Positions(positions),
            } => settle_undecodable(connection, positions).await,
            Command::DiscardUndecodable { which: Which::All } => {
                let all =
                    "UPDATE entry SET settled = 1 WHERE kind = 'undecodable' AND settled IS NULL";
                Ok(sqlx::query(all).execute(connection).await?.rows_affected())
            }
            Command::Settle {
                sink,
                position,
                settled: Settled::Refused(error),
            } => {
                let refuse = "UPDATE dead_letter SET redrive = 0, error = ?, at = ? WHERE sink = ? AND position = ?";
                let now = Timestamp::now().as_microsecond();
                let refuse = sqlx::query(refuse)
                    .bind(error)
                    .bind(now)
                    .bind(Arc::clone(sink))
                    .bind(position.0);
                Ok(refuse.execute(connection).await?.rows_affected())
            }
            Command::Settle {
                sink,
                position,
                settled: Settled::Done,
            } => {
                const COUNT: &str = "UPDATE cursor SET redriven = redriven + (SELECT count(*) FROM dead_letter \
                     WHERE sink = ?1 AND position = ?2 AND intake = 0) WHERE sink = ?1";
                const REMOVE: &str = "DELETE FROM dead_letter WHERE sink = ?1 AND position = ?2";
                sqlx::query(COUNT)
                    .bind(Arc::clone(sink))
                    .bind(position.0)
                    .execute(&mut *connection)
                    .await?;
                let remove = sqlx::query(REMOVE).bind(Arc::clone(sink)).bind(position.0);
                Ok(remove.execute(connection).await?.rows_affected())
            }
            Command::Replay { sink, replay } => {
                const BEGIN: &str = "INSERT INTO replay (sink, position, last_position, since, until, device_id) \
                     VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET position = excluded.position, \
                     last_position = excluded.last_position, since = excluded.since, until = excluded.until, \
                     device_id = excluded.device_id";
                let begin = sqlx::query(BEGIN)
                    .bind(Arc::clone(sink))
                    .bind(replay.done.0)
                    .bind(replay.through.0)
                    .bind(replay.since.map(Timestamp::as_microsecond))
                    .bind(replay.until.map(Timestamp::as_microsecond))
                    .bind(replay.device_id.clone());
                Ok(begin.execute(connection).await?.rows_affected())
            }
            Command::Replayed { sink, done } => {
                const MOVE: &str = "UPDATE replay SET position = ?2 WHERE sink = ?1";
                const END: &str =
                    "DELETE FROM replay WHERE sink = ?1 AND position >= last_position";
                sqlx::query(MOVE)
                    .bind(Arc::clone(sink))
                    .bind(done.0)
                    .execute(&mut *connection)
                    .await?;
                Ok(sqlx::query(END)
                    .bind(Arc::clone(sink))
                    .execute(connection)
                    .await?
                    .rows_affected())
            }
            Command::Forget { sink } => {
                for forget in [
                    "DELETE FROM dead_letter WHERE sink = ?",
                    "DELETE FROM replay WHERE sink = ?",
                ] {
                    sqlx::query(forget)
                        .bind(Arc::clone(sink))
                        .execute(&mut *connection)
                        .await?;
                }
                let forget =
                    sqlx::query("DELETE FROM cursor WHERE sink = ?").bind(Arc::clone(sink));
                Ok(forget.execute(connection).await?.rows_affected())
            }
        }
    }
}

async fn settle_undecodable(
    connection: &mut SqliteConnection,
    positions: &[Position],
) -> Result<u64, sqlx::Error> {
    const SETTLE: &str = "UPDATE entry SET settled = 1 WHERE kind = 'undecodable' AND settled IS NULL \
         AND position IN (SELECT value FROM json_each(?))";
    let settled = sqlx::query(SETTLE)
        .bind(json(positions))
        .execute(connection)
        .await?;
    Ok(settled.rows_affected())
}

/// Runs a statement whose `?1` is the sink and whose `?2` is a JSON array of the positions.
async fn run(
    connection: &mut SqliteConnection,
    text: &str,
    sink: &Arc<str>,
    which: &Which,
) -> Result<u64, sqlx::Error> {
    let positions = match which {
        Which::All => "[]".to_owned(),
        Which::Positions(positions) => json(positions),
    };
    let query = sqlx::query(sqlx::AssertSqlSafe(text.to_owned()))
        .bind(Arc::clone(sink))
        .bind(positions);
    Ok(query.execute(connection).await?.rows_affected())
}

fn chosen(which: &Which) -> &'static str {
    match which {
        Which::All => "?2 = '[]'",
        Which::Positions(_) => "position IN (SELECT value FROM json_each(?2))",
    }
}

fn json(positions: &[Position]) -> String {
    serde_json::to_string(positions).expect("numbers always serialise")
}
