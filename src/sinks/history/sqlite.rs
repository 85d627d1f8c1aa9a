//! History tables in SQLite. One connection, one transaction per batch: rows, devices and cursor
//! together.
//!
//! `synchronous=FULL`, although the journal is the guarantee: it may remove an entry once our
//! cursor is past it. So a batch that we have confirmed must survive a power cut here, too. It
//! costs one fsync per batch.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
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
use tracing::warn;
use uuid::Uuid;

use super::another_journal::warn_of_another_journal;
use super::capabilities::CAPABILITIES;
use super::migration::{ANOTHER_LAYOUT, MIGRATIONS_TABLE, migration_failure};
use super::newest::{known_before, newest_per_device, stored_newest};
use super::retention::{PIECE_ROWS, Pruned, Retention, TEND_MAX};
use super::rows::Rows;
use super::sql::{KEEP_FIRST, column_names, keep_newest};
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
/// Holds those pages for some thousand devices.
const CACHE_KIB: u32 = 16 * 1024;
/// How long another program may hold the file before the batch is tried again later.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Closing checkpoints the WAL; a slow disk may leave that to the next start.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Validated settings of a SQLite history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The sink's name in the configuration: the cursor's key.
    pub name: String,
    /// The database file; an absolute path.
    pub path: PathBuf,
    /// How long `status_event` rows stay; `None`: without end.
    pub retention: Option<Duration>,
}

/// See [`crate::sinks::build`].
pub(in crate::sinks) fn build(settings: Settings) -> Built {
    let retention = Retention::new(&settings.name, settings.retention);
    Built {
        sink: Box::new(SqliteHistory {
            settings,
            connection: None,
            file: None,
            newest: None,
            retention,
        }),
        driver: None,
    }
}

struct SqliteHistory {
    settings: Settings,
    /// Taken out while it is in use, so that one that failed or was abandoned in the middle is
    /// never used again.
    connection: Option<SqliteConnection>,
    /// Which file it is, whatever its name.
    file: Option<(u64, u64)>,
    newest: Option<Newest>,
    retention: Retention,
}

impl Sink for SqliteHistory {
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
                Err(error) => Err(Undelivered {
                    confirmed: 0,
                    trouble: self.pause(&error),
                }),
            }
        }
        .boxed()
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        async move {
            if let Some(connection) = self.connection.take() {
                let name = &self.settings.name;
                match tokio::time::timeout(CLOSE_TIMEOUT, connection.close()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        warn!(sink = name, %error, "history not closed cleanly; nothing is lost")
                    }
                    Err(_) => warn!(sink = name, "history not closed in time; nothing is lost"),
                }
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
            probed.map_err(|error| self.pause(&error))?;
            if file_id(&self.settings.path) != self.file {
                let path = self.settings.path.display();
                let error = format!("{path}: the file was moved or replaced; opening it again");
                return Err(Trouble::Retry { error, after: None });
            }
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
        let mut connection = SqliteConnectOptions::new()
            .filename(&self.settings.path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("cache_size", format!("-{CACHE_KIB}"))
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
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
        self.retention.set_reference(
            Instant::now(),
            newest.as_ref().map(|(_, received_at)| *received_at),
        );
        self.newest = newest.and_then(stored_newest);
        self.file = file_id(&self.settings.path);
        Ok((connection, cursor.map(Position)))
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
        let Some(cutoff) = self.retention.cutoff(now, Timestamp::now()) else {
            return Pruned::Done;
        };
        let deleted = sqlx::query(
            "DELETE FROM status_event WHERE rowid IN (SELECT rowid FROM status_event WHERE received_at < ? LIMIT ?)",
        )
        .bind(text_time(cutoff))
        .bind(PIECE_ROWS)
        .execute(connection)
        .await;
        if let Err(error) = &deleted {
            warn!(sink = self.settings.name, %error, "rows past the retention were not deleted");
        }
        self.retention
            .deleted(now, deleted.ok().map(|done| done.rows_affected()))
    }
}

/// Device and inode.
fn file_id(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
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
            ColumnKind::Time(read) => arguments.add(read(row).map(text_time))?,
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
    match primary_code(error)? {
        5 | 6 => Some("another program holds the file: close its transaction"),
        3 | 8 | 14 => {
            Some("check that the file and its folder exist and that we may write to them")
        }
        10 => Some("check the disk"),
        11 | 26 => Some("the file is damaged or no SQLite database: restore it or move it away"),
        13 => Some("the disk is full: free some space"),
        _ => None,
    }
}
