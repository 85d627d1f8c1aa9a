//! The files that secrets were read from. Whether one is another by now is asked without reading it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files with how each was when it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretFiles(BTreeMap<PathBuf, Option<Stamp>>);

/// What tells two contents of a file. `changed` cannot be set by anybody, as `modified` can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl SecretFiles {
    /// A file that is about to be read, or would be read if it were there: a change that comes
    /// while it is read counts as one.
    pub fn note(&mut self, file: &Path) {
        self.0.insert(file.to_owned(), Stamp::of(file));
    }

    /// Whether no secret was read from a file.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same files, as they are now.
    pub fn noted_again(&self) -> SecretFiles {
        let mut again = SecretFiles::default();
        self.0.keys().for_each(|file| again.note(file));
        again
    }

    /// Whether one is another than when it was noted.
    pub fn have_changed(&self) -> bool {
        let mut files = self.0.iter();
        files.any(|(file, stamp)| Stamp::of(file) != *stamp)
    }
}

impl Stamp {
    /// `None`: there is no such file, or nobody may know.
    pub fn of(file: &Path) -> Option<Stamp> {
        let found = fs::metadata(file).ok()?;
        Some(Stamp {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_another_when_it_was_written_replaced_or_made() {
        let folder = tempfile::tempdir().unwrap();
        let (file, absent) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&file, "one").unwrap();
        let noted = || {
            let mut files = SecretFiles::default();
            files.note(&file);
            files.note(&absent);
            assert!(!files.have_changed());
            files
        };
        let check = |change: &dyn Fn()| {
            let files = noted();
            change();
            assert!(files.have_changed());
            assert!(!files.noted_again().have_changed());
        };
        check(&|| fs::write(&file, "longer").unwrap());
        // Of the same length, with the times of the one before.
        check(&|| {
            let new = folder.path().join("new");
            fs::write(&new, "LONGER").unwrap();
            let times = fs::metadata(&file).unwrap().modified().unwrap();
            let opened = fs::File::options().write(true).open(&new).unwrap();
            opened.set_modified(times).unwrap();
            fs::rename(&new, &file).unwrap();
        });
        check(&|| fs::write(&absent, "").unwrap());
        check(&|| fs::remove_file(&file).unwrap());
    }
}
