//! A step of the upkeep, in a transaction that is begun: whichever database it is in.

use jiff::Timestamp;

use super::{Before, RECOUNT_DEVICES, Round, SWEEP_DEVICES, Upkeep, Work};
use crate::sinks::history::look_up;
use crate::sinks::history::recorder::Recorder;
use crate::sinks::history::retention::PIECE_ROWS;
use crate::sinks::history::statements::Statements;
use crate::sinks::history::store::write_devices;

/// Does what is to be done next. The recorder is as of this transaction.
pub(in crate::sinks::history) async fn work(
    on: &mut impl Statements,
    upkeep: &mut Upkeep,
    recorder: &mut Recorder,
    work: Work,
    before: Before,
) -> Result<(), sqlx::Error> {
    match work {
        Work::Load => {}
        Work::Recount => recount(on, recorder).await?,
        Work::Sweep(after, midnight) => {
            let last = sweep(on, recorder, after, midnight).await?;
            upkeep.swept(last, midnight);
            if last.is_none() {
                upkeep.recounted = ends_recount(on).await?;
            }
        }
        Work::Delete(round) => upkeep.goes_on(delete(on, recorder, round, before).await?),
    }
    Ok(())
}

/// Counts some devices up to midnight; gives the last of them.
async fn sweep(
    on: &mut impl Statements,
    recorder: &mut Recorder,
    after: i64,
    midnight: Timestamp,
) -> Result<Option<i64>, sqlx::Error> {
    let devices = look_up::unswept(on, after, midnight, SWEEP_DEVICES).await?;
    let devices = Recorder::one_step(devices, midnight);
    let last = devices.last().map(|device| device.key);
    recorder.sweep(devices, midnight);
    write_devices(on, recorder).await?;
    Ok(last)
}

/// Counts the days of some devices again, after the zone was changed: those of the zone before go
/// first.
async fn recount(on: &mut impl Statements, recorder: &mut Recorder) -> Result<(), sqlx::Error> {
    let from = recorder.recounted_below();
    if from == 0 && delete_days(on).await? > 0 {
        return Ok(());
    }
    let devices = look_up::devices_from(on, from, RECOUNT_DEVICES).await?;
    if devices.is_empty() {
        // What lasts is counted by the next sweep; then the setting goes.
        recorder.recounted();
    }
    for device in devices {
        let pieces = look_up::pieces(on, device.key).await?;
        recorder.recount(device, &pieces);
    }
    write_devices(on, recorder).await?;
    let below = recorder.recounted_below().to_string();
    let sql = "UPDATE history_setting SET value = $1 WHERE name = 'recounted_below'";
    on.run(sql, vec![below.as_str().into()]).await.map(drop)
}

/// All days are counted; gives whether they were counted again. The right to delete is asked for
/// only then.
async fn ends_recount(on: &mut impl Statements) -> Result<bool, sqlx::Error> {
    let recounts = "SELECT value FROM history_setting WHERE name = 'recounted_below'";
    let recounts: Vec<(String,)> = on.rows(recounts, vec![]).await?;
    if recounts.is_empty() {
        return Ok(false);
    }
    let done = "DELETE FROM history_setting WHERE name = 'recounted_below'";
    on.run(done, vec![]).await.map(|_| true)
}

/// Deletes some days of the zone before; gives how many rows.
async fn delete_days(on: &mut impl Statements) -> Result<u64, sqlx::Error> {
    on.run(
        "DELETE FROM state_daily_row WHERE (day, device_key, state_key) IN ( \
             SELECT day, device_key, state_key FROM state_daily_row \
             ORDER BY day, device_key, state_key LIMIT $1)",
        vec![PIECE_ROWS.into()],
    )
    .await
}

/// Deletes a piece of what is too old; gives where the round goes on.
async fn delete<On: Statements>(
    on: &mut On,
    recorder: &mut Recorder,
    round: Round,
    before: Before,
) -> Result<Option<Round>, sqlx::Error> {
    if round == Round::Months {
        let deleted = on.delete_months(before.statuses).await?;
        if deleted > 0 {
            recorder.forget();
        }
        return Ok((deleted >= u64::from(PIECE_ROWS)).then_some(Round::Months));
    }
    let Some(intervals) = before.intervals else {
        return Ok(Some(Round::Months));
    };
    let deleted = match round {
        Round::Pieces => delete_pieces(on, intervals).await?,
        Round::Days => delete_days_before(on, intervals).await?,
        Round::Coverage | Round::Months => delete_coverage(on, intervals).await?,
    };
    if round == Round::Coverage && deleted > 0 {
        recorder.forget();
    }
    Ok(Some(round.after(deleted)))
}

async fn delete_pieces<On: Statements>(on: &mut On, before: Timestamp) -> Result<u64, sqlx::Error> {
    let (key, time) = (On::DIALECT.piece_key(), On::DIALECT.time(1));
    let sql = format!(
        "DELETE FROM state_interval_row WHERE ({key}) IN ( \
             SELECT {key} FROM state_interval_row WHERE until < {time} ORDER BY until LIMIT $2)"
    );
    on.run(&sql, vec![before.into(), PIECE_ROWS.into()]).await
}

async fn delete_days_before<On: Statements>(
    on: &mut On,
    before: Timestamp,
) -> Result<u64, sqlx::Error> {
    let day = format!("{before:.6}");
    let sql = format!(
        "DELETE FROM state_daily_row WHERE (day, device_key, state_key) IN ( \
             SELECT day, device_key, state_key FROM state_daily_row WHERE day < {} LIMIT $2)",
        On::DIALECT.typed(1, "date")
    );
    let day = day.get(..10).unwrap_or_default();
    on.run(&sql, vec![day.into(), PIECE_ROWS.into()]).await
}

/// A gap stays as long as a device of its topic has said nothing since: its state is uncertain.
async fn delete_coverage<On: Statements>(
    on: &mut On,
    before: Timestamp,
) -> Result<u64, sqlx::Error> {
    let time = On::DIALECT.time(1);
    let begins_gap = On::DIALECT.is("c.begins_gap");
    let is_old = |at: &str| format!("{at} < {time} AND {at} < coalesce(s.seen, {time})");
    let sql = format!(
        "DELETE FROM coverage WHERE event_id IN (SELECT c.event_id FROM coverage AS c \
             LEFT JOIN (SELECT t.topic, min(d.last_seen) AS seen FROM device_row AS d \
                 JOIN topic AS t ON t.topic_key = d.topic_key GROUP BY t.topic) AS s \
             ON s.topic = c.topic \
             WHERE {} AND (NOT ({begins_gap}) OR ({})) LIMIT $2)",
        is_old("c.at"),
        is_old("c.gap_until")
    );
    on.run(&sql, vec![before.into(), PIECE_ROWS.into()]).await
}
