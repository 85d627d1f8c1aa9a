//! The one owner of the write connection: it gathers waiting batches and commands, commits them in
//! one synced transaction, and only then answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use super::beside::beside;
use super::check::Check;
use super::command::{Command, QueuedCommand};
use super::disk;
use super::dlq_watch::DlqWatch;
use super::file::{self, Opened};
use super::last_states::{LastStates, Resolved};
use super::lock::{Left, Lock, Mark};
use super::retention::{FREE_BYTES_AGAIN, LogStart, Retention, Truncation};
use super::state::{CursorRow, MovedCursors, State};
use super::transaction::{Statements, Transaction, Written};
use super::{Entry, Error, NewBatch, NewEntry, Settings, dead_letters, last_state_rows};
use crate::model::{EntryKind, Position, TrustedClock};

/// A cursor that moved is on disk this much later at most; delivered entries are removed as often.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);

/// A commit of fewer entries than this writes cursors only at intervals. A cursor written with each
/// single entry would cost as much as the entry.
const SMALL_ENTRIES: usize = 32;
const CURSORS_INTERVAL: Duration = Duration::from_millis(20);

/// From this size of the WAL on, the writer waits until no reader needs it. So a busy reader cannot
/// make it grow without end.
const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long it waits for the readers. The daemon's reads take milliseconds; for an external reader
/// that takes longer it tries again later.
const WAL_RESET_TIMEOUT: Duration = Duration::from_millis(100);
const WAL_RESET_INTERVAL: Duration = Duration::from_secs(2);

/// Bodies written before the file is measured again: measuring is a round trip to the connection's
/// thread.
const MEASURE_BYTES: u64 = 1024 * 1024;

/// Evictions go on piece by piece: at most one log line in this time.
const DROP_LINE_INTERVAL: Duration = Duration::from_secs(60);

/// Between two looks for dead letters that are older than `journal.dlq_keep`.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(60);

/// How long a full disk is left alone before the same is tried again.
const OUT_OF_SPACE_INTERVAL: Duration = Duration::from_millis(200);

/// A batch on its way to the disk.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) batch: NewBatch,
    /// Given back once the batch has left the memory.
    pub(super) room: OwnedSemaphorePermit,
    pub(super) done: oneshot::Sender<Position>,
}

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
    connection: SqliteConnection,
    statements: Statements,
    last_states: LastStates,
    state: Arc<State>,
    queue: Queue,
    retention: Retention,
    /// The time by which delivered entries expire.
    clock: TrustedClock,
    /// Bodies written since the file was measured.
    unmeasured_bytes: u64,
    /// When cursors were last written.
    cursors_saved: Option<Instant>,
    /// When the WAL was last to be emptied.
    wal_reset: Option<Instant>,
    /// When the last log line about evictions was written.
    drop_said: Option<Instant>,
    /// When something was received last, in the log's order.
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
    /// Last, so that it is released after the connection.
    lock: Lock,
}

/// What the file held when it was opened.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) state: Arc<State>,
    pub(super) last_states: LastStates,
    pub(super) begin: LogStart,
    /// When the newest entry was received.
    pub(super) newest: Option<Timestamp>,
}

/// What goes into one transaction.
#[derive(Debug, Default)]
struct Group {
    entries: Vec<NewEntry>,
    /// Who waits for how many of the entries, in order.
    appends: Vec<(usize, OwnedSemaphorePermit, oneshot::Sender<Position>)>,
    commands: Vec<QueuedCommand>,
}

impl Writer {
    pub(super) fn new(
        settings: Settings,
        opened: Opened,
        known: Known,
        queue: Queue,
        check: Check,
    ) -> Writer {
        let Known {
            state,
            last_states,
            begin,
            newest,
        } = known;
        let mut clock = TrustedClock::for_keeping(settings.keep);
        clock.set_reference(std::time::Instant::now(), newest);
        let dlq_watch = DlqWatch::new(&settings);
        Writer {
            retention: Retention::new(&settings, state.head(), begin),
            clock,
            settings,
            connection: opened.connection,
            statements: Statements::default(),
            last_states,
            state,
            queue,
            unmeasured_bytes: 0,
            cursors_saved: None,
            wal_reset: None,
            drop_said: None,
            proven_at: newest,
            dlq_watch,
            expire_at: Instant::now(),
            out_of_space: false,
            check,
            fenced: false,
            lock: opened.lock,
        }
    }

