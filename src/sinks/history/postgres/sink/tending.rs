//! What a Postgres history does between two batches, or while there are none.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use tracing::{info, warn};

use super::PostgresHistory;
use crate::sinks::history::postgres::failure::{Failure, bounded, is_locked};
use crate::sinks::history::postgres::keeping::{delete_keys, drop_old, make_missing};
use crate::sinks::history::postgres::session::{Purpose, end};
use crate::sinks::history::postgres::statements::Writing;
use crate::sinks::history::postgres::{UPKEEP_TIMEOUT, upkeep};
use crate::sinks::history::retention::{PIECE_ROWS, Pruned, TEND_MAX};
use crate::sinks::history::standing::{save_believed_at, tell_recounted};
use crate::sinks::history::upkeep::{Before, Stepped};

/// While there are batches, a step of the upkeep comes after one of them at most so often.
const STEP_INTERVAL: Duration = Duration::from_secs(1);
/// Attempts to drop a partition while somebody reads the table, before that is said: each waits some
/// milliseconds, and most readers are done soon.
const DROPS_MAX: u32 = 5;
/// Between two looks for partitions to make, or event keys to forget.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

impl PostgresHistory {
    /// What is due beside a batch that is stored; what was received after `newest` may be waiting.
    /// An error: the connection is of no more use.
    pub(super) async fn tend(
        &mut self,
        connection: &mut PgConnection,
        newest: Option<Timestamp>,
    ) -> Result<(), Failure> {
        self.prune(connection).await?;
        self.make_ahead(connection).await?;
        self.forget_keys(connection, newest).await?;
        if self.next_step.is_none_or(|next| next <= Instant::now()) {
            self.step(connection, newest).await?;
            self.next_step = Some(Instant::now() + STEP_INTERVAL);
        }
        Ok(())
    }

    /// As much of what is due as there is time for while nothing is delivered.
    pub(super) async fn tend_idle(&mut self, connection: &mut PgConnection) -> Result<(), Failure> {
        let began = Instant::now();
        let has_time = || began.elapsed() < TEND_MAX;
        self.make_ahead(connection).await?;
        while has_time() && self.prune(connection).await? == Pruned::More {}
        while has_time() && self.forget_keys(connection, None).await? == Pruned::More {}
        while has_time() && self.step(connection, None).await? == Stepped::More {}
        Ok(())
    }

    /// One step of the upkeep, where the clock is believed. A failure that the server itself tells
    /// of only waits for the next one.
    async fn step(
        &mut self,
        connection: &mut PgConnection,
        newest: Option<Timestamp>,
    ) -> Result<Stepped, Failure> {
        self.goes_on = false;
        let Some(now) = self.retention.believed(Instant::now(), Timestamp::now()) else {
            return Ok(Stepped::Done);
        };
        let before = Before {
            statuses: self.retention.before(now),
            intervals: self.intervals.and_then(|keep| now.checked_sub(keep).ok()),
        };
        let known = newest.map_or(now, |newest| newest.min(now));
        let (session, recorder) = (&self.session, &mut self.recorder);
        let as_it_was = self.upkeep;
        let upkeep = &mut self.upkeep;
        let step = upkeep::step(upkeep, connection, session, recorder, known, before);
        match bounded(UPKEEP_TIMEOUT, step).await {
            Ok(stepped) => {
                if stepped == Stepped::Done {
                    self.untended = None;
                }
                if self.upkeep.take_recounted() {
                    tell_recounted(&self.name, &self.recorder.zone());
                }
                self.goes_on = stepped == Stepped::More && self.upkeep.counts(&self.recorder);
                Ok(stepped)
            }
            Err(failure) => {
                let failure = self.explained(connection, failure).await;
                self.recorder.forget();
                self.upkeep.failed(as_it_was);
                let error = self.warn_that("the history was not tended", &failure);
                self.untended = Some(error);
                endured(failure).map(|()| Stepped::Waits)
            }
        }
    }

