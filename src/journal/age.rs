//! By which time entries and dead letters get old, and how many of them may go. It does no IO.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{info, warn};

use super::Settings;
use super::retention::Truncation;
use crate::model::{Allowance, DeletionReport, Position, TrustedClock};

/// However long is kept, a clock that is further ahead than a tenth of this is not believed: `keep` may
/// be a shorter one tomorrow.
const KEEP_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// The age of what the journal keeps.
#[derive(Debug)]
pub(super) struct Age {
    clock: TrustedClock,
    /// The clock is not believed.
    doubted: bool,
    entries: Allowance,
    dead_letters: Allowance,
    report: DeletionReport,
    report_dead_letters: DeletionReport,
}

impl Age {
    /// `reference`: the time that was believed last.
    pub(super) fn new(settings: &Settings, reference: Timestamp) -> Age {
        // What goes first says how far ahead the clock may be.
        let keep = settings
            .dlq_keep
            .unwrap_or(Duration::MAX)
            .min(settings.keep);
        let mut clock = TrustedClock::for_keeping(keep.min(KEEP_MAX));
        clock.set_reference(Instant::now(), Some(reference));
        Age {
            clock,
            doubted: false,
            entries: Allowance::default(),
            dead_letters: Allowance::default(),
            report: DeletionReport::default(),
            report_dead_letters: DeletionReport::default(),
        }
    }

    /// The time by which entries get old.
    pub(super) fn now(&mut self) -> Timestamp {
        let clock = Timestamp::now();
        let reading = self.clock.read(Instant::now(), clock);
        let doubts = reading.ahead.is_some();
        if let Some(ahead) = reading.ahead
            && !self.doubted
        {
            warn!(
                %clock, ahead_s = ahead.as_secs(),
                "the clock is not believed, since it is far ahead of the time that the journal \
                 believed last and of what has passed: until it is, entries get old by the time \
                 believed, and at most a tenth of the entries is removed a day; correct the clock, \
                 or if it is right, do nothing: the time believed goes twice as fast until it has \
                 caught up"
            );
        }
        self.doubted = doubts;
        reading.now
    }

    /// The reference time, where it is time to save it.
    pub(super) fn take_unsaved(&mut self) -> Option<Timestamp> {
        self.clock.take_unsaved(Instant::now())
    }

    /// What of a truncation may go. `head`: the newest position.
    pub(super) fn allowed(&mut self, truncation: Truncation, head: Position) -> Option<Truncation> {
        let Truncation::Past {
            from,
            through,
            received_before,
        } = truncation
        else {
            return Some(truncation);
        };
        if !self.doubted || !truncation.is_by_age() {
            return Some(truncation);
        }
        let now = Instant::now();
        if self.entries.is_over(now) {
            self.entries
                .begin(now, (head.0 - from.0 + 1).max(0).unsigned_abs());
        }
        let piece = i64::from(self.entries.piece(u32::MAX));
        let through = through.min(Position(from.0 + piece - 1));
        (through >= from).then_some(Truncation::Past {
            from,
            through,
            received_before,
        })
    }

    /// So many entries of a truncation are gone. A run of them is one line in the log.
    pub(super) fn removed(&mut self, truncation: Truncation, removed: u64) {
        if !truncation.is_by_age() {
            return;
        }
        self.entries.use_up(removed);
        match truncation.has_more(removed) {
            true => self.report.add_piece(removed),
            false => self.say(removed),
        }
    }

    /// No entry is to be removed.
    pub(super) fn nothing_is_old(&mut self) {
        self.say(0);
    }

    /// A run has ended with so many entries.
    fn say(&mut self, removed: u64) {
        if let Some(entries) = self.report.end_run(removed, Instant::now()) {
            info!(
                entries,
                "old entries removed: they are older than journal.keep"
            );
        }
    }

    /// How many dead letters may go by age at once. `None`: they have to be counted, for
    /// [`Age::begin_dead_letters`].
    pub(super) fn dead_letters(&self, at_once: u32) -> Option<u32> {
        match self.doubted {
            false => Some(at_once),
            true if self.dead_letters.is_over(Instant::now()) => None,
            true => Some(self.dead_letters.piece(at_once)),
        }
    }

    /// Takes how many dead letters there are.
    pub(super) fn begin_dead_letters(&mut self, count: u64) {
        self.dead_letters.begin(Instant::now(), count);
    }

    /// So many dead letters are gone by age, of as many as were looked for at once. A run of them is
    /// one line in the log.
    pub(super) fn dead_letters_gone(&mut self, count: u64, at_once: u32) {
        self.dead_letters.use_up(count);
        if count > 0 && count >= u64::from(at_once) {
            self.report_dead_letters.add_piece(count);
            return;
        }
        if let Some(dead_letters) = self.report_dead_letters.end_run(count, Instant::now()) {
            info!(
                dead_letters,
                "dead letters dropped: they are older than journal.dlq_keep"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    fn age(reference: Timestamp) -> Age {
        let settings = Settings {
            keep: Duration::from_secs(24 * 3600),
            ..Settings::new("/nowhere".into())
        };
        Age::new(&settings, reference)
    }

    fn past(from: i64, through: i64, received_before: i64) -> Truncation {
        Truncation::Past {
            from: Position(from),
            through: Position(through),
            received_before,
        }
    }

    #[test]
    fn while_the_clock_is_doubted_a_tenth_goes_by_age_and_all_that_makes_room() {
        let reference = Timestamp::now() - 5 * YEAR;
        let mut age = age(reference);
        assert!(age.now() < reference + Duration::from_secs(60));
        let head = Position(110);
        assert_eq!(age.allowed(past(11, 60, 7), head), Some(past(11, 20, 7)));
        age.removed(past(11, 20, 7), 10);
        assert_eq!(age.allowed(past(21, 60, 7), head), None);
        let room = past(21, 60, i64::MAX);
        assert_eq!(age.allowed(room, head), Some(room));
        assert_eq!(age.dead_letters(1000), None);
        age.begin_dead_letters(200);
        assert_eq!(age.dead_letters(1000), Some(20));
        age.dead_letters_gone(20, 20);
        assert_eq!(age.dead_letters(1000), Some(0));
    }

    #[test]
    fn a_clock_that_is_believed_bounds_nothing() {
        let mut age = age(Timestamp::now());
        age.now();
        let all = past(1, 1000, 7);
        assert_eq!(age.allowed(all, Position(1000)), Some(all));
        assert_eq!(age.dead_letters(1000), Some(1000));
    }
}
