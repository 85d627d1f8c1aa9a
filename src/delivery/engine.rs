//! The task of one sink: it makes the attempts that the [`Scheduler`] decides on, and reports their
//! outcomes to it.
//!
//! The cursor stays before the first event that is neither confirmed nor dead-lettered. Events
//! confirmed beyond it, events in flight, and those that it has passed in the last second, are
//! redelivered after a crash with the same event ids. At most [`AHEAD_ENTRIES_MAX`] entries are
//! ahead of the cursor; then the sink waits for the device that holds it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, try_join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::all_filtered;
use super::attempt::Attempt;
use super::decode::{Decode, Decoded, decode_for};
use super::metrics::Counters;
use super::prefetch::{Chunk, Prefetch, SinkLog};
use super::progress::{Outcome, Progress};
use super::redrive::Redrive;
use super::report::Report;
use super::scheduler::{Action, Finished, Scheduler};
use super::settings::Settings;
use super::statuses::Statuses;
use crate::faults::{self, Failpoint, Mutation};
use crate::journal::{self, DeliveryProof, Journal, Passed, Start};
use crate::model::{Event, EventKind, Position};
use crate::rotation;
use crate::sinks::{Capabilities, Health, Ordering, Reason, Sink, Trouble, Undelivered};

/// Entries ahead of the cursor, one of which holds it: what may come twice after a crash. Enough
/// for a device that fails while some hundred others report every few minutes; neighbours that are
/// filtered count as one.
pub(super) const AHEAD_ENTRIES_MAX: usize = 10_000;

/// Payloads of the events that are here: a bound of the sink's memory.
const AHEAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Events that could go at once; more are not read before they are needed.
const READY_MAX: usize = 1000;

/// How long attempts in flight may take at a stop, which leaves the app some of its own time. Then
/// they are aborted, and their events are redelivered after the next start.
const UNDER_WAY_STOP: Duration = Duration::from_secs(10);

/// Delivers the journal's entries, old and new, until it is stopped. Then it finishes the attempts
/// in flight and closes the sink. A sink in trouble is retried without end: its entries wait in the
/// journal.
///
/// # Errors
/// The journal has failed; nothing else ends it.
pub async fn run(
    settings: Settings,
    sink: Box<dyn Sink>,
    health: Health,
    counters: Arc<Counters>,
    journal: Journal,
    statuses: Statuses,
    stop: CancellationToken,
) -> Result<(), journal::Error> {
    let mut report = Report::new(Arc::clone(&settings.name), health, counters);
    let digest = settings.when.as_ref().map(all_filtered::digest);
    let is_judged = |digest: &[u8; 32]| journal.cursors.is_judged(&settings.name, digest);
    if digest.is_some_and(|digest| !is_judged(&digest)) {
        report = report.with_when();
    }
    let decode = decode_for(settings.clone(), journal.log.ids(), statuses);
    let engine = Engine::new(&settings, sink, report, journal, decode).await?;
    engine.run(&stop).await
}

/// One sink's delivery while it runs.
pub(super) struct Engine {
    pub(super) start: Start,
    /// By which the journal knows the `when`.
    when_digest: Option<[u8; 32]>,
    pub(super) capabilities: Capabilities,
    pub(super) wants_coverage: bool,
    /// Those that make no attempt now.
    sinks: Vec<Box<dyn Sink>>,
    under_way: FuturesUnordered<BoxFuture<'static, Box<Ended>>>,
    pub(super) report: Report,
    pub(super) log: SinkLog,
    pub(super) scheduler: Scheduler,
    pub(super) progress: Progress,
    /// The entries after the last one read.
    pub(super) prefetch: Prefetch,
    pub(super) redrive: Redrive,
    /// Of the next entry, where it cannot be read and the dead letters have no room for it.
    unreadable_bytes: usize,
    /// Until then, what comes in the log gathers for one attempt.
    gathers_until: Instant,
    /// When the sink is asked next whether the other side answers.
    pub(super) idle_at: Instant,
}

