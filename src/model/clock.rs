//! The wall clock as far as it may be believed where something is deleted by age. A clock that
//! jumps ahead (a flat battery, a wrong time server) makes everything old at once. It is asked for
//! nothing: who asks it gives both clocks.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Two clocks are never quite of one mind, and a correction of seconds is no jump.
const SLACK_MIN: Duration = Duration::from_secs(60);

/// The wall clock, checked against the monotonic one before anything is deleted by age.
#[derive(Debug, Clone)]
pub struct TrustedClock {
    /// How far ahead of what it should be the clock is still believed.
    slack: Duration,
    /// The time believed last, and its instant by the monotonic clock. `None`: nothing is known
    /// yet.
    reference: Option<(Instant, Timestamp)>,
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
        }
    }

    /// The time of a known earlier event, such as the newest entry that may be deleted. Counts
    /// before the first [`TrustedClock::read`] only.
    pub fn set_reference(&mut self, now: Instant, time: Option<Timestamp>) {
        self.reference = self.reference.or(time.map(|time| (now, time)));
    }

    /// The believed time, by the wall clock's time `clock`. Ahead of what has passed since the last
    /// time it is not, until it is back. Behind it is: then less is deleted, and it may come back
    /// to where it was.
    pub fn read(&mut self, now: Instant, clock: Timestamp) -> Reading {
        let (since, time) = *self.reference.get_or_insert((now, clock));
        let expected = time
            .checked_add(now.saturating_duration_since(since))
            .unwrap_or(Timestamp::MAX);
        let ahead = Duration::try_from(clock.duration_since(expected)).unwrap_or_default();
        if ahead > self.slack {
            return Reading {
                now: expected,
                ahead: Some(ahead),
            };
        }
        if clock > expected {
            self.reference = Some((now, clock));
        }
        Reading {
            now: clock,
            ahead: None,
        }
    }
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
                (60, years, 60, true),
                (3600, years + 3600, 3600, true),
                (3700, 3700, 3700, false),
            ],
        );
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
                (180, years, 180, true),
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
                (10, years + 10, -590, true),
                (20, 20, 20, false),
            ],
        );
        // The newest entry came from a clock that was ahead.
        check(Some(years), &[(0, 0, 0, false), (10, 10, 10, false)]);
    }
}
