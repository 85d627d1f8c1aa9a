//! Whether bytes begin a frame, and which command a line means.

use memchr::memchr2;

use crate::stomp::command::Command;

/// Some senders begin a text with it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Whether bytes begin a frame of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    Yes,
    No,
    /// They are its first bytes, or blank: the next ones will say.
    Perhaps,
}

pub(super) fn begins_frame(bytes: &[u8]) -> Begins {
    let blank = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\n' | b'\r' | 0));
    let rest = &bytes[blank.count()..];
    if let Some(end) = memchr2(b'\n', b'\r', rest) {
        return match command(&rest[..end]) {
            Some(command) if command.is_servers() => Begins::Yes,
            _ => Begins::No,
        };
    }
    if BYTE_ORDER_MARK.starts_with(rest) {
        return Begins::Perhaps;
    }
    let word = rest.strip_prefix(BYTE_ORDER_MARK).unwrap_or(rest);
    let word = word.trim_ascii().to_ascii_uppercase();
    let ends_blank = rest.last().is_some_and(u8::is_ascii_whitespace);
    let may_be = |command: Command| {
        let name = command.as_str().as_bytes();
        // Blanks may stand round a name, but not in it.
        name == word || name.starts_with(&word) && !ends_blank
    };
    let servers = [
        Command::Message,
        Command::Receipt,
        Command::Error,
        Command::Connected,
    ];
    if word.is_empty() || servers.into_iter().any(may_be) {
        Begins::Perhaps
    } else {
        Begins::No
    }
}

/// The command that a server must mean by this line.
pub(super) fn command(line: &[u8]) -> Option<Command> {
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    Command::from_wire(&line.trim_ascii().to_ascii_uppercase())
}
