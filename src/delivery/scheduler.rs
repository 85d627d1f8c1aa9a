//! Decides what a sink is given next, and what a failure means. It takes the time and returns
//! actions; it owns no clock, no task and no socket.
//!
//! With one order for all devices ([`Ordering::Global`]), attempts follow each other, and redrives
//! and replays take turns with the log's events. With an order for each device
//! ([`Ordering::PerDevice`]), each device is a lane, and a lane whose event fails waits alone.
//!
//! A failure is the sink's trouble if the other side says so: it refuses the connection, or answers
//! 401, 404, 429 or 503. Then the sink pauses. Another failure (a timeout, HTTP 500) is the lane's,
//! unless [`outcome::FAILING_LANES`] lanes fail with nothing delivered between. Without lanes it is
//! the sink's. A paused sink without lanes is opened again before its next attempt. A paused sink with
//! lanes makes one attempt at a time when the backoff says so, each time of another lane first.
//! Once in each [`link::PROBE_INTERVAL`] it tries a lane that was not tried yet, unless the other
//! side has named a time. Failures during a pause do not count against the events.
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

mod link;
mod next;
mod outcome;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use link::{Link, Pause};
pub(super) use outcome::Finished;

use super::attempt::{Attempt, Device};
use super::bucket::Bucket;
use super::circuit_breaker::CircuitBreaker;
use super::lanes::Lanes;
use crate::model::{Event, Position};
use crate::retry::{Backoff, Retry};
use crate::sinks::{Capabilities, Ordering, Reason};

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

/// An action to be done now.
#[derive(Debug)]
pub(super) enum Action {
    /// Open the sink; [`Scheduler::opened`] or [`Scheduler::not_opened`] is to follow.
    Open,
    /// Make this attempt; [`Scheduler::finished`] is to follow.
    Attempt(Box<Attempt>),
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

    /// The sink is open, and nothing waits for it.
    pub(super) fn is_empty(&self) -> bool {
        self.is_open() && self.waiting.is_empty() && self.lanes.ready() == 0
    }

    /// The attempt's next turn is at `due`; where it is done, its lanes go on.
    fn go_on(&mut self, attempt: Attempt, due: Instant, now: Instant) {
        if attempt.is_empty() {
            return self.lanes.release(attempt.devices, now);
        }
        self.number += 1;
        self.waiting.insert((due, self.number), attempt);
    }
}

fn bytes(events: &[Event]) -> usize {
    events.iter().map(Event::payload_bytes).sum()
}
