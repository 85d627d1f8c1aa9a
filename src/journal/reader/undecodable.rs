//! The undecodable entries that nobody has dealt with.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::Reader;
use super::dead_letters::letter;
use crate::journal::error::failed;
use crate::journal::row::timestamp;
use crate::journal::{Error, Letter};
use crate::model::Position;

impl Reader {
    /// A part of the undecodable entries that are not settled yet, in order, without their bodies:
    /// the position, when it was received, and why. At most `limit` behind the first `offset`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn undecodable_part(
        &mut self,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<(Position, Timestamp, String)>, Error> {
        const PART: &str = "SELECT position, received_at, coalesce(reason, '') FROM entry \
             WHERE kind = 'undecodable' AND settled IS NULL ORDER BY position LIMIT ?1 OFFSET ?2";
        let row = |row: SqliteRow| {
            Ok((
                Position(row.try_get(0)?),
                timestamp(row.try_get(1)?)?,
                row.try_get(2)?,
            ))
        };
        sqlx::query(PART)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(i64::try_from(offset).unwrap_or(i64::MAX))
            .try_map(row)
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed("read undecodable entries"))
    }

    /// How many undecodable entries are not settled yet, and the bytes of their bodies.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn undecodable_total(&mut self) -> Result<(u64, u64), Error> {
        const TOTAL: &str = "SELECT count(*), coalesce(sum(octet_length(body)), 0) FROM entry \
             WHERE kind = 'undecodable' AND settled IS NULL";
        let (entries, bytes): (i64, i64) = sqlx::query_as(TOTAL)
            .fetch_one(&mut self.connection)
            .await
            .map_err(failed("count undecodable entries"))?;
        Ok((entries.unsigned_abs(), bytes.unsigned_abs()))
    }

    /// How many undecodable entries are not settled yet.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn undecodable_count(&mut self) -> Result<u64, Error> {
        let (count,): (i64,) = sqlx::query_as(
            "SELECT count(*) FROM entry WHERE kind = 'undecodable' AND settled IS NULL",
        )
        .fetch_one(&mut self.connection)
        .await
        .map_err(failed("count undecodable entries"))?;
        Ok(count.unsigned_abs())
    }

    /// How many undecodable entries were removed before anybody had dealt with them, ever.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn undecodable_removed(&mut self) -> Result<u64, Error> {
        let count: i64 = sqlx::query_scalar("SELECT undecodable_removed FROM journal")
            .fetch_one(&mut self.connection)
            .await
            .map_err(failed("count the undecodable entries that were removed"))?;
        Ok(count.unsigned_abs())
    }

    /// The next undecodable entries after a position that are not settled yet: at most `entries_max`,
    /// each with at most `bytes_max` bytes of its body.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn undecodable_page(
        &mut self,
        after: Position,
        entries_max: u32,
        bytes_max: u32,
    ) -> Result<Vec<Letter>, Error> {
        const PAGE: &str = "SELECT position, topic, received_at, received_at, reason, \
             substr(body, 1, ?3), octet_length(body), kind FROM entry WHERE kind = 'undecodable' \
             AND settled IS NULL AND position > ?1 ORDER BY position LIMIT ?2";
        sqlx::query(PAGE)
            .bind(after.0)
            .bind(entries_max)
            .bind(bytes_max)
            .try_map(|row: SqliteRow| letter(&row))
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed("read undecodable entries"))
    }
}
