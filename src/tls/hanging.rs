//! For tests: a file that cannot be read before the test says so, as on a network file system whose
//! server is away.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

/// Nothing here takes this long, unless it hangs.
const HANGS: Duration = Duration::from_secs(60);

/// A FIFO with a writer behind it.
pub(super) struct Hanging {
    end: Sender<()>,
    writer: JoinHandle<bool>,
}

impl Hanging {
    /// Takes the place of a file, whose content a reader gets in the end.
    pub(super) fn in_place_of(file: &Path) -> Hanging {
        let content = std::fs::read(file).expect("a file");
        std::fs::remove_file(file).expect("a file");
        let made = Command::new("mkfifo").arg(file).status().expect("mkfifo");
        assert!(made.success(), "{made}");
        let (end, ends) = channel();
        let file = file.to_owned();
        let writer = spawn(move || {
            // Opens once somebody reads.
            let mut fifo = File::options().write(true).open(file).expect("a reader");
            let is_ended = ends.recv_timeout(HANGS).is_ok();
            fifo.write_all(&content).expect("a reader");
            is_ended
        });
        Hanging { end, writer }
    }

    /// Lets it be read. To be called by what must go on while it is not.
    pub(super) fn end(self) {
        self.end.send(()).expect("nobody has waited for that time");
        assert!(self.writer.join().expect("no panic"));
    }
}
