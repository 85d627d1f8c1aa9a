//! What was read and is not done yet: which events go next, and how far the cursor may go. No IO.

use super::outcomes::{Outcome, Outcomes};
use super::reading::Reading;
use crate::journal::Passed;
use crate::model::{Event, Position};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pending {
    outcomes: Outcomes,
    /// In order; those before `first` are confirmed.
    events: Vec<Event>,
    first: usize,
    /// The last entry that was read.
    through: Position,
    /// One of the next so many events was refused with the others; 0: none is suspected.
    suspects: usize,
}

impl Pending {
    /// Entries in order, up to `through`.
    pub(super) fn new(readings: Vec<(Position, Reading)>, through: Position) -> Pending {
        let mut pending = Pending {
            through,
            ..Pending::default()
        };
        for (position, reading) in readings {
            pending.outcomes.push(position, Outcome::of(&reading));
            if let Reading::Event(event) = reading {
                pending.events.push(*event);
            }
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

    /// The events of the next attempt, at most so many, and where the cursor stands once they are
    /// confirmed. While one is suspected, half of the suspects.
    pub(super) fn next(&self, events_max: usize) -> (&[Event], Position) {
        let waiting = self.waiting();
        let count = match self.suspects {
            0 => waiting.len().min(events_max),
            suspects => suspects.div_ceil(2),
        };
        let through = waiting.get(count).map_or(self.through, just_before);
        (&waiting[..count], through)
    }

    /// The next so many events are with the sink.
    pub(super) fn confirm(&mut self, count: usize) {
        self.first += count;
        self.suspects = self.suspects.saturating_sub(count);
        assert!(
            self.first <= self.events.len(),
            "no more is confirmed than there is"
        );
    }

    /// The sink has everything at or before it.
    pub(super) fn confirm_through(&mut self, to: Position) {
        self.confirm(self.waiting().partition_point(|event| event.position <= to));
    }

    /// One of the next `attempted` events was refused. Gives it where it is known by now; else
    /// fewer are tried next.
    pub(super) fn refused(
        &mut self,
        attempted: usize,
        index: Option<usize>,
    ) -> Option<(usize, Position)> {
        let index = match (index.filter(|index| *index < attempted), attempted) {
            (Some(index), _) => index,
            (None, 0) => return None,
            (None, 1) => 0,
            (None, _) => {
                self.suspects = attempted;
                return None;
            }
        };
        self.waiting()
            .get(index)
            .map(|event| (index, event.position))
    }

    /// The event is not tried again.
    pub(super) fn dead_letter(&mut self, index: usize) {
        let event = self.events.remove(self.first + index);
        self.suspects = 0;
        self.outcomes.set(event.position, Outcome::DeadLetter);
    }

    /// Everything at or before it is confirmed, filtered or dead-lettered.
    pub(super) fn done_through(&self) -> Position {
        self.waiting().first().map_or(self.through, just_before)
    }

    /// The cursor goes here: what became of the entries that it passes. Events among them count as
    /// delivered.
    pub(super) fn pass(&mut self, to: Position) -> Passed {
        let passed = self.outcomes.pass(to);
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
