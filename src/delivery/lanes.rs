//! Which events go next, where several devices' may be on their way at once: each device is a lane,
//! in order, and one whose event fails waits by the schedule alone. Is told the time; owns no
//! clock, no task and no socket.
//!
//! Whose trouble it is: where the other side says so itself (it refuses the connection, answers
//! 401, 404, 429, 503), all lanes pause. A failure that says nothing (a timeout, HTTP 500) is its
//! lane's, unless [`SUSPECT_LANES`] of them fail with nothing delivered between. In a pause one
//! parcel at a time is tried, others first than the last time: when the schedule says so but every
//! [`PAUSE_MAX`] at least, and once a [`PROBE_INTERVAL`] one that was not tried yet, unless the
//! other side has named a time. Attempts in such times do not count against the events.
//!
//! A parcel that has used up the schedule while the sink took others is dead-lettered. One of
//! several events that fails a second time is tried by halves, so that what is good in it does not
//! wait for what is not. See [`super::refusals`] for what is refused at once.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::parcel::{Device, Errand, Failures, Item, Parcel};
use super::refusals::Refusals;
use crate::model::Event;
use crate::sinks::{self, By, Trouble};

/// So many lanes that fail one after the other, with nothing delivered between, are the sink's
/// trouble.
const SUSPECT_LANES: usize = 3;

/// While the sink pauses an event that was not tried yet is, no more often than this.
const PROBE_INTERVAL: Duration = Duration::from_secs(60);

/// A sink in trouble that pauses is tried this often at least, by the schedule's next event, where
/// the other side has named no time: that costs it one request, and whoever has mended it need not
/// wait for hours.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Failed attempts at an event that an operator wants delivered again, before it is listed again:
/// nobody waits a day for that.
const AGAIN_ATTEMPTS_MAX: usize = 3;

/// See the module.
pub(super) struct Lanes {
    terms: sinks::Lanes,
    /// Those that have events waiting or on their way.
    lanes: HashMap<Device, Lane>,
    /// Lanes whose next event may go, and since when.
    ready: VecDeque<(Instant, Device)>,
    ready_events: usize,
    /// Parcels that wait for their next attempt, by when that is.
    waiting: BTreeMap<(Instant, u64), Parcel>,
    /// Makes the keys of `waiting` unique.
    number: u64,
    under_way: usize,
    bytes: usize,
    /// Lanes that have failed since anything was delivered.
    failing: HashSet<Device>,
    pause: Option<Pause>,
    /// Counts what the sink has taken.
    proofs: u64,
    /// Counts the pauses.
    troubles: u64,
    refusals: Refusals,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Item>,
    /// A parcel has its earlier events.
    held: bool,
}

/// The sink is left alone.
#[derive(Debug)]
struct Pause {
    until: Instant,
    /// Then an event that was not tried yet may be; `None`: the other side has named a time.
    fresh: Option<Instant>,
    failures: usize,
}

/// One attempt, to be made now.
#[derive(Debug)]
pub(super) struct Attempt {
    parcel: Parcel,
    count: usize,
    began: Instant,
    /// Pauses at its beginning: one that has begun since tells nothing new.
    troubles: u64,
}

impl Attempt {
    pub(super) fn events(&self) -> Vec<Arc<Event>> {
        self.parcel.events(self.count)
    }
}

/// How an attempt ends.
#[derive(Debug, Clone, Copy)]
struct End {
    now: Instant,
    /// All lanes were paused while it was under way: that they fail is no news.
    known: bool,
    /// Where the parcel is tried again at once, its place among others: what was under way when a
    /// pause began comes before what the pause began with.
    turn: Instant,
    /// From 0 to 1.
    jitter: f64,
}

/// What has become of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Delivered,
    /// For good.
    Refused(String),
}

/// What an attempt has led to.
#[derive(Debug, Default)]
pub(super) struct Finished {
    pub(super) settled: Vec<(Item, Fate)>,
    pub(super) news: Option<News>,
}

