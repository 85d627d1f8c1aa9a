//! Decides what a sink is given next, and what a failure means. It takes the time and returns
//! actions; it owns no clock, no task and no socket.
//!
//! With one order for all devices ([`Ordering::Global`]), attempts follow each other, and redrives
//! and replays take turns with the log's events. With an order for each device
//! ([`Ordering::PerDevice`]), each device is a lane, and a lane whose event fails waits alone.
//!
//! A failure is the sink's trouble if the other side says so: it refuses the connection, or answers
//! 401, 404, 429 or 503. Then the sink pauses. Another failure (a timeout, HTTP 500) is the lane's,
//! unless [`FAILING_LANES`] lanes fail with nothing delivered between. Without lanes it is the
//! sink's. A paused sink without lanes is opened again before its next attempt. A paused sink with
//! lanes makes one attempt at a time when the backoff says so, each time of another lane first.
//! Once in each [`PROBE_INTERVAL`] it tries a lane that was not tried yet, unless the other side
//! has named a time. Failures during a pause do not count against the events.
//!
//! A lane that has failed while the sink took nothing is tried at once when the sink takes an event
//! again: it waits no longer for its own turn.
//!
//! A sink with a rate gets no attempt that would exceed it: whatever the attempt is, it waits for a
//! token of [`super::bucket`], and more events may go with it meanwhile.
//!
//! An event that has failed for `retry.give_up`, while the sink took others, is dead-lettered.
//! Bisection finds the rejected events of a batch, and those that fail a second time.
//! [`super::circuit_breaker`] handles a sink that rejects too much.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Attempt, Device, Failures};
use super::bucket::Bucket;
use super::circuit_breaker::{CircuitBreaker, Decision};
use super::lanes::Lanes;
use crate::model::{Event, Position};
use crate::retry::{Backoff, Retry};
use crate::sinks::{By, Capabilities, Ordering, Reason, Trouble, Undelivered};

/// This many lanes that fail one after the other, with nothing delivered between, are the sink's
/// trouble.
const FAILING_LANES: usize = 3;

/// While the sink pauses an event that was not tried yet is, no more often than this.
const PROBE_INTERVAL: Duration = Duration::from_secs(60);

/// The upper bound of a wait that the other side asked for.
const ASKED_MAX: Duration = Duration::from_secs(24 * 3600);

/// Failed attempts at an event that an operator wants delivered again, before it is listed again:
/// nobody waits a day for that.
const REDRIVE_ATTEMPTS_MAX: u32 = 3;

/// Events of the next attempt, in the log's order, once the other side has rejected one. If one in
/// a hundred is rejected, a sink that does not name it would else get thousands of events for each
/// search. An attempt that fails otherwise halves the next, down to this; each that goes well
/// allows twice as many.
const CAREFUL_EVENTS: usize = 64;

/// Decides for one sink.
pub(super) struct Scheduler {
    capabilities: Capabilities,
    retry: Retry,
    link: Link,
    lanes: Lanes,
    /// Attempts that wait to be made, by when that is and who came first.
    waiting: BTreeMap<(Instant, u64), Attempt>,
    /// Makes the keys of `waiting` unique.
    number: u64,
    under_way: usize,
    bytes: usize,
    /// Of the largest payload so far.
    largest: usize,
    /// The log's events, and replays in lanes, wait: there is no room for dead letters.
    log_held: bool,
    /// While they wait, this event may go alone: it holds the cursor.
    released: Option<Position>,
    /// See [`CAREFUL_EVENTS`].
    attempt_max: usize,
    /// Devices that have failed since anything was delivered.
    failing: HashSet<Device>,
    /// Some attempt waits by a failure that may be the sink's.
    doubtful: bool,
    pause: Option<Pause>,
    /// Of pauses by trouble.
    backoff: Backoff,
    /// An attempt has failed since the last that went well: that the sink accepts connections
    /// proves nothing.
    unproven: bool,
    /// Counts what the sink has taken.
    proofs: u64,
    /// Counts the pauses.
    pauses: u64,
    breaker: CircuitBreaker,
    /// How many attempts may be made now.
    bucket: Bucket,
}

/// Whether attempts may be made at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// The sink is to be opened first.
    Closed,
    Open,
    /// The sink wants nothing more.
    Disabled,
}

/// The sink is left alone.
#[derive(Debug)]
struct Pause {
    until: Instant,
    /// Then an event that was not tried yet may be; `None`: the other side has named a time.
    fresh: Option<Instant>,
}

