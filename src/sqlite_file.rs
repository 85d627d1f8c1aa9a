//! The files of an SQLite database from outside: what lies beside it, whether it still is the file
//! that was opened, and how large it should be. It opens no database.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A database's header (<https://www.sqlite.org/fileformat2.html#the_database_header>).
const HEADER_BYTES: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";
const PAGE_SIZE_AT: usize = 16;
const CHANGES_AT: usize = 24;
const PAGES_AT: usize = 28;
const APPLICATION_ID_AT: usize = 68;
const PAGES_VALID_FOR_AT: usize = 92;

/// The largest page, which does not fit its two bytes and is written as 1.
const PAGE_BYTES_MAX: u64 = 65_536;

/// The file with `suffix` appended to its name, as SQLite does for `-wal`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A name beside it that no other moment gives.
pub fn beside_now(path: &Path, what: &str) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    beside(
        path,
        &format!("-{what}-{}", now.map_or(0, |it| it.as_secs())),
    )
}

/// Device and inode: a name may lead to another file by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId(u64, u64);

impl FileId {
    /// That of a file.
    pub fn of(metadata: &Metadata) -> FileId {
        FileId(metadata.dev(), metadata.ino())
    }

    /// That of the file of this name; `None`: there is none.
    pub fn at(path: &Path) -> Option<FileId> {
        std::fs::metadata(path).ok().map(|it| FileId::of(&it))
    }
}

/// Gives a database's `-wal` another name where another file has taken the name of the database, and
/// gives that name: SQLite would read it as the other file's, such as a backup's, and destroy that.
/// `wal`: that of the database, as it was opened.
pub fn move_wal_away(path: &Path, database: FileId, wal: FileId) -> Option<PathBuf> {
    let is_another = FileId::at(path).is_some_and(|there| there != database);
    let its_wal = beside(path, "-wal");
    if !is_another || FileId::at(&its_wal) != Some(wal) {
        return None;
    }
    let moved = beside_now(path, "wal-of-replaced");
    std::fs::rename(&its_wal, &moved).ok()?;
    let _ = std::fs::remove_file(beside(path, "-shm"));
    Some(moved)
}

/// What a file's header says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// It begins as a database does.
    pub is_database: bool,
    /// `PRAGMA application_id`; 0: none was set.
    pub application_id: u32,
    /// The bytes of its pages: after VACUUM the file has as many, after a truncation it has fewer.
    pub bytes: u64,
    /// It is a database's, and the count of its pages was written with its last change.
    pub is_certain: bool,
}

impl Header {
    /// Reads it; `None`: the file is smaller than a header.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(file: &File) -> io::Result<Option<Header>> {
        let mut header = [0; HEADER_BYTES];
        match file.read_exact_at(&mut header, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let number = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|it| header[at + it]));
        let page_bytes = match u16::from_be_bytes([header[PAGE_SIZE_AT], header[PAGE_SIZE_AT + 1]])
        {
            1 => PAGE_BYTES_MAX,
            bytes => u64::from(bytes),
        };
        let is_counted = number(CHANGES_AT) == number(PAGES_VALID_FOR_AT);
        let is_database = header.starts_with(MAGIC);
        Ok(Some(Header {
            is_database,
            application_id: number(APPLICATION_ID_AT),
            bytes: page_bytes * u64::from(number(PAGES_AT)),
            is_certain: is_database && is_counted,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_says_how_large_its_file_should_be() {
        let check = |page: [u8; 2], changes: u8, bytes: usize, expected: Option<(u64, bool)>| {
            let mut content = [0; HEADER_BYTES];
            content[..MAGIC.len()].copy_from_slice(MAGIC);
            content[PAGE_SIZE_AT..CHANGES_AT][..2].copy_from_slice(&page);
            content[CHANGES_AT + 3] = changes;
            content[PAGES_AT + 3] = 5;
            content[PAGES_VALID_FOR_AT + 3] = 7;
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &content[..bytes]).unwrap();
            let header = Header::read(file.as_file()).unwrap();
            let found = header.map(|it| (it.bytes, it.is_certain));
            assert_eq!(found, expected, "pages of {page:?}, {bytes} bytes");
        };
        check([8, 0], 7, HEADER_BYTES, Some((5 * 2048, true)));
        check([0, 1], 7, HEADER_BYTES, Some((5 * 65_536, true)));
        check([8, 0], 6, HEADER_BYTES, Some((5 * 2048, false)));
        check([8, 0], 7, HEADER_BYTES - 1, None);
    }

    #[test]
    fn only_the_wal_of_a_file_that_was_replaced_gets_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let all = ["", "-wal", "-shm"].map(|suffix| beside(&path, suffix));
        all.iter().for_each(|it| std::fs::write(it, "old").unwrap());
        let [database, wal] = [&all[0], &all[1]].map(|it| FileId::at(it).unwrap());
        assert_eq!(move_wal_away(&path, database, wal), None);
        // The old ones live on under other names, so that no new one gets their inodes.
        let former = folder.path().join("former.db");
        std::fs::rename(&path, &former).unwrap();
        assert_eq!(move_wal_away(&path, database, wal), None, "none is there");
        std::fs::write(&path, "new").unwrap();
        assert_eq!(move_wal_away(&path, database, database), None, "its own");
        let moved = move_wal_away(&path, database, wal).expect("another name");
        assert_eq!(FileId::at(&moved), Some(wal));
        assert!(!all[1].exists() && !all[2].exists());
        assert!(moved.to_str().unwrap().contains("a.db-wal-of-replaced-"));
    }
}
