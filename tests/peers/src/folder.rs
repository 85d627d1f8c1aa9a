//! Folders for peers and daemons: one for each test process, removed with it or by the next one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// What this process puts on disk. Statics are never dropped, so each process first removes what
/// dead ones left.
static HOME: LazyLock<PathBuf> = LazyLock::new(|| {
    let all = std::env::temp_dir().join("stomp-bridge-tests");
    fs::create_dir_all(&all).expect("create the folder of all test processes");
    for left in fs::read_dir(&all)
        .expect("list the folders of test processes")
        .flatten()
    {
        let owner = Path::new("/proc").join(left.file_name());
        if !owner.exists() {
            unmount_below(&left.path());
            // Another starting process may be removing it too.
            let _ = fs::remove_dir_all(left.path());
        }
    }
    let own = all.join(std::process::id().to_string());
    fs::create_dir_all(&own).expect("create this test process's folder");
    own
});

/// A test that was killed has left what it had mounted.
fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    for mounted in mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(Path::new)
    {
        if mounted.starts_with(folder) {
            let _ = Command::new("umount").arg("-l").arg(mounted).status();
        }
    }
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A folder that is removed when dropped.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A new, empty folder whose name begins with `name`.
    pub fn new(name: &str) -> Folder {
        let path = HOME.join(format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&path).unwrap_or_else(|e| panic!("create {}: {e}", path.display()));
        Folder { path }
    }

    /// Absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path inside.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file and gives its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, text).unwrap_or_else(|e| panic!("write {}: {e}", path.display()));
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
