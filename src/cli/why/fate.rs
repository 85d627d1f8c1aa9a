//! What became of one event at each sink: what is proven, what is listed, and what follows from the
//! sink's cursor and its `when`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::cli::sink_tap::in_words;
use crate::delivery::Verdict;
use crate::journal::{DeadLetter, DeliveryProof, SinkAccounting};
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
    /// The sink is past it, and no proof is kept.
    Passed,
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
        if position <= known.account.cursor {
            return Fate::Passed;
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
            Fate::Waits { .. } | Fate::Filtered { .. } | Fate::Before { .. } => Fate::Stored,
            Fate::Confirmed { .. } | Fate::DeadLetter { .. } | Fate::Passed | Fate::Stored => self,
        }
    }
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
        let event = StatusEvent {
            position: Position(position),
            ..StatusEvent::sample()
        };
        let known = Known {
            account: &account(cursor),
            proofs,
            dead_letters: letters,
            verdict,
            live: None,
        };
        Fate::of(&event, known)
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
        assert_eq!(fate(5, 9, &[], &[], None), Fate::Passed);
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
        assert_eq!(fate(5, 9, &[], &[], None).with_row(), Fate::Passed);
        let confirmed = fate(5, 9, &[proof("site", 1)], &[], None).with_row();
        assert!(matches!(confirmed, Fate::Confirmed { .. }), "{confirmed:?}");
    }
}
