//! History tables in SQLite. One connection, one transaction per batch: rows, devices and cursor
//! together.
//!
//! `synchronous=FULL`, although the journal is the guarantee: it may remove an entry once our
//! cursor is past it. So a batch that we have confirmed must survive a power cut here, too. It
//! costs one fsync per batch.

mod file;
mod wal;

use std::collections::HashSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join};
use jiff::Timestamp;
use sqlx::error::BoxDynError;
use sqlx::migrate::Migrator;
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection, Executor, Sqlite};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use self::file::{Lost, Seen, is_whole, move_away, prepare};
use self::wal::Wal;
use super::another_journal::warn_of_another_journal;
use super::capabilities::CAPABILITIES;
use super::migration::{ANOTHER_LAYOUT, MIGRATIONS_TABLE, migration_failure};
use super::newest::{known_before, newest_per_device, stored_newest};
use super::retention::{Pruned, Retention, TEND_MAX};
use super::rows::Rows;
use super::sql::{KEEP_FIRST, column_names, keep_newest};
use super::times::storable;
use super::words::words;
use crate::faults::{self, Failpoint};
use crate::model::columns::{COVERAGE, STATUS};
use crate::model::{Column, ColumnKind, CoverageEvent, Position, StatusEvent};
use crate::sinks::{Batch, Built, By, Capabilities, Newest, Reason, Sink, Trouble, Undelivered};

/// Rows of the INSERTs: SQLite takes 32,766 values in one, and each size is prepared once; a
/// hundred rows at once cost hardly more than a thousand do.
const INSERT_ROWS: [usize; 3] = [100, 10, 1];
/// Pages in the WAL from which a commit also checkpoints, 32 MiB. Most batches change the same
/// pages of the indexes, which are so written once for many batches.
const CHECKPOINT_PAGES: u32 = 8192;
/// What the WAL is cut back to after a long reader made it grow: a checkpoint's worth.
const WAL_KEPT_BYTES: u64 = CHECKPOINT_PAGES as u64 * 4096;
/// A WAL that is as large is one that a reader keeps from beginning again.
const WAL_GROWN_BYTES: u64 = 2 * WAL_KEPT_BYTES;
/// Holds those pages for some thousand devices.
const CACHE_KIB: u32 = 16 * 1024;
/// How long another program may hold the file before the batch is tried again later.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Closing checkpoints the WAL; a slow disk may leave that to the next start.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Deletes a piece of the oldest rows.
const DELETE_OLD: &str = "DELETE FROM status_event WHERE rowid IN \
     (SELECT rowid FROM status_event WHERE received_at < ? LIMIT ?)";

/// Validated settings of a SQLite history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The sink's name in the configuration: the cursor's key.
    pub name: String,
    /// The database file; an absolute path.
    pub path: PathBuf,
    /// How long `status_event` rows stay; `None`: without end.
    pub retention: Option<Duration>,
    /// Who may read and write the file, as `chmod` has it.
    pub mode: u32,
}

impl Settings {
    /// The mode by default: what the rows say is nobody else's business.
    pub const MODE: u32 = 0o600;
}

/// See [`crate::sinks::build`].
pub(in crate::sinks) fn build(settings: Settings) -> Built {
    let retention = Retention::new(&settings.name, settings.retention);
    Built {
        sink: Box::new(SqliteHistory {
            settings,
            connection: None,
            seen: None,
            newest: None,
            retention,
            wal: Wal::new(WAL_GROWN_BYTES),
        }),
        driver: None,
        ending: CancellationToken::new(),
    }
}

struct SqliteHistory {
    settings: Settings,
    /// Taken out while it is in use, so that one that failed or was abandoned in the middle is
    /// never used again.
    connection: Option<SqliteConnection>,
    /// The file that the connection writes to.
    seen: Option<Seen>,
    newest: Option<Newest>,
    retention: Retention,
    wal: Wal,
}

