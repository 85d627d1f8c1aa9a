//! What became of one event at each sink: what is proven, what is listed, and what follows from the
//! sink's cursor and its `when`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::cli::sink_tap::in_words;
use crate::delivery::Verdict;
use crate::journal::{DeadLetter, DeliveryProof, Eviction, SinkAccounting};
use crate::model::{Position, StatusEvent};
use crate::ops::status::Sink;
use crate::sinks::Condition;

/// What became of an event at one sink.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub(super) enum Fate {
    /// The sink has confirmed it.
    Confirmed {
        at: Timestamp,
        /// Attempts until then.
        attempts: u32,
        /// What the other side has answered.
        answer: String,
        /// The events that were confirmed with it.
        from: Position,
        to: Position,
        /// How often it was confirmed before: by a replay, or after a crash.
        before: usize,
    },
    /// It is a dead letter.
    DeadLetter { since: Timestamp, error: String },
    /// The sink does not want it.
    Filtered {
        /// The part of `when` that decided, or another reason.
        why: String,
        /// The columns that the part uses.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        values: BTreeMap<String, Value>,
    },
    /// The sink began behind it.
    Before { started: Position },
    /// The journal was full and evicted it before the sink had it.
    Evicted {
        /// When the run of entries began to be evicted, and when it ended.
        since: Timestamp,
        until: Timestamp,
        /// A running sink may have read it before.
        perhaps_in_memory: bool,
    },
    /// The sink is past it, and no proof is kept: it was delivered or filtered, or one of these.
    Passed {
        /// Dead letters of the sink were dropped: no list of them is kept.
        perhaps_dropped: bool,
        /// It was evicted, and not every sink had it before.
        perhaps_evicted: bool,
    },
    /// A SQL history has it as a row, whatever the journal knows of that so far.
    Stored,
    /// The sink comes to it later.
    Waits {
        /// Entries from the cursor to it.
        lag: u64,
        /// What the sink waits for, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        because: Option<String>,
    },
}

/// All that is known of an event at a sink.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) account: &'a SinkAccounting,
    pub(super) proofs: &'a [DeliveryProof],
    pub(super) dead_letters: &'a [DeadLetter],
    /// What the journal has evicted; `None`: it still has the entry.
    pub(super) evictions: Option<&'a [Eviction]>,
    /// What its settings say; `None`: they are not known.
    pub(super) verdict: Option<Verdict>,
    /// As the running daemon sees it.
    pub(super) live: Option<&'a Sink>,
}

impl Fate {
    /// What follows from it.
    pub(super) fn of(event: &StatusEvent, known: Known<'_>) -> Fate {
        let position = event.position;
        let sink = &*known.account.sink;
        let mut letters = known.dead_letters.iter();
        if let Some(letter) = letters.find(|letter| letter.sink == sink) {
            return Fate::DeadLetter {
                since: letter.at,
                error: letter.error.clone(),
            };
        }
        let proofs: Vec<_> = known.proofs.iter().filter(|it| *it.sink == *sink).collect();
        if let Some((last, before)) = proofs.split_last() {
            return Fate::Confirmed {
                at: last.confirmed_at,
                attempts: last.attempts,
                answer: last.answer.clone(),
                from: last.from,
                to: last.to,
                before: before.len(),
            };
        }
        if position <= known.account.accounting.started {
            let started = known.account.accounting.started;
            return Fate::Before { started };
        }
        if let Some(filtered) = known.verdict.and_then(filtered) {
            return filtered;
        }
        let evictions = known.evictions.unwrap_or_default();
        let eviction = evictions.iter().find(|eviction| eviction.has(position));
        let is_past = position <= known.account.cursor;
        if let Some(Eviction { since, until, .. }) = eviction
            && (!is_past || has_lost_all(known.account, evictions))
        {
            let (since, until) = (*since, *until);
            return Fate::Evicted {
                since,
                until,
                perhaps_in_memory: !is_past && known.live.is_some(),
            };
        }
        // What the journal has removed as delivered stays so where the cursor went back since.
        if is_past || known.evictions.is_some() {
            let accounting = &known.account.accounting;
            return Fate::Passed {
                perhaps_dropped: accounting.discarded > 0,
                perhaps_evicted: eviction.is_some() && accounting.passed.evicted > 0,
            };
        }
        Fate::Waits {
            lag: (position.0 - known.account.cursor.0).unsigned_abs(),
            because: known.live.and_then(because),
        }
    }

