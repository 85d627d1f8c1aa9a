//! What a history does beside its batches, in steps that take some ten milliseconds each: days that
//! are over are counted, and what is past the retention of intervals is deleted.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use super::insert::text_time;
use super::look_up;
use super::session::{Session, end, query, query_scalar};
use super::store::{take_turn, write_devices};
use crate::sinks::history::recorder::{Recorder, month};
use crate::sinks::history::retention::PIECE_ROWS;

/// Devices of one step.
const SWEEP_DEVICES: u32 = 500;
/// Devices whose pieces are counted again in one step.
const RECOUNT_DEVICES: u32 = 20;
/// Devices whose old pieces one step deletes.
const PRUNE_DEVICES: i64 = 500;
/// Between two rounds of deleting what is past the retention of intervals.
const ROUND_INTERVAL: Duration = Duration::from_secs(3600);
/// After a step that failed.
const FAILED_WAIT: Duration = Duration::from_secs(60);

/// How far each of these has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Upkeep {
    /// The midnight up to which all devices are counted.
    swept: Option<Timestamp>,
    swept_device: i64,
    round: Option<Round>,
    next_round: Option<Instant>,
    /// A step has failed: no other before this time.
    waits_until: Option<Instant>,
}

/// A round of deletion.
#[derive(Debug, Clone, Copy)]
enum Round {
    /// Pieces of the devices from this one on.
    Pieces(i64),
    Days,
    Coverage,
    /// What no event refers to any longer.
    Months,
}

/// The times that rows are deleted before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    pub(super) statuses: Option<Timestamp>,
    pub(super) intervals: Option<Timestamp>,
}

/// Whether there may be more to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stepped {
    More,
    Done,
    /// A step has failed lately, and is not tried yet.
    Waits,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy)]
enum Work {
    Load,
    Recount,
    Sweep(Timestamp),
    Delete(Round),
}

impl Upkeep {
    /// One step; `now` is believed, and all that was received before it is stored.
    pub(super) async fn step(
        &mut self,
        connection: &mut PgConnection,
        session: &Session,
        recorder: &mut Recorder,
        now: Timestamp,
        before: Before,
    ) -> Result<Stepped, sqlx::Error> {
        if self.waits_until.is_some_and(|until| Instant::now() < until) {
            return Ok(Stepped::Waits);
        }
        let Some(work) = self.next(recorder, now) else {
            return Ok(Stepped::Done);
        };
        let mut transaction = session.begin_upkeep(connection).await?;
        let worked = self.work(&mut transaction, recorder, work, before).await;
        end(transaction, worked).await.map(|()| Stepped::More)
    }

    /// A step has failed, and nothing of it is stored: it is made again from how it was `before`.
    pub(super) fn failed(&mut self, before: Upkeep) {
        *self = before;
        self.waits_until = Some(Instant::now() + FAILED_WAIT);
    }

    fn next(&mut self, recorder: &mut Recorder, now: Timestamp) -> Option<Work> {
        if !recorder.is_loaded() {
            return Some(Work::Load);
        }
        if recorder.recounted_below() != i64::MAX {
            return Some(Work::Recount);
        }
        let midnight = recorder.midnight(now);
        if self.swept.is_none_or(|swept| swept < midnight) {
            return Some(Work::Sweep(midnight));
        }
        if self.round.is_none() && self.next_round.is_none_or(|next| next <= Instant::now()) {
            self.round = Some(Round::Pieces(0));
            self.next_round = Some(Instant::now() + ROUND_INTERVAL);
        }
        self.round.map(Work::Delete)
    }

    async fn work(
        &mut self,
        transaction: &mut PgConnection,
        recorder: &mut Recorder,
        work: Work,
        before: Before,
    ) -> Result<(), sqlx::Error> {
        take_turn(transaction, recorder).await?;
        match work {
            Work::Load => Ok(()),
            Work::Recount => recount(transaction, recorder).await,
            Work::Sweep(midnight) => self.sweep(transaction, recorder, midnight).await,
            Work::Delete(round) => {
                self.round = delete(transaction, recorder, round, before).await?;
                Ok(())
            }
        }
    }

    async fn sweep(
        &mut self,
        transaction: &mut PgConnection,
        recorder: &mut Recorder,
        midnight: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let after = self.swept_device;
        let devices = look_up::unswept(transaction, after, midnight, SWEEP_DEVICES).await?;
        let devices = Recorder::one_step(devices, midnight);
        let Some(last) = devices.last() else {
            self.swept = Some(midnight);
            self.swept_device = 0;
            return Ok(());
        };
        self.swept_device = last.key;
        recorder.sweep(devices, midnight);
        write_devices(transaction, recorder).await
    }
}

