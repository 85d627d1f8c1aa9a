//! Reads the log, on a connection of its own that cannot write.

mod dead_letters;
mod undecodable;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection, Row};

use super::accounting::SinkAccounting;
use super::error::failed;
use super::last_state_rows::{self, KnownDevice};
use super::row::{content, timestamp};
use super::state::{CursorRow, State};
use super::{
    DeliveryProof, Entry, Error, Eviction, ForgottenDevice, cursor_rows, disk, earlier_ids, file,
    proof_rows,
};
use crate::model::{JournalIds, Position};

const READ_AFTER: &str = "SELECT position, kind, topic, received_at, body, previous, repeat, reason FROM entry \
     WHERE position > ? AND position <= ? ORDER BY position LIMIT ?";

const READ_BEFORE: &str = "SELECT position, kind, topic, received_at, body, previous, repeat, reason FROM entry \
     WHERE position < ? AND position >= ? AND received_at <= ? \
     AND kind IN ('status', 'resync') \
     ORDER BY position DESC";

/// Statuses of a stretch of the log, the newest first.
#[derive(Debug)]
pub struct Backwards {
    /// Those that were received by the time asked for.
    pub entries: Vec<Entry>,
    /// Everything from here on was looked at.
    pub reached: Position,
}

/// A connection that reads the log and cannot write. In the daemon it sees only synced entries;
/// in another process also what is written and not yet synced, which a power cut may take back.
#[derive(Debug)]
pub struct Reader {
    connection: SqliteConnection,
    /// The daemon's own state: the newest entries, and the head, which is the last entry to be
    /// read. The file shows a commit a moment before the writer moves the head. `None` for an
    /// external reader.
    state: Option<Arc<State>>,
    /// The topics' names: one allocation for each name, not one for each entry.
    topics: HashSet<Arc<str>>,
}

impl Reader {
    /// Opens a journal's file to look into it, while a daemon writes it or while none does.
    ///
    /// # Errors
    /// There is no such file, or it cannot be read.
    pub async fn open(path: &Path) -> Result<Reader, Error> {
        let opened = async {
            let mut connection = file::open_to_read(path).await?;
            file::kind(&mut connection, path).await?;
            Ok(Reader::new(connection, None))
        };
        opened.await.map_err(|error| file::unread(path, error))
    }

    pub(super) fn new(connection: SqliteConnection, state: Option<Arc<State>>) -> Reader {
        Reader {
            connection,
            state,
            topics: HashSet::new(),
        }
    }

    /// The entries after a position, in order: at most `entries_max`, and no further one once
    /// their bodies have reached `bytes_max` bytes. Empty only where there is none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn read_after(
        &mut self,
        after: Position,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, Error> {
        // An external reader has no head to stop at: it sees what is written.
        let head = self
            .state
            .as_ref()
            .map_or(Position(i64::MAX), |state| state.head());
        // The newest entries are in memory a moment before the head is moved, as they are in the
        // file.
        if let Some(state) = &self.state
            && let Some(entries) = state.cache().between(after, head, entries_max, bytes_max)
        {
            return Ok(entries);
        }
        let limit = i64::try_from(entries_max).unwrap_or(i64::MAX);
        let mut rows = sqlx::query(READ_AFTER)
            .bind(after.0)
            .bind(head.0)
            .bind(limit)
            .fetch(&mut self.connection);
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

    /// The statuses, of messages and of snapshots, before a position that were received at or
    /// before a time, in a stretch of at most `positions_max`; no further one once their bodies
    /// have reached `bytes_max` bytes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn statuses_before(
        &mut self,
        before: Position,
        until: Timestamp,
        positions_max: u32,
        bytes_max: usize,
    ) -> Result<Backwards, Error> {
        let reached = Position(before.0.saturating_sub(i64::from(positions_max)).max(1));
        let mut rows = sqlx::query(READ_BEFORE)
            .bind(before.0)
            .bind(reached.0)
            .bind(until.as_microsecond())
            .fetch(&mut self.connection);
        let mut found = Backwards {
            entries: Vec::new(),
            reached,
        };
        let mut bytes = 0;
        while let Some(row) = rows.try_next().await.map_err(failed("read entries"))? {
            let entry = entry(&row, &mut self.topics).map_err(failed("read an entry"))?;
            bytes += entry.body.len();
            let position = entry.position;
            found.entries.push(entry);
            if bytes >= bytes_max {
                found.reached = position;
                break;
            }
        }
        Ok(found)
    }

