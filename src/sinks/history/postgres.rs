//! History tables in Postgres. One connection, one transaction per batch: rows, devices and cursor
//! together. Every call has a timeout, since a silent server never answers.

mod insert;
mod look_up;
mod server;
mod store;
mod upkeep;

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sqlx::Connection;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;
use tokio::time::timeout;
use tracing::subscriber::NoSubscriber;
use tracing::warn;
use url::Url;
use uuid::Uuid;

use self::insert::text_time;
pub use self::server::Exposure;
use self::server::{Server, Unconnected};
use self::store::{Way, store};
use self::upkeep::{Before, Stepped, Upkeep};

use super::another_journal::warn_of_another_journal;
use super::capabilities::CAPABILITIES;
use super::migration::{ANOTHER_LAYOUT, MIGRATIONS_TABLE, migration_failure};
use super::newest::stored_newest;
use super::recorder::Recorder;
use super::retention::{Pruned, Retention, TEND_MAX};
use super::words::words;
use crate::model::{Event, Position};
use crate::secret::{Lifetime, Secret, protect_url};
use crate::sinks::{
    Batch, BuildError, Built, By, Capabilities, Newest, Sink, Trouble, Undelivered,
};

/// Dialling, TLS and signing in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Creating the tables, which waits for another daemon that does the same.
const MIGRATE_TIMEOUT: Duration = Duration::from_secs(60);
/// A batch, from BEGIN to COMMIT; longer than the server's own limit for one statement, so that its
/// error is seen.
const STORE_TIMEOUT: Duration = Duration::from_secs(45);
/// The server gives up a statement, and a transaction whose client has vanished (a power cut, a
/// cable). So neither holds a lock that our next connection needs. A lock that somebody else holds
/// is said by its name, sooner.
const SESSION: &str = "SET statement_timeout = '30s'; SET lock_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '60s'";
/// The server keeps its notices. Nobody reads a trigger's notices while a COPY is sent, so the
/// server would wait. The migrations give one for each table that exists already.
const QUIET: &str = "SET client_min_messages = error";
/// Deleting rows that are too old, and closing.
const UPKEEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Saying goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// While there are batches, a step of the upkeep comes after one of them at most so often.
const STEP_INTERVAL: Duration = Duration::from_secs(1);

/// Deletes a piece of the oldest rows.
const DELETE_OLD: &str = "DELETE FROM event WHERE sequence IN \
     (SELECT sequence FROM event WHERE received_at < $1::timestamptz LIMIT $2)";

/// Validated settings of a Postgres history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The sink's name in the configuration: the cursor's key.
    pub name: String,
    /// `postgres://user:password@host/database?options`, with the password, hence secret.
    pub url: Secret,
    /// How long `status_event` rows stay; `None`: without end.
    pub retention: Option<Duration>,
    /// How long intervals, days and gaps stay; `None`: without end.
    pub intervals: Option<Duration>,
    /// The zone of the days of `state_daily`.
    pub zone: TimeZone,
}

/// What a URL leaves open on the way to its server, if anything; connects to nothing.
///
/// # Errors
/// The URL, or a file of certificates that it names, cannot be used; says why, and shows nothing
/// else of the URL.
pub fn exposure(url: &Secret) -> Result<Option<Exposure>, String> {
    // What sqlx makes of the URL is logged where the sink is built.
    let server = tracing::subscriber::with_default(NoSubscriber::default(), || {
        Server::parse(url.expose_secret())
    })?;
    server.options().map_err(|error| error.to_string())?;
    Ok(server.exposure())
}

/// See [`crate::sinks::build`].
pub(in crate::sinks) fn build(settings: Settings) -> Result<Built, BuildError> {
    let server =
        Server::parse(settings.url.expose_secret()).map_err(|problem| BuildError::Settings {
            name: settings.name.clone(),
            problem,
        })?;
    if let Ok(url) = Url::parse(settings.url.expose_secret()) {
        protect_url(&url, Lifetime::Configured);
    }
    let retention = Retention::new(&settings.name, settings.retention);
    let sink = PostgresHistory {
        name: settings.name,
        server,
        connection: None,
        newest: None,
        way: Way::Copy,
        retention,
        intervals: settings.intervals,
        recorder: Recorder::new(settings.zone),
        upkeep: Upkeep::default(),
        next_step: None,
    };
    Ok(Built {
        sink: Box::new(sink),
        driver: None,
    })
}

