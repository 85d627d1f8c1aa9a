//! When old rows are deleted and how many at once. Owns no clock and no database.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{info, warn};

use crate::model::{Allowance, DeletionReport, TrustedClock};

/// Rows of one DELETE: more than a batch brings, so that deleting always catches up, and few enough
/// to take milliseconds.
pub(super) const PIECE_ROWS: u32 = 2_000;

/// Between two rounds: deleting by the minute is exact enough for days of retention.
const ROUND_INTERVAL: Duration = Duration::from_secs(60);

/// Where a history keeps rows without end, the clock is checked as if it kept them for a year.
const DEFAULT_KEEP: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long an idle history may delete at a stretch; a delivery may have to wait for it.
pub(super) const TEND_MAX: Duration = Duration::from_secs(1);

/// What has come of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pruned {
    /// The round goes on.
    More,
    /// Nothing is due.
    Done,
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
    allowance: Allowance,
    report: DeletionReport,
}

/// Rows to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// Those received before it.
    pub(super) before: Timestamp,
    /// The clock is not believed: the sink has to count the rows first, for
    /// [`Retention::allow`].
    pub(super) to_count: bool,
}

impl Retention {
    /// `None` keeps rows without end.
    pub(super) fn new(sink: &str, keep: Option<Duration>) -> Retention {
        // Without a retention the reference time is kept for the day on which there is one.
        let clock = TrustedClock::for_keeping(keep.unwrap_or(DEFAULT_KEEP));
        Retention {
            sink: sink.to_owned(),
            keep,
            clock,
            doubted: false,
            next_round: None,
            allowance: Allowance::default(),
            report: DeletionReport::default(),
        }
    }

    /// What to believe the clock by: the saved reference time. Where by that every row is past the
    /// retention and a year old, it is the newest row's time of receipt: a clock that was far behind
    /// may have dated it.
    pub(super) fn set_reference(
        &mut self,
        now: Instant,
        saved: Timestamp,
        newest: Option<Timestamp>,
    ) {
        let keep = self.keep.map(|keep| keep.max(DEFAULT_KEEP));
        let begins = keep.and_then(|keep| saved.checked_sub(keep).ok());
        let time = match (newest, begins) {
            (Some(newest), Some(begins)) if newest < begins => newest,
            _ => saved,
        };
        self.clock.set_reference(now, Some(time));
    }

    /// The reference time, where it is time to save it.
    pub(super) fn take_unsaved(&mut self, now: Instant) -> Option<Timestamp> {
        self.clock.take_unsaved(now)
    }

    /// The time, where the clock is believed.
    pub(super) fn believed(&mut self, now: Instant, clock: Timestamp) -> Option<Timestamp> {
        let reading = self.clock.read(now, clock);
        reading.ahead.is_none().then_some(reading.now)
    }

    /// The time that statuses are deleted before, at this time.
    pub(super) fn before(&self, now: Timestamp) -> Option<Timestamp> {
        now.checked_sub(self.keep?).ok()
    }

    /// What may go now; `None`: nothing is due.
    pub(super) fn due(&mut self, now: Instant, clock: Timestamp) -> Option<Due> {
        if self.next_round.is_some_and(|at| now < at) {
            return None;
        }
        let reading = self.clock.read(now, clock);
        let Some(keep) = self.keep else {
            self.next_round = Some(now + ROUND_INTERVAL);
            return None;
        };
        let doubts = reading.ahead.is_some();
        if let Some(ahead) = reading.ahead
            && !std::mem::replace(&mut self.doubted, doubts)
        {
            warn!(
                sink = self.sink, clock = %clock, ahead_s = ahead.as_secs(),
                "the clock is not believed, since it is far ahead of the time that was believed last \
                 and of what has passed: until it is, rows get old by the time believed, and at most \
                 a tenth of the rows is deleted a day; correct the clock, or if it is right, delete \
                 the row of the table bridge_clock and restart"
            );
        }
        self.doubted = doubts;
        let before = reading.now.checked_sub(keep).ok()?;
        Some(Due {
            before,
            to_count: doubts && self.allowance.is_over(now),
        })
    }

    /// Takes how many rows there are: a tenth of them may go within a day.
    pub(super) fn allow(&mut self, now: Instant, rows: u64) {
        self.allowance.begin(now, rows);
    }

    /// How many rows the next piece may delete.
    pub(super) fn piece(&self) -> u32 {
        match self.doubted {
            false => PIECE_ROWS,
            true => self.allowance.piece(PIECE_ROWS),
        }
    }

