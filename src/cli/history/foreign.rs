//! What a file is that is no SQLite history, by its first bytes. Where SQLite looked at it instead,
//! it would leave a `-wal` and a `-shm` beside another's file.

use std::fs::File;
use std::path::Path;

use anyhow::bail;

use crate::journal::Kind;
use crate::sqlite_file::Header;

/// Refuses what can be no history, before this process opens it as one: to close a file drops every
/// lock that the process has on it. What is not there, or not to be read, the one who opens it says.
///
/// # Errors
/// What it is.
pub(super) fn refuse_foreign(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let Ok(found) = std::fs::metadata(path) else {
        return Ok(());
    };
    if found.is_dir() {
        bail!("{shown} is a folder: name the file of a history in it by --file");
    }
    if !found.is_file() {
        bail!("{shown} is no file: name that of a history by --file");
    }
    let Ok(file) = File::open(path) else {
        return Ok(());
    };
    if found.len() == 0 {
        bail!("{shown} is an empty file: no history was stored there; name another one by --file");
    }
    let header = Header::read(&file).ok().flatten();
    match header.filter(|header| header.is_database) {
        None => bail!("{shown} is no SQLite database: name the file of a history by --file"),
        Some(header) => match Kind::of_application_id(header.application_id) {
            Some(Kind::Journal) => bail!(
                "{shown} is the journal of a stomp-bridge, not a history: `stomp-bridge why` and \
                 `stomp-bridge dlq list` read it, with --journal {shown}"
            ),
            Some(Kind::Backup) => bail!(
                "{shown} is the backup of a journal, not a history: `stomp-bridge journal restore` \
                 makes a journal of it"
            ),
            None => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The beginning of a database with this `application_id`.
    fn database(application_id: &[u8; 4]) -> Vec<u8> {
        let mut bytes = vec![0; 100];
        bytes[..16].copy_from_slice(b"SQLite format 3\0");
        bytes[68..72].copy_from_slice(application_id);
        bytes
    }

    #[test]
    fn a_file_that_is_no_history_is_called_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let check = |content: &[u8], expected: Option<&str>| {
            let path = folder.path().join("x.db");
            fs::write(&path, content).unwrap();
            let said = refuse_foreign(&path).map_err(|error| error.to_string());
            match expected {
                None => assert_eq!(said, Ok(())),
                Some(words) => assert!(said.clone().unwrap_err().contains(words), "{said:?}"),
            }
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        };
        check(b"", Some("is an empty file"));
        check(b"device,name\n", Some("is no SQLite database"));
        check(&[b'x'; 200], Some("is no SQLite database"));
        check(&database(b"StBj"), Some("is the journal of a stomp-bridge"));
        check(&database(b"StBk"), Some("is the backup of a journal"));
        check(&database(&[0; 4]), None);
        let said = refuse_foreign(folder.path()).unwrap_err().to_string();
        assert!(said.contains("is a folder"), "{said}");
        let said = refuse_foreign(Path::new("/dev/null")).unwrap_err();
        assert!(said.to_string().contains("is no file"), "{said}");
        assert!(refuse_foreign(&folder.path().join("absent")).is_ok());
    }
}
