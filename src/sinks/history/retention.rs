//! When old rows are deleted and how many at once. Owns no clock and no database.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Rows of one DELETE: more than a batch brings, so that deleting always catches up, and few enough to take
/// milliseconds.
pub(super) const PIECE_ROWS: u32 = 2_000;

/// Between two rounds: deleting by the minute is exact enough for days of retention.
const ROUND_INTERVAL: Duration = Duration::from_secs(60);

/// The deletion of rows older than `keep`: a round a minute, each in pieces between two deliveries.
#[derive(Debug)]
pub(super) struct Retention {
    keep: Option<Duration>,
    next_round: Option<Instant>,
}

impl Retention {
    /// `None` keeps rows for ever.
    pub(super) fn new(keep: Option<Duration>) -> Retention {
        Retention { keep, next_round: None }
    }

    /// Rows received before this may go now; `None`: nothing is due.
    pub(super) fn cutoff(&self, now: Instant, clock: Timestamp) -> Option<Timestamp> {
        if self.next_round.is_some_and(|at| now < at) {
            return None;
        }
        clock.checked_sub(self.keep?).ok()
    }

    /// A piece was deleted, or failed with 0 rows. A full piece leaves the round open.
    pub(super) fn deleted(&mut self, now: Instant, rows: u64) {
        if rows < u64::from(PIECE_ROWS) {
            self.next_round = Some(now + ROUND_INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_ends_with_a_piece_that_is_not_full_and_the_next_begins_a_minute_later() {
        let clock: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let now = Instant::now();
        let mut retention = Retention::new(Some(Duration::from_secs(86_400)));
        assert_eq!(retention.cutoff(now, clock), Some("2026-01-01T00:00:00Z".parse().unwrap()));
        retention.deleted(now, u64::from(PIECE_ROWS));
        assert!(retention.cutoff(now, clock).is_some());
        retention.deleted(now, 3);
        assert_eq!(retention.cutoff(now + Duration::from_secs(59), clock), None);
        assert!(retention.cutoff(now + Duration::from_secs(60), clock).is_some());
    }

    #[test]
    fn without_a_retention_nothing_is_ever_due() {
        assert_eq!(Retention::new(None).cutoff(Instant::now(), Timestamp::now()), None);
        let beyond_time = Retention::new(Some(Duration::MAX));
        assert_eq!(beyond_time.cutoff(Instant::now(), Timestamp::now()), None);
    }
}