    /// The devices of a name, `client/device` or the id alone, whose last states are known.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn devices_named(&mut self, name: &str) -> Result<Vec<ForgottenDevice>, Error> {
        last_state_rows::named(&mut self.connection, name).await
    }

    /// The journal's ids: where its entries came from.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn ids(&mut self) -> Result<JournalIds, Error> {
        earlier_ids::read(&mut self.connection).await
    }

    /// The newest position.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn newest(&mut self) -> Result<Position, Error> {
        disk::head(&mut self.connection).await
    }

    /// The next devices after a place in their order, as far as their last states are saved: at most
    /// `devices_max`, and only those in one of these states as sent, where some are given.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn devices_after(
        &mut self,
        after: [&str; 3],
        states: Option<&[String]>,
        devices_max: u32,
    ) -> Result<Vec<KnownDevice>, Error> {
        last_state_rows::after(&mut self.connection, after, states, devices_max).await
    }

    /// The last state of one device, by stream, client and device; `None`: it is not known.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn device(&mut self, key: [&str; 3]) -> Result<Option<KnownDevice>, Error> {
        last_state_rows::one(&mut self.connection, key).await
    }

    /// The entry at a position, where it is still there.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn entry(&mut self, position: Position) -> Result<Option<Entry>, Error> {
        let before = Position(position.0.saturating_sub(1));
        Ok(self
            .read_after(before, 1, 1)
            .await?
            .pop()
            .filter(|entry| entry.position == position))
    }

    /// Every sink's accounting, all of one moment.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn accounts(&mut self) -> Result<Vec<SinkAccounting>, Error> {
        const WAITING: &str =
            "SELECT count(*) FROM dead_letter WHERE sink = ? AND position <= ? AND intake = 0";
        let reading = || failed("read the delivery accounting");
        let mut moment = self.connection.begin().await.map_err(reading())?;
        let Position(head) = disk::head(&mut moment).await?;
        let mut accounts = Vec::new();
        for CursorRow {
            sink,
            position,
            accounting,
        } in cursor_rows::all(&mut moment).await?
        {
            let waiting = sqlx::query_as(WAITING)
                .bind(Arc::clone(&sink))
                .bind(position.0);
            let (waiting,): (i64,) = waiting.fetch_one(&mut *moment).await.map_err(reading())?;
            let pending = (head - position.0).max(0).unsigned_abs();
            accounts.push(SinkAccounting {
                sink,
                cursor: position,
                pending,
                waiting: waiting.unsigned_abs(),
                accounting,
            });
        }
        moment.commit().await.map_err(reading())?;
        Ok(accounts)
    }

    /// What sinks have confirmed of the entry at a position, the oldest first, as far as it is kept.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn proofs(&mut self, position: Position) -> Result<Vec<DeliveryProof>, Error> {
        proof_rows::of(&mut self.connection, position).await
    }

    /// The number of the newest proof; 0: there is none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn newest_proof(&mut self) -> Result<i64, Error> {
        proof_rows::newest(&mut self.connection).await
    }

    /// What a sink has confirmed since a proof of this number, the oldest first, each with its
    /// number: at most `proofs_max`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn proofs_after(
        &mut self,
        sink: &str,
        after: i64,
        proofs_max: u32,
    ) -> Result<Vec<(i64, DeliveryProof)>, Error> {
        proof_rows::after(&mut self.connection, sink, after, proofs_max).await
    }

    /// The evictions, in order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn evictions(&mut self) -> Result<Vec<Eviction>, Error> {
        let row = |row: SqliteRow| {
            Ok(Eviction {
                from: Position(row.try_get(0)?),
                to: Position(row.try_get(1)?),
                entries: row.try_get::<i64, _>(2)?.unsigned_abs(),
                since: timestamp(row.try_get(3)?)?,
                until: timestamp(row.try_get(4)?)?,
                reason: row.try_get(5)?,
            })
        };
        sqlx::query(
            "SELECT from_position, to_position, entries, since, until, reason FROM eviction ORDER BY from_position",
        )
        .try_map(row)
        .fetch_all(&mut self.connection)
        .await
        .map_err(failed("read the evictions"))
    }
}

fn entry(row: &SqliteRow, topics: &mut HashSet<Arc<str>>) -> Result<Entry, sqlx::Error> {
    let repeat = row.try_get::<Option<bool>, _>(6)?.unwrap_or_default();
    let content = content(row.try_get(1)?, row.try_get(5)?, repeat, row.try_get(7)?)?;
    Ok(Entry {
        position: Position(row.try_get(0)?),
        topic: interned(row.try_get(2)?, topics),
        received_at: timestamp(row.try_get(3)?)?,
        body: Bytes::from(row.try_get::<Vec<u8>, _>(4)?),
        content,
        places: None,
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
