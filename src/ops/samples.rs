//! What is sampled now and then for the page and the API: rates, and what only the journal's file
//! knows. Bounded by the numbers of topics and sinks. It takes the time and reads nothing itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::latency::LatencyReading;
use crate::model::Position;

/// Points of an hour.
pub(super) const POINTS: usize = 24;

/// Between two points.
const POINT_INTERVAL: Duration = Duration::from_secs(3600 / POINTS as u64);

/// The rate of now is that of this time.
const NOW: Duration = Duration::from_secs(10);

/// How the room of the journal has changed is that of these.
const ROOM_WINDOW: Duration = Duration::from_secs(300);

/// How long something takes is that of these.
const LATENCY_WINDOW: Duration = Duration::from_secs(300);

/// Between two of its readings.
const LATENCY_INTERVAL: Duration = Duration::from_secs(15);

/// A full journal is foretold at most this far.
const FORETOLD_MAX: Duration = Duration::from_secs(30 * 86_400);

/// A counter's rate.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rate {
    /// A second, now.
    pub(super) now: f64,
    /// A second, in each piece of the last hour; the oldest first, and fewer after a start.
    pub(super) points: Vec<f64>,
}

/// A counter that is looked at now and then.
#[derive(Debug)]
struct Counter {
    /// The last looks, the newest last.
    recent: VecDeque<(Instant, u64)>,
    points: VecDeque<f64>,
    /// Where the piece of now began.
    piece: (Instant, u64),
}

impl Counter {
    fn new(now: Instant, count: u64) -> Counter {
        Counter {
            recent: VecDeque::from([(now, count)]),
            points: VecDeque::new(),
            piece: (now, count),
        }
    }

    fn look(&mut self, now: Instant, count: u64) {
        self.recent.push_back((now, count));
        let is_old = |then: Instant| now.duration_since(then) > NOW;
        while self.recent.len() > 2 && self.recent.front().is_some_and(|(then, _)| is_old(*then)) {
            self.recent.pop_front();
        }
        let (began, before) = self.piece;
        let length = now.duration_since(began);
        if length >= POINT_INTERVAL {
            self.points
                .push_back(per_second(count.saturating_sub(before), length));
            if self.points.len() > POINTS {
                self.points.pop_front();
            }
            self.piece = (now, count);
        }
    }

    /// As it is now: where nobody has looked for a while, nothing has come.
    fn rate(&self, now: Instant) -> Rate {
        let (first, last) = (self.recent.front(), self.recent.back());
        let is_recent = last.is_some_and(|(then, _)| now.duration_since(*then) <= NOW);
        let ends = first.zip(last).filter(|_| is_recent);
        let rate = ends.map_or(0.0, |((then, before), (looked, count))| {
            per_second(count.saturating_sub(*before), looked.duration_since(*then))
        });
        Rate {
            now: rate,
            points: self.points.iter().copied().collect(),
        }
    }
}

fn per_second(count: u64, time: Duration) -> f64 {
    match time.is_zero() {
        true => 0.0,
        false => count as f64 / time.as_secs_f64(),
    }
}

/// A histogram that is looked at now and then.
#[derive(Debug, Default)]
struct Took {
    /// The newest last.
    readings: VecDeque<(Instant, LatencyReading)>,
    last: LatencyReading,
}

impl Took {
    fn look(&mut self, now: Instant, reading: LatencyReading) {
        self.last = reading;
        let last = self
            .readings
            .back()
            .map(|(then, _)| now.duration_since(*then));
        if last.is_none_or(|age| age >= LATENCY_INTERVAL) {
            self.readings.push_back((now, reading));
        }
        let is_old = |(then, _): &(Instant, _)| now.duration_since(*then) > LATENCY_WINDOW;
        while self.readings.len() > 1 && self.readings.front().is_some_and(is_old) {
            self.readings.pop_front();
        }
    }

    fn read(&self) -> LatencyReading {
        let first = self.readings.front().map(|(_, first)| *first);
        self.last.since(&first.unwrap_or_default())
    }
}

