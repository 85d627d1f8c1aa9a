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

/// How much was deleted since the last log line about it. A run is all that is deleted until nothing
/// more is due: in pieces, where it is much.
#[derive(Debug, Default)]
pub struct DeletionReport {
    count: u64,
    said: Option<Instant>,
    in_pieces: bool,
}

impl DeletionReport {
    /// A piece is gone, and the run goes on.
    pub fn add_piece(&mut self, count: u64) {
        self.count += count;
        self.in_pieces = true;
    }

    /// The run has ended with so much. Gives what to say: the first run and each that took several
    /// pieces at once, the others once an hour.
    pub fn end_run(&mut self, count: u64, now: Instant) -> Option<u64> {
        self.count += count;
        let in_pieces = std::mem::take(&mut self.in_pieces);
        let recent = |said| now.saturating_duration_since(said) < REPORT_INTERVAL;
        if self.count == 0 || !in_pieces && self.said.is_some_and(recent) {
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
    fn a_run_of_deletion_is_one_line_and_small_runs_are_one_line_an_hour() {
        let now = Instant::now();
        let mut report = DeletionReport::default();
        assert_eq!(report.end_run(0, now), None);
        report.add_piece(1000);
        report.add_piece(1000);
        assert_eq!(report.end_run(3, now), Some(2003));
        assert_eq!(report.end_run(0, now), None);
        assert_eq!(report.end_run(4, now), None);
        let half = now + REPORT_INTERVAL / 2;
        assert_eq!(report.end_run(5, half), None);
        assert_eq!(report.end_run(1, now + REPORT_INTERVAL), Some(10));
        report.add_piece(1000);
        let soon = now + REPORT_INTERVAL + Duration::from_secs(1);
        assert_eq!(report.end_run(0, soon), Some(1000), "it is much");
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
