//! Events that wait for their first attempt, if each device has its own order. A lane is the queue
//! of one device, or of a topic's events that belong to no device. No clock, no IO.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::attempt::Device;
use crate::model::Event;
use crate::sinks::Reason;

/// The lanes that have events waiting or on their way.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<Device, Lane>,
    /// Lanes whose next event may go, and since when.
    ready: VecDeque<(Instant, Device)>,
    ready_events: usize,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<(Reason, Event)>,
    /// Earlier events of it are in an attempt.
    held: bool,
}

impl Lanes {
    /// One more event, at the end of its lane.
    pub(super) fn push(&mut self, reason: Reason, event: Event, now: Instant) {
        let device = Device::of(&event);
        let lane = self.lanes.entry(device.clone()).or_default();
        lane.queue.push_back((reason, event));
        if !lane.held {
            self.ready_events += 1;
            if lane.queue.len() == 1 {
                self.ready.push_back((now, device));
            }
        }
    }

    /// Events that could go now.
    pub(super) fn ready(&self) -> usize {
        self.ready_events
    }

    /// Since when the next event may go. With `log_held`, only redrives and replays may go.
    pub(super) fn ready_since(&self, log_held: bool) -> Option<Instant> {
        let mut ready = self.ready.iter();
        let next = ready.find(|(_, device)| {
            let queue = &self.lanes[device].queue;
            !log_held || queue.iter().any(|(reason, _)| *reason != Reason::Log)
        });
        next.map(|(since, _)| *since)
    }

    /// Takes events that may go, of one reason, at most `events_max`, in the log's order, and holds
    /// their lanes. With `log_held`, redrives and replays pass the log's events.
    pub(super) fn take(
        &mut self,
        events_max: usize,
        log_held: bool,
    ) -> Option<(Reason, Vec<Event>, Vec<Device>)> {
        let (mut events, mut devices, mut other) = (Vec::new(), Vec::new(), VecDeque::new());
        let mut reason = None;
        while events.len() < events_max
            && let Some((since, device)) = self.ready.pop_front()
        {
            let lane = self
                .lanes
                .get_mut(&device)
                .expect("a ready lane has events");
            let of_log = |(of, _): &(Reason, Event)| log_held && *of == Reason::Log;
            let first = lane
                .queue
                .iter()
                .take_while(|queued| of_log(queued))
                .count();
            let room = events_max - events.len();
            let wanted = lane
                .queue
                .get(first)
                .map(|(of, _)| *reason.get_or_insert(*of));
            let alike = lane.queue.iter().skip(first).take(room);
            let alike = alike.take_while(|(of, _)| Some(*of) == wanted).count();
            if alike == 0 {
                other.push_back((since, device));
                continue;
            }
            self.ready_events -= lane.queue.len();
            let taken = lane.queue.drain(first..first + alike);
            events.extend(taken.map(|(_, event)| event));
            lane.held = true;
            devices.push(device);
        }
        other.append(&mut self.ready);
        self.ready = other;
        events.sort_by_key(Event::position);
        reason.map(|reason| (reason, events, devices))
    }

    /// Lanes go on: the attempt that held them is done.
    pub(super) fn release(&mut self, devices: Vec<Device>, now: Instant) {
        for device in devices {
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
}
