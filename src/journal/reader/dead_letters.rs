//! The dead letters, as operators and redrives read them.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::Reader;
use crate::journal::dead_letters::{PASSED, totals};
use crate::journal::error::failed;
use crate::journal::row::{content, kind, timestamp};
use crate::journal::{DeadLetter, DlqTotal, Entry, Error, Letter};
use crate::model::Position;

/// The columns of [`entry`].
const ENTRY: &str = "position, kind, topic, received_at, body, previous, error";

impl Reader {
    /// The dead letters of one entry, by sink.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn dead_letters_at(&mut self, position: Position) -> Result<Vec<DeadLetter>, Error> {
        const AT: &str =
            "SELECT sink, position, error, at FROM dead_letter WHERE position = ? ORDER BY sink";
        sqlx::query(AT)
            .bind(position.0)
            .try_map(dead_letter)
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed("read the dead letters"))
    }

    /// The dead letters of all sinks, by sink and position.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn dead_letters(&mut self) -> Result<Vec<DeadLetter>, Error> {
        sqlx::query("SELECT sink, position, error, at FROM dead_letter ORDER BY sink, position")
            .try_map(dead_letter)
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed("read the dead letters"))
    }

    /// A part of the dead letters, by sink and position: of one sink or of all, at most `limit` behind
    /// the first `offset`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn dead_letters_part(
        &mut self,
        sink: Option<&str>,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<DeadLetter>, Error> {
        const OF_ALL: &str = "SELECT sink, position, error, at FROM dead_letter \
             WHERE ?1 IS NULL ORDER BY sink, position LIMIT ?2 OFFSET ?3";
        const OF_ONE: &str = "SELECT sink, position, error, at FROM dead_letter \
             WHERE sink = ?1 ORDER BY position LIMIT ?2 OFFSET ?3";
        let part = match sink {
            None => OF_ALL,
            Some(_) => OF_ONE,
        };
        sqlx::query(part)
            .bind(sink.map(Arc::<str>::from))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(i64::try_from(offset).unwrap_or(i64::MAX))
            .try_map(dead_letter)
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed("read the dead letters"))
    }

    /// The dead letters of a sink that were listed, or rejected again, after a time, in that order:
    /// at most `entries_max`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn dead_letters_since(
        &mut self,
        sink: &str,
        after: Timestamp,
        entries_max: u32,
    ) -> Result<Vec<DeadLetter>, Error> {
        const SINCE: &str = "SELECT sink, position, error, at FROM dead_letter \
             INDEXED BY dead_letter_at WHERE at > ?2 AND sink = ?1 ORDER BY at LIMIT ?3";
        sqlx::query(SINCE)
            .bind(Arc::<str>::from(sink))
            .bind(after.as_microsecond())
            .bind(entries_max)
            .try_map(dead_letter)
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed("read the dead letters"))
    }

    /// How many dead letters each sink has, and their bytes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn dead_letter_totals(&mut self) -> Result<Vec<DlqTotal>, Error> {
        totals(&mut self.connection).await
    }

    /// The next dead letters of a sink after a position: at most `entries_max`, each with at most
    /// `bytes_max` bytes of its body.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn dead_letters_page(
        &mut self,
        sink: &str,
        after: Position,
        entries_max: u32,
        bytes_max: u32,
    ) -> Result<Vec<Letter>, Error> {
        const PAGE: &str = "SELECT position, topic, received_at, at, error, substr(body, 1, ?4), \
             octet_length(body), kind FROM dead_letter WHERE sink = ?1 AND position > ?2 \
             ORDER BY position LIMIT ?3";
        sqlx::query(PAGE)
            .bind(Arc::<str>::from(sink))
            .bind(after.0)
            .bind(entries_max)
            .bind(bytes_max)
            .try_map(|row: SqliteRow| letter(&row))
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed("read the dead letters"))
    }

    /// All that is listed for one sink after a position and up to another, also what a replay has
    /// brought there: a replay leaves it out.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn listed_between(
        &mut self,
        sink: &str,
        after: Position,
        through: Position,
    ) -> Result<BTreeSet<Position>, Error> {
        const ALL: &str =
            "SELECT position FROM dead_letter WHERE sink = ? AND position > ? AND position <= ?";
        self.positions(ALL, sink, after, through).await
    }

    /// The dead letters of one sink after a position, as the accounting counts them.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn dead_letters_after(
        &mut self,
        sink: &str,
        after: Position,
    ) -> Result<BTreeSet<Position>, Error> {
        const COUNTED: &str = "SELECT position FROM dead_letter WHERE sink = ? AND position > ? \
             AND position <= ? AND intake = 0";
        let all = Position(i64::MAX);
        self.positions(COUNTED, sink, after, all).await
    }

    async fn positions(
        &mut self,
        query: &'static str,
        sink: &str,
        after: Position,
        through: Position,
    ) -> Result<BTreeSet<Position>, Error> {
        let positions: Vec<i64> = sqlx::query_scalar(query)
            .bind(Arc::<str>::from(sink))
            .bind(after.0)
            .bind(through.0)
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed("read the dead letters"))?;
        Ok(positions.into_iter().map(Position).collect())
    }

    /// One dead letter of a sink as the entry that it was; `None`: there is no such dead letter.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn dead_letter(
        &mut self,
        sink: &str,
        position: Position,
    ) -> Result<Option<Entry>, Error> {
        let one = format!("SELECT {ENTRY} FROM dead_letter WHERE sink = ? AND position = ?");
        sqlx::query(sqlx::AssertSqlSafe(one))
            .bind(Arc::<str>::from(sink))
            .bind(position.0)
            .try_map(|row: SqliteRow| entry(&row))
            .fetch_optional(&mut self.connection)
            .await
            .map_err(failed("read a dead letter"))
    }

    /// The dead letters of one sink that wait for redelivery, in order: at most `entries_max`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn to_redrive(&mut self, sink: &str, entries_max: u32) -> Result<Vec<Entry>, Error> {
        let redriven = format!(
            "SELECT {ENTRY} FROM dead_letter WHERE {PASSED} AND redrive = 1 \
             ORDER BY position LIMIT ?2"
        );
        sqlx::query(sqlx::AssertSqlSafe(redriven))
            .bind(Arc::<str>::from(sink))
            .bind(entries_max)
            .try_map(|row: SqliteRow| entry(&row))
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed("read the entries to redrive"))
    }
}

