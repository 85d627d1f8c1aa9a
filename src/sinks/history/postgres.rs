//! History tables in Postgres. One connection, one transaction per batch: rows, devices and cursor
//! together. Every call has a timeout, since a silent server never answers.
//!
//! - `server`, `hosts`: what a URL says; `connect`: from it to a connection
//! - `session`: how transactions begin, so that a pooler may stand between; `migrations`: the tables
//! - `store`: one transaction of a batch; `statements`, `insert`, `look_up`: what runs in it; `upkeep`:
//!   what is done beside the batches
//! - `trial`: a batch that is rolled back
//! - `reader`: what a person asks
//! - `partitions`: the parts of the large tables by time; `keeping`: the retention takes them whole,
//!   and what else goes by age beside the upkeep; `row_count`: how many rows there are
//! - `failure`: what can go wrong, and what to do about it

mod connect;
mod failure;
mod hosts;
mod insert;
mod keeping;
mod look_up;
mod migrations;
mod operator;
mod partitions;
mod probe;
mod reader;
mod row_count;
mod server;
mod session;
mod statements;
mod store;
mod trial;
mod upkeep;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;
use uuid::Uuid;

use self::connect::{CONNECT_TIMEOUT, Repertoire, connect, repertoire};
use self::failure::{Failure, Fault, bounded, fault, is_locked};
pub use self::hosts::urls;
use self::insert::text_time;
use self::keeping::{delete_keys, drop_old, make_missing};
use self::migrations::migrate;
pub(super) use self::operator::PostgresOperator;
use self::partitions::Partitions;
pub(super) use self::reader::{PostgresReader, Unread as PostgresUnread};
pub use self::server::Exposure;
use self::server::Server;
use self::session::{Session, end, query, query_as, query_scalar};
use self::statements::Way;
use self::store::{set_zone, store};

use super::another_journal::warn_of_another_journal;
use super::capabilities::CAPABILITIES;
use super::newest::stored_newest;
use super::recorder::Recorder;
use super::retention::{PIECE_ROWS, Pruned, Retention, TEND_MAX};
use super::too_old::TooOld;
use super::upkeep::{Before, Stepped, Upkeep};
use crate::model::{Event, Position};
use crate::secret::{Lifetime, Secret, protect_url};
use crate::sinks::{
    Batch, BuildError, Built, By, Capabilities, Newest, Sink, Trouble, Undelivered,
};

/// Creating the tables, which waits for another daemon that does the same.
const MIGRATE_TIMEOUT: Duration = Duration::from_secs(60);
/// A batch, from BEGIN to COMMIT; longer than the server's own limit for one statement, so that its
/// error is seen.
const STORE_TIMEOUT: Duration = Duration::from_secs(45);
/// A question, whether the server answers.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// What is done beside the batches; longer than the server's own limits, so that its error is seen.
const UPKEEP_TIMEOUT: Duration = Duration::from_secs(25);
/// Saying goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// While there are batches, a step of the upkeep comes after one of them at most so often.
const STEP_INTERVAL: Duration = Duration::from_secs(1);

/// Attempts to drop a partition while somebody reads the table, before that is said: each waits some
/// milliseconds, and most readers are done soon.
const DROPS_MAX: u32 = 5;
/// Between two looks for partitions to make, or event keys to forget.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// Validated settings of a Postgres history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The sink's name in the configuration: the cursor's key.
    pub name: String,
    /// `postgres://user:password@host/database?options`, with the password, hence secret.
    pub url: Secret,
    /// Where the tables are; `None`: where the server looks first.
    pub schema: Option<String>,
    /// What the files of certificates in `url` are relative to.
    pub folder: PathBuf,
    /// How long `status_event` rows stay at least, until their partition is dropped; `None`: without
    /// end.
    pub retention: Option<Duration>,
    /// How long intervals, days and gaps stay; `None`: without end.
    pub intervals: Option<Duration>,
    /// How long an event key is remembered: a status that the server delivers again later is a new
    /// row.
    pub event_keys: Duration,
    /// The zone of the days of `state_daily`.
    pub zone: TimeZone,
}

/// What the URL leaves open on the way to its server, if anything; connects to nothing.
///
/// # Errors
/// The URL, or a file of certificates that it names, cannot be used; says why, and shows nothing
/// else of the URL.
pub fn exposure(settings: &Settings) -> Result<Option<Exposure>, String> {
    let server = Server::parse_quietly(settings.url.expose_secret(), &settings.folder)?;
    server.check_files().map_err(|error| error.to_string())?;
    Ok(server.exposure())
}

