//! A wall clock for the daemon alone, which a test sets: libfaketime gives the daemon, and nobody
//! else, another CLOCK_REALTIME. The monotonic clock goes on.

use std::path::{Path, PathBuf};

use super::folder::Folder;

/// The daemon's wall clock.
pub struct Clock {
    folder: Folder,
}

impl Clock {
    /// One that is as this machine's.
    pub fn right() -> Clock {
        let clock = Clock {
            folder: Folder::new("clock-file"),
        };
        clock.set(0);
        clock
    }

    /// How many seconds it is ahead of this machine's clock.
    pub fn set(&self, ahead: i64) {
        // In one piece: it is read at any time.
        let next = self.folder.write("next", &format!("{ahead:+}\n"));
        std::fs::rename(next, self.file()).expect("rename within a folder");
    }

    fn file(&self) -> PathBuf {
        self.folder.join("ahead")
    }

    /// The environment of a process that has this clock.
    pub fn environment(&self) -> [(&'static str, PathBuf); 5] {
        [
            ("LD_PRELOAD", library()),
            ("FAKETIME_TIMESTAMP_FILE", self.file()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
            ("FAKETIME_NO_CACHE", "1".into()),
        ]
    }
}

/// Where Debian's package has it, whatever the architecture.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib")
        .expect("list /usr/lib")
        .flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    libraries
        .find(|path| Path::exists(path))
        .expect("libfaketime is installed (tests/prepare does it)")
}