/// A dead letter, from its columns.
fn dead_letter(row: SqliteRow) -> Result<DeadLetter, sqlx::Error> {
    Ok(DeadLetter {
        sink: row.try_get(0)?,
        position: Position(row.try_get(1)?),
        error: row.try_get(2)?,
        at: timestamp(row.try_get(3)?)?,
    })
}

/// A dead letter or an undecodable entry, with the beginning of its body.
pub(super) fn letter(row: &SqliteRow) -> Result<Letter, sqlx::Error> {
    Ok(Letter {
        position: Position(row.try_get(0)?),
        topic: row.try_get::<&str, _>(1)?.into(),
        received_at: timestamp(row.try_get(2)?)?,
        at: timestamp(row.try_get(3)?)?,
        error: row.try_get(4)?,
        body: row.try_get::<Vec<u8>, _>(5)?.into(),
        body_bytes: row.try_get::<i64, _>(6)?.unsigned_abs(),
        kind: kind(row.try_get(7)?)?,
    })
}

fn entry(row: &SqliteRow) -> Result<Entry, sqlx::Error> {
    let content = content(row.try_get(1)?, row.try_get(5)?, false, row.try_get(6)?)?;
    Ok(Entry {
        position: Position(row.try_get(0)?),
        topic: row.try_get::<&str, _>(2)?.into(),
        received_at: timestamp(row.try_get(3)?)?,
        body: row.try_get::<Vec<u8>, _>(4)?.into(),
        content,
        places: None,
    })
}
