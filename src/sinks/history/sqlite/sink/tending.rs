//! What a SQLite history does between two batches, or while there are none. What a piece has changed
//! is copied from the WAL at once: the pages of many pieces would be synced together, and a batch
//! would wait for that.

use std::time::Instant;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;
use tracing::warn;

use super::SqliteHistory;
use crate::sinks::history::retention::Pruned;
use crate::sinks::history::sqlite::insert::text_time;
use crate::sinks::history::sqlite::{DELETE_OLD, upkeep};
use crate::sinks::history::standing::{save_believed_at, tell_recounted};
use crate::sinks::history::upkeep::{Before, Stepped};
use crate::sinks::history::words::words;

impl SqliteHistory {
    /// One step of the upkeep, where the clock is believed; `newest`: what was received later may
    /// be waiting. A failure only waits for the next one.
    pub(super) async fn step(
        &mut self,
        connection: &mut SqliteConnection,
        newest: Option<Timestamp>,
    ) -> Stepped {
        self.goes_on = false;
        let Some(now) = self.retention.believed(Instant::now(), Timestamp::now()) else {
            return Stepped::Done;
        };
        let keep = self.settings.intervals;
        let before = Before {
            statuses: self.retention.before(now),
            intervals: keep.and_then(|keep| now.checked_sub(keep).ok()),
        };
        let known = newest.map_or(now, |newest| newest.min(now));
        let as_it_was = self.upkeep;
        let (upkeep, recorder) = (&mut self.upkeep, &mut self.recorder);
        let stepped = upkeep::step(upkeep, connection, recorder, known, before);
        match stepped.await {
            Ok(stepped) => {
                if stepped == Stepped::Done {
                    self.untended = None;
                }
                if self.upkeep.take_recounted() {
                    tell_recounted(&self.settings.name, &self.recorder.zone());
                }
                self.goes_on = stepped == Stepped::More && self.upkeep.counts(&self.recorder);
                if stepped == Stepped::More {
                    self.wal.tended(connection, &self.settings.path).await;
                }
                stepped
            }
            Err(error) => {
                self.untended = Some(self.warn_that("the history was not tended", &error));
                self.recorder.forget();
                self.upkeep.failed(as_it_was);
                Stepped::Waits
            }
        }
    }

    /// Deletes a piece of the rows that are too old, if that is due. The batch is safe already: a
    /// failure here only waits for the next round.
    pub(super) async fn prune(&mut self, connection: &mut SqliteConnection) -> Pruned {
        let now = Instant::now();
        let due = self.retention.due(now, Timestamp::now());
        let pruned = async {
            if let Some(time) = self.retention.take_unsaved(now) {
                save_believed_at(connection, time).await?;
            }
            let Some(due) = due else {
                return Ok(None);
            };
            if due.to_count {
                let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM event")
                    .fetch_one(&mut *connection)
                    .await?;
                self.retention.allow(now, rows.unsigned_abs());
            }
            let deleted = sqlx::query(DELETE_OLD)
                .bind(text_time(due.before))
                .bind(self.retention.piece())
                .execute(&mut *connection)
                .await?;
            Ok::<_, sqlx::Error>(Some(deleted.rows_affected()))
        };
        match (pruned.await, due) {
            (Ok(Some(rows)), Some(due)) => {
                self.undeleted = None;
                self.wal.tended(connection, &self.settings.path).await;
                self.retention.deleted(now, due.before, rows)
            }
            (Ok(_), _) => Pruned::Done,
            (Err(error), due) => {
                let what = "rows past the retention were not deleted";
                self.undeleted = Some(self.warn_that(what, &error));
                self.retention.failed(now, due);
                Pruned::Done
            }
        }
    }

    /// Says in the log what was not done beside the batches and why, and gives the same.
    fn warn_that(&self, what: &str, error: &sqlx::Error) -> String {
        let error = words(error);
        warn!(sink = self.settings.name, error, "{what}");
        format!("{what}: {error}")
    }
}