/// An attempt that has ended.
struct Ended {
    sink: Box<dyn Sink>,
    attempt: Box<Attempt>,
    outcome: Result<(), Undelivered>,
}

/// What the engine waits for.
enum Wake {
    Stop,
    Ended(Box<Ended>),
    /// An operator wants something delivered again.
    Command,
    /// An operator wants the next attempt at once.
    Retry,
    /// Nothing has come for long, or the other side may be gone.
    Idle,
    /// Something is due, or the log goes on.
    Due,
}

impl Engine {
    pub(super) async fn new(
        settings: &Settings,
        sink: Box<dyn Sink>,
        report: Report,
        journal: Journal,
        decode: Decode,
    ) -> Result<Engine, journal::Error> {
        let (capabilities, pacing) = (sink.capabilities(), sink.pacing());
        let mut sinks = vec![sink];
        let entries_max = match capabilities.ordering {
            Ordering::Global => capabilities.batch_max,
            Ordering::PerDevice { concurrency, .. } => {
                while sinks.len() < concurrency
                    && let Some(another) = sinks[0].another()
                {
                    sinks.push(another);
                }
                READY_MAX
            }
        };
        Ok(Engine {
            start: settings.start,
            when_digest: settings.when.as_ref().map(all_filtered::digest),
            capabilities,
            wants_coverage: settings.kinds.contains(&EventKind::Coverage),
            sinks,
            under_way: FuturesUnordered::new(),
            report,
            log: SinkLog {
                sink: Arc::clone(&settings.name),
                reader: journal.log.reader().await?,
                journal,
                decode,
                dead_letters: BTreeSet::new(),
                pacing,
                entries_max,
            },
            scheduler: Scheduler::new(capabilities, settings.retry.clone()),
            progress: Progress::default(),
            prefetch: Prefetch::default(),
            redrive: Redrive::default(),
            unreadable_bytes: 0,
            gathers_until: Instant::now(),
            idle_at: Instant::now(),
        })
    }

    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<(), journal::Error> {
        let worked = self.work(stop).await;
        self.report.turns_by(None);
        let finished = match worked {
            Ok(()) => self.finish().await,
            failed => failed,
        };
        for sink in &mut self.sinks {
            sink.close().await;
        }
        finished
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<(), journal::Error> {
        let (mut head, mut commands) = (
            self.log.journal.log.head(),
            self.log.journal.cursors.commands(),
        );
        self.resume().await?;
        while !stop.is_cancelled() {
            self.report.turns_by(Some(Instant::now()));
            self.look_at_dlq();
            let now = Instant::now();
            self.report.tell_due(now);
            let action = self.scheduler.next(now);
            if self.capabilities.rate.is_some() {
                self.report.rate(self.scheduler.rate(now), now);
            }
            if action.is_some() {
                let current = stop.run_until_cancelled(rotation::until_lately_current());
                // This sink may end over it: what it was about to send stays in the journal.
                if current.await.is_none() || stop.is_cancelled() {
                    return Ok(());
                }
            }
            match action {
                Some(Action::Attempt(attempt)) => {
                    self.begin(attempt);
                    continue;
                }
                Some(Action::Open) => {
                    // A history may have years of rows to migrate.
                    self.report.turns_by(None);
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        opened = self.open() => opened?,
                    }
                    continue;
                }
                None => self.report.waiting(self.scheduler.waiting()),
            }
            if commands.has_changed().unwrap_or(false) {
                commands.mark_unchanged();
                self.redrive.look();
            }
            let newest = *head.borrow();
            if self.may_redrive() {
                self.read_again().await?;
            } else if self.may_read() && !self.gathers() && newest > self.progress.through {
                self.read_log(newest).await?;
            } else {
                match self.wait(&mut head, &mut commands, stop).await? {
                    Wake::Stop => return Ok(()),
                    Wake::Ended(ended) => self.ended(ended).await?,
                    Wake::Command => self.redrive.look(),
                    Wake::Retry => self.retry_now(),
                    Wake::Idle => tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = self.idle() => {}
                    },
                    Wake::Due => {}
                }
            }
        }
        Ok(())
    }

    /// Waits for the attempts in flight; begins none but those of [`Engine::deliver_last`].
    async fn finish(&mut self) -> Result<(), journal::Error> {
        let deadline = Instant::now() + UNDER_WAY_STOP;
        while let Ok(Some(ended)) = timeout_at(deadline, self.under_way.next()).await {
            self.ended(ended).await?;
        }
        if let Ok(delivered) = timeout_at(deadline, self.deliver_last()).await {
            delivered?;
        }
        self.report.waiting(0);
        self.report.tell_rest();
        Ok(())
    }

    /// Waits for the attempts in flight, however long they take.
    pub(super) async fn finish_attempts(&mut self) -> Result<(), journal::Error> {
        while let Some(ended) = self.under_way.next().await {
            self.ended(ended).await?;
        }
        Ok(())
    }

    /// Waits. Where a batch is with the sink, or the next one gathers, what comes is read
    /// meanwhile.
    async fn wait(
        &mut self,
        head: &mut watch::Receiver<Position>,
        commands: &mut watch::Receiver<u64>,
        stop: &CancellationToken,
    ) -> Result<Wake, journal::Error> {
        let may_read = self.may_read();
        let gathers = may_read && self.gathers();
        let gathers_until = self.gathers_until;
        let is_busy = !self.under_way.is_empty();
        let reads_ahead = gathers || is_busy && self.capabilities.ordering == Ordering::Global;
        let dues = [self.scheduler.due(), self.report.due()].into_iter();
        let (due, through) = (dues.flatten().min(), self.progress.through);
        let is_idle = !is_busy && self.scheduler.is_empty();
        let idle_at = self.idle_at;
        let wakes_at = match (is_idle, is_busy) {
            (true, _) => Some(due.map_or(idle_at, |due| due.min(idle_at))),
            (false, false) => due,
            // An attempt has a deadline of its own, and the sink knows it.
            (false, true) => None,
        };
        self.report.turns_by(wakes_at);
        let under_way = &mut self.under_way;
        let (done, full) = (CancellationToken::new(), CancellationToken::new());
        let health = self.report.health();
        // It makes no attempt where nothing is under way.
        let idle_sink = self.sinks.last_mut().filter(|_| is_idle);
        let may_be_lost = async {
            idle_sink?.may_be_lost().await;
            Some(())
        };
        let waking = async {
            let wake = tokio::select! {
                () = stop.cancelled() => Wake::Stop,
                Some(ended) = under_way.next() => Wake::Ended(ended),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Wake::Due,
                () = health.retry_asked() => Wake::Retry,
                // Both senders live as long as the journal.
                _ = commands.changed() => Wake::Command,
                _ = head.wait_for(|head| *head > through), if may_read && !gathers => Wake::Due,
                () = sleep_until(gathers_until), if gathers => Wake::Due,
                () = full.cancelled(), if gathers => Wake::Due,
                () = sleep_until(idle_at), if is_idle => Wake::Idle,
                Some(()) = may_be_lost => Wake::Idle,
            };
            done.cancel();
            wake
        };
        if !reads_ahead {
            return Ok(waking.await);
        }
        let filling = async {
            let read = self.prefetch.fill(through, &done, &mut self.log).await;
            full.cancel();
            read
        };
        let (wake, read) = tokio::join!(waking, filling);
        read?;
        Ok(wake)
    }

    /// The sink that makes no attempt now.
    pub(super) fn sink(&mut self) -> &mut dyn Sink {
        &mut **self
            .sinks
            .last_mut()
            .expect("a sink makes no attempt while it is opened or idle")
    }

    /// Waits no longer for the next attempt. Where none waits, a probe says whether it is up.
    fn retry_now(&mut self) {
        self.report.retries();
        self.scheduler.retry_now(Instant::now());
        if let Some(sink) = self.sinks.last() {
            sink.retry_now();
        }
        self.idle_at = Instant::now();
    }

    /// There is nothing to deliver: does the other side answer?
    pub(super) async fn idle(&mut self) {
        let idle = self.sink().idle().await;
        let warning = self.sink().warning();
        self.report.health().warns(warning);
        let now = Instant::now();
        self.idle_at = now + self.capabilities.idle_interval;
        match idle {
            Ok(()) => {
                self.scheduler.probed();
                self.report.up("sink is up");
            }
            Err(trouble) => {
                let trouble = trouble.redacted();
                let news = self.scheduler.lost(trouble, now, fastrand::f64());
                self.report.news(&news, true);
            }
        }
    }

    /// Each attempt may end with a dead letter: where there is no room for them, the log waits, and
    /// what an operator wants delivered again goes on, since it makes room.
    fn look_at_dlq(&mut self) {
        let (events, bytes_max) = self.scheduler.dead_letters_next();
        let SinkLog { sink, journal, .. } = &self.log;
        let bytes_max = bytes_max.max(self.unreadable_bytes);
        let has_room = journal.cursors.has_dlq_room(sink, events, bytes_max);
        if !has_room && self.scheduler.is_quiet() {
            self.report.dlq_full();
        } else if has_room && self.report.dlq_has_room() {
            // Where nothing waits, a probe says that the sink is up.
            self.idle_at = Instant::now();
        }
        let released = (!has_room)
            .then(|| journal.cursors.dead_letters(sink))
            .and_then(|dead_letters| self.progress.holds_all(dead_letters));
        self.scheduler.hold_log(!has_room, released);
    }

    /// Whether what comes next in the log may be read.
    pub(super) fn may_read(&self) -> bool {
        self.scheduler.is_open()
            && !self.scheduler.is_log_held()
            && match self.capabilities.ordering {
                Ordering::Global => self.progress.ahead() == 0,
                Ordering::PerDevice { .. } => self.has_room() && !self.is_held(),
            }
    }

    /// Whether what comes in the log waits for more to go with it.
    fn gathers(&self) -> bool {
        Instant::now() < self.gathers_until && !self.prefetch.is_full(self.log.entries_max)
    }

    /// Whether redrives and replays may be read.
    fn may_redrive(&self) -> bool {
        self.scheduler.is_open() && self.redrive.is_wanted()
    }

    fn has_room(&self) -> bool {
        self.scheduler.ready() < READY_MAX && self.scheduler.bytes() < AHEAD_BYTES_MAX
    }

    /// One event holds the cursor, and too much is ahead of it.
    fn is_held(&self) -> bool {
        self.progress.ahead() >= AHEAD_ENTRIES_MAX
    }

    /// Takes on what comes next in the log. What cannot be read is dead-lettered before anything
    /// moves.
    pub(super) async fn read_log(&mut self, newest: Position) -> Result<(), journal::Error> {
        let after = self.progress.through;
        let chunk = self.prefetch.take(after, newest, &mut self.log);
        let Chunk {
            mut entries,
            mut through,
            ..
        } = chunk.await?;
        if let Some(refused) = self.dead_letter_unreadable(&entries).await? {
            entries.retain(|(position, _)| *position < refused);
            through = Position(refused.0 - 1);
            self.prefetch.discard();
            let unreadable = self.log.reader.entry(refused).await?;
            self.unreadable_bytes = unreadable.map_or(0, |entry| entry.body.len());
        } else {
            self.unreadable_bytes = 0;
        }
        if self.report.read(&entries)
            && let Some(digest) = self.when_digest
        {
            let cursors = &self.log.journal.cursors;
            cursors.judged(&self.log.sink, &digest).await?;
        }
        let events = self.progress.read(entries, through);
        if !events.is_empty() {
            let now = Instant::now();
            self.scheduler.push(Reason::Log, events, Some(through), now);
        }
        self.advance();
        if self.is_held() {
            self.report.held(self.progress.ahead());
        }
        Ok(())
    }

    /// Dead-letters events that cannot be decoded. Gives the first for which the sink's dead
    /// letters have no room: the log goes on with it once they have.
    async fn dead_letter_unreadable(
        &mut self,
        entries: &[(Position, Decoded)],
    ) -> Result<Option<Position>, journal::Error> {
        let unreadable = entries
            .iter()
            .filter_map(|(position, decoded)| match decoded {
                Decoded::Unreadable(reason) => Some((*position, reason)),
                _ => None,
            });
        // The journal answers once its disk has room.
        self.report.turns_by(None);
        let SinkLog { sink, journal, .. } = &self.log;
        let listing = unreadable
            .clone()
            .map(|(position, reason)| journal.cursors.dead_letter_if_room(sink, position, reason));
        let listed = try_join_all(listing).await?;
        let mut refused = None;
        for ((position, reason), listed) in unreadable.zip(listed) {
            if !listed {
                refused.get_or_insert(position);
            } else if refused.is_none() {
                self.report.dead_lettered(position, reason);
            } else {
                // It is read again, and known by then.
                self.log.dead_letters.insert(position);
            }
        }
        Ok(refused)
    }

    /// Takes on what an operator wants delivered again.
    async fn read_again(&mut self) -> Result<(), journal::Error> {
        let cursor = self.progress.cursor;
        let again = self.redrive.read(&mut self.log, cursor, &mut self.report);
        for (reason, events) in again.await? {
            self.scheduler.push(reason, events, None, Instant::now());
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, attempt: Box<Attempt>) {
        if faults::makes(Mutation::CursorBeforeDelivery)
            && let Some(through) = attempt.through().filter(|to| *to > self.progress.cursor)
        {
            let passed = Passed {
                delivered: (through.0 - self.progress.cursor.0).unsigned_abs(),
                ..Passed::default()
            };
            self.log
                .journal
                .cursors
                .pass(&self.log.sink, through, passed);
            self.progress.cursor = through;
        }
        let mut sink = self
            .sinks
            .pop()
            .expect("there are as many sinks as attempts at once");
        let (journal, cursor) = (self.log.journal.log.uuid(), self.progress.cursor);
        let saved =
            faults::makes(Mutation::CursorBeforeDelivery).then(|| self.log.journal.cursors.clone());
        self.under_way.push(Box::pin(async move {
            if let Some(cursors) = saved {
                // What a save at this moment would write.
                let _ = cursors.save().await;
            }
            faults::reach(Failpoint::BeforeDeliver);
            let outcome = sink.attempt(attempt.batch(journal, cursor)).await;
            let outcome = outcome.map_err(|undelivered| Undelivered {
                trouble: undelivered.trouble.redacted(),
                ..undelivered
            });
            Box::new(Ended {
                sink,
                attempt,
                outcome,
            })
        }));
    }

    /// An attempt has ended: updates the accounting, the cursor and the log.
    async fn ended(&mut self, ended: Box<Ended>) -> Result<(), journal::Error> {
        let Ended {
            mut sink,
            attempt,
            outcome,
        } = *ended;
        self.prove(&attempt, &outcome, sink.answer());
        self.report.health().warns(sink.warning());
        self.sinks.push(sink);
        self.gathers_until = attempt.began + self.capabilities.attempt_interval;
        self.idle_at = Instant::now() + self.capabilities.idle_interval;
        if outcome.is_ok() {
            faults::reach(Failpoint::AfterDeliver);
            let through = attempt.through().unwrap_or_default();
            self.progress.confirmed = self.progress.confirmed.max(through);
        }
        if attempt.reason == Reason::Log {
            self.report.confirmed(attempt.confirmed(&outcome));
        }
        let outcome = outcome.map_err(|undelivered| mutated(undelivered, attempt.count));
        let finished = self
            .scheduler
            .finished(*attempt, outcome, Instant::now(), fastrand::f64());
        self.settle(&finished).await?;
        self.advance();
        if let Some(news) = &finished.news {
            self.report.news(news, self.scheduler.is_stuck());
        }
        Ok(())
    }

    /// Keeps what was confirmed.
    fn prove(&self, attempt: &Attempt, outcome: &Result<(), Undelivered>, answer: Option<String>) {
        let confirmed = match outcome {
            Ok(()) => attempt.count,
            Err(undelivered) => undelivered.confirmed.min(attempt.count),
        };
        let positions = attempt.waiting().iter().take(confirmed);
        let positions: Vec<Position> = positions.map(Event::position).collect();
        let (Some(from), Some(to)) = (positions.first(), positions.last()) else {
            return;
        };
        let is_run = (to.0 - from.0).unsigned_abs() + 1 == positions.len() as u64;
        self.log.journal.cursors.prove(DeliveryProof {
            sink: Arc::clone(&self.log.sink),
            from: *from,
            to: *to,
            positions: (!is_run).then_some(positions),
            confirmed_at: Timestamp::now(),
            attempts: attempt.failures.count.saturating_add(1),
            answer: answer.unwrap_or_default(),
        });
    }

    async fn settle(&mut self, finished: &Finished) -> Result<(), journal::Error> {
        // The journal answers once its disk has room.
        self.report.turns_by(None);
        if let Some((position, error)) = &finished.rejected {
            let cursors = &self.log.journal.cursors;
            let is_listed = match finished.reason {
                Reason::Log | Reason::Redrive => true,
                Reason::Replay => {
                    let sink = &self.log.sink;
                    cursors.replay_rejected(sink, *position, error).await?
                }
            };
            match is_listed {
                true => self.report.dead_lettered(*position, error),
                false => self.report.unlisted(*position, error),
            }
        }
        if finished.reason != Reason::Log {
            self.report.redelivered(finished.delivered.len());
            let SinkLog { sink, journal, .. } = &self.log;
            return self.redrive.settle(finished, sink, journal).await;
        }
        self.progress
            .settle(&finished.delivered, Outcome::Delivered);
        if let Some((position, error)) = &finished.rejected {
            if !faults::makes(Mutation::ForgetDeadLetter) {
                self.log
                    .journal
                    .cursors
                    .dead_letter(&self.log.sink, *position, error)
                    .await?;
            }
            self.progress.settle(&[*position], Outcome::DeadLetter);
        }
        Ok(())
    }

    /// Moves the cursor over the done entries up to the first hole.
    pub(super) fn advance(&mut self) {
        if let Some(passed) = self.progress.advance() {
            let cursor = self.progress.cursor;
            self.log
                .journal
                .cursors
                .pass(&self.log.sink, cursor, passed);
            self.redrive.passed(cursor);
            self.report.passed(cursor, passed);
        }
    }
}

/// What a test wants to be found.
fn mutated(undelivered: Undelivered, count: usize) -> Undelivered {
    let left = count - undelivered.confirmed.min(count);
    let taken_for_delivered = match &undelivered.trouble {
        Trouble::Retry { .. } | Trouble::Unclear { .. } => {
            if faults::makes(Mutation::DropBatchOnReconnect) {
                left
            } else if faults::makes(Mutation::SkipAfterRetry) {
                left.min(1)
            } else {
                0
            }
        }
        Trouble::Refused { index: None, .. } if faults::makes(Mutation::LoseBisectHalf) => left / 2,
        Trouble::Refused { .. } | Trouble::Disabled { .. } => 0,
    };
    Undelivered {
        confirmed: undelivered.confirmed + taken_for_delivered,
        ..undelivered
    }
}