/// Whether the server would store rows now, without changing anything on it.
///
/// # Errors
/// Why not, and what to do.
pub(in crate::sinks) async fn probe(settings: &Settings) -> Result<String, String> {
    let server = Server::parse(settings.url.expose_secret(), &settings.folder)?;
    let found = probe::probe(&server, settings.schema.as_deref()).await;
    let found = found.map_err(|failure| format!("{server}: {}", failure.with_advice()))?;
    Ok(format!("{server}: {found}"))
}

/// Stores a batch, and rolls it back.
///
/// # Errors
/// Why it cannot be stored, and what to do.
pub(in crate::sinks) async fn trial(
    settings: &Settings,
    batch: Batch<'_>,
) -> Result<String, String> {
    let server = Server::parse(settings.url.expose_secret(), &settings.folder)?;
    let tried = trial::trial(&server, settings, batch).await;
    let tried = tried.map_err(|failure| format!("{server}: {}", failure.with_advice()))?;
    Ok(format!("{server}: {tried}"))
}

/// See [`crate::sinks::build`].
pub(in crate::sinks) fn build(settings: Settings) -> Result<Built, BuildError> {
    let text = settings.url.expose_secret();
    let server = Server::parse(text, &settings.folder).map_err(|problem| BuildError::Settings {
        name: settings.name.clone(),
        problem,
    })?;
    for url in urls(text).into_iter().flatten() {
        if let Ok(url) = Url::parse(&url) {
            protect_url(&url, Lifetime::Configured);
        }
    }
    let retention = Retention::new(&settings.name, settings.retention);
    let sink = PostgresHistory {
        name: settings.name,
        server,
        session: Session::new(settings.schema.as_deref()),
        schema: settings.schema,
        warned_of: None,
        connection: None,
        lost: None,
        newest: None,
        way: Way::Copy,
        partitions: Partitions::new(settings.retention),
        retention,
        intervals: settings.intervals,
        event_keys: settings.event_keys,
        recorder: Recorder::new(settings.zone),
        upkeep: Upkeep::default(),
        next_step: None,
        next_making: None,
        next_forgetting: None,
        blocked: 0,
        unmade: None,
        undeleted: None,
        untended: None,
        problem_told: None,
        too_old: TooOld::default(),
        answer: None,
    };
    Ok(Built {
        sink: Box::new(sink),
        driver: None,
        ending: CancellationToken::new(),
    })
}

struct PostgresHistory {
    name: String,
    server: Server,
    session: Session,
    schema: Option<String>,
    /// An encoding of the database that lacks characters.
    warned_of: Option<String>,
    /// Taken out while it is in use, so that one that failed or was abandoned in the middle is
    /// never used again.
    connection: Option<PgConnection>,
    /// Why there is none, where that came up beside a batch.
    lost: Option<String>,
    newest: Option<Newest>,
    /// For the next batch.
    way: Way,
    partitions: Partitions,
    retention: Retention,
    intervals: Option<Duration>,
    event_keys: Duration,
    recorder: Recorder,
    upkeep: Upkeep,
    next_step: Option<Instant>,
    next_making: Option<Instant>,
    next_forgetting: Option<Instant>,
    /// Attempts to drop a partition that found it locked.
    blocked: u32,
    /// Why no partition is made ahead.
    unmade: Option<String>,
    /// Why rows past the retention are still there.
    undeleted: Option<String>,
    /// Why the upkeep does not go on.
    untended: Option<String>,
    /// What the log has said of the partitions.
    problem_told: Option<String>,
    too_old: TooOld,
    /// What the last attempt has stored.
    answer: Option<String>,
}