/// An action to be done now.
#[derive(Debug)]
pub(super) enum Action {
    /// Open the sink; [`Scheduler::opened`] or [`Scheduler::not_opened`] is to follow.
    Open,
    /// Make this attempt; [`Scheduler::finished`] is to follow.
    Attempt(Box<Attempt>),
}

/// How an attempt ends.
#[derive(Debug, Clone, Copy)]
struct End {
    now: Instant,
    /// The sink paused while this attempt was in flight: its failure says nothing new.
    known: bool,
    /// The order of attempts that are retried at once: attempts in flight when a pause began come
    /// before the one that caused it.
    turn: Instant,
    /// From 0 to 1.
    random: f64,
}

/// What an attempt has led to.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) reason: Reason,
    pub(super) delivered: Vec<Position>,
    /// To be dead-lettered, and why.
    pub(super) rejected: Option<(Position, String)>,
    pub(super) news: Option<News>,
}

/// A fact worth a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// The sink takes events.
    Up,
    /// One lane waits; the others get on.
    LaneWaits {
        device: Device,
        error: String,
        wait: Duration,
    },
    /// All events wait.
    SinkWaits { error: String, wait: Duration },
    /// The sink rejects too much.
    BreakerOpen { error: String, wait: Duration },
    /// The sink wants nothing more.
    Disabled { error: String },
}

impl Scheduler {
    pub(super) fn new(capabilities: Capabilities, retry: Retry) -> Scheduler {
        Scheduler {
            backoff: retry.backoff(),
            bucket: Bucket::new(capabilities.rate),
            capabilities,
            retry,
            link: Link::Closed,
            lanes: Lanes::default(),
            waiting: BTreeMap::new(),
            number: 0,
            under_way: 0,
            bytes: 0,
            largest: 0,
            log_held: false,
            released: None,
            attempt_max: usize::MAX,
            failing: HashSet::new(),
            doubtful: false,
            pause: None,
            unproven: false,
            proofs: 0,
            pauses: 0,
            breaker: CircuitBreaker::default(),
        }
    }

    /// More events, behind those that are there already. `through` is where the cursor stands once
    /// all of them are settled; `None`: they do not move it.
    pub(super) fn push(
        &mut self,
        reason: Reason,
        events: Vec<Event>,
        through: Option<Position>,
        now: Instant,
    ) {
        if self.bytes == 0 {
            self.largest = 0;
        }
        self.bytes += bytes(&events);
        let sizes = events
            .iter()
            .map(|event| bytes(std::slice::from_ref(event)));
        self.largest = self.largest.max(sizes.max().unwrap_or(0));
        match self.capabilities.ordering {
            Ordering::Global => {
                let attempt = Attempt::new(reason, events, through, Vec::new(), &self.retry, now);
                self.go_on(attempt, now, now);
            }
            // Old by itself: it waits for no lane, and so not for the log's events in one.
            Ordering::PerDevice { .. } if reason == Reason::Redrive => {
                for event in events {
                    let alone = vec![event];
                    let attempt = Attempt::new(reason, alone, None, Vec::new(), &self.retry, now);
                    self.go_on(attempt, now, now);
                }
            }
            Ordering::PerDevice { .. } => {
                for event in events {
                    self.lanes.push(reason, event, now);
                }
            }
        }
    }

    /// The sink has everything of the log at or before it, though it was not given here.
    pub(super) fn drop_through(&mut self, to: Position) {
        for attempt in self.waiting.values_mut() {
            if attempt.reason == Reason::Log {
                self.bytes -= bytes(attempt.take_through(to));
            }
        }
        self.waiting.retain(|_, attempt| !attempt.is_empty());
    }

    /// Events that could go now, if the sink took them.
    pub(super) fn ready(&self) -> usize {
        self.lanes.ready()
    }

    /// Bytes of all payloads that are here.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many dead letters the attempts in flight and the next one may make, and the most payload
    /// bytes of each.
    pub(super) fn dead_letters_next(&self) -> (usize, usize) {
        ((self.under_way + 1).min(self.concurrency()), self.largest)
    }

    /// Nothing is with the sink.
    pub(super) fn is_quiet(&self) -> bool {
        self.under_way == 0
    }

    /// From now on the log's events wait, or go on.
    pub(super) fn hold_log(&mut self, held: bool, released: Option<Position>) {
        (self.log_held, self.released) = (held, released);
    }

    /// The log's events wait.
    pub(super) fn is_log_held(&self) -> bool {
        self.log_held
    }

