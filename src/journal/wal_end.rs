//! Where the WAL ends: its header and the frame of its last commit, as the file has them. SQLite
//! does not look there again: who cuts the file short leaves it writing behind a hole, and the next
//! start finds nothing of what stands behind that.
//! (<https://www.sqlite.org/fileformat2.html#walformat>)

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::file;

/// The first bytes of a WAL, but for the last bit, which says the byte order of its checksums.
const MAGIC: [u8; 4] = [0x37, 0x7f, 0x06, 0x82];

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const FRAME_BYTES: usize = FRAME_HEADER_BYTES + file::PAGE_BYTES as usize;

/// What was there at the last look.
#[derive(Debug, Default)]
pub(super) struct WalEnd {
    header: [u8; HEADER_BYTES],
    /// The last commit's frame, and where it stands.
    last: Option<(u64, Vec<u8>)>,
    /// Where the next frame begins.
    next: u64,
}

/// What a look at the WAL has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It goes on from where it ended.
    Whole,
    /// Nothing stands in it: it was not written to yet, or it was emptied.
    Empty,
    /// It has content and no header.
    Headless,
    /// Frames are gone that were there, or that others stand behind.
    Cut,
}

impl WalEnd {
    /// Looks whether the file still has what it had, and how far it goes by now. SQLite may write
    /// to it meanwhile.
    pub(super) fn look(&mut self, wal: &File) -> Found {
        let header = match header(wal) {
            Ok(header) => header,
            Err(found) => return found,
        };
        if header != self.header {
            // It began again: all that it had is in the file itself.
            *self = WalEnd {
                header,
                last: None,
                next: HEADER_BYTES as u64,
            };
        }
        if !self.last_is_cut(wal) {
            self.go_on(wal);
            if !self.is_before_a_hole(wal) {
                return Found::Whole;
            }
        }
        // Somebody may have begun it again since its header was read.
        match self::header(wal) {
            Ok(again) if again == self.header => Found::Cut,
            Ok(_) => Found::Whole,
            Err(found) => found,
        }
    }

    /// Frames are appended, so what is left of one that was cut is its beginning, and perhaps zeros.
    fn last_is_cut(&self, wal: &File) -> bool {
        let Some((offset, last)) = &self.last else {
            return false;
        };
        let mut now = vec![0; last.len()];
        read(wal, &mut now, *offset);
        let kept = now.iter().rposition(|byte| *byte != 0);
        let kept = kept.map_or(0, |index| index + 1);
        now != *last && last.starts_with(&now[..kept])
    }

    /// Goes on to the frame of the newest commit: those behind it may yet be written again.
    fn go_on(&mut self, wal: &File) {
        let salts = &self.header[16..24];
        let mut head = [0; FRAME_HEADER_BYTES];
        let mut offset = self.next;
        while wal.read_exact_at(&mut head, offset).is_ok() && head[8..16] == *salts {
            let following = offset + FRAME_BYTES as u64;
            if head[4..8] != [0; 4] {
                let mut frame = vec![0; FRAME_BYTES];
                if wal.read_exact_at(&mut frame, offset).is_err() {
                    return;
                }
                self.last = Some((offset, frame));
                self.next = following;
            }
            offset = following;
        }
    }

    /// Whether a frame is missing that others stand behind.
    fn is_before_a_hole(&self, wal: &File) -> bool {
        let mut frame = vec![0; FRAME_BYTES];
        let is_there = wal.read_exact_at(&mut frame, self.next).is_ok();
        is_there && frame[..FRAME_HEADER_BYTES] == [0; FRAME_HEADER_BYTES]
    }
}

fn header(wal: &File) -> Result<[u8; HEADER_BYTES], Found> {
    let mut header = [0; HEADER_BYTES];
    let count = read(wal, &mut header, 0);
    let has_magic = header[..3] == MAGIC[..3] && header[3] & !1 == MAGIC[3];
    match count {
        0 => Err(Found::Empty),
        HEADER_BYTES if has_magic => Ok(header),
        _ => Err(Found::Headless),
    }
}