impl Sink for PostgresHistory {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn open(&mut self, journal: Uuid) -> BoxFuture<'_, Result<Option<Position>, Trouble>> {
        async move {
            (self.connection, self.lost) = (None, None);
            match self.connect(journal).await {
                Ok((connection, cursor)) => {
                    self.connection = Some(connection);
                    Ok(cursor)
                }
                Err(failure) => Err(self.pause(&failure)),
            }
        }
        .boxed()
    }

    fn attempt<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), Undelivered>> {
        async move {
            let Some(mut connection) = self.connection.take() else {
                return Err(Undelivered {
                    confirmed: 0,
                    trouble: self.not_connected(),
                });
            };
            // Where the answer to COMMIT is lost, nobody knows: `open` reads the cursor again, and
            // a batch that was stored is not stored twice.
            let memory = (&mut self.recorder, &mut self.partitions);
            let stored = store(
                &mut connection,
                &self.session,
                memory,
                (&self.name, batch),
                self.way,
            );
            match bounded(STORE_TIMEOUT, stored).await {
                Ok((next, stored)) => {
                    self.way = next;
                    self.answer = Some(stored.text());
                    self.too_old.add(stored.too_old, Instant::now());
                    self.warn_of_too_old();
                    let newest = batch.events.last().map(Event::received_at);
                    match self.tend(&mut connection, newest).await {
                        Ok(()) => self.connection = Some(connection),
                        // The batch is stored; the next one has to connect first.
                        Err(failure) => self.lost = Some(self.text(&failure)),
                    }
                    Ok(())
                }
                Err(failure) => {
                    let trouble = match fault(&failure) {
                        Some(fault) => {
                            self.connection = Some(connection);
                            self.refused(&failure, fault)
                        }
                        None => self.pause(&failure),
                    };
                    Err(Undelivered {
                        confirmed: 0,
                        trouble,
                    })
                }
            }
        }
        .boxed()
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        async move {
            if let Some(connection) = self.connection.take() {
                // Where the goodbye fails, the server notices the closed socket: nothing is open in
                // it.
                let _ = timeout(CLOSE_TIMEOUT, connection.close()).await;
            }
        }
        .boxed()
    }

    fn newest(&self) -> Option<Newest> {
        self.newest
    }

    fn answer(&mut self) -> Option<String> {
        self.answer.take()
    }

    fn warning(&self) -> Option<String> {
        let warnings = [&self.undeleted, &self.unmade, &self.untended];
        let warnings = warnings.into_iter().flatten().map(String::as_str);
        let too_old = self.too_old.warning(Instant::now());
        let warnings: Vec<&str> = warnings
            .chain(self.partitions.problem())
            .chain(too_old.as_deref())
            .collect();
        (!warnings.is_empty()).then(|| warnings.join("; "))
    }

    fn idle(&mut self) -> BoxFuture<'_, Result<(), Trouble>> {
        async move {
            let Some(mut connection) = self.connection.take() else {
                return Err(self.not_connected());
            };
            let probe = sqlx::raw_sql("SELECT 1").execute(&mut connection);
            let probed = bounded(PROBE_TIMEOUT, probe).await;
            probed.map_err(|failure| self.pause(&failure))?;
            self.warn_of_too_old();
            let tended = self.tend_idle(&mut connection).await;
            tended.map_err(|failure| self.pause(&failure))?;
            self.connection = Some(connection);
            Ok(())
        }
        .boxed()
    }
}

impl PostgresHistory {
    async fn connect(
        &mut self,
        journal: Uuid,
    ) -> Result<(PgConnection, Option<Position>), Failure> {
        let (mut connection, encoding) = connect(&self.server).await?;
        self.warn_of(encoding);
        let migration = migrate(&mut connection, &self.session, self.schema.as_deref());
        bounded(MIGRATE_TIMEOUT, migration).await?;
        let (session, name, zone) = (&self.session, &self.name, self.recorder.zone());
        let partitions = &mut self.partitions;
        let stored = bounded(CONNECT_TIMEOUT, async {
            let mut transaction = session.begin(&mut connection).await?;
            let stored = stored(&mut transaction, name, journal).await?;
            set_zone(&mut transaction, &zone).await?;
            partitions.set_unit(&mut transaction).await?;
            partitions.forget();
            partitions.load(&mut transaction).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(stored)
        })
        .await?;
        let received_at = stored.newest.as_ref().map(|(_, at)| *at);
        self.retention
            .set_reference(Instant::now(), stored.believed_at, received_at);
        self.newest = stored.newest.and_then(stored_newest);
        self.recorder.forget();
        self.upkeep = Upkeep::default();
        self.warn_of_problem();
        Ok((connection, stored.cursor.map(Position)))
    }

    /// Once for each problem.
    fn warn_of_problem(&mut self) {
        let problem = self.partitions.problem();
        if let Some(problem) = problem.filter(|it| self.problem_told.as_deref() != Some(it)) {
            warn!(sink = self.name, "{problem}");
        }
        self.problem_told = problem.map(str::to_owned);
    }

    /// Once for each encoding.
    fn warn_of(&mut self, encoding: String) {
        let is_new = self.warned_of.as_ref() != Some(&encoding);
        if repertoire(&encoding) == Repertoire::Language && is_new {
            warn!(
                sink = self.name,
                encoding,
                "the database's encoding lacks characters, and a status with one of them will be \
                 dead-lettered; a database with ENCODING 'UTF8' holds all"
            );
            self.warned_of = Some(encoding);
        }
    }

    /// Once a minute.
    fn warn_of_too_old(&mut self) {
        if let Some(statuses) = self.too_old.to_log(Instant::now()) {
            warn!(
                sink = self.name,
                statuses, "statuses older than the retention have got no row"
            );
        }
    }

    fn not_connected(&self) -> Trouble {
        let error = match &self.lost {
            Some(error) => error.clone(),
            None => format!("{}: not connected", self.server),
        };
        Trouble::Retry { error, after: None }
    }