    /// Attempts that wait to be made again.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Attempts may be made, now or once a pause has passed.
    pub(super) fn is_open(&self) -> bool {
        self.link == Link::Open
    }

    /// The sink is open, and nothing waits for it.
    pub(super) fn is_empty(&self) -> bool {
        self.is_open() && self.waiting.is_empty() && self.lanes.ready() == 0
    }

    /// As far as is known the sink takes nothing.
    pub(super) fn is_stuck(&self) -> bool {
        self.pause.is_some()
            || (!self.failing.is_empty() && self.lanes.ready() == 0 && self.under_way == 0)
    }

    /// The action to be done now, if any.
    pub(super) fn next(&mut self, now: Instant) -> Option<Action> {
        let paused = self.pause.as_ref().is_some_and(|pause| pause.until > now);
        let mut attempt = match (self.link, &self.pause) {
            (Link::Disabled, _) => None,
            (Link::Closed, _) => {
                return (self.under_way == 0 && !paused).then_some(Action::Open);
            }
            (Link::Open, _) if self.bucket.next().is_some_and(|at| at > now) => None,
            (Link::Open, None) if self.under_way >= self.concurrency() => None,
            (Link::Open, None) => self.due_attempt(now).or_else(|| self.fresh(now)),
            (Link::Open, Some(_)) if self.under_way > 0 => None,
            // Another one than before, where there is one.
            (Link::Open, Some(_)) if !paused => self.fresh(now).or_else(|| self.due_attempt(now)),
            (Link::Open, Some(Pause { fresh, .. })) => fresh
                .is_some_and(|at| at <= now)
                .then(|| self.fresh(now))
                .flatten(),
        }?;
        self.under_way += 1;
        self.bucket.take(now);
        let alone = self.log_held && attempt.reason == Reason::Log;
        attempt.count = match self.breaker.is_open() || alone {
            true => 1,
            false => attempt.size(self.attempt_max),
        };
        (attempt.began, attempt.pauses) = (now, self.pauses);
        Some(Action::Attempt(Box::new(attempt)))
    }

