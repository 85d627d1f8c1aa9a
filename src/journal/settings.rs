//! What the journal is told: where it lies and how large it may grow.

use std::path::PathBuf;
use std::time::Duration;

/// What happens when the journal has reached `bytes_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// Stop acknowledging until the sinks have caught up; heart-beats go on.
    #[default]
    Pause,
    /// Remove the oldest entries, whether delivered or not, and record the loss.
    DropOldest,
}

/// Validated settings of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The SQLite file; an absolute path.
    pub path: PathBuf,
    /// The size from which `when_full` holds.
    pub bytes_max: u64,
    /// See [`WhenFull`].
    pub when_full: WhenFull,
    /// How long delivered entries stay for replay, while there is room.
    pub retain: Duration,
}

/// Where a sink begins that the journal has not seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest entry still there.
    Oldest,
    /// With what comes next.
    Newest,
}
