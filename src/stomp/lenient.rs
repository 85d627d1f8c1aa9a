//! Reads one frame that breaks a rule or a limit, as well as it can be read: the slow way beside
//! [`Scan`](super::scan::Scan). It holds no more than the limits allow, and finds the end of every
//! frame that has one, so that the frames behind it arrive.
//!
//! The end is the content-length with a NUL behind it, else the first NUL. A content-length is also
//! wrong where the first NUL is followed by the beginning of another frame.

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr2};

use super::command::Command;
use super::error::DecodeError;
use super::escape::Escaping;
use super::excerpt::{WORD_CHARS_MAX, excerpt};
use super::frame::Frame;
use super::headers::Headers;
use super::limits::Limits;
use super::version::Version;

/// So much of a body over its limit is kept: enough to see what it is.
const KEPT_BYTES: usize = 64 << 10;

/// A key header is kept up to this length: an ack id that was cut would acknowledge nothing.
const KEY_BYTES_MAX: usize = 64 << 10;

/// So many bytes behind a NUL are looked at: blank lines, which are heart-beats, and a command.
pub(super) const LOOK_BYTES_MAX: usize = 256;

/// Some senders begin a text with it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Headers that say what a frame is, to whom it goes and how it is answered. The first of each is
/// kept wherever it stands.
const KEYS: [&[u8]; 13] = [
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

/// Whether the server may still send what decides on the end of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// It may: its next bytes are waited for.
    Waits,
    /// Nothing has come for some time, or nothing more will: a NUL ends the frame.
    Over,
}

/// Whether a sender counts bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lengths {
    /// No length was wrong so far.
    Believed,
    /// One was wrong, so all frames are read leniently: the lenient reader needs not wait for bytes
    /// that never come.
    Doubted,
    /// Wrong ones have cost too much: every body ends at its first NUL.
    Ignored,
}

/// The reading of one frame.
#[derive(Debug)]
pub(super) struct Lenient {
    limits: Limits,
    version: Option<Version>,
    patience: Patience,
    lengths: Lengths,
    stage: Stage,
    command: Command,
    /// The first rule that the frame has broken.
    mistake: Option<DecodeError>,
    /// The line that is being read, as far as it is kept.
    line: BytesMut,
    /// How long that line is so far.
    line_bytes: usize,
    /// How long the command and the headers are so far.
    head_bytes: usize,
    /// The lines that are kept, each with its LF.
    headers: BytesMut,
    lines: usize,
    /// Which of [`KEYS`] were found.
    keys: [bool; KEYS.len()],
    content_length: Option<usize>,
    body: Body,
}

#[derive(Debug)]
enum Stage {
    Command,
    Headers,
    /// So many bytes of the body are left by its content-length.
    Counted {
        left: usize,
        nul: FirstNul,
    },
    /// The body ends at the next NUL.
    Terminated,
}

/// The first NUL in a body with a content-length.
#[derive(Debug)]
enum FirstNul {
    Awaited,
    /// It was read, and these bytes follow it: do they begin a frame?
    Read(BytesMut),
    /// They do not, so it belongs to the body.
    OfBody,
}

/// What was read of a body.
#[derive(Debug, Default)]
struct Body {
    kept: BytesMut,
    bytes: usize,
    /// Longest body that is kept whole.
    room: usize,
}

/// A frame, and the bytes behind it that were read already.
pub(super) type Done = (Frame, Bytes);

impl Lenient {
    /// To be given the frame's bytes from its first one on.
    pub(super) fn new(
        limits: Limits,
        version: Option<Version>,
        patience: Patience,
        lengths: Lengths,
    ) -> Lenient {
        Lenient {
            limits,
            version,
            patience,
            lengths,
            stage: Stage::Command,
            command: Command::Other,
            mistake: None,
            line: BytesMut::new(),
            line_bytes: 0,
            head_bytes: 0,
            headers: BytesMut::new(),
            lines: 0,
            keys: [false; KEYS.len()],
            content_length: None,
            body: Body::default(),
        }
    }

