//! Events that go together in one attempt, and in each following attempt until all are delivered or
//! dead-lettered. A redelivery sends the same events as before. Bisection finds the ones that are
//! rejected. No clock, no IO.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::model::{Event, Position, device_name};
use crate::retry::{Backoff, Retry};
use crate::sinks::{Batch, Reason, Undelivered};

/// A lane's name: within one the order is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Device {
    /// Of the statuses of one device.
    Of {
        client_id: String,
        device_id: String,
    },
    /// What concerns no device: a topic has a lane of its own.
    Topic(Arc<str>),
}

impl Device {
    pub(super) fn of(event: &Event) -> Device {
        match event {
            Event::Status(status) => Device::Of {
                client_id: status.client_id.clone(),
                device_id: status.device_id.clone(),
            },
            Event::Coverage(coverage) => Device::Topic(Arc::clone(&coverage.topic)),
        }
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Device::Of {
                client_id,
                device_id,
            } => f.write_str(&device_name(client_id, device_id)),
            Device::Topic(topic) => write!(f, "topic {topic}"),
        }
    }
}

/// One attempt: to be made, in flight, or waiting to be made again.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) reason: Reason,
    /// Those before `first` are settled.
    events: Vec<Event>,
    first: usize,
    /// Where the cursor stands once all of them are settled; `None`: they do not move it alone.
    through: Option<Position>,
    /// The lanes that it holds, until it is done.
    pub(super) devices: Vec<Device>,
    /// One of the next `suspects` events is the cause of the failure; 0: none is suspected.
    suspects: usize,
    /// How many events the attempt in flight has.
    pub(super) count: usize,
    pub(super) began: Instant,
    /// How often the sink had paused when it began: a failure that began before a pause tells
    /// nothing new.
    pub(super) pauses: u64,
    pub(super) failures: Failures,
}

impl Attempt {
    /// Of at least one event, in order.
    pub(super) fn new(
        reason: Reason,
        events: Vec<Event>,
        through: Option<Position>,
        devices: Vec<Device>,
        retry: &Retry,
        now: Instant,
    ) -> Attempt {
        Attempt {
            reason,
            events,
            first: 0,
            through,
            devices,
            suspects: 0,
            count: 0,
            began: now,
            pauses: 0,
            failures: Failures::new(retry, now),
        }
    }

