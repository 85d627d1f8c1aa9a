//! The one owner of the write connection: it gathers waiting batches and commands, commits them in
//! one transaction, has it synced, and only then answers.

mod close;
mod commit;
mod last_states;
mod look_round;
mod out_of_space;
mod publish;
mod removal;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::age::Age;
use super::check::Check;
use super::checkpoint::Checkpoint;
use super::command::QueuedCommand;
use super::dlq_watch::DlqWatch;
use super::due::Due;
use super::file::Opened;
use super::group::{Append, Group, WrittenGroup};
use super::last_states::LastStates;
use super::lock::{Left, Lock};
use super::retention::{LogStart, Retention, Worth};
use super::state::State;
use super::transaction::Statements;
use super::wal::Wal;
use super::{Error, Settings, dead_letters};
use crate::model::Position;

/// How long a full journal or disk is left alone before the same is tried again.
pub(super) const OUT_OF_SPACE_INTERVAL: Duration = Duration::from_millis(200);

/// A turn of the writer ends within this time, or its disk hangs: it sleeps for 10 s at most, and
/// the longest transaction, a removal of half a million dead letters, takes seconds.
const TURN_MAX: Duration = Duration::from_secs(300);

/// The queues from the handles, and the bytes that waiting batches may take.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) appends: mpsc::Receiver<Append>,
    pub(super) commands: mpsc::Receiver<QueuedCommand>,
    pub(super) room: Arc<Semaphore>,
    /// Tells the handles, once the queue itself is gone.
    pub(super) _ended: DropGuard,
}

/// The owner of the write connection.
#[derive(Debug)]
pub struct Writer {
    settings: Settings,
    pub(super) connection: SqliteConnection,
    wal: Wal<WrittenGroup>,
    checkpoint: Checkpoint,
    /// The newest position that is written.
    head: Position,
    statements: Statements,
    last_states: LastStates,
    state: Arc<State>,
    queue: Queue,
    retention: Retention,
    /// The time by which delivered entries expire.
    age: Age,
    /// Bodies written since the file was measured.
    unmeasured_bytes: u64,
    /// When it has something to do on its own.
    due: Due,
    /// When the WAL was last to begin again, while a reader keeps it from that.
    wal_held: Option<Instant>,
    /// The log says already that the file with the mark is gone and cannot be made again.
    mark_missing: bool,
    /// When the last log line about evictions was written.
    drop_said: Option<Instant>,
    /// How many undecodable entries the last log line said to be removed, and when.
    undecodable_said: (u64, Option<Instant>),
    /// The newest proof that the link lived: what was received last in the log's order, or what was
    /// said of it since.
    proven_at: Option<Timestamp>,
    /// The watermarks of the dead letters.
    dlq_watch: DlqWatch,
    /// When dead letters that are too old are looked for next.
    expire_at: Instant,
    /// The disk had no room for the last commit.
    out_of_space: bool,
    check: Check,
    /// It is a stale copy.
    fenced: bool,
    /// As the last process left it.
    found: Left,
    /// Last, so that it is released after the connection.
    lock: Lock,
}

/// What the file held when it was opened.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) state: Arc<State>,
    pub(super) last_states: LastStates,
    pub(super) begin: LogStart,
    /// Everything that may be evicted up to there was.
    pub(super) evicted: Position,
    /// The last time at which the link was known to live.
    pub(super) proven_at: Option<Timestamp>,
    /// The time that was believed last.
    pub(super) believed_at: Timestamp,
}

impl Writer {
    /// # Errors
    /// The WAL cannot be opened.
    pub(super) fn new(
        settings: Settings,
        opened: Opened,
        known: Known,
        queue: Queue,
        check: Check,
    ) -> Result<Writer, Error> {
        let Known {
            state,
            last_states,
            begin,
            evicted,
            proven_at,
            believed_at,
        } = known;
        let dlq_watch = DlqWatch::new(&settings);
        let wal = Wal::open(&settings.path)?;
        Ok(Writer {
            retention: Retention::new(&settings, state.head(), begin, evicted),
            age: Age::new(&settings, believed_at),
            settings,
            connection: opened.connection,
            wal,
            checkpoint: Checkpoint::default(),
            head: state.head(),
            statements: Statements::default(),
            last_states,
            state,
            queue,
            unmeasured_bytes: 0,
            due: Due::new(Instant::now()),
            wal_held: None,
            mark_missing: false,
            drop_said: None,
            undecodable_said: (0, None),
            proven_at,
            dlq_watch,
            expire_at: Instant::now(),
            out_of_space: false,
            check,
            fenced: false,
            found: opened.mark.map_or(Left::Closed, |mark| mark.left),
            lock: opened.lock,
        })
    }

