//! What a delivery says of its sink, and counts: in the log, in the health and in the metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::all_filtered::{AllFiltered, Judged};
use super::dead_letter_log::{DeadLetterLog, More};
use super::decode::Decoded;
use super::metrics::Counters;
use super::scheduler::News;
use super::trouble_log::TroubleLog;
use crate::journal::Passed;
use crate::model::{Event, Position};
use crate::retry::end_of;
use crate::sinks::Health;

/// A turn that waits for nobody ends within this time, or what it reads hangs. A disk that takes
/// minutes is no hanging of ours.
const TURN_MAX: Duration = Duration::from_secs(300);

/// Speaks for one sink.
pub(super) struct Report {
    sink: Arc<str>,
    health: Health,
    counters: Arc<Counters>,
    /// The cursor.
    position: Position,
    /// It has been said that the sink is up, and nothing since.
    up: bool,
    trouble: TroubleLog,
    dead_letters: DeadLetterLog,
    lane: TroubleLog,
    held: TroubleLog,
    unlisted: TroubleLog,
    /// The log says already that the dead letters have no room.
    dlq_full: bool,
    all_filtered: AllFiltered,
}

impl Report {
    pub(super) fn new(sink: Arc<str>, health: Health, counters: Arc<Counters>) -> Report {
        Report {
            sink,
            health,
            counters,
            position: Position::START,
            up: false,
            trouble: TroubleLog::default(),
            dead_letters: DeadLetterLog::default(),
            lane: TroubleLog::default(),
            held: TroubleLog::default(),
            unlisted: TroubleLog::default(),
            dlq_full: false,
            all_filtered: AllFiltered::default(),
        }
    }

    /// The sink has a `when` of which nothing is known yet.
    pub(super) fn with_when(self) -> Report {
        Report {
            all_filtered: AllFiltered::of_when(),
            ..self
        }
    }

    /// The cursor is here, or somewhere else than where it was to go on.
    pub(super) fn at(&mut self, cursor: Position) {
        self.position = cursor;
        self.counters.position.store(cursor.0, Ordering::Relaxed);
    }

    pub(super) fn passed(&mut self, cursor: Position, passed: Passed) {
        self.at(cursor);
        self.counters.add(passed);
    }

    /// The log was read on. True once, where it is known from then on what `when` makes of
    /// statuses.
    pub(super) fn read(&mut self, entries: &[(Position, Decoded)]) -> bool {
        let judged = self.all_filtered.read(entries);
        if judged == Some(Judged::HeldForNone) {
            warn!(
                sink = %self.sink,
                "all filtered: `when` has held for none of the first 1,000 statuses that it judged \
                 since the start, or since it was changed; see by `stomp-bridge config route` \
                 what it makes of a message"
            );
        }
        judged.is_some()
    }

    /// How many attempts wait.
    pub(super) fn waiting(&self, attempts: usize) {
        let attempts = attempts as u64;
        self.counters
            .lanes_waiting
            .store(attempts, Ordering::Relaxed);
    }

    /// These events of the log were confirmed.
    pub(super) fn confirmed(&self, events: &[Event]) {
        let now = Timestamp::now();
        for event in events {
            let latency = &self.counters.confirmed;
            latency.observe_between(event.received_at(), now, 1);
        }
    }

    /// The loop turns, and again soon after this time; `None`: nobody knows when.
    pub(super) fn turns_by(&self, at: Option<Instant>) {
        match at {
            Some(at) => self.counters.next_turn.by(at.into_std() + TURN_MAX),
            None => self.counters.next_turn.whenever(),
        }
    }

    pub(super) fn redelivered(&self, events: usize) {
        let events = events as u64;
        self.counters.again.fetch_add(events, Ordering::Relaxed);
    }

    /// The other side answers: the sink is up, unless its dead letters have no room.
    pub(super) fn up(&mut self, message: &str) {
        if self.dlq_full {
            return;
        }
        self.health.up();
        if !std::mem::replace(&mut self.up, true) {
            info!(sink = %self.sink, position = self.position.0, "{message}");
        }
    }

    /// The sink does not deliver, and why.
    pub(super) fn down(&mut self, error: &str) {
        self.health.in_trouble(error);
        self.up = false;
    }

    /// The sink waits until something is done, or for long, and why.
    fn paused(&mut self, error: &str) {
        self.health.paused(error);
        self.up = false;
    }

    /// The next attempt comes after this time.
    fn waits(&self, wait: Duration) {
        self.health.waits_until(end_of(wait, Timestamp::now()));
    }

    /// Before when the rate allows no attempt, where that is not over, and whether one waits for
    /// that.
    pub(super) fn rate(&self, rate: Option<(Instant, bool)>, now: Instant) {
        let end = |wait| end_of(wait, Timestamp::now());
        let at = rate.and_then(|(at, _)| end(at.saturating_duration_since(now)));
        let waits = rate.is_some_and(|(_, waits)| waits);
        self.health.rate_allows_at(at, waits);
    }

