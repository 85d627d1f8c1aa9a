//! What the end of an attempt means: for its events, for their lanes and for the sink.

use std::time::Duration;

use tokio::time::Instant;

use super::link::{PROBE_INTERVAL, Pause};
use super::{CAREFUL_EVENTS, News, Scheduler, bytes};
use crate::delivery::attempt::{Attempt, Device, Failures};
use crate::delivery::circuit_breaker::Decision;
use crate::model::{Event, Position};
use crate::sinks::{By, Ordering, Reason, Trouble, Undelivered};

/// This many lanes that fail one after the other, with nothing delivered between, are the sink's
/// trouble.
const FAILING_LANES: usize = 3;

/// Failed attempts at an event that an operator wants delivered again, before it is listed again:
/// nobody waits a day for that.
pub(super) const REDRIVE_ATTEMPTS_MAX: u32 = 3;

/// How an attempt ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) now: Instant,
    /// The sink paused while this attempt was in flight: its failure says nothing new.
    pub(super) known: bool,
    /// The order of attempts that are retried at once: attempts in flight when a pause began come
    /// before the one that caused it.
    pub(super) turn: Instant,
    /// From 0 to 1.
    pub(super) random: f64,
}

/// What an attempt has led to.
#[derive(Debug)]
pub(in crate::delivery) struct Finished {
    pub(in crate::delivery) reason: Reason,
    pub(in crate::delivery) delivered: Vec<Position>,
    /// To be dead-lettered, and why.
    pub(in crate::delivery) rejected: Option<(Position, String)>,
    pub(in crate::delivery) news: Option<News>,
}

impl Scheduler {
    /// An attempt has ended. `random` is from 0 to 1.
    pub(in crate::delivery) fn finished(
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
                        self.pause(wait, true, end.now);
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
            self.pause(wait, after.is_none(), end.now);
            finished.news = Some(News::SinkWaits { error, wait });
        }
        attempt.failures.forgive();
        self.go_on(attempt, end.turn, end.now);
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

    fn no_failures(&self, now: Instant) -> Failures {
        Failures::new(&self.retry, now)
    }
}
