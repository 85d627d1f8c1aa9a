//! Decides whether permanent rejections are the events' fault or the sink's own. No clock, no IO.
//!
//! A wrongly deployed receiver answers 400 to everything; a table that somebody changed takes no
//! row. Dead letters of all events would then help nobody. So at most a fifth of the last
//! [`WINDOW`] events that the other side judged may be rejected. This holds from [`JUDGED_MIN`]
//! judged events on; at most that many are dead-lettered before. Above this rate the circuit
//! breaker opens. The sink pauses for a second, then twice as long each time, up to an hour. After
//! each pause one event is tried. The first one that is accepted closes the breaker.
//!
//! While the breaker is open, the first rejection of an event does not dead-letter it. If each
//! device has its own order, events of other devices are tried before it. The second rejection
//! dead-letters it: else a bad event with no other to try would be tried without end. So a sink in
//! such trouble dead-letters one event an hour at most in the long run, and each can be redriven.
//! Our own rejections (a packet over the limit, a template that fails) are not counted, since they
//! say nothing of the sink. Rejected redrives and replays are not counted either.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::model::Position;
use crate::retry::doubled;

/// Events by which a sink is judged.
const WINDOW: usize = 100;
/// Fewer say nothing.
const JUDGED_MIN: usize = 20;
/// One event in this many may be rejected.
const REJECTED_ONE_IN: usize = 5;

/// The first wait; each further one is twice as long.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_LONGEST: Duration = Duration::from_secs(3600);

/// Opens where a sink rejects too much.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker {
    /// Whether each of the last ones was rejected.
    judged: VecDeque<bool>,
    rejected: usize,
    open: Option<Open>,
}

/// The rejections are the sink's.
#[derive(Debug, Default)]
struct Open {
    waits: u32,
    /// Rejected once since.
    suspects: BTreeSet<Position>,
}

/// What to do about an event that was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decision {
    /// It is dead-lettered.
    pub(super) dead_lettered: bool,
    /// The sink pauses for this long.
    pub(super) wait: Option<Duration>,
}

impl Decision {
    /// The event alone is at fault.
    pub(super) const OF_THE_EVENT: Decision = Decision {
        dead_lettered: true,
        wait: None,
    };
}

impl CircuitBreaker {
    /// Counts accepted events. True if the breaker was open until now.
    pub(super) fn accepted(&mut self, count: usize) -> bool {
        if count == 0 {
            return false;
        }
        if self.open.take().is_some() {
            self.judged.clear();
            self.rejected = 0;
            return true;
        }
        for _ in 0..count.min(WINDOW) {
            self.judge(false);
        }
        false
    }

    /// The other side has rejected this event permanently.
    pub(super) fn rejected(&mut self, position: Position) -> Decision {
        let open = self.open.as_ref();
        // Another attempt at the same event says nothing of one more.
        if !open.is_some_and(|open| open.suspects.contains(&position)) {
            self.judge(true);
        }
        let judged = self.judged.len();
        if self.open.is_none() && (judged < JUDGED_MIN || self.rejected * REJECTED_ONE_IN <= judged)
        {
            return Decision::OF_THE_EVENT;
        }
        let open = self.open.get_or_insert_default();
        let wait = doubled(WAIT_FIRST, open.waits).min(WAIT_LONGEST);
        open.waits += 1;
        let dead_lettered = !open.suspects.insert(position);
        if dead_lettered {
            open.suspects.remove(&position);
        }
        Decision {
            dead_lettered,
            wait: Some(wait),
        }
    }

    /// The rejections are taken for the sink's.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// For the log: how many of how many were rejected.
    pub(super) fn ratio(&self) -> String {
        format!("{} of the last {}", self.rejected, self.judged.len())
    }

    fn judge(&mut self, rejected: bool) {
        if self.judged.len() == WINDOW && self.judged.pop_front() == Some(true) {
            self.rejected -= 1;
        }
        self.judged.push_back(rejected);
        self.rejected += usize::from(rejected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sinks(dead_lettered: bool, seconds: u64) -> Decision {
        Decision {
            dead_lettered,
            wait: Some(Duration::from_secs(seconds)),
        }
    }

    #[test]
    fn a_fifth_may_be_rejected_and_no_more() {
        let mut breaker = CircuitBreaker::default();
        for position in 1..=1000 {
            if position % 5 == 0 {
                assert_eq!(
                    breaker.rejected(Position(position)),
                    Decision::OF_THE_EVENT,
                    "{position}"
                );
            } else {
                breaker.accepted(1);
            }
        }
        assert_eq!(
            breaker.rejected(Position(1001)),
            sinks(false, 1),
            "{}",
            breaker.ratio()
        );
        assert_eq!(breaker.ratio(), "21 of the last 100");
    }

    #[test]
    fn before_the_ratio_is_known_a_bounded_number_is_dead_lettered() {
        let mut breaker = CircuitBreaker::default();
        let dead = (1..=1000)
            .take_while(|position| breaker.rejected(Position(*position)) == Decision::OF_THE_EVENT);
        assert_eq!(dead.count(), JUDGED_MIN - 1);
    }

    #[test]
    fn open_breaker_dead_letters_an_event_that_is_rejected_once_more() {
        let mut breaker = CircuitBreaker::default();
        while !breaker.is_open() {
            breaker.rejected(Position(1));
        }
        assert_eq!(breaker.rejected(Position(2)), sinks(false, 2));
        assert_eq!(breaker.ratio(), "21 of the last 21");
        assert_eq!(breaker.rejected(Position(2)), sinks(true, 4));
        assert_eq!(breaker.ratio(), "21 of the last 21", "it is the same event");
        for (position, seconds) in
            (3..).zip([8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600])
        {
            assert_eq!(breaker.rejected(Position(position)), sinks(false, seconds));
        }
        assert!(breaker.accepted(1));
        assert!(!breaker.is_open() && !breaker.accepted(1));
        assert_eq!(
            breaker.rejected(Position(2)),
            Decision::OF_THE_EVENT,
            "all is forgotten"
        );
    }
}
