//! What a sink has confirmed, attempt by attempt, and the proofs that wait for the next save of the
//! cursors. No IO.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;

use crate::model::Position;
use crate::secret::redact_echo;

/// So many proofs are kept.
pub(super) const PROOFS_MAX: u64 = 100_000;

/// What they may take on disk, however long the answers are.
pub(super) const PROOFS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Proofs that wait to be saved: a second brings far fewer, but a full disk saves none.
const WAITING_MAX: usize = 8192;

/// The longest answer that is kept.
const ANSWER_BYTES_MAX: usize = 1024;

/// A row beside its texts: six numbers, and what SQLite adds.
pub(super) const ROW_BYTES: usize = 32;

/// More than what was added goes at once, so that an excess gets smaller.
const REMOVED_BESIDE: u64 = 256;

/// One attempt that a sink has confirmed, whole or in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryProof {
    /// As in the configuration.
    pub sink: Arc<str>,
    /// The first event.
    pub from: Position,
    /// The last event.
    pub to: Position,
    /// Each of the events, where others lie between. `None`: it is of all between.
    pub positions: Option<Vec<Position>>,
    /// When the confirmation was here.
    pub confirmed_at: Timestamp,
    /// How many attempts it took, this one included.
    pub attempts: u32,
    /// What the other side has answered.
    pub answer: String,
}

impl DeliveryProof {
    /// Whether it is about the entry at a position.
    pub fn is_of(&self, position: Position) -> bool {
        match &self.positions {
            Some(positions) => positions.contains(&position),
            None => (self.from..=self.to).contains(&position),
        }
    }

    /// As it is kept: without secrets, and no longer than it may be.
    pub(super) fn bounded(mut self) -> DeliveryProof {
        self.answer = redact_echo(&self.answer).into_owned();
        if self.answer.len() > ANSWER_BYTES_MAX {
            let mark = '…';
            let end = ANSWER_BYTES_MAX - mark.len_utf8();
            self.answer.truncate(self.answer.floor_char_boundary(end));
            self.answer.push(mark);
        }
        self
    }

    /// What its row takes.
    fn bytes(&self) -> u64 {
        let positions = self.positions.as_ref().map_or(0, Vec::len);
        (ROW_BYTES + self.sink.len() + self.answer.len() + positions) as u64
    }
}

/// A proof and the number of its row.
#[derive(Debug, Clone)]
pub(super) struct ProofRow {
    pub(super) id: i64,
    pub(super) proof: Arc<DeliveryProof>,
}

/// What the table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Kept {
    /// The oldest row.
    pub(super) oldest: i64,
    /// The next row.
    pub(super) next: i64,
    pub(super) bytes: u64,
}

/// What a save writes of the proofs.
#[derive(Debug, Clone, Default)]
pub(super) struct ProofSave {
    pub(super) rows: Vec<ProofRow>,
    /// The rows before this one go.
    pub(super) remove_before: Option<i64>,
}

impl ProofSave {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// The proofs that wait, and what is on disk.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    kept: Kept,
    waiting: VecDeque<ProofRow>,
    /// The number of the next one that comes.
    next: i64,
}

impl Proofs {
    /// Beside what the table holds.
    pub(super) fn new(kept: Kept) -> Proofs {
        Proofs {
            kept,
            waiting: VecDeque::new(),
            next: kept.next,
        }
    }

    /// One more waits; the oldest goes where too many do.
    pub(super) fn push(&mut self, proof: DeliveryProof) {
        let id = self.next;
        self.next += 1;
        let proof = Arc::new(proof);
        self.waiting.push_back(ProofRow { id, proof });
        if self.waiting.len() > WAITING_MAX {
            self.waiting.pop_front();
        }
    }

    /// What the next save writes; they wait until [`Proofs::saved`].
    pub(super) fn to_save(&self) -> ProofSave {
        let rows: Vec<ProofRow> = self.waiting.iter().cloned().collect();
        let added = rows.len() as u64;
        let count = (self.next - self.kept.oldest).unsigned_abs();
        let step = added + REMOVED_BESIDE;
        let removed = match self.kept.bytes > PROOFS_BYTES_MAX {
            true => step,
            false => count.saturating_sub(PROOFS_MAX).min(step),
        };
        let before = self.kept.oldest.saturating_add_unsigned(removed);
        ProofSave {
            remove_before: (added > 0 && removed > 0).then_some(before.min(self.kept.next)),
            rows,
        }
    }