impl Sink for SqliteHistory {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn open(&mut self, journal: Uuid) -> BoxFuture<'_, Result<Option<Position>, Trouble>> {
        async move {
            if let Some(connection) = self.connection.take() {
                self.close_connection(connection).await;
            }
            match self.connect(journal).await {
                Ok((connection, cursor)) => {
                    self.connection = Some(connection);
                    Ok(cursor)
                }
                Err(error) => Err(self.pause(&error)),
            }
        }
        .boxed()
    }

    fn attempt<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), Undelivered>> {
        async move {
            let Some(mut connection) = self.connection.take() else {
                return Err(Undelivered {
                    confirmed: 0,
                    trouble: self.not_open(),
                });
            };
            match store(&mut connection, &self.settings.name, batch).await {
                Ok(()) => {
                    // Rows in a file that nobody can open are not stored.
                    let mut connection = self.still_there(connection).await?;
                    self.prune(&mut connection).await;
                    self.connection = Some(connection);
                    Ok(())
                }
                // The transaction was rolled back when it was dropped: the connection is as good as
                // before.
                Err(error) if is_refusal(&error) => {
                    self.connection = Some(connection);
                    let error = format!("{}: {}", self.settings.path.display(), words(&error));
                    Err(Undelivered {
                        confirmed: 0,
                        trouble: Trouble::Refused {
                            index: None,
                            by: By::Them,
                            error,
                        },
                    })
                }
                Err(error) => {
                    // What SQLite says of a file that was taken away is not the reason.
                    self.still_there(connection).await?;
                    Err(Undelivered {
                        confirmed: 0,
                        trouble: self.pause(&error),
                    })
                }
            }
        }
        .boxed()
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        async move {
            if let Some(connection) = self.connection.take() {
                self.close_connection(connection).await;
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
                return Err(self.not_open());
            };
            let probe = "SELECT count(*) FROM bridge_cursor";
            let probed = sqlx::query(probe).execute(&mut connection).await;
            let still_there = self.still_there(connection).await;
            let mut connection = still_there.map_err(|undelivered| undelivered.trouble)?;
            probed.map_err(|error| self.pause(&error))?;
            let (sink, path) = (&self.settings.name, &self.settings.path);
            self.wal.idle(&mut connection, sink, path).await;
            let began = Instant::now();
            while began.elapsed() < TEND_MAX && self.prune(&mut connection).await == Pruned::More {}
            self.connection = Some(connection);
            Ok(())
        }
        .boxed()
    }
}

impl SqliteHistory {
    async fn connect(
        &mut self,
        journal: Uuid,
    ) -> Result<(SqliteConnection, Option<Position>), sqlx::Error> {
        prepare(&self.settings.path, self.settings.mode).map_err(sqlx::Error::Io)?;
        let mut connection = SqliteConnectOptions::new()
            .filename(&self.settings.path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("cache_size", format!("-{CACHE_KIB}"))
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
            .pragma("journal_size_limit", WAL_KEPT_BYTES.to_string())
            .pragma("temp_store", "MEMORY")
            .disable_statement_logging()
            .connect()
            .await?;
        let migrator = Migrator {
            table_name: MIGRATIONS_TABLE.into(),
            ..sqlx::migrate!("migrations/history_sqlite")
        };
        migrator
            .run_direct(None, &mut connection, false)
            .await
            .map_err(migration_failure)?;
        // Rows of a killed process may be readable and not yet on disk. The journal removes entries
        // that our cursor is past, so this cursor must be on disk before it is read.
        sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)")
            .execute(&mut connection)
            .await?;
        let cursor: Option<i64> =
            sqlx::query_scalar("SELECT position FROM bridge_cursor WHERE journal = ? AND sink = ?")
                .bind(journal.simple().to_string())
                .bind(&self.settings.name)
                .fetch_optional(&mut connection)
                .await?;
        if cursor.is_none() {
            let other =
                sqlx::query_scalar("SELECT journal FROM bridge_cursor WHERE sink = ? LIMIT 1")
                    .bind(&self.settings.name)
                    .fetch_optional(&mut connection)
                    .await?;
            warn_of_another_journal(&self.settings.name, journal, other);
        }
        let newest: Option<(String, String)> = sqlx::query_as(
            "SELECT origin, received_at FROM device ORDER BY received_at DESC LIMIT 1",
        )
        .fetch_optional(&mut connection)
        .await?;
        let newest =
            newest.and_then(|(origin, received_at)| Some((origin, received_at.parse().ok()?)));
        let received_at = newest.as_ref().map(|(_, received_at)| *received_at);
        let believed_at = believed_at(&mut connection, received_at).await?;
        self.retention
            .set_reference(Instant::now(), believed_at, received_at);
        self.newest = newest.and_then(stored_newest);
        self.seen = Seen::at(&self.settings.path);
        Ok((connection, cursor.map(Position)))
    }

