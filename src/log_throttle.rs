//! When a line of one kind is logged again. What happens meanwhile is counted. It knows no clock.

use std::time::{Duration, Instant};

/// Between two lines, and at first between two of a trouble that lasts.
pub const INTERVAL: Duration = Duration::from_secs(60);

/// Between two lines of a trouble that lasts, at most.
pub const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// One kind of line: the first is logged at once, all others after an interval, with a count.
#[derive(Debug)]
pub struct LogThrottle {
    logged: Option<Instant>,
    /// Until the next line.
    interval: Duration,
    interval_max: Duration,
    /// Since the last line.
    times: u64,
}

impl Default for LogThrottle {
    /// A line in each [`INTERVAL`].
    fn default() -> LogThrottle {
        LogThrottle {
            logged: None,
            interval: INTERVAL,
            interval_max: INTERVAL,
            times: 0,
        }
    }
}

impl LogThrottle {
    /// Each interval is twice as long as the one before it, up to [`INTERVAL_MAX`].
    pub fn rarer() -> LogThrottle {
        LogThrottle {
            interval_max: INTERVAL_MAX,
            ..LogThrottle::default()
        }
    }

    /// It has happened. Gives how many times since the last line, if it is time for another.
    pub fn should_log(&mut self, now: Instant) -> Option<u64> {
        self.count(1);
        self.take_due(now)
    }

    /// It has happened so many times.
    pub fn count(&mut self, times: u64) {
        self.times += times;
    }

    /// How many times it has happened since the last line, if it has and it is time for another.
    pub fn take_due(&mut self, now: Instant) -> Option<u64> {
        if self.times == 0 || self.logged.is_some_and(|at| now < at + self.interval) {
            return None;
        }
        if self.logged.is_some() {
            self.interval = (self.interval * 2).min(self.interval_max);
        }
        Some(self.take(now))
    }

    /// The same, though it may be early.
    pub fn take(&mut self, now: Instant) -> u64 {
        self.logged = Some(now);
        std::mem::take(&mut self.times)
    }

    /// When the last line was logged.
    pub fn logged(&self) -> Option<Instant> {
        self.logged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_logged_at_once_and_then_all_of_a_minute_in_one_line() {
        let (mut throttle, start) = (LogThrottle::default(), Instant::now());
        let mut lines = Vec::new();
        for second in 0..=150 {
            let now = start + Duration::from_secs(second);
            if second < 90 {
                throttle.count(10);
            }
            lines.extend(throttle.take_due(now).map(|times| (second, times)));
        }
        assert_eq!(lines, [(0, 10), (60, 600), (120, 290)]);
        let early = start + Duration::from_secs(151);
        assert_eq!(throttle.should_log(early), None);
        assert_eq!((throttle.take(early), throttle.logged()), (1, Some(early)));
    }

    #[test]
    fn what_lasts_is_logged_ever_more_rarely_and_not_more_rarely_than_each_hour() {
        let (mut throttle, start) = (LogThrottle::rarer(), Instant::now());
        let logged = |minute: &u64| {
            let now = start + Duration::from_secs(60 * minute);
            throttle.should_log(now).is_some()
        };
        let lines: Vec<u64> = (0..300).filter(logged).collect();
        assert_eq!(lines, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
    }
}