    /// Whether the clock was not believed when something was due last.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubted
    }

    /// Whether so many rows may go at once while it is not, where none may be left of them.
    pub(super) fn allows(&self, rows: u64) -> bool {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        self.allowance.piece(rows) == rows
    }

    /// Takes that these went at once: the round goes on.
    pub(super) fn dropped(&mut self, rows: u64) {
        self.allowance.use_up(rows);
    }

    /// Takes how many rows received before a time were deleted. A full piece leaves the round open.
    pub(super) fn deleted(&mut self, now: Instant, before: Timestamp, rows: u64) -> Pruned {
        self.allowance.use_up(rows);
        if rows >= u64::from(PIECE_ROWS) {
            self.report.add_piece(rows);
            return Pruned::More;
        }
        self.next_round = Some(now + ROUND_INTERVAL);
        if let Some(rows) = self.report.end_run(rows, now) {
            info!(sink = self.sink, rows, %before, "old rows deleted: they are past the retention");
        }
        Pruned::Done
    }

    /// What was due could not be done: it waits for the next round.
    pub(super) fn failed(&mut self, now: Instant, due: Option<Due>) {
        if due.is_some_and(|due| due.to_count) {
            // Counted in vain each minute, the rows would hold up the deliveries.
            self.allow(now, 0);
        }
        let before = due.map_or(Timestamp::MIN, |due| due.before);
        self.deleted(now, before, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn retention(keep: Option<Duration>) -> Retention {
        Retention::new("history", keep)
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_round_ends_with_a_piece_that_is_not_full_and_the_next_begins_a_minute_later() {
        let clock = at("2026-01-02T00:00:00Z");
        let now = Instant::now();
        let mut retention = retention(Some(DAY));
        let due = Due {
            before: at("2026-01-01T00:00:00Z"),
            to_count: false,
        };
        assert_eq!(retention.due(now, clock), Some(due));
        assert_eq!(
            retention.deleted(now, due.before, u64::from(PIECE_ROWS)),
            Pruned::More
        );
        assert!(retention.due(now, clock).is_some());
        assert_eq!(retention.deleted(now, due.before, 3), Pruned::Done);
        assert_eq!(retention.due(now + Duration::from_secs(59), clock), None);
        assert!(
            retention
                .due(now + Duration::from_secs(60), clock)
                .is_some()
        );
        retention.failed(now, Some(due));
        assert_eq!(retention.due(now, clock), None);
    }

    #[test]
    fn without_a_retention_nothing_is_ever_due_and_the_clock_is_watched() {
        let (now, clock) = (Instant::now(), Timestamp::now());
        let mut endless = retention(None);
        assert_eq!(endless.due(now, clock), None);
        assert_eq!(endless.take_unsaved(now), Some(clock));
        let mut beyond_time = retention(Some(Duration::MAX));
        assert_eq!(beyond_time.due(now, clock), None);
    }

    #[test]
    fn clock_that_is_years_ahead_deletes_nothing_that_it_would_not_have_deleted() {
        let now = Instant::now();
        let mut retention = retention(Some(DAY));
        retention.set_reference(now, at("2026-01-02T00:00:00Z"), None);
        let due = retention.due(now, at("2036-01-02T00:00:00Z"));
        let expected = Due {
            before: at("2026-01-01T00:00:00Z"),
            to_count: true,
        };
        assert_eq!(due, Some(expected));
        assert_eq!(
            retention.take_unsaved(now),
            Some(at("2026-01-02T00:00:00Z"))
        );
    }

    #[test]
    fn while_the_clock_is_doubted_a_tenth_of_the_rows_goes_in_a_day() {
        let now = Instant::now();
        let clock = at("2036-01-02T00:00:00Z");
        let mut retention = retention(Some(DAY));
        retention.set_reference(now, at("2026-01-02T00:00:00Z"), None);
        let due = retention.due(now, clock).unwrap();
        assert!(due.to_count);
        retention.allow(now, 25_000);
        assert_eq!(retention.piece(), PIECE_ROWS);
        retention.deleted(now, due.before, u64::from(PIECE_ROWS));
        assert!(!retention.due(now, clock).unwrap().to_count);
        assert_eq!(retention.piece(), 500);
        retention.deleted(now, due.before, 500);
        assert_eq!(retention.piece(), 0);
        let tomorrow = now + DAY;
        assert!(retention.due(tomorrow, clock).unwrap().to_count);
        // It is right again.
        let right = at("2026-01-03T00:00:00Z");
        let due = retention.due(tomorrow + ROUND_INTERVAL, right).unwrap();
        assert!(!due.to_count);
        assert_eq!(retention.piece(), PIECE_ROWS);
    }

    #[test]
    fn rows_that_are_all_too_old_make_the_clock_doubtful() {
        let now = Instant::now();
        let saved = at("2026-01-02T00:00:00Z");
        for (newest, doubted) in [
            (None, false),
            (Some("2026-01-01T06:00:00Z"), false),
            (Some("2016-01-02T00:00:00Z"), true),
        ] {
            let mut retention = retention(Some(DAY));
            retention.set_reference(now, saved, newest.map(at));
            let due = retention.due(now, saved).unwrap();
            assert_eq!(due.to_count, doubted, "{newest:?}");
        }
    }

    #[test]
    fn reference_time_is_saved_at_once_and_then_once_an_hour() {
        let now = Instant::now();
        let mut retention = retention(Some(365 * DAY));
        retention.set_reference(now, at("2026-01-02T00:00:00Z"), None);
        assert!(retention.take_unsaved(now).is_some());
        assert_eq!(
            retention.take_unsaved(now + Duration::from_secs(1800)),
            None
        );
        assert_eq!(
            retention.take_unsaved(now + Duration::from_secs(3600)),
            Some(at("2026-01-02T01:00:00Z"))
        );
    }
}
