//! History tables in SQLite. One connection, one transaction per batch: rows, devices and cursor
//! together.
//!
//! `synchronous=FULL`, although the journal is the guarantee: it may remove an entry once our
//! cursor is past it. So a batch that we have confirmed must survive a power cut here, too. It
//! costs one fsync per batch.

mod backup;
mod connect;
mod file;
mod insert;
mod look_up;
mod operator;
mod probe;
mod reader;
mod statements;
mod store;
mod trial;
mod upkeep;
mod wal;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use self::connect::{WAL_KEPT_BYTES, storing};
use self::file::{Lost, Seen, is_whole, move_away, prepare};
use self::insert::text_time;
pub(super) use self::operator::SqliteOperator;
pub(super) use self::reader::{SqliteReader, Unread as SqliteUnread};
use self::store::store;
use self::wal::Wal;
use super::another_journal::warn_of_another_journal;
use super::capabilities::CAPABILITIES;
use super::migration::{ANOTHER_LAYOUT, MIGRATIONS_TABLE, NEWER_LAYOUT, migration_failure};
use super::newest::stored_newest;
use super::recorder::Recorder;
use super::retention::{Pruned, Retention, TEND_MAX};
use super::upkeep::{Before, Stepped, Upkeep};
use super::words::words;
use crate::model::{Event, Position};
use crate::sinks::{Batch, Built, By, Capabilities, Newest, Sink, Trouble, Undelivered};

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| Migrator {
    table_name: MIGRATIONS_TABLE.into(),
    ..sqlx::migrate!("migrations/history_sqlite")
});

/// A WAL that is as large is one that a reader keeps from beginning again.
const WAL_GROWN_BYTES: u64 = 2 * WAL_KEPT_BYTES;
/// Closing checkpoints the WAL; a slow disk may leave that to the next start.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// While there are batches, a step of the upkeep comes after one of them at most so often.
const STEP_INTERVAL: Duration = Duration::from_secs(1);

/// Deletes a piece of the oldest rows.
const DELETE_OLD: &str = "DELETE FROM event WHERE sequence IN \
     (SELECT sequence FROM event WHERE received_at < ? LIMIT ?)";

/// Validated settings of a SQLite history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The sink's name in the configuration: the cursor's key.
    pub name: String,
    /// The database file; an absolute path.
    pub path: PathBuf,
    /// How long `status_event` rows stay; `None`: without end.
    pub retention: Option<Duration>,
    /// How long intervals, days and gaps stay; `None`: without end.
    pub intervals: Option<Duration>,
    /// The zone of the days of `state_daily`.
    pub zone: TimeZone,
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
    let recorder = Recorder::new(settings.zone.clone());
    Built {
        sink: Box::new(SqliteHistory {
            settings,
            connection: None,
            seen: None,
            newest: None,
            retention,
            recorder,
            upkeep: Upkeep::default(),
            next_step: None,
            undeleted: None,
            untended: None,
            wal: Wal::new(WAL_GROWN_BYTES),
            answer: None,
        }),
        driver: None,
        ending: CancellationToken::new(),
    }
}

/// Whether the file could be used now, without changing it.
///
/// # Errors
/// Why not, and what to do.
pub(in crate::sinks) async fn probe(settings: &Settings) -> Result<String, String> {
    let path = &settings.path;
    let found = probe::probe(path).await;
    let found = found.map_err(|error| in_words(path, &error))?;
    Ok(format!("{}: {found}", path.display()))
}

/// Stores a batch, and rolls it back.
///
/// # Errors
/// Why it cannot be stored, and what to do.
pub(in crate::sinks) async fn trial(
    settings: &Settings,
    batch: Batch<'_>,
) -> Result<String, String> {
    let path = &settings.path;
    let tried = trial::trial(settings, batch).await;
    let tried = tried.map_err(|error| in_words(path, &error))?;
    Ok(format!("{}: {tried}", path.display()))
}

