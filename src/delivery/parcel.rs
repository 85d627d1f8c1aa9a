//! Events that go together in one attempt, of one lane or, where the sink takes batches, of
//! several. They stay together until each is delivered or given up, so that what is sent again is
//! the same as before; what is refused is found by halves. No clock, no IO.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::{Event, Position};

/// A lane's name: within one the order is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Device {
    client_id: String,
    device_id: String,
}

impl Device {
    pub(super) fn of(event: &Event) -> Device {
        Device {
            client_id: event.client_id.clone(),
            device_id: event.device_id.clone(),
        }
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.client_id, self.device_id)
    }
}

/// Why an event is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    /// It comes next in the log.
    Log,
    /// It was dead-lettered, and an operator wants it delivered.
    Redrive,
    /// It is part of a replay.
    Replay,
}

/// One event on its way.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) event: Arc<Event>,
    pub(super) errand: Errand,
}

impl Item {
    pub(super) fn position(&self) -> Position {
        self.event.position
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Parcel {
    /// At least one.
    items: VecDeque<Item>,
    /// The lanes that it holds, until it is done.
    pub(super) devices: Vec<Device>,
    /// One of the first so many is the cause of what happened; 0: none is suspected.
    suspects: usize,
    pub(super) failures: Failures,
}

/// Failed attempts that count against the events: those in a time in which the sink took others.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// The sink has taken something after each of these.
    proven: usize,
    /// Since the last of those: it may turn out to be the sink's trouble.
    unproven: usize,
    /// What the sink had taken at the last failure.
    proofs: u64,
}

impl Failures {
    pub(super) fn new(proofs: u64) -> Failures {
        Failures {
            proofs,
            ..Failures::default()
        }
    }

    /// One more. `proofs` counts what the sink has taken. True where it has taken something since
    /// the last failure, or since these events are on their way.
    pub(super) fn count(&mut self, proofs: u64) -> bool {
        let proven = proofs > self.proofs;
        if proven {
            self.proven += std::mem::take(&mut self.unproven);
        }
        self.proofs = proofs;
        self.unproven += 1;
        proven
    }

    /// All of the sink is in trouble: what nothing was taken after was by that.
    pub(super) fn forgive(&mut self, proofs: u64) {
        if proofs == self.proofs {
            self.unproven = 0;
        }
    }

    pub(super) fn total(&self) -> usize {
        self.proven + self.unproven
    }
}

impl Parcel {
    pub(super) fn new(mut items: Vec<Item>, devices: Vec<Device>, failures: Failures) -> Parcel {
        items.sort_by_key(Item::position);
        Parcel {
            items: items.into(),
            devices,
            suspects: 0,
            failures,
        }
    }

    /// How many go with the next attempt.
    pub(super) fn size(&self) -> usize {
        match self.suspects {
            0 => self.items.len(),
            suspects => suspects.div_ceil(2),
        }
    }

    /// The first so many events.
    pub(super) fn events(&self, count: usize) -> Vec<Arc<Event>> {
        self.items
            .iter()
            .take(count)
            .map(|item| Arc::clone(&item.event))
            .collect()
    }

    pub(super) fn first(&self) -> &Item {
        self.items
            .front()
            .expect("a parcel holds events until it is done")
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The first so many are with the sink.
    pub(super) fn take(&mut self, count: usize) -> Vec<Item> {
        self.suspects = self.suspects.saturating_sub(count);
        self.items.drain(..count).collect()
    }

    /// The first one is given up.
    pub(super) fn take_first(&mut self) -> Item {
        self.suspects = 0;
        self.items
            .pop_front()
            .expect("a parcel holds events until it is done")
    }

    /// Something among the events is suspected.
    pub(super) fn is_suspected(&self) -> bool {
        self.suspects > 0
    }

    /// One of the first so many is the cause: fewer are tried next.
    pub(super) fn suspect(&mut self, attempted: usize) {
        self.suspects = attempted;
    }

    /// What is of other devices than the first event, as a parcel of its own: they need not wait
    /// for that one.
    pub(super) fn split_others(&mut self, failures: Failures) -> Option<Parcel> {
        let device = Device::of(&self.first().event);
        let (own, others): (Vec<Item>, Vec<Item>) = std::mem::take(&mut self.items)
            .into_iter()
            .partition(|item| Device::of(&item.event) == device);
        self.items = own.into();
        self.suspects = self.suspects.min(1);
        if others.is_empty() {
            return None;
        }
        let devices = std::mem::replace(&mut self.devices, vec![device.clone()]);
        let devices = devices
            .into_iter()
            .filter(|other| *other != device)
            .collect();
        Some(Parcel::new(others, devices, failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_once_the_sink_has_taken_something_else() {
        let mut failures = Failures::new(7);
        assert!(!failures.count(7) && !failures.count(7));
        assert_eq!(failures.total(), 2);
        // Then all of it was in trouble: those were its own.
        failures.forgive(7);
        assert!(!failures.count(7));
        assert_eq!(failures.total(), 1);
        assert!(failures.count(8));
        // It was well after that one.
        failures.forgive(9);
        assert!(failures.count(9));
        assert_eq!(failures.total(), 3);
        failures.forgive(9);
        assert_eq!(failures.total(), 2);
    }
}
