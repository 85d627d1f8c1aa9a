//! One STOMP frame: command, headers, body. A plain value; its bytes are the codec's matter.

use std::fmt;

use bytes::Bytes;

use super::Headers;
use super::excerpt::{WORD_CHARS_MAX, excerpt};

/// What a frame is for (STOMP 1.2, sections Client Frames and Server Frames).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Command {
    Connect,
    Stomp,
    Connected,
    Send,
    Subscribe,
    Unsubscribe,
    Ack,
    Nack,
    Begin,
    Commit,
    Abort,
    Disconnect,
    Message,
    Receipt,
    Error,
}

impl Command {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Command::Connect => "CONNECT",
            Command::Stomp => "STOMP",
            Command::Connected => "CONNECTED",
            Command::Send => "SEND",
            Command::Subscribe => "SUBSCRIBE",
            Command::Unsubscribe => "UNSUBSCRIBE",
            Command::Ack => "ACK",
            Command::Nack => "NACK",
            Command::Begin => "BEGIN",
            Command::Commit => "COMMIT",
            Command::Abort => "ABORT",
            Command::Disconnect => "DISCONNECT",
            Command::Message => "MESSAGE",
            Command::Receipt => "RECEIPT",
            Command::Error => "ERROR",
        }
    }

    /// The command of that name on the wire; case matters.
    pub fn from_wire(name: &[u8]) -> Option<Command> {
        Some(match name {
            b"MESSAGE" => Command::Message,
            b"RECEIPT" => Command::Receipt,
            b"ERROR" => Command::Error,
            b"CONNECTED" => Command::Connected,
            b"ACK" => Command::Ack,
            b"NACK" => Command::Nack,
            b"SEND" => Command::Send,
            b"SUBSCRIBE" => Command::Subscribe,
            b"UNSUBSCRIBE" => Command::Unsubscribe,
            b"CONNECT" => Command::Connect,
            b"STOMP" => Command::Stomp,
            b"BEGIN" => Command::Begin,
            b"COMMIT" => Command::Commit,
            b"ABORT" => Command::Abort,
            b"DISCONNECT" => Command::Disconnect,
            _ => return None,
        })
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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
    fn every_command_has_one_name() {
        use Command::*;
        for command in [
            Connect,
            Stomp,
            Connected,
            Send,
            Subscribe,
            Unsubscribe,
            Ack,
            Nack,
            Begin,
            Commit,
            Abort,
            Disconnect,
            Message,
            Receipt,
            Error,
        ] {
            assert_eq!(
                Command::from_wire(command.as_str().as_bytes()),
                Some(command)
            );
        }
        for other in ["", "message", "MESSAGE ", "HTTP/1.1 400 Bad Request"] {
            assert_eq!(Command::from_wire(other.as_bytes()), None, "{other}");
        }
    }

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
