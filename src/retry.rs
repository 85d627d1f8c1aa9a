//! How long to wait before what has failed is tried again: exponential with full jitter, so that
//! many daemons do not return in step. Short waits and long ones come in pairs, so that chance
//! never makes an hour of short ones. No clock: it is given the random part, and the time.

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};

/// A connection that stood for this long was good: the next failure starts the backoff from the
/// beginning.
pub const STABLE: Duration = Duration::from_secs(60);

/// Refused credentials do not mend themselves in a second, and some servers lock an account that
/// keeps trying.
pub const REFUSED_MIN: Duration = Duration::from_secs(30);

/// The longest wait after a refused attempt, plus half of it.
const REFUSED_MAX: Duration = Duration::from_secs(300);

/// No server can silence us for longer than this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Nor ask to be flooded.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// How a sink's deliveries are retried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// The upper bound of the first wait; each further one is twice as long.
    pub initial: Duration,
    /// The upper bound of every wait that we choose.
    pub max: Duration,
    /// An event that has failed for this long, while the sink took others, is dead-lettered. The
    /// sink's own trouble is retried without end.
    pub give_up: Duration,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(5 * 60),
            give_up: Duration::from_secs(24 * 3600),
        }
    }
}

impl Retry {
    /// A backoff of these waits.
    pub fn backoff(&self) -> Backoff {
        Backoff::new(self.initial, self.max)
    }
}

/// Counts failures in a row.
#[derive(Debug, Clone)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    failures: u32,
    /// Refusals among them.
    refusals: u32,
    /// What the next wait takes instead of a random part: the rest of the one before.
    rest: Option<f64>,
}

impl Backoff {
    /// Waits of at most `initial`, then of at most twice as much each time, up to `max`.
    pub fn new(initial: Duration, max: Duration) -> Backoff {
        Backoff {
            initial,
            max,
            failures: 0,
            refusals: 0,
            rest: None,
        }
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// It has gone well.
    pub fn reset(&mut self) {
        self.failures = 0;
        self.refusals = 0;
        self.rest = None;
    }

    /// It has ended after going well for this long.
    pub fn lived(&mut self, lived: Duration) {
        if lived >= STABLE {
            self.reset();
        }
    }

    /// From now on no wait is longer than this.
    pub fn bound(&mut self, max: Duration) {
        self.max = max;
    }

    /// The wait after something that was no failure: as after the first one, and not counted.
    pub fn first(&self, random: f64) -> Duration {
        self.initial.min(self.max).mul_f64(random)
    }

    /// Counts a failure and gives the wait: `random` (0 to 1) of the bound, and every other time
    /// what that left of it.
    pub fn next(&mut self, random: f64) -> Duration {
        let bound = doubled(self.initial, self.failures).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let part = self.rest.take().unwrap_or_else(|| {
            self.rest = Some(1.0 - random);
            random
        });
        bound.mul_f64(part)
    }

    /// As [`Backoff::next`], where the other side refused who we are: slower, with the jitter
    /// above the bound. Only refusals make the next one wait longer: an outage before says nothing
    /// about who we are.
    pub fn next_refused(&mut self, random: f64) -> Duration {
        let bound = doubled(REFUSED_MIN, self.refusals).min(REFUSED_MAX);
        self.refusals = self.refusals.saturating_add(1);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(1.0 + random / 2.0)
    }
}

/// When a wait that begins now is over; `None`: no calendar has that time.
pub fn end_of(wait: Duration, now: Timestamp) -> Option<Timestamp> {
    now.checked_add(SignedDuration::try_from(wait).ok()?).ok()
}

/// Doubles a wait this many times.
pub fn doubled(base: Duration, times: u32) -> Duration {
    base.saturating_mul(2_u32.saturating_pow(times.min(31)))
}

/// The wait that `Retry-After` asks for (RFC 9110, section 10.2.3): seconds or an HTTP date, within
/// bounds. `None` where it is neither. Some servers send parts of seconds, against that section.
pub fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let asked = match seconds(text) {
        Some(asked) => asked,
        // A date that has passed is a wait of zero.
        None => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .unwrap_or_default(),
    };
    Some(asked.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX))
}

