//! Which lines about a trouble are logged: when its text changes, then at growing intervals, and never
//! in a flood.

use std::time::Duration;

use tokio::time::Instant;

use crate::excerpt::without_numbers;
use crate::log_throttle::LogThrottle;

/// Between any two lines of a kind: a thousand events may be rejected at once, each with a text of
/// its own.
pub(super) const QUIET_ALWAYS: Duration = Duration::from_secs(1);

/// One kind of line.
#[derive(Debug, Default)]
pub(super) struct TroubleLog {
    said: Option<Said>,
}

#[derive(Debug)]
struct Said {
    /// Without its numbers.
    error: String,
    throttle: LogThrottle,
}

impl TroubleLog {
    /// Whether to log it now.
    pub(super) fn should_log(&mut self, error: &str, now: Instant) -> bool {
        let (error, now) = (without_numbers(error), now.into_std());
        if let Some(Said { throttle, .. }) = &self.said
            && throttle.logged().is_some_and(|at| now < at + QUIET_ALWAYS)
        {
            return false;
        }
        let said = self.said.take_if(|said| said.error == error);
        let said = self.said.insert(said.unwrap_or_else(|| Said {
            error,
            throttle: LogThrottle::rarer(),
        }));
        said.throttle.should_log(now).is_some()
    }

    /// It has passed: the next one is news.
    pub(super) fn over(&mut self) {
        self.said = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_trouble_is_said_at_growing_intervals_and_another_sooner() {
        let start = Instant::now();
        let mut throttle = TroubleLog::default();
        let lines = (0..24 * 60).filter(|minute| {
            let error = format!("refused after {minute} ms");
            throttle.should_log(&error, start + Duration::from_secs(60 * minute))
        });
        let lines = lines.count();
        assert!((10..40).contains(&lines), "{lines} lines a day");
        let flood = start + Duration::from_secs(48 * 3600);
        let lines = (0..5000).filter(|ms| {
            let error = ["refused", "timed out"][usize::from(ms % 2 == 0)];
            throttle.should_log(error, flood + Duration::from_millis(*ms))
        });
        assert_eq!(lines.count(), 5, "one line a second at most");
        throttle.over();
        let later = start + Duration::from_secs(24 * 3600);
        assert!(throttle.should_log("timed out", later));
        assert!(!throttle.should_log("timed out", later + QUIET_ALWAYS));
        throttle.over();
        assert!(throttle.should_log("timed out", later + QUIET_ALWAYS));
    }
}
