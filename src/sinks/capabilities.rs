//! What a sink can do, for `delivery` to go by.

use std::time::Duration;

/// What a sink can do: the same for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Events of one attempt at most; at least 1. Unconfirmed events come again after the process
    /// is killed. If the receiver sees that, this is the smallest number that costs little more
    /// than a large one.
    pub batch_max: usize,
    /// See [`Ordering`].
    pub ordering: Ordering,
    /// The destination keeps a cursor of its own: [`Sink::open`](super::Sink::open) gives it.
    pub keeps_cursor: bool,
    /// See [`Rate`]; `None`: as many attempts as there are.
    pub rate: Option<Rate>,
    /// Between the beginnings of two attempts, where the events that wait make no full batch; only
    /// of [`Ordering::Global`]. Events that come later than that go at once.
    pub attempt_interval: Duration,
    /// Between two calls of [`Sink::idle`](super::Sink::idle).
    pub idle_interval: Duration,
}

impl Default for Capabilities {
    fn default() -> Capabilities {
        Capabilities {
            batch_max: 1000,
            ordering: Ordering::Global,
            keeps_cursor: false,
            rate: None,
            attempt_interval: Duration::ZERO,
            idle_interval: Duration::from_secs(60),
        }
    }
}

/// The most attempts in every stretch of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub attempts: u32,
    /// Above 0.
    pub per: Duration,
}

/// Which events wait for which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ordering {
    /// All events keep the log's order: one attempt at a time, whose events may be confirmed in
    /// part.
    Global,
    /// Each device's events keep their order. Several attempts are in flight at once, and a device
    /// that fails does not hold the others.
    PerDevice {
        /// Attempts at once; at least 1.
        concurrency: usize,
        /// How long events may wait for others to go with them.
        batch_wait: Duration,
    },
}
