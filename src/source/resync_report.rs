//! How the last snapshots of one topic ended, for readers.

use jiff::Timestamp;

/// How the last snapshots of one topic ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResyncReport {
    /// When the last one was taken in; `None`: none was since the start.
    pub last_success: Option<Timestamp>,
    /// How many statuses it had.
    pub devices: u64,
    /// How many of them were not compared, since a message of the device was newer.
    pub skipped: u64,
    /// How many more could not be read.
    pub unreadable: u64,
    /// When the last one failed; kept after it has passed.
    pub last_failure: Option<Timestamp>,
    /// Why the newest one failed; `None`: it did not.
    pub trouble: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// Snapshots taken in since the start.
    pub successes_total: u64,
    /// Failures since the start.
    pub failures_total: u64,
}