/// The mistake of the file, and what to do.
fn in_words(path: &Path, error: &sqlx::Error) -> String {
    let path = path.display();
    match error {
        _ if is_newer(error) => format!(
            "{path}: {NEWER_LAYOUT}, or begin a new file, by moving this one away or by another \
             `path`; the journal fills it as far as it reaches"
        ),
        sqlx::Error::Migrate(_) => format!(
            "{path}: {ANOTHER_LAYOUT}: begin a new file, by moving this one away or by another \
             `path`; the journal fills it as far as it reaches"
        ),
        _ => format!("{path}: {}", explained(error)),
    }
}

/// What SQLite says, and what to do about it.
pub(super) fn explained(error: &sqlx::Error) -> String {
    match advice(error) {
        Some(advice) => format!("{}; {advice}", words(error)),
        None => words(error),
    }
}

fn is_newer(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Migrate(error) if matches!(**error, MigrateError::VersionMissing(_)))
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
    recorder: Recorder,
    upkeep: Upkeep,
    next_step: Option<Instant>,
    /// Why rows past the retention are still there.
    undeleted: Option<String>,
    /// Why the upkeep does not go on.
    untended: Option<String>,
    wal: Wal,
    /// What the last attempt has stored.
    answer: Option<String>,
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
            let stored = store(
                &mut connection,
                &mut self.recorder,
                &self.settings.name,
                batch,
            );
            let stored = stored.await;
            if stored.is_err() {
                self.recorder.forget();
            }
            match stored {
                Ok(stored) => {
                    // Rows in a file that nobody can open are not stored.
                    let mut connection = self.still_there(connection).await?;
                    self.prune(&mut connection).await;
                    if self.next_step.is_none_or(|next| next <= Instant::now()) {
                        let newest = batch.events.last().map(Event::received_at);
                        self.step(&mut connection, newest).await;
                        self.next_step = Some(Instant::now() + STEP_INTERVAL);
                    }
                    self.connection = Some(connection);
                    self.answer = Some(stored.text());
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

    fn answer(&mut self) -> Option<String> {
        self.answer.take()
    }

    fn warning(&self) -> Option<String> {
        let warnings = [
            self.wal.warning(),
            self.undeleted.as_deref(),
            self.untended.as_deref(),
        ];
        let warnings: Vec<&str> = warnings.into_iter().flatten().collect();
        let path = self.settings.path.display();
        (!warnings.is_empty()).then(|| format!("{path}: {}", warnings.join("; ")))
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
            while began.elapsed() < TEND_MAX
                && self.step(&mut connection, None).await == Stepped::More
            {}
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
        let mut connection = storing(&self.settings.path).connect().await?;
        probe::applied(&mut connection).await?;
        MIGRATIONS
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
            "SELECT origin, received_at FROM device_current ORDER BY last_seen DESC LIMIT 1",
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
        set_zone(&mut connection, &self.recorder.zone()).await?;
        self.recorder.forget();
        self.upkeep = Upkeep::default();
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
        let error = in_words(&self.settings.path, error);
        Trouble::Retry { error, after: None }
    }

    /// One step of the upkeep, where the clock is believed; `newest`: what was received later may
    /// be waiting. A failure only waits for the next one.
    async fn step(
        &mut self,
        connection: &mut SqliteConnection,
        newest: Option<Timestamp>,
    ) -> Stepped {
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

/// The days are those of this zone: where they were another's, the upkeep counts all again, however
/// many there are.
async fn set_zone(connection: &mut SqliteConnection, zone: &str) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let query = "SELECT value FROM history_setting WHERE name = 'day_zone'";
    let before: Option<String> = sqlx::query_scalar(query)
        .fetch_optional(&mut *transaction)
        .await?;
    if before.as_deref() == Some(zone) {
        return transaction.rollback().await;
    }
    if before.is_some() {
        sqlx::raw_sql(
            "INSERT OR REPLACE INTO history_setting (name, value) VALUES ('recounted_below', '0')",
        )
        .execute(&mut *transaction)
        .await?;
    }
    sqlx::query("INSERT OR REPLACE INTO history_setting (name, value) VALUES ('day_zone', ?)")
        .bind(zone)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
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
