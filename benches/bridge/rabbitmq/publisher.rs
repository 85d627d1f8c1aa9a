//! Puts numbered statuses into a queue: as many as are asked for, or one at each moment of a
//! schedule. It knows when each was written, and nothing of who reads them.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::stomp::Connection;
use peers::message;

/// As the platform's statuses are.
const BODY_BYTES: usize = 450;
/// SENDs between two receipts: RabbitMQ would take them all into its memory.
const SEND_WINDOW: usize = 5_000;
/// The number of a message that is not measured: who has delivered it is ready.
pub(super) const PROBE: usize = 999_999_999;

/// Signed in to RabbitMQ.
pub(super) struct Publisher {
    connection: Connection,
    queue: String,
    frames: Vec<u8>,
}

/// What came of a schedule.
pub(super) struct Paced {
    /// When each message was written.
    pub(super) written: Vec<Instant>,
    /// How late one was at most.
    pub(super) late_max: Duration,
}

impl Publisher {
    pub(super) fn open(port: u16, queue: &str) -> io::Result<Publisher> {
        Ok(Publisher {
            connection: Connection::open(port)?,
            queue: queue.to_owned(),
            frames: Vec::new(),
        })
    }

    /// One message that is not measured. RabbitMQ declares the queue, durable, and keeps it.
    pub(super) fn probe(&mut self) -> io::Result<()> {
        self.render(PROBE, "receipt:probe\n")?;
        self.connection.send(&self.frames)?;
        self.frames.clear();
        self.connection.frame(b"RECEIPT")
    }

    /// `0..count`, in large writes; returns once RabbitMQ has confirmed them.
    pub(super) fn fill(&mut self, count: usize) -> io::Result<()> {
        for first in (0..count).step_by(SEND_WINDOW) {
            let end = (first + SEND_WINDOW).min(count);
            for sequence in first..end - 1 {
                self.render(sequence, "")?;
            }
            self.render(end - 1, "receipt:fill\n")?;
            self.connection.send(&self.frames)?;
            self.frames.clear();
            self.connection.frame(b"RECEIPT")?;
        }
        Ok(())
    }

    /// `0..count`, each in a write of its own at its multiple of `interval` from now. A late one
    /// does not move those behind it. RabbitMQ has confirmed the last by the end.
    pub(super) fn pace(&mut self, interval: Duration, count: usize) -> io::Result<Paced> {
        let start = Instant::now();
        let mut written = Vec::with_capacity(count);
        let mut late_max = Duration::ZERO;
        for sequence in 0..count {
            let receipt = if sequence + 1 == count {
                "receipt:pace\n"
            } else {
                ""
            };
            self.render(sequence, receipt)?;
            let due = start + interval * u32::try_from(sequence).map_err(io::Error::other)?;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let now = Instant::now();
            late_max = late_max.max(now.saturating_duration_since(due));
            written.push(now);
            self.connection.send(&self.frames)?;
            self.frames.clear();
        }
        self.connection.frame(b"RECEIPT")?;
        Ok(Paced { written, late_max })
    }

    fn render(&mut self, sequence: usize, receipt: &str) -> io::Result<()> {
        let body = message::status(sequence, BODY_BYTES);
        write!(
            self.frames,
            "SEND\ndestination:{}\npersistent:true\ncontent-type:application/json\n{receipt}\
             content-length:{}\n\n",
            self.queue,
            body.len()
        )?;
        self.frames.extend_from_slice(&body);
        self.frames.push(0);
        Ok(())
    }
}
