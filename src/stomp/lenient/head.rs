//! Reads the command and the headers, line by line.

use bytes::{Buf, Bytes};
use memchr::{memchr, memchr2};

use super::begins::command;
use super::body::FirstNul;
use super::{Lengths, Lenient, Stage, body_too_long, length};
use crate::stomp::command::Command;
use crate::stomp::error::DecodeError;
use crate::stomp::escape::Escaping;
use crate::stomp::excerpt::{WORD_CHARS_MAX, excerpt};
use crate::stomp::limits::Limits;
use crate::stomp::version::Version;

/// A key header is kept up to this length: an ack id that was cut would acknowledge nothing.
const KEY_BYTES_MAX: usize = 64 << 10;

/// Headers that say what a frame is, to whom it goes and how it is answered. The first of each is
/// kept wherever it stands.
pub(super) const KEYS: [&[u8]; 13] = [
    b"destination",
    b"subscription",
    b"message-id",
    b"ack",
    b"content-length",
    b"content-type",
    b"content-encoding",
    b"redelivered",
    b"message",
    b"receipt-id",
    b"version",
    b"heart-beat",
    b"session",
];

impl Lenient {
    /// Reads to the end of the line, or of the chunk. True: a NUL has ended the frame.
    pub(super) fn read_line(&mut self, chunk: &mut Bytes) -> Result<bool, DecodeError> {
        // Before a version is agreed it may be another protocol, and NUL may be anything.
        let end = match (&self.stage, self.version) {
            (Stage::Command, None) => memchr(b'\n', chunk),
            _ => memchr2(b'\n', 0, chunk),
        };
        let piece = chunk.split_to(end.unwrap_or(chunk.len()));
        self.line_bytes += piece.len();
        let room = KEY_BYTES_MAX.max(self.limits.header_line_bytes_max);
        let kept = piece.len().min(room.saturating_sub(self.line.len()));
        self.line.extend_from_slice(&piece[..kept]);
        self.check_length()?;
        if end.is_none() {
            return Ok(false);
        }
        let ends_frame = chunk.get_u8() == 0;
        self.head_bytes += self.line_bytes + 1;
        let line = std::mem::take(&mut self.line);
        let line_bytes = std::mem::take(&mut self.line_bytes);
        match self.stage {
            Stage::Command => self.begin(&line, line_bytes)?,
            _ if matches!(&line[..], b"" | b"\r") => {
                if !ends_frame {
                    self.end_headers()?;
                }
            }
            _ => self.header(&line, line_bytes),
        }
        if ends_frame {
            self.note(DecodeError::NoBlankLine);
        }
        Ok(ends_frame)
    }

    /// A head without an end is no frame; a first line without one is no STOMP.
    fn check_length(&self) -> Result<(), DecodeError> {
        let bytes_max = self
            .limits
            .frame_bytes_max
            .max(self.limits.oversize_bytes_max);
        if self.head_bytes + self.line_bytes > bytes_max {
            return Err(DecodeError::FrameTooLong(self.limits.frame_bytes_max));
        }
        let command_bytes_max = self.limits.command_bytes_max;
        let is_long = self.line_bytes > command_bytes_max;
        if matches!(self.stage, Stage::Command) && self.version.is_none() && is_long {
            return Err(DecodeError::CommandTooLong(command_bytes_max));
        }
        Ok(())
    }

    /// The first line. Before a version is agreed, what is no command is no STOMP either.
    fn begin(&mut self, line: &[u8], line_bytes: usize) -> Result<(), DecodeError> {
        let name = line.strip_suffix(b"\r").unwrap_or(line);
        let line_shown = excerpt(name, WORD_CHARS_MAX);
        let command = (line_bytes == line.len()).then(|| command(name)).flatten();
        if command.is_none() && self.version.is_none() {
            return Err(DecodeError::UnknownCommand { line: line_shown });
        }
        self.command = command.unwrap_or(Command::Other);
        if self.command.as_str().as_bytes() != name {
            self.note(DecodeError::OddCommand { line: line_shown });
        }
        self.stage = Stage::Headers;
        Ok(())
    }

