//! STOMP straight on TCP or TLS: no framing but STOMP's own.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::error::TransportError;
use super::hangup::Hangup;
use super::stream::{self, Stream};
use crate::paced::Pacing;

pub(super) struct Receiver {
    stream: ReadHalf<Stream>,
    buffer: BytesMut,
    pacing: Pacing,
    hangup: Hangup,
}

pub(super) struct Sender {
    stream: WriteHalf<Stream>,
}

/// One read takes at most so much; bodies stay slices of it.
const READ_BYTES: usize = 64 * 1024;

/// Below this a new buffer is begun: reads of a few bytes at its end would cost more than it.
const READ_BYTES_MIN: usize = 4 * 1024;

pub(super) fn split(stream: Stream) -> (Receiver, Sender) {
    let (pacing, hangup) = (stream.pacing(), Hangup::of(&stream));
    let (read, write) = tokio::io::split(stream);
    (
        Receiver {
            stream: read,
            buffer: BytesMut::new(),
            pacing,
            hangup,
        },
        Sender { stream: write },
    )
}

impl Receiver {
    pub(super) async fn receive(&mut self) -> Result<Bytes, TransportError> {
        if self.buffer.capacity() < READ_BYTES_MIN {
            self.buffer.reserve(READ_BYTES);
        }
        match self
            .stream
            .read_buf(&mut self.buffer)
            .await
            .map_err(TransportError::from_io)?
        {
            0 => Err(TransportError::closed("end of stream")),
            _ => Ok(self.buffer.split().freeze()),
        }
    }

    pub(super) fn pacing(&self) -> &Pacing {
        &self.pacing
    }

    pub(super) async fn ended(&mut self) {
        self.hangup.happened().await;
    }

    /// Reads to the end of the stream, and keeps nothing.
    pub(super) async fn drain(mut self) {
        stream::drain(&mut self.stream).await;
    }
}

impl Sender {
    pub(super) async fn send(&mut self, bytes: Bytes) -> Result<(), TransportError> {
        self.stream
            .write_all(&bytes)
            .await
            .map_err(TransportError::from_io)?;
        self.stream.flush().await.map_err(TransportError::from_io)
    }

    pub(super) async fn close(&mut self) {
        // The server may have closed first: it is closed then.
        let _ = self.stream.shutdown().await;
    }
}
