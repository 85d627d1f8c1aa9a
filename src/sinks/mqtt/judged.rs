//! What the broker has answered for the events behind one that it rejects. MQTT 5 answers each
//! publish by itself: those behind are with the broker, and are not published again for that.
//!
//! Only the process knows them: after a crash they come again.

use std::collections::VecDeque;

use super::reason::{Reason, Verdict};
use crate::model::{Event, Position};

/// The answers behind a rejected event, in the order of the log.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// The rejected event; the answers hold for the events behind it.
    rejected: Option<Position>,
    answers: VecDeque<(Position, Option<Reason>)>,
}

/// How a batch begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// So many of its first events are with the broker.
    pub(super) confirmed: usize,
    /// Why the next one is not.
    pub(super) rejected: Option<Reason>,
}

impl Judged {
    /// The broker has rejected an event permanently. An answer that is to be asked for again ends
    /// what is known: the events behind it keep their order.
    pub(super) fn note(
        &mut self,
        rejected: Position,
        behind: impl Iterator<Item = (Position, Option<Reason>)>,
    ) {
        let stands = |answer: &(Position, Option<Reason>)| match &answer.1 {
            None => true,
            Some(reason) => reason.verdict() == Verdict::Never,
        };
        self.rejected = Some(rejected);
        self.answers = behind.take_while(stands).collect();
    }

    /// Nothing is known.
    pub(super) fn forget(&mut self) {
        *self = Judged::default();
    }

    /// What is known of the first events of the log's next batch. Where that begins with the
    /// rejected event, it is tried again: all behind it is published again, in order.
    pub(super) fn of(&mut self, events: &[Event]) -> Known {
        let mut known = Known::default();
        let first = events.first().map(Event::position);
        if first <= self.rejected {
            self.forget();
            return known;
        }
        for event in events {
            while self
                .answers
                .front()
                .is_some_and(|(at, _)| *at < event.position())
            {
                self.answers.pop_front();
            }
            match self.answers.front() {
                Some((at, None)) if *at == event.position() => known.confirmed += 1,
                Some((at, Some(reason))) if *at == event.position() => {
                    known.rejected = Some(reason.clone());
                    self.rejected = Some(*at);
                    break;
                }
                _ => break,
            }
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StatusEvent;

    fn events(numbers: std::ops::RangeInclusive<i64>) -> Vec<Event> {
        let event = |number| {
            let mut event = StatusEvent::sample();
            event.position = Position(number);
            Event::from(event)
        };
        numbers.map(event).collect()
    }

    fn known(confirmed: usize, rejected: Option<u8>) -> Known {
        Known {
            confirmed,
            rejected: rejected.map(|code| Reason::new(code, None)),
        }
    }

    /// Event 1 is rejected, 3 and 5 too, 2, 4 and 6 are with the broker, and 7 is to come again.
    fn judged() -> Judged {
        let codes = [None, Some(0x87), None, Some(0x95), None, Some(0x97), None];
        let behind = (2..).zip(codes).map(|(number, code)| {
            let reason = code.map(|code| Reason::new(code, None));
            (Position(number), reason)
        });
        let mut judged = Judged::default();
        judged.note(Position(1), behind);
        judged
    }

    #[test]
    fn what_is_with_the_broker_is_passed_and_what_it_rejects_too() {
        let mut judged = judged();
        assert_eq!(judged.of(&events(2..=9)), known(1, Some(0x87)));
        assert_eq!(judged.of(&events(4..=4)), known(1, None));
        assert_eq!(judged.of(&events(5..=9)), known(0, Some(0x95)));
        assert_eq!(judged.of(&events(6..=9)), known(1, None), "7 comes again");
        assert_eq!(judged.of(&events(7..=9)), known(0, None));
    }

    #[test]
    fn an_event_that_is_tried_again_has_all_behind_it_published_again() {
        let mut judged = judged();
        assert_eq!(judged.of(&events(1..=9)), known(0, None));
        assert_eq!(judged.of(&events(2..=9)), known(0, None));
    }
}