    async fn close_connection(&self, connection: SqliteConnection) {
        let name = &self.settings.name;
        match tokio::time::timeout(CLOSE_TIMEOUT, connection.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(sink = name, %error, "history not closed cleanly; nothing is lost")
            }
            Err(_) => warn!(sink = name, "history not closed in time; nothing is lost"),
        }
        let path = &self.settings.path;
        if let Some(moved) = self.seen.and_then(|seen| seen.move_wal_away(path)) {
            warn!(
                sink = name, file = %path.display(), moved = %moved.display(),
                "history replaced by another file: the -wal of the former one has another name now"
            );
        }
    }

    /// Gives the connection back where the file is still the one that it has open. Else says what
    /// has happened, and leaves a name under which the next attempt can begin anew.
    async fn still_there(
        &mut self,
        mut connection: SqliteConnection,
    ) -> Result<SqliteConnection, Undelivered> {
        let path = self.settings.path.clone();
        let Some(lost) = self.seen.as_mut().and_then(|seen| seen.look(&path)) else {
            let sink = &self.settings.name;
            self.wal.committed(&mut connection, sink, &path).await;
            return Ok(connection);
        };
        let what = match lost {
            Lost::Removed | Lost::Replaced => {
                // One that was moved has its last rows in a file of the former name, which the next
                // one takes.
                let whole = sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)");
                let _ = whole.execute(&mut connection).await;
                self.close_connection(connection).await;
                match lost {
                    Lost::Removed => "the file was removed or moved".to_owned(),
                    _ => "the file was replaced by another one".to_owned(),
                }
            }
            Lost::Shrunk => self.shrunk(connection).await,
        };
        self.seen = None;
        let error = format!(
            "{}: {what}; it is opened again and filled from the journal as far as that reaches",
            path.display()
        );
        Err(Undelivered {
            confirmed: 0,
            trouble: Trouble::Retry { error, after: None },
        })
    }

    async fn shrunk(&self, connection: SqliteConnection) -> String {
        let path = &self.settings.path;
        let file = File::open(path);
        let whole = file.as_ref().map_or(Ok(true), is_whole).unwrap_or(true);
        self.close_connection(connection).await;
        drop(file);
        if whole {
            return "the file became smaller, as by VACUUM".to_owned();
        }
        match move_away(path) {
            Ok(rest) => format!(
                "the file was truncated; the rest of it is {}",
                rest.display()
            ),
            Err(error) => format!("the file was truncated, and cannot be moved away: {error}"),
        }
    }

    fn not_open(&self) -> Trouble {
        let error = format!("{}: not open", self.settings.path.display());
        Trouble::Retry { error, after: None }
    }

    fn pause(&self, error: &sqlx::Error) -> Trouble {
        let path = self.settings.path.display();
        let error = match advice(error) {
            _ if matches!(error, sqlx::Error::Migrate(_)) => format!(
                "{path}: {ANOTHER_LAYOUT}: begin a new file, by moving this one away or by another \
                 `path`; the journal fills it as far as it reaches"
            ),
            Some(advice) => format!("{path}: {}; {advice}", words(error)),
            None => format!("{path}: {}", words(error)),
        };
        Trouble::Retry { error, after: None }
    }

    /// Deletes a piece of the rows that are too old, if that is due. The batch is safe already: a
    /// failure here only waits for the next round.
    async fn prune(&mut self, connection: &mut SqliteConnection) -> Pruned {
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
                .bind(self.retention.piece())
                .execute(&mut *connection)
                .await?;
            Ok::<_, sqlx::Error>(Some(deleted.rows_affected()))
        };
        let rows = match pruned.await {
            Ok(None) => return Pruned::Done,
            Ok(rows) => rows,
            Err(error) => {
                warn!(sink = self.settings.name, %error, "rows past the retention were not deleted");
                None
            }
        };
        let before = due.map_or(Timestamp::MIN, |due| due.before);
        self.retention.deleted(now, before, rows)
    }
}

