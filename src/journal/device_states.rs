//! How many devices are in each state, and which changed last, for readers. Kept with the last
//! states, entry by entry: nobody counts the devices. Does no IO.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

/// States that are counted by themselves, of all streams. A field that was mapped by mistake may
/// bring another word with each status: such words share one count.
const STATES_MAX: usize = 1000;

/// Changes that are kept.
const CHANGES_MAX: usize = 24;

/// How many devices are in a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCount {
    /// The stream of the devices.
    pub stream: Arc<str>,
    /// The state as sent; empty for the words that are not counted by themselves.
    pub state: Box<str>,
    /// How many devices are in it.
    pub devices: u64,
}

/// A device has another state than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The device's stream.
    pub stream: Arc<str>,
    /// Its owner; empty where the message names none.
    pub client_id: Box<str>,
    /// The device.
    pub device_id: Box<str>,
    /// The last state known before, as sent.
    pub from: Box<str>,
    /// The state now, as sent.
    pub to: Box<str>,
    /// When its status was received.
    pub at: Timestamp,
}

/// Both of them, as they are now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DeviceStates {
    counts: BTreeMap<(Arc<str>, Box<str>), u64>,
    /// Devices in states that are not counted by themselves. While there are any, no state begins to
    /// be counted: nobody knows how many of its devices are among these.
    others: u64,
    changes: VecDeque<Change>,
    /// Changes since the start.
    changed: u64,
}

impl DeviceStates {
    /// So many devices are in a state.
    pub(super) fn begin(&mut self, stream: Arc<str>, state: Box<str>, devices: u64) {
        if devices == 0 {
            return;
        }
        self.enter(&stream, &state);
        match self.counts.get_mut(&(stream, state)) {
            Some(count) => *count += devices - 1,
            None => self.others += devices - 1,
        }
    }

    /// A device is in a state from now on.
    pub(super) fn enter(&mut self, stream: &Arc<str>, state: &str) {
        let key = (Arc::clone(stream), state.into());
        let has_room = self.others == 0 && self.counts.len() < STATES_MAX;
        match self.counts.get_mut(&key) {
            Some(count) => *count += 1,
            None if has_room => drop(self.counts.insert(key, 1)),
            None => self.others += 1,
        }
    }

    /// A device is no longer in a state.
    pub(super) fn leave(&mut self, stream: &Arc<str>, state: &str) {
        let key = (Arc::clone(stream), state.into());
        match self.counts.get_mut(&key) {
            Some(1) if self.others == 0 => drop(self.counts.remove(&key)),
            Some(count) => *count = count.saturating_sub(1),
            None => self.others = self.others.saturating_sub(1),
        }
    }

    /// A device that was known has another state.
    pub(super) fn change(&mut self, change: Change) {
        self.leave(&change.stream, &change.from);
        self.enter(&change.stream, &change.to);
        self.list(change);
    }

    /// A device has changed its state, which is counted already.
    pub(super) fn list(&mut self, change: Change) {
        if self.changes.len() == CHANGES_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
        self.changed += 1;
    }

    /// How many devices are in each state.
    pub(super) fn counts(&self) -> Vec<StateCount> {
        let known = self.counts.iter().filter(|(_, devices)| **devices > 0);
        let known = known.map(|((stream, state), devices)| StateCount {
            stream: Arc::clone(stream),
            state: state.clone(),
            devices: *devices,
        });
        let others = (self.others > 0).then(|| StateCount {
            stream: "".into(),
            state: "".into(),
            devices: self.others,
        });
        known.chain(others).collect()
    }

    /// The last changes, the newest first, and how many there were since the start.
    pub(super) fn changes(&self) -> (Vec<Change>, u64) {
        (self.changes.iter().rev().cloned().collect(), self.changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(from: &str, to: &str) -> Change {
        Change {
            stream: "s".into(),
            client_id: "1".into(),
            device_id: "2".into(),
            from: from.into(),
            to: to.into(),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    fn counted(states: &DeviceStates) -> Vec<(String, u64)> {
        let counts = states.counts().into_iter();
        counts.map(|it| (it.state.into(), it.devices)).collect()
    }

    #[test]
    fn devices_are_counted_as_they_come_change_and_go() {
        let (mut states, stream) = (DeviceStates::default(), Arc::from("s"));
        states.begin(Arc::clone(&stream), "ok".into(), 3);
        states.enter(&stream, "fault");
        states.change(change("ok", "fault"));
        let expected = [("fault".to_owned(), 2), ("ok".to_owned(), 2)];
        assert_eq!(counted(&states), expected);
        states.leave(&stream, "fault");
        states.leave(&stream, "fault");
        assert_eq!(counted(&states), [("ok".to_owned(), 2)]);
        for _ in 0..2 * CHANGES_MAX {
            states.change(change("ok", "ok"));
        }
        let (changes, changed) = states.changes();
        assert_eq!(
            (changes.len(), changed),
            (CHANGES_MAX, 2 * CHANGES_MAX as u64 + 1)
        );
    }

    #[test]
    fn words_without_end_share_one_count() {
        let (mut states, stream) = (DeviceStates::default(), Arc::from("s"));
        for word in 0..STATES_MAX + 5 {
            states.enter(&stream, &word.to_string());
        }
        assert_eq!(states.counts().len(), STATES_MAX + 1);
        assert_eq!(states.counts()[STATES_MAX].devices, 5);
        states.leave(&stream, "0");
        states.enter(&stream, "another");
        assert_eq!(states.counts()[STATES_MAX - 1].devices, 6);
        for word in 1..STATES_MAX {
            states.leave(&stream, &word.to_string());
        }
        (0..6).for_each(|_| states.leave(&stream, "another"));
        assert_eq!(states.counts(), []);
    }
}
