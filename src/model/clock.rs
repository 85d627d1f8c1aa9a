//! The wall clock as far as it may be believed where something is deleted by age. A clock that
//! jumps ahead (a flat battery, a wrong time server) makes everything old at once. It is asked for
//! nothing: who asks it gives both clocks, and keeps the reference time beside what it protects, so
//! that a restart does not make a wrong clock right.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Two clocks are never quite of one mind, and a correction of seconds is no jump.
const SLACK_MIN: Duration = Duration::from_secs(60);

/// Between two saves of the reference time at most: a crash costs so much of it.
const SAVE_INTERVAL: Duration = Duration::from_secs(3600);

/// The wall clock, checked against the monotonic one before anything is deleted by age.
#[derive(Debug, Clone)]
pub struct TrustedClock {
    /// How far ahead of what it should be the clock is still believed.
    slack: Duration,
    /// The time believed last, and its instant by the monotonic clock. `None`: nothing is known
    /// yet.
    reference: Option<(Instant, Timestamp)>,
    /// When the reference time was saved last.
    saved: Option<Instant>,
}

/// What the clock says, where it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Not after the wall clock's own time.
    pub now: Timestamp,
    /// How far ahead the wall clock is, where it is not believed.
    pub ahead: Option<Duration>,
}

impl TrustedClock {
    /// Entries `keep` old are deleted by it. A jump of a tenth of that is believed at once, since
    /// it does little harm.
    pub fn for_keeping(keep: Duration) -> TrustedClock {
        TrustedClock {
            slack: (keep / 10).max(SLACK_MIN),
            reference: None,
            saved: None,
        }
    }

    /// The time of a known earlier event, such as the newest entry that may be deleted. Counts
    /// before the first [`TrustedClock::read`] only.
    pub fn set_reference(&mut self, now: Instant, time: Option<Timestamp>) {
        self.reference = self.reference.or(time.map(|time| (now, time)));
    }

    /// The time believed last, and what has passed since: to be kept for the next start. It never
    /// goes back.
    pub fn reference(&self, now: Instant) -> Option<Timestamp> {
        let (since, time) = self.reference?;
        Some(later(time, now.saturating_duration_since(since)))
    }

    /// The reference time, where it is time to save it.
    pub fn take_unsaved(&mut self, now: Instant) -> Option<Timestamp> {
        let interval = SAVE_INTERVAL.min(self.slack / 2);
        let recent = |saved| now.saturating_duration_since(saved) < interval;
        if self.saved.is_some_and(recent) {
            return None;
        }
        let reference = self.reference(now)?;
        self.saved = Some(now);
        Some(reference)
    }

    /// The believed time, by the wall clock's time `clock`. A clock that is ahead of what has
    /// passed is not believed: until it is back, time goes twice as fast at most. So a daemon that
    /// was off for a year reaches the right time in a year, and a clock that is wrong for an hour
    /// deletes what is an hour older. A clock that is behind is believed: then less is deleted, and
    /// it may come back to where it was.
    pub fn read(&mut self, now: Instant, clock: Timestamp) -> Reading {
        let (since, time) = *self.reference.get_or_insert((now, clock));
        let passed = now.saturating_duration_since(since);
        let expected = later(time, passed);
        let ahead = Duration::try_from(clock.duration_since(expected)).unwrap_or_default();
        if ahead > self.slack {
            let believed = later(expected, passed).min(clock);
            self.reference = Some((now, believed));
            return Reading {
                now: believed,
                ahead: Some(ahead),
            };
        }
        self.reference = Some((now, clock.max(expected)));
        Reading {
            now: clock,
            ahead: None,
        }
    }
}

fn later(time: Timestamp, passed: Duration) -> Timestamp {
    time.checked_add(passed).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// Readings: the seconds that passed, the wall clock's second, the believed time, and whether
    /// the wall clock was doubted.
    fn check(reference: Option<i64>, readings: &[(u64, i64, i64, bool)]) {
        let begin = Instant::now();
        let mut clock = TrustedClock::for_keeping(Duration::from_secs(10 * DAY));
        clock.set_reference(begin, reference.map(at));
        for (passed, wall, believed, doubted) in readings {
            let reading = clock.read(begin + Duration::from_secs(*passed), at(*wall));
            assert_eq!(
                (reading.now, reading.ahead.is_some()),
                (at(*believed), *doubted),
                "{passed} s, {wall} s"
            );
        }
    }

    #[test]
    fn clock_that_goes_on_is_believed() {
        check(
            None,
            &[
                (0, 0, 0, false),
                (60, 60, 60, false),
                (120, 119, 119, false),
                (180, 3600, 3600, false),
            ],
        );
    }

    #[test]
    fn jump_ahead_is_not_believed_until_the_clock_is_back() {
        let years = 3650 * DAY as i64;
        check(
            None,
            &[
                (0, 0, 0, false),
                (60, years, 120, true),
                (3600, years + 3600, 2 * 3600, true),
                (3700, 3700, 3700, false),
            ],
        );
    }

    #[test]
    fn clock_that_stays_ahead_is_believed_once_as_much_time_has_passed() {
        let day = DAY as i64;
        // The daemon was off for three days: the slack is one.
        check(
            Some(0),
            &[
                (0, 3 * day, 0, true),
                (DAY, 4 * day, 2 * day, true),
                (2 * DAY, 5 * day, 4 * day, true),
                (3 * DAY, 6 * day, 6 * day, false),
            ],
        );
    }

    #[test]
    fn reference_goes_on_with_time_and_not_with_a_clock_that_is_not_believed() {
        let begin = Instant::now();
        let mut clock = TrustedClock::for_keeping(Duration::from_secs(10 * DAY));
        assert_eq!(clock.reference(begin), None);
        clock.set_reference(begin, Some(at(0)));
        clock.read(begin, at(3650 * DAY as i64));
        assert_eq!(clock.reference(begin + Duration::from_secs(7)), Some(at(7)));
        clock.read(begin + Duration::from_secs(7), at(-9));
        assert_eq!(clock.reference(begin + Duration::from_secs(7)), Some(at(7)));
    }

    #[test]
    fn jump_back_deletes_less_and_may_be_undone() {
        let years = 3650 * DAY as i64;
        check(
            None,
            &[
                (0, 0, 0, false),
                (60, -years, -years, false),
                (120, 120, 120, false),
                (180, years, 240, true),
            ],
        );
    }

    #[test]
    fn clock_is_held_against_what_was_there_at_the_start() {
        let years = 3650 * DAY as i64;
        check(Some(-60), &[(0, 0, 0, false)]);
        check(
            Some(-600),
            &[
                (0, years, -600, true),
                (10, years + 10, -580, true),
                (20, 20, 20, false),
            ],
        );
        // The newest entry came from a clock that was ahead.
        check(Some(years), &[(0, 0, 0, false), (10, 10, 10, false)]);
    }
}
