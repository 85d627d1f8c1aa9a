//! How many rows there are: exactly, for a person who waits; or about, beside the deliveries.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use super::insert::text_time;
use super::partitions::Times;
use super::session::query_scalar;

/// Pages of `event` of which the rows are counted where it has more: the server gives up what takes
/// longer than 10 s beside the deliveries, and a disk reads as many in that time.
const SAMPLE_PAGES: i64 = 1_000;

/// How many rows there are in a partition.
pub(super) async fn count(
    connection: &mut PgConnection,
    times: &Times,
) -> Result<u64, sqlx::Error> {
    let sql = "SELECT count(*) FROM event WHERE received_at >= $1::timestamptz \
               AND received_at < $2::timestamptz";
    let [since, until] = bounds(times);
    let rows: i64 = query_scalar(sql)
        .bind(since)
        .bind(until)
        .fetch_one(connection)
        .await?;
    Ok(rows.unsigned_abs())
}

/// What a [`Sample`] counts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of<'a> {
    All,
    Partition(&'a Times),
}

/// A part of the pages of `event`, whose rows stand for those of all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// All of them where they are few: then a count is exact.
    percent: f64,
}

impl Sample {
    /// As large as there is time for.
    pub(super) async fn of(connection: &mut PgConnection) -> Result<Sample, sqlx::Error> {
        let sql = "SELECT coalesce(sum(pg_relation_size(inhrelid)), 0)::bigint \
                   / current_setting('block_size')::bigint \
                   FROM pg_inherits WHERE inhparent = 'event'::regclass";
        let pages: i64 = query_scalar(sql).fetch_one(connection).await?;
        Ok(Sample {
            percent: 100.0 * SAMPLE_PAGES as f64 / pages.max(SAMPLE_PAGES) as f64,
        })
    }

    /// About how many rows there are. The same pages are taken each time.
    pub(super) async fn rows(
        self,
        connection: &mut PgConnection,
        of: Of<'_>,
    ) -> Result<u64, sqlx::Error> {
        let sql = "SELECT count(*) FROM event TABLESAMPLE SYSTEM ($1) REPEATABLE (1) \
                   WHERE received_at >= $2::timestamptz AND received_at < $3::timestamptz";
        let [since, until] = match of {
            Of::All => ["-infinity", "infinity"].map(str::to_owned),
            Of::Partition(times) => bounds(times),
        };
        let rows: i64 = query_scalar(sql)
            .bind(self.percent as f32)
            .bind(since)
            .bind(until)
            .fetch_one(connection)
            .await?;
        Ok((rows as f64 * 100.0 / self.percent).round() as u64)
    }
}

/// When the first of them was received at the earliest, and a time behind the last one.
fn bounds(times: &Times) -> [String; 2] {
    [times.start, times.end].map(|microsecond| {
        let at = Timestamp::from_microsecond(microsecond).unwrap_or(Timestamp::MAX);
        text_time(at)
    })
}
