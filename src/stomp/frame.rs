//! One STOMP frame: command, headers, body. A plain value; its bytes are the codec's matter.

use std::fmt;

use bytes::Bytes;

use super::command::Command;
use super::error::DecodeError;
use super::excerpt::{WORD_CHARS_MAX, excerpt};
use super::headers::Headers;

/// One frame, as decoded or to be encoded. Two frames are equal if they mean the same, however they
/// were escaped. Decoded frames share the memory of the chunk that they arrived in: keep what you
/// need, not frames by the thousand.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is for.
    pub command: Command,
    /// In the order of the wire, repeated ones included.
    pub headers: Headers,
    /// Without the closing NUL.
    pub body: Bytes,
    /// Bytes of the body that were read past, since it was longer than the limit; 0: `body` is
    /// whole. See [`Limits::oversize_bytes_max`](super::Limits::oversize_bytes_max).
    pub missing_bytes: usize,
    /// The first rule that it has broken, and in spite of which it was read as well as it can be.
    pub mistake: Option<Box<DecodeError>>,
}

impl Frame {
    /// A frame of these headers, without a body.
    pub fn new<'a>(
        command: Command,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Frame {
        Frame {
            command,
            headers: headers.into_iter().collect(),
            body: Bytes::new(),
            missing_bytes: 0,
            mistake: None,
        }
    }

    /// The same frame with this body.
    pub fn with_body(self, body: impl Into<Bytes>) -> Frame {
        Frame {
            body: body.into(),
            ..self
        }
    }
}

/// Without credentials, and with no more of the body than a log line bears.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("command", &self.command)
            .field("headers", &self.headers)
            .field("body", &excerpt(&self.body, WORD_CHARS_MAX))
            .field("body_bytes", &(self.body.len() + self.missing_bytes))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_credentials_and_little_of_the_body() {
        let headers = [
            ("login", "lab"),
            ("passcode", "s3cret"),
            ("Authorization", "Bearer t0ken"),
            ("host", "/"),
        ];
        let shown = format!(
            "{:?}",
            Frame::new(Command::Connect, headers).with_body(vec![b'x'; 4096])
        );
        for hidden in ["lab", "s3cret", "t0ken"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
        assert!(
            shown.contains("host") && shown.contains("4096") && shown.len() < 400,
            "{shown}"
        );
    }
}
