//! Frames into bytes. The bytes are valid in the version, whatever the texts are: no value can end
//! its header.

use std::fmt::Write;

use bytes::{BufMut, BytesMut};
use memchr::memchr;

use super::command::Command;
use super::escape::{Escaping, Side};
use super::frame::Frame;
use super::version::Version;

/// The one byte of a heart-beat (STOMP 1.2, section Heart-beating).
pub const HEARTBEAT: u8 = b'\n';

/// Appends one frame, piece by piece: its headers, then one of [`FrameWriter::body`],
/// [`FrameWriter::text`] and [`FrameWriter::end`].
#[derive(Debug)]
#[must_use = "a frame ends with `body`, `text` or `end`"]
pub struct FrameWriter<'a> {
    out: &'a mut BytesMut,
    escaping: Escaping,
}

impl<'a> FrameWriter<'a> {
    /// Begins a frame.
    pub fn new(out: &'a mut BytesMut, command: Command, version: Version) -> FrameWriter<'a> {
        out.put_slice(command.as_str().as_bytes());
        out.put_u8(b'\n');
        FrameWriter {
            out,
            escaping: Escaping::of(command, Some(version)),
        }
    }

    /// One header, of any text. `content-length` is `body`'s matter.
    pub fn header(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> FrameWriter<'a> {
        self.escaping.encode(Side::Name, name.as_ref(), self.out);
        self.out.put_u8(b':');
        self.escaping.encode(Side::Value, value.as_ref(), self.out);
        self.out.put_u8(b'\n');
        self
    }

    /// One header whose value is repeated as a header of the peer had it. Not every server
    /// unescapes what it has not escaped.
    pub(super) fn repeated(self, name: &str, raw: &[u8]) -> FrameWriter<'a> {
        // Before the LF it would be a CRLF.
        if raw.ends_with(b"\r") {
            return self.header(name, raw);
        }
        self.out.put_slice(name.as_bytes());
        self.out.put_u8(b':');
        self.out.put_slice(raw);
        self.out.put_u8(b'\n');
        self
    }

    /// Ends the frame with this body and its `content-length`.
    pub fn body(self, body: &[u8]) {
        self.out.reserve(body.len() + 32);
        writeln!(self.out, "content-length:{}", body.len()).expect("writing to memory cannot fail");
        self.close(body);
    }

    /// Ends the frame with this body; with its `content-length` only if there is a NUL in it. To
    /// ActiveMQ and Artemis a SEND with a length is a bytes message, one without it a text message.
    pub fn text(self, body: &[u8]) {
        match memchr(0, body) {
            None => self.close(body),
            Some(_) => self.body(body),
        }
    }

    /// Ends a frame that has no body.
    pub fn end(self) {
        self.close(b"");
    }

    fn close(self, body: &[u8]) {
        self.out.put_u8(b'\n');
        self.out.put_slice(body);
        self.out.put_u8(0);
    }
}

/// Appends a frame. A `content-length` among its headers is replaced by the true one.
pub fn encode(frame: &Frame, version: Version, out: &mut BytesMut) {
    let mut writer = FrameWriter::new(out, frame.command, version);
    let mut counted = false;
    for (name, value) in frame.headers.iter_bytes() {
        if &*name == b"content-length" {
            counted = true;
        } else {
            writer = writer.header(name, value);
        }
    }
    if counted {
        writer.body(&frame.body)
    } else {
        writer.text(&frame.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frame: &Frame, version: Version, expected: &str) {
        let mut out = BytesMut::new();
        encode(frame, version, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn every_frame_has_its_blank_line_and_its_nul() {
        let receipt = Frame::new(Command::Receipt, [("receipt-id", "a:b")]);
        check(&receipt, Version::V1_2, "RECEIPT\nreceipt-id:a\\cb\n\n\0");
        check(&receipt, Version::V1_0, "RECEIPT\nreceipt-id:a:b\n\n\0");
        check(
            &Frame::new(Command::Connected, [("server", "a:b\\")]),
            Version::V1_2,
            "CONNECTED\nserver:a:b\\\n\n\0",
        );
    }

    #[test]
    fn content_length_is_in_bytes_and_only_where_it_was_or_must_be() {
        let send = |headers: &[(&'static str, &'static str)], body: &'static str| {
            Frame::new(Command::Send, headers.iter().copied()).with_body(body)
        };
        check(&send(&[], "é"), Version::V1_2, "SEND\n\né\0");
        check(
            &send(&[("content-length", "1")], "é"),
            Version::V1_2,
            "SEND\ncontent-length:2\n\né\0",
        );
        check(
            &send(&[], "a\0b"),
            Version::V1_2,
            "SEND\ncontent-length:3\n\na\0b\0",
        );
    }
}
