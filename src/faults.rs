//! Faults that tests ask for by name: failpoints, where the process aborts, and mutations. The
//! tests show with mutations that they would notice such an error. A build without debug assertions
//! (`--release`) has none of it: there every question here is a constant `false`, whatever the
//! environment says.
//!
//! `STOMP_BRIDGE_TEST_FAULTS`, read once, is a list with commas of
//! - `abort PLACE COUNT`: abort when PLACE is reached for the COUNT-th time (one such at most),
//! - `mutation NAME`: make this mutation, always.

/// Where a test may end the process, in the order in which a message passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failpoint {
    /// A message was read from the socket.
    MessageRead,
    /// Entries are written, the journal's transaction is not committed.
    BeforeCommit,
    /// The journal has synced entries, and nobody has an answer yet.
    AfterCommit,
    /// ACKs were handed to the socket.
    AckWritten,
    /// A sink is about to be given events.
    BeforeDeliver,
    /// A sink has confirmed events, its cursor has not moved.
    AfterDeliver,
    /// Inside a SQL history's transaction.
    InHistory,
    /// A SQL history's transaction is committed, its delivery has not heard of it.
    AfterHistory,
    /// Entries are removed, the journal's transaction is not committed.
    InRetention,
}

impl Failpoint {
    /// All of them.
    pub const ALL: [Failpoint; 9] = [
        Failpoint::MessageRead,
        Failpoint::BeforeCommit,
        Failpoint::AfterCommit,
        Failpoint::AckWritten,
        Failpoint::BeforeDeliver,
        Failpoint::AfterDeliver,
        Failpoint::InHistory,
        Failpoint::AfterHistory,
        Failpoint::InRetention,
    ];

    /// As in the variable.
    pub fn name(self) -> &'static str {
        match self {
            Failpoint::MessageRead => "message-read",
            Failpoint::BeforeCommit => "before-commit",
            Failpoint::AfterCommit => "after-commit",
            Failpoint::AckWritten => "ack-written",
            Failpoint::BeforeDeliver => "before-deliver",
            Failpoint::AfterDeliver => "after-deliver",
            Failpoint::InHistory => "in-history",
            Failpoint::AfterHistory => "after-history",
            Failpoint::InRetention => "in-retention",
        }
    }
}

/// What somebody could get wrong, each against one of the invariants in ARCHITECTURE.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// Messages are acknowledged when they are given to the journal (I1).
    AckBeforeCommit,
    /// Of the messages that wait for the next commit one is acknowledged with those of the last
    /// (I1).
    AckOfAnother,
    /// The journal is committed, but not synced (I1).
    CommitWithoutSync,
    /// A cursor moves when its sink is given the events (I2).
    CursorBeforeDelivery,
    /// After a failed attempt its first event is not tried again (I2).
    SkipAfterRetry,
    /// After a failed attempt nothing of its batch is tried again (I2).
    DropBatchOnReconnect,
    /// Of a refused batch one half is taken for delivered (I2).
    LoseBisectHalf,
    /// A refused event is passed without a record (I2).
    ForgetDeadLetter,
    /// Entries are removed before the sinks are past them (I3).
    CollectEarly,
    /// Positions begin again once every entry is gone (I4).
    ReusePositions,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Mutation; 10] = [
        Mutation::AckBeforeCommit,
        Mutation::AckOfAnother,
        Mutation::CommitWithoutSync,
        Mutation::CursorBeforeDelivery,
        Mutation::SkipAfterRetry,
        Mutation::DropBatchOnReconnect,
        Mutation::LoseBisectHalf,
        Mutation::ForgetDeadLetter,
        Mutation::CollectEarly,
        Mutation::ReusePositions,
    ];

    /// As in the variable.
    pub fn name(self) -> &'static str {
        match self {
            Mutation::AckBeforeCommit => "ack-before-commit",
            Mutation::AckOfAnother => "ack-of-another",
            Mutation::CommitWithoutSync => "commit-without-sync",
            Mutation::CursorBeforeDelivery => "cursor-before-delivery",
            Mutation::SkipAfterRetry => "skip-after-retry",
            Mutation::DropBatchOnReconnect => "drop-batch-on-reconnect",
            Mutation::LoseBisectHalf => "lose-bisect-half",
            Mutation::ForgetDeadLetter => "forget-dead-letter",
            Mutation::CollectEarly => "collect-early",
            Mutation::ReusePositions => "reuse-positions",
        }
    }
}

pub(crate) use armed::{awaits, makes, reach};

#[cfg(debug_assertions)]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Failpoint, Mutation};

    const VARIABLE: &str = "STOMP_BRIDGE_TEST_FAULTS";

    #[derive(Debug, PartialEq, Eq)]
    pub(super) enum Fault {
        Abort { place: Failpoint, count: u64 },
        Mutation(Mutation),
    }

    /// The requested fault. An unknown one ends the process, so that a test that misspells it
    /// fails.
    static FAULTS: LazyLock<Vec<Fault>> = LazyLock::new(|| {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        let named = text.split(',').filter(|fault| !fault.is_empty());
        named
            .map(|fault| {
                parse(fault).unwrap_or_else(|| panic!("{VARIABLE}: {fault:?} is no fault"))
            })
            .collect()
    });

    static REACHED: AtomicU64 = AtomicU64::new(0);

    pub(super) fn parse(text: &str) -> Option<Fault> {
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["abort", name, count] => {
                let place = Failpoint::ALL
                    .into_iter()
                    .find(|place| place.name() == name)?;
                Some(Fault::Abort {
                    place,
                    count: count.parse().ok()?,
                })
            }
            ["mutation", name] => {
                let mutation = Mutation::ALL
                    .into_iter()
                    .find(|mutation| mutation.name() == name)?;
                Some(Fault::Mutation(mutation))
            }
            _ => None,
        }
    }

    /// Ends the process here, where a test asks for it.
    pub(crate) fn reach(here: Failpoint) {
        for fault in &*FAULTS {
            if let Fault::Abort { place, count } = fault
                && *place == here
                && REACHED.fetch_add(1, Ordering::Relaxed) + 1 == *count
            {
                std::process::abort();
            }
        }
    }

    /// Whether a test asks for the end of the process here: a shorter way may not pass it by.
    pub(crate) fn awaits(here: Failpoint) -> bool {
        FAULTS
            .iter()
            .any(|fault| matches!(fault, Fault::Abort { place, .. } if *place == here))
    }

    /// Whether a test asks for this mutation.
    pub(crate) fn makes(mutation: Mutation) -> bool {
        FAULTS.contains(&Fault::Mutation(mutation))
    }
}

#[cfg(not(debug_assertions))]
mod armed {
    use super::{Failpoint, Mutation};

    pub(crate) const fn reach(_: Failpoint) {}

    pub(crate) const fn awaits(_: Failpoint) -> bool {
        false
    }

    pub(crate) const fn makes(_: Mutation) -> bool {
        false
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::armed::{Fault, parse};
    use super::*;

    #[test]
    fn every_fault_has_a_name_of_its_own() {
        for place in Failpoint::ALL {
            let fault = parse(&format!("abort {} 3", place.name()));
            assert_eq!(fault, Some(Fault::Abort { place, count: 3 }));
        }
        for mutation in Mutation::ALL {
            assert_eq!(
                parse(&format!("mutation {}", mutation.name())),
                Some(Fault::Mutation(mutation))
            );
        }
        for text in [
            "",
            "abort",
            "abort somewhere 1",
            "abort before-commit",
            "abort before-commit x",
            "mutation none",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
