//! The ids under which a journal has given its positions. There is one, unless the journal was
//! restored from a backup: what the backup has keeps its id, and with it its origin.

use std::sync::Arc;

use uuid::Uuid;

use super::position::{Origin, Position};

/// Which id each position was given under. Clones are cheap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalIds {
    now: Uuid,
    /// By the last position of each, in order.
    earlier: Arc<[(Position, Uuid)]>,
}

impl JournalIds {
    /// `earlier`: the ids before, each with the last position that was given under it; in order.
    pub fn new(now: Uuid, earlier: Vec<(Position, Uuid)>) -> JournalIds {
        JournalIds {
            now,
            earlier: earlier.into(),
        }
    }

    /// The id of what comes next.
    pub fn now(&self) -> Uuid {
        self.now
    }

    /// Where the entry at a position came from.
    pub fn origin(&self, position: Position) -> Origin {
        let earlier = self.earlier.iter().find(|(last, _)| position <= *last);
        Origin {
            journal: earlier.map_or(self.now, |(_, id)| *id),
            position,
        }
    }

    /// Whether an entry of this journal has that origin, or had it.
    pub fn has(&self, origin: Origin) -> bool {
        self.origin(origin.position) == origin
    }
}

impl From<Uuid> for JournalIds {
    /// Of a journal that has had no other id.
    fn from(now: Uuid) -> JournalIds {
        JournalIds::new(now, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_before_a_restore_keeps_its_origin() {
        let [first, second, now] = [1, 2, 3].map(Uuid::from_u128);
        let earlier = vec![(Position(10), first), (Position(12), second)];
        let ids = JournalIds::new(now, earlier);
        let given = |position| ids.origin(Position(position)).journal;
        let expected = [
            (1, first),
            (10, first),
            (11, second),
            (12, second),
            (13, now),
        ];
        for (position, id) in expected {
            assert_eq!(given(position), id, "{position}");
        }
        let origin = |journal, position| Origin {
            journal,
            position: Position(position),
        };
        assert!(ids.has(origin(first, 10)) && ids.has(origin(now, 13)));
        // The other copy has given it, and this one has not.
        assert!(!ids.has(origin(first, 11)) && !ids.has(origin(now, 12)));
        assert_eq!(JournalIds::from(now).origin(Position(1)), origin(now, 1));
    }
}