/// Counts the days of some devices again, after the zone was changed.
async fn recount(
    transaction: &mut PgConnection,
    recorder: &mut Recorder,
) -> Result<(), sqlx::Error> {
    let from = recorder.recounted_below();
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

/// Deletes a piece of what is too old; gives where the round goes on.
async fn delete(
    transaction: &mut PgConnection,
    recorder: &mut Recorder,
    round: Round,
    before: Before,
) -> Result<Option<Round>, sqlx::Error> {
    let Some(intervals) = before.intervals else {
        return match (round, before.statuses) {
            (Round::Months, Some(statuses)) => delete_months(transaction, recorder, statuses).await,
            (Round::Months, None) => Ok(None),
            _ => Ok(Some(Round::Months)),
        };
    };
    let text = text_time(intervals);
    let full = u64::from(PIECE_ROWS);
    match round {
        Round::Pieces(from) => {
            let to = from + PRUNE_DEVICES;
            let deleted = query(
                "DELETE FROM state_interval_row WHERE (device_key, since, ends_sequence) IN ( \
                     SELECT i.device_key, i.since, i.ends_sequence FROM device_row AS d \
                     JOIN state_interval_row AS i ON i.device_key = d.device_key AND i.since < $3::timestamptz \
                     WHERE d.device_key >= $1 AND d.device_key < $2 AND i.until < $3::timestamptz LIMIT $4)",
            )
            .bind(from)
            .bind(to)
            .bind(&text)
            .bind(i64::from(PIECE_ROWS))
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            let last: i64 =
                query_scalar("SELECT coalesce(max(device_key), 0)::bigint FROM device_row")
                    .fetch_one(transaction)
                    .await?;
            Ok(Some(match deleted {
                deleted if deleted >= full => Round::Pieces(from),
                _ if to <= last => Round::Pieces(to),
                _ => Round::Days,
            }))
        }
        Round::Days => {
            let day = text.get(..10).unwrap_or_default();
            let deleted = query(
                "DELETE FROM state_daily_row WHERE (day, device_key, state_key) IN ( \
                     SELECT day, device_key, state_key FROM state_daily_row WHERE day < $1::date LIMIT $2)",
            )
            .bind(day)
            .bind(i64::from(PIECE_ROWS))
            .execute(transaction)
            .await?
            .rows_affected();
            Ok(Some(match deleted {
                deleted if deleted >= full => Round::Days,
                _ => Round::Coverage,
            }))
        }
        Round::Coverage => {
            let deleted = query(
                "DELETE FROM coverage WHERE event_id IN (SELECT event_id FROM coverage \
                     WHERE at < $1::timestamptz AND (NOT begins_gap OR gap_until < $1::timestamptz) LIMIT $2)",
            )
            .bind(text)
            .bind(i64::from(PIECE_ROWS))
            .execute(transaction)
            .await?
            .rows_affected();
            if deleted > 0 {
                recorder.forget();
            }
            Ok(Some(match deleted {
                deleted if deleted >= full => Round::Coverage,
                _ => Round::Months,
            }))
        }
        Round::Months => match before.statuses {
            Some(statuses) => delete_months(transaction, recorder, statuses).await,
            None => Ok(None),
        },
    }
}

/// Payloads and profiles of months whose events are gone.
async fn delete_months(
    transaction: &mut PgConnection,
    recorder: &mut Recorder,
    statuses: Timestamp,
) -> Result<Option<Round>, sqlx::Error> {
    let mut deleted = 0;
    for sql in [
        "DELETE FROM payload WHERE payload_key IN ( \
             SELECT payload_key FROM payload WHERE month < $1 AND NOT EXISTS ( \
                 SELECT 1 FROM event WHERE received_at < $3::timestamptz) LIMIT $2)",
        "DELETE FROM profile WHERE profile_key IN ( \
             SELECT profile_key FROM profile AS p WHERE month < $1 AND NOT EXISTS ( \
                 SELECT 1 FROM device_row AS d WHERE d.profile_key = p.profile_key) \
             AND NOT EXISTS (SELECT 1 FROM event WHERE received_at < $3::timestamptz) LIMIT $2)",
    ] {
        deleted += query(sql)
            .bind(month(statuses))
            .bind(i64::from(PIECE_ROWS))
            .bind(text_time(statuses))
            .execute(&mut *transaction)
            .await?
            .rows_affected();
    }
    if deleted > 0 {
        recorder.forget();
    }
    Ok((deleted >= u64::from(PIECE_ROWS)).then_some(Round::Months))
}
