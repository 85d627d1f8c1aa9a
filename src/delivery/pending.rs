//! What was read and is not done yet: which events go next, and how far the cursor may go. No IO.

use std::collections::VecDeque;

use super::reading::Reading;
use crate::journal::Passed;
use crate::model::{Event, Position};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// All entries that the cursor has not passed, in order.
    outcomes: VecDeque<(Position, Outcome)>,
    /// In order; those before `first` are confirmed.
    events: Vec<Event>,
    first: usize,
    /// The last entry that was read.
    through: Position,
    /// One of the next so many events was refused with the others; 0: none is suspected.
    suspects: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Event,
    Filtered,
    Rejected,
    SetAside,
    /// So many entries up to here were dropped before they were read.
    Lost(u64),
    /// So many entries up to here were removed since they were first read.
    Removed(u64),
}

impl Pending {
    /// Entries in order, up to `through`.
    pub(super) fn new(readings: Vec<(Position, Reading)>, through: Position) -> Pending {
        let mut pending = Pending { through, ..Pending::default() };
        for (position, reading) in readings {
            let outcome = match reading {
                Reading::Event(event) => {
                    pending.events.push(*event);
                    Outcome::Event
                }
                Reading::Filtered => Outcome::Filtered,
                Reading::Rejected => Outcome::Rejected,
                Reading::Unreadable(_) | Reading::SetAside => Outcome::SetAside,
                Reading::Lost(count) => Outcome::Lost(count),
                Reading::Removed(count) => Outcome::Removed(count),
            };
            pending.outcomes.push_back((position, outcome));
        }
        pending
    }

    /// The last entry that was read.
    pub(super) fn through(&self) -> Position {
        self.through
    }

    /// No event is left.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    /// The events of the next attempt, and where the cursor stands once they are confirmed. While one is suspected,
    /// half of the suspects.
    pub(super) fn next(&self) -> (&[Event], Position) {
        let waiting = self.waiting();
        let count = match self.suspects {
            0 => waiting.len(),
            suspects => suspects.div_ceil(2),
        };
        let through = waiting.get(count).map_or(self.through, just_before);
        (&waiting[..count], through)
    }

    /// The next so many events are with the sink.
    pub(super) fn confirm(&mut self, count: usize) {
        self.first += count;
        self.suspects = self.suspects.saturating_sub(count);
        assert!(self.first <= self.events.len(), "no more is confirmed than there is");
    }

    /// The sink has everything at or before it.
    pub(super) fn confirm_through(&mut self, to: Position) {
        self.confirm(self.waiting().partition_point(|event| event.position <= to));
    }

    /// One of the next `attempted` events was refused. Gives it where it is known by now; else fewer are tried next.
    pub(super) fn refused(&mut self, attempted: usize, index: Option<usize>) -> Option<(usize, Position)> {
        let index = match (index.filter(|index| *index < attempted), attempted) {
            (Some(index), _) => index,
            (None, 0) => return None,
            (None, 1) => 0,
            (None, _) => {
                self.suspects = attempted;
                return None;
            }
        };
        self.waiting().get(index).map(|event| (index, event.position))
    }

    /// The event is not tried again.
    pub(super) fn set_aside(&mut self, index: usize) {
        let event = self.events.remove(self.first + index);
        self.suspects = 0;
        if let Ok(at) = self.outcomes.binary_search_by_key(&event.position, |(position, _)| *position) {
            self.outcomes[at].1 = Outcome::SetAside;
        }
    }

    /// Everything at or before it is confirmed, filtered or set aside.
    pub(super) fn done_through(&self) -> Position {
        self.waiting().first().map_or(self.through, just_before)
    }

    /// The cursor goes here: what became of the entries that it passes. Events among them count as delivered.
    pub(super) fn pass(&mut self, to: Position) -> Passed {
        let mut passed = Passed::default();
        while let Some((_, outcome)) = self.outcomes.pop_front_if(|(position, _)| *position <= to) {
            match outcome {
                Outcome::Event => passed.delivered += 1,
                Outcome::Filtered => passed.filtered += 1,
                Outcome::Rejected => passed.rejected += 1,
                Outcome::SetAside => passed.set_aside += 1,
                Outcome::Lost(count) => passed.lost += count,
                Outcome::Removed(count) => passed.removed += count,
            }
        }
        self.confirm_through(to);
        passed
    }

    fn waiting(&self) -> &[Event] {
        &self.events[self.first..]
    }
}

fn just_before(event: &Event) -> Position {
    Position(event.position.0 - 1)
}
