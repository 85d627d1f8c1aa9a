//! Which failed attempts to connect the log tells of: each error of an outage when it is new, then
//! at ever longer intervals. It knows no clock.

use std::time::{Duration, Instant};

/// Between two lines with the same error, at first and at most.
const QUIET_FIRST: Duration = Duration::from_secs(60);
const QUIET_LONGEST: Duration = Duration::from_secs(3600);

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
    error: String,
    at: Instant,
    quiet: Duration,
}

impl OutageLog {
    /// Whether to log an attempt that failed so.
    pub(super) fn should_log(&mut self, error: &str, now: Instant) -> bool {
        if let Some(told) = self.told.iter_mut().find(|told| told.error == error) {
            let is_due = now >= told.at + told.quiet;
            if is_due {
                told.at = now;
                told.quiet = (told.quiet * 2).min(QUIET_LONGEST);
            }
            return is_due;
        }
        if self.told.len() == ERRORS_MAX {
            self.told.remove(0);
        }
        self.told.push(Told {
            error: error.to_owned(),
            at: now,
            quiet: QUIET_FIRST,
        });
        true
    }

    /// Whether an attempt has failed since the last connection that was live.
    pub(super) fn is_outage(&self) -> bool {
        !self.told.is_empty()
    }

    /// A connection is live, or all is to begin anew: the next failure is news.
    pub(super) fn over(&mut self) {
        self.told.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_of_failures_is_a_dozen_lines_and_a_new_error_one_more() {
        let (mut log, start) = (OutageLog::default(), Instant::now());
        let mut night = |errors: &[&str]| {
            let lines = (0..12 * 240).filter(|attempt| {
                let now = start + Duration::from_secs(attempt * 15);
                let error = errors[usize::try_from(*attempt).unwrap() % errors.len()];
                log.should_log(error, now)
            });
            let lines = lines.count();
            log.over();
            lines
        };
        let one = night(&["refused"]);
        assert!((8..24).contains(&one), "{one} lines");
        // Two addresses that fail in turn are two errors.
        let two = night(&["a: refused", "b: refused"]);
        assert!((16..48).contains(&two), "{two} lines");
    }

    #[test]
    fn errors_without_end_are_not_all_remembered() {
        let (mut log, now) = (OutageLog::default(), Instant::now());
        assert!(!log.is_outage());
        assert!((0..100).all(|number| log.should_log(&number.to_string(), now)));
        assert_eq!(log.told.len(), ERRORS_MAX);
        assert!(log.is_outage() && !log.should_log("99", now));
        log.over();
        assert!(!log.is_outage() && log.should_log("99", now));
    }
}
