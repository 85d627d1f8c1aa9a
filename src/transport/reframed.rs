//! The bytes of a WebSocket as they come, with the headers of data frames rewritten in place. So
//! text is bytes to us, whatever its encoding, and a message may be of any length: STOMP's codec
//! reads both. It also notes what the server's close says, allowed or not.
//!
//! It knows RFC 6455, section 5.2, and nothing of what the frames hold. A frame that is masked or
//! uses a reserved bit is left as it is, for the WebSocket to refuse.

mod head;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use head::{BINARY, CLOSE, FINAL, Head, MASKED, OPCODE, RESERVED};

/// What the payloads are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payloads {
    /// Pieces of one stream: each frame becomes a message of its own, a long one several.
    Stream {
        /// Longest message.
        message_bytes_max: usize,
    },
    /// Messages with a meaning of their own, which stay whole as long as they are not too long. Such
    /// a one becomes several messages: all but the last are of the most bytes, and no others are.
    Messages {
        /// Longest message.
        message_bytes_max: usize,
    },
}

impl Payloads {
    /// Longest message, in the length of a frame.
    fn most(self) -> u64 {
        let (Payloads::Stream { message_bytes_max } | Payloads::Messages { message_bytes_max }) =
            self;
        (message_bytes_max as u64).max(1)
    }
}

/// What the server's close says, as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Close {
    /// `None`: it has no code.
    pub(super) code: Option<u16>,
    pub(super) reason: String,
}

/// Where the close is noted.
pub(super) type Said = Arc<OnceLock<Close>>;

/// A stream below a WebSocket client.
#[derive(Debug)]
pub(super) struct Reframed<S> {
    inner: S,
    payloads: Payloads,
    /// Read before there was a WebSocket.
    read: Vec<u8>,
    read_at: usize,
    /// The beginning of a frame's header that is not whole yet.
    head: Head,
    /// To be given before anything else is read.
    insert: Head,
    /// Bytes of the frame's payload that are still to come.
    left: u64,
    /// Of a frame that was cut: bytes that follow `left`.
    rest: u64,
    /// No frame of the message follows the one that was cut.
    rest_ends: bool,
    /// Bytes of the message so far, where more frames of it follow.
    message: u64,
    /// The message was ended before its next frame.
    cut: bool,
    /// The payload of a close, as far as it has come.
    close: Option<Vec<u8>>,
    said: Said,
}

impl<S> Reframed<S> {
    /// Begins with what was `read` already.
    pub(super) fn new(inner: S, read: Vec<u8>, payloads: Payloads) -> Reframed<S> {
        Reframed {
            inner,
            payloads,
            read,
            read_at: 0,
            head: Head::default(),
            insert: Head::default(),
            left: 0,
            rest: 0,
            rest_ends: true,
            message: 0,
            cut: false,
            close: None,
            said: Said::default(),
        }
    }

    /// Where the server's close will stand.
    pub(super) fn said(&self) -> Said {
        Arc::clone(&self.said)
    }

    /// The stream below.
    pub(super) fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Goes through new bytes, which may hold the ends and headers of several frames. Gives how many
    /// of them may be passed on: the last ones may begin a header. It stops at a cut, where `insert`
    /// comes first.
    fn pass(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() && self.insert.length == 0 {
            if self.left > 0 {
                let length = usize::try_from(self.left).unwrap_or(usize::MAX);
                let length = length.min(bytes.len() - at);
                if let Some(close) = &mut self.close {
                    close.extend_from_slice(&bytes[at..at + length]);
                }
                self.left -= length as u64;
                at += length;
                self.end_payload();
                continue;
            }
            let begins = at;
            while at < bytes.len() && !self.head.is_whole() {
                self.head.push(bytes[at]);
                at += 1;
            }
            if !self.head.is_whole() {
                return begins;
            }
            let head = self.begin_payload();
            bytes[begins..at].copy_from_slice(head.filled());
        }
        at
    }

    /// A header is whole: gives what stands in its place, of the same length.
    fn begin_payload(&mut self) -> Head {
        let mut head = std::mem::take(&mut self.head);
        let opcode = head.bytes[0] & OPCODE;
        let plain = head.bytes[0] & RESERVED == 0 && head.bytes[1] & MASKED == 0;
        (self.left, self.rest) = (head.payload(), 0);
        if opcode == CLOSE && plain {
            self.close = Some(Vec::new());
        }
        match self.payloads {
            Payloads::Stream { .. } if plain && opcode <= BINARY => {
                head.bytes[0] = FINAL | BINARY;
                self.cut_frame(&mut head, self.payloads.most());
            }
            Payloads::Messages { .. } if plain && opcode <= BINARY => self.keep_whole(&mut head),
            Payloads::Stream { .. } | Payloads::Messages { .. } => {}
        }
        self.end_payload();
        head
    }

    /// The frame goes on as far as `room` allows; what is behind that comes in messages of its own.
    fn cut_frame(&mut self, head: &mut Head, room: u64) {
        if self.left > room {
            self.rest = self.left - room;
            self.left = room;
            head.announce(room);
        }
    }

