//! What one sink's delivery has done since the start, for metrics and status.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::pending::Tally;

/// Every entry that the cursor has passed is counted once, as `delivered`, `filtered` or `set_aside`; again where it
/// is read again after the sink went back.
#[derive(Debug, Default)]
pub struct Counters {
    /// Confirmed by the sink.
    pub delivered: AtomicU64,
    /// Not for this sink: another topic, `when` says no, or rejected at intake.
    pub filtered: AtomicU64,
    /// Refused by the sink for good, or not to be decoded.
    pub set_aside: AtomicU64,
    /// Attempts, to connect or to deliver, that failed by the sink's trouble.
    pub retries: AtomicU64,
    /// The cursor.
    pub position: AtomicI64,
}

impl Counters {
    pub(super) fn add(&self, tally: Tally) {
        self.delivered.fetch_add(tally.delivered, Ordering::Relaxed);
        self.filtered.fetch_add(tally.filtered, Ordering::Relaxed);
        self.set_aside.fetch_add(tally.set_aside, Ordering::Relaxed);
    }
}