/// What is worth saying.
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
    /// All lanes wait.
    SinkWaits { error: String, wait: Duration },
    /// The sink refuses too much.
    Distrusted { error: String, wait: Duration },
    /// The sink wants nothing any more.
    Disabled { error: String },
}

impl Lanes {
    pub(super) fn new(terms: sinks::Lanes) -> Lanes {
        Lanes {
            terms,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            ready_events: 0,
            waiting: BTreeMap::new(),
            number: 0,
            under_way: 0,
            bytes: 0,
            failing: HashSet::new(),
            pause: None,
            proofs: 0,
            troubles: 0,
            refusals: Refusals::default(),
        }
    }

    /// One more event, at the end of its lane.
    pub(super) fn push(&mut self, item: Item, now: Instant) {
        self.bytes += item.event.payload.get().len();
        let device = Device::of(&item.event);
        let lane = self.lanes.entry(device.clone()).or_default();
        lane.queue.push_back(item);
        if !lane.held {
            self.ready_events += 1;
            if lane.queue.len() == 1 {
                self.ready.push_back((now, device));
            }
        }
    }

    /// Events that could go now, if the sink took them.
    pub(super) fn ready(&self) -> usize {
        self.ready_events
    }

    /// Bytes of all payloads that are here.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Parcels that wait for another attempt.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// As far as is known the sink takes nothing.
    pub(super) fn is_stuck(&self) -> bool {
        self.pause.is_some()
            || (!self.failing.is_empty() && self.ready.is_empty() && self.under_way == 0)
    }