    /// The same of a history that has it as a row. The row is there before the journal's cursor is
    /// past it, and stays where the settings are others by now.
    pub(super) fn with_row(self) -> Fate {
        match self {
            Fate::Waits { .. }
            | Fate::Filtered { .. }
            | Fate::Before { .. }
            | Fate::Evicted { .. }
            | Fate::Passed { .. } => Fate::Stored,
            Fate::Confirmed { .. } | Fate::DeadLetter { .. } | Fate::Stored => self,
        }
    }
}

/// Whether a sink had nothing of what was evicted up to its cursor: its accounting counts as much.
fn has_lost_all(account: &SinkAccounting, evictions: &[Eviction]) -> bool {
    let accounting = &account.accounting;
    let evicted = |eviction: &Eviction| {
        let from = eviction.from.0.max(accounting.started.0 + 1);
        let positions = (eviction.to.min(account.cursor).0 - from + 1).max(0);
        eviction.entries.min(positions.unsigned_abs())
    };
    let evicted: u64 = evictions.iter().map(evicted).sum();
    // What is read again is counted again.
    accounting.rewound == 0 && accounting.passed.evicted >= evicted
}

/// Why it is none for the sink, if that is so.
fn filtered(verdict: Verdict) -> Option<Fate> {
    let plain = |why: &str| Fate::Filtered {
        why: why.to_owned(),
        values: BTreeMap::new(),
    };
    match verdict {
        Verdict::Taken(_) | Verdict::Unreadable(_) => None,
        Verdict::OtherTopic => Some(plain("its `topics` do not have this one")),
        Verdict::OtherKind => Some(plain("its `kinds` have no statuses")),
        Verdict::OnlyConfirms => Some(plain("a snapshot that only confirms what was known")),
        Verdict::Filtered(decision) => Some(Fate::Filtered {
            why: format!("`when` does not hold: {}", decision.part),
            values: decision.values.into_iter().collect(),
        }),
    }
}

