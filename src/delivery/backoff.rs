//! How long a sink in trouble is left alone, and how often that is worth a line in the log.

use std::time::Duration;

use tokio::time::Instant;

/// The upper bound of the first wait.
const FIRST: Duration = Duration::from_millis(500);

/// The upper bound of every wait that we choose.
const LONGEST: Duration = Duration::from_secs(60);

/// The upper bound of a wait that the other side asked for.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3600);

/// Between any two lines: a thousand events may be refused at once, each with a text of its own.
const QUIET_ALWAYS: Duration = Duration::from_secs(1);

/// Between two lines about the same trouble, at first and at most.
const QUIET_FIRST: Duration = Duration::from_secs(60);
const QUIET_LONGEST: Duration = Duration::from_secs(3600);

/// Waits between attempts: exponential with full jitter, so that many daemons do not come back at
/// once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait, never shorter than what the other side asked for.
    pub(super) fn next(&mut self, after: Option<Duration>) -> Duration {
        let bound = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures += 1;
        let jittered = bound.mul_f64(fastrand::f64());
        jittered.max(after.unwrap_or_default().min(LONGEST_ASKED))
    }

    /// Something was delivered.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// One kind of trouble: said when it changes, then at growing intervals, and never in a flood.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    said: Option<Said>,
}

#[derive(Debug)]
struct Said {
    error: String,
    at: Instant,
    quiet: Duration,
}

impl Complaint {
    /// Whether to log it now.
    pub(super) fn worth_a_line(&mut self, error: &str, now: Instant) -> bool {
        let quiet = match &self.said {
            Some(said) if now < said.at + QUIET_ALWAYS => return false,
            Some(said) if said.error == error && now < said.at + said.quiet => return false,
            Some(said) if said.error == error => (said.quiet * 2).min(QUIET_LONGEST),
            _ => QUIET_FIRST,
        };
        self.said = Some(Said {
            error: error.to_owned(),
            at: now,
            quiet,
        });
        true
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
    fn waits_grow_to_their_bound_and_honour_what_was_asked() {
        let mut backoff = Backoff::default();
        let mut bound = FIRST;
        for _ in 0..100 {
            assert!(backoff.next(None) <= bound);
            bound = (bound * 2).min(LONGEST);
        }
        let asked = Duration::from_secs(300);
        assert_eq!(backoff.next(Some(asked)), asked);
        assert_eq!(backoff.next(Some(Duration::MAX)), LONGEST_ASKED);
        let longest = (0..1000).map(|_| backoff.next(None)).max();
        assert!(longest > Some(LONGEST / 2), "waits stay long: {longest:?}");
        backoff.reset();
        assert!(backoff.next(None) <= FIRST);
    }

    #[test]
    fn same_trouble_is_said_at_growing_intervals_and_another_sooner() {
        let start = Instant::now();
        let mut complaint = Complaint::default();
        let lines = (0..24 * 60).filter(|minute| {
            complaint.worth_a_line("refused", start + Duration::from_secs(60 * minute))
        });
        let lines = lines.count();
        assert!((10..40).contains(&lines), "{lines} lines a day");
        let flood = start + Duration::from_secs(48 * 3600);
        let lines = (0..5000).filter(|ms| {
            complaint.worth_a_line(&ms.to_string(), flood + Duration::from_millis(*ms))
        });
        assert_eq!(lines.count(), 5, "one line a second at most");
        complaint.over();
        let later = start + Duration::from_secs(24 * 3600);
        assert!(complaint.worth_a_line("timed out", later));
        assert!(!complaint.worth_a_line("timed out", later + QUIET_ALWAYS));
        complaint.over();
        assert!(complaint.worth_a_line("timed out", later + QUIET_ALWAYS));
    }
}