/// Reads as much as there is; gives how much.
fn read(wal: &File, into: &mut [u8], offset: u64) -> usize {
    let mut count = 0;
    while count < into.len() {
        match wal.read_at(&mut into[count..], offset + count as u64) {
            Ok(more @ 1..) => count += more,
            _ => break,
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    const SALTS: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

    /// The last of its page's bytes are zeros, as most pages have some.
    fn frame(salts: [u8; 8], is_commit: bool, content: u8) -> Vec<u8> {
        let mut frame = vec![0; FRAME_BYTES];
        frame[3] = 7;
        frame[7] = u8::from(is_commit);
        frame[8..16].copy_from_slice(&salts);
        frame[16..24].fill(content);
        frame[24..1500].fill(content);
        frame
    }

    struct Lab {
        wal: File,
        end: WalEnd,
        bytes: u64,
    }

    impl Lab {
        fn new() -> Lab {
            let file = tempfile::NamedTempFile::new().unwrap();
            let wal = OpenOptions::new()
                .read(true)
                .write(true)
                .open(file.path())
                .unwrap();
            Lab {
                wal,
                end: WalEnd::default(),
                bytes: 0,
            }
        }

        fn begin(&mut self, salts: [u8; 8]) {
            let mut header = [0; HEADER_BYTES];
            header[..4].copy_from_slice(&MAGIC);
            header[3] |= 1;
            header[16..24].copy_from_slice(&salts);
            self.wal.write_all_at(&header, 0).unwrap();
            self.bytes = HEADER_BYTES as u64;
        }

        /// As SQLite does: behind what it knows to be there.
        fn write(&mut self, frame: &[u8]) {
            self.wal.write_all_at(frame, self.bytes).unwrap();
            self.bytes += frame.len() as u64;
        }

        fn look(&mut self) -> Found {
            self.end.look(&self.wal)
        }
    }

    fn three_commits() -> Lab {
        let mut lab = Lab::new();
        assert_eq!(lab.look(), Found::Empty);
        lab.begin(SALTS);
        assert_eq!(lab.look(), Found::Whole);
        for content in 1..=3 {
            lab.write(&frame(SALTS, false, content));
            lab.write(&frame(SALTS, true, content));
            assert_eq!(lab.look(), Found::Whole);
        }
        lab
    }

    #[test]
    fn what_is_cut_is_noticed_with_or_without_more_behind_it() {
        let frames = |count: usize| (HEADER_BYTES + count * FRAME_BYTES) as u64;
        let cuts = [
            frames(6) - 1000,
            frames(5),
            frames(3) + 7,
            frames(1),
            frames(0),
        ];
        for bytes in cuts {
            for appends in [false, true] {
                let mut lab = three_commits();
                lab.wal.set_len(bytes).unwrap();
                if appends {
                    lab.write(&frame(SALTS, true, 4));
                }
                assert_eq!(lab.look(), Found::Cut, "{bytes} {appends}");
            }
        }
        let mut lab = three_commits();
        lab.wal.set_len(0).unwrap();
        assert_eq!(lab.look(), Found::Empty);
        lab.write(&frame(SALTS, true, 4));
        assert_eq!(lab.look(), Found::Headless);
        lab.wal.set_len(20).unwrap();
        assert_eq!(lab.look(), Found::Headless);
    }

    #[test]
    fn what_nobody_has_looked_at_is_missed_too() {
        let mut lab = three_commits();
        lab.write(&frame(SALTS, true, 4));
        lab.wal.set_len(lab.bytes - FRAME_BYTES as u64).unwrap();
        assert_eq!(lab.look(), Found::Whole);
        lab.write(&frame(SALTS, true, 5));
        assert_eq!(lab.look(), Found::Cut);
    }

    #[test]
    fn a_wal_that_begins_again_or_undoes_a_commit_is_whole() {
        let mut lab = three_commits();
        let other = [9; 8];
        lab.begin(other);
        lab.write(&frame(other, true, 4));
        assert_eq!(lab.look(), Found::Whole, "older frames stand behind it");
        lab.wal.set_len(0).unwrap();
        assert_eq!(lab.look(), Found::Empty);
        lab.begin(SALTS);
        lab.write(&frame(SALTS, true, 5));
        assert_eq!(lab.look(), Found::Whole);
        let undone = lab.bytes;
        lab.write(&frame(SALTS, false, 6));
        assert_eq!(lab.look(), Found::Whole);
        lab.bytes = undone;
        lab.write(&frame(SALTS, true, 7));
        assert_eq!(lab.look(), Found::Whole);
        // A disk without room undoes one, too.
        lab.bytes = undone;
        lab.write(&frame(SALTS, true, 8));
        assert_eq!(lab.look(), Found::Whole);
    }
}
