//! The journal's settings: where it lies and how large it may grow.

use std::path::PathBuf;
use std::time::Duration;

/// What happens when the journal has reached `bytes_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// Stop acknowledging until the sinks have caught up; heart-beats go on.
    #[default]
    Pause,
    /// Evict the oldest entries, whether delivered or not, and record the eviction.
    DropOldest,
}

/// What bounds the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bound {
    /// `bytes_max`, and the disk.
    #[default]
    Size,
    /// The free space of the disk alone: what a server has sent by our credit is to be journaled,
    /// also where it is more than was thought.
    Disk,
}

/// What happens when a sink's dead letters have reached their bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DlqWhenFull {
    /// The sink stops before the next attempt; the others go on.
    #[default]
    Pause,
    /// The oldest dead letters of the sink are dropped.
    DropOldest,
}

/// Validated settings of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The SQLite file; an absolute path.
    pub path: PathBuf,
    /// The size of the log, in bytes, from which `when_full` holds.
    pub bytes_max: u64,
    /// What happens when the log has reached `bytes_max`.
    pub when_full: WhenFull,
    /// How long delivered entries stay for replay, while there is room.
    pub keep: Duration,
    /// Devices whose last state is known. Beyond it the one that was not heard for longest is
    /// forgotten.
    pub devices_max: u64,
    /// The size of each sink's dead letters, in bytes, from which `dlq_when_full` holds.
    pub dlq_bytes_max: u64,
    /// How long dead letters stay; `None`: until somebody redrives or drops them.
    pub dlq_keep: Option<Duration>,
    /// What happens when a sink's dead letters have reached `dlq_bytes_max`.
    pub dlq_when_full: DlqWhenFull,
}

impl Settings {
    /// The defaults, for the journal at a path.
    pub fn new(path: PathBuf) -> Settings {
        Settings {
            path,
            bytes_max: 1 << 30,
            when_full: WhenFull::default(),
            keep: Duration::from_secs(7 * 86_400),
            devices_max: 1_000_000,
            dlq_bytes_max: 256 << 20,
            dlq_keep: None,
            dlq_when_full: DlqWhenFull::default(),
        }
    }
}

/// Where a sink begins that the journal has not seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest entry still there.
    Oldest,
    /// After the newest entry.
    Newest,
}
