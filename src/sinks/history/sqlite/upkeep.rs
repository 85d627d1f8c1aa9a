//! The steps of the upkeep, each a transaction; at last the file becomes smaller.

use jiff::Timestamp;
use sqlx::Executor;
use sqlx::sqlite::SqliteConnection;

use super::store::begin;
use crate::sinks::history::recorder::Recorder;
use crate::sinks::history::upkeep::{Before, Stepped, Upkeep, work};

/// Pages that one step gives back: some milliseconds of work, and some ten where very many are free.
const VACUUM_PAGES: i64 = 100;
/// Free pages are given back where they are more than this part of the file: new rows use the rest.
const FREE_PART: i64 = 10;

/// One step; `now` is believed, and all that was received before it is stored.
pub(super) async fn step(
    upkeep: &mut Upkeep,
    connection: &mut SqliteConnection,
    recorder: &mut Recorder,
    now: Timestamp,
    before: Before,
) -> Result<Stepped, sqlx::Error> {
    if upkeep.waits() {
        return Ok(Stepped::Waits);
    }
    let Some(next) = upkeep.next(recorder, now) else {
        return give_back(connection).await;
    };
    let mut transaction = begin(connection, recorder).await?;
    work(&mut *transaction, upkeep, recorder, next, before).await?;
    transaction.commit().await?;
    Ok(Stepped::More)
}

/// Gives some free pages back to the file system, where they are many.
async fn give_back(connection: &mut SqliteConnection) -> Result<Stepped, sqlx::Error> {
    let free: i64 = sqlx::query_scalar("PRAGMA freelist_count")
        .fetch_one(&mut *connection)
        .await?;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(&mut *connection)
        .await?;
    if free <= VACUUM_PAGES || free * FREE_PART <= pages {
        return Ok(Stepped::Done);
    }
    // It frees a page with each row that it is asked for.
    let vacuum = format!("PRAGMA incremental_vacuum({VACUUM_PAGES})");
    connection.fetch_all(sqlx::AssertSqlSafe(vacuum)).await?;
    let left: i64 = sqlx::query_scalar("PRAGMA freelist_count")
        .fetch_one(connection)
        .await?;
    Ok(match left < free {
        true => Stepped::More,
        false => Stepped::Done,
    })
}
