//! Notices a `when` that has held for none of the first statuses that it judged: it may hold for
//! nothing. It knows what was read, not what became of it.

use sha2::{Digest, Sha256};

use super::decode::Decoded;
use crate::model::{Event, Position};
use crate::pipeline::Expression;

/// So many statuses say something about a `when`: a fault is rare, but not that rare.
const FIRST: u64 = 1000;

/// What a `when` has made of statuses since it is in force, or since the start.
#[derive(Debug, Default)]
pub(super) struct AllFiltered {
    /// Those for which it did not hold; `None`: nothing more is asked.
    filtered: Option<u64>,
    /// The last entry that was counted: a sink may read some again.
    through: Position,
}

/// What is known of a `when` from now on, whatever comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// It has held for a status.
    Held,
    /// It has held for none of the first.
    HeldForNone,
}

/// The digest by which the journal knows a `when`.
pub(super) fn digest(when: &Expression) -> [u8; 32] {
    Sha256::digest(when.source().as_bytes()).into()
}

impl AllFiltered {
    /// Of a sink with a `when` of which nothing is known yet.
    pub(super) fn of_when() -> AllFiltered {
        AllFiltered {
            filtered: Some(0),
            ..AllFiltered::default()
        }
    }

    /// These were read. Gives once what is known then.
    pub(super) fn read(&mut self, entries: &[(Position, Decoded)]) -> Option<Judged> {
        let mut filtered = self.filtered?;
        let new = entries.iter().filter(|(at, _)| *at > self.through);
        for (_, decoded) in new {
            match decoded {
                Decoded::Event(Event::Status(_)) => {
                    self.filtered = None;
                    return Some(Judged::Held);
                }
                Decoded::Unwanted => filtered += 1,
                // It was not asked.
                _ => {}
            }
        }
        let last = entries.last().map_or(self.through, |(at, _)| *at);
        self.through = self.through.max(last);
        let is_full = filtered >= FIRST;
        self.filtered = (!is_full).then_some(filtered);
        is_full.then_some(Judged::HeldForNone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CoverageEvent, StatusEvent};

    /// Entries after a position.
    fn entries(after: i64, count: i64, decoded: impl Fn() -> Decoded) -> Vec<(Position, Decoded)> {
        let positions = after + 1..=after + count;
        positions.map(|at| (Position(at), decoded())).collect()
    }

    #[test]
    fn when_that_holds_for_none_of_the_first_thousand_is_noticed_once() {
        let mut all = AllFiltered::of_when();
        assert_eq!(all.read(&entries(0, 999, || Decoded::Unwanted)), None);
        // Read again, not asked, or of another kind.
        assert_eq!(all.read(&entries(900, 99, || Decoded::Unwanted)), None);
        assert_eq!(all.read(&entries(999, 5000, || Decoded::Filtered)), None);
        let coverage = || Decoded::Event(CoverageEvent::sample().into());
        assert_eq!(all.read(&entries(5999, 9, coverage)), None);
        let none = all.read(&entries(6008, 1, || Decoded::Unwanted));
        assert_eq!(none, Some(Judged::HeldForNone));
        assert_eq!(all.read(&entries(6009, 5000, || Decoded::Unwanted)), None);
    }

    #[test]
    fn when_that_has_held_once_is_not() {
        let mut all = AllFiltered::of_when();
        assert_eq!(all.read(&entries(0, 999, || Decoded::Unwanted)), None);
        let status = || Decoded::Event(StatusEvent::sample().into());
        assert_eq!(all.read(&entries(999, 1, status)), Some(Judged::Held));
        assert_eq!(all.read(&entries(1000, 5000, || Decoded::Unwanted)), None);
        // Without a `when` nothing is asked.
        let mut none = AllFiltered::default();
        assert_eq!(none.read(&entries(0, 5000, || Decoded::Unwanted)), None);
    }
}
