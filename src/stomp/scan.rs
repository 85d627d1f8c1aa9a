//! Finds where a frame ends, in the bytes of it that are here so far. It looks at no byte twice,
//! copies nothing, and remembers where it stopped, so that a frame may be cut anywhere. A frame
//! that breaks a rule or a limit is an error here, and is read again by
//! [`Lenient`](super::lenient::Lenient).

use std::ops::Range;

use memchr::{memchr, memchr2};

use super::command::Command;
use super::error::DecodeError;
use super::escape::Escaping;
use super::excerpt::{WORD_CHARS_MAX, excerpt};
use super::lenient::{body_too_long, length};
use super::limits::Limits;
use super::version::Version;

/// Where the parts of a whole frame stand, counted from its first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) command: Command,
    pub(super) headers: Range<usize>,
    pub(super) body: Range<usize>,
    /// After the closing NUL.
    pub(super) end: usize,
}

/// The reading of one frame, from its first byte on.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    stage: Stage,
    /// Nothing before this offset needs to be looked at again.
    seen: usize,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Command,
    Headers(Head),
    /// The body has a content-length.
    Counted {
        head: Head,
        nul: usize,
    },
    /// The body ends at the first NUL.
    Terminated {
        head: Head,
        body_bytes_max: usize,
    },
}

/// What the lines so far say.
#[derive(Debug, Clone, Copy)]
struct Head {
    command: Command,
    /// Where the first header begins.
    start: usize,
    /// Where the line that is being read begins; at last the blank line.
    line: usize,
    headers: usize,
    content_length: Option<usize>,
}

impl Scan {
    pub(super) fn new() -> Scan {
        Scan {
            stage: Stage::Command,
            seen: 0,
        }
    }

    /// Reads on in `bytes`, which is the frame from its first byte on, and at least as long as at
    /// the last call. `None`: it goes on after them.
    pub(super) fn advance(
        &mut self,
        bytes: &[u8],
        version: Option<Version>,
        limits: &Limits,
    ) -> Result<Option<Parts>, DecodeError> {
        loop {
            match self.stage {
                Stage::Command => {
                    let Some(end) = self.line_end(bytes) else {
                        return within(
                            bytes.len(),
                            limits.command_bytes_max,
                            DecodeError::CommandTooLong,
                        );
                    };
                    self.stage = Stage::Headers(read_command(&bytes[..end], limits)?);
                }
                Stage::Headers(mut head) => {
                    while let Some(end) = self.line_end(bytes) {
                        let line = &bytes[head.line..end];
                        if matches!(line, b"" | b"\r") {
                            self.stage = head.finish(bytes, end + 1, version, limits)?;
                            break;
                        }
                        head.read(line, version, limits)?;
                        head.line = end + 1;
                    }
                    if matches!(self.stage, Stage::Headers(_)) {
                        self.stage = Stage::Headers(head);
                        let pending = bytes.len() - head.line;
                        return within(
                            pending,
                            limits.header_line_bytes_max,
                            DecodeError::HeaderTooLong,
                        );
                    }
                }
                Stage::Counted { head, nul } => {
                    return match bytes.get(nul) {
                        None => Ok(None),
                        Some(0) => Ok(Some(head.parts(self.seen, nul))),
                        Some(_) => Err(DecodeError::NoNul {
                            content_length: nul - self.seen,
                        }),
                    };
                }
                Stage::Terminated {
                    head,
                    body_bytes_max,
                } => {
                    let body = head.body_start(bytes);
                    let nul = memchr(0, &bytes[self.seen..]).map(|at| self.seen + at);
                    self.seen = nul.unwrap_or(bytes.len());
                    if self.seen - body > body_bytes_max {
                        return Err(body_too_long(body_bytes_max, limits));
                    }
                    return Ok(nul.map(|nul| head.parts(body, nul)));
                }
            }
        }
    }

    /// How many of the next bytes to append to the `have` bytes of an unfinished frame. It is never
    /// more than the frame has, as far as we know, nor more than one byte over a limit.
    pub(super) fn wants(&self, have: usize, next: &[u8], limits: &Limits) -> usize {
        let (through, room) = match self.stage {
            Stage::Command => (
                memchr(b'\n', next),
                limits.command_bytes_max.saturating_sub(have),
            ),
            Stage::Headers(head) => (
                memchr(b'\n', next),
                limits
                    .header_line_bytes_max
                    .saturating_sub(have - head.line),
            ),
            Stage::Counted { nul, .. } => (None, nul - have),
            Stage::Terminated { body_bytes_max, .. } => (memchr(0, next), body_bytes_max),
        };
        through
            .map_or(next.len(), |at| at + 1)
            .min(room.saturating_add(1))
    }