struct PostgresHistory {
    name: String,
    server: Server,
    /// Taken out while it is in use, so that one that failed or was abandoned in the middle is
    /// never used again.
    connection: Option<PgConnection>,
    newest: Option<Newest>,
    /// For the next batch.
    way: Way,
    retention: Retention,
    intervals: Option<Duration>,
    recorder: Recorder,
    upkeep: Upkeep,
    next_step: Option<Instant>,
}

/// What can go wrong in a bounded call.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{}", words(.0))]
    Sql(#[from] sqlx::Error),
    /// Says what to do.
    #[error("{0}")]
    Tls(String),
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
}

impl From<Unconnected> for Failure {
    fn from(unconnected: Unconnected) -> Failure {
        match unconnected {
            Unconnected::Tls(problem) => Failure::Tls(problem),
            Unconnected::Sql(error) => Failure::Sql(error),
        }
    }
}

impl Sink for PostgresHistory {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn open(&mut self, journal: Uuid) -> BoxFuture<'_, Result<Option<Position>, Trouble>> {
        async move {
            self.connection = None;
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
            let recorder = &mut self.recorder;
            let stored = stored(&mut connection, recorder, &self.name, batch, self.way);
            match bounded(STORE_TIMEOUT, stored).await {
                Ok(next) => {
                    self.way = next;
                    self.prune(&mut connection).await;
                    if self.next_step.is_none_or(|next| next <= Instant::now()) {
                        let newest = batch.events.last().map(Event::received_at);
                        self.step(&mut connection, newest).await;
                        self.next_step = Some(Instant::now() + STEP_INTERVAL);
                    }
                    self.connection = Some(connection);
                    Ok(())
                }
                Err(failure) if is_refusal(&failure) => {
                    self.connection = Some(connection);
                    let error = format!("{}: {failure}", self.server);
                    Err(Undelivered {
                        confirmed: 0,
                        trouble: Trouble::Refused {
                            index: None,
                            by: By::Them,
                            error,
                        },
                    })
                }
                Err(failure) => Err(Undelivered {
                    confirmed: 0,
                    trouble: self.pause(&failure),
                }),
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

    fn idle(&mut self) -> BoxFuture<'_, Result<(), Trouble>> {
        async move {
            let Some(mut connection) = self.connection.take() else {
                return Err(self.not_connected());
            };
            let probe = sqlx::raw_sql("SELECT 1").execute(&mut connection);
            let probed = bounded(UPKEEP_TIMEOUT, probe).await;
            probed.map_err(|failure| self.pause(&failure))?;
            let began = Instant::now();
            while began.elapsed() < TEND_MAX {
                match self.prune(&mut connection).await {
                    Pruned::More => {}
                    Pruned::Done => break,
                    // It may be silent.
                    Pruned::Failed => return Err(self.not_connected()),
                }
            }
            while began.elapsed() < TEND_MAX {
                match self.step(&mut connection, None).await {
                    Some(Stepped::More) => {}
                    Some(Stepped::Done) => break,
                    None => return Err(self.not_connected()),
                }
            }
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
        let mut connection = timeout(CONNECT_TIMEOUT, self.server.connect())
            .await
            .map_err(|_| Failure::Silent(CONNECT_TIMEOUT))??;
        bounded(MIGRATE_TIMEOUT, async {
            sqlx::raw_sql(QUIET).execute(&mut connection).await?;
            let migrator = Migrator {
                table_name: MIGRATIONS_TABLE.into(),
                ..sqlx::migrate!("migrations/history_postgres")
            };
            migrator
                .run_direct(None, &mut connection, false)
                .await
                .map_err(migration_failure)
        })
        .await?;
        let (cursor, newest) = bounded(CONNECT_TIMEOUT, async {
            sqlx::raw_sql(SESSION).execute(&mut connection).await?;
            let query = "SELECT position FROM bridge_cursor WHERE journal = $1 AND sink = $2";
            let cursor = sqlx::query_scalar::<_, i64>(query)
                .bind(journal.simple().to_string())
                .bind(&self.name)
                .fetch_optional(&mut connection)
                .await?;
            if cursor.is_none() {
                let query = "SELECT journal FROM bridge_cursor WHERE sink = $1 LIMIT 1";
                let other = sqlx::query_scalar(query)
                    .bind(&self.name)
                    .fetch_optional(&mut connection)
                    .await?;
                warn_of_another_journal(&self.name, journal, other);
            }
            let query = "SELECT origin, (extract(epoch FROM received_at) * 1000000)::bigint \
                         FROM device_current ORDER BY last_seen DESC LIMIT 1";
            let newest: Option<(String, i64)> = sqlx::query_as(query)
                .fetch_optional(&mut connection)
                .await?;
            let newest = newest
                .and_then(|(origin, at)| Some((origin, Timestamp::from_microsecond(at).ok()?)));
            let received_at = newest.as_ref().map(|(_, at)| *at);
            let believed_at = believed_at(&mut connection, received_at).await?;
            self.retention
                .set_reference(Instant::now(), believed_at, received_at);
            set_zone(&mut connection, &self.recorder.zone()).await?;
            Ok((cursor, newest))
        })
        .await?;
        self.newest = newest.and_then(stored_newest);
        self.recorder.forget();
        self.upkeep = Upkeep::default();
        Ok((connection, cursor.map(Position)))
    }

    fn not_connected(&self) -> Trouble {
        let error = format!("{}: not connected", self.server);
        Trouble::Retry { error, after: None }
    }

    fn pause(&self, failure: &Failure) -> Trouble {
        let error = match advice(failure) {
            _ if matches!(failure, Failure::Sql(sqlx::Error::Migrate(_))) => format!(
                "{}: {ANOTHER_LAYOUT}: begin a new database, or a new schema by \
                 options[search_path]=NAME in `url`; the journal fills it as far as it reaches",
                self.server
            ),
            Some(advice) => format!("{}: {failure}; {advice}", self.server),
            None => format!("{}: {failure}", self.server),
        };
        Trouble::Retry { error, after: None }
    }

    /// One step of the upkeep, where the clock is believed; `newest`: what was received later may
    /// be waiting. A failure only waits for the next one; the connection may be of no more use.
    async fn step(
        &mut self,
        connection: &mut PgConnection,
        newest: Option<Timestamp>,
    ) -> Option<Stepped> {
        let Some(now) = self.retention.believed(Instant::now(), Timestamp::now()) else {
            return Some(Stepped::Done);
        };
        let before = Before {
            statuses: self.retention.before(now),
            intervals: self.intervals.and_then(|keep| now.checked_sub(keep).ok()),
        };
        let known = newest.map_or(now, |newest| newest.min(now));
        let step = self
            .upkeep
            .step(connection, &mut self.recorder, known, before);
        match bounded(UPKEEP_TIMEOUT, step).await {
            Ok(stepped) => Some(stepped),
            Err(error) => {
                warn!(sink = self.name, %error, "the history was not tended");
                self.recorder.forget();
                None
            }
        }
    }

    /// Deletes a piece of the rows that are too old, if that is due. The batch is safe already: a
    /// failure here only waits for the next round.
    async fn prune(&mut self, connection: &mut PgConnection) -> Pruned {
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
                .bind(i64::from(self.retention.piece()))
                .execute(&mut *connection)
                .await?;
            Ok(Some(deleted.rows_affected()))
        };
        let rows = match bounded(UPKEEP_TIMEOUT, pruned).await {
            Ok(None) => return Pruned::Done,
            Ok(rows) => rows,
            Err(error) => {
                warn!(sink = self.name, %error, "rows past the retention were not deleted");
                if due.is_some_and(|due| due.to_count) {
                    // Counted in vain each minute, they would hold up the deliveries.
                    self.retention.allow(now, 0);
                }
                None
            }
        };
        let before = due.map_or(Timestamp::MIN, |due| due.before);
        self.retention.deleted(now, before, rows)
    }
}

/// The time that the history believed last. A history that has none begins with its newest row, or
/// with the clock: before the first row of ours, which a wrong clock may date. `newest`: in
/// microseconds.
async fn believed_at(
    connection: &mut PgConnection,
    newest: Option<Timestamp>,
) -> Result<Timestamp, sqlx::Error> {
    let first = newest.unwrap_or_else(Timestamp::now);
    sqlx::query(
        "INSERT INTO bridge_clock (one, believed_at) VALUES (1, $1::timestamptz) \
         ON CONFLICT DO NOTHING",
    )
    .bind(text_time(first))
    .execute(&mut *connection)
    .await?;
    let query = "SELECT (extract(epoch FROM believed_at) * 1000000)::bigint FROM bridge_clock";
    let believed: i64 = sqlx::query_scalar(query).fetch_one(connection).await?;
    Ok(Timestamp::from_microsecond(believed).unwrap_or(first))
}

async fn save_believed_at(
    connection: &mut PgConnection,
    time: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE bridge_clock SET believed_at = greatest(believed_at, $1::timestamptz)")
        .bind(text_time(time))
        .execute(connection)
        .await
        .map(drop)
}

async fn bounded<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Failure> {
    match timeout(limit, call).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Failure::Silent(limit)),
    }
}

