//! What goes to the sink now, or when something may.

use std::time::Duration;

use tokio::time::Instant;

use super::link::{Link, Pause};
use super::{Action, Scheduler};
use crate::delivery::attempt::Attempt;
use crate::sinks::{Ordering, Reason};

impl Scheduler {
    /// The action to be done now, if any.
    pub(in crate::delivery) fn next(&mut self, now: Instant) -> Option<Action> {
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
    pub(in crate::delivery) fn due(&self) -> Option<Instant> {
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
    pub(in crate::delivery) fn rate(&self, now: Instant) -> Option<(Instant, bool)> {
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

    fn due_attempt(&mut self, now: Instant) -> Option<Attempt> {
        let mut due = self.waiting.iter().take_while(|((due, _), _)| *due <= now);
        let key = due
            .find(|(_, attempt)| self.may_go(attempt))
            .map(|(key, _)| *key)?;
        self.waiting.remove(&key)
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

    fn may_go(&self, attempt: &Attempt) -> bool {
        let is_released = || self.released == Some(attempt.first().position());
        !self.log_held || attempt.reason != Reason::Log || is_released()
    }

    pub(super) fn concurrency(&self) -> usize {
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
