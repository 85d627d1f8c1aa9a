//! One sink's accounting: the outcomes of the entries that its cursor has passed. It balances,
//! across restarts and crashes too, since it is written in one transaction with the cursor.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::Position;

/// What became of entries that a cursor passes, each counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Passed {
    /// Confirmed by the sink.
    pub delivered: u64,
    /// Not for this sink, by its `kinds`, `topics` or `when`.
    pub filtered: u64,
    /// Undecodable at intake: for no sink.
    pub undecodable: u64,
    /// Rejected by the sink, or not decodable for it.
    pub dead_lettered: u64,
    /// Removed by `when_full = "drop_oldest"` before the sink had them.
    pub evicted: u64,
    /// Read again because the sink's own cursor went back, but removed meanwhile as delivered
    /// everywhere.
    pub removed: u64,
}

impl Passed {
    fn sum(self) -> u64 {
        self.delivered
            + self.filtered
            + self.undecodable
            + self.dead_lettered
            + self.evicted
            + self.removed
    }

    pub(super) fn add(&mut self, other: Passed) {
        self.delivered += other.delivered;
        self.filtered += other.filtered;
        self.undecodable += other.undecodable;
        self.dead_lettered += other.dead_lettered;
        self.evicted += other.evicted;
        self.removed += other.removed;
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Passed {
            delivered,
            filtered,
            undecodable,
            dead_lettered,
            evicted,
            removed,
        } = self;
        write!(
            f,
            "{delivered} delivered, {filtered} filtered, {undecodable} undecodable, \
             {dead_lettered} dead-lettered, {evicted} evicted, {removed} removed"
        )
    }
}

/// One sink's accounting: where its cursor began, and the outcomes of the entries it has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Accounting {
    /// The cursor when the sink was first seen.
    pub started: Position,
    /// By how much the cursor was put back since, to read entries again (negative: put forward).
    pub rewound: i64,
    /// The furthest position that the cursor ever had: every entry before it was accounted for
    /// once.
    pub furthest: Position,
    /// Since `started`, entries that were read again included.
    #[serde(flatten)]
    pub passed: Passed,
    /// Dead-lettered, then delivered on an operator's demand.
    pub redriven: u64,
    /// Dead-lettered, then dropped: by an operator, by `dlq_when_full = "drop_oldest"` or by
    /// `dlq_keep`.
    pub discarded: u64,
}

/// A sink's accounting, as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkAccounting {
    /// As in the configuration.
    pub sink: Arc<str>,
    /// The cursor.
    pub cursor: Position,
    /// Entries of the log that the cursor has not passed.
    pub pending: u64,
    /// Entries that are dead-lettered now, and were passed.
    pub waiting: u64,
    /// Its counts of outcomes.
    #[serde(flatten)]
    pub accounting: Accounting,
}

impl SinkAccounting {
    /// Whether every entry is accounted for.
    ///
    /// # Errors
    /// Both sides of what does not balance.
    pub fn check(&self) -> Result<(), String> {
        let Accounting {
            started,
            rewound,
            passed,
            redriven,
            discarded,
            ..
        } = self.accounting;
        let moved = self.cursor.0 - started.0 + rewound;
        let sum = i64::try_from(passed.sum()).unwrap_or(i64::MAX);
        if moved != sum {
            return Err(format!(
                "the cursor has passed {moved} entries, but {sum} are accounted for: {passed}"
            ));
        }
        let known = self.waiting + redriven + discarded;
        if passed.dead_lettered != known {
            return Err(format!(
                "{} entries were dead-lettered, but {known} are known: {} waiting, {redriven} \
                 redriven, {discarded} \
                 discarded",
                passed.dead_lettered, self.waiting
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut SinkAccounting), expected: Option<&str>) {
        let passed = Passed {
            delivered: 5,
            filtered: 4,
            undecodable: 2,
            dead_lettered: 6,
            evicted: 2,
            removed: 1,
        };
        let accounting = Accounting {
            started: Position(100),
            rewound: 10,
            furthest: Position(110),
            passed,
            redriven: 2,
            discarded: 3,
        };
        let mut account = SinkAccounting {
            sink: "site".into(),
            cursor: Position(110),
            pending: 7,
            waiting: 1,
            accounting,
        };
        change(&mut account);
        let found = account.check().err();
        assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
        assert!(
            found
                .unwrap_or_default()
                .contains(expected.unwrap_or_default())
        );
    }

    #[test]
    fn one_entry_more_or_less_is_noticed() {
        check(|_| {}, None);
        check(|account| account.pending = 0, None);
        check(
            |account| account.cursor.0 += 1,
            Some("has passed 21 entries, but 20"),
        );
        check(
            |account| account.accounting.rewound -= 1,
            Some("has passed 19 entries, but 20"),
        );
        check(
            |account| account.accounting.passed.evicted += 1,
            Some("has passed 20 entries, but 21"),
        );
        check(
            |account| account.waiting = 0,
            Some("6 entries were dead-lettered, but 5"),
        );
        check(
            |account| account.accounting.redriven += 1,
            Some("6 entries were dead-lettered, but 7"),
        );
    }
}
