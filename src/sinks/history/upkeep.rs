//! What a history does beside its batches, in steps that take some ten milliseconds each: days that
//! are over are counted, and what is past the retention of intervals is deleted. Here stands which
//! step comes next; `work` makes it, in a transaction of either database.

mod work;

use std::time::{Duration, Instant};

use jiff::Timestamp;

pub(super) use self::work::work;
use super::recorder::Recorder;
use super::retention::PIECE_ROWS;

/// Devices of one step.
const SWEEP_DEVICES: u32 = 500;
/// Devices whose pieces are counted again in one step.
const RECOUNT_DEVICES: u32 = 20;
/// Between two rounds of deleting what is past the retention of intervals.
const ROUND_INTERVAL: Duration = Duration::from_secs(3600);
/// After a step that failed.
const FAILED_WAIT: Duration = Duration::from_secs(60);

/// How far each of these has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Upkeep {
    /// The midnight up to which all devices are counted.
    swept: Option<Timestamp>,
    /// The midnight up to which some are, and the last of them.
    sweeping: Option<(Timestamp, i64)>,
    round: Option<Round>,
    next_round: Option<Instant>,
    /// A step has failed: no other before this time.
    waits_until: Option<Instant>,
    /// All days are counted again, and nobody has said so yet.
    recounted: bool,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// The recorder begins with what is stored.
    Load,
    /// Some days are counted again.
    Recount,
    /// The devices behind this one are counted up to this midnight.
    Sweep(i64, Timestamp),
    /// Some of what is too old is deleted.
    Delete(Round),
}

/// A round of deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    Pieces,
    Days,
    Coverage,
    /// What no event refers to any longer.
    Months,
}

/// The times that rows are deleted before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    pub(super) statuses: Option<Timestamp>,
    pub(super) intervals: Option<Timestamp>,
}

/// Whether there may be more to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stepped {
    More,
    Done,
    /// A step has failed lately, and is not tried yet.
    Waits,
}

impl Upkeep {
    /// `None`: nothing is due. `now` is believed, and all that was received before it is stored.
    pub(super) fn next(&mut self, recorder: &mut Recorder, now: Timestamp) -> Option<Work> {
        if !recorder.is_loaded() {
            return Some(Work::Load);
        }
        if recorder.recounted_below() != i64::MAX {
            return Some(Work::Recount);
        }
        let midnight = recorder.midnight(now);
        if self.swept.is_none_or(|swept| swept < midnight) {
            // Those that were counted up to another one are counted up to this one, too.
            let sweeping = self.sweeping.filter(|(until, _)| *until == midnight);
            let after = sweeping.map_or(0, |(_, device)| device);
            return Some(Work::Sweep(after, midnight));
        }
        if self.round.is_none() && self.next_round.is_none_or(|next| next <= Instant::now()) {
            self.round = Some(Round::Pieces);
            self.next_round = Some(Instant::now() + ROUND_INTERVAL);
        }
        self.round.map(Work::Delete)
    }

    /// Whether days are to be counted: until then answers lack them.
    pub(super) fn counts(&self, recorder: &Recorder) -> bool {
        let is_swept = self.swept.is_some() && self.sweeping.is_none();
        !recorder.is_loaded() || recorder.recounted_below() != i64::MAX || !is_swept
    }

    /// Whether all days were counted again by the last step.
    pub(super) fn take_recounted(&mut self) -> bool {
        std::mem::take(&mut self.recounted)
    }

    /// The devices up to this one are counted; `None`: all.
    fn swept(&mut self, last: Option<i64>, midnight: Timestamp) {
        self.sweeping = last.map(|device| (midnight, device));
        if last.is_none() {
            self.swept = Some(midnight);
        }
    }

    /// Whether a step has failed lately.
    pub(super) fn waits(&self) -> bool {
        self.waits_until.is_some_and(|until| Instant::now() < until)
    }

    /// A step has failed, and nothing of it is stored: it is made again from how it was `before`.
    pub(super) fn failed(&mut self, before: Upkeep) {
        *self = before;
        self.waits_until = Some(Instant::now() + FAILED_WAIT);
    }

    /// Where the round of deletion goes on; `None`: it has ended.
    fn goes_on(&mut self, round: Option<Round>) {
        self.round = round;
    }
}

impl Round {
    /// What follows a step that has deleted so many rows.
    fn after(self, deleted: u64) -> Round {
        if deleted >= u64::from(PIECE_ROWS) {
            return self;
        }
        match self {
            Round::Pieces => Round::Days,
            Round::Days => Round::Coverage,
            Round::Coverage | Round::Months => Round::Months,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::history::recorder::Base;

    #[test]
    fn a_sweep_goes_on_behind_the_last_device_and_up_to_another_midnight_it_begins_again() {
        let mut recorder = Recorder::new(jiff::tz::TimeZone::UTC);
        let base = Base {
            recounted_below: i64::MAX,
            ..Base::default()
        };
        recorder.load(1, base);
        let mut upkeep = Upkeep::default();
        let mut check = |now: &str, expected: i64, last: Option<i64>| {
            let next = upkeep.next(&mut recorder, now.parse().unwrap());
            let Some(Work::Sweep(after, midnight)) = next else {
                panic!("{now}: {next:?}")
            };
            assert_eq!(after, expected, "{now}");
            upkeep.swept(last, midnight);
        };
        check("2026-11-29T23:59:58Z", 0, Some(500));
        check("2026-11-29T23:59:59Z", 500, Some(1000));
        // Batches of before midnight may come behind those of after it.
        check("2026-11-30T00:00:01Z", 0, Some(500));
        check("2026-11-29T23:59:59Z", 0, None);
        check("2026-11-30T00:00:02Z", 0, None);
        check("2026-12-01T00:00:00Z", 0, Some(500));
    }

    #[test]
    fn a_round_repeats_a_full_step() {
        let full = u64::from(PIECE_ROWS);
        let mut round = Round::Pieces;
        let mut passed = vec![];
        for deleted in [full, 3, full, 0, 1] {
            round = round.after(deleted);
            passed.push(round);
        }
        let expected = [
            Round::Pieces,
            Round::Days,
            Round::Days,
            Round::Coverage,
            Round::Months,
        ];
        assert_eq!(passed, expected);
    }
}