    /// A save is written; `removed_bytes` went with it.
    pub(super) fn saved(&mut self, save: &ProofSave, removed_bytes: u64) {
        let Some(last) = save.rows.last() else {
            return;
        };
        while self.waiting.pop_front_if(|row| row.id <= last.id).is_some() {}
        let added: u64 = save.rows.iter().map(|row| row.proof.bytes()).sum();
        self.kept = Kept {
            oldest: save.remove_before.unwrap_or(self.kept.oldest),
            next: last.id + 1,
            bytes: (self.kept.bytes + added).saturating_sub(removed_bytes),
        };
    }

    /// What the table takes.
    pub(super) fn bytes(&self) -> u64 {
        self.kept.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{Lifetime, protect};

    fn proof(from: i64, to: i64, answer: &str) -> DeliveryProof {
        DeliveryProof {
            sink: "site".into(),
            from: Position(from),
            to: Position(to),
            positions: None,
            confirmed_at: Timestamp::UNIX_EPOCH,
            attempts: 1,
            answer: answer.to_owned(),
        }
    }

    #[test]
    fn an_answer_is_kept_without_secrets_and_to_a_bound() {
        protect("proof-secret-77ab", Lifetime::Configured);
        let kept = proof(1, 1, "no proof-secret-77ab").bounded();
        assert_eq!(kept.answer, "no …");
        let long = proof(1, 1, &"故".repeat(2000)).bounded();
        assert!(long.answer.len() <= ANSWER_BYTES_MAX && long.answer.ends_with("故…"));
        let whole = "x".repeat(ANSWER_BYTES_MAX);
        assert_eq!(proof(1, 1, &whole).bounded().answer, whole);
    }

    #[test]
    fn a_proof_is_of_what_lies_between_or_of_what_it_names() {
        let all = proof(3, 7, "");
        assert!([3, 5, 7].map(Position).iter().all(|at| all.is_of(*at)));
        assert!(!all.is_of(Position(2)) && !all.is_of(Position(8)));
        let some = DeliveryProof {
            positions: Some(vec![Position(3), Position(7)]),
            ..all
        };
        assert!(some.is_of(Position(7)) && !some.is_of(Position(5)));
    }

    #[test]
    fn what_is_not_saved_waits_and_what_is_too_old_goes_in_steps() {
        let mut proofs = Proofs::new(Kept {
            oldest: 1,
            next: 1 + PROOFS_MAX.cast_signed(),
            bytes: 0,
        });
        proofs.push(proof(1, 1, "a"));
        proofs.push(proof(2, 2, "b"));
        let save = proofs.to_save();
        assert_eq!((save.rows.len(), save.remove_before), (2, Some(3)));
        assert_eq!(proofs.to_save().rows.len(), 2, "a save may fail");
        proofs.push(proof(3, 3, "c"));
        proofs.saved(&save, 0);
        assert_eq!(proofs.bytes(), 2 * (ROW_BYTES as u64 + 5));
        let save = proofs.to_save();
        assert_eq!((save.rows.len(), save.remove_before), (1, Some(4)));
        proofs.saved(&save, u64::MAX);
        assert!(proofs.to_save().is_empty() && proofs.bytes() == 0);
    }

    #[test]
    fn answers_have_a_bound_on_disk_too() {
        let mut proofs = Proofs::new(Kept {
            oldest: 10,
            next: 1000,
            bytes: PROOFS_BYTES_MAX + 1,
        });
        proofs.push(proof(1, 1, ""));
        let before = 10 + 1 + REMOVED_BESIDE.cast_signed();
        assert_eq!(proofs.to_save().remove_before, Some(before));
    }

    #[test]
    fn only_so_many_wait() {
        let mut proofs = Proofs::new(Kept {
            oldest: 1,
            next: 1,
            bytes: 0,
        });
        for position in 1..=WAITING_MAX as i64 + 3 {
            proofs.push(proof(position, position, ""));
        }
        let save = proofs.to_save();
        assert_eq!(save.rows.len(), WAITING_MAX);
        assert_eq!(save.rows[0].proof.from, Position(4));
    }
}
