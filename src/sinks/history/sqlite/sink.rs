//! The sink of a SQLite history: one connection, whose file may be taken away at any time.
//!
//! - `tending`: what is done between two batches

mod tending;

use std::fs::File;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::connect::{WAL_KEPT_BYTES, storing};
use super::failure::{in_words, is_refusal};
use super::file::{Lost, Seen, is_whole, move_away, prepare};
use super::store::store;
use super::wal::{Wal, copy};
use super::{MIGRATIONS, Settings, probe};
use crate::model::{Event, Position};
use crate::sinks::history::capabilities::CAPABILITIES;
use crate::sinks::history::migration::migration_failure;
use crate::sinks::history::recorder::Recorder;
use crate::sinks::history::retention::{Pruned, Retention, TEND_MAX};
use crate::sinks::history::standing::{Standing, set_zone};
use crate::sinks::history::upkeep::{Stepped, Upkeep};
use crate::sinks::history::words::words;
use crate::sinks::{Batch, Built, By, Capabilities, Newest, Sink, Trouble, Undelivered};

/// A WAL that is as large is one that a reader keeps from beginning again.
const WAL_GROWN_BYTES: u64 = 2 * WAL_KEPT_BYTES;
/// Closing checkpoints the WAL; a slow disk may leave that to the next start.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// While there are batches, a step of the upkeep comes after one of them at most so often.
const STEP_INTERVAL: Duration = Duration::from_secs(1);

/// See [`crate::sinks::build`].
pub(in crate::sinks) fn build(settings: Settings) -> Built {
    let retention = Retention::new(&settings.name, settings.retention);
    let recorder = Recorder::new(settings.zone.clone());
    Built {
        sink: Box::new(SqliteHistory {
            settings,
            connection: None,
            seen: None,
            file: None,
            newest: None,
            retention,
            recorder,
            upkeep: Upkeep::default(),
            next_step: None,
            pruned: Pruned::Done,
            goes_on: false,
            undeleted: None,
            untended: None,
            wal: Wal::new(WAL_GROWN_BYTES),
            answer: None,
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
    /// The same, where it has become smaller. It is open for as long as the connection is: closing
    /// it drops SQLite's locks.
    file: Option<File>,
    newest: Option<Newest>,
    retention: Retention,
    recorder: Recorder,
    upkeep: Upkeep,
    next_step: Option<Instant>,
    /// What has come of the piece of the retention after a batch.
    pruned: Pruned,
    /// The next step is not to wait.
    goes_on: bool,
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
                    let is_due = self.next_step.is_none_or(|next| next <= Instant::now());
                    // The next batch waits for a piece or for a step, not for both.
                    let has_turn = is_due && self.pruned == Pruned::More;
                    if !has_turn {
                        self.pruned = self.prune(&mut connection).await;
                    }
                    if has_turn || (is_due && self.pruned == Pruned::Done) {
                        let newest = batch.events.last().map(Event::received_at);
                        self.step(&mut connection, newest).await;
                    }
                    if is_due {
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

    fn goes_on(&self) -> bool {
        self.goes_on
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
        self.file = None;
        // A connection that was dropped with its attempt was not closed as below.
        self.move_wal_away();
        prepare(&self.settings.path, self.settings.mode).map_err(sqlx::Error::Io)?;
        let mut connection = storing(&self.settings.path).connect().await?;
        probe::applied(&mut connection).await?;
        MIGRATIONS
            .run_direct(None, &mut connection, false)
            .await
            .map_err(migration_failure)?;
        // Rows of a killed process may be readable and not yet on disk. The journal removes entries
        // that our cursor is past, so this cursor must be on disk before it is read.
        copy(&mut connection).await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let standing = Standing::read(&mut *transaction, &self.settings.name, journal).await?;
        let zone = set_zone(&mut *transaction, &self.recorder.zone()).await?;
        transaction.commit().await?;
        zone.tell(&self.settings.name, &self.recorder.zone());
        self.retention
            .set_reference(Instant::now(), standing.believed_at, standing.received_at);
        self.newest = standing.newest;
        self.recorder.forget();
        self.upkeep = Upkeep::default();
        self.goes_on = true;
        self.seen = Seen::at(&self.settings.path);
        Ok((connection, standing.cursor))
    }

    async fn close_connection(&mut self, connection: SqliteConnection) {
        let name = &self.settings.name;
        match tokio::time::timeout(CLOSE_TIMEOUT, connection.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(sink = name, %error, "history not closed cleanly; nothing is lost")
            }
            Err(_) => warn!(sink = name, "history not closed in time; nothing is lost"),
        }
        self.file = None;
        self.move_wal_away();
    }

    /// So that no other file is opened with the `-wal` of the one that was open.
    fn move_wal_away(&self) {
        let (name, path) = (&self.settings.name, &self.settings.path);
        if let Some(moved) = self.seen.and_then(|seen| seen.move_wal_away(path)) {
            warn!(
                sink = name, file = %path.display(), moved = %moved.display(),
                "history replaced by another file: the -wal of the former one has another name now"
            );
        }
    }

    /// Gives the connection back where the file is still the one that it has open. Else says what
    /// has happened, and leaves a name under which the next attempt can begin.
    async fn still_there(
        &mut self,
        mut connection: SqliteConnection,
    ) -> Result<SqliteConnection, Undelivered> {
        let path = self.settings.path.clone();
        let lost = match self.seen.as_mut().and_then(|seen| seen.look(&path)) {
            Some(Lost::Shrunk) if self.is_whole() => {
                self.seen = Seen::at(&path);
                None
            }
            lost => lost,
        };
        let Some(lost) = lost else {
            let sink = &self.settings.name;
            self.wal.committed(&mut connection, sink, &path).await;
            return Ok(connection);
        };
        if lost != Lost::Shrunk {
            // One that was moved has its last rows in a file of the former name, which the next one
            // takes.
            let _ = copy(&mut connection).await;
        }
        self.close_connection(connection).await;
        let what = match lost {
            Lost::Removed => "the file was removed or moved".to_owned(),
            Lost::Replaced => "the file was replaced by another one".to_owned(),
            Lost::Shrunk => match move_away(&path) {
                Ok(rest) => format!(
                    "the file was truncated; the rest of it is {}",
                    rest.display()
                ),
                Err(error) => format!("the file was truncated, and cannot be moved away: {error}"),
            },
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

    /// Whether a file that has become smaller lacks nothing: pages were given back, or somebody has
    /// called VACUUM.
    fn is_whole(&mut self) -> bool {
        if self.file.is_none() {
            self.file = File::open(&self.settings.path).ok();
        }
        let file = self.file.as_ref();
        file.is_none_or(|file| is_whole(file).unwrap_or(true))
    }

    fn not_open(&self) -> Trouble {
        let error = format!("{}: not open", self.settings.path.display());
        Trouble::Retry { error, after: None }
    }

    fn pause(&self, error: &sqlx::Error) -> Trouble {
        let error = in_words(&self.settings.path, error);
        Trouble::Retry { error, after: None }
    }
}
