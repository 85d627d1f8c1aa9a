//! What the retention of statuses takes, and what is made for those to come: one transaction's part
//! of each.

use std::time::Instant;

use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use super::insert::text_time;
use super::partitions::{Partitions, drop_before};
use super::row_count::{Of, Sample};
use super::session::query;
use crate::sinks::history::retention::{Due, PIECE_ROWS, Retention};
use crate::sinks::history::times::storable;

/// Deletes a piece of the oldest event keys.
const DELETE_KEYS: &str = "DELETE FROM event_key_seen WHERE event_id IN \
     (SELECT event_id FROM event_key_seen WHERE received_at < $1::timestamptz LIMIT $2)";

/// Drops the oldest partition, if all in it is too old; gives its name.
pub(super) async fn drop_old(
    transaction: &mut PgConnection,
    retention: &mut Retention,
    partitions: &mut Partitions,
    now: Instant,
    due: Due,
) -> Result<Option<String>, sqlx::Error> {
    if due.to_count {
        let sample = Sample::of(transaction).await?;
        retention.allow(now, sample.rows(transaction, Of::All).await?);
    }
    partitions.load(transaction).await?;
    let oldest = partitions.oldest_before(due.before);
    if oldest.is_none() && !partitions.has_payloads_before(due.before) {
        return Ok(None);
    }
    if let Some(oldest) = oldest.filter(|_| retention.is_in_doubt()) {
        let sample = Sample::of(transaction).await?;
        let rows = sample.rows(transaction, Of::Partition(&oldest)).await?;
        if !retention.allows(rows) {
            return Ok(None);
        }
        retention.dropped(rows);
    }
    partitions.forget();
    let dropped = drop_before(transaction, due.before).await?;
    partitions.load(transaction).await?;
    Ok(dropped)
}

/// Makes the partitions that are missing now and will be needed soon.
pub(super) async fn make_missing(
    transaction: &mut PgConnection,
    partitions: &mut Partitions,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    partitions.load(transaction).await?;
    let days = partitions.missing_ahead(now);
    if days.is_empty() {
        return Ok(());
    }
    partitions.make_ahead(transaction, &days).await
}

/// Deletes a piece of the event keys of statuses that were received before; gives their number.
pub(super) async fn delete_keys(
    transaction: &mut PgConnection,
    before: Timestamp,
) -> Result<u64, sqlx::Error> {
    let deleted = query(DELETE_KEYS)
        .bind(storable(Some(before)).map(text_time))
        .bind(i64::from(PIECE_ROWS))
        .execute(transaction)
        .await?;
    Ok(deleted.rows_affected())
}
