//! History tables in Postgres. One connection, one transaction per batch: rows, devices and cursor
//! together. Every call has a timeout, since a silent server never answers.
//!
//! - `server`, `hosts`: what a URL says; `connect`: from it to a connection
//! - `session`: how transactions begin, so that a pooler may stand between; `migrations`: the tables
//! - `failure`: what can go wrong, and what to do about it

mod connect;
mod failure;
mod hosts;
mod migrations;
mod server;
mod session;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::subscriber::NoSubscriber;
use tracing::warn;
use url::Url;
use uuid::Uuid;

use self::connect::{CONNECT_TIMEOUT, Repertoire, connect, repertoire};
use self::failure::{Failure, Fault, bounded, fault, only_insert_can};
pub use self::hosts::urls;
use self::migrations::migrate;
pub use self::server::Exposure;
use self::server::Server;
use self::session::{Session, abandon, query, query_as, query_scalar};

use super::another_journal::warn_of_another_journal;
use super::capabilities::CAPABILITIES;
use super::copy::copy;
use super::newest::{known_before, newest_per_device, stored_newest};
use super::retention::{Pruned, Retention, TEND_MAX};
use super::rows::Rows;
use super::sql::{KEEP_FIRST, column_names, keep_newest};
use super::times::storable;
use crate::faults::{self, Failpoint};
use crate::model::columns::{COVERAGE, STATUS};
use crate::model::{Column, ColumnKind, Position};
use crate::pipeline::portable;
use crate::secret::{Lifetime, Secret, protect_url};
use crate::sinks::{
    Batch, BuildError, Built, By, Capabilities, Newest, Sink, Trouble, Undelivered,
};

/// Creating the tables, which waits for another daemon that does the same.
const MIGRATE_TIMEOUT: Duration = Duration::from_secs(60);
/// A batch, from BEGIN to COMMIT; longer than the server's own limit for one statement, so that its
/// error is seen.
const STORE_TIMEOUT: Duration = Duration::from_secs(45);
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
    /// Where the tables are; `None`: where the server looks first.
    pub schema: Option<String>,
    /// What the files of certificates in `url` are relative to.
    pub folder: PathBuf,
    /// How long `status_event` rows stay; `None`: without end.
    pub retention: Option<Duration>,
}

