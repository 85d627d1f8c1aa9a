//! What a frame is for: its first line.

use std::fmt;

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
    /// A first line that is none of them. Only received; never sent.
    Other,
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
            Command::Other => "(unknown)",
        }
    }

    /// Whether servers send it.
    pub(super) fn is_servers(self) -> bool {
        matches!(
            self,
            Command::Connected | Command::Message | Command::Receipt | Command::Error
        )
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
}