/// `120` or `1.234`, to the millisecond.
fn seconds(text: &str) -> Option<Duration> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (whole, parts) = text.split_once('.').unwrap_or((text, "0"));
    if !is_number(whole) || !is_number(parts) {
        return None;
    }
    let milliseconds = format!("{parts:0<3.3}").parse().ok()?;
    // More digits than fit are more than we grant.
    let whole = whole.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs);
    Some(whole.saturating_add(Duration::from_millis(milliseconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::new(Duration::from_secs(1), Duration::from_secs(60))
    }

    #[test]
    fn the_bound_doubles_up_to_the_maximum() {
        let mut backoff = backoff();
        let waits: Vec<u128> = (0..9).map(|_| backoff.next(0.5).as_millis()).collect();
        assert_eq!(
            waits,
            [
                500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000
            ]
        );
        for _ in 0..200 {
            assert!(backoff.next(1.0) <= Duration::from_secs(60));
        }
        assert_eq!(backoff.failures(), 209);
    }

    #[test]
    fn jitter_takes_any_part_of_the_bound_and_then_the_rest() {
        let mut backoff = backoff();
        assert_eq!(
            [0.0, 0.9, 0.25, 0.9].map(|random| backoff.next(random).as_millis()),
            [0, 2_000, 1_000, 6_000]
        );
    }

    #[test]
    fn what_is_no_failure_waits_as_after_the_first_and_counts_nothing() {
        let mut backoff = backoff();
        assert!((0..5).all(|_| backoff.next(0.5) > Duration::ZERO));
        assert_eq!(backoff.first(0.5), Duration::from_millis(500));
        assert_eq!(backoff.failures(), 5);
        backoff.bound(Duration::from_secs(5));
        let rest = backoff.next(0.5);
        assert_eq!(rest, Duration::from_millis(2_500));
    }

    #[test]
    fn only_what_was_stable_resets_it() {
        let mut backoff = backoff();
        assert!((0..5).all(|_| backoff.next(0.5) > Duration::ZERO));
        backoff.lived(STABLE - Duration::from_millis(1));
        assert_eq!(backoff.next(0.5), Duration::from_secs(16));
        backoff.lived(STABLE);
        assert_eq!(backoff.next(1.0), Duration::from_secs(1));
    }

    #[test]
    fn a_dead_server_is_asked_at_most_150_times_an_hour_whatever_chance_says() {
        let hour = Duration::from_secs(3_600);
        for seed in 0..10_000 {
            let (mut random, mut backoff) = (fastrand::Rng::with_seed(seed), backoff());
            // The worst case: each attempt fails at once.
            let (mut passed, mut attempts) = (Duration::ZERO, 0);
            while passed < hour {
                attempts += 1;
                passed += backoff.next(random.f64());
            }
            assert!(
                (100..=150).contains(&attempts),
                "seed {seed}: {attempts} attempts"
            );
        }
    }

    #[test]
    fn the_first_refusal_after_an_outage_waits_as_the_first() {
        let mut backoff = backoff();
        assert!((0..20).all(|_| backoff.next(1.0) <= Duration::from_secs(60)));
        let waits = [(); 2].map(|()| backoff.next_refused(0.0));
        assert_eq!(waits, [REFUSED_MIN, 2 * REFUSED_MIN]);
        // A failure between two refusals, as of another address, makes none of them the first.
        backoff.next(1.0);
        assert_eq!(backoff.next_refused(0.0), 4 * REFUSED_MIN);
        assert_eq!(backoff.failures(), 24);
        backoff.reset();
        assert_eq!(backoff.next_refused(0.0), REFUSED_MIN);
    }

    #[test]
    fn a_refusal_waits_half_a_minute_at_least_and_seven_and_a_half_at_most() {
        let mut backoff = backoff();
        assert_eq!(backoff.next_refused(0.0), REFUSED_MIN);
        for _ in 0..100 {
            let wait = backoff.next_refused(1.0);
            assert!(wait >= REFUSED_MIN && wait <= REFUSED_MAX.mul_f64(1.5));
        }
    }
}
