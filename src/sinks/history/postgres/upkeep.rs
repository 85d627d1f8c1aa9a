//! The steps of the upkeep, each a transaction.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use super::insert::text_time;
use super::look_up;
use super::session::{Session, end, query, query_scalar};
use super::store::{take_turn, write_devices};
use crate::sinks::history::recorder::Recorder;
use crate::sinks::history::retention::PIECE_ROWS;
use crate::sinks::history::upkeep::{
    Before, RECOUNT_DEVICES, Round, SWEEP_DEVICES, Stepped, Upkeep, Work,
};

/// One step; `now` is believed, and all that was received before it is stored.
pub(super) async fn step(
    upkeep: &mut Upkeep,
    connection: &mut PgConnection,
    session: &Session,
    recorder: &mut Recorder,
    now: Timestamp,
    before: Before,
) -> Result<Stepped, sqlx::Error> {
    if upkeep.waits() {
        return Ok(Stepped::Waits);
    }
    let Some(work) = upkeep.next(recorder, now) else {
        return Ok(Stepped::Done);
    };
    let mut transaction = session.begin_upkeep(connection).await?;
    let worked = do_work(upkeep, &mut transaction, recorder, work, before).await;
    end(transaction, worked).await.map(|()| Stepped::More)
}

async fn do_work(
    upkeep: &mut Upkeep,
    transaction: &mut PgConnection,
    recorder: &mut Recorder,
    work: Work,
    before: Before,
) -> Result<(), sqlx::Error> {
    take_turn(transaction, recorder).await?;
    match work {
        Work::Load => {}
        Work::Recount => recount(transaction, recorder).await?,
        Work::Sweep(after, midnight) => {
            let last = sweep(transaction, recorder, after, midnight).await?;
            upkeep.swept(last, midnight);
        }
        Work::Delete(round) => upkeep.goes_on(delete(transaction, recorder, round, before).await?),
    }
    Ok(())
}

/// Counts some devices up to midnight; gives the last of them.
async fn sweep(
    transaction: &mut PgConnection,
    recorder: &mut Recorder,
    after: i64,
    midnight: Timestamp,
) -> Result<Option<i64>, sqlx::Error> {
    let devices = look_up::unswept(transaction, after, midnight, SWEEP_DEVICES).await?;
    let devices = Recorder::one_step(devices, midnight);
    let last = devices.last().map(|device| device.key);
    recorder.sweep(devices, midnight);
    write_devices(transaction, recorder).await?;
    Ok(last)
}

/// Counts the days of some devices again, after the zone was changed: those of the zone before go
/// first.
async fn recount(
    transaction: &mut PgConnection,
    recorder: &mut Recorder,
) -> Result<(), sqlx::Error> {
    let from = recorder.recounted_below();
    if from == 0 && delete_days(transaction).await? > 0 {
        return Ok(());
    }
    let devices = look_up::devices_from(transaction, from, RECOUNT_DEVICES).await?;
    if devices.is_empty() {
        recorder.recounted();
        return query("DELETE FROM history_setting WHERE name = 'recounted_below'")
            .execute(transaction)
            .await
            .map(drop);
    }
    for device in devices {
        let pieces = look_up::pieces(transaction, device.key, "-infinity").await?;
        recorder.recount(device, &pieces);
    }
    write_devices(transaction, recorder).await?;
    query("UPDATE history_setting SET value = $1 WHERE name = 'recounted_below'")
        .bind(recorder.recounted_below().to_string())
        .execute(transaction)
        .await
        .map(drop)
}

/// Deletes some days of the zone before; gives how many rows.
async fn delete_days(transaction: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let deleted = query(
        "DELETE FROM state_daily_row WHERE (day, device_key, state_key) IN ( \
             SELECT day, device_key, state_key FROM state_daily_row \
             ORDER BY day, device_key, state_key LIMIT $1)",
    )
    .bind(i64::from(PIECE_ROWS))
    .execute(transaction)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes a piece of what is too old; gives where the round goes on.
async fn delete(
    transaction: &mut PgConnection,
    recorder: &mut Recorder,
    round: Round,
    before: Before,
) -> Result<Option<Round>, sqlx::Error> {
    if round == Round::Months {
        return delete_profiles(transaction, recorder).await;
    }
    let Some(intervals) = before.intervals else {
        return Ok(Some(Round::Months));
    };
    let text = text_time(intervals);
    let mut last = 0;
    let deleted = match round {
        Round::Pieces(from) => {
            let deleted = query(
                "DELETE FROM state_interval_row WHERE (device_key, since, ends_sequence) IN ( \
                     SELECT i.device_key, i.since, i.ends_sequence FROM device_row AS d \
                     JOIN state_interval_row AS i ON i.device_key = d.device_key AND i.since < $3::timestamptz \
                     WHERE d.device_key >= $1 AND d.device_key < $2 AND i.until < $3::timestamptz LIMIT $4)",
            )
            .bind(from)
            .bind(Round::pieces_end(from))
            .bind(&text)
            .bind(i64::from(PIECE_ROWS))
            .execute(&mut *transaction)
            .await?;
            last = query_scalar("SELECT coalesce(max(device_key), 0)::bigint FROM device_row")
                .fetch_one(transaction)
                .await?;
            deleted
        }
        Round::Days => {
            let day = text.get(..10).unwrap_or_default();
            query(
                "DELETE FROM state_daily_row WHERE (day, device_key, state_key) IN ( \
                     SELECT day, device_key, state_key FROM state_daily_row WHERE day < $1::date LIMIT $2)",
            )
            .bind(day)
            .bind(i64::from(PIECE_ROWS))
            .execute(transaction)
            .await?
        }
        Round::Coverage | Round::Months => {
            query(
                "DELETE FROM coverage WHERE event_id IN (SELECT event_id FROM coverage \
                     WHERE at < $1::timestamptz AND (NOT begins_gap OR gap_until < $1::timestamptz) LIMIT $2)",
            )
            .bind(text)
            .bind(i64::from(PIECE_ROWS))
            .execute(transaction)
            .await?
        }
    };
    let deleted = deleted.rows_affected();
    if round == Round::Coverage && deleted > 0 {
        recorder.forget();
    }
    Ok(Some(round.after(deleted, last)))
}

/// Profiles of months whose events are gone. Nobody knows which a DEFAULT partition has.
async fn delete_profiles(
    transaction: &mut PgConnection,
    recorder: &mut Recorder,
) -> Result<Option<Round>, sqlx::Error> {
    let sql = "DELETE FROM profile WHERE profile_key IN ( \
             SELECT profile_key FROM profile AS p WHERE month < ( \
                 SELECT CASE WHEN count(*) = count(since) THEN bridge_month(min(since)) END \
                 FROM bridge_partitions() WHERE parent = 'event') \
             AND NOT EXISTS (SELECT 1 FROM device_row AS d WHERE d.profile_key = p.profile_key) \
             LIMIT $1)";
    let deleted = query(sql)
        .bind(i64::from(PIECE_ROWS))
        .execute(transaction)
        .await?
        .rows_affected();
    if deleted > 0 {
        recorder.forget();
    }
    Ok((deleted >= u64::from(PIECE_ROWS)).then_some(Round::Months))
}
