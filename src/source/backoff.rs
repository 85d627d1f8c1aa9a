//! How long to wait before the next attempt: exponential with full jitter, so that a fleet of daemons does not
//! return in step.

use std::time::Duration;

use super::Reconnect;

/// A connection that lived so long was good: the next failure starts the backoff anew.
pub(super) const STABLE: Duration = Duration::from_secs(60);

/// Refused credentials do not mend themselves in a second, and some servers lock an account that keeps trying.
pub(super) const REFUSED_MIN: Duration = Duration::from_secs(30);

/// Refused attempts wait at most so long.
const REFUSED_MAX: Duration = Duration::from_secs(300);

/// Counts failures in a row.
#[derive(Debug)]
pub(super) struct Backoff {
    reconnect: Reconnect,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(reconnect: Reconnect) -> Backoff {
        Backoff { reconnect, failures: 0 }
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// A connection ended after `lived` of being subscribed.
    pub(super) fn lived(&mut self, lived: Duration) {
        if lived >= STABLE {
            self.failures = 0;
        }
    }

    /// Counts a failure and gives the wait, `random` (0 to 1) of the bound; `None` once the attempts are used up.
    pub(super) fn next(&mut self, random: f64) -> Option<Duration> {
        self.fail()?;
        let bound = doubled(self.reconnect.initial, self.failures - 1).min(self.reconnect.max);
        Some(bound.mul_f64(random))
    }

    /// As [`Backoff::next`], for an attempt that the server refused: slower, with the jitter above the bound.
    pub(super) fn next_refused(&mut self, random: f64) -> Option<Duration> {
        self.fail()?;
        let bound = doubled(REFUSED_MIN, self.failures - 1).min(REFUSED_MAX);
        Some(bound.mul_f64(1.0 + random / 2.0))
    }

    fn fail(&mut self) -> Option<()> {
        self.failures = self.failures.saturating_add(1);
        match self.reconnect.attempts {
            Some(attempts) if self.failures >= attempts => None,
            _ => Some(()),
        }
    }
}

fn doubled(base: Duration, times: u32) -> Duration {
    base.saturating_mul(2_u32.saturating_pow(times.min(31)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(attempts: Option<u32>) -> Backoff {
        let (initial, max) = (Duration::from_secs(1), Duration::from_secs(60));
        Backoff::new(Reconnect { initial, max, attempts })
    }

    #[test]
    fn the_bound_doubles_up_to_the_maximum() {
        let mut backoff = backoff(None);
        let waits: Vec<u64> = (0..9).map(|_| backoff.next(1.0).unwrap().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        for _ in 0..200 {
            assert!(backoff.next(1.0).unwrap() <= Duration::from_secs(60));
        }
    }

    #[test]
    fn jitter_takes_any_part_of_the_bound() {
        assert_eq!(backoff(None).next(0.0), Some(Duration::ZERO));
        assert_eq!(backoff(None).next(0.25), Some(Duration::from_millis(250)));
    }

    #[test]
    fn only_a_stable_connection_resets_it() {
        let mut backoff = backoff(None);
        (0..5).for_each(|_| assert!(backoff.next(1.0).is_some()));
        backoff.lived(STABLE - Duration::from_millis(1));
        assert_eq!(backoff.next(1.0), Some(Duration::from_secs(32)));
        backoff.lived(STABLE);
        assert_eq!(backoff.next(1.0), Some(Duration::from_secs(1)));
    }

    #[test]
    fn attempts_bound_it() {
        let mut backoff = backoff(Some(3));
        assert!(backoff.next(1.0).is_some());
        assert!(backoff.next(1.0).is_some());
        assert_eq!(backoff.next(1.0), None);
    }

    #[test]
    fn a_refusal_waits_half_a_minute_at_least_and_five_and_a_half_at_most() {
        let mut backoff = backoff(None);
        assert_eq!(backoff.next_refused(0.0), Some(REFUSED_MIN));
        for _ in 0..100 {
            let wait = backoff.next_refused(1.0).unwrap();
            assert!(wait >= REFUSED_MIN && wait <= REFUSED_MAX.mul_f64(1.5));
        }
    }
}
