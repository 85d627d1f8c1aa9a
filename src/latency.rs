//! How long something took, as a histogram. What is observed costs two additions to atomics: no
//! lock and no memory, so that it may stand where every message passes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use jiff::Timestamp;

/// The upper bounds of the buckets: from a commit of a quiet moment to a sink that was away for an
/// hour.
pub const BOUNDS_US: [u64; 17] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    3_600_000_000,
];

/// How long something took, each time.
#[derive(Debug, Default)]
pub struct Latency {
    /// Of each bucket alone; the last has what took longer than every bound.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// A copy of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LatencyReading {
    /// How many took as long as the bound of the same index, or less.
    pub at_most: [u64; BOUNDS_US.len()],
    /// How many there were.
    pub count: u64,
    /// What they took together.
    pub sum: Duration,
}

impl Latency {
    /// This number of things took that time.
    pub fn observe(&self, took: Duration, count: u64) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound_us| *bound_us < took_us);
        self.buckets[bucket].fetch_add(count, Relaxed);
        self.sum_us
            .fetch_add(took_us.saturating_mul(count), Relaxed);
    }

    /// So many took from one time to another; nothing, where the clock was set back meanwhile.
    pub fn observe_between(&self, from: Timestamp, to: Timestamp, count: u64) {
        let took = Duration::try_from(to.duration_since(from)).unwrap_or_default();
        self.observe(took, count);
    }

    /// A copy of it. Its count is the sum of its buckets, whatever is observed meanwhile.
    pub fn read(&self) -> LatencyReading {
        let mut count = 0;
        let mut at_most = [0; BOUNDS_US.len()];
        for (at_most, bucket) in at_most.iter_mut().zip(&self.buckets) {
            count += bucket.load(Relaxed);
            *at_most = count;
        }
        count += self.buckets[BOUNDS_US.len()].load(Relaxed);
        LatencyReading {
            at_most,
            count,
            sum: Duration::from_micros(self.sum_us.load(Relaxed)),
        }
    }
}

impl LatencyReading {
    /// What was observed since an earlier one.
    pub fn since(&self, before: &LatencyReading) -> LatencyReading {
        let mut at_most = self.at_most;
        for (at_most, before) in at_most.iter_mut().zip(before.at_most) {
            *at_most = at_most.saturating_sub(before);
        }
        LatencyReading {
            at_most,
            count: self.count.saturating_sub(before.count),
            sum: self.sum.saturating_sub(before.sum),
        }
    }

    /// How long so many in a hundred took at most: within a bucket in proportion, as Prometheus'
    /// `histogram_quantile` has it. `None`: there are none.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let wanted = self.count as f64 * percent / 100.0;
        let bucket = self
            .at_most
            .partition_point(|at_most| (*at_most as f64) < wanted);
        let (mut from_us, mut below) = (0, 0);
        if let Some(before) = bucket.checked_sub(1) {
            (from_us, below) = (BOUNDS_US[before], self.at_most[before]);
        }
        let to_us = BOUNDS_US.get(bucket).copied().unwrap_or(from_us);
        let within = self.at_most.get(bucket).unwrap_or(&self.count) - below;
        let share = if within == 0 {
            0.0
        } else {
            (wanted - below as f64) / within as f64
        };
        let took_us = from_us as f64 + (to_us - from_us) as f64 * share;
        (self.count > 0).then(|| Duration::from_micros(took_us as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_has_what_took_its_bound_or_less() {
        let latency = Latency::default();
        for (took_us, count) in [(0, 1), (1_000, 2), (1_001, 3), (7_200_000_000, 4)] {
            latency.observe(Duration::from_micros(took_us), count);
        }
        let reading = latency.read();
        assert_eq!(&reading.at_most[..3], [3, 6, 6]);
        assert_eq!((reading.at_most[16], reading.count), (6, 10));
        assert_eq!(reading.sum.as_micros(), 2_000 + 3_003 + 4 * 7_200_000_000);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nothing_of_it() {
        let latency = Latency::default();
        let (early, late) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        latency.observe_between(late, early, 1);
        assert_eq!(latency.read().at_most[0], 1);
        latency.observe_between(early, late, 1);
        let reading = latency.read();
        assert_eq!((reading.at_most[16], reading.count), (1, 2));
    }
    #[test]
    fn a_percentile_is_that_of_what_was_observed_since() {
        let latency = Latency::default();
        latency.observe(Duration::from_secs(7_200), 50);
        let before = latency.read();
        assert_eq!(before.since(&before).percentile(50.0), None);
        latency.observe(Duration::from_micros(1_500), 98);
        latency.observe(Duration::from_millis(80), 2);
        let since = latency.read().since(&before);
        assert_eq!((since.count, since.sum.as_millis()), (100, 147 + 160));
        let millis = |percent| since.percentile(percent).unwrap().as_micros();
        assert_eq!([millis(49.0), millis(99.0)], [1_750, 75_000]);
        let most = Duration::from_secs(3_600);
        assert_eq!(before.percentile(50.0), Some(most), "the last bound");
    }
}