    /// A frame of a message that stays whole as long as it is not too long.
    fn keep_whole(&mut self, head: &mut Head) {
        let opcode = head.bytes[0] & OPCODE;
        let ends = head.bytes[0] & FINAL != 0;
        if opcode != 0 {
            (self.message, self.cut) = (0, false);
        }
        let opcode = if opcode != 0 || self.cut { BINARY } else { 0 };
        // Never none: a message is ended that has the most bytes.
        let room = self.payloads.most() - self.message;
        let full = self.left >= room;
        self.rest_ends = ends;
        head.bytes[0] = opcode | if ends || full { FINAL } else { 0 };
        self.cut_frame(head, room);
        self.message = if full { 0 } else { self.message + self.left };
        self.cut = full && !ends;
    }

    /// The header of what follows of a frame that was cut.
    fn next_part(&mut self) -> Head {
        let most = self.payloads.most();
        self.left = self.rest.min(most);
        self.rest -= self.left;
        let full = self.left == most;
        let ends = self.rest_ends || full;
        (self.message, self.cut) = if full { (0, true) } else { (self.left, false) };
        Head::of_message(self.left, if ends { FINAL } else { 0 })
    }

    /// Where a payload has ended: what a close said is noted, and a cut frame goes on.
    fn end_payload(&mut self) {
        if self.left > 0 {
            return;
        }
        if let Some(payload) = self.close.take() {
            // Nobody closes twice.
            let _ = self.said.set(Close::of(&payload));
        }
        if self.rest > 0 {
            self.insert = self.next_part();
        }
    }

    /// To be read again before all else.
    fn put_back(&mut self, bytes: &[u8]) {
        self.read = [bytes, &self.read[self.read_at..]].concat();
        self.read_at = 0;
    }

    /// As many bytes as may be read at once: up to the end of a header that is not whole, or up to a
    /// cut.
    fn readable(&self) -> usize {
        if self.head.length > 0 {
            return self.head.wants() - self.head.length;
        }
        if self.rest > 0 {
            return usize::try_from(self.left).unwrap_or(usize::MAX);
        }
        usize::MAX
    }
}

impl Close {
    fn of(payload: &[u8]) -> Close {
        match payload {
            [first, second, reason @ ..] => Close {
                code: Some(u16::from_be_bytes([*first, *second])),
                reason: String::from_utf8_lossy(reason).into_owned(),
            },
            _ => Close {
                code: None,
                reason: String::new(),
            },
        }
    }
}

impl<S: AsyncRead + Unpin> Reframed<S> {
    /// Reads into `buf` what was read before, or what the stream has, as far as `readable` allows.
    fn poll_inner(
        &mut self,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let most = self.readable().min(buf.remaining());
        if self.read_at < self.read.len() {
            let read = &self.read[self.read_at..];
            let length = read.len().min(most);
            buf.put_slice(&read[..length]);
            self.read_at += length;
            return Poll::Ready(Ok(length));
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut part))?;
        let length = part.filled().len();
        buf.advance(length);
        Poll::Ready(Ok(length))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Reframed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.insert.length > 0 {
                let insert = this.insert.filled();
                let length = insert.len().min(buf.remaining());
                buf.put_slice(&insert[..length]);
                this.insert.bytes.rotate_left(length);
                this.insert.length -= length;
                return Poll::Ready(Ok(()));
            }
            if buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let begins = buf.filled().len();
            let pending = this.head.length;
            let length = ready!(this.poll_inner(context, buf))?;
            if length == 0 {
                return Poll::Ready(Ok(()));
            }
            if pending > 0 {
                // The rest of a header whose beginning was held back.
                for byte in &buf.filled()[begins..] {
                    this.head.push(*byte);
                }
                buf.set_filled(begins);
                if this.head.is_whole() {
                    let head = this.begin_payload();
                    let after = std::mem::replace(&mut this.insert, head);
                    debug_assert_eq!(after.length, 0, "a cut comes behind its first part");
                }
                continue;
            }
            let passed = this.pass(&mut buf.filled_mut()[begins..]);
            if this.insert.length > 0 && passed < length {
                this.put_back(&buf.filled()[begins + passed..]);
            }
            buf.set_filled(begins + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Reframed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    /// Gives its bytes in pieces of this size, and takes whatever is written.
    struct Cut {
        bytes: Vec<u8>,
        size: usize,
    }

    impl AsyncRead for Cut {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let length = self.size.min(self.bytes.len()).min(buf.remaining());
            buf.put_slice(&self.bytes.drain(..length).collect::<Vec<_>>());
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Cut {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let length = payload.len();
        let head = match u16::try_from(length) {
            Ok(short) if short < 126 => vec![first, short as u8],
            Ok(short) => [&[first, 126][..], &short.to_be_bytes()].concat(),
            Err(_) => [&[first, 127][..], &(length as u64).to_be_bytes()].concat(),
        };
        [&head, payload].concat()
    }

    /// What a client makes of the bytes: its messages, and the close as it was.
    async fn read(
        bytes: &[u8],
        read: usize,
        size: usize,
        payloads: Payloads,
    ) -> (Vec<Vec<u8>>, Option<Close>) {
        let (read, bytes) = bytes.split_at(read.min(bytes.len()));
        let cut = Cut {
            bytes: bytes.to_vec(),
            size,
        };
        let reframed = Reframed::new(cut, read.to_vec(), payloads);
        let said = reframed.said();
        let mut socket = WebSocketStream::from_raw_socket(reframed, Role::Client, None).await;
        let mut messages = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Binary(bytes) => messages.push(bytes.to_vec()),
                Message::Ping(_) => {}
                Message::Close(_) => break,
                other => panic!("{other:?}"),
            }
        }
        (messages, said.get().cloned())
    }