/// What only the journal's file knows, as it was a moment ago.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OnDisk {
    /// Undecodable entries that nobody has dealt with.
    pub(super) undecodable: u64,
    /// The oldest pending entry of each sink, and when it was received.
    pub(super) oldest_pending: BTreeMap<Arc<str>, (Position, Timestamp)>,
    /// When that was read.
    pub(super) read_at: Timestamp,
}

impl OnDisk {
    /// When the oldest entry that a sink has yet to get was received. Where the one that was read
    /// has been delivered meanwhile, those behind it wait about as long as it did.
    pub(super) fn oldest_pending(
        &self,
        sink: &str,
        cursor: Position,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let &(position, received_at) = self.oldest_pending.get(sink)?;
        if cursor < position {
            return Some(received_at);
        }
        let since = now.duration_since(self.read_at);
        received_at.checked_add(since).ok()
    }
}

/// What is counted, at one moment.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Messages of each topic.
    pub(super) topics: Vec<(Arc<str>, u64)>,
    /// Entries that each sink is past.
    pub(super) sinks: Vec<(Arc<str>, u64)>,
    /// Messages of all topics.
    pub(super) messages: u64,
    /// Bytes that the journal may still take.
    pub(super) room: u64,
    /// From receipt to the disk.
    pub(super) journaled: LatencyReading,
    /// From receipt to the confirmation of each sink.
    pub(super) confirmed: Vec<(Arc<str>, LatencyReading)>,
}

#[derive(Debug, Default)]
struct Kept {
    topics: BTreeMap<Arc<str>, Counter>,
    sinks: BTreeMap<Arc<str>, Counter>,
    messages: Option<Counter>,
    room: VecDeque<(Instant, u64)>,
    journaled: Took,
    confirmed: BTreeMap<Arc<str>, Took>,
    on_disk: OnDisk,
}

/// All samples.
#[derive(Debug, Default)]
pub struct Samples(Mutex<Kept>);

impl Samples {
    /// Takes a look.
    pub(super) fn take(&self, now: Instant, look: Look) {
        let mut kept = self.lock();
        let kept = &mut *kept;
        take_each(&mut kept.topics, now, look.topics);
        take_each(&mut kept.sinks, now, look.sinks);
        match &mut kept.messages {
            Some(counter) => counter.look(now, look.messages),
            none => *none = Some(Counter::new(now, look.messages)),
        }
        kept.journaled.look(now, look.journaled);
        let mut before = std::mem::take(&mut kept.confirmed);
        for (name, reading) in look.confirmed {
            let mut took = before.remove(&name).unwrap_or_default();
            took.look(now, reading);
            kept.confirmed.insert(name, took);
        }
        kept.room.push_back((now, look.room));
        while kept
            .room
            .front()
            .is_some_and(|(then, _)| now.duration_since(*then) > ROOM_WINDOW)
        {
            kept.room.pop_front();
        }
    }

    /// Takes what was read of the journal's file.
    pub(super) fn read(&self, on_disk: OnDisk) {
        self.lock().on_disk = on_disk;
    }

    /// What was read last.
    pub(super) fn on_disk(&self) -> OnDisk {
        self.lock().on_disk.clone()
    }

    /// The rates of all topics.
    pub(super) fn topics(&self, now: Instant) -> BTreeMap<Arc<str>, Rate> {
        rates(&self.lock().topics, now)
    }

    /// The rates of all sinks.
    pub(super) fn sinks(&self, now: Instant) -> BTreeMap<Arc<str>, Rate> {
        rates(&self.lock().sinks, now)
    }

    /// The rate of all messages.
    pub(super) fn messages(&self, now: Instant) -> Rate {
        let kept = self.lock();
        let counter = kept.messages.as_ref();
        counter.map(|counter| counter.rate(now)).unwrap_or_default()
    }

    /// How long it took lately from receipt to the disk.
    pub(super) fn journaled(&self) -> LatencyReading {
        self.lock().journaled.read()
    }

    /// The same to the confirmation of each sink.
    pub(super) fn confirmed(&self) -> BTreeMap<Arc<str>, LatencyReading> {
        let kept = self.lock();
        let confirmed = kept.confirmed.iter();
        confirmed
            .map(|(name, took)| (Arc::clone(name), took.read()))
            .collect()
    }

