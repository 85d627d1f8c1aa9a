//! How much is deleted by age, and how often that is said. It is asked for nothing: who deletes
//! gives the time.

use std::time::{Duration, Instant};

/// While the clock is not believed, a tenth may go within this time.
const ALLOWANCE_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Between two log lines about what was deleted.
const REPORT_INTERVAL: Duration = Duration::from_secs(3600);

/// How much may go while the clock is not believed: a tenth of what is there, each day.
#[derive(Debug, Default)]
pub struct Allowance {
    rest: u64,
    until: Option<Instant>,
}

impl Allowance {
    /// Whether the day is over: what is there has to be counted for [`Allowance::begin`].
    pub fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    /// Begins a day with so much there.
    pub fn begin(&mut self, now: Instant, count: u64) {
        self.rest = count / 10;
        self.until = Some(now + ALLOWANCE_INTERVAL);
    }

    /// What of a piece may go.
    pub fn piece(&self, piece: u32) -> u32 {
        u32::try_from(self.rest).map_or(piece, |rest| rest.min(piece))
    }

    /// So much is gone.
    pub fn use_up(&mut self, count: u64) {
        self.rest = self.rest.saturating_sub(count);
    }
}

/// How much was deleted since the last log line about it.
#[derive(Debug, Default)]
pub struct DeletionReport {
    count: u64,
    said: Option<Instant>,
}

impl DeletionReport {
    /// So much is gone.
    pub fn add(&mut self, count: u64) {
        self.count += count;
    }

    /// What to say now: the first deletion at once, then once an hour what has gone since.
    pub fn due(&mut self, now: Instant) -> Option<u64> {
        let recent = |said| now.saturating_duration_since(said) < REPORT_INTERVAL;
        if self.count == 0 || self.said.is_some_and(recent) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_is_said_at_once_and_then_once_an_hour() {
        let now = Instant::now();
        let mut report = DeletionReport::default();
        assert_eq!(report.due(now), None);
        report.add(3);
        assert_eq!(report.due(now), Some(3));
        report.add(4);
        report.add(5);
        assert_eq!(report.due(now + REPORT_INTERVAL / 2), None);
        assert_eq!(report.due(now + REPORT_INTERVAL), Some(9));
    }

    #[test]
    fn a_tenth_may_go_in_a_day() {
        let now = Instant::now();
        let mut allowance = Allowance::default();
        assert!(allowance.is_over(now));
        assert_eq!(allowance.piece(1000), 0);
        allowance.begin(now, 15_009);
        assert_eq!(allowance.piece(1000), 1000);
        allowance.use_up(1000);
        assert_eq!(allowance.piece(1000), 500);
        allowance.use_up(1000);
        assert_eq!(allowance.piece(1000), 0);
        assert!(!allowance.is_over(now + ALLOWANCE_INTERVAL / 2));
        assert!(allowance.is_over(now + ALLOWANCE_INTERVAL));
    }
}