    /// The next attempt, where one may begin now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Attempt> {
        let parcel = match &self.pause {
            None if self.under_way >= self.terms.concurrency => None,
            None => match self.due_parcel(now) {
                None => self.fresh(now),
                due => due,
            },
            Some(_) if self.under_way > 0 => None,
            // Another one than before, where there is one.
            Some(pause) if pause.until <= now => match self.fresh(now) {
                None => self.due_parcel(now),
                fresh => fresh,
            },
            Some(pause) if pause.fresh.is_some_and(|at| at <= now) => self.fresh(now),
            Some(_) => None,
        }?;
        self.under_way += 1;
        // A sink that refuses too much is tried with single events.
        let count = if self.refusals.distrusts() {
            1
        } else {
            parcel.size()
        };
        Some(Attempt {
            parcel,
            count,
            began: now,
            troubles: self.troubles,
        })
    }

    /// When an attempt may begin that may not now; `None`: not before something else happens.
    pub(super) fn due(&self) -> Option<Instant> {
        let fresh =
            self.ready.front().map(
                |(since, _)| match self.ready_events >= self.terms.batch_max {
                    true => *since,
                    false => *since + self.terms.batch_wait,
                },
            );
        let waiting = self.waiting.first_key_value().map(|((due, _), _)| *due);
        match &self.pause {
            None if self.under_way >= self.terms.concurrency => None,
            None => [fresh, waiting].into_iter().flatten().min(),
            Some(_) if self.under_way > 0 => None,
            Some(pause) => {
                let probe = pause.fresh.map_or(pause.until, |at| at.min(pause.until));
                let fresh = fresh.map(|at| at.max(probe));
                [fresh, waiting.map(|at| at.max(pause.until))]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }

    /// An attempt has ended. `jitter` is from 0 to 1.
    pub(super) fn finished(
        &mut self,
        attempt: Attempt,
        outcome: Result<(), Trouble>,
        now: Instant,
        jitter: f64,
    ) -> Finished {
        let Attempt {
            mut parcel,
            count,
            began,
            troubles,
        } = attempt;
        self.under_way -= 1;
        let known = troubles < self.troubles;
        let end = End {
            now,
            known,
            turn: if known { began } else { now },
            jitter,
        };
        let mut finished = Finished::default();
        match outcome {
            Ok(()) => {
                finished.settled = parcel
                    .take(count)
                    .into_iter()
                    .map(|item| (item, Fate::Delivered))
                    .collect();
                self.refusals.accepted(count);
                finished.news = self.proved(known);
                parcel.failures = self.no_failures();
                self.go_on(parcel, now, now);
            }
            Err(Trouble::Refused { .. }) if count > 1 => {
                parcel.suspect(count);
                self.go_on(parcel, now, now);
            }
            Err(Trouble::Refused {
                by: By::Us, error, ..
            }) => self.give_up(parcel, error, now, &mut finished),
            Err(Trouble::Refused { error, .. }) if parcel.first().errand != Errand::Log => {
                finished.news = self.proved(known);
                self.give_up(parcel, error, now, &mut finished);
            }
            // It is tried again when the sink is trusted again.
            Err(Trouble::Refused { .. }) if known && self.refusals.distrusts() => {
                self.go_on(parcel, end.turn, now)
            }
            Err(Trouble::Refused { error, .. }) => self.refused(parcel, error, end, &mut finished),
            Err(Trouble::Unclear { .. }) if known => self.go_on(parcel, end.turn, now),
            Err(Trouble::Unclear { error }) => {
                self.failed(parcel, count, error, end, &mut finished)
            }
            Err(Trouble::Retry { error, after }) => {
                self.troubled(parcel, error, after, end, &mut finished)
            }
            Err(Trouble::Disabled { error }) => {
                self.go_on(parcel, now, now);
                finished.news = Some(News::Disabled { error });
            }
        }
        self.bytes -= finished
            .settled
            .iter()
            .map(|(item, _)| item.event.payload.get().len())
            .sum::<usize>();
        finished
    }

    fn refused(&mut self, parcel: Parcel, error: String, end: End, finished: &mut Finished) {
        let judgement = self.refusals.refused(parcel.first().position());
        match judgement.wait {
            // The receiver is well: only this event is not to its liking.
            None => finished.news = self.proved(end.known),
            Some(wait) => {
                let error = format!("{} events were refused: {error}", self.refusals.ratio());
                self.pause(wait, true, end);
                finished.news = Some(News::Distrusted { error, wait });
            }
        }
        match judgement.dead_lettered {
            true => self.give_up(parcel, error, end.now, finished),
            false => self.go_on(parcel, end.turn, end.now),
        }
    }

    /// An attempt failed, and it may be by the event.
    fn failed(
        &mut self,
        mut parcel: Parcel,
        count: usize,
        error: String,
        end: End,
        finished: &mut Finished,
    ) {
        let now = end.now;
        let device = Device::of(&parcel.first().event);
        self.failing.insert(device.clone());
        if self.failing.len() >= SUSPECT_LANES {
            return self.troubled(parcel, error, None, end, finished);
        }
        if let Some(Pause {
            fresh: Some(fresh), ..
        }) = &mut self.pause
        {
            *fresh = now + PROBE_INTERVAL;
        }
        if count > 1 && (parcel.is_suspected() || parcel.failures.total() > 0) {
            // Not by chance, then: something in it may be the cause.
            parcel.suspect(count);
            return self.go_on(parcel, now, now);
        }
        let proven = parcel.failures.count(self.proofs);
        let failures = parcel.failures.total();
        if count == 1
            && let Some(others) = parcel.split_others(self.no_failures())
        {
            self.go_on(others, now, now);
        }
        let attempts_max = match parcel.first().errand {
            Errand::Log => self.terms.schedule.len(),
            Errand::Redrive | Errand::Replay => self.terms.schedule.len().min(AGAIN_ATTEMPTS_MAX),
        };
        if count == 1 && proven && failures >= attempts_max {
            if parcel.first().errand == Errand::Log {
                self.refusals.refused(parcel.first().position());
            }
            return self.give_up(
                parcel,
                format!("after {failures} attempts: {error}"),
                now,
                finished,
            );
        }
        let wait = self.wait(failures, end.jitter);
        finished.news = Some(News::LaneWaits {
            device,
            error,
            wait,
        });
        self.go_on(parcel, now + wait, now);
    }

    /// All lanes pause, unless they do already.
    fn troubled(
        &mut self,
        parcel: Parcel,
        error: String,
        after: Option<Duration>,
        end: End,
        finished: &mut Finished,
    ) {
        if !end.known {
            let failures = self.pause.as_ref().map_or(0, |pause| pause.failures) + 1;
            let wait = match (after, &self.pause) {
                (Some(asked), _) => asked,
                // One that was tried between is no turn of the schedule.
                (None, Some(pause)) if pause.until > end.now => pause.until - end.now,
                (None, _) => self.wait(failures, end.jitter).min(PAUSE_MAX),
            };
            self.pause(wait, after.is_none(), end);
            finished.news = Some(News::SinkWaits { error, wait });
        }
        self.go_on(parcel, end.turn, end.now);
    }

    fn pause(&mut self, wait: Duration, may_probe: bool, end: End) {
        let now = end.now;
        let failures = match &self.pause {
            None => 1,
            Some(pause) => pause.failures + usize::from(pause.until <= now),
        };
        self.waiting
            .values_mut()
            .for_each(|parcel| parcel.failures.forgive(self.proofs));
        let fresh = may_probe.then(|| now + PROBE_INTERVAL);
        self.pause = Some(Pause {
            until: now + wait,
            fresh,
            failures,
        });
        self.troubles += 1;
        self.failing.clear();
    }

    /// The sink has taken something. What was on its way when the pause began does not end it.
    fn proved(&mut self, known: bool) -> Option<News> {
        self.proofs += 1;
        self.failing.clear();
        if known {
            return None;
        }
        self.pause = None;
        Some(News::Up)
    }

    fn give_up(
        &mut self,
        mut parcel: Parcel,
        error: String,
        now: Instant,
        finished: &mut Finished,
    ) {
        finished
            .settled
            .push((parcel.take_first(), Fate::Refused(error)));
        parcel.failures = self.no_failures();
        self.go_on(parcel, now, now);
    }

    /// The parcel's next attempt is at `due`; where it is done, its lanes go on.
    fn go_on(&mut self, parcel: Parcel, due: Instant, now: Instant) {
        if !parcel.is_empty() {
            self.number += 1;
            self.waiting.insert((due, self.number), parcel);
            return;
        }
        for device in parcel.devices {
            let Some(lane) = self.lanes.get_mut(&device) else {
                continue;
            };
            lane.held = false;
            if lane.queue.is_empty() {
                self.lanes.remove(&device);
            } else {
                self.ready_events += lane.queue.len();
                self.ready.push_back((now, device));
            }
        }
    }

    fn due_parcel(&mut self, now: Instant) -> Option<Parcel> {
        self.waiting
            .first_entry()
            .filter(|entry| entry.key().0 <= now)
            .map(|entry| entry.remove())
    }

    /// A new parcel of events that may go, where it is full or they have waited for long enough.
    fn fresh(&mut self, now: Instant) -> Option<Parcel> {
        loop {
            let (since, _) = self.ready.front()?;
            if self.ready_events < self.terms.batch_max && now < *since + self.terms.batch_wait {
                return None;
            }
            let (mut items, mut devices) = (Vec::new(), Vec::new());
            while items.len() < self.terms.batch_max
                && let Some((_, device)) = self.ready.pop_front()
            {
                let lane = self
                    .lanes
                    .get_mut(&device)
                    .expect("a ready lane has events");
                self.ready_events -= lane.queue.len();
                let count = lane.queue.len().min(self.terms.batch_max - items.len());
                items.extend(lane.queue.drain(..count));
                lane.held = true;
                devices.push(device);
            }
            let parcel = Parcel::new(items, devices, self.no_failures());
            match self.wait(0, 0.0) {
                Duration::ZERO => return Some(parcel),
                first => self.go_on(parcel, now + first, now),
            }
        }
    }

    fn no_failures(&self) -> Failures {
        Failures::new(self.proofs)
    }

    /// The wait after so many failures: up to a tenth longer than scheduled, so that many bridges
    /// do not return to a receiver at once.
    fn wait(&self, failures: usize, jitter: f64) -> Duration {
        let schedule = &self.terms.schedule;
        let wait = schedule
            .get(failures)
            .or(schedule.last())
            .copied()
            .unwrap_or_default();
        wait.saturating_add(wait.mul_f64(jitter.clamp(0.0, 1.0) / 10.0))
    }
}
