//! A STOMP 1.2 client of RabbitMQ, as far as the benchmarks need one. It never meets a body with a
//! NUL.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use peers::source::PREFETCH;
use peers::{PASSWORD, USER};

/// A server that says nothing for this time has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// As much as one read gives: as much as the daemon's (src/transport/plain.rs), since the floor
/// syncs and acknowledges once for each.
const READ_BYTES: usize = 64 * 1024;

/// Signed in.
pub(crate) struct Connection {
    stream: TcpStream,
    /// Bytes read that are not yet a whole frame.
    buffer: Vec<u8>,
    chunk: Vec<u8>,
}

impl Connection {
    /// To a server on loopback.
    pub(crate) fn open(port: u16) -> io::Result<Connection> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut connection = Connection {
            stream,
            buffer: Vec::new(),
            chunk: vec![0; READ_BYTES],
        };
        connection.send(
            format!(
                "CONNECT\naccept-version:1.2\nhost:/\nheart-beat:0,0\nlogin:{USER}\n\
                 passcode:{PASSWORD}\n\n\0"
            )
            .as_bytes(),
        )?;
        connection.frame(b"CONNECTED")?;
        Ok(connection)
    }

    /// Subscribes, and waits for nothing.
    pub(crate) fn subscribe(&mut self, queue: &str, ack: &str) -> io::Result<()> {
        self.send(
            format!(
                "SUBSCRIBE\nid:0\ndestination:{queue}\nack:{ack}\nprefetch-count:{PREFETCH}\n\n\0"
            )
            .as_bytes(),
        )
    }

    /// Frames, in one write.
    pub(crate) fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.stream.write_all(frames)
    }

    /// What one read gives, for [`Connection::whole`] too.
    pub(crate) fn read(&mut self) -> io::Result<&[u8]> {
        let length = self.stream.read(&mut self.chunk)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend_from_slice(&self.chunk[..length]);
        Ok(&self.chunk[..length])
    }

    /// The frames that have come whole by now.
    pub(crate) fn whole(
        &mut self,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut start = 0;
        while let Some(length) = memchr::memchr(0, &self.buffer[start..]) {
            take(self.buffer[start..start + length].trim_ascii_start())?;
            start += length + 1;
        }
        self.buffer.drain(..start);
        Ok(())
    }

    /// One read, and the frames that have come whole by then.
    pub(crate) fn frames(&mut self, take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.read()?;
        self.whole(take)
    }

    /// The next frame, which must be of this kind, and is the last for now.
    pub(crate) fn frame(&mut self, command: &[u8]) -> io::Result<()> {
        let mut seen = false;
        while !seen {
            self.frames(|frame| {
                seen = true;
                expect(frame, command)
            })?;
        }
        Ok(())
    }
}

/// Fails with the whole frame unless it is of this kind.
pub(crate) fn expect(frame: &[u8], command: &[u8]) -> io::Result<()> {
    match frame.starts_with(command) {
        true => Ok(()),
        false => Err(io::Error::other(
            String::from_utf8_lossy(frame).into_owned(),
        )),
    }
}

/// Adds the ACK of a MESSAGE of a `client-individual` subscription.
pub(crate) fn acknowledge(message: &[u8], acks: &mut Vec<u8>) -> io::Result<()> {
    expect(message, b"MESSAGE")?;
    let id = header(message, b"\nack:").ok_or_else(|| io::Error::other("a message without ack"))?;
    acks.extend_from_slice(b"ACK\nid:");
    acks.extend_from_slice(id);
    acks.extend_from_slice(b"\n\n\0");
    Ok(())
}

fn header<'a>(frame: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let start = memchr::memmem::find(frame, name)? + name.len();
    let length = memchr::memchr(b'\n', &frame[start..])?;
    Some(&frame[start..start + length])
}