    /// Reads on in `chunk`, which is left with what follows the frame.
    pub(super) fn read(&mut self, chunk: &mut Bytes) -> Result<Option<Done>, DecodeError> {
        loop {
            match &mut self.stage {
                Stage::Command | Stage::Headers => {
                    if chunk.is_empty() {
                        return Ok(None);
                    }
                    if self.read_line(chunk)? {
                        return Ok(Some((self.frame(), Bytes::new())));
                    }
                }
                Stage::Counted { .. } => {
                    if let Some(outcome) = self.read_counted(chunk)? {
                        return Ok(outcome);
                    }
                }
                Stage::Terminated => {
                    let nul = memchr(0, chunk);
                    let body = chunk.split_to(nul.unwrap_or(chunk.len()));
                    self.body.push(&body, &self.limits)?;
                    if nul.is_none() {
                        return Ok(None);
                    }
                    chunk.advance(1);
                    if self
                        .content_length
                        .is_some_and(|length| length != self.body.bytes)
                    {
                        self.note_length();
                    }
                    return Ok(Some((self.frame(), Bytes::new())));
                }
            }
        }
    }

    /// Bytes of the frame so far.
    pub(super) fn bytes(&self) -> usize {
        self.head_bytes + self.line_bytes + self.body.bytes
    }

    /// What is known of the frame so far.
    pub(super) fn so_far(&self) -> Frame {
        Frame {
            command: self.command,
            headers: self.checked(Bytes::copy_from_slice(&self.headers)),
            body: Bytes::copy_from_slice(&self.body.kept),
            missing_bytes: self.body.missing(),
            mistake: self.mistake.clone().map(Box::new),
        }
    }

    /// From now on it is so.
    pub(super) fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// A NUL that is here ends the frame; gives the bytes that are to be read again with that in
    /// mind. Where there is none yet, what follows it is still waited for.
    pub(super) fn hurry(&mut self) -> Option<Bytes> {
        let Stage::Counted { left, nul } = &mut self.stage else {
            return None;
        };
        let again = match nul {
            FirstNul::Awaited => return None,
            FirstNul::Read(behind) => [&[0][..], behind].concat().into(),
            FirstNul::OfBody if self.body.missing() > 0 => return None,
            FirstNul::OfBody => {
                let again = self.body.kept.split_off(memchr(0, &self.body.kept)?);
                self.body.bytes = self.body.kept.len();
                *left += again.len();
                again.freeze()
            }
        };
        *nul = FirstNul::Awaited;
        self.patience = Patience::Over;
        Some(again)
    }

