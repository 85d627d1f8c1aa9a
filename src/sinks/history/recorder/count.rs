//! Days that are counted beside the batches: those that are over, and all again in another zone.

use std::sync::Arc;

use jiff::Timestamp;

use super::Recorder;
use super::keys::newest;
use crate::sinks::history::daily::{Days, Sign, Stay};
use crate::sinks::history::device::{Device, Swept};
use crate::sinks::history::timeline::{Piece, State};

/// Days that are counted in one step, each a row: some ten milliseconds.
const STEP_DAYS: i64 = 1000;

impl Recorder {
    /// As many of these devices, the first ones, as one step can count up to `until`.
    pub(in crate::sinks::history) fn one_step(
        mut devices: Vec<Device>,
        until: Timestamp,
    ) -> Vec<Device> {
        let mut days = 0;
        let fits = |device: &&Device| {
            let since = device.swept.map_or(device.open.since, |swept| swept.until);
            days += 1 + until.duration_since(since).as_hours() / 24;
            days <= STEP_DAYS
        };
        let count = devices.iter().take_while(fits).count();
        devices.truncate(count.max(1));
        devices
    }

    /// Counts the open pieces of these devices up to `until`, the beginning of a day, and what was
    /// counted of them before no longer.
    pub(in crate::sinks::history) fn sweep(&mut self, devices: Vec<Device>, until: Timestamp) {
        for found in devices {
            let id = Arc::clone(&found.id);
            self.devices.hold_unless_held(found);
            let Some(device) = self.devices.get_mut(&id) else {
                continue;
            };
            if device.key >= self.recounted_below || device.open.since >= until {
                continue;
            }
            let stay = (device.key, &device.open.state, device.open.since);
            if let Some(swept) = device.swept {
                count_swept(&mut self.days, Sign::Remove, stay, swept);
            }
            let topic = self.topic_names.get(&device.topic_key);
            let newest = newest(&self.journals, device);
            let gap = topic.and_then(|topic| self.gaps.first(topic, newest, until));
            let swept = Swept {
                certain_until: gap.map_or(until, |gap| gap.since),
                until,
            };
            count_swept(&mut self.days, Sign::Add, stay, swept);
            device.swept = Some(swept);
            self.devices.change_id(&id);
        }
    }

    /// Counts the closed pieces of a device, which no day has yet. Its open piece is counted by the
    /// next sweep.
    pub(in crate::sinks::history) fn recount(&mut self, found: Device, pieces: &[Piece]) {
        let id = Arc::clone(&found.id);
        self.devices.hold_unless_held(found);
        let Some(device) = self.devices.get_mut(&id) else {
            return;
        };
        for piece in pieces {
            self.days.piece(Sign::Add, device.key, piece);
            let entered = (&piece.state, piece.since, piece.run_since);
            enter(&mut self.days, Sign::Add, device.key, entered);
        }
        let entered = (&device.open.state, device.open.since, device.open.run_since);
        enter(&mut self.days, Sign::Add, device.key, entered);
        self.recounted_below = device.key + 1;
        if device.swept.take().is_some() {
            self.devices.change_id(&id);
        }
    }

    /// All devices are counted.
    pub(in crate::sinks::history) fn recounted(&mut self) {
        self.recounted_below = i64::MAX;
    }

    /// The devices with smaller keys are counted.
    pub(in crate::sinks::history) fn recounted_below(&self) -> i64 {
        self.recounted_below
    }
}

/// A run that began with this piece was entered.
pub(super) fn enter(
    days: &mut Days,
    sign: Sign,
    device: i64,
    (state, since, run_since): (&State, Timestamp, Timestamp),
) {
    if since == run_since {
        days.enter(sign, device, state, since);
    }
}

pub(super) fn count_swept(
    days: &mut Days,
    sign: Sign,
    (device, state, since): (i64, &State, Timestamp),
    swept: Swept,
) {
    let state = days.key(state);
    for (certain, since, until) in [
        (true, since, swept.certain_until),
        (false, swept.certain_until, swept.until),
    ] {
        let stay = Stay {
            device,
            state,
            certain,
            since,
            until,
        };
        days.stay(sign, stay);
    }
}
