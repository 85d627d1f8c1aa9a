//! How many attempts a sink may be given now, where it has a rate. No clock.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::sinks::Rate;

/// The other side counts what arrives, and one request is on its way for longer than another: a
/// token stays away for this part of the time longer.
const SLACK_PART: u32 = 60;

/// A bucket of tokens, one for each attempt. A token comes back once the rate's time has passed
/// since it was taken. So no stretch of that time has more attempts than the rate says, however they
/// are spread. A new bucket is full.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Option<Rate>,
    /// When each token that is away was taken.
    away: VecDeque<Instant>,
}

impl Bucket {
    /// Without a rate there are always tokens.
    pub(super) fn new(rate: Option<Rate>) -> Bucket {
        Bucket {
            rate,
            away: VecDeque::new(),
        }
    }

    /// When there is a token for the next attempt; `None`: at any time.
    pub(super) fn next(&self) -> Option<Instant> {
        let rate = self.rate?;
        let before = self.away.len().checked_sub(rate.attempts as usize)?;
        Some(self.away[before] + time_away(&rate))
    }

    /// An attempt is made.
    pub(super) fn take(&mut self, now: Instant) {
        let Some(rate) = self.rate else {
            return;
        };
        while self.away.len() >= rate.attempts as usize {
            self.away.pop_front();
        }
        self.away.push_back(now);
    }
}

fn time_away(rate: &Rate) -> Duration {
    rate.per + rate.per / SLACK_PART
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stretch_of_the_time_has_more_attempts_than_the_rate() {
        let (attempts, per) = (20, Duration::from_secs(60));
        for seed in 0..100 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bucket = Bucket::new(Some(Rate { attempts, per }));
            let began = Instant::now();
            let (mut now, mut made) = (began, Vec::new());
            while made.len() < 500 {
                now += Duration::from_millis(random.u64(0..5_000));
                now = bucket.next().map_or(now, |at| at.max(now));
                bucket.take(now);
                made.push(now);
            }
            for stretch in made.windows(attempts as usize + 1) {
                assert!(stretch[attempts as usize] - stretch[0] > per, "seed {seed}");
            }
            assert!(bucket.away.len() <= attempts as usize);
        }
    }

    #[test]
    fn tokens_are_used_up_at_once_and_come_back_one_by_one() {
        let rate = Rate {
            attempts: 2,
            per: Duration::from_secs(60),
        };
        let mut bucket = Bucket::new(Some(rate));
        let began = Instant::now();
        let second = |second: u64| began + Duration::from_secs(second);
        assert_eq!(bucket.next(), None);
        bucket.take(second(0));
        assert_eq!(bucket.next(), None);
        bucket.take(second(10));
        assert_eq!(bucket.next(), Some(second(61)));
        bucket.take(second(61));
        assert_eq!(bucket.next(), Some(second(71)));
        let mut without = Bucket::new(None);
        (0..100).for_each(|_| without.take(began));
        assert_eq!((without.next(), without.away.len()), (None, 0));
    }
}
