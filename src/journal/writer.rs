//! The one owner of the write connection: it gathers waiting batches and commands, commits them in
//! one transaction, has it synced, and only then answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use super::age::Age;
use super::check::Check;
use super::checkpoint::Checkpoint;
use super::command::{Command, QueuedCommand};
use super::disk;
use super::dlq_watch::DlqWatch;
use super::due::{Due, SAVE_INTERVAL};
use super::file::{self, Opened};
use super::group::{Append, Group, WrittenGroup};
use super::identity::Wrote;
use super::last_states::{LastStates, Met, Resolved};
use super::lock::{Left, Lock, Mark};
use super::proof::ProofSave;
use super::retention::{LogStart, Retention, Truncation, Worth};
use super::state::{CursorRow, State};
use super::transaction::{Statements, Transaction, Written};
use super::wal::Wal;
use super::{Entry, Error, NewEntry, Settings, Taken, coverage, dead_letters, last_state_rows};
use crate::faults::{self, Failpoint};
use crate::model::{EntryKind, Position, Via};
use crate::pipeline::StatusKey;

/// Bodies written before the file is measured again: measuring is a round trip to the connection's
/// thread.
const MEASURE_BYTES: u64 = 1024 * 1024;

/// What an entry needs beside its body, until the file is measured.
const ENTRY_BYTES: u64 = 128;

/// Evictions go on piece by piece: at most one log line in this time.
const DROP_LINE_INTERVAL: Duration = Duration::from_secs(60);

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
    pub(super) settings: Settings,
    pub(super) connection: SqliteConnection,
    pub(super) wal: Wal<WrittenGroup>,
    checkpoint: Checkpoint,
    /// The newest position that is written.
    head: Position,
    statements: Statements,
    pub(super) last_states: LastStates,
    pub(super) state: Arc<State>,
    queue: Queue,
    pub(super) retention: Retention,
    /// The time by which delivered entries expire.
    pub(super) age: Age,
    /// Bodies written since the file was measured.
    pub(super) unmeasured_bytes: u64,
    /// When it has something to do on its own.
    pub(super) due: Due,
    /// When the WAL was last to begin again, while a reader keeps it from that.
    pub(super) wal_held: Option<Instant>,
    /// The log says already that the file with the mark is gone and cannot be made again.
    pub(super) mark_missing: bool,
    /// When the last log line about evictions was written.
    drop_said: Option<Instant>,
    /// The newest proof that the link lived: what was received last in the log's order, or what was
    /// said of it since.
    proven_at: Option<Timestamp>,
    /// The watermarks of the dead letters.
    pub(super) dlq_watch: DlqWatch,
    /// When dead letters that are too old are looked for next.
    pub(super) expire_at: Instant,
    /// The disk had no room for the last commit.
    out_of_space: bool,
    check: Check,
    /// It is a stale copy.
    pub(super) fenced: bool,
    /// As the last process left it.
    found: Left,
    /// Last, so that it is released after the connection.
    pub(super) lock: Lock,
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

/// What the writer adds to a group on its own.
#[derive(Debug, Default)]
struct Upkeep {
    cursors: Vec<CursorRow>,
    /// They go with cursors, and are no reason to write but for the stop.
    proofs: ProofSave,
    /// The last states that wait.
    last_states: bool,
    /// How many devices are forgotten.
    excess: u64,
    truncation: Option<Truncation>,
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

