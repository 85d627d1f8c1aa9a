//! Reads one frame that breaks a rule or a limit, as well as it can be read: the slow way beside
//! [`Scan`](super::scan::Scan). It holds no more than the limits allow, and finds the end of every
//! frame that has one, so that the frames behind it arrive.
//!
//! The end is the content-length with a NUL behind it, else the first NUL. A content-length is also
//! wrong where the first NUL is followed by the beginning of another frame.

mod begins;
mod body;
mod head;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use body::{Body, FirstNul};
use head::KEYS;

use super::command::Command;
use super::error::DecodeError;
use super::escape::Escaping;
use super::frame::Frame;
use super::headers::Headers;
use super::limits::Limits;
use super::version::Version;

/// So many bytes behind a NUL are looked at: blank lines, which are heart-beats, and a command.
pub(super) const LOOK_BYTES_MAX: usize = 256;

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

    fn note_length(&mut self) {
        let content_length = self.content_length.unwrap_or_default();
        self.note(DecodeError::NoNul { content_length });
    }

    /// Only the first mistake is reported.
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

pub(super) fn body_too_long(allowed: usize, limits: &Limits) -> DecodeError {
    if allowed == limits.body_bytes_max {
        DecodeError::BodyTooLong(limits.body_bytes_max)
    } else {
        DecodeError::FrameTooLong(limits.frame_bytes_max)
    }
}
