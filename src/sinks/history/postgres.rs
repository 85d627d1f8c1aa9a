//! History tables in Postgres. One connection, one transaction per batch: rows, devices and cursor
//! together. Every call has a timeout, since a silent server never answers.

mod server;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tokio::time::timeout;
use tracing::subscriber::NoSubscriber;
use tracing::warn;
use url::Url;
use uuid::Uuid;

pub use self::server::Exposure;
use self::server::{Server, Unconnected};

use super::another_journal::warn_of_another_journal;
use super::capabilities::CAPABILITIES;
use super::copy::copy;
use super::migration::{ANOTHER_LAYOUT, MIGRATIONS_TABLE, migration_failure};
use super::newest::{known_before, newest_per_device, stored_newest};
use super::retention::{Pruned, Retention, TEND_MAX};
use super::rows::Rows;
use super::sql::{KEEP_FIRST, column_names, keep_newest};
use super::words::words;
use crate::faults::{self, Failpoint};
use crate::model::columns::{COVERAGE, STATUS};
use crate::model::{Column, ColumnKind, Position};
use crate::pipeline::portable;
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
/// Fewer events go by INSERT, one message to the server: COPY takes several. sqlx 0.9.0 does not
/// set TCP_NODELAY. So our kernel holds the last, short one until the server's has acknowledged the
/// one before, up to 40 ms later.
const COPY_EVENTS_MIN: usize = 500;
/// Deleting rows that are too old, and closing.
const UPKEEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Saying goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Deletes a piece of the oldest rows.
const DELETE_OLD: &str = "DELETE FROM status_event WHERE event_id IN \
     (SELECT event_id FROM status_event WHERE received_at < $1::timestamptz LIMIT $2)";

/// Validated settings of a Postgres history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The sink's name in the configuration: the cursor's key.
    pub name: String,
    /// `postgres://user:password@host/database?options`, with the password, hence secret.
    pub url: Secret,
    /// How long `status_event` rows stay; `None`: without end.
    pub retention: Option<Duration>,
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
}

/// How the events of a batch come into `status_event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// COPY for many rows: the server needs half as much processor time. It parses no times, takes
    /// no arrays apart, fills a page at once and looks for no event before it stores it.
    Copy,
    /// INSERT, which passes over the events that are there already. Where there was one, more of
    /// them may follow, as when a broker delivers again what it saw no ACK for.
    Insert,
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
            match bounded(
                STORE_TIMEOUT,
                store(&mut connection, &self.name, batch, self.way),
            )
            .await
            {
                Ok(next) => {
                    self.way = next;
                    self.prune(&mut connection).await;
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
                let other = sqlx::query_scalar(query).bind(&self.name).fetch_optional(&mut connection).await?;
                warn_of_another_journal(&self.name, journal, other);
            }
            let query = "SELECT origin, (extract(epoch FROM received_at) * 1000000)::bigint FROM device \
                         ORDER BY received_at DESC LIMIT 1";
            let newest: Option<(String, i64)> = sqlx::query_as(query).fetch_optional(&mut connection).await?;
            let newest = newest.and_then(|(origin, at)| Some((origin, Timestamp::from_microsecond(at).ok()?)));
            let received_at = newest.as_ref().map(|(_, at)| *at);
            let believed_at = believed_at(&mut connection, received_at).await?;
            self.retention.set_reference(Instant::now(), believed_at, received_at);
            Ok((cursor, newest))
        })
        .await?;
        self.newest = newest.and_then(stored_newest);
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
                let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM status_event")
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
async fn store(
    connection: &mut PgConnection,
    sink: &str,
    batch: Batch<'_>,
    way: Way,
) -> Result<Way, sqlx::Error> {
    let rows = Rows::of(batch.events);
    let way = if rows.statuses.len() < COPY_EVENTS_MIN {
        Way::Insert
    } else {
        way
    };
    match transact(connection, sink, batch, &rows, way).await {
        Err(error) if way == Way::Copy && only_insert_can(&error) => {
            transact(connection, sink, batch, &rows, Way::Insert).await
        }
        outcome => outcome,
    }
}

