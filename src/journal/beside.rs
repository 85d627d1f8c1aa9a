//! The files beside the journal's own.

use std::path::{Path, PathBuf};

/// The file with `suffix` appended to its name, as SQLite does for `-wal`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
