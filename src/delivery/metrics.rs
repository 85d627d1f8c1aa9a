//! The counters of one sink's delivery since the start of the process, for metrics; the accounting
//! that survives it is the journal's ([`Accounting`](crate::journal::Accounting)).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::journal::Passed;
use crate::latency::Latency;
use crate::next_turn::NextTurn;

/// Every entry that the cursor passes is counted once, as `delivered`, `filtered`, `undecodable` or
/// `dead_lettered`. An entry that is read again after the sink went back is counted again.
#[derive(Debug, Default)]
pub struct Counters {
    /// Confirmed by the sink.
    pub delivered: AtomicU64,
    /// Not for this sink: another topic, another kind, or `when` says no.
    pub filtered: AtomicU64,
    /// Undecodable at intake, and so for no sink.
    pub undecodable: AtomicU64,
    /// Rejected by the sink permanently, or not to be decoded.
    pub dead_lettered: AtomicU64,
    /// Delivered again because an operator wanted it: a redrive or a replay.
    pub again: AtomicU64,
    /// Attempts, to connect or to deliver, that failed by the sink's trouble.
    pub retries: AtomicU64,
    /// Events, or batches of them, that wait for another attempt while other devices' go on, now.
    pub lanes_waiting: AtomicU64,
    /// The cursor.
    pub position: AtomicI64,
    /// How long each event took from its message's bytes to its confirmation; what was delivered
    /// again because an operator wanted it is not among them.
    pub confirmed: Latency,
    /// Of the loop that delivers.
    pub next_turn: NextTurn,
}

impl Counters {
    pub(super) fn add(&self, passed: Passed) {
        self.delivered
            .fetch_add(passed.delivered, Ordering::Relaxed);
        self.filtered.fetch_add(passed.filtered, Ordering::Relaxed);
        self.undecodable
            .fetch_add(passed.undecodable, Ordering::Relaxed);
        self.dead_lettered
            .fetch_add(passed.dead_lettered, Ordering::Relaxed);
    }
}