/// What the URL leaves open on the way to its server, if anything; connects to nothing.
///
/// # Errors
/// The URL, or a file of certificates that it names, cannot be used; says why, and shows nothing
/// else of the URL.
pub fn exposure(settings: &Settings) -> Result<Option<Exposure>, String> {
    // What sqlx makes of the URL is logged where the sink is built.
    let server = tracing::subscriber::with_default(NoSubscriber::default(), || {
        Server::parse(settings.url.expose_secret(), &settings.folder)
    })?;
    server.check_files().map_err(|error| error.to_string())?;
    Ok(server.exposure())
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
        newest: None,
        way: Way::Copy,
        retention,
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
            let stored = store(&mut connection, &self.session, &self.name, batch, self.way);
            match bounded(STORE_TIMEOUT, stored).await {
                Ok(next) => {
                    self.way = next;
                    self.prune(&mut connection).await;
                    self.connection = Some(connection);
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
        let (mut connection, encoding) = connect(&self.server).await?;
        self.warn_of(encoding);
        let migration = migrate(&mut connection, &self.session, self.schema.as_deref());
        bounded(MIGRATE_TIMEOUT, migration).await?;
        let (session, name) = (&self.session, &self.name);
        let stored = bounded(CONNECT_TIMEOUT, async {
            let mut transaction = session.begin(&mut connection).await?;
            let stored = stored(&mut transaction, name, journal).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(stored)
        })
        .await?;
        let received_at = stored.newest.as_ref().map(|(_, at)| *at);
        self.retention
            .set_reference(Instant::now(), stored.believed_at, received_at);
        self.newest = stored.newest.and_then(stored_newest);
        Ok((connection, stored.cursor.map(Position)))
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

    fn not_connected(&self) -> Trouble {
        let error = format!("{}: not connected", self.server);
        Trouble::Retry { error, after: None }
    }

    fn pause(&self, failure: &Failure) -> Trouble {
        let error = format!("{}: {}", self.server, failure.with_advice());
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

    /// Deletes a piece of the rows that are too old, if that is due. The batch is safe already: a
    /// failure here only waits for the next round.
    async fn prune(&mut self, connection: &mut PgConnection) -> Pruned {
        let now = Instant::now();
        let due = self.retention.due(now, Timestamp::now());
        let (session, retention) = (&self.session, &mut self.retention);
        let pruned = async {
            if let Some(time) = retention.take_unsaved(now) {
                let mut transaction = session.begin(connection).await?;
                save_believed_at(&mut transaction, time).await?;
                transaction.commit().await?;
            }
            let Some(due) = due else {
                return Ok(None);
            };
            let mut transaction = session.begin(connection).await?;
            if due.to_count {
                let rows: i64 = query_scalar("SELECT count(*) FROM status_event")
                    .fetch_one(&mut *transaction)
                    .await?;
                retention.allow(now, rows.unsigned_abs());
            }
            let deleted = query(DELETE_OLD)
                .bind(text_time(due.before))
                .bind(i64::from(retention.piece()))
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(Some(deleted.rows_affected()))
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

/// What a history says of itself.
struct Stored {
    cursor: Option<i64>,
    /// The newest row of `device`: its origin, and when it was received.
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
    let sql = "SELECT origin, (extract(epoch FROM received_at) * 1000000)::bigint FROM device \
               ORDER BY received_at DESC LIMIT 1";
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

/// One transaction, and another one by INSERT where COPY is not the way. Gives the way for the next
/// batch.
async fn store(
    connection: &mut PgConnection,
    session: &Session,
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
    match transact(connection, session, sink, batch, &rows, way).await {
        Err(error) if way == Way::Copy && only_insert_can(&error) => {
            transact(connection, session, sink, batch, &rows, Way::Insert).await
        }
        outcome => outcome,
    }
}

/// All of it, or nothing.
async fn transact(
    connection: &mut PgConnection,
    session: &Session,
    sink: &str,
    batch: Batch<'_>,
    rows: &Rows<'_>,
    way: Way,
) -> Result<Way, sqlx::Error> {
    let mut transaction = session.begin(connection).await?;
    match fill(&mut transaction, sink, batch, rows, way).await {
        Ok(next) => {
            faults::reach(Failpoint::InHistory);
            transaction.commit().await?;
            faults::reach(Failpoint::AfterHistory);
            Ok(next)
        }
        Err(error) => {
            abandon(transaction).await;
            Err(error)
        }
    }
}

/// Stores the rows and the cursor. Gives the way for the next batch.
async fn fill(
    transaction: &mut PgConnection,
    sink: &str,
    batch: Batch<'_>,
    rows: &Rows<'_>,
    way: Way,
) -> Result<Way, sqlx::Error> {
    let Rows { statuses, coverage } = rows;
    insert(transaction, "coverage", &COVERAGE, KEEP_FIRST, coverage).await?;
    let inserted = match way {
        Way::Copy => copy(transaction, "status_event", &STATUS, statuses).await?,
        Way::Insert => insert(transaction, "status_event", &STATUS, KEEP_FIRST, statuses).await?,
    };
    let (known, next) = if inserted == statuses.len() as u64 {
        (HashSet::new(), Way::Copy)
    } else {
        let stored: Vec<(String, String)> =
            query_as("SELECT event_id, origin FROM status_event WHERE event_id = ANY($1)")
                .bind(rows.status_ids())
                .fetch_all(&mut *transaction)
                .await?;
        (known_before(statuses, &stored), Way::Insert)
    };
    insert(
        transaction,
        "device",
        &STATUS,
        keep_newest(batch.reason),
        &newest_per_device(statuses, &known),
    )
    .await?;
    query(
        "INSERT INTO bridge_cursor (journal, sink, position) VALUES ($1, $2, $3) \
         ON CONFLICT (journal, sink) DO UPDATE SET position = excluded.position",
    )
    .bind(batch.journal.simple().to_string())
    .bind(sink)
    .bind(batch.through.0)
    .execute(&mut *transaction)
    .await?;
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
    let mut query = query(AssertSqlSafe(sql));
    for column in columns {
        let rows = rows.iter().copied();
        query = match column.kind {
            ColumnKind::Word(read) | ColumnKind::Text(read) => {
                query.bind(rows.map(read).collect::<Vec<_>>())
            }
            ColumnKind::Boolean(read) => query.bind(rows.map(read).collect::<Vec<_>>()),
            ColumnKind::Number(read) => query.bind(rows.map(read).collect::<Vec<_>>()),
            ColumnKind::Time(read) => {
                let texts = rows.map(|row| storable(read(row)).map(text_time));
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
