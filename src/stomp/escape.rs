//! Escapes and unescapes header names and values (STOMP 1.2, section Value Encoding). One pass in
//! each direction, by the rules of the version and the command. It never changes a body.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use memchr::memchr;

use super::command::Command;
use super::version::Version;

/// The rules that hold for the headers of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escaping {
    /// CONNECT, STOMP and CONNECTED: what stands there is meant.
    Raw,
    /// STOMP 1.0: no escapes, but padding round names and values, which is dropped.
    Padded,
    /// `\n`, `\c` and `\\`; any other escape is an error.
    V1_1,
    /// Those of 1.1 and `\r`.
    V1_2,
    /// Before a version is agreed: 1.2's escapes; any other backslash stands for itself. ActiveMQ
    /// writes an ERROR before CONNECTED as 1.0, RabbitMQ escapes it.
    Lenient,
}

/// A backslash that begins no escape of the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnknownEscape;

/// Which side of the colon is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Name,
    Value,
}

impl Escaping {
    /// The rules for a frame of this command; `None`: no version is agreed yet.
    pub(super) fn of(command: Command, version: Option<Version>) -> Escaping {
        match (command, version) {
            (Command::Connect | Command::Stomp | Command::Connected, _) => Escaping::Raw,
            (_, None) => Escaping::Lenient,
            (_, Some(Version::V1_0)) => Escaping::Padded,
            (_, Some(Version::V1_1)) => Escaping::V1_1,
            (_, Some(Version::V1_2)) => Escaping::V1_2,
        }
    }

    /// The byte that `\` and this byte stand for.
    fn meaning(self, escaped: u8) -> Option<u8> {
        match (self, escaped) {
            (Escaping::Raw | Escaping::Padded, _) => None,
            (_, b'n') => Some(b'\n'),
            (_, b'c') => Some(b':'),
            (_, b'\\') => Some(b'\\'),
            (Escaping::V1_2 | Escaping::Lenient, b'r') => Some(b'\r'),
            _ => None,
        }
    }

    /// Whether every escape in `raw` is known to the version.
    pub(super) fn check(self, raw: &[u8]) -> Result<(), UnknownEscape> {
        if !matches!(self, Escaping::V1_1 | Escaping::V1_2) {
            return Ok(());
        }
        let mut rest = raw;
        while let Some(at) = memchr(b'\\', rest) {
            let escaped = rest.get(at + 1).copied().ok_or(UnknownEscape)?;
            self.meaning(escaped).ok_or(UnknownEscape)?;
            rest = &rest[at + 2..];
        }
        Ok(())
    }