    /// Reads to the end of the line, or of the chunk. True: a NUL has ended the frame.
    fn read_line(&mut self, chunk: &mut Bytes) -> Result<bool, DecodeError> {
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

    /// Reads a body by its content-length. `None`: the stage has changed.
    fn read_counted(&mut self, chunk: &mut Bytes) -> Result<Option<Option<Done>>, DecodeError> {
        let Stage::Counted { left, nul } = &mut self.stage else {
            return Ok(None);
        };
        match nul {
            FirstNul::Read(behind) => {
                // As long as all of it is held, content-length may still prove to be right.
                let held = self
                    .content_length
                    .is_none_or(|length| length <= self.body.room);
                let look_max = match self.patience {
                    Patience::Waits if held => LOOK_BYTES_MAX.min(*left - 1),
                    Patience::Waits | Patience::Over => LOOK_BYTES_MAX,
                };
                let more = chunk.len().min(look_max.saturating_sub(behind.len()));
                behind.extend_from_slice(&chunk.split_to(more));
                let ends_here = match begins_frame(behind) {
                    Begins::Yes => true,
                    Begins::No => false,
                    Begins::Perhaps if self.patience == Patience::Over => true,
                    Begins::Perhaps if behind.len() < look_max => return Ok(Some(None)),
                    Begins::Perhaps => false,
                };
                let behind = std::mem::take(behind);
                if ends_here {
                    self.note_length();
                    return Ok(Some(Some((self.frame(), behind.freeze()))));
                }
                // Nearly always all of it is body: the next frame is far away.
                let (body, after) = behind.split_at(behind.len().min(*left - 1));
                *nul = FirstNul::OfBody;
                *left -= 1 + body.len();
                put_before(after, chunk);
                self.body.push(&[0], &self.limits)?;
                self.body.push(body, &self.limits)?;
            }
            FirstNul::Awaited | FirstNul::OfBody if *left == 0 => match chunk.first() {
                None => return Ok(Some(None)),
                Some(0) => {
                    chunk.advance(1);
                    return Ok(Some(Some((self.frame(), Bytes::new()))));
                }
                Some(_) => return self.end_before(chunk).map(Some),
            },
            FirstNul::Awaited | FirstNul::OfBody => {
                if chunk.is_empty() {
                    return Ok(Some(None));
                }
                let counted = &chunk[..chunk.len().min(*left)];
                let found = match nul {
                    FirstNul::Awaited => memchr(0, counted),
                    _ => None,
                };
                let body = chunk.split_to(found.unwrap_or(counted.len()));
                *left -= body.len();
                if found.is_some() {
                    chunk.advance(1);
                    *nul = FirstNul::Read(BytesMut::new());
                }
                self.body.push(&body, &self.limits)?;
            }
        }
        Ok(None)
    }

    /// There is no NUL where content-length says. The body ends at its first one, else at the next.
    fn end_before(&mut self, chunk: &mut Bytes) -> Result<Option<Done>, DecodeError> {
        self.note_length();
        if self.body.missing() == 0
            && let Some(nul) = memchr(0, &self.body.kept)
        {
            let mut behind = self.body.kept.split_off(nul);
            behind.advance(1);
            return Ok(Some((self.frame(), behind.freeze())));
        }
        self.stage = Stage::Terminated;
        self.read(chunk)
    }

    fn note_length(&mut self) {
        let content_length = self.content_length.unwrap_or_default();
        self.note(DecodeError::NoNul { content_length });
    }

    /// Only the first mistake is told of.
    fn note(&mut self, mistake: DecodeError) {
        self.mistake.get_or_insert(mistake);
    }

    fn frame(&mut self) -> Frame {
        let headers = std::mem::take(&mut self.headers).freeze();
        let missing_bytes = self.body.missing();
        Frame {
            command: self.command,
            headers: self.checked(headers),
            body: std::mem::take(&mut self.body.kept).freeze(),
            missing_bytes,
            mistake: self.mistake.take().map(Box::new),
        }
    }

    fn checked(&self, block: Bytes) -> Headers {
        Headers::checked(block, Escaping::of(self.command, self.version))
    }
}

impl Body {
    fn missing(&self) -> usize {
        self.bytes.saturating_sub(self.kept.len())
    }

    /// Keeps these bytes while there is room for all of the body, else no more than its beginning.
    fn push(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), DecodeError> {
        self.bytes += bytes.len();
        if self.bytes <= self.room {
            self.kept.extend_from_slice(bytes);
            return Ok(());
        }
        if self.bytes > limits.oversize_bytes_max {
            return Err(body_too_long(self.room, limits));
        }
        let kept_max = self.room.min(KEPT_BYTES);
        let more = kept_max.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(&bytes[..more]);
        if self.kept.len() > kept_max {
            self.kept = BytesMut::from(&self.kept[..kept_max]);
        }
        Ok(())
    }
}

/// Whether bytes begin a frame of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begins {
    Yes,
    No,
    /// They are its first bytes, or blank: the next ones will say.
    Perhaps,
}

fn begins_frame(bytes: &[u8]) -> Begins {
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
fn command(line: &[u8]) -> Option<Command> {
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    Command::from_wire(&line.trim_ascii().to_ascii_uppercase())
}

/// `content-length`'s value without blanks: digits and nothing else. What no `usize` holds is over
/// any limit.
pub(super) fn length(value: &[u8]) -> Option<usize> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |length: usize, &byte: &u8| {
        length
            .saturating_mul(10)
            .saturating_add(usize::from(byte - b'0'))
    };
    Some(value.iter().fold(0, digit))
}

fn put_before(bytes: &[u8], chunk: &mut Bytes) {
    if !bytes.is_empty() {
        *chunk = [bytes, &chunk[..]].concat().into();
    }
}

pub(super) fn body_too_long(allowed: usize, limits: &Limits) -> DecodeError {
    if allowed == limits.body_bytes_max {
        DecodeError::BodyTooLong(limits.body_bytes_max)
    } else {
        DecodeError::FrameTooLong(limits.frame_bytes_max)
    }
}