    /// Drops a partition whose rows are all too old, if that is due. A failure that the server itself
    /// tells of only waits for the next round.
    async fn prune(&mut self, connection: &mut PgConnection) -> Result<Pruned, Failure> {
        let now = Instant::now();
        let due = self.retention.due(now, Timestamp::now());
        let unsaved = self.retention.take_unsaved(now);
        if due.is_none() && unsaved.is_none() {
            return Ok(Pruned::Done);
        }
        let (session, retention) = (&self.session, &mut self.retention);
        let partitions = &mut self.partitions;
        let pruned = async {
            if let Some(time) = unsaved {
                let mut transaction = session.begin(connection, Purpose::Upkeep).await?;
                let mut on = Writing::few(&mut transaction);
                let saved = save_believed_at(&mut on, time).await;
                end(transaction, saved).await?;
            }
            let Some(due) = due else {
                return Ok(None);
            };
            let mut transaction = session.begin(connection, Purpose::Upkeep).await?;
            let dropped = drop_old(&mut transaction, retention, partitions, now, due).await;
            end(transaction, dropped).await
        };
        match bounded(UPKEEP_TIMEOUT, pruned).await {
            Ok(Some(partition)) => {
                (self.undeleted, self.blocked) = (None, 0);
                // It may have looked up what is gone.
                self.recorder.forget();
                info!(
                    sink = self.name,
                    partition, "old rows dropped: they are past the retention"
                );
                Ok(Pruned::More)
            }
            Ok(None) => {
                (self.undeleted, self.blocked) = (None, 0);
                Ok(due.map_or(Pruned::Done, |due| {
                    self.retention.deleted(now, due.before, 0)
                }))
            }
            Err(failure) if is_locked(&failure) && self.blocked < DROPS_MAX => {
                self.partitions.forget();
                self.blocked += 1;
                Ok(Pruned::More)
            }
            Err(failure) => {
                let failure = self.explained(connection, failure).await;
                self.partitions.forget();
                self.blocked = 0;
                self.retention.failed(now, due);
                let error = self.warn_that("rows past the retention were not deleted", &failure);
                self.undeleted = Some(error);
                endured(failure).map(|()| Pruned::Done)
            }
        }
    }

    /// Makes the partitions of now and of soon, where the clock is believed and they are missing: a
    /// batch would have to.
    async fn make_ahead(&mut self, connection: &mut PgConnection) -> Result<(), Failure> {
        let now = Instant::now();
        if self.next_making.is_some_and(|next| now < next) {
            return Ok(());
        }
        self.next_making = Some(now + LOOK_INTERVAL);
        // Somebody may have made or dropped one since.
        self.partitions.forget();
        let Some(time) = self.retention.believed(now, Timestamp::now()) else {
            return Ok(());
        };
        let (session, partitions) = (&self.session, &mut self.partitions);
        let made = async {
            let mut transaction = session.begin(connection, Purpose::Upkeep).await?;
            let made = make_missing(&mut transaction, partitions, time).await;
            end(transaction, made).await
        };
        match bounded(UPKEEP_TIMEOUT, made).await {
            Ok(()) => {
                self.unmade = None;
                self.warn_of_problem();
            }
            Err(failure) => {
                let failure = self.explained(connection, failure).await;
                self.partitions.forget();
                let error = self.warn_that("no partition was made ahead", &failure);
                self.unmade = Some(error);
                endured(failure)?;
            }
        }
        Ok(())
    }

    /// Deletes a piece of the event keys that are old enough, if that is due: by the newest status
    /// that is stored, since a history that is behind gets old ones.
    async fn forget_keys(
        &mut self,
        connection: &mut PgConnection,
        newest: Option<Timestamp>,
    ) -> Result<Pruned, Failure> {
        let now = Instant::now();
        if self.next_forgetting.is_some_and(|next| now < next) {
            return Ok(Pruned::Done);
        }
        let believed = self.retention.believed(now, Timestamp::now());
        let time = believed.map(|time| newest.map_or(time, |newest| newest.min(time)));
        let before = time.and_then(|time| time.checked_sub(self.event_keys).ok());
        let Some(before) = before else {
            self.next_forgetting = Some(now + LOOK_INTERVAL);
            return Ok(Pruned::Done);
        };
        let session = &self.session;
        let deleted = async {
            let mut transaction = session.begin(connection, Purpose::Upkeep).await?;
            let deleted = delete_keys(&mut transaction, before).await;
            end(transaction, deleted).await
        };
        let deleted = match bounded(UPKEEP_TIMEOUT, deleted).await {
            Ok(deleted) => deleted,
            Err(failure) => {
                let failure = self.explained(connection, failure).await;
                self.warn_that("old event keys were not deleted", &failure);
                endured(failure)?;
                0
            }
        };
        if deleted >= u64::from(PIECE_ROWS) {
            return Ok(Pruned::More);
        }
        self.next_forgetting = Some(now + LOOK_INTERVAL);
        Ok(Pruned::Done)
    }

    /// Says in the log what was not done beside the batches and why, and gives the same.
    fn warn_that(&self, what: &str, failure: &Failure) -> String {
        let error = failure.of_upkeep();
        warn!(sink = self.name, error, "{what}");
        format!("{}: {what}: {error}", self.server)
    }
}

/// An error only where the connection is of no more use.
fn endured(failure: Failure) -> Result<(), Failure> {
    if failure.is_answer() {
        return Ok(());
    }
    Err(failure)
}