    #[tokio::test]
    async fn payloads_are_bytes_however_the_stream_is_cut() {
        let long = vec![b'l'; 70_000];
        let stream = [
            frame(0x81, b"\xb9\xca"),
            frame(0x01, b"be"),
            frame(0x89, b"ping"),
            frame(0x00, b""),
            frame(0x80, b"gin"),
            frame(0x82, &[b'm'; 300]),
            frame(0x81, &long),
            frame(0x88, b"\x13\x88why"),
        ]
        .concat();
        let close = Some(Close {
            code: Some(5000),
            reason: "why".to_owned(),
        });
        let whole = [b"\xb9\xca", &b"begin"[..], &[b'm'; 300], &long].concat();
        let message_bytes_max = 30_000;
        for (before, size) in [
            (0, 1),
            (0, 2),
            (0, 13),
            (0, 1 << 20),
            (9, 3),
            (400, 7),
            (1 << 20, 1),
        ] {
            let payloads = Payloads::Stream { message_bytes_max };
            let (messages, said) = read(&stream, before, size, payloads).await;
            assert_eq!(
                (messages.concat(), &said),
                (whole.clone(), &close),
                "{size}"
            );
            assert!(
                messages
                    .iter()
                    .all(|bytes| bytes.len() <= message_bytes_max)
            );
            assert_eq!(messages.len(), 8, "{before} {size}");

            let payloads = Payloads::Messages { message_bytes_max };
            let (messages, said) = read(&stream, before, size, payloads).await;
            assert_eq!(
                (messages.concat(), &said),
                (whole.clone(), &close),
                "{size}"
            );
            let lengths: Vec<usize> = messages.iter().map(Vec::len).collect();
            let expected = [2, 5, 300, 30_000, 30_000, 10_000];
            assert_eq!(lengths, expected, "{before} {size}");
        }
    }

    /// A server may cut a message into frames where it likes.
    #[tokio::test]
    async fn a_message_of_many_frames_is_cut_where_it_becomes_too_long() {
        let letters: Vec<u8> = (0..7_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..90 {
            let (mut stream, mut expected, mut whole) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..3 {
                let frames = random.usize(1..5);
                let mut message = Vec::new();
                for number in 0..frames {
                    let length = match random.u8(0..3) {
                        0 => random.usize(0..130),
                        1 => random.usize(0..1_000) / 100 * 100,
                        _ => random.usize(0..7_000),
                    };
                    let last = if number + 1 == frames { 0x80 } else { 0 };
                    let opcode = if number == 0 { 1 } else { 0 };
                    stream.extend(frame(last | opcode, &letters[..length]));
                    message.extend_from_slice(&letters[..length]);
                }
                expected.extend(message.chunks(1_000).map(<[u8]>::to_vec));
                if message.is_empty() {
                    expected.push(Vec::new());
                }
                whole.extend(message);
            }
            let payloads = Payloads::Messages {
                message_bytes_max: 1_000,
            };
            let size = [1, 3, 1 << 20][round % 3];
            let (messages, _) = read(&stream, 0, size, payloads).await;
            // A message that ends where it is full may have an empty end.
            let messages: Vec<_> = messages.into_iter().filter(|it| !it.is_empty()).collect();
            expected.retain(|it| !it.is_empty());
            assert_eq!(messages.concat(), whole, "{round}");
            let lengths = |all: &[Vec<u8>]| all.iter().map(Vec::len).collect::<Vec<_>>();
            assert_eq!(lengths(&messages), lengths(&expected), "{round}");
        }
    }

    #[tokio::test]
    async fn what_breaks_the_protocol_is_left_for_the_websocket_to_refuse() {
        for odd in [
            &b"\xc1\x01x"[..],
            b"\x83\x01x",
            b"\x81\x81\0\0\0\0x",
            b"\x8b\x00",
        ] {
            let stream = [odd, &frame(0x81, b"behind")].concat();
            let payloads = Payloads::Stream {
                message_bytes_max: 100,
            };
            let (messages, _) = read(&stream, 0, 1 << 20, payloads).await;
            assert_eq!(messages, [[0_u8; 0]; 0], "{odd:?}");
        }
    }
}
