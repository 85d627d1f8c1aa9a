//! What became of the entries that were read and that the cursor has not passed, in the journal's
//! order. No IO.

use std::collections::VecDeque;

use super::reading::Reading;
use crate::journal::Passed;
use crate::model::Position;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    /// Neighbours that are not for the sink are one, which has the position of the last.
    runs: VecDeque<(Position, Outcome)>,
}

/// One entry's, or that of several which are nobody's concern one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// To be delivered.
    Open,
    Delivered,
    DeadLetter,
    Filtered(u64),
    Undecodable(u64),
    /// Dropped before they were read.
    Evicted(u64),
    /// Removed since they were first read.
    Removed(u64),
}

impl Outcome {
    pub(super) fn of(reading: &Reading) -> Outcome {
        match reading {
            Reading::Event(_) => Outcome::Open,
            Reading::Filtered => Outcome::Filtered(1),
            Reading::Undecodable => Outcome::Undecodable(1),
            Reading::Unreadable(_) | Reading::DeadLetter => Outcome::DeadLetter,
            Reading::Evicted(count) => Outcome::Evicted(*count),
            Reading::Removed(count) => Outcome::Removed(*count),
        }
    }
}

impl Outcomes {
    /// The next one in order.
    pub(super) fn push(&mut self, position: Position, outcome: Outcome) {
        match (self.runs.back_mut(), outcome) {
            (Some((last, Outcome::Filtered(count))), Outcome::Filtered(more))
            | (Some((last, Outcome::Undecodable(count))), Outcome::Undecodable(more)) => {
                *last = position;
                *count += more;
            }
            _ => self.runs.push_back((position, outcome)),
        }
    }

    /// What an open one has become.
    pub(super) fn set(&mut self, position: Position, outcome: Outcome) {
        if let Ok(at) = self
            .runs
            .binary_search_by_key(&position, |(position, _)| *position)
        {
            self.runs[at].1 = outcome;
        }
    }

    /// The first that is still to be delivered.
    pub(super) fn first_open(&self) -> Option<Position> {
        self.runs
            .iter()
            .find(|(_, outcome)| *outcome == Outcome::Open)
            .map(|(position, _)| *position)
    }

    /// The cursor goes here: what became of the entries that it passes. Open ones among them count
    /// as delivered.
    pub(super) fn pass(&mut self, to: Position) -> Passed {
        let mut passed = Passed::default();
        while let Some((_, outcome)) = self.runs.pop_front_if(|(position, _)| *position <= to) {
            match outcome {
                Outcome::Open | Outcome::Delivered => passed.delivered += 1,
                Outcome::DeadLetter => passed.dead_lettered += 1,
                Outcome::Filtered(count) => passed.filtered += count,
                Outcome::Undecodable(count) => passed.undecodable += count,
                Outcome::Evicted(count) => passed.evicted += count,
                Outcome::Removed(count) => passed.removed += count,
            }
        }
        passed
    }

    /// How many are kept.
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_for_the_sink_costs_no_room_and_is_counted() {
        let mut outcomes = Outcomes::default();
        for position in 1..=1000 {
            let outcome = match position {
                500 => Outcome::Open,
                501 => Outcome::Undecodable(1),
                _ => Outcome::Filtered(1),
            };
            outcomes.push(Position(position), outcome);
        }
        assert_eq!(
            (outcomes.len(), outcomes.first_open()),
            (4, Some(Position(500)))
        );
        assert_eq!(
            outcomes.pass(Position(499)),
            Passed {
                filtered: 499,
                ..Passed::default()
            }
        );
        outcomes.set(Position(500), Outcome::DeadLetter);
        assert_eq!(outcomes.first_open(), None);
        let expected = Passed {
            dead_lettered: 1,
            undecodable: 1,
            filtered: 499,
            ..Passed::default()
        };
        assert_eq!(outcomes.pass(Position(1000)), expected);
        assert_eq!(outcomes.len(), 0);
    }
}
