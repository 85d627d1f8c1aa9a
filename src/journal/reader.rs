//! Reads the log, on a connection of its own that cannot write.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tokio::sync::watch;

use super::error::failed;
use super::{Entry, Error, Gap, SetAside, Verdict};
use crate::model::Position;

const READ_AFTER: &str = "SELECT position, topic, received_at, body, previous, reason FROM entry \
     WHERE position > ? AND position <= ? ORDER BY position LIMIT ?";

/// See the module. It sees only what was synced.
#[derive(Debug)]
pub struct Reader {
    connection: SqliteConnection,
    /// The end of what may be read: a commit shows in the file a moment before the writer has made it known.
    head: watch::Receiver<Position>,
    /// One allocation for a topic's name, not one for each entry; as many as the configuration has.
    topics: HashSet<Arc<str>>,
}

impl Reader {
    pub(super) fn new(connection: SqliteConnection, head: watch::Receiver<Position>) -> Reader {
        Reader { connection, head, topics: HashSet::new() }
    }

    /// The entries after a position, in order: at most `entries_max`, and no further one once their bodies have
    /// reached `bytes_max` bytes. Empty only where there is none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn read_after(
        &mut self,
        after: Position,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, Error> {
        let limit = i64::try_from(entries_max).unwrap_or(i64::MAX);
        let head = self.head.borrow().0;
        let mut rows = sqlx::query(READ_AFTER).bind(after.0).bind(head).bind(limit).fetch(&mut self.connection);
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        while bytes < bytes_max
            && let Some(row) = rows.try_next().await.map_err(failed("read entries"))?
        {
            let entry = entry(&row, &mut self.topics).map_err(failed("read an entry"))?;
            bytes += entry.body.len();
            entries.push(entry);
        }
        Ok(entries)
    }

    /// What is set aside for any sink, by sink and position.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn set_aside(&mut self) -> Result<Vec<SetAside>, Error> {
        let row = |row: SqliteRow| {
            let (sink, position, error) = (row.try_get(0)?, Position(row.try_get(1)?), row.try_get(2)?);
            Ok(SetAside { sink, position, error, at: timestamp(row.try_get(3)?)? })
        };
        sqlx::query("SELECT sink, position, error, at FROM set_aside ORDER BY sink, position")
            .try_map(row)
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed("read what was set aside"))
    }

    /// What was dropped, in order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn gaps(&mut self) -> Result<Vec<Gap>, Error> {
        let row = |row: SqliteRow| {
            Ok(Gap {
                from: Position(row.try_get(0)?),
                to: Position(row.try_get(1)?),
                entries: row.try_get::<i64, _>(2)?.unsigned_abs(),
                since: timestamp(row.try_get(3)?)?,
                until: timestamp(row.try_get(4)?)?,
                reason: row.try_get(5)?,
            })
        };
        sqlx::query(
            "SELECT from_position, to_position, entries, since, until, reason FROM gap ORDER BY from_position",
        )
        .try_map(row)
        .fetch_all(&mut self.connection)
        .await
        .map_err(failed("read the gaps"))
    }
}

fn timestamp(microseconds: i64) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_microsecond(microseconds).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn entry(row: &SqliteRow, topics: &mut HashSet<Arc<str>>) -> Result<Entry, sqlx::Error> {
    let reason: Option<String> = row.try_get(5)?;
    let previous: Option<String> = row.try_get(4)?;
    let verdict = match reason {
        Some(reason) => Verdict::Rejected { reason: reason.into() },
        None => Verdict::Accepted { previous: previous.map(Into::into) },
    };
    Ok(Entry {
        position: Position(row.try_get(0)?),
        topic: interned(row.try_get(1)?, topics),
        received_at: timestamp(row.try_get(2)?)?,
        body: Bytes::from(row.try_get::<Vec<u8>, _>(3)?),
        verdict,
    })
}

fn interned(topic: &str, topics: &mut HashSet<Arc<str>>) -> Arc<str> {
    if let Some(known) = topics.get(topic) {
        return Arc::clone(known);
    }
    let new: Arc<str> = topic.into();
    topics.insert(Arc::clone(&new));
    new
}