/// The time that the history believed last. A history that has none begins with its newest row, or
/// with the clock: before the first row of ours, which a wrong clock may date.
async fn believed_at(
    connection: &mut SqliteConnection,
    newest: Option<Timestamp>,
) -> Result<Timestamp, sqlx::Error> {
    let first = newest.unwrap_or_else(Timestamp::now);
    sqlx::query("INSERT INTO bridge_clock (one, believed_at) VALUES (1, ?) ON CONFLICT DO NOTHING")
        .bind(text_time(first))
        .execute(&mut *connection)
        .await?;
    let believed: String = sqlx::query_scalar("SELECT believed_at FROM bridge_clock")
        .fetch_one(connection)
        .await?;
    Ok(believed.parse().unwrap_or(first))
}

async fn save_believed_at(
    connection: &mut SqliteConnection,
    time: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE bridge_clock SET believed_at = max(believed_at, ?)")
        .bind(text_time(time))
        .execute(connection)
        .await
        .map(drop)
}

/// One transaction. IMMEDIATE, since one that begins by reading cannot wait for another writer.
async fn store(
    connection: &mut SqliteConnection,
    sink: &str,
    batch: Batch<'_>,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let rows = Rows::of(batch.events);
    INSERT_COVERAGE
        .run(&mut transaction, &rows.coverage)
        .await?;
    let inserted = INSERT_EVENTS.run(&mut transaction, &rows.statuses).await?;
    let known = if inserted == rows.statuses.len() as u64 {
        Default::default()
    } else {
        let ids = rows.status_ids();
        let ids = serde_json::to_string(&ids).expect("strings always serialise");
        let stored: Vec<(String, String)> = sqlx::query_as(
            "SELECT event_id, origin FROM status_event WHERE event_id IN (SELECT value FROM json_each(?))",
        )
        .bind(ids)
        .fetch_all(&mut *transaction)
        .await?;
        known_before(&rows.statuses, &stored)
    };
    let devices = match batch.reason {
        Reason::Log => &INSERT_DEVICES,
        Reason::Redrive | Reason::Replay => &INSERT_DEVICES_AGAIN,
    };
    devices
        .run(&mut transaction, &newest_per_device(&rows.statuses, &known))
        .await?;
    sqlx::query(
        "INSERT INTO bridge_cursor (journal, sink, position) VALUES (?, ?, ?) \
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
    Ok(())
}

/// One INSERT of many rows, in the sizes of [`INSERT_ROWS`]. OR FAIL, since a failure rolls the
/// whole transaction back in any case. For the default, ABORT, SQLite copies each page before it
/// changes, to roll back one statement.
struct Insert<Row: 'static> {
    columns: &'static [Column<Row>],
    texts: [(usize, Arc<str>); INSERT_ROWS.len()],
}

static INSERT_EVENTS: LazyLock<Insert<StatusEvent>> =
    LazyLock::new(|| Insert::new("status_event", &STATUS, KEEP_FIRST));
static INSERT_COVERAGE: LazyLock<Insert<CoverageEvent>> =
    LazyLock::new(|| Insert::new("coverage", &COVERAGE, KEEP_FIRST));
static INSERT_DEVICES: LazyLock<Insert<StatusEvent>> =
    LazyLock::new(|| Insert::new("device", &STATUS, keep_newest(Reason::Log)));
static INSERT_DEVICES_AGAIN: LazyLock<Insert<StatusEvent>> =
    LazyLock::new(|| Insert::new("device", &STATUS, keep_newest(Reason::Redrive)));

impl<Row> Insert<Row> {
    fn new(table: &str, columns: &'static [Column<Row>], on_conflict: &str) -> Insert<Row> {
        let names = column_names(columns);
        let row = format!("({})", vec!["?"; columns.len()].join(","));
        let text = |rows: usize| {
            let values = vec![row.as_str(); rows].join(",");
            format!("INSERT OR FAIL INTO {table} ({names}) VALUES {values} {on_conflict}")
        };
        Insert {
            columns,
            texts: INSERT_ROWS.map(|rows| (rows, text(rows).into())),
        }
    }