/// One transaction, and another one by INSERT where COPY is not the way. Gives the way for the next
/// batch.
async fn stored(
    connection: &mut PgConnection,
    recorder: &mut Recorder,
    sink: &str,
    batch: Batch<'_>,
    way: Way,
) -> Result<Way, sqlx::Error> {
    let first = store(connection, recorder, sink, batch, way).await;
    let Err(error) = first else {
        return Ok(way);
    };
    recorder.forget();
    if way == Way::Insert || !only_insert_can(&error) {
        return Err(error);
    }
    let second = store(connection, recorder, sink, batch, Way::Insert).await;
    match second {
        Ok(()) => Ok(Way::Insert),
        Err(error) => {
            recorder.forget();
            Err(error)
        }
    }
}

/// The days are those of this zone: where they were another's, all are counted again.
async fn set_zone(connection: &mut PgConnection, zone: &str) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let query = "SELECT value FROM history_setting WHERE name = 'day_zone'";
    let before: Option<String> = sqlx::query_scalar(query)
        .fetch_optional(&mut *transaction)
        .await?;
    if before.as_deref() == Some(zone) {
        return transaction.rollback().await;
    }
    if before.is_some() {
        sqlx::raw_sql(
            "UPDATE bridge_writer SET turn = turn + 1; \
             DELETE FROM state_daily_row; \
             UPDATE device_row SET counted_until = NULL, counted_certain_until = NULL; \
             INSERT INTO history_setting (name, value) VALUES ('recounted_below', '0') \
                 ON CONFLICT (name) DO UPDATE SET value = '0'",
        )
        .execute(&mut *transaction)
        .await?;
    }
    sqlx::query(
        "INSERT INTO history_setting (name, value) VALUES ('day_zone', $1) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(zone)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// The SQLSTATE, where the server itself reported the error.
fn state(failure: &Failure) -> Option<String> {
    let Failure::Sql(error) = failure else {
        return None;
    };
    code(error)
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// An event is there already, maybe since this moment. Or the table has row-level security, or is a
/// view: neither takes COPY.
fn only_insert_can(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| ["23505", "0A000", "42809"].contains(&code.as_str()))
}

/// An error of the batch's data, which another attempt cannot mend. Data exceptions are 22 (such as
/// a NUL in a text), constraints 23, limits of the program 54 (such as a too long index key).
fn is_refusal(failure: &Failure) -> bool {
    state(failure).is_some_and(|state| {
        ["22", "23", "54"]
            .iter()
            .any(|class| state.starts_with(class))
    })
}

/// What to do about it, by <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn advice(failure: &Failure) -> Option<&'static str> {
    let state = state(failure)?;
    match (state.get(..2)?, state.as_str()) {
        (_, "28000") => Some(
            "check user and database in `url`, and the server's pg_hba.conf: it may want TLS \
             (sslmode) or a client certificate (sslcert, sslkey)",
        ),
        ("28", _) => Some("check user and password in `url`"),
        ("3D", _) => Some("create the database, or name another one in `url`"),
        (_, "42501") => Some("grant the user CREATE on the schema and its tables"),
        (_, "53100") => Some("the server's disk is full: free some space"),
        (_, "53300") => {
            Some("the server has no free connection: raise max_connections or close some")
        }
        (_, "55P03") => {
            Some("another session holds a lock on the tables: see pg_locks, and end it")
        }
        (_, "40P01") => Some("another session writes our tables in another order: it should not"),
        (_, "57014") => Some("the server is overloaded, or its statement_timeout too short"),
        (_, "25006") => Some("this server is read-only: name the primary in `url`"),
        ("42" | "0A", _) => Some(
            "the tables are not as stomp-bridge made them: restore them or use another database",
        ),
        _ => None,
    }
}
