//! The publish at which it went wrong, and how often. Knows no socket.
//!
//! MQTT 3.1.1 has no way to reject a publish but to close the connection; MQTT 5 has codes that do
//! not say whose trouble it is. In both cases only repetition tells.

use crate::model::Position;

/// A broker that has closed this many connections at the same publish, with nothing else in flight,
/// rejects that publish.
const CLOSES_MAX: u32 = 5;
/// After this many the connection is watched before the publish. A connection that is lost in that
/// time (another client takes our id over, the network) was not closed because of the publish. Then
/// the count starts at zero.
const CLOSES_UNWATCHED: u32 = 2;
/// A publish that the broker has failed this many times, each time while it accepted others, is the
/// cause of it.
const FAILURES_MAX: u32 = 3;
/// The same where there was no other: with the delivery's waits this takes minutes.
const ALONE_MAX: u32 = 10;

/// The event under suspicion, if there is one.
#[derive(Debug, Default)]
pub(super) struct Accused(Option<Count>);

#[derive(Debug, Clone, Copy)]
struct Count {
    position: Position,
    closes: u32,
    failures: u32,
    alone: u32,
}

/// What the broker has done with other publishes, while it failed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// It has accepted some.
    Accepted,
    /// It has failed them too: it is in trouble.
    Failed,
    /// There were none that say anything.
    Unknown,
}

/// What is known of the accused event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accusation {
    /// It may be chance.
    Open,
    /// The broker rejects it; it has done this many times what shows that.
    Proven(u32),
}

impl Accused {
    /// Whether the connection is to be watched before this event is published.
    pub(super) fn is_to_be_watched(&self, position: Option<Position>) -> bool {
        let watched =
            |count: Count| count.closes >= CLOSES_UNWATCHED && Some(count.position) == position;
        self.0.is_some_and(watched)
    }

    /// Nobody is under suspicion.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    /// The connection was closed at this event, nothing else being in flight.
    pub(super) fn closed_at(&mut self, position: Position) -> Accusation {
        let count = self.count(position);
        count.closes += 1;
        let closes = count.closes;
        self.decide(closes, CLOSES_MAX)
    }

    /// The broker has failed this event, for a reason that may be its own.
    pub(super) fn failed(&mut self, position: Position, others: Others) -> Accusation {
        let count = self.count(position);
        match others {
            Others::Accepted => count.failures += 1,
            Others::Unknown => count.alone += 1,
            Others::Failed => return Accusation::Open,
        }
        let (failures, alone) = (count.failures, count.alone);
        match self.decide(failures, FAILURES_MAX) {
            Accusation::Open => self.decide(alone, ALONE_MAX),
            proven @ Accusation::Proven(_) => proven,
        }
    }

    fn count(&mut self, position: Position) -> &mut Count {
        let fresh = Count {
            position,
            closes: 0,
            failures: 0,
            alone: 0,
        };
        let before = self.0.filter(|count| count.position == position);
        self.0.insert(before.unwrap_or(fresh))
    }

    fn decide(&mut self, times: u32, max: u32) -> Accusation {
        if times < max {
            return Accusation::Open;
        }
        self.0 = None;
        Accusation::Proven(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_repetition_at_one_event_proves_it() {
        let (one, two) = (Position(1), Position(2));
        let mut accused = Accused::default();
        for _ in 1..CLOSES_MAX {
            assert_eq!(accused.closed_at(one), Accusation::Open);
        }
        assert!(accused.is_to_be_watched(Some(one)) && !accused.is_to_be_watched(Some(two)));
        assert_eq!(
            accused.closed_at(two),
            Accusation::Open,
            "another begins at zero"
        );
        for _ in 1..CLOSES_MAX {
            assert_eq!(accused.closed_at(one), Accusation::Open);
        }
        assert_eq!(accused.closed_at(one), Accusation::Proven(CLOSES_MAX));
        assert!(!accused.is_to_be_watched(Some(one)));
        for (others, max) in [
            (Others::Accepted, FAILURES_MAX),
            (Others::Unknown, ALONE_MAX),
        ] {
            for _ in 1..max {
                assert_eq!(accused.failed(one, others), Accusation::Open);
                assert_eq!(accused.failed(one, Others::Failed), Accusation::Open);
            }
            assert_eq!(accused.failed(one, others), Accusation::Proven(max));
        }
    }
}