    /// When the journal is full, if its room goes on to shrink as it does.
    pub(super) fn full_in(&self) -> Option<Duration> {
        let kept = self.lock();
        let ((then, before), (now, room)) = (kept.room.front()?, kept.room.back()?);
        let (shrunk, time) = (before.checked_sub(*room)?, now.duration_since(*then));
        let rate = per_second(shrunk, time);
        if rate <= 0.0 {
            return None;
        }
        let left = Duration::try_from_secs_f64(*room as f64 / rate).ok()?;
        (left <= FORETOLD_MAX).then_some(left)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counters that are no longer there are forgotten.
fn take_each(kept: &mut BTreeMap<Arc<str>, Counter>, now: Instant, look: Vec<(Arc<str>, u64)>) {
    let mut before = std::mem::take(kept);
    for (name, count) in look {
        let counter = match before.remove(&name) {
            Some(mut counter) => {
                counter.look(now, count);
                counter
            }
            None => Counter::new(now, count),
        };
        kept.insert(name, counter);
    }
}

fn rates(counters: &BTreeMap<Arc<str>, Counter>, now: Instant) -> BTreeMap<Arc<str>, Rate> {
    let counters = counters.iter();
    counters
        .map(|(name, counter)| (Arc::clone(name), counter.rate(now)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_delivered_since_the_look_does_not_wait_longer() {
        let second = |second| Timestamp::from_second(second).unwrap();
        let on_disk = OnDisk {
            oldest_pending: [("a".into(), (Position(7), second(90)))].into(),
            read_at: second(100),
            ..OnDisk::default()
        };
        let check = |cursor, expected| {
            let found = on_disk.oldest_pending("a", Position(cursor), second(104));
            assert_eq!(found, Some(second(expected)));
        };
        check(6, 90);
        check(7, 94);
        assert_eq!(on_disk.oldest_pending("b", Position(0), second(104)), None);
    }

    fn look(messages: u64, room: u64) -> Look {
        Look {
            topics: vec![("a".into(), messages)],
            messages,
            room,
            ..Look::default()
        }
    }

    #[test]
    fn a_rate_is_of_now_and_of_each_piece_of_the_last_hour() {
        let (samples, start) = (Samples::default(), Instant::now());
        for second in 0..=POINT_INTERVAL.as_secs() * 30 {
            let now = start + Duration::from_secs(second);
            samples.take(now, look(second * 2, 1000));
        }
        let end = start + POINT_INTERVAL * 30;
        let rate = samples.messages(end);
        assert_eq!((rate.now, rate.points), (2.0, vec![2.0; POINTS]));
        assert_eq!(samples.topics(end)["a"].now, 2.0);
        assert_eq!(samples.messages(end + NOW * 2).now, 0.0);
        samples.take(start + Duration::from_secs(9000), Look::default());
        assert!(samples.topics(end).is_empty(), "a topic that is gone");
    }

    #[test]
    fn how_long_it_took_is_that_of_the_last_minutes() {
        let (samples, start) = (Samples::default(), Instant::now());
        let mut reading = LatencyReading::default();
        for seconds in (0..=600).step_by(5) {
            reading.count += 1;
            let now = start + Duration::from_secs(seconds);
            let look = Look {
                journaled: reading,
                ..Look::default()
            };
            samples.take(now, look);
        }
        assert_eq!(samples.journaled().count, 60);
        samples.take(
            start + Duration::from_secs(2000),
            Look {
                journaled: reading,
                ..Look::default()
            },
        );
        assert_eq!(samples.journaled().count, 0);
    }

    #[test]
    fn a_full_journal_is_foretold_by_its_shrinking_room_alone() {
        let (samples, start) = (Samples::default(), Instant::now());
        samples.take(start, look(0, 1000));
        assert_eq!(samples.full_in(), None);
        samples.take(start + Duration::from_secs(10), look(0, 900));
        assert_eq!(samples.full_in(), Some(Duration::from_secs(90)));
        samples.take(start + Duration::from_secs(20), look(0, 1100));
        assert_eq!(samples.full_in(), None);
        let later = start + ROOM_WINDOW * 3;
        samples.take(later, look(0, 1000));
        assert_eq!(samples.full_in(), None, "what was before is forgotten");
    }
}
