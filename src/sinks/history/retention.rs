//! When old rows are deleted and how many at once. Owns no clock and no database.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::warn;

use crate::model::TrustedClock;

/// Rows of one DELETE: more than a batch brings, so that deleting always catches up, and few enough
/// to take milliseconds.
pub(super) const PIECE_ROWS: u32 = 2_000;

/// Between two rounds: deleting by the minute is exact enough for days of retention.
const ROUND_INTERVAL: Duration = Duration::from_secs(60);

/// How long an idle history may delete at a stretch; a delivery may have to wait for it.
pub(super) const TEND_MAX: Duration = Duration::from_secs(1);

/// What has come of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pruned {
    /// The round goes on.
    More,
    /// Nothing is due.
    Done,
    /// The connection may be of no more use.
    Failed,
}

/// The deletion of rows older than `keep`: a round a minute, each in pieces between two deliveries
/// or while there are none.
#[derive(Debug)]
pub(super) struct Retention {
    sink: String,
    keep: Option<Duration>,
    clock: TrustedClock,
    doubted: bool,
    next_round: Option<Instant>,
}

impl Retention {
    /// `None` keeps rows without end.
    pub(super) fn new(sink: &str, keep: Option<Duration>) -> Retention {
        let clock = TrustedClock::for_keeping(keep.unwrap_or(Duration::MAX));
        Retention {
            sink: sink.to_owned(),
            keep,
            clock,
            doubted: false,
            next_round: None,
        }
    }

    /// What to believe the clock by: the newest row's time of receipt.
    pub(super) fn set_reference(&mut self, now: Instant, newest: Option<Timestamp>) {
        self.clock.set_reference(now, newest);
    }

    /// Rows received before this may go now; `None`: nothing is due.
    pub(super) fn cutoff(&mut self, now: Instant, clock: Timestamp) -> Option<Timestamp> {
        let keep = self.keep?;
        if self.next_round.is_some_and(|at| now < at) {
            return None;
        }
        let reading = self.clock.read(now, clock);
        let doubts = reading.ahead.is_some();
        if let Some(ahead) = reading.ahead
            && !std::mem::replace(&mut self.doubted, doubts)
        {
            warn!(
                sink = self.sink, clock = %clock, ahead_s = ahead.as_secs(),
                "the clock is far ahead of the newest row and of the time that has passed: no row is deleted by it; correct the \
                 clock, or restart where it is right"
            );
        }
        self.doubted = doubts;
        reading.now.checked_sub(keep).ok()
    }

    /// Takes how many rows of a piece were deleted; `None`: it failed. A full piece leaves the
    /// round open.
    pub(super) fn deleted(&mut self, now: Instant, rows: Option<u64>) -> Pruned {
        if rows >= Some(u64::from(PIECE_ROWS)) {
            return Pruned::More;
        }
        self.next_round = Some(now + ROUND_INTERVAL);
        if rows.is_some() {
            Pruned::Done
        } else {
            Pruned::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retention(keep: Option<Duration>) -> Retention {
        Retention::new("history", keep)
    }

    #[test]
    fn a_round_ends_with_a_piece_that_is_not_full_and_the_next_begins_a_minute_later() {
        let clock: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let now = Instant::now();
        let mut retention = retention(Some(Duration::from_secs(86_400)));
        assert_eq!(
            retention.cutoff(now, clock),
            Some("2026-01-01T00:00:00Z".parse().unwrap())
        );
        assert_eq!(
            retention.deleted(now, Some(u64::from(PIECE_ROWS))),
            Pruned::More
        );
        assert!(retention.cutoff(now, clock).is_some());
        assert_eq!(retention.deleted(now, Some(3)), Pruned::Done);
        assert_eq!(retention.cutoff(now + Duration::from_secs(59), clock), None);
        assert!(
            retention
                .cutoff(now + Duration::from_secs(60), clock)
                .is_some()
        );
        assert_eq!(retention.deleted(now, None), Pruned::Failed);
        assert_eq!(retention.cutoff(now, clock), None);
    }

    #[test]
    fn without_a_retention_nothing_is_ever_due() {
        assert_eq!(
            retention(None).cutoff(Instant::now(), Timestamp::now()),
            None
        );
        let mut beyond_time = retention(Some(Duration::MAX));
        assert_eq!(beyond_time.cutoff(Instant::now(), Timestamp::now()), None);
    }

    #[test]
    fn clock_that_is_years_ahead_deletes_nothing_that_it_would_not_have_deleted() {
        let now = Instant::now();
        let mut retention = retention(Some(Duration::from_secs(86_400)));
        retention.set_reference(now, Some("2026-01-02T00:00:00Z".parse().unwrap()));
        let cutoff = retention.cutoff(now, "2036-01-02T00:00:00Z".parse().unwrap());
        assert_eq!(cutoff, Some("2026-01-01T00:00:00Z".parse().unwrap()));
    }
}