/// What a sink waits for.
fn because(sink: &Sink) -> Option<String> {
    (sink.state != Condition::Up).then(|| in_words(sink))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Accounting;
    use crate::pipeline::Decision;

    fn account(cursor: i64) -> SinkAccounting {
        SinkAccounting {
            sink: "site".into(),
            cursor: Position(cursor),
            pending: 0,
            waiting: 0,
            accounting: Accounting {
                started: Position(2),
                ..Accounting::default()
            },
        }
    }

    fn proof(sink: &str, attempts: u32) -> DeliveryProof {
        DeliveryProof {
            sink: sink.into(),
            from: Position(4),
            to: Position(6),
            positions: None,
            confirmed_at: Timestamp::UNIX_EPOCH,
            attempts,
            answer: "HTTP 200 ok".to_owned(),
        }
    }

    fn fate(
        position: i64,
        cursor: i64,
        proofs: &[DeliveryProof],
        letters: &[DeadLetter],
        verdict: Option<Verdict>,
    ) -> Fate {
        let known = Known {
            account: &account(cursor),
            proofs,
            dead_letters: letters,
            evictions: None,
            verdict,
            live: None,
        };
        Fate::of(&at(position), known)
    }

    fn at(position: i64) -> StatusEvent {
        StatusEvent {
            position: Position(position),
            ..StatusEvent::sample()
        }
    }

    fn passed(perhaps_dropped: bool, perhaps_evicted: bool) -> Fate {
        Fate::Passed {
            perhaps_dropped,
            perhaps_evicted,
        }
    }

    /// That of an event that only a history has; `lost`: what the sink's accounting says is evicted.
    fn fate_of_gone(position: i64, cursor: i64, lost: u64, evicted: &[(i64, i64)]) -> Fate {
        let mut account = account(cursor);
        account.accounting.passed.evicted = lost;
        let eviction = |&(from, to): &(i64, i64)| Eviction {
            from: Position(from),
            to: Position(to),
            entries: (to - from + 1).unsigned_abs(),
            since: Timestamp::UNIX_EPOCH,
            until: Timestamp::UNIX_EPOCH,
            reason: "full".to_owned(),
        };
        let evictions: Vec<Eviction> = evicted.iter().map(eviction).collect();
        let known = Known {
            account: &account,
            proofs: &[],
            dead_letters: &[],
            evictions: Some(&evictions),
            verdict: None,
            live: None,
        };
        Fate::of(&at(position), known)
    }

    #[test]
    fn what_was_evicted_neither_waits_nor_is_done() {
        let at = Timestamp::UNIX_EPOCH;
        let evicted = Fate::Evicted {
            since: at,
            until: at,
            perhaps_in_memory: false,
        };
        // The sink has not come to it, and never will.
        assert_eq!(fate_of_gone(5, 2, 0, &[(3, 9)]), evicted);
        // Its cursor went over all of it.
        assert_eq!(fate_of_gone(5, 20, 7, &[(3, 9)]), evicted);
        assert_eq!(fate_of_gone(5, 20, 7, &[(1, 9)]), evicted, "it began at 2");
        // It had some of it before.
        assert_eq!(fate_of_gone(5, 20, 4, &[(3, 9)]), passed(false, true));
        assert_eq!(fate_of_gone(5, 20, 0, &[(3, 9)]), passed(false, false));
        // Another was evicted.
        assert_eq!(fate_of_gone(12, 20, 7, &[(3, 9)]), passed(false, false));
        // Removed as delivered, then the cursor went back.
        assert_eq!(fate_of_gone(12, 10, 0, &[]), passed(false, false));
    }

    #[test]
    fn what_may_be_a_dropped_dead_letter_is_not_called_done() {
        let mut account = account(9);
        account.accounting.discarded = 1;
        let known = Known {
            account: &account,
            proofs: &[],
            dead_letters: &[],
            evictions: None,
            verdict: None,
            live: None,
        };
        assert_eq!(Fate::of(&at(5), known), passed(true, false));
    }

    #[test]
    fn what_is_proven_or_listed_comes_before_what_follows() {
        let proofs = [proof("site", 1), proof("other", 9), proof("site", 3)];
        let Fate::Confirmed {
            attempts, before, ..
        } = fate(5, 9, &proofs, &[], None)
        else {
            panic!("not confirmed")
        };
        assert_eq!((attempts, before), (3, 1));
        let letter = DeadLetter {
            sink: "site".to_owned(),
            position: Position(5),
            error: "no".to_owned(),
            at: Timestamp::UNIX_EPOCH,
        };
        let listed = fate(5, 9, &proofs, &[letter], None);
        assert!(matches!(listed, Fate::DeadLetter { error, .. } if error == "no"));
    }

    #[test]
    fn without_a_proof_the_cursor_and_the_settings_say_it() {
        assert_eq!(fate(5, 9, &[], &[], None), passed(false, false));
        let started = Position(2);
        assert_eq!(fate(2, 9, &[], &[], None), Fate::Before { started });
        let waits = Fate::Waits {
            lag: 3,
            because: None,
        };
        assert_eq!(fate(12, 9, &[], &[], Some(Verdict::Taken(None))), waits);
        let decision = Decision {
            holds: false,
            part: "changed".to_owned(),
            values: vec![("changed".to_owned(), false.into())],
        };
        let Fate::Filtered { why, values } =
            fate(12, 9, &[], &[], Some(Verdict::Filtered(decision)))
        else {
            panic!("not filtered")
        };
        assert_eq!(why, "`when` does not hold: changed");
        assert_eq!(values["changed"], false);
    }

    #[test]
    fn what_a_history_has_as_a_row_neither_waits_nor_was_left_out() {
        let decision = Decision {
            holds: false,
            part: "changed".to_owned(),
            values: Vec::new(),
        };
        for (position, verdict) in [
            (12, None),
            (2, None),
            (5, Some(Verdict::Filtered(decision))),
        ] {
            let fate = fate(position, 9, &[], &[], verdict);
            assert_eq!(fate.with_row(), Fate::Stored, "{position}");
        }
        assert_eq!(fate(5, 9, &[], &[], None).with_row(), Fate::Stored);
        let evicted = fate_of_gone(5, 2, 0, &[(3, 9)]);
        assert_eq!(evicted.with_row(), Fate::Stored);
        let confirmed = fate(5, 9, &[proof("site", 1)], &[], None).with_row();
        assert!(matches!(confirmed, Fate::Confirmed { .. }), "{confirmed:?}");
    }
}
