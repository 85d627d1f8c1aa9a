//! History tables in SQLite.

use std::path::PathBuf;
use std::time::Duration;

/// Validated settings of a SQLite history.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sink's name in the configuration: the cursor's key.
    pub name: String,
    /// The database file; an absolute path.
    pub path: PathBuf,
    /// How long `status_event` rows stay; `None`: for ever.
    pub retention: Option<Duration>,
}

pub(in crate::sinks) fn build(_settings: Settings, _health: crate::sinks::Health) -> crate::sinks::Built {
    todo!("being built")
}
