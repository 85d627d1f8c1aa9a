//! The task of one sink: it makes the attempts that the [`Scheduler`] decides on, and reports their
//! outcomes to it.
//!
//! The cursor stays before the first event that is neither confirmed nor dead-lettered. Events
//! confirmed beyond it, events in flight, and those that it has passed in the last second, are
//! redelivered after a crash with the same event ids. At most [`AHEAD_ENTRIES_MAX`] entries are
//! ahead of the cursor; then the sink waits for the device that holds it.

mod attempts;
mod reading;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use attempts::Ended;
use reading::READY_MAX;

use super::all_filtered;
use super::decode::{Decode, decode_for};
use super::metrics::Counters;
use super::prefetch::{Prefetch, SinkLog};
use super::progress::{Outcome, Progress};
use super::redrive::Redrive;
use super::report::Report;
use super::scheduler::{Action, Finished, Scheduler};
use super::settings::Settings;
use super::statuses::Statuses;
use crate::faults::{self, Mutation};
use crate::journal::{self, Journal, Start};
use crate::model::{EventKind, Position};
use crate::rotation;
use crate::sinks::{Capabilities, Health, Ordering, Reason, Sink};

/// Entries ahead of the cursor, one of which holds it: what may come twice after a crash. Enough
/// for a device that fails while some hundred others report every few minutes; neighbours that are
/// filtered count as one.
pub(super) const AHEAD_ENTRIES_MAX: usize = 10_000;

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
        // It makes no attempt where nothing is in flight.
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

    /// When the sink is to be called idle, where nothing is to be delivered until then.
    pub(super) fn next_idle(&mut self) -> Instant {
        let wait = match self.sink().goes_on() {
            true => Duration::ZERO,
            false => self.capabilities.idle_interval,
        };
        Instant::now() + wait
    }

    /// There is nothing to deliver: does the other side answer?
    pub(super) async fn idle(&mut self) {
        let idle = self.sink().idle().await;
        let warning = self.sink().warning();
        self.report.health().warns(warning);
        let now = Instant::now();
        match idle {
            Ok(()) => {
                self.idle_at = self.next_idle();
                self.scheduler.probed();
                self.report.up("sink is up");
            }
            Err(trouble) => {
                self.idle_at = now + self.capabilities.idle_interval;
                let trouble = trouble.redacted();
                let news = self.scheduler.lost(trouble, now, fastrand::f64());
                self.report.news(&news, true);
            }
        }
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
