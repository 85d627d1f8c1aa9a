//! Whether what a sink refuses for good is the events' fault or the sink's own. No clock, no IO.
//!
//! A receiver that was deployed wrongly answers 400 to everything, a table that somebody has
//! changed takes no row: to dead-letter all of that would leave a log of wreckage. So among the
//! last [`WINDOW`] events that the other side has judged no more than a fifth may be refused; at
//! least [`JUDGED_MIN`] must have been judged before that says anything, and so many at most are
//! dead- lettered before. Beyond it the refusals are the sink's trouble: it is left alone for a
//! second, then for twice as long each time, up to an hour, and each time one event is tried. The
//! first that is accepted ends it.
//!
//! An event that is refused while that lasts is not dead-lettered the first time, and others are
//! tried before it where the sink has lanes. The second time it is: else one event that is bad
//! indeed, with nothing beside it that could be tried, would be tried for ever. So a sink in such
//! trouble costs one event an hour at most in the long run, each of which can be redriven. What we
//! refuse ourselves (a packet over the limit, a template that fails) is not counted: it says
//! nothing of the sink. Nor is it when what an operator wants delivered again is refused.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::model::Position;

/// Events by which a sink is judged.
const WINDOW: usize = 100;
/// Fewer say nothing.
const JUDGED_MIN: usize = 20;
/// One in so many may be refused.
const REFUSED_ONE_IN: usize = 5;

/// The first wait; each further one is twice as long.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_LONGEST: Duration = Duration::from_secs(3600);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Whether each of the last ones was refused.
    judged: VecDeque<bool>,
    refused: usize,
    distrust: Option<Distrust>,
}

/// The refusals are the sink's.
#[derive(Debug, Default)]
struct Distrust {
    waits: u32,
    /// Refused once since.
    suspects: BTreeSet<Position>,
}

/// What to do about an event that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judgement {
    /// It is dead-lettered.
    pub(super) dead_lettered: bool,
    /// The sink is left alone for so long.
    pub(super) wait: Option<Duration>,
}

impl Judgement {
    /// The event alone is at fault.
    pub(super) const OF_THE_EVENT: Judgement = Judgement {
        dead_lettered: true,
        wait: None,
    };
}

impl Refusals {
    /// So many events were accepted. True where the sink was distrusted until now.
    pub(super) fn accepted(&mut self, count: usize) -> bool {
        if count == 0 {
            return false;
        }
        if self.distrust.take().is_some() {
            self.judged.clear();
            self.refused = 0;
            return true;
        }
        for _ in 0..count.min(WINDOW) {
            self.judge(false);
        }
        false
    }

    /// The other side has refused this event for good.
    pub(super) fn refused(&mut self, position: Position) -> Judgement {
        self.judge(true);
        let judged = self.judged.len();
        if self.distrust.is_none()
            && (judged < JUDGED_MIN || self.refused * REFUSED_ONE_IN <= judged)
        {
            return Judgement::OF_THE_EVENT;
        }
        let distrust = self.distrust.get_or_insert_default();
        let wait = WAIT_FIRST
            .saturating_mul(1 << distrust.waits.min(16))
            .min(WAIT_LONGEST);
        distrust.waits += 1;
        let dead_lettered = !distrust.suspects.insert(position);
        if dead_lettered {
            distrust.suspects.remove(&position);
        }
        Judgement {
            dead_lettered,
            wait: Some(wait),
        }
    }

    /// The refusals are taken for the sink's.
    pub(super) fn distrusts(&self) -> bool {
        self.distrust.is_some()
    }

    /// For the log: how many of how many were refused.
    pub(super) fn ratio(&self) -> String {
        format!("{} of the last {}", self.refused, self.judged.len())
    }

    fn judge(&mut self, refused: bool) {
        if self.judged.len() == WINDOW && self.judged.pop_front() == Some(true) {
            self.refused -= 1;
        }
        self.judged.push_back(refused);
        self.refused += usize::from(refused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sinks(dead_lettered: bool, seconds: u64) -> Judgement {
        Judgement {
            dead_lettered,
            wait: Some(Duration::from_secs(seconds)),
        }
    }

    #[test]
    fn a_fifth_may_be_refused_and_no_more() {
        let mut refusals = Refusals::default();
        for position in 1..=1000 {
            if position % 5 == 0 {
                assert_eq!(
                    refusals.refused(Position(position)),
                    Judgement::OF_THE_EVENT,
                    "{position}"
                );
            } else {
                refusals.accepted(1);
            }
        }
        assert_eq!(
            refusals.refused(Position(1001)),
            sinks(false, 1),
            "{}",
            refusals.ratio()
        );
        assert_eq!(refusals.ratio(), "21 of the last 100");
    }

    #[test]
    fn before_the_ratio_is_known_a_bounded_number_is_dead_lettered() {
        let mut refusals = Refusals::default();
        let aside = (1..=1000).take_while(|position| {
            refusals.refused(Position(*position)) == Judgement::OF_THE_EVENT
        });
        assert_eq!(aside.count(), JUDGED_MIN - 1);
    }

    #[test]
    fn in_distrust_an_event_is_dead_lettered_when_it_is_refused_once_more() {
        let mut refusals = Refusals::default();
        while !refusals.distrusts() {
            refusals.refused(Position(1));
        }
        assert_eq!(refusals.refused(Position(2)), sinks(false, 2));
        assert_eq!(refusals.refused(Position(2)), sinks(true, 4));
        for (position, seconds) in
            (3..).zip([8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600])
        {
            assert_eq!(refusals.refused(Position(position)), sinks(false, seconds));
        }
        assert!(refusals.accepted(1));
        assert!(!refusals.distrusts() && !refusals.accepted(1));
        assert_eq!(
            refusals.refused(Position(2)),
            Judgement::OF_THE_EVENT,
            "all is forgotten"
        );
    }
}
