//! Where a sink stands: its cursor, how far the log was read for it, and what became of the entries
//! between. No IO.

use std::collections::VecDeque;

use super::decode::Decoded;
use crate::journal::Passed;
use crate::model::{Event, Position};

/// The one place that knows it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Everything at or before it is confirmed, filtered or dead-lettered.
    pub(super) cursor: Position,
    /// The log was read up to here.
    pub(super) through: Position,
    /// The sink confirmed everything at or before this position in this run. A cursor of its own
    /// before it means a loss on its side.
    pub(super) confirmed: Position,
    /// After the cursor, in order. Neighbours that are not for the sink are one, which has the
    /// position of the last.
    outcomes: VecDeque<(Position, Outcome)>,
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

impl Progress {
    /// At this cursor.
    pub(super) fn at(cursor: Position) -> Progress {
        Progress {
            cursor,
            through: cursor,
            ..Progress::default()
        }
    }

    /// The log was read on, through this entry. Gives the events that are to be delivered.
    pub(super) fn read(
        &mut self,
        entries: Vec<(Position, Decoded)>,
        through: Position,
    ) -> Vec<Event> {
        let mut events = Vec::with_capacity(entries.len());
        for (position, decoded) in entries {
            let outcome = match decoded {
                Decoded::Event(_) if position <= self.confirmed => Outcome::Delivered,
                Decoded::Event(event) => {
                    events.push(event);
                    Outcome::Open
                }
                Decoded::Filtered | Decoded::Unwanted => Outcome::Filtered(1),
                Decoded::Undecodable => Outcome::Undecodable(1),
                Decoded::Unreadable(_) | Decoded::DeadLetter => Outcome::DeadLetter,
                Decoded::Evicted(count) => Outcome::Evicted(count),
                Decoded::Removed(count) => Outcome::Removed(count),
            };
            self.push(position, outcome);
        }
        self.through = through;
        events
    }

    fn push(&mut self, position: Position, outcome: Outcome) {
        match (self.outcomes.back_mut(), outcome) {
            (Some((last, Outcome::Filtered(count))), Outcome::Filtered(more))
            | (Some((last, Outcome::Undecodable(count))), Outcome::Undecodable(more)) => {
                *last = position;
                *count += more;
            }
            _ => self.outcomes.push_back((position, outcome)),
        }
    }

    /// What open entries have become; their positions in order.
    pub(super) fn settle(&mut self, positions: &[Position], outcome: Outcome) {
        let Some(first) = positions.first() else {
            return;
        };
        let mut at = self.outcomes.partition_point(|(of, _)| of < first);
        // In the log's order each is the next one that is open.
        for position in positions {
            while self.outcomes.get(at).is_some_and(|(of, _)| of < position) {
                at += 1;
            }
            if let Some((of, became)) = self.outcomes.get_mut(at)
                && of == position
            {
                *became = outcome;
            }
        }
    }

    /// The sink has everything at or before it.
    pub(super) fn confirm_through(&mut self, to: Position) {
        self.confirmed = to;
        for (position, outcome) in &mut self.outcomes {
            if *position <= to && *outcome == Outcome::Open {
                *outcome = Outcome::Delivered;
            }
        }
    }

    /// Moves the cursor over the done entries up to the first hole, and gives the outcomes of those
    /// that it passes.
    pub(super) fn advance(&mut self) -> Option<Passed> {
        let is_open = |(_, outcome): &&(Position, Outcome)| *outcome == Outcome::Open;
        let open = self.outcomes.iter().find(is_open);
        let to = open.map_or(self.through, |(position, _)| Position(position.0 - 1));
        let mut passed = Passed::default();
        while let Some((_, outcome)) = self.outcomes.pop_front_if(|(position, _)| *position <= to) {
            match outcome {
                Outcome::Open | Outcome::Delivered => passed.delivered += 1,
                Outcome::DeadLetter => passed.dead_lettered += 1,
                Outcome::Filtered(count) => passed.filtered += count,
                Outcome::Undecodable(count) => passed.undecodable += count,
                Outcome::Evicted(count) => passed.evicted += count,
                Outcome::Removed(count) => passed.removed += count,
            }
        }
        if to <= self.cursor {
            return None;
        }
        self.cursor = to;
        Some(passed)
    }

    /// The event that holds the cursor, where all the sink's `dead_letters` are behind it: an
    /// operator's commands reach none of them before it is settled.
    pub(super) fn holds_all(&self, dead_letters: u64) -> Option<Position> {
        let is_dead_letter = |outcome: &Outcome| *outcome == Outcome::DeadLetter;
        let behind = self
            .outcomes
            .iter()
            .filter(|(_, outcome)| is_dead_letter(outcome));
        if behind.count() as u64 != dead_letters {
            return None;
        }
        let open = self
            .outcomes
            .iter()
            .find(|(_, outcome)| *outcome == Outcome::Open);
        open.map(|(position, _)| *position)
    }

    /// Entries after the cursor that were read; neighbours that are not for the sink are one.
    pub(super) fn ahead(&self) -> usize {
        self.outcomes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_for_the_sink_costs_no_room_and_is_counted() {
        let mut progress = Progress::default();
        for position in 1..=1000 {
            let outcome = match position {
                500 => Outcome::Open,
                501 => Outcome::Undecodable(1),
                _ => Outcome::Filtered(1),
            };
            progress.push(Position(position), outcome);
        }
        progress.through = Position(1000);
        assert_eq!(progress.ahead(), 4);
        let filtered = Passed {
            filtered: 499,
            ..Passed::default()
        };
        assert_eq!(progress.advance(), Some(filtered));
        assert_eq!(progress.cursor, Position(499));
        assert_eq!(progress.advance(), None);
        progress.settle(&[Position(500)], Outcome::DeadLetter);
        let expected = Passed {
            dead_lettered: 1,
            undecodable: 1,
            filtered: 499,
            ..Passed::default()
        };
        assert_eq!(progress.advance(), Some(expected));
        assert_eq!((progress.cursor, progress.ahead()), (Position(1000), 0));
    }

    #[test]
    fn cursor_never_passes_an_open_entry_whatever_is_settled_first() {
        let mut progress = Progress::default();
        (1..=6).for_each(|position| progress.push(Position(position), Outcome::Open));
        progress.through = Position(6);
        progress.settle(&[2, 3, 5].map(Position), Outcome::Delivered);
        assert_eq!(progress.advance(), None);
        progress.settle(&[Position(1)], Outcome::Delivered);
        assert_eq!(
            progress.advance().map(|passed| passed.delivered),
            Some(3),
            "up to the hole at 4"
        );
        progress.confirm_through(Position(4));
        progress.advance();
        assert_eq!((progress.cursor, progress.ahead()), (Position(5), 1));
    }
}
