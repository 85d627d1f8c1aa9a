//! Which failed attempts to connect the log tells of: each error of an outage when it is new, then
//! at ever longer intervals. It knows no clock.

use std::time::Instant;

use crate::excerpt::without_numbers;
use crate::log_throttle::LogThrottle;

/// Errors of one outage that are known apart: each address has its own. Beyond it the oldest is
/// forgotten.
const ERRORS_MAX: usize = 16;

/// The errors of an outage that have been told.
#[derive(Debug, Default)]
pub(super) struct OutageLog {
    told: Vec<Told>,
}

#[derive(Debug)]
struct Told {
    address: String,
    /// Without its numbers.
    error: String,
    throttle: LogThrottle,
}

impl OutageLog {
    /// Whether to log that an attempt at an address failed so.
    pub(super) fn should_log(&mut self, address: &str, error: &str, now: Instant) -> bool {
        let error = without_numbers(error);
        let mut all = self.told.iter_mut();
        if let Some(told) = all.find(|told| told.address == address && told.error == error) {
            return told.throttle.should_log(now).is_some();
        }
        if self.told.len() == ERRORS_MAX {
            self.told.remove(0);
        }
        let mut throttle = LogThrottle::rarer();
        throttle.take(now);
        self.told.push(Told {
            address: address.to_owned(),
            error,
            throttle,
        });
        true
    }

    /// Whether an attempt has failed since the last connection that was live.
    pub(super) fn is_outage(&self) -> bool {
        !self.told.is_empty()
    }

    /// A connection is live, or all begins again: the next failure is news.
    pub(super) fn over(&mut self) {
        self.told.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_night_of_failures_is_a_dozen_lines_and_a_new_error_one_more() {
        let (mut log, start) = (OutageLog::default(), Instant::now());
        let mut night = |errors: &[&str]| {
            let lines = (0..12 * 240).filter(|attempt| {
                let now = start + Duration::from_secs(attempt * 15);
                let error = errors[usize::try_from(*attempt).unwrap() % errors.len()];
                let (address, error) = error.split_once(": ").unwrap();
                let error = error.replace('#', &attempt.to_string());
                log.should_log(address, &error, now)
            });
            let lines = lines.count();
            log.over();
            lines
        };
        for error in [
            "a: refused",
            "a: refused after # ms",
            "a: no answer to 127.0.0.1:# (attempt #)",
        ] {
            let one = night(&[error]);
            assert!((8..24).contains(&one), "{error}: {one} lines");
        }
        for errors in [
            // Two addresses that fail in turn are two errors, and so are two answers.
            ["10.0.0.1: refused", "10.0.0.2: refused"],
            [
                "a: sign-in refused: b answered 401",
                "a: sign-in refused: b answered 502",
            ],
            [
                "a: closed with code 1006 after # ms",
                "a: closed with code 1011 after # ms",
            ],
        ] {
            let two = night(&errors);
            assert!((16..48).contains(&two), "{errors:?}: {two} lines");
        }
    }

    #[test]
    fn errors_without_end_are_not_all_remembered() {
        let (mut log, now) = (OutageLog::default(), Instant::now());
        assert!(!log.is_outage());
        let error = |number: usize| "x".repeat(number);
        assert!((0..100).all(|number| log.should_log("a", &error(number), now)));
        assert_eq!(log.told.len(), ERRORS_MAX);
        assert!(log.is_outage() && !log.should_log("a", &error(99), now));
        log.over();
        assert!(!log.is_outage() && log.should_log("a", &error(99), now));
    }
}