    /// Brings the last states up to date with the log: after a crash the table may be behind it.
    /// `key_of` gives the stream and the key of a status from its topic and its own bytes; `None`:
    /// nobody can say, such as of a topic that is no longer there. Where this is not called, the
    /// table stays as it is, and the entries that it lacks stay too.
    ///
    /// Writes nothing: what was read again waits until the writer runs, which waits for a full disk.
    /// That is what one second has brought, or a little more.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn catch_up(
        &mut self,
        key_of: impl Fn(&str, Via, &[u8]) -> Option<(Arc<str>, StatusKey)>,
    ) -> Result<(), Error> {
        let Some(mut reached) = self.last_states.catch_up() else {
            return Ok(());
        };
        let from = reached;
        loop {
            let logged = last_state_rows::statuses_after(&mut self.connection, reached).await?;
            let Some(last) = logged.last() else { break };
            reached = last.position;
            let keys = logged.iter().map(|status| {
                key_of(&status.topic, status.via, &status.body)
                    .map(|(stream, key)| (stream, key, status.received_at))
            });
            let keys: Vec<_> = keys.flatten().collect();
            self.look_up(keys.iter().map(|(stream, key, _)| (stream, key)))
                .await?;
            for (stream, key, at) in keys {
                self.last_states.learn_again(stream, key, at);
            }
            self.last_states.bound_memory();
        }
        self.due.waits(Instant::now());
        let devices = self.last_states.size().rows;
        self.state
            .tell_devices(&mut self.last_states, 0, Met::default());
        info!(
            after = from.0,
            head = self.state.head().0,
            devices,
            "last states read again from the log"
        );
        Ok(())
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

    /// Copies what a WAL without a name holds to the file itself, so that the next start finds what
    /// was acknowledged. The error says what has happened; a failure here adds nothing to it.
    async fn rescue(&mut self, what: Taken) {
        if what == Taken::Journal
            && let Some(moved) = self.wal.move_away()
        {
            warn!(
                moved = %moved.display(),
                "journal replaced by another file: the -wal of the former one has another name now"
            );
        }
        if what != Taken::Wal {
            return;
        }
        // Two cannot copy at once.
        std::mem::take(&mut self.checkpoint).close().await;
        if let Err(error) = self.checkpoint.finish(&mut self.connection).await {
            warn!(%error, "what the -wal file held was not copied");
        }
    }

    /// Closes a journal that is not written to, and leaves it as it was found: a start that fails
    /// is no unclean stop.
    ///
    /// # Errors
    /// The file cannot be closed.
    pub async fn leave(mut self) -> Result<(), Error> {
        file::close(self.connection).await?;
        if !self.check.is_done() {
            // The next start checks it.
            return Ok(());
        }
        self.lock.mark(Mark {
            journal: self.state.uuid,
            head: self.state.head(),
            left: self.found,
        })
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
        while let Ok(command) = self.queue.commands.try_recv() {
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
        }
        let now = Instant::now();
        self.due.save_now(now);
        self.commit(group, Worth::Any, now, stop).await
    }

    /// The stop of a journal whose disk has no room for what still waits. Nobody was told that this
    /// is on disk, and what is there is whole, so the stop is a clean one.
    async fn close_full(self, error: Error, stop: &CancellationToken) -> Result<(), Error> {
        warn!(
            %error,
            "journal closed without what still waited for it, since its disk is full: nothing of \
             that was acknowledged, so a server that keeps messages sends it again; free some space"
        );
        self.state.closes(&error);
        self.close().await?;
        match stop.is_cancelled() {
            true => Ok(()),
            false => Err(error),
        }
    }

    /// Closes the file and says so in the mark.
    async fn close(mut self) -> Result<(), Error> {
        std::mem::take(&mut self.checkpoint).close().await;
        file::close(self.connection).await?;
        let left = match self.fenced {
            true => Left::Fenced,
            false if self.check.is_done() => Left::Closed,
            // As it was found: the next start checks it.
            false => return Ok(()),
        };
        let mark = Mark {
            journal: self.state.uuid,
            head: self.state.head(),
            left,
        };
        self.lock
            .mark_or_say(mark, &mut self.mark_missing)
            .map(drop)
    }

    /// Writes one transaction: all of the group, and what is due besides. It is on disk, and those
    /// who wait hear of it, once the sync that begins after it has ended. `now`: when the writer
    /// asked whether to look round, since a save is a look too.
    pub(super) async fn commit(
        &mut self,
        mut group: Group,
        worth: Worth,
        now: Instant,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let mut truncation = self.due_truncation(group.entries.len(), worth);
        let resolved = self.resolve(std::mem::take(&mut group.entries)).await?;
        group.drop_entries(&resolved.dropped);
        let head = resolved.head(self.head);
        let mut upkeep = self.upkeep(&group, head, truncation, now);
        if upkeep.is_empty() && group.is_empty() && !self.is_last(&upkeep, stop) {
            if worth == Worth::Any {
                self.age.nothing_is_old();
            }
            return Ok(());
        }
        let written = loop {
            match self.write(&resolved.entries, head, &group, &upkeep).await {
                Err(error) if error.is_out_of_space() && !stop.is_cancelled() => {
                    self.wait_for_space(&error, stop).await?;
                    truncation = self.due_truncation(resolved.entries.len(), worth);
                    upkeep = self.upkeep(&group, head, truncation, now);
                }
                // Said before the group goes, and with it those who wait for it.
                written => break written.inspect_err(|error| self.state.closes(error))?,
            }
        };
        if std::mem::take(&mut self.out_of_space) {
            info!("journal continues: its disk has free space again");
            self.measure().await?;
        }
        self.state.saved(&upkeep.cursors);
        self.state
            .saved_proofs(&upkeep.proofs, written.proofs_bytes);
        self.count(&group.commands).await?;
        if upkeep.last_states {
            self.last_states.mark_saved(head);
        }
        self.last_states.evicted(&written.evicted);
        self.last_states.settle();
        self.state.tell_devices(
            &mut self.last_states,
            written.evicted.len() - written.forgotten,
            resolved.met,
        );
        let on_its_way = WrittenGroup {
            entries: resolved.entries,
            group,
            changed: written.changed,
        };
        self.prove(&on_its_way);
        // It is on disk with the next sync: without it, the gap after a power cut is longer.
        match on_its_way.group.is_proof() {
            true => self.publish_one(on_its_way)?,
            false => self.wrote(on_its_way),
        }
        if self.last_states.waits(head) || self.unmeasured_bytes > 0 {
            self.due.waits(Instant::now());
        }
        match truncation {
            Some(truncation) => self.removed(truncation, written.removed).await?,
            None if worth == Worth::Any => self.age.nothing_is_old(),
            None => {}
        }
        if self.unmeasured_bytes >= MEASURE_BYTES.min(self.settings.bytes_max / 32) {
            self.measure().await?;
        }
        Ok(())
    }

    /// Nothing comes after it that proofs could go with.
    fn is_last(&self, upkeep: &Upkeep, stop: &CancellationToken) -> bool {
        stop.is_cancelled() && !upkeep.proofs.is_empty()
    }

    /// The next piece of the log to remove.
    fn due_truncation(&mut self, incoming: usize, worth: Worth) -> Option<Truncation> {
        let slowest = self.state.slowest();
        let held = self.last_states.held();
        let past = slowest.map(|slowest| held.map_or(slowest, |held| held.min(slowest)));
        let now = self.age.now();
        let truncation = self.retention.due(past, incoming, worth, now)?;
        let truncation = self.age.allowed(truncation, self.head)?;
        if let (Truncation::Past { through, .. }, Some(slowest)) = (truncation, slowest) {
            assert!(
                through <= slowest,
                "only what every sink is past is removed (I3): {through} > {slowest}"
            );
        }
        // What is not synced nobody has seen.
        let truncation = truncation.until(self.state.head())?;
        held.is_none_or(|held| truncation.through() <= held)
            .then_some(truncation)
    }

    /// What goes along with a group that brings the log to `head`. Cursors and last states are never
    /// the reason of a commit before they are due.
    fn upkeep(
        &mut self,
        group: &Group,
        head: Position,
        truncation: Option<Truncation>,
        now: Instant,
    ) -> Upkeep {
        let is_save = self.due.is_save(now);
        let excess = self.last_states.excess();
        let with_cursors = is_save || truncation.is_some() || !group.commands.is_empty();
        let forgets =
            |queued: &QueuedCommand| matches!(queued.command, Command::ForgetDevices { .. });
        // What waits of such a device would bring it back.
        let with_last_states = is_save
            || truncation.is_some()
            || excess > 0
            || self.last_states.is_full()
            || group.commands.iter().any(forgets);
        if with_cursors && with_last_states {
            self.due.saved();
        }
        Upkeep {
            cursors: match with_cursors {
                true => self.state.moved(),
                false => Vec::new(),
            },
            proofs: match with_cursors {
                true => self.state.proofs_to_save(),
                false => ProofSave::default(),
            },
            last_states: with_last_states && self.last_states.waits(head),
            excess,
            truncation,
        }
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
            self.state.disk_full.store(true, Ordering::Relaxed);
        }
        self.state.next_turn.within(TURN_MAX);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(OUT_OF_SPACE_INTERVAL) => {}
        }
        // The WAL may become another file.
        self.sync_all().await?;
        // Others free some space, and may take the wrong files.
        self.wal.check().await?;
        match self.open_again().await {
            Ok((connection, wal)) => {
                // Closing a connection that failed may fail too: it holds nothing that anybody has
                // an answer for.
                let _ = std::mem::replace(&mut self.connection, connection)
                    .close()
                    .await;
                self.wal = wal;
                Ok(())
            }
            Err(error) if error.is_out_of_space() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Another write connection to the journal that this is, as far as it was written.
    async fn open_again(&mut self) -> Result<(SqliteConnection, Wal<WrittenGroup>), Error> {
        let path = &self.settings.path;
        let mut connection = file::open_to_write(path).await?;
        let wal = self.wal.open_again(path)?;
        let uuid = file::read_id(&mut connection).await?;
        let head = disk::head(&mut connection).await?;
        if (uuid, head) != (self.state.uuid, self.head) {
            return Err(Error::Taken {
                path: path.clone(),
                what: Taken::Journal,
            });
        }
        Ok((connection, wal))
    }

    /// Gives the group's entries their positions, and compares them with their devices' last
    /// states.
    async fn resolve(&mut self, entries: Vec<NewEntry>) -> Result<Resolved, Error> {
        let statuses = entries.iter().filter_map(|entry| entry.content.status());
        self.look_up(statuses).await?;
        Ok(self.last_states.resolve(self.head, entries))
    }

    /// Has the last states of these statuses' devices in memory, as far as there are any.
    async fn look_up<'a>(
        &mut self,
        statuses: impl Iterator<Item = (&'a Arc<str>, &'a StatusKey)>,
    ) -> Result<(), Error> {
        let unknown = self.last_states.unknown(statuses);
        if !unknown.is_empty() {
            let found = last_state_rows::find(&mut self.connection, &unknown).await?;
            self.last_states.found(found);
        }
        Ok(())
    }

    async fn write(
        &mut self,
        entries: &[Entry],
        head: Position,
        group: &Group,
        upkeep: &Upkeep,
    ) -> Result<Written, Error> {
        let last_states = upkeep.last_states.then(|| self.last_states.waiting_rows());
        let transaction = Transaction {
            settings: &self.settings,
            head,
            entries,
            last_states: last_states.as_deref(),
            proven_at: self.proven_at,
            excess: upkeep.excess,
            commands: &group.commands,
            cursors: &upkeep.cursors,
            proofs: &upkeep.proofs,
            truncation: upkeep.truncation,
        };
        transaction
            .write(&mut self.connection, &self.statements)
            .await
    }

    /// Reads the state that commands have changed on disk.
    async fn count(&mut self, commands: &[QueuedCommand]) -> Result<(), Error> {
        let counts_nothing = |queued: &QueuedCommand| {
            matches!(
                queued.command,
                Command::Flush
                    | Command::LinkProven { .. }
                    | Command::Judged { .. }
                    | Command::ForgetDevices { .. }
            )
        };
        if commands.iter().all(counts_nothing) {
            return Ok(());
        }
        let operator_state = disk::operator_state(&mut self.connection).await?;
        self.dlq_watch.look(&operator_state.dead_letters);
        self.state.set_operator_state(operator_state);
        Ok(())
    }

    /// Takes note of when the link lived, by what is written.
    fn prove(&mut self, written: &WrittenGroup) {
        for entry in &written.entries {
            match entry.content.kind() {
                kind if kind.is_received() => self.proven_at = Some(entry.received_at),
                EntryKind::Resync => self.proven_at = self.proven_at.max(Some(entry.received_at)),
                _ => {}
            }
        }
        for QueuedCommand { command, .. } in &written.group.commands {
            if let Command::LinkProven { at } = command {
                self.proven_at = Some(*at);
            }
        }
    }

    /// Takes note of a group that is written, and has it synced.
    fn wrote(&mut self, written: WrittenGroup) {
        let entries = &written.entries;
        let new_head = entries.last().map_or(self.head, |entry| entry.position);
        let count = i64::try_from(entries.len()).expect("a group fits in memory");
        assert_eq!(
            new_head.0,
            self.head.0 + count,
            "positions follow each other without a hole (I4)"
        );
        self.head = new_head;
        // One more: a commit without a body takes room too, and is measured within a second.
        let bodies = entries.iter().map(|entry| entry.body.len() as u64);
        let bodies = bodies.sum::<u64>();
        self.unmeasured_bytes += bodies + 1;
        self.state.unmeasured_bytes.fetch_add(
            bodies + ENTRY_BYTES * entries.len() as u64,
            Ordering::Relaxed,
        );
        self.retention.wrote(entries);
        self.checkpoint.wrote(entries);
        self.checkpoint.begin(&self.settings.path);
        let wrote = match written.entries.is_empty() {
            true => Wrote::Anything,
            false => Wrote::Entries,
        };
        self.wal.wrote(written, wrote);
    }

    /// Waits until all that is written is on disk.
    async fn sync_all(&mut self) -> Result<(), Error> {
        let synced = self.wal.sync_all().await?;
        self.publish(synced)
    }

    /// Makes groups that are on disk known to everybody, in order.
    fn publish(&mut self, groups: Vec<WrittenGroup>) -> Result<(), Error> {
        groups
            .into_iter()
            .try_for_each(|written| self.publish_one(written))
    }

    fn publish_one(&mut self, written: WrittenGroup) -> Result<(), Error> {
        let WrittenGroup {
            entries,
            group,
            changed,
        } = written;
        if coverage::received(&entries) {
            faults::reach(Failpoint::AfterCommit);
        }
        let head = self.state.head();
        let new_head = entries.last().map_or(head, |entry| entry.position);
        let fences = |queued: &QueuedCommand| matches!(queued.command, Command::Fence);
        if group.commands.iter().any(fences) {
            self.fenced = true;
            self.lock.mark(Mark {
                journal: self.state.uuid,
                head: new_head,
                left: Left::Fenced,
            })?;
        }
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
        self.state
            .resynced
            .fetch_add(count(EntryKind::Resync), Ordering::Relaxed);
        self.state.begins(self.retention.oldest());
        if let Some(first) = entries.first() {
            self.state.wrote_from(first.position);
        }
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
        Ok(())
    }

    async fn removed(&mut self, truncation: Truncation, removed: u64) -> Result<(), Error> {
        self.state.cache().removed(truncation.through());
        self.age.removed(truncation, removed);
        if let Truncation::Drop { from, through } = truncation {
            self.state.evicted.fetch_add(removed, Ordering::Relaxed);
            self.retention.evicted(through);
            if self
                .drop_said
                .is_none_or(|said| said.elapsed() >= DROP_LINE_INTERVAL)
            {
                self.drop_said = Some(Instant::now());
                warn!(
                    from = from.0,
                    through = through.0,
                    held_by = self.state.held_by(),
                    "journal full: its oldest entries are evicted; raise journal.max_bytes, or see \
                     what holds them"
                );
            }
        }
        self.retention
            .begins(disk::begin(&mut self.connection).await?);
        self.state.begins(self.retention.oldest());
        // More may be there: at once after a whole piece, else not more often than cursors move.
        let wait = match truncation.has_more(removed) {
            true => Duration::ZERO,
            false => SAVE_INTERVAL,
        };
        self.due.look_within(Instant::now(), wait);
        self.measure().await
    }
}

impl Upkeep {
    fn is_empty(&self) -> bool {
        self.cursors.is_empty()
            && !self.last_states
            && self.excess == 0
            && self.truncation.is_none()
    }
}