    fn text(&self, failure: &Failure) -> String {
        format!("{}: {}", self.server, failure.with_advice())
    }

    fn pause(&self, failure: &Failure) -> Trouble {
        let error = self.text(failure);
        Trouble::Retry { error, after: None }
    }

    fn refused(&self, failure: &Failure, fault: Fault) -> Trouble {
        Trouble::Refused {
            index: None,
            by: match fault {
                // However many there are, the others go on.
                Fault::Event => By::Us,
                Fault::Tables => By::Them,
            },
            error: format!("{}: {failure}", self.server),
        }
    }

    /// What is due beside a batch that is stored; what was received after `newest` may be waiting.
    /// An error: the connection is of no more use.
    async fn tend(
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
    async fn tend_idle(&mut self, connection: &mut PgConnection) -> Result<(), Failure> {
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
                Ok(stepped)
            }
            Err(failure) => {
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
                let mut transaction = session.begin_upkeep(connection).await?;
                let saved = save_believed_at(&mut transaction, time).await;
                end(transaction, saved).await?;
            }
            let Some(due) = due else {
                return Ok(None);
            };
            let mut transaction = session.begin_upkeep(connection).await?;
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
            let mut transaction = session.begin_upkeep(connection).await?;
            let made = make_missing(&mut transaction, partitions, time).await;
            end(transaction, made).await
        };
        match bounded(UPKEEP_TIMEOUT, made).await {
            Ok(()) => {
                self.unmade = None;
                self.warn_of_problem();
            }
            Err(failure) => {
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
            let mut transaction = session.begin_upkeep(connection).await?;
            let deleted = delete_keys(&mut transaction, before).await;
            end(transaction, deleted).await
        };
        let deleted = match bounded(UPKEEP_TIMEOUT, deleted).await {
            Ok(deleted) => deleted,
            Err(failure) => {
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

/// What a history says of itself.
struct Stored {
    cursor: Option<i64>,
    /// The newest row of `device_current`: its origin, and when it was received.
    newest: Option<(String, Timestamp)>,
    believed_at: Timestamp,
}

/// Reads it, for this sink and journal.
async fn stored(
    connection: &mut PgConnection,
    sink: &str,
    journal: Uuid,
) -> Result<Stored, sqlx::Error> {
    let cursor =
        query_scalar::<i64>("SELECT position FROM bridge_cursor WHERE journal = $1 AND sink = $2")
            .bind(journal.simple().to_string())
            .bind(sink)
            .fetch_optional(&mut *connection)
            .await?;
    if cursor.is_none() {
        let other = query_scalar("SELECT journal FROM bridge_cursor WHERE sink = $1 LIMIT 1")
            .bind(sink)
            .fetch_optional(&mut *connection)
            .await?;
        warn_of_another_journal(sink, journal, other);
    }
    let sql = "SELECT origin, (extract(epoch FROM received_at) * 1000000)::bigint \
               FROM device_current ORDER BY last_seen DESC LIMIT 1";
    let newest: Option<(String, i64)> = query_as(sql).fetch_optional(&mut *connection).await?;
    let newest =
        newest.and_then(|(origin, at)| Some((origin, Timestamp::from_microsecond(at).ok()?)));
    let received_at = newest.as_ref().map(|(_, at)| *at);
    let believed_at = believed_at(connection, received_at).await?;
    Ok(Stored {
        cursor,
        newest,
        believed_at,
    })
}

/// The time that the history believed last. A history that has none begins with its newest row, or
/// with the clock: before the first row of ours, which a wrong clock may date. `newest`: in
/// microseconds.
async fn believed_at(
    connection: &mut PgConnection,
    newest: Option<Timestamp>,
) -> Result<Timestamp, sqlx::Error> {
    let first = newest.unwrap_or_else(Timestamp::now);
    query(
        "INSERT INTO bridge_clock (one, believed_at) VALUES (1, $1::timestamptz) \
         ON CONFLICT DO NOTHING",
    )
    .bind(text_time(first))
    .execute(&mut *connection)
    .await?;
    let sql = "SELECT (extract(epoch FROM believed_at) * 1000000)::bigint FROM bridge_clock";
    let believed: i64 = query_scalar(sql).fetch_one(connection).await?;
    Ok(Timestamp::from_microsecond(believed).unwrap_or(first))
}

async fn save_believed_at(
    connection: &mut PgConnection,
    time: Timestamp,
) -> Result<(), sqlx::Error> {
    query("UPDATE bridge_clock SET believed_at = greatest(believed_at, $1::timestamptz)")
        .bind(text_time(time))
        .execute(connection)
        .await
        .map(drop)
}