    /// Writes until it is stopped; then writes the queued batches, commands and cursors, and
    /// empties the WAL.
    ///
    /// # Errors
    /// A commit, a sync or a read failed. That is final and never retried: after a failed sync
    /// nobody knows which entries are on disk. Everybody who waits gets [`Error::Closed`], and
    /// nothing more is acknowledged.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        let worked = match self.work(&stop).await {
            Ok(()) => self.write_rest(&stop).await,
            failed => failed,
        };
        self.state.next_turn.whenever();
        // What is written is answered, whatever becomes of the rest.
        let ended = match worked {
            Err(error @ (Error::Sync { .. } | Error::Taken { .. })) => Err(error),
            worked => self.sync_all().await.and(worked),
        };
        // An end is the last moment to say that nobody will find what was written.
        let ended = match ended {
            Err(error) if !error.is_out_of_space() => Err(error),
            ended => self.wal.check().await.and(ended),
        };
        match ended {
            Ok(()) => self.close().await,
            Err(error) if error.is_out_of_space() => self.close_full(error, &stop).await,
            Err(error) => {
                if let Error::Taken { what, .. } = error {
                    self.rescue(what).await;
                }
                Err(error)
            }
        }
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        self.dlq_watch
            .look(&dead_letters::totals(&mut self.connection).await?);
        loop {
            self.state.next_turn.within(TURN_MAX);
            let mut group = Group::default();
            let may_write = self.wal.takes();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                synced = self.wal.synced() => {
                    self.publish(synced?)?;
                    continue;
                }
                rest = self.checkpoint.done(&self.settings.path), if may_write => {
                    if rest? {
                        self.checkpoint.finish(&mut self.connection).await?;
                    }
                    continue;
                }
                Some(command) = self.queue.commands.recv(), if may_write => group.commands.push(command),
                Some(append) = self.queue.appends.recv(), if may_write && self.accepts() => group.append(append),
                () = self.state.cursors_moved.notified() => {
                    self.due.waits(Instant::now());
                    continue;
                }
                // What waits may be accepted now.
                () = self.state.bound_changed.notified() => continue,
                () = sleep_until(self.due.next()), if may_write => {}
                checked = self.check.done() => {
                    checked?;
                    continue;
                }
            }
            self.gather(&mut group);
            let now = Instant::now();
            match self.due.is_look(now) {
                false => self.commit(group, Worth::Room, now, stop).await?,
                true => self.look_round(group, now, stop).await?,
            }
        }
    }

    /// Whether anything may be appended.
    fn accepts(&self) -> bool {
        match self.state.beyond.load(Ordering::Relaxed) {
            true => !self.retention.disk_full(),
            false => !self.retention.full(),
        }
    }

    /// Everything that waits joins the group: it gathered during the last commit.
    fn gather(&mut self, group: &mut Group) {
        while !group.is_ended()
            && let Ok(command) = self.queue.commands.try_recv()
        {
            group.commands.push(command);
        }
        while self.accepts()
            && let Ok(append) = self.queue.appends.try_recv()
        {
            group.append(append);
        }
    }

    /// Writes all that waits, and takes nothing more.
    async fn write_rest(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        self.queue.room.close();
        self.queue.appends.close();
        self.queue.commands.close();
        let mut group = Group::default();
        while let Some(append) = self.queue.appends.recv().await {
            group.append(append);
        }
        while let Some(command) = self.queue.commands.recv().await {
            group.commands.push(command);
            if group.is_ended() {
                let ended = std::mem::take(&mut group);
                self.commit(ended, Worth::Any, Instant::now(), stop).await?;
            }
        }
        let now = Instant::now();
        self.due.save_now(now);
        self.commit(group, Worth::Any, now, stop).await
    }
}