    /// Inserts the rows in order; gives the number of rows that were inserted or changed. While
    /// SQLite's thread works on some rows, the next are made ready.
    async fn run(
        &self,
        connection: &mut SqliteConnection,
        rows: &[&Row],
    ) -> Result<u64, sqlx::Error> {
        let mut rest = rows;
        let mut words = Words::default();
        let mut changed = 0;
        let mut ready = self.next(&mut rest, &mut words)?;
        while let Some(query) = ready {
            let (done, next) = join(connection.execute(query), async {
                self.next(&mut rest, &mut words)
            })
            .await;
            changed += done?.rows_affected();
            ready = next?;
        }
        Ok(changed)
    }

    fn next(
        &self,
        rest: &mut &[&Row],
        words: &mut Words,
    ) -> Result<Option<Query<'static, Sqlite, SqliteArguments>>, sqlx::Error> {
        for (rows, text) in &self.texts {
            if let Some((piece, later)) = rest.split_at_checked(*rows) {
                let mut arguments = SqliteArguments::default();
                arguments.reserve(rows * self.columns.len(), 0);
                piece
                    .iter()
                    .try_for_each(|row| bind(&mut arguments, self.columns, row, words))
                    .map_err(sqlx::Error::Encode)?;
                *rest = later;
                return Ok(Some(sqlx::query_with(
                    AssertSqlSafe(Arc::clone(text)),
                    arguments,
                )));
            }
        }
        Ok(None)
    }
}

/// A value in many rows of a batch is allocated once. The values go to another thread one by one:
/// allocating and freeing each would cost more than SQLite's own work.
#[derive(Default)]
struct Words(HashSet<Arc<str>>);

impl Words {
    fn shared(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.0.get(word) {
            return Arc::clone(known);
        }
        let new: Arc<str> = word.into();
        self.0.insert(Arc::clone(&new));
        new
    }
}

/// The values of one row. A text of the row's own is allocated once although it may stand there
/// twice: an event's id is often its origin.
fn bind<Row>(
    arguments: &mut SqliteArguments,
    columns: &[Column<Row>],
    row: &Row,
    words: &mut Words,
) -> Result<(), BoxDynError> {
    let mut first: Option<Arc<str>> = None;
    let mut own = |text: &str| match &first {
        Some(first) if **first == *text => Arc::clone(first),
        Some(_) => text.into(),
        None => Arc::clone(first.insert(text.into())),
    };
    for column in columns {
        match column.kind {
            ColumnKind::Word(read) => arguments.add(read(row).map(|word| words.shared(word)))?,
            ColumnKind::Text(read) => arguments.add(read(row).map(&mut own))?,
            ColumnKind::Boolean(read) => arguments.add(read(row))?,
            ColumnKind::Number(read) => arguments.add(read(row))?,
            ColumnKind::Time(read) => arguments.add(storable(read(row)).map(text_time))?,
            ColumnKind::Json(read) => arguments.add(Arc::<str>::from(read(row).get()))?,
        }
    }
    Ok(())
}

/// Always six digits, so that the texts sort as the times do.
fn text_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// SQLite's primary result code (the lowest byte), where SQLite itself reported the error.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// TOOBIG, CONSTRAINT, MISMATCH: something in the batch, which another attempt cannot mend.
fn is_refusal(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(18..=20))
}

/// What to do about it, by <https://www.sqlite.org/rescode.html>.
fn advice(error: &sqlx::Error) -> Option<&'static str> {
    const ACCESS: &str = "check that the file and its folder exist and that we may write to them";
    if matches!(error, sqlx::Error::Io(_)) {
        return Some(ACCESS);
    }
    match primary_code(error)? {
        5 | 6 => Some("another program holds the file: close its transaction"),
        3 | 8 | 14 => Some(ACCESS),
        10 => Some("check the disk"),
        11 | 26 => Some("the file is damaged or no SQLite database: restore it or move it away"),
        13 => Some("the disk is full: free some space"),
        _ => None,
    }
}