    /// How long the frame is at least, where that is known: so much room may be made at once.
    pub(super) fn end(&self) -> Option<usize> {
        match self.stage {
            Stage::Counted { nul, .. } => Some(nul + 1),
            _ => None,
        }
    }

    /// The next LF; from then on everything up to it has been seen.
    fn line_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let end = memchr(b'\n', &bytes[self.seen..]).map(|at| self.seen + at);
        self.seen = end.map_or(bytes.len(), |end| end + 1);
        end
    }
}

impl Head {
    /// One header line.
    fn read(
        &mut self,
        line: &[u8],
        version: Option<Version>,
        limits: &Limits,
    ) -> Result<(), DecodeError> {
        within(
            line.len(),
            limits.header_line_bytes_max,
            DecodeError::HeaderTooLong,
        )?;
        self.headers += 1;
        if self.headers > limits.headers_max {
            return Err(DecodeError::TooManyHeaders(limits.headers_max));
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Names are short: a plain loop is faster than memchr.
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return Err(DecodeError::NoColon {
                line: excerpt(line, WORD_CHARS_MAX),
            });
        };
        if self.content_length.is_some() {
            return Ok(());
        }
        let (mut name, mut value) = (&line[..colon], &line[colon + 1..]);
        if version == Some(Version::V1_0) {
            (name, value) = (name.trim_ascii(), value.trim_ascii());
        }
        if name == b"content-length" {
            self.content_length = Some(content_length(value)?);
        }
        Ok(())
    }

    /// The blank line, after which the body begins.
    fn finish(
        self,
        bytes: &[u8],
        body: usize,
        version: Option<Version>,
        limits: &Limits,
    ) -> Result<Stage, DecodeError> {
        let headers = &bytes[self.start..self.line];
        if memchr2(b'\\', 0, headers).is_some() {
            if memchr(0, headers).is_some() {
                return Err(DecodeError::NoBlankLine);
            }
            let escaping = Escaping::of(self.command, version);
            for line in headers.split(|&byte| byte == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let unknown = |_| DecodeError::UnknownEscape {
                    line: excerpt(line, WORD_CHARS_MAX),
                };
                escaping.check(line).map_err(unknown)?;
            }
        }
        // One byte of the frame is its closing NUL.
        let Some(room) = limits.frame_bytes_max.checked_sub(body + 1) else {
            return Err(DecodeError::FrameTooLong(limits.frame_bytes_max));
        };
        let body_bytes_max = limits.body_bytes_max.min(room);
        match self.content_length {
            None => Ok(Stage::Terminated {
                head: self,
                body_bytes_max,
            }),
            Some(length) if length > body_bytes_max => Err(body_too_long(body_bytes_max, limits)),
            Some(length) => Ok(Stage::Counted {
                head: self,
                nul: body + length,
            }),
        }
    }

    /// After the blank line, which is LF or CRLF.
    fn body_start(&self, bytes: &[u8]) -> usize {
        self.line + if bytes[self.line] == b'\r' { 2 } else { 1 }
    }

    fn parts(&self, body: usize, nul: usize) -> Parts {
        Parts {
            command: self.command,
            headers: self.start..self.line,
            body: body..nul,
            end: nul + 1,
        }
    }
}

fn read_command(line: &[u8], limits: &Limits) -> Result<Head, DecodeError> {
    within(
        line.len(),
        limits.command_bytes_max,
        DecodeError::CommandTooLong,
    )?;
    let start = line.len() + 1;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match Command::from_wire(line) {
        None => Err(DecodeError::UnknownCommand {
            line: excerpt(line, WORD_CHARS_MAX),
        }),
        Some(command) => Ok(Head {
            command,
            start,
            line: start,
            headers: 0,
            content_length: None,
        }),
    }
}

/// `content-length`'s value.
fn content_length(value: &[u8]) -> Result<usize, DecodeError> {
    length(value).ok_or_else(|| DecodeError::BadContentLength {
        value: excerpt(value, WORD_CHARS_MAX),
    })
}

/// `Ok(None)`, unless `length` is over its limit.
fn within(
    length: usize,
    limit: usize,
    error: fn(usize) -> DecodeError,
) -> Result<Option<Parts>, DecodeError> {
    if length > limit {
        Err(error(limit))
    } else {
        Ok(None)
    }
}
