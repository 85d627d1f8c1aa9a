//! When the server was last heard, and when to write that to the journal. It takes the time.
//!
//! A received message is proof by itself. If only signs of life come, the last of them is written
//! now and then. So a start after a crash knows until when the topics were heard. A snapshot tells
//! the states of its time: the gap after a crash begins no earlier, or the devices would seem to be
//! heard since.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The shortest time between two small commits on a link where only heart-beats come. After a crash
/// a gap may begin this much too early, and one heart-beat more, or one turn of the source's loop
/// where no heart-beat comes.
const INTERVAL: Duration = Duration::from_secs(10);

/// The last sign of life on one connection.
#[derive(Debug)]
pub(super) struct LinkProof {
    last_byte: Timestamp,
    /// The time of the newest snapshot.
    snapshot: Timestamp,
    /// The newest one that the journal has, or is being given.
    kept: Timestamp,
    kept_since: Instant,
}

impl LinkProof {
    /// A connection was made.
    pub(super) fn new(at: Timestamp, now: Instant) -> LinkProof {
        LinkProof {
            last_byte: at,
            snapshot: Timestamp::MIN,
            kept: at,
            kept_since: now,
        }
    }

    /// Something came, on whatever level.
    pub(super) fn heard(&mut self, at: Timestamp) {
        self.last_byte = at;
    }

    /// A snapshot of that time is taken in.
    pub(super) fn snapshot(&mut self, at: Timestamp) {
        self.snapshot = at;
    }

    /// What the journal is to have.
    fn newest(&self) -> Timestamp {
        self.last_byte.max(self.snapshot)
    }

    /// When something last came.
    pub(super) fn last_byte(&self) -> Timestamp {
        self.last_byte
    }

    /// A commit carries received messages.
    pub(super) fn carried(&mut self, now: Instant) {
        (self.kept, self.kept_since) = (self.newest(), now);
    }

    /// The proof to write to the journal now; `None`: the journal has it, or got one lately.
    pub(super) fn take(&mut self, now: Instant) -> Option<Timestamp> {
        let due = self.newest() != self.kept && self.kept_since + INTERVAL <= now;
        due.then(|| {
            self.carried(now);
            self.kept
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_written_once_in_ten_seconds_and_only_where_no_commit_carries_one() {
        let (start, at) = (Instant::now(), Timestamp::UNIX_EPOCH);
        let second = Duration::from_secs(1);
        let mut proof = LinkProof::new(at, start);
        assert_eq!(proof.take(start + 99 * second), None, "nothing came yet");
        proof.heard(at + second);
        assert_eq!(proof.take(start + 9 * second), None);
        assert_eq!(proof.take(start + 10 * second), Some(at + second));
        assert_eq!(proof.take(start + 99 * second), None, "nothing came since");
        proof.heard(at + 60 * second);
        proof.carried(start + 60 * second);
        assert_eq!(proof.take(start + 99 * second), None, "a commit carried it");
        proof.heard(at + 61 * second);
        assert_eq!(proof.take(start + 69 * second), None);
        assert_eq!(proof.take(start + 70 * second), Some(at + 61 * second));
        assert_eq!(proof.last_byte(), at + 61 * second);
    }

    #[test]
    fn a_snapshot_on_a_quiet_link_moves_the_proof_and_not_the_last_byte() {
        let (start, at) = (Instant::now(), Timestamp::UNIX_EPOCH);
        let second = Duration::from_secs(1);
        let mut proof = LinkProof::new(at, start);
        proof.snapshot(at + 60 * second);
        assert_eq!(proof.take(start + 60 * second), Some(at + 60 * second));
        assert_eq!(proof.last_byte(), at);
        proof.heard(at + 50 * second);
        assert_eq!(proof.take(start + 99 * second), None, "it never goes back");
        proof.heard(at + 70 * second);
        assert_eq!(proof.take(start + 70 * second), Some(at + 70 * second));
    }
}