    /// When there is something to be done that is not to be done now; `None`: not before something
    /// else happens.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.link == Link::Disabled {
            return None;
        }
        if self.link == Link::Closed {
            return self.pause.as_ref().map(|pause| pause.until);
        }
        let due = self.due_but_for_the_rate()?;
        Some(self.bucket.next().map_or(due, |token| token.max(due)))
    }

    /// Before when the rate allows no attempt, where that is not over; and whether an attempt could
    /// be made now but for it.
    pub(super) fn rate(&self, now: Instant) -> Option<(Instant, bool)> {
        let token = self.bucket.next().filter(|token| *token > now)?;
        let due = self.is_open().then(|| self.due_but_for_the_rate());
        Some((token, due.flatten().is_some_and(|due| due <= now)))
    }

    /// When the next attempt could be made at an open sink without a rate.
    fn due_but_for_the_rate(&self) -> Option<Instant> {
        let released = self.released.and_then(|at| self.lanes.ready_at(at));
        let fresh = match self.log_held {
            true => released,
            false => self.lanes.ready_since(),
        };
        let fresh = fresh.map(|since| {
            if self.lanes.ready() >= self.capabilities.batch_max {
                since
            } else {
                since + self.batch_wait()
            }
        });
        let mut waiting = self.waiting.iter();
        let waiting = waiting
            .find(|(_, attempt)| self.may_go(attempt))
            .map(|((due, _), _)| *due);
        let (fresh, waiting) = match &self.pause {
            None if self.under_way >= self.concurrency() => return None,
            None => (fresh, waiting),
            Some(_) if self.under_way > 0 => return None,
            Some(pause) => {
                let probe = pause.fresh.map_or(pause.until, |at| at.min(pause.until));
                let fresh = fresh.map(|at| at.max(probe));
                (fresh, waiting.map(|at| at.max(pause.until)))
            }
        };
        [fresh, waiting].into_iter().flatten().min()
    }

    /// The sink is open. True where that makes it up, as far as is known.
    pub(super) fn opened(&mut self) -> bool {
        self.link = Link::Open;
        self.pause = None;
        !self.unproven
    }

    /// The other side answers, and nothing waits for it.
    pub(super) fn probed(&mut self) {
        self.backoff.reset();
        self.unproven = false;
    }

    /// The other side does not answer, while nothing waits for it. With lanes the next event may
    /// try it, and until one comes the next probe does.
    pub(super) fn lost(&mut self, trouble: Trouble, now: Instant, random: f64) -> News {
        let mut news = self.not_opened(trouble, now, random);
        match self.capabilities.ordering {
            Ordering::PerDevice { .. } => {
                self.pause = None;
                if let News::SinkWaits { wait, .. } = &mut news {
                    *wait = self.capabilities.idle_interval;
                }
            }
            Ordering::Global if self.link == Link::Open => self.link = Link::Closed,
            Ordering::Global => {}
        }
        news
    }

    /// An operator wants the next attempt now: nothing waits for a time, and a disabled sink is
    /// opened again.
    pub(super) fn retry_now(&mut self, now: Instant) {
        if self.link == Link::Disabled {
            self.link = Link::Closed;
        }
        if self.link == Link::Closed {
            self.pause = None;
        }
        if let Some(pause) = &mut self.pause {
            pause.until = pause.until.min(now);
        }
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        self.waiting = waiting
            .map(|((due, number), attempt)| ((due.min(now), number), attempt))
            .collect();
    }

    /// The sink could not be opened.
    pub(super) fn not_opened(&mut self, trouble: Trouble, now: Instant, random: f64) -> News {
        let (error, after) = match trouble {
            Trouble::Disabled { error } => return self.disabled(error),
            Trouble::Retry { error, after } => (error, after),
            Trouble::Refused { error, .. } | Trouble::Unclear { error } => (error, None),
        };
        let wait = self.wait(after, random);
        let (until, fresh) = (now + wait, None);
        self.pause = Some(Pause { until, fresh });
        News::SinkWaits { error, wait }
    }

    /// An attempt has ended. `random` is from 0 to 1.
    pub(super) fn finished(
        &mut self,
        mut attempt: Attempt,
        outcome: Result<(), Undelivered>,
        now: Instant,
        random: f64,
    ) -> Finished {
        self.under_way -= 1;
        let known = attempt.pauses < self.pauses;
        let turn = if known { attempt.began } else { now };
        let end = End {
            now,
            known,
            turn,
            random,
        };
        let mut finished = Finished {
            reason: attempt.reason,
            delivered: Vec::new(),
            rejected: None,
            news: None,
        };
        let (confirmed, trouble) = match outcome {
            Ok(()) => (attempt.count, None),
            Err(Undelivered { confirmed, trouble }) => {
                (confirmed.min(attempt.count), Some(trouble))
            }
        };
        let left = attempt.count - confirmed;
        if confirmed > 0 {
            let delivered = attempt.take(confirmed);
            self.bytes -= bytes(delivered);
            finished.delivered = delivered.iter().map(Event::position).collect();
            attempt.failures = self.no_failures(now);
            self.breaker.accepted(confirmed);
            finished.news = self.proved(known);
            self.wake(attempt.began, now);
        }
        match trouble {
            None => {
                if attempt.reason == Reason::Log {
                    self.attempt_max = self.attempt_max.saturating_mul(2);
                }
                self.go_on(attempt, now, now);
            }
            Some(Trouble::Refused { index, by, error }) => {
                let index = index.and_then(|index| index.checked_sub(confirmed));
                self.rejected(attempt, (left, index), (by, error), end, &mut finished);
            }
            Some(Trouble::Unclear { .. }) if attempt.is_empty() => self.go_on(attempt, now, now),
            Some(Trouble::Unclear { error }) => {
                self.failed(attempt, left, error, end, &mut finished)
            }
            Some(Trouble::Retry { error, after }) => {
                if self.capabilities.ordering == Ordering::Global {
                    // A slow sink may not accept this many in its time.
                    self.attempt_max = self.attempt_max.min((left / 2).max(CAREFUL_EVENTS));
                }
                self.troubled(attempt, error, after, end, &mut finished)
            }
            Some(Trouble::Disabled { error }) => {
                self.go_on(attempt, now, now);
                finished.news = Some(self.disabled(error));
            }
        }
        finished
    }

    /// One of the next `left` events was rejected permanently, where it is known the one of this
    /// index.
    fn rejected(
        &mut self,
        mut attempt: Attempt,
        (left, index): (usize, Option<usize>),
        (by, error): (By, String),
        end: End,
        finished: &mut Finished,
    ) {
        let is_known = index.is_some();
        let Some(index) = attempt.rejected(left, index) else {
            return self.go_on(attempt, end.now, end.now);
        };
        let decision = match (by, attempt.reason) {
            (By::Us, reason) => {
                let is_global = self.capabilities.ordering == Ordering::Global;
                if !is_known && reason == Reason::Log && is_global {
                    // More of them may follow, and each costs a bisection.
                    self.attempt_max = CAREFUL_EVENTS;
                }
                Decision::OF_THE_EVENT
            }
            (By::Them, Reason::Redrive | Reason::Replay) => {
                finished.news = self.proved(end.known);
                Decision::OF_THE_EVENT
            }
            // It is tried again when the sink is trusted again.
            (By::Them, Reason::Log) if end.known && self.breaker.is_open() => {
                return self.go_on(attempt, end.turn, end.now);
            }
            (By::Them, Reason::Log) => {
                let decision = self.breaker.rejected(attempt.waiting()[index].position());
                match decision.wait {
                    // The other side is well: only this event is not to its liking.
                    None => finished.news = self.proved(end.known),
                    Some(wait) => {
                        let error =
                            format!("{} events were rejected: {error}", self.breaker.ratio());
                        self.pause(wait, true, end);
                        finished.news = Some(News::BreakerOpen { error, wait });
                    }
                }
                if self.capabilities.ordering == Ordering::Global {
                    let careful = decision.wait.map_or(CAREFUL_EVENTS, |_| 1);
                    self.attempt_max = careful;
                }
                decision
            }
        };
        if decision.dead_lettered {
            self.give_up(attempt, index, error, end, finished);
        } else {
            self.go_on(attempt, end.turn, end.now);
        }
    }

    /// An attempt failed, and it may be by the event.
    fn failed(
        &mut self,
        mut attempt: Attempt,
        left: usize,
        error: String,
        end: End,
        finished: &mut Finished,
    ) {
        let now = end.now;
        if self.capabilities.ordering == Ordering::Global {
            return self.troubled(attempt, error, None, end, finished);
        }
        if end.known {
            attempt.failures.forgive();
            return self.go_on(attempt, end.turn, now);
        }
        let device = Device::of(attempt.first());
        self.failing.insert(device.clone());
        if self.failing.len() >= FAILING_LANES {
            return self.troubled(attempt, error, None, end, finished);
        }
        if let Some(Pause {
            fresh: Some(fresh), ..
        }) = &mut self.pause
        {
            *fresh = now + PROBE_INTERVAL;
        }
        if left > 1 && (attempt.is_suspected() || attempt.failures.count > 0) {
            // Not by chance, then: something in it may be the cause.
            attempt.narrow(left);
            return self.go_on(attempt, now, now);
        }
        let proven = attempt.failures.fail(now, self.proofs);
        self.doubtful = true;
        if left == 1
            && let Some(others) = attempt.split_others(&self.retry, now)
        {
            self.go_on(others, now, now);
        }
        let (failures, for_so_long) = (attempt.failures.count, attempt.failures.total());
        let is_used_up = match attempt.reason {
            Reason::Log => for_so_long >= self.retry.give_up,
            Reason::Redrive | Reason::Replay => failures >= REDRIVE_ATTEMPTS_MAX,
        };
        if left == 1 && proven && is_used_up {
            if attempt.reason == Reason::Log {
                self.breaker.rejected(attempt.first().position());
            }
            let error = format!("after {failures} attempts: {error}");
            return self.give_up(attempt, 0, error, end, finished);
        }
        let wait = attempt.failures.backoff.next(end.random);
        finished.news = Some(News::LaneWaits {
            device,
            error,
            wait,
        });
        self.go_on(attempt, now + wait, now);
    }

    /// The sink pauses, unless it does already.
    fn troubled(
        &mut self,
        mut attempt: Attempt,
        error: String,
        after: Option<Duration>,
        end: End,
        finished: &mut Finished,
    ) {
        if !end.known {
            let wait = match &self.pause {
                // One that was tried between is no turn of the backoff.
                Some(pause) if after.is_none() && pause.until > end.now => pause.until - end.now,
                _ => self.wait(after, end.random),
            };
            self.pause(wait, after.is_none(), end);
            finished.news = Some(News::SinkWaits { error, wait });
        }
        attempt.failures.forgive();
        self.go_on(attempt, end.turn, end.now);
    }

    /// The next wait of the sink, never shorter than what the other side asked for.
    fn wait(&mut self, after: Option<Duration>, random: f64) -> Duration {
        let asked = after.unwrap_or_default().min(ASKED_MAX);
        self.backoff.next(random).max(asked)
    }

    fn pause(&mut self, wait: Duration, may_probe: bool, end: End) {
        for attempt in self.waiting.values_mut() {
            attempt.failures.forgive();
        }
        self.pause = Some(Pause {
            until: end.now + wait,
            fresh: may_probe.then(|| end.now + PROBE_INTERVAL),
        });
        self.pauses += 1;
        self.doubtful = true;
        self.unproven = true;
        self.failing.clear();
        if self.capabilities.ordering == Ordering::Global {
            self.link = Link::Closed;
        }
    }

    /// The sink has accepted something. An attempt in flight when the pause began does not end the
    /// pause.
    fn proved(&mut self, known: bool) -> Option<News> {
        self.proofs += 1;
        self.failing.clear();
        if known {
            return None;
        }
        self.pause = None;
        self.backoff.reset();
        self.unproven = false;
        Some(News::Up)
    }

    /// The sink has accepted what was sent at `began`. What failed before that, and may have failed
    /// by the sink, is due now.
    fn wake(&mut self, began: Instant, now: Instant) {
        if !std::mem::take(&mut self.doubtful) {
            return;
        }
        let woken: Vec<Attempt> = self
            .waiting
            .extract_if(.., |(due, _), attempt| {
                *due > now && attempt.failures.may_be_the_sinks(began)
            })
            .map(|(_, attempt)| attempt)
            .collect();
        for attempt in woken {
            self.go_on(attempt, now, now);
        }
        let mut waiting = self.waiting.iter();
        self.doubtful =
            waiting.any(|((due, _), attempt)| *due > now && attempt.failures.may_be_the_sinks(now));
    }

    fn disabled(&mut self, error: String) -> News {
        self.link = Link::Disabled;
        News::Disabled { error }
    }

    /// The event of this index is not tried again.
    fn give_up(
        &mut self,
        mut attempt: Attempt,
        index: usize,
        error: String,
        end: End,
        finished: &mut Finished,
    ) {
        let event = attempt.give_up(index);
        self.bytes -= bytes(std::slice::from_ref(&event));
        finished.rejected = Some((event.position(), error));
        attempt.failures = self.no_failures(end.now);
        self.go_on(attempt, end.now, end.now);
    }

    /// The attempt's next turn is at `due`; where it is done, its lanes go on.
    fn go_on(&mut self, attempt: Attempt, due: Instant, now: Instant) {
        if attempt.is_empty() {
            return self.lanes.release(attempt.devices, now);
        }
        self.number += 1;
        self.waiting.insert((due, self.number), attempt);
    }

    fn due_attempt(&mut self, now: Instant) -> Option<Attempt> {
        let mut due = self.waiting.iter().take_while(|((due, _), _)| *due <= now);
        let key = due
            .find(|(_, attempt)| self.may_go(attempt))
            .map(|(key, _)| *key)?;
        self.waiting.remove(&key)
    }

    fn may_go(&self, attempt: &Attempt) -> bool {
        let is_released = || self.released == Some(attempt.first().position());
        !self.log_held || attempt.reason != Reason::Log || is_released()
    }

    /// A first attempt at events that may go, where it is full or they have waited for long enough.
    fn fresh(&mut self, now: Instant) -> Option<Attempt> {
        if self.log_held {
            let (reason, events, devices) = self.lanes.take_one(self.released?)?;
            let attempt = Attempt::new(reason, events, None, devices, &self.retry, now);
            return Some(attempt);
        }
        let since = self.lanes.ready_since()?;
        let batch_max = self.capabilities.batch_max;
        if self.lanes.ready() < batch_max && now < since + self.batch_wait() {
            return None;
        }
        let (reason, events, devices) = self.lanes.take(batch_max)?;
        Some(Attempt::new(
            reason,
            events,
            None,
            devices,
            &self.retry,
            now,
        ))
    }

    fn no_failures(&self, now: Instant) -> Failures {
        Failures::new(&self.retry, now)
    }

    fn concurrency(&self) -> usize {
        match self.capabilities.ordering {
            Ordering::Global => 1,
            Ordering::PerDevice { concurrency, .. } => concurrency,
        }
    }

    fn batch_wait(&self) -> Duration {
        match self.capabilities.ordering {
            Ordering::Global => Duration::ZERO,
            Ordering::PerDevice { batch_wait, .. } => batch_wait,
        }
    }
}

fn bytes(events: &[Event]) -> usize {
    events.iter().map(Event::payload_bytes).sum()
}
