//! How long to wait before the next attempt: exponential with full jitter, so that a fleet of
//! daemons does not return in step. Short waits and long ones come in pairs, so that chance never
//! makes an hour of short ones.

use std::time::Duration;

use super::settings::Reconnect;

/// A connection that lived so long was good: the next failure starts the backoff anew.
pub(super) const STABLE: Duration = Duration::from_secs(60);

/// Refused credentials do not mend themselves in a second, and some servers lock an account that
/// keeps trying.
pub(super) const REFUSED_MIN: Duration = Duration::from_secs(30);

/// Refused attempts wait at most so long.
const REFUSED_MAX: Duration = Duration::from_secs(300);

/// Counts failures in a row.
#[derive(Debug)]
pub(super) struct Backoff {
    reconnect: Reconnect,
    failures: u32,
    /// What the next wait takes instead of a random part: the rest of the one before.
    rest: Option<f64>,
}

impl Backoff {
    pub(super) fn new(reconnect: Reconnect) -> Backoff {
        Backoff {
            reconnect,
            failures: 0,
            rest: None,
        }
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// A connection ended after `lived` of being subscribed.
    pub(super) fn lived(&mut self, lived: Duration) {
        if lived >= STABLE {
            self.failures = 0;
            self.rest = None;
        }
    }

    /// Counts a failure and gives the wait, `random` (0 to 1) of the bound, and every other time
    /// what that left of it; `None` once the attempts are used up.
    pub(super) fn next(&mut self, random: f64) -> Option<Duration> {
        self.fail()?;
        let bound = doubled(self.reconnect.initial, self.failures - 1).min(self.reconnect.max);
        let part = self.rest.take().unwrap_or_else(|| {
            self.rest = Some(1.0 - random);
            random
        });
        Some(bound.mul_f64(part))
    }

    /// As [`Backoff::next`], for an attempt that the server refused: slower, with the jitter above
    /// the bound.
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
        Backoff::new(Reconnect {
            initial,
            max,
            attempts,
        })
    }

    #[test]
    fn the_bound_doubles_up_to_the_maximum() {
        let mut backoff = backoff(None);
        let waits: Vec<u128> = (0..9)
            .map(|_| backoff.next(0.5).unwrap().as_millis())
            .collect();
        assert_eq!(
            waits,
            [
                500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000
            ]
        );
        for _ in 0..200 {
            assert!(backoff.next(1.0).unwrap() <= Duration::from_secs(60));
        }
    }

    #[test]
    fn jitter_takes_any_part_of_the_bound_and_then_the_rest() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let mut backoff = backoff(None);
        assert_eq!(
            [0.0, 0.9, 0.25, 0.9].map(|random| backoff.next(random)),
            [ms(0), ms(2_000), ms(1_000), ms(6_000)]
        );
    }

    #[test]
    fn only_a_stable_connection_resets_it() {
        let mut backoff = backoff(None);
        (0..5).for_each(|_| assert!(backoff.next(0.5).is_some()));
        backoff.lived(STABLE - Duration::from_millis(1));
        assert_eq!(backoff.next(0.5), Some(Duration::from_secs(16)));
        backoff.lived(STABLE);
        assert_eq!(backoff.next(1.0), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_dead_server_is_asked_at_most_150_times_an_hour_whatever_chance_says() {
        let hour = Duration::from_secs(3_600);
        for seed in 0..10_000 {
            let (mut random, mut backoff) = (fastrand::Rng::with_seed(seed), backoff(None));
            // The worst case: each attempt fails at once.
            let (mut passed, mut attempts) = (Duration::ZERO, 0);
            while passed < hour {
                attempts += 1;
                passed += backoff.next(random.f64()).unwrap();
            }
            assert!(
                (100..=150).contains(&attempts),
                "seed {seed}: {attempts} attempts"
            );
        }
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
