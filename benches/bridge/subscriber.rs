//! A subscriber that does nothing but note when each message came: MQTT 3.1.1 at QoS 0, as little
//! of it as that takes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use peers::message;

/// A message that does not come within this time is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Subscribed to everything.
pub(crate) struct Subscriber {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The bytes of `buffer` that hold something.
    filled: usize,
}

impl Subscriber {
    /// Connects and subscribes; returns once the broker has said that it is so (MQTT 3.1.1,
    /// sections 3.1 to 3.9).
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Subscriber> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // CONNECT: protocol level 4, clean session, keep alive 0 (none), client id "bench".
        stream.write_all(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05bench")?;
        // SUBSCRIBE: packet 1, "devices/#", QoS 0.
        stream.write_all(b"\x82\x0e\x00\x01\x00\x09devices/#\x00")?;
        let mut answers = [0; 9];
        stream.read_exact(&mut answers)?;
        if answers != *b"\x20\x02\x00\x00\x90\x03\x00\x01\x00" {
            return Err(io::Error::other(format!("the broker answered {answers:?}")));
        }
        Ok(Subscriber {
            stream,
            buffer: vec![0; 256 * 1024],
            filled: 0,
        })
    }

    /// When each of the messages `0..count` came first.
    pub(crate) fn receive(&mut self, count: usize) -> io::Result<Vec<Instant>> {
        let mut came: Vec<Option<Instant>> = vec![None; count];
        let mut missing = count;
        while missing > 0 {
            let read = self.read(|sequence, now| {
                let slot = came.get_mut(sequence);
                let slot = slot.ok_or_else(|| io::Error::other("a message that was not sent"))?;
                if slot.is_none() {
                    *slot = Some(now);
                    missing -= 1;
                }
                Ok(())
            });
            read.map_err(|error| {
                io::Error::other(format!("{missing} messages did not come: {error}"))
            })?;
        }
        Ok(came
            .into_iter()
            .map(|came| came.expect("none is missing"))
            .collect())
    }

    /// One read, and the sequence number of each message that has come whole by then, with when
    /// that was.
    pub(crate) fn read(
        &mut self,
        mut take: impl FnMut(usize, Instant) -> io::Result<()>,
    ) -> io::Result<()> {
        let length = self.stream.read(&mut self.buffer[self.filled..])?;
        let now = Instant::now();
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled += length;
        let mut start = 0;
        while let Some((body, end)) = packet(&self.buffer[start..self.filled]) {
            let sequence = message::read_number(&self.buffer[start + body..start + end]);
            let unnumbered = || io::Error::other("a message without a number");
            take(sequence.ok_or_else(unnumbered)?, now)?;
            start += end;
        }
        self.buffer.copy_within(start..self.filled, 0);
        self.filled -= start;
        Ok(())
    }

    /// A read that takes longer fails as timed out.
    pub(crate) fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(patience))
    }
}

/// Where the first packet's contents begin and where it ends; `None`: it has not come whole (MQTT
/// 3.1.1, section 2.2.3).
fn packet(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (at, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let end = at + 2 + length;
            return (end <= bytes.len()).then_some((at + 2, end));
        }
    }
    None
}
