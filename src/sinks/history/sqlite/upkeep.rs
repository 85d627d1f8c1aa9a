//! What a history does beside its batches, in steps that take some ten milliseconds each: days that
//! are over are counted, what is past the retention of intervals is deleted, and the file becomes
//! smaller.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use sqlx::Executor;
use sqlx::sqlite::SqliteConnection;

use super::insert::text_time;
use super::look_up;
use super::store::{begin, write_devices};
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
/// Pages that one step gives back, about 40 ms of work.
const VACUUM_PAGES: i64 = 1000;
/// Free pages are given back where they are more than this part of the file: new rows use the rest.
const FREE_PART: i64 = 10;

/// How far each of these has come.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    /// The midnight up to which all devices are counted.
    swept: Option<Timestamp>,
    swept_device: i64,
    round: Option<Round>,
    next_round: Option<Instant>,
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
}

impl Upkeep {
    /// One step; `now` is believed, and all that was received before it is stored.
    pub(super) async fn step(
        &mut self,
        connection: &mut SqliteConnection,
        recorder: &mut Recorder,
        now: Timestamp,
        before: Before,
    ) -> Result<Stepped, sqlx::Error> {
        if !recorder.is_loaded() {
            begin(connection, recorder).await?.commit().await?;
            return Ok(Stepped::More);
        }
        let midnight = recorder.midnight(now);
        if recorder.recounted_below() != i64::MAX {
            recount(connection, recorder).await?;
            return Ok(Stepped::More);
        }
        if self.swept.is_none_or(|swept| swept < midnight) {
            self.sweep(connection, recorder, midnight).await?;
            return Ok(Stepped::More);
        }
        if self.round.is_none() && self.next_round.is_none_or(|next| next <= Instant::now()) {
            self.round = Some(Round::Pieces(0));
            self.next_round = Some(Instant::now() + ROUND_INTERVAL);
        }
        if let Some(round) = self.round {
            self.round = delete(connection, recorder, round, before).await?;
            return Ok(Stepped::More);
        }
        give_back(connection).await
    }

    async fn sweep(
        &mut self,
        connection: &mut SqliteConnection,
        recorder: &mut Recorder,
        midnight: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = begin(connection, recorder).await?;
        let after = self.swept_device;
        let devices = look_up::unswept(&mut transaction, after, midnight, SWEEP_DEVICES).await?;
        let devices = Recorder::one_step(devices, midnight);
        let Some(last) = devices.last() else {
            self.swept = Some(midnight);
            self.swept_device = 0;
            return transaction.commit().await;
        };
        let last = last.key;
        recorder.sweep(devices, midnight);
        write_devices(&mut transaction, recorder).await?;
        transaction.commit().await?;
        self.swept_device = last;
        Ok(())
    }
}

/// Counts the days of some devices again, after the zone was changed.
async fn recount(
    connection: &mut SqliteConnection,
    recorder: &mut Recorder,
) -> Result<(), sqlx::Error> {
    let mut transaction = begin(connection, recorder).await?;
    let from = recorder.recounted_below();
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

/// Deletes a piece of what is too old; gives where the round goes on.
async fn delete(
    connection: &mut SqliteConnection,
    recorder: &mut Recorder,
    round: Round,
    before: Before,
) -> Result<Option<Round>, sqlx::Error> {
    let Some(intervals) = before.intervals else {
        return match (round, before.statuses) {
            (Round::Months, Some(statuses)) => delete_months(connection, recorder, statuses).await,
            (Round::Months, None) => Ok(None),
            _ => Ok(Some(Round::Months)),
        };
    };
    let text = text_time(intervals);
    let full = u64::from(PIECE_ROWS);
    match round {
        Round::Pieces(from) => {
            let to = from + PRUNE_DEVICES;
            let deleted = sqlx::query(
                "DELETE FROM state_interval_row WHERE (device_key, since, ends_sequence) IN ( \
                     SELECT i.device_key, i.since, i.ends_sequence FROM device_row AS d \
                     CROSS JOIN state_interval_row AS i ON i.device_key = d.device_key AND i.since < ?3 \
                     WHERE d.device_key >= ?1 AND d.device_key < ?2 AND i.until < ?3 LIMIT ?4)",
            )
            .bind(from)
            .bind(to)
            .bind(&text)
            .bind(PIECE_ROWS)
            .execute(&mut *connection)
            .await?
            .rows_affected();
            let last: i64 =
                sqlx::query_scalar("SELECT coalesce(max(device_key), 0) FROM device_row")
                    .fetch_one(connection)
                    .await?;
            Ok(Some(match deleted {
                deleted if deleted >= full => Round::Pieces(from),
                _ if to <= last => Round::Pieces(to),
                _ => Round::Days,
            }))
        }
        Round::Days => {
            let day = text.get(..10).unwrap_or_default();
            let deleted = sqlx::query(
                "DELETE FROM state_daily_row WHERE (day, device_key, state_key) IN ( \
                     SELECT day, device_key, state_key FROM state_daily_row WHERE day < ? LIMIT ?)",
            )
            .bind(day)
            .bind(PIECE_ROWS)
            .execute(connection)
            .await?
            .rows_affected();
            Ok(Some(match deleted {
                deleted if deleted >= full => Round::Days,
                _ => Round::Coverage,
            }))
        }
        Round::Coverage => {
            let deleted = sqlx::query(
                "DELETE FROM coverage WHERE event_id IN (SELECT event_id FROM coverage \
                     WHERE at < ?1 AND (begins_gap = 0 OR gap_until < ?1) LIMIT ?2)",
            )
            .bind(text)
            .bind(PIECE_ROWS)
            .execute(connection)
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
            Some(statuses) => delete_months(connection, recorder, statuses).await,
            None => Ok(None),
        },
    }
}

/// Payloads and profiles of months whose events are gone.
async fn delete_months(
    connection: &mut SqliteConnection,
    recorder: &mut Recorder,
    statuses: Timestamp,
) -> Result<Option<Round>, sqlx::Error> {
    let mut deleted = 0;
    for query in [
        "DELETE FROM payload WHERE payload_key IN ( \
             SELECT payload_key FROM payload WHERE month < ?1 AND NOT EXISTS ( \
                 SELECT 1 FROM event WHERE received_at < ?3) LIMIT ?2)",
        "DELETE FROM profile WHERE profile_key IN ( \
             SELECT profile_key FROM profile AS p WHERE month < ?1 AND NOT EXISTS ( \
                 SELECT 1 FROM device_row AS d WHERE d.profile_key = p.profile_key) \
             AND NOT EXISTS (SELECT 1 FROM event WHERE received_at < ?3) LIMIT ?2)",
    ] {
        deleted += sqlx::query(query)
            .bind(month(statuses))
            .bind(PIECE_ROWS)
            .bind(text_time(statuses))
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