    /// One header line; what cannot be kept is passed over.
    fn header(&mut self, line: &[u8], line_bytes: usize) {
        self.lines += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = memchr(b':', line) else {
            self.note(DecodeError::NoColon {
                line: excerpt(line, WORD_CHARS_MAX),
            });
            // Bytes that are no frame have no NUL of their own: the next frame begins here.
            if self.command == Command::Other
                && let Some(found) = Command::from_wire(line).filter(|found| found.is_servers())
            {
                let mistake = self.mistake.take();
                *self = Lenient::new(self.limits, self.version, self.patience, self.lengths);
                (self.mistake, self.command, self.stage) = (mistake, found, Stage::Headers);
            }
            return;
        };
        let name = line[..colon].trim_ascii();
        let key = KEYS.iter().position(|key| *key == name);
        let line_bytes_max = self.limits.header_line_bytes_max;
        if line_bytes > line_bytes_max {
            self.note(DecodeError::HeaderTooLong(line_bytes_max));
        } else if self.lines > self.limits.headers_max {
            self.note(DecodeError::TooManyHeaders(self.limits.headers_max));
        } else if self.has_unknown_escape(line) {
            self.note(DecodeError::UnknownEscape {
                line: excerpt(line, WORD_CHARS_MAX),
            });
        }
        match key {
            Some(key) => self.key(key, line, colon, line_bytes),
            None => {
                // A right frame has no more.
                let headers_bytes_max = self.limits.frame_bytes_max;
                if self.headers.len() + line.len() >= headers_bytes_max {
                    self.note(DecodeError::HeadersTooLong(headers_bytes_max));
                } else if line_bytes <= line_bytes_max && self.lines <= self.limits.headers_max {
                    self.keep(line);
                }
            }
        }
    }

    /// A header of [`KEYS`]: of a repeated one the first counts.
    fn key(&mut self, key: usize, line: &[u8], colon: usize, line_bytes: usize) {
        if std::mem::replace(&mut self.keys[key], true) {
            return;
        }
        let whole = line_bytes <= KEY_BYTES_MAX.max(self.limits.header_line_bytes_max);
        let value = line[colon + 1..].trim_ascii();
        match KEYS[key] {
            // For people: its beginning says enough.
            b"message" => self.keep(&line[..line.len().min(self.limits.header_line_bytes_max)]),
            b"content-length" => {
                self.keep(&line[..line.len().min(colon + 1 + WORD_CHARS_MAX)]);
                self.content_length = length(value);
                // STOMP 1.0 allows blanks there, and its own examples have them.
                let has_blanks = value.len() + colon + 1 < line.len();
                let blanks_count = self.version != Some(Version::V1_0);
                if self.content_length.is_none() || has_blanks && blanks_count {
                    self.note(DecodeError::BadContentLength {
                        value: excerpt(&line[colon + 1..], WORD_CHARS_MAX),
                    });
                }
            }
            _ if whole => self.keep(line),
            _ => {}
        }
    }

    fn keep(&mut self, line: &[u8]) {
        self.headers.extend_from_slice(line);
        self.headers.extend_from_slice(b"\n");
    }

    fn has_unknown_escape(&self, line: &[u8]) -> bool {
        let escaping = Escaping::of(self.command, self.version);
        escaping.check(line).is_err()
    }

    /// The blank line, after which the body begins.
    fn end_headers(&mut self) -> Result<(), DecodeError> {
        let Limits {
            body_bytes_max,
            frame_bytes_max,
            oversize_bytes_max,
            ..
        } = self.limits;
        // The blank line and the closing NUL are part of the frame.
        let head = self.command.as_str().len() + 1 + self.headers.len() + 2;
        let room = body_bytes_max.min(frame_bytes_max.saturating_sub(head));
        self.body.room = room;
        self.stage = match self.content_length {
            Some(length) if length > room.max(oversize_bytes_max) => {
                if oversize_bytes_max <= room {
                    return Err(body_too_long(room, &self.limits));
                }
                // A body of so many bytes ends the stream, so the length of any other is wrong.
                Stage::Terminated
            }
            Some(_) if self.lengths == Lengths::Ignored => Stage::Terminated,
            Some(left) => Stage::Counted {
                left,
                nul: FirstNul::Awaited,
            },
            None => Stage::Terminated,
        };
        Ok(())
    }
}