async fn transact(
    connection: &mut PgConnection,
    sink: &str,
    batch: Batch<'_>,
    rows: &Rows<'_>,
    way: Way,
) -> Result<Way, sqlx::Error> {
    let Rows { statuses, coverage } = rows;
    let mut transaction = connection.begin().await?;
    insert(
        &mut transaction,
        "coverage",
        &COVERAGE,
        KEEP_FIRST,
        coverage,
    )
    .await?;
    let inserted = match way {
        Way::Copy => copy(&mut transaction, "status_event", &STATUS, statuses).await?,
        Way::Insert => {
            insert(
                &mut transaction,
                "status_event",
                &STATUS,
                KEEP_FIRST,
                statuses,
            )
            .await?
        }
    };
    let (known, next) = if inserted == statuses.len() as u64 {
        (HashSet::new(), Way::Copy)
    } else {
        let stored: Vec<(String, String)> =
            sqlx::query_as("SELECT event_id, origin FROM status_event WHERE event_id = ANY($1)")
                .bind(rows.status_ids())
                .fetch_all(&mut *transaction)
                .await?;
        (known_before(statuses, &stored), Way::Insert)
    };
    insert(
        &mut transaction,
        "device",
        &STATUS,
        keep_newest(batch.reason),
        &newest_per_device(statuses, &known),
    )
    .await?;
    sqlx::query(
        "INSERT INTO bridge_cursor (journal, sink, position) VALUES ($1, $2, $3) \
         ON CONFLICT (journal, sink) DO UPDATE SET position = excluded.position",
    )
    .bind(batch.journal.simple().to_string())
    .bind(sink)
    .bind(batch.through.0)
    .execute(&mut *transaction)
    .await?;
    faults::reach(Failpoint::InHistory);
    transaction.commit().await?;
    faults::reach(Failpoint::AfterHistory);
    Ok(next)
}

/// Inserts the rows in order, column by column; gives the number of rows that were inserted or
/// changed.
async fn insert<Row>(
    connection: &mut PgConnection,
    table: &str,
    columns: &[Column<Row>],
    on_conflict: &str,
    rows: &[&Row],
) -> Result<u64, sqlx::Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    let sql = insert_statement(table, columns, on_conflict);
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for column in columns {
        let rows = rows.iter().copied();
        query = match column.kind {
            ColumnKind::Word(read) | ColumnKind::Text(read) => {
                query.bind(rows.map(read).collect::<Vec<_>>())
            }
            ColumnKind::Boolean(read) => query.bind(rows.map(read).collect::<Vec<_>>()),
            ColumnKind::Number(read) => query.bind(rows.map(read).collect::<Vec<_>>()),
            ColumnKind::Time(read) => {
                let texts = rows.map(|row| read(row).map(text_time));
                query.bind(texts.collect::<Vec<_>>())
            }
            ColumnKind::Json(read) => {
                let texts = rows.map(|row| portable(read(row).get()));
                query.bind(texts.collect::<Vec<_>>())
            }
        };
    }
    Ok(query.execute(connection).await?.rows_affected())
}

/// An INSERT that takes an array for each column. Times and JSON travel as texts, so that no
/// further crate has to know them.
fn insert_statement<Row>(table: &str, columns: &[Column<Row>], on_conflict: &str) -> String {
    let names = column_names(columns);
    let mut arrays = Vec::with_capacity(columns.len());
    let mut values = Vec::with_capacity(columns.len());
    for (number, Column { name, kind, .. }) in (1..).zip(columns) {
        let (array, cast) = match kind {
            ColumnKind::Word(_) | ColumnKind::Text(_) => ("text", ""),
            ColumnKind::Boolean(_) => ("boolean", ""),
            ColumnKind::Number(_) => ("double precision", ""),
            ColumnKind::Time(_) => ("text", "::timestamptz"),
            ColumnKind::Json(_) => ("text", "::json"),
        };
        arrays.push(format!("${number}::{array}[]"));
        values.push(format!("{name}{cast}"));
    }
    format!(
        "INSERT INTO {table} ({names}) SELECT {} FROM UNNEST({}) AS batch ({names}) {on_conflict}",
        values.join(", "),
        arrays.join(", ")
    )
}

/// Whole microseconds, as timestamptz has them.
fn text_time(time: Timestamp) -> String {
    format!("{time:.6}")
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
