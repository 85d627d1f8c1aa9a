//! Whether the sink takes anything at all: closed, open, left alone for a while, or disabled.

use std::time::Duration;

use tokio::time::Instant;

use super::{News, Scheduler};
use crate::sinks::{Ordering, Trouble};

/// While the sink pauses an event that was not tried yet is, no more often than this.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(60);

/// The upper bound of a wait that the other side asked for.
const ASKED_MAX: Duration = Duration::from_secs(24 * 3600);

/// Whether attempts may be made at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// The sink is to be opened first.
    Closed,
    Open,
    /// The sink wants nothing more.
    Disabled,
}

/// The sink is left alone.
#[derive(Debug)]
pub(super) struct Pause {
    pub(super) until: Instant,
    /// Then an event that was not tried yet may be; `None`: the other side has named a time.
    pub(super) fresh: Option<Instant>,
}

impl Scheduler {
    /// Attempts may be made, now or once a pause has passed.
    pub(in crate::delivery) fn is_open(&self) -> bool {
        self.link == Link::Open
    }

    /// As far as is known the sink takes nothing.
    pub(in crate::delivery) fn is_stuck(&self) -> bool {
        self.pause.is_some()
            || (!self.failing.is_empty() && self.lanes.ready() == 0 && self.under_way == 0)
    }

    /// The sink is open. True where that makes it up, as far as is known.
    pub(in crate::delivery) fn opened(&mut self) -> bool {
        self.link = Link::Open;
        self.pause = None;
        !self.unproven
    }

    /// The sink could not be opened.
    pub(in crate::delivery) fn not_opened(
        &mut self,
        trouble: Trouble,
        now: Instant,
        random: f64,
    ) -> News {
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

    /// The other side answers, and nothing waits for it.
    pub(in crate::delivery) fn probed(&mut self) {
        self.backoff.reset();
        self.unproven = false;
    }

    /// The other side does not answer, while nothing waits for it. With lanes the next event may
    /// try it, and until one comes the next probe does.
    pub(in crate::delivery) fn lost(
        &mut self,
        trouble: Trouble,
        now: Instant,
        random: f64,
    ) -> News {
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
    pub(in crate::delivery) fn retry_now(&mut self, now: Instant) {
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

    /// The next wait of the sink, never shorter than what the other side asked for.
    pub(super) fn wait(&mut self, after: Option<Duration>, random: f64) -> Duration {
        let asked = after.unwrap_or_default().min(ASKED_MAX);
        self.backoff.next(random).max(asked)
    }

    pub(super) fn pause(&mut self, wait: Duration, may_probe: bool, now: Instant) {
        for attempt in self.waiting.values_mut() {
            attempt.failures.forgive();
        }
        self.pause = Some(Pause {
            until: now + wait,
            fresh: may_probe.then(|| now + PROBE_INTERVAL),
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
    pub(super) fn proved(&mut self, known: bool) -> Option<News> {
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

    pub(super) fn disabled(&mut self, error: String) -> News {
        self.link = Link::Disabled;
        News::Disabled { error }
    }
}
