//! Where messages arrive, and when each did: at the MQTT subscriber, or in a file. It reads nothing
//! else of a contestant.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::publisher::PROBE;
use crate::subscriber::Subscriber;
use peers::message::{self, DIGITS, MARK};
use peers::process::Process;

/// Between two looks whether a contestant still runs, or the watch is over.
const POLL: Duration = Duration::from_millis(50);
/// Between two looks at a file that has not grown.
const TAIL_POLL: Duration = Duration::from_millis(1);
const TAIL_BYTES: usize = 256 * 1024;

/// One of the two places.
pub(super) enum Place {
    Subscriber(Subscriber),
    File(Tail),
}

/// A file that grows, once it is there.
pub(super) struct Tail {
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
}

/// News from the watching thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The probe has come.
    Ready,
    /// The first measured message has come.
    Began,
    /// The last missing message has come.
    Complete,
}

/// Why an event has not come.
#[derive(Debug, thiserror::Error)]
pub(super) enum Missed {
    #[error("too late")]
    Late,
    #[error("the contestant has ended")]
    Ended,
    #[error("the subscriber has failed")]
    Watch,
}

/// Messages `0..count`, of which those from `measured` on are measured.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    pub(super) measured: usize,
    pub(super) count: usize,
}

/// A thread that notes what comes, until [`Watch::finish`].
pub(super) struct Watch {
    events: Receiver<Event>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Vec<Option<Instant>>>>,
}

impl Place {
    /// What a file will hold.
    pub(super) fn file(path: PathBuf) -> Place {
        Place::File(Tail {
            path,
            file: None,
            buffer: Vec::new(),
        })
    }

    fn read(&mut self, mut take: impl FnMut(usize, Instant)) -> io::Result<()> {
        let read = match self {
            Place::Subscriber(subscriber) => subscriber.read(|sequence, now| {
                take(sequence, now);
                Ok(())
            }),
            Place::File(tail) => tail.read(take),
        };
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }
}

impl Tail {
    fn read(&mut self, mut take: impl FnMut(usize, Instant)) -> io::Result<()> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let kept = self.buffer.len();
        let mut length = 0;
        if let Some(file) = &mut self.file {
            self.buffer.resize(kept + TAIL_BYTES, 0);
            length = file.read(&mut self.buffer[kept..])?;
            self.buffer.truncate(kept + length);
        }
        if length == 0 {
            thread::sleep(TAIL_POLL);
            return Ok(());
        }
        let now = Instant::now();
        let mut done = 0;
        for mark in memchr::memmem::find_iter(&self.buffer, MARK) {
            let end = mark + MARK.len() + DIGITS;
            if end <= self.buffer.len() {
                if let Some(sequence) = message::read_number(&self.buffer[mark..end]) {
                    take(sequence, now);
                }
                done = end;
            }
        }
        // A mark whose digits have not come whole.
        let begun = self.buffer.len().saturating_sub(MARK.len() + DIGITS - 1);
        self.buffer.drain(..done.max(begun));
        Ok(())
    }
}

impl Watch {
    pub(super) fn start(mut place: Place, expected: Expected) -> io::Result<Watch> {
        if let Place::Subscriber(subscriber) = &place {
            subscriber.set_patience(POLL)?;
        }
        let (tell, events) = channel();
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let thread = thread::spawn(move || {
            let mut notes = Notes {
                came: vec![None; expected.count],
                missing: expected.count,
                began: false,
                measured: expected.measured,
                tell,
            };
            while !ended.load(Ordering::Relaxed) {
                place.read(|sequence, now| notes.take(sequence, now))?;
            }
            Ok(notes.came)
        });
        Ok(Watch {
            events,
            over,
            thread,
        })
    }

    /// Waits for `event`.
    pub(super) fn until(
        &self,
        event: Event,
        patience: Duration,
        contestant: &mut Process,
    ) -> Result<(), Missed> {
        let deadline = Instant::now() + patience;
        loop {
            match self.events.recv_timeout(POLL) {
                Ok(told) if told == event => return Ok(()),
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Missed::Watch),
                Err(RecvTimeoutError::Timeout) if !contestant.runs() => return Err(Missed::Ended),
                Err(RecvTimeoutError::Timeout) if Instant::now() > deadline => {
                    return Err(Missed::Late);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// When each message came first.
    pub(super) fn finish(self) -> anyhow::Result<Vec<Option<Instant>>> {
        self.over.store(true, Ordering::Relaxed);
        let came = self.thread.join().expect("the watch does not panic");
        came.context("the subscriber")
    }
}

/// What the thread keeps.
struct Notes {
    came: Vec<Option<Instant>>,
    missing: usize,
    measured: usize,
    began: bool,
    tell: Sender<Event>,
}

impl Notes {
    fn take(&mut self, sequence: usize, now: Instant) {
        // Who has stopped listening has failed already, and says why.
        if sequence == PROBE {
            self.tell.send(Event::Ready).ok();
        }
        let Some(slot @ None) = self.came.get_mut(sequence) else {
            return;
        };
        *slot = Some(now);
        if sequence >= self.measured && !self.began {
            self.began = true;
            self.tell.send(Event::Began).ok();
        }
        self.missing -= 1;
        if self.missing == 0 {
            self.tell.send(Event::Complete).ok();
        }
    }
}
