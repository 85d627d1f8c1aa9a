//! Events that wait for their first attempt, if each device has its own order. A lane is the queue
//! of one device, or of a topic's events that belong to no device. No clock, no IO.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::attempt::Device;
use crate::model::{Event, Position};
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

    /// Since when the next event may go.
    pub(super) fn ready_since(&self) -> Option<Instant> {
        self.ready.front().map(|(since, _)| *since)
    }

    /// Takes events that may go, of one reason, at most so many, in the log's order, and holds
    /// their lanes.
    pub(super) fn take(&mut self, events_max: usize) -> Option<(Reason, Vec<Event>, Vec<Device>)> {
        let (mut events, mut devices, mut other) = (Vec::new(), Vec::new(), VecDeque::new());
        let mut reason = None;
        while events.len() < events_max
            && let Some((since, device)) = self.ready.pop_front()
        {
            let lane = self
                .lanes
                .get_mut(&device)
                .expect("a ready lane has events");
            let reason = *reason.get_or_insert(lane.queue[0].0);
            let room = events_max - events.len();
            let alike = lane.queue.iter().take(room);
            let alike = alike.take_while(|(of, _)| *of == reason).count();
            if alike == 0 {
                other.push_back((since, device));
                continue;
            }
            self.ready_events -= lane.queue.len();
            events.extend(lane.queue.drain(..alike).map(|(_, event)| event));
            lane.held = true;
            devices.push(device);
        }
        other.append(&mut self.ready);
        self.ready = other;
        events.sort_by_key(Event::position);
        reason.map(|reason| (reason, events, devices))
    }

    /// Since when the event at this position may go; `None`: it is not the next one of a lane.
    pub(super) fn ready_at(&self, position: Position) -> Option<Instant> {
        let mut ready = self.ready.iter();
        let lane = ready.find(|(_, device)| self.lanes[device].queue[0].1.position() == position);
        lane.map(|(since, _)| *since)
    }

    /// Takes the event at this position, where it may go, and holds its lane.
    pub(super) fn take_one(
        &mut self,
        position: Position,
    ) -> Option<(Reason, Vec<Event>, Vec<Device>)> {
        let mut ready = self.ready.iter();
        let index =
            ready.position(|(_, device)| self.lanes[device].queue[0].1.position() == position)?;
        let (_, device) = self.ready.remove(index)?;
        let lane = self.lanes.get_mut(&device)?;
        self.ready_events -= lane.queue.len();
        let (reason, event) = lane.queue.pop_front()?;
        lane.held = true;
        Some((reason, vec![event], vec![device]))
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