    /// What `raw`, which has passed `check`, stands for. Borrowed unless there is an escape in it.
    pub(super) fn decode(self, raw: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Escaping::Raw => Cow::Borrowed(raw),
            Escaping::Padded => Cow::Borrowed(raw.trim_ascii()),
            Escaping::V1_1 | Escaping::V1_2 | Escaping::Lenient => match memchr(b'\\', raw) {
                None => Cow::Borrowed(raw),
                Some(first) => Cow::Owned(self.unescape(raw, first)),
            },
        }
    }

    fn unescape(self, raw: &[u8], first: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(raw.len());
        let mut rest = raw;
        let mut next = Some(first);
        while let Some(at) = next {
            text.extend_from_slice(&rest[..at]);
            match rest.get(at + 1).and_then(|&escaped| self.meaning(escaped)) {
                Some(byte) => {
                    text.push(byte);
                    rest = &rest[at + 2..];
                }
                None => {
                    text.push(b'\\');
                    rest = &rest[at + 1..];
                }
            }
            next = memchr(b'\\', rest);
        }
        text.extend_from_slice(rest);
        text
    }

    /// Appends `text` so that it can neither end its line nor its name: escaped where the version
    /// has the escape. A byte that the version cannot carry becomes a space: a wrong value is
    /// refused, a second header would be obeyed.
    pub(super) fn encode(self, side: Side, text: &[u8], out: &mut BytesMut) {
        let mut plain_from = 0;
        for (at, &byte) in text.iter().enumerate() {
            if !matches!(byte, 0 | b'\n' | b'\r' | b':' | b'\\') {
                continue;
            }
            // Before the LF that ends the header it would be a CRLF, which no version reads as a
            // part of the value.
            let last = side == Side::Value && at + 1 == text.len();
            let written: &[u8] = match (self, byte) {
                // No version has an escape for what ends a frame.
                (_, 0) => b" ",
                (Escaping::Raw | Escaping::Padded | Escaping::V1_1, b'\r') if last => b" ",
                (Escaping::Raw | Escaping::Padded, b'\n') => b" ",
                (Escaping::Raw | Escaping::Padded, b':') if side == Side::Name => b" ",
                (Escaping::Raw | Escaping::Padded, _) | (Escaping::V1_1, b'\r') => continue,
                (_, b'\n') => b"\\n",
                (_, b'\r') => b"\\r",
                (_, b':') => b"\\c",
                (_, _) => b"\\\\",
            };
            out.put_slice(&text[plain_from..at]);
            out.put_slice(written);
            plain_from = at + 1;
        }
        out.put_slice(&text[plain_from..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(escaping: Escaping, raw: &str) -> Option<String> {
        escaping.check(raw.as_bytes()).ok()?;
        Some(String::from_utf8(escaping.decode(raw.as_bytes()).into_owned()).unwrap())
    }

    fn encoded(escaping: Escaping, side: Side, text: &str) -> String {
        let mut out = BytesMut::new();
        escaping.encode(side, text.as_bytes(), &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn each_version_decodes_its_own_escapes_in_one_pass() {
        use Escaping::{Lenient, Padded, Raw, V1_1, V1_2};
        let check = |escaping, raw, expected: Option<&str>| {
            assert_eq!(
                decoded(escaping, raw).as_deref(),
                expected,
                "{escaping:?} {raw}"
            );
        };
        for escaping in [Raw, Padded, V1_1, V1_2, Lenient] {
            check(escaping, "plain:colon", Some("plain:colon"));
            check(escaping, "", Some(""));
        }
        for escaping in [V1_1, V1_2, Lenient] {
            check(escaping, r"a\cb\nc\\d", Some("a:b\nc\\d"));
            // Sequential replacing would make a line feed of it.
            check(escaping, r"C:\\new", Some(r"C:\new"));
            check(escaping, r"\\\\n", Some(r"\\n"));
        }
        check(V1_1, r"a\rb", None);
        check(V1_2, r"a\rb", Some("a\rb"));
        check(Lenient, r"a\rb", Some("a\rb"));
        for unknown in [r"a\tb", r"a\", r"\\\", r"\C"] {
            check(V1_1, unknown, None);
            check(V1_2, unknown, None);
            check(Raw, unknown, Some(unknown));
        }
        check(Lenient, r"C:\temp\", Some(r"C:\temp\"));
        check(Raw, r"a\cb", Some(r"a\cb"));
        check(Raw, " kept ", Some(" kept "));
        check(V1_2, " kept ", Some(" kept "));
        check(Padded, r" a\cb  ", Some(r"a\cb"));
    }

    #[test]
    fn no_text_can_end_its_line_its_name_or_its_frame() {
        use Escaping::{Padded, Raw, V1_1, V1_2};
        let check = |escaping, side, text, expected: &str| {
            assert_eq!(
                encoded(escaping, side, text),
                expected,
                "{escaping:?} {text:?}"
            );
        };
        check(V1_2, Side::Value, "a:b\r\nc\\d", r"a\cb\r\nc\\d");
        check(V1_2, Side::Name, "a:b", r"a\cb");
        check(V1_1, Side::Value, "a:b\r\nc\\d", "a\\cb\r\\nc\\\\d");
        check(Padded, Side::Value, "a:b\nc\\d", "a:b c\\d");
        check(Raw, Side::Value, "a:b\nc\\d", "a:b c\\d");
        check(Raw, Side::Name, "a:b\n", "a b ");
        check(V1_2, Side::Value, "故障", "故障");
        for escaping in [Raw, Padded, V1_1] {
            check(escaping, Side::Value, "a\rb\r", "a\rb ");
        }
        for escaping in [Raw, Padded, V1_1, V1_2] {
            check(escaping, Side::Value, "a\0b", "a b");
        }
    }

    #[test]
    fn rules_follow_command_and_version() {
        let check =
            |command, version, expected| assert_eq!(Escaping::of(command, version), expected);
        for version in [None, Some(Version::V1_0), Some(Version::V1_2)] {
            check(Command::Connect, version, Escaping::Raw);
            check(Command::Connected, version, Escaping::Raw);
        }
        check(Command::Error, None, Escaping::Lenient);
        check(Command::Error, Some(Version::V1_2), Escaping::V1_2);
        check(Command::Message, Some(Version::V1_0), Escaping::Padded);
    }
}