    /// What the sink is given. `cursor` is where it stands.
    pub(super) fn batch(&self, journal: Uuid, cursor: Position) -> Batch<'_> {
        Batch {
            journal,
            events: &self.waiting()[..self.count],
            through: self.through().unwrap_or(cursor),
            reason: self.reason,
        }
    }

    /// Those of this attempt that an outcome has confirmed.
    pub(super) fn confirmed(&self, outcome: &Result<(), Undelivered>) -> &[Event] {
        let confirmed = match outcome {
            Ok(()) => self.count,
            Err(undelivered) => undelivered.confirmed.min(self.count),
        };
        let waiting = self.waiting();
        &waiting[..confirmed.min(waiting.len())]
    }

    /// Where the cursor stands once the events of this attempt are confirmed.
    pub(super) fn through(&self) -> Option<Position> {
        let next = self.waiting().get(self.count);
        let before = |event: &Event| Position(event.position().0 - 1);
        self.through.map(|through| next.map_or(through, before))
    }

    /// How many events go next: half of the suspects, or at most this many if none is suspected.
    pub(super) fn size(&self, events_max: usize) -> usize {
        match self.suspects {
            0 => self.waiting().len().min(events_max),
            suspects => suspects.div_ceil(2),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    pub(super) fn first(&self) -> &Event {
        &self.events[self.first]
    }

    /// Events that are not settled yet.
    pub(super) fn waiting(&self) -> &[Event] {
        &self.events[self.first..]
    }

    /// The next `count` events are settled.
    pub(super) fn take(&mut self, count: usize) -> &[Event] {
        let taken = self.first..self.first + count;
        self.first += count;
        self.suspects = self.suspects.saturating_sub(count);
        &self.events[taken]
    }

    /// The sink has everything at or before this position. Gives the events that this settles.
    pub(super) fn take_through(&mut self, to: Position) -> &[Event] {
        self.take(
            self.waiting()
                .partition_point(|event| event.position() <= to),
        )
    }

    /// One of the next `attempted` was rejected. Gives its index where it is known by now; else
    /// fewer are tried next.
    pub(super) fn rejected(&mut self, attempted: usize, index: Option<usize>) -> Option<usize> {
        let index = index.filter(|index| *index < attempted);
        match (index, attempted) {
            (None, 1) => Some(0),
            (None, _) => {
                self.narrow(attempted);
                None
            }
            known => known.0,
        }
    }

    /// One of the next `attempted` events is the cause: half of them are tried next.
    pub(super) fn narrow(&mut self, attempted: usize) {
        self.suspects = attempted;
    }

    /// Something among the events is suspected.
    pub(super) fn is_suspected(&self) -> bool {
        self.suspects > 0
    }

    /// The event of this index is given up.
    pub(super) fn give_up(&mut self, index: usize) -> Event {
        self.suspects = 0;
        self.events.remove(self.first + index)
    }

    /// The events of other devices than the first event's, as another attempt: they need not wait
    /// for it.
    pub(super) fn split_others(&mut self, retry: &Retry, now: Instant) -> Option<Attempt> {
        let device = Device::of(self.first());
        let rest = self.events.split_off(self.first);
        let (own, others) = rest
            .into_iter()
            .partition(|event| Device::of(event) == device);
        (self.events, self.first) = (own, 0);
        self.suspects = self.suspects.min(1);
        let others: Vec<Event> = others;
        if others.is_empty() {
            return None;
        }
        let devices = self.devices.extract_if(.., |other| *other != device);
        let devices = devices.collect();
        Some(Attempt::new(
            self.reason,
            others,
            self.through,
            devices,
            retry,
            now,
        ))
    }
}

/// Failures that may be the events' own: those in a time in which the sink took others.
#[derive(Debug)]
pub(super) struct Failures {
    pub(super) backoff: Backoff,
    /// Failures so far, by whatever.
    pub(super) count: u32,
    /// How long the events failed before the sink's last trouble, while it took others.
    before: Duration,
    /// Since when they do, with no trouble of the sink since.
    since: Option<Instant>,
    last: Instant,
    /// What the sink had taken at the last failure; `None`: none since its last trouble.
    proofs: Option<u64>,
}

impl Failures {
    pub(super) fn new(retry: &Retry, now: Instant) -> Failures {
        Failures {
            backoff: retry.backoff(),
            count: 0,
            before: Duration::ZERO,
            since: None,
            last: now,
            proofs: None,
        }
    }

    /// One more. `proofs` counts what the sink has taken. True where it has taken something since
    /// the last failure.
    pub(super) fn fail(&mut self, now: Instant, proofs: u64) -> bool {
        let proven = self.proofs.is_some_and(|before| proofs > before);
        if proven {
            self.since.get_or_insert(self.last);
        }
        self.count += 1;
        self.last = now;
        self.proofs = Some(proofs);
        proven
    }

    /// All of the sink is in trouble: until it takes something again, a failure is not the
    /// events'.
    pub(super) fn forgive(&mut self) {
        self.before = self.total();
        self.since = None;
        self.proofs = None;
    }

    /// Whether the sink may be the cause, and not the events: it has taken nothing from the first
    /// failure to the last, which was before `began`.
    pub(super) fn may_be_the_sinks(&self, began: Instant) -> bool {
        self.count > 0 && self.since.is_none() && self.last <= began
    }

    /// How long the events have failed by themselves, at the last failure.
    pub(super) fn total(&self) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| self.last - since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CoverageEvent, StatusEvent};

    #[test]
    fn a_lane_is_a_device_of_whichever_topic_or_a_topic() {
        let status = |topic: &str, device_id: &str| {
            Event::from(StatusEvent {
                topic: topic.into(),
                device_id: device_id.to_owned(),
                ..StatusEvent::sample()
            })
        };
        let coverage = |topic: &str, position| {
            Event::from(CoverageEvent {
                topic: topic.into(),
                position: Position(position),
                ..CoverageEvent::sample()
            })
        };
        let lanes = [
            status("a", "7"),
            status("b", "7"),
            status("a", "a"),
            coverage("a", 1),
            coverage("a", 2),
            coverage("b", 1),
        ];
        let lanes = lanes.each_ref().map(|event| Device::of(event).to_string());
        let expected = ["1/7", "1/7", "1/a", "topic a", "topic a", "topic b"];
        assert_eq!(lanes, expected);
    }

    #[test]
    fn failures_count_while_the_sink_takes_something_else() {
        let began = Instant::now();
        let hour = |hour: u64| began + Duration::from_secs(hour * 3600);
        let hours = |failures: &Failures| failures.total().as_secs() / 3600;
        let mut failures = Failures::new(&Retry::default(), began);
        // Nothing else is taken.
        assert!(!failures.fail(hour(1), 7) && !failures.fail(hour(5), 7));
        assert_eq!(hours(&failures), 0);
        assert!(failures.fail(hour(6), 8));
        assert_eq!(hours(&failures), 1);
        // Something else was taken since, so the whole time counts.
        assert!(!failures.fail(hour(7), 8) && failures.fail(hour(8), 9));
        assert_eq!(hours(&failures), 3);
        // Trouble of the sink ends it, and the first failure afterwards begins it again.
        failures.forgive();
        assert!(!failures.fail(hour(20), 10));
        assert_eq!(hours(&failures), 3);
        assert!(failures.fail(hour(22), 11));
        assert_eq!((hours(&failures), failures.count), (5, 7));
    }
}