    /// Where an operator asks for the next attempt.
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// An operator wants the next attempt at once.
    pub(super) fn retries(&self) {
        info!(sink = %self.sink, position = self.position.0, "sink retry: an attempt at once, as an operator asks");
        self.health.waits_until(None);
    }

    /// `is_stuck`: as far as is known the sink takes nothing.
    pub(super) fn news(&mut self, news: &News, is_stuck: bool) {
        if !matches!(news, News::Up | News::Disabled { .. }) {
            self.counters.retries.fetch_add(1, Ordering::Relaxed);
        }
        let (sink, position, now) = (&self.sink, self.position, Instant::now());
        match news {
            News::Up => {
                self.trouble.over();
                self.up("sink is up again");
            }
            News::LaneWaits {
                device,
                error,
                wait,
            } => {
                if self.lane.should_log(error, now) {
                    warn!(
                        %sink, %device, error, retry_in_ms = wait.as_millis() as u64,
                        "an event of one device waits; the other devices' go on"
                    );
                }
                if is_stuck {
                    self.down(error);
                    self.waits(*wait);
                }
            }
            News::SinkWaits { error, wait } => {
                if self.trouble.should_log(error, now) {
                    warn!(
                        %sink, error, retry_in_ms = wait.as_millis() as u64, position = position.0,
                        "delivery waits for the sink; the journal keeps its entries: check that it is up and accepts connections"
                    );
                }
                self.down(error);
                self.waits(*wait);
            }
            News::BreakerOpen { error, wait } => {
                if self.trouble.should_log("rejected", now) {
                    error!(
                        %sink, error, retry_in_ms = wait.as_millis() as u64, position = position.0,
                        "rejection rate above 20 %: circuit breaker open, so no more is dead-lettered than one event at \
                         a time; the journal keeps the rest: correct what the sink rejects, then `dlq redrive`"
                    );
                }
                self.paused(error);
                self.waits(*wait);
            }
            News::Disabled { error } => {
                error!(
                    %sink, error, position = position.0,
                    "the sink is disabled; the journal keeps its entries: correct or remove the sink, then \
                     reload; where only its receiver was mended, run `stomp-bridge sinks retry {sink}`"
                );
                self.health.disabled(error);
                self.up = false;
            }
        }
    }

    pub(super) fn dead_lettered(&mut self, position: Position, error: &str) {
        let (sink, now) = (&self.sink, Instant::now());
        self.health.dead_lettered(error);
        if self.dead_letters.should_name(position, error, now) {
            warn!(%sink, position = position.0, error, "event dead-lettered for this sink alone; the others get it");
        }
    }

    /// A replay has brought what the sink rejects, and its dead letters have no room for it.
    pub(super) fn unlisted(&mut self, position: Position, error: &str) {
        if self.unlisted.should_log(error, Instant::now()) {
            warn!(
                sink = %self.sink, position = position.0, error,
                "event rejected in a replay, and listed nowhere: the dead letters have no room; redrive or \
                 drop some, then replay it again"
            );
        }
    }

    /// When the dead letters are said that no line was about yet.
    pub(super) fn due(&self) -> Option<Instant> {
        self.dead_letters.due()
    }

    /// Says how many dead letters there were of which no line was, once that is due.
    pub(super) fn tell_due(&mut self, now: Instant) {
        if let Some(more) = self.dead_letters.take_due(now) {
            self.tell_dead_letters(&more);
        }
    }

    /// The sink ends: what was counted is said.
    pub(super) fn tell_rest(&mut self) {
        if let Some(more) = self.dead_letters.take() {
            self.tell_dead_letters(&more);
        }
    }

    fn tell_dead_letters(&self, more: &More) {
        warn!(
            sink = %self.sink, events = more.events, last = more.position.0, error = more.error,
            "more events dead-lettered for this sink alone; the error is the last one's: \
             `stomp-bridge dlq list` has all"
        );
    }

    /// There is no room for another dead letter.
    pub(super) fn dlq_full(&mut self) {
        if std::mem::replace(&mut self.dlq_full, true) {
            return;
        }
        error!(
            sink = %self.sink, position = self.position.0,
            "dead letters full: the sink stops, and the journal keeps its entries; run \
             `stomp-bridge dlq redrive` or `dlq drop`, or raise journal.dlq_max_bytes"
        );
        self.paused(
            "its dead letters have reached journal.dlq_max_bytes: redrive or drop some by \
             `stomp-bridge dlq`",
        );
    }

    /// There is room; whether the sink is up is said by the next proof. True where there was none.
    pub(super) fn dlq_has_room(&mut self) -> bool {
        let was_full = std::mem::take(&mut self.dlq_full);
        if was_full {
            self.health.trouble_is_over();
            info!(sink = %self.sink, "dead letters have room again: the sink goes on");
        }
        was_full
    }

    /// As much is ahead of the cursor as may be.
    pub(super) fn held(&mut self, ahead: usize) {
        let (sink, position) = (&self.sink, self.position);
        if self.held.should_log("", Instant::now()) {
            warn!(
                %sink, position = position.0, ahead,
                "one device holds the cursor and no more may be ahead of it: the sink waits for that device"
            );
        }
    }
}
