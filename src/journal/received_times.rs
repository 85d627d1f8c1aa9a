//! When the entries of the log were written, for how far a sink is behind in time. It keeps some of
//! the times, the fewer the older they are, so that a log of months needs some kilobytes.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use crate::model::Position;

/// From so many on, those that say nothing new are dropped. What stays of a log of ten years is
/// fewer than half of it.
const NOTES_MAX: usize = 4096;

/// A time is at most so much too early.
const PRECISION: SignedDuration = SignedDuration::from_secs(1);

/// … or by this part of its age, where that is more.
const AGE_PART: i32 = 64;

/// Some entries and their times, both ascending.
#[derive(Debug, Default)]
pub(super) struct ReceivedTimes {
    notes: VecDeque<(Position, Timestamp)>,
}

impl ReceivedTimes {
    /// Those that are known of a log, ascending.
    pub(super) fn new(notes: Vec<(Position, Timestamp)>) -> ReceivedTimes {
        let mut times = ReceivedTimes::default();
        for (position, at) in notes {
            let newest = times.notes.back().map_or(at, |(_, newest)| *newest);
            times.notes.push_back((position, at.max(newest)));
        }
        times
    }

    /// Which entries are worth to be looked up when a log is opened: those that sinks get next, and
    /// others all over it, the more the newer.
    pub(super) fn worth(
        oldest: Position,
        head: Position,
        cursors: impl Iterator<Item = Position>,
    ) -> Vec<Position> {
        let evenly = (0..EVENLY).map(|step| oldest.0 + (head.0 - oldest.0) / EVENLY * step);
        let newest = (0..i64::BITS - 1).map(|bit| head.0.saturating_sub(1_i64 << bit));
        let next = cursors.map(|cursor| cursor.0.saturating_add(1));
        let all = evenly.chain(newest).chain(next).chain([oldest.0, head.0]);
        let of_log = all.filter(|at| (oldest.0..=head.0).contains(at));
        let mut worth: Vec<Position> = of_log.map(Position).collect();
        worth.sort_unstable();
        worth.dedup();
        worth
    }

    /// The entries from this one on were written at this time, and all before it earlier.
    pub(super) fn wrote(&mut self, from: Position, at: Timestamp) {
        let newest = self.notes.back().map(|(_, newest)| *newest);
        if newest.is_some_and(|newest| at.duration_since(newest) < PRECISION) {
            return;
        }
        if self.notes.len() >= NOTES_MAX {
            self.thin_out(at);
        }
        self.notes.push_back((from, at));
    }

    /// When the entry at this position was written, or a little before that; `None`: nobody knows.
    pub(super) fn at(&self, position: Position) -> Option<Timestamp> {
        let behind = self.notes.partition_point(|(of, _)| *of <= position);
        // What lies before all that is known is at least as old.
        let note = self.notes.get(behind.saturating_sub(1))?;
        Some(note.1)
    }

    /// Drops the times that those before them stand for as well.
    fn thin_out(&mut self, now: Timestamp) {
        let mut kept: VecDeque<(Position, Timestamp)> = VecDeque::new();
        let mut notes = std::mem::take(&mut self.notes).into_iter().peekable();
        while let Some((position, at)) = notes.next() {
            let stands_for_it = kept.back().zip(notes.peek());
            let is_kept = stands_for_it.is_none_or(|((_, before), (_, next))| {
                let precision = (now.duration_since(*before) / AGE_PART).max(PRECISION);
                next.duration_since(*before) > precision
            });
            if is_kept {
                kept.push_back((position, at));
            }
        }
        // A clock that was set forward by years may leave them all.
        let too_many = kept.len().saturating_sub(NOTES_MAX / 2);
        self.notes = kept.split_off(too_many);
    }
}

/// Entries that are looked up at even distances.
const EVENLY: i64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time of this age")
    }

    #[test]
    fn a_time_is_a_little_too_early_at_most_and_never_too_late() {
        // An entry a second on some days, one an hour on others.
        let mut written = Vec::new();
        let mut second = 0;
        while second < 60 * 86_400 {
            written.push(second);
            second += match second / 86_400 % 20 {
                0 => 1,
                1 => 3_600,
                _ => 60,
            };
        }
        let mut times = ReceivedTimes::default();
        for (position, second) in (1..).zip(&written) {
            times.wrote(Position(position), at(*second));
        }
        assert!(times.notes.len() <= NOTES_MAX, "{}", times.notes.len());
        let now = *written.last().expect("there are some");
        for (position, second) in (1..).zip(&written) {
            let found = times.at(Position(position)).expect("a time");
            let early = second - found.as_second();
            let allowed = 2 + (now - second) / 60;
            assert!((0..=allowed).contains(&early), "{early} s of {allowed} s");
        }
    }

    #[test]
    fn what_is_known_of_an_opened_log_stands_for_what_lies_between() {
        assert_eq!(ReceivedTimes::default().at(Position(1)), None);
        // The clock was set back in between.
        let known = vec![
            (Position(10), at(100)),
            (Position(20), at(90)),
            (Position(30), at(200)),
        ];
        let times = ReceivedTimes::new(known);
        for (position, second) in [(5, 100), (10, 100), (19, 100), (20, 100), (31, 200)] {
            assert_eq!(times.at(Position(position)), Some(at(second)), "{position}");
        }
    }

    #[test]
    fn the_entries_to_look_up_are_of_the_log_and_few() {
        let cursors = [Position(499), Position(999_999), Position(7)];
        let worth = ReceivedTimes::worth(Position(100), Position(1_000_000), cursors.into_iter());
        assert!(worth.len() < 400, "{}", worth.len());
        assert!(worth.is_sorted() && worth.first() == Some(&Position(100)));
        for wanted in [500, 999_744, 1_000_000] {
            assert!(worth.contains(&Position(wanted)), "{wanted}");
        }
        let one = ReceivedTimes::worth(Position(1), Position(1), cursors.into_iter());
        assert_eq!(one, [Position(1)]);
    }

    #[test]
    fn a_clock_that_jumps_by_years_fills_no_memory() {
        let mut times = ReceivedTimes::default();
        for step in 0..3 * NOTES_MAX as i64 {
            times.wrote(Position(step), at(step * 5_000_000));
        }
        assert!(times.notes.len() <= NOTES_MAX, "{}", times.notes.len());
    }
}