    /// Writes until it is stopped; then writes the queued batches, commands and cursors, and
    /// empties the WAL.
    ///
    /// # Errors
    /// A commit, a sync or a read failed. That is final and never retried: after a failed sync
    /// nobody knows which entries are on disk. Everybody who waits gets [`Error::Closed`], and
    /// nothing more is acknowledged.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        self.measure().await?;
        self.dlq_watch
            .look(&dead_letters::totals(&mut self.connection).await?);
        let mut flush = interval(FLUSH_INTERVAL);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut group = Group::default();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(command) = self.queue.commands.recv() => group.commands.push(command),
                Some(append) = self.queue.appends.recv(), if !self.retention.full() => group.append(append),
                _ = flush.tick() => self.look_round().await?,
                checked = self.check.done() => checked?,
            }
            self.gather(&mut group);
            self.commit(group, &mut flush, &stop).await?;
        }
        self.finish(&mut flush, &stop).await
    }

    /// Everything that waits joins the group: it gathered during the last commit.
    fn gather(&mut self, group: &mut Group) {
        while let Ok(command) = self.queue.commands.try_recv() {
            group.commands.push(command);
        }
        while !self.retention.full()
            && let Ok(append) = self.queue.appends.try_recv()
        {
            group.append(append);
        }
    }

    async fn finish(mut self, flush: &mut Interval, stop: &CancellationToken) -> Result<(), Error> {
        self.queue.room.close();
        self.queue.appends.close();
        self.queue.commands.close();
        let mut group = Group::default();
        while let Some(append) = self.queue.appends.recv().await {
            group.append(append);
        }
        while let Some(command) = self.queue.commands.recv().await {
            group.commands.push(command);
        }
        self.commit(group, flush, stop).await?;
        // The cursors, where they have waited.
        self.commit(Group::default(), flush, stop).await?;
        file::close(self.connection).await?;
        let left = match self.fenced {
            true => Left::Fenced,
            false if self.check.is_done() => Left::Closed,
            // As it was found: the next start checks it.
            false => return Ok(()),
        };
        self.lock.mark(Mark {
            journal: self.state.uuid,
            head: self.state.head(),
            left,
        })
    }

    /// Commits one transaction: all of the group, the cursors as they stand, and a truncation.
    async fn commit(
        &mut self,
        mut group: Group,
        flush: &mut Interval,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let MovedCursors { mut moved, slowest } = self.state.cursors();
        let now = self
            .clock
            .read(std::time::Instant::now(), Timestamp::now())
            .now;
        let truncation = self.retention.due(slowest, group.entries.len(), now);
        let small = (1..SMALL_ENTRIES).contains(&group.entries.len());
        let wait = self
            .cursors_saved
            .is_some_and(|saved| saved.elapsed() < CURSORS_INTERVAL);
        if small && wait && group.commands.is_empty() && truncation.is_none() {
            moved.clear();
        }
        let excess = self.last_states.excess();
        if group.is_empty() && moved.is_empty() && truncation.is_none() && excess == 0 {
            return Ok(());
        }
        if let (Some(Truncation::Past { through, .. }), Some(slowest)) = (&truncation, slowest) {
            assert!(
                *through <= slowest,
                "only what every sink is past is removed (I3): {through} > {slowest}"
            );
        }
        let resolved = self.resolve(std::mem::take(&mut group.entries)).await?;
        let written = loop {
            match self.write(&resolved, &group, &moved, truncation).await {
                Err(error) if error.is_out_of_space() && !stop.is_cancelled() => {
                    self.wait_for_space(&error, stop).await?;
                }
                written => break written?,
            }
        };
        if std::mem::take(&mut self.out_of_space) {
            info!("journal continues: its disk has free space again");
            self.measure().await?;
        }
        if !moved.is_empty() {
            self.cursors_saved = Some(Instant::now());
            self.state.saved(&moved);
        }
        self.count(&group.commands).await?;
        let fences = |queued: &QueuedCommand| matches!(queued.command, Command::Fence);
        let fenced = group.commands.iter().any(fences);
        if fenced {
            self.fenced = true;
            let head = resolved.head(self.state.head());
            self.lock.mark(Mark {
                journal: self.state.uuid,
                head,
                left: Left::Fenced,
            })?;
        }
        self.last_states.evicted(&written.evicted);
        self.last_states.settle();
        self.state.tell_devices(
            self.last_states.size().rows,
            written.evicted.len(),
            resolved.met,
        );
        self.publish(resolved.entries, group, written.changed);
        if let Some(truncation) = truncation {
            self.removed(truncation, written.removed).await?;
            flush.reset_immediately();
        }
        if self.unmeasured_bytes >= MEASURE_BYTES.min(self.settings.bytes_max / 32) {
            self.measure().await?;
        }
        Ok(())
    }

    /// Waits before the transaction is tried again, on a new connection that knows nothing of the
    /// failure. SQLite has rolled it back, and nobody has an answer yet. Until then nothing is
    /// accepted.
    async fn wait_for_space(
        &mut self,
        error: &Error,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        if !std::mem::replace(&mut self.out_of_space, true) {
            warn!(%error, "journal stopped: its disk is full, and nothing is accepted; free some \
             space");
            self.state.full.store(true, Ordering::Relaxed);
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(OUT_OF_SPACE_INTERVAL) => {}
        }
        match file::open_to_write(&self.settings.path).await {
            Ok(connection) => {
                // Closing a connection that failed may fail too: it holds nothing that anybody has
                // an answer for.
                let _ = std::mem::replace(&mut self.connection, connection)
                    .close()
                    .await;
                Ok(())
            }
            Err(error) if error.is_out_of_space() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives the group's entries their positions, and compares them with their devices' last
    /// states.
    async fn resolve(&mut self, entries: Vec<NewEntry>) -> Result<Resolved, Error> {
        let unknown = self.last_states.unknown(&entries);
        if !unknown.is_empty() {
            let found = last_state_rows::find(&mut self.connection, &unknown).await?;
            self.last_states.found(found);
        }
        Ok(self.last_states.resolve(self.state.head(), entries))
    }

    async fn write(
        &mut self,
        resolved: &Resolved,
        group: &Group,
        moved: &[CursorRow],
        truncation: Option<Truncation>,
    ) -> Result<Written, Error> {
        let transaction = Transaction {
            settings: &self.settings,
            head: resolved.head(self.state.head()),
            entries: &resolved.entries,
            last_states: &resolved.rows,
            proven_at: self.proven_at,
            excess: self.last_states.excess(),
            commands: &group.commands,
            cursors: moved,
            truncation,
        };
        transaction
            .write(&mut self.connection, &self.statements)
            .await
    }

    /// Reads the state that commands have changed on disk.
    async fn count(&mut self, commands: &[QueuedCommand]) -> Result<(), Error> {
        let counts_nothing = |queued: &QueuedCommand| {
            matches!(queued.command, Command::Flush | Command::LinkProven { .. })
        };
        if commands.iter().all(counts_nothing) {
            return Ok(());
        }
        let operator_state = disk::operator_state(&mut self.connection).await?;
        self.dlq_watch.look(&operator_state.dead_letters);
        self.state.set_operator_state(operator_state);
        Ok(())
    }

    /// Makes a group that is on disk known to everybody.
    fn publish(&mut self, entries: Vec<Entry>, group: Group, changed: Vec<u64>) {
        let head = self.state.head();
        let new_head = entries.last().map_or(head, |entry| entry.position);
        let count = i64::try_from(entries.len()).expect("a group fits in memory");
        assert_eq!(
            new_head.0,
            head.0 + count,
            "positions follow each other without a hole (I4)"
        );
        let count = |kind: EntryKind| {
            let of_kind = |entry: &&Entry| entry.content.kind() == kind;
            entries.iter().filter(of_kind).count() as u64
        };
        self.state
            .undecodable
            .fetch_add(count(EntryKind::Undecodable), Ordering::Relaxed);
        self.state
            .accepted
            .fetch_add(count(EntryKind::Status), Ordering::Relaxed);
        self.unmeasured_bytes += entries
            .iter()
            .map(|entry| entry.body.len() as u64)
            .sum::<u64>()
            + 1;
        let is_received = |entry: &&Entry| {
            let kind = entry.content.kind();
            matches!(kind, EntryKind::Status | EntryKind::Undecodable)
        };
        let received = entries.iter().rfind(is_received);
        self.proven_at = received.map(|entry| entry.received_at).or(self.proven_at);
        self.retention.wrote(&entries);
        self.state.begins(self.retention.oldest());
        self.state.cache().wrote(entries);
        self.state
            .head
            .send_if_modified(|known| std::mem::replace(known, new_head) != new_head);
        if group
            .commands
            .iter()
            .any(|queued| queued.command.concerns_sinks())
        {
            self.state.commands.send_modify(|count| *count += 1);
        }
        group.answer(head, changed);
    }

    async fn removed(&mut self, truncation: Truncation, removed: u64) -> Result<(), Error> {
        self.state.cache().removed(truncation.through());
        if let Truncation::Drop { from, through } = truncation {
            self.state.evicted.fetch_add(removed, Ordering::Relaxed);
            self.retention.evicted(through);
            if self
                .drop_said
                .is_none_or(|said| said.elapsed() >= DROP_LINE_INTERVAL)
            {
                self.drop_said = Some(Instant::now());
                warn!(%from, %through, "journal full: its oldest entries are evicted; raise journal.max_bytes, or see which sink is behind");
            }
        }
        self.retention
            .begins(disk::begin(&mut self.connection).await?);
        self.state.begins(self.retention.oldest());
        self.measure().await
    }

    /// The checks that are made now and then, not with every commit.
    async fn look_round(&mut self) -> Result<(), Error> {
        self.bound_wal().await?;
        self.expire_dead_letters().await?;
        if self.unmeasured_bytes > 0 || self.retention.full() {
            self.measure().await?;
        }
        Ok(())
    }

    async fn expire_dead_letters(&mut self) -> Result<(), Error> {
        let Some(keep) = self.settings.dlq_keep else {
            return Ok(());
        };
        if Instant::now() < self.expire_at {
            return Ok(());
        }
        self.expire_at = Instant::now() + EXPIRE_INTERVAL;
        let now = self
            .clock
            .read(std::time::Instant::now(), Timestamp::now())
            .now;
        let keep_us = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
        let before = now.as_microsecond().saturating_sub(keep_us);
        let expired = match dead_letters::expire(&mut self.connection, before).await {
            // It is tried again in a minute.
            Err(error) if error.is_out_of_space() => 0,
            expired => expired?,
        };
        if expired > 0 {
            info!(
                dead_letters = expired,
                "dead letters dropped: they are older than journal.dlq_keep"
            );
            let operator_state = disk::operator_state(&mut self.connection).await?;
            self.dlq_watch.look(&operator_state.dead_letters);
            self.state.set_operator_state(operator_state);
            self.state.commands.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    async fn measure(&mut self) -> Result<(), Error> {
        let was_full = self.retention.full();
        let mut usage = disk::usage(&mut self.connection, &self.settings.path).await?;
        // Dead letters and last states have bounds of their own.
        usage.used_bytes = usage
            .used_bytes
            .saturating_sub(self.state.dlq_bytes() + self.last_states.size().bytes);
        self.retention.measured(usage);
        let full = self.retention.full();
        if full && !was_full && usage.used_bytes < self.settings.bytes_max {
            warn!(
                bytes = usage.used_bytes,
                free_bytes = usage.free_bytes,
                "journal stopped: its disk is nearly full, and nothing is accepted until more \
                 than {} MiB are free; free some space",
                FREE_BYTES_AGAIN >> 20
            );
        } else if full && !was_full {
            warn!(
                bytes = usage.used_bytes,
                free_bytes = usage.free_bytes,
                "journal full: nothing is accepted until the sinks have caught up; see their lag, or raise journal.max_bytes"
            );
        } else if was_full && !full {
            info!(
                bytes = usage.used_bytes,
                "journal continues: it has free space again"
            );
        }
        if let Some(percent) = self.retention.watermark(self.state.cursors().slowest) {
            warn!(
                percent,
                bytes = usage.used_bytes,
                free_bytes = usage.free_bytes,
                "journal fills up with pending entries: see which sink is behind, raise \
                 journal.max_bytes or free some space"
            );
        }
        self.state.full.store(full, Ordering::Relaxed);
        self.state.bytes.store(usage.used_bytes, Ordering::Relaxed);
        self.unmeasured_bytes = 0;
        Ok(())
    }

    /// SQLite starts the WAL over only in a moment without readers; under a steady load that moment
    /// has to be made.
    async fn bound_wal(&mut self) -> Result<(), Error> {
        if self
            .wal_reset
            .is_some_and(|reset| reset.elapsed() < WAL_RESET_INTERVAL)
        {
            return Ok(());
        }
        let wal = std::fs::metadata(beside(&self.settings.path, "-wal"));
        if wal.is_ok_and(|wal| wal.len() > WAL_BYTES_MAX) {
            self.wal_reset = Some(Instant::now());
            match disk::reset_wal(&mut self.connection, WAL_RESET_TIMEOUT).await {
                // The database itself cannot grow: its entries stay in the WAL.
                Err(error) if error.is_out_of_space() => {}
                reset => reset?,
            }
        }
        Ok(())
    }
}

impl Group {
    fn append(&mut self, append: Append) {
        let Append { batch, room, done } = append;
        self.appends.push((batch.entries.len(), room, done));
        self.entries.extend(batch.entries);
    }

    fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.commands.is_empty()
    }

    /// Answers every caller; one that has gone away loses only the answer.
    fn answer(self, mut before: Position, changed: Vec<u64>) {
        for (count, _room, done) in self.appends {
            before.0 += i64::try_from(count).expect("a batch fits in memory");
            let _ = done.send(before);
        }
        for (queued, changed) in self.commands.into_iter().zip(changed) {
            let _ = queued.done.send(changed);
        }
    }
}
