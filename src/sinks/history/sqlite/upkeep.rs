//! The steps of the upkeep, each a transaction; at last the file becomes smaller.

use jiff::Timestamp;
use sqlx::Executor;
use sqlx::sqlite::SqliteConnection;

use super::insert::text_time;
use super::look_up;
use super::store::{begin, write_devices};
use crate::sinks::history::recorder::Recorder;
use crate::sinks::history::retention::PIECE_ROWS;
use crate::sinks::history::times::Months;
use crate::sinks::history::upkeep::{
    Before, RECOUNT_DEVICES, Round, SWEEP_DEVICES, Stepped, Upkeep, Work,
};

/// Pages that one step gives back, about 40 ms of work.
const VACUUM_PAGES: i64 = 1000;
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
    match upkeep.next(recorder, now) {
        Some(Work::Load) => begin(connection, recorder).await?.commit().await?,
        Some(Work::Recount) => recount(connection, recorder).await?,
        Some(Work::Sweep(after, midnight)) => {
            let last = sweep(connection, recorder, after, midnight).await?;
            upkeep.swept(last, midnight);
        }
        Some(Work::Delete(round)) => {
            upkeep.goes_on(delete(connection, recorder, round, before).await?);
        }
        None => return give_back(connection).await,
    }
    Ok(Stepped::More)
}

/// Counts some devices up to midnight; gives the last of them.
async fn sweep(
    connection: &mut SqliteConnection,
    recorder: &mut Recorder,
    after: i64,
    midnight: Timestamp,
) -> Result<Option<i64>, sqlx::Error> {
    let mut transaction = begin(connection, recorder).await?;
    let devices = look_up::unswept(&mut transaction, after, midnight, SWEEP_DEVICES).await?;
    let devices = Recorder::one_step(devices, midnight);
    let last = devices.last().map(|device| device.key);
    recorder.sweep(devices, midnight);
    write_devices(&mut transaction, recorder).await?;
    transaction.commit().await?;
    Ok(last)
}

/// Counts the days of some devices again, after the zone was changed: those of the zone before go
/// first.
async fn recount(
    connection: &mut SqliteConnection,
    recorder: &mut Recorder,
) -> Result<(), sqlx::Error> {
    let mut transaction = begin(connection, recorder).await?;
    let from = recorder.recounted_below();
    if from == 0 && delete_days(&mut transaction).await? > 0 {
        return transaction.commit().await;
    }
    let devices = look_up::devices_from(&mut transaction, from, RECOUNT_DEVICES).await?;
    if devices.is_empty() {
        sqlx::query("DELETE FROM history_setting WHERE name = 'recounted_below'")
            .execute(&mut *transaction)
            .await?;
        recorder.recounted();
        return transaction.commit().await;
    }
    for device in devices {
        let pieces = look_up::pieces(&mut transaction, device.key, "").await?;
        recorder.recount(device, &pieces);
    }
    write_devices(&mut transaction, recorder).await?;
    sqlx::query("UPDATE history_setting SET value = ? WHERE name = 'recounted_below'")
        .bind(recorder.recounted_below().to_string())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Deletes some days of the zone before; gives how many rows.
async fn delete_days(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query(
        "DELETE FROM state_daily_row WHERE (day, device_key, state_key) IN ( \
             SELECT day, device_key, state_key FROM state_daily_row \
             ORDER BY day, device_key, state_key LIMIT ?)",
    )
    .bind(PIECE_ROWS)
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes a piece of what is too old; gives where the round goes on.
async fn delete(
    connection: &mut SqliteConnection,
    recorder: &mut Recorder,
    round: Round,
    before: Before,
) -> Result<Option<Round>, sqlx::Error> {
    if round == Round::Months {
        return delete_months(connection, recorder, before.statuses).await;
    }
    let Some(intervals) = before.intervals else {
        return Ok(Some(Round::Months));
    };
    let text = text_time(intervals);
    let mut last = 0;
    let deleted = match round {
        Round::Pieces(from) => {
            let deleted = sqlx::query(
                "DELETE FROM state_interval_row WHERE (device_key, since, ends_sequence) IN ( \
                     SELECT i.device_key, i.since, i.ends_sequence FROM device_row AS d \
                     CROSS JOIN state_interval_row AS i ON i.device_key = d.device_key AND i.since < ?3 \
                     WHERE d.device_key >= ?1 AND d.device_key < ?2 AND i.until < ?3 LIMIT ?4)",
            )
            .bind(from)
            .bind(Round::pieces_end(from))
            .bind(&text)
            .bind(PIECE_ROWS)
            .execute(&mut *connection)
            .await?;
            last = sqlx::query_scalar("SELECT coalesce(max(device_key), 0) FROM device_row")
                .fetch_one(connection)
                .await?;
            deleted
        }
        Round::Days => {
            let day = text.get(..10).unwrap_or_default();
            sqlx::query(
                "DELETE FROM state_daily_row WHERE (day, device_key, state_key) IN ( \
                     SELECT day, device_key, state_key FROM state_daily_row WHERE day < ? LIMIT ?)",
            )
            .bind(day)
            .bind(PIECE_ROWS)
            .execute(connection)
            .await?
        }
        Round::Coverage | Round::Months => {
            sqlx::query(
                "DELETE FROM coverage WHERE event_id IN (SELECT event_id FROM coverage \
                     WHERE at < ?1 AND (begins_gap = 0 OR gap_until < ?1) LIMIT ?2)",
            )
            .bind(text)
            .bind(PIECE_ROWS)
            .execute(connection)
            .await?
        }
    };
    let deleted = deleted.rows_affected();
    if round == Round::Coverage && deleted > 0 {
        recorder.forget();
    }
    Ok(Some(round.after(deleted, last)))
}

/// Payloads and profiles of months whose events are gone.
async fn delete_months(
    connection: &mut SqliteConnection,
    recorder: &mut Recorder,
    statuses: Option<Timestamp>,
) -> Result<Option<Round>, sqlx::Error> {
    let oldest: Option<String> = sqlx::query_scalar("SELECT min(received_at) FROM event")
        .fetch_one(&mut *connection)
        .await?;
    let oldest = oldest.and_then(|text| text.parse().ok());
    // A person may have deleted events that the retention keeps.
    let Some(first) = oldest.or(statuses) else {
        return Ok(None);
    };
    let mut deleted = 0;
    for query in [
        "DELETE FROM payload WHERE payload_key IN ( \
             SELECT payload_key FROM payload WHERE month < ?1 LIMIT ?2)",
        "DELETE FROM profile WHERE profile_key IN ( \
             SELECT profile_key FROM profile AS p WHERE month < ?1 AND NOT EXISTS ( \
                 SELECT 1 FROM device_row AS d WHERE d.profile_key = p.profile_key) LIMIT ?2)",
    ] {
        deleted += sqlx::query(query)
            .bind(Months::default().month(first))
            .bind(PIECE_ROWS)
            .execute(&mut *connection)
            .await?
            .rows_affected();
    }
    if deleted > 0 {
        recorder.forget();
    }
    Ok((deleted >= u64::from(PIECE_ROWS)).then_some(Round::Months))
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
