//! Frames out of a byte stream that may be cut anywhere (STOMP 1.2, section STOMP Frames). The
//! decoder enforces the limits, skips heart-beats, and copies nothing but a frame that stands in
//! two chunks.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use super::error::DecodeError;
use super::escape::Escaping;
use super::frame::Frame;
use super::headers::Headers;
use super::limits::Limits;
use super::oversize::Oversize;
use super::scan::{Found, Parts, Scan};
use super::version::Version;

/// Turns chunks into frames. Both sides of a connection may use it.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    version: Option<Version>,
    /// Bytes that were fed and not yet read.
    chunks: VecDeque<Bytes>,
    /// The beginning of a frame whose end was in no chunk so far; empty: the next frame begins in
    /// the next chunk.
    partial: BytesMut,
    scan: Scan,
    /// The frame whose body is being read past.
    oversize: Option<Oversize>,
    failed: Option<DecodeError>,
}

impl Decoder {
    /// A decoder at the beginning of a stream, before a version is agreed.
    pub fn new(limits: Limits) -> Decoder {
        Decoder {
            limits,
            version: None,
            chunks: VecDeque::new(),
            partial: BytesMut::new(),
            scan: Scan::new(),
            oversize: None,
            failed: None,
        }
    }

    /// From the next frame on, headers are read by the rules of this version.
    pub fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// The bytes that come next in the stream. To be followed by [`Decoder::next`] until it gives
    /// `None`.
    pub fn feed(&mut self, bytes: Bytes) {
        if !bytes.is_empty() && self.failed.is_none() {
            self.chunks.push_back(bytes);
        }
    }

    /// The next whole frame; `None`: feed more first. After an error there is nothing but that
    /// error.
    #[allow(clippy::should_implement_trait)] // `None` is no end: more may be fed.
    pub fn next(&mut self) -> Result<Option<Frame>, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let outcome = self.read();
        if let Err(error) = &outcome {
            self.failed = Some(error.clone());
            self.chunks.clear();
            self.partial = BytesMut::new();
            self.oversize = None;
        }
        outcome
    }

    /// Bytes of a frame whose end has not come. Not 0 when the stream ends: it was cut.
    pub fn unfinished_bytes(&self) -> usize {
        self.oversize
            .as_ref()
            .map_or(self.partial.len(), Oversize::bytes)
    }

    fn read(&mut self) -> Result<Option<Frame>, DecodeError> {
        while let Some(mut chunk) = self.chunks.pop_front() {
            if let Some(oversize) = &mut self.oversize {
                let passed = oversize.pass(&mut chunk, &self.limits)?;
                self.put_back(chunk);
                if passed {
                    return Ok(self.oversize.take().map(Oversize::into_frame));
                }
            } else if self.partial.is_empty() {
                // Heart-beats, the line end that RabbitMQ puts after a frame, and stray NULs.
                let blank = chunk
                    .iter()
                    .take_while(|byte| matches!(byte, b'\n' | b'\r' | 0))
                    .count();
                chunk.advance(blank);
                match self.scan.advance(&chunk, self.version, &self.limits)? {
                    Some(found) => {
                        let frame = self.found(chunk, found);
                        if frame.is_some() {
                            return Ok(frame);
                        }
                    }
                    None => self.hold(&chunk),
                }
            } else {
                let wanted = self.scan.wants(self.partial.len(), &chunk, &self.limits);
                self.hold(&chunk[..wanted]);
                chunk.advance(wanted);
                match self
                    .scan
                    .advance(&self.partial, self.version, &self.limits)?
                {
                    Some(found) => {
                        self.put_back(chunk);
                        let bytes = self.partial.split().freeze();
                        let frame = self.found(bytes, found);
                        if frame.is_some() {
                            return Ok(frame);
                        }
                    }
                    None => self.put_back(chunk),
                }
            }
        }
        Ok(None)
    }

    /// Keeps the bytes of an unfinished frame.
    fn hold(&mut self, bytes: &[u8]) {
        if let Some(end) = self.scan.end() {
            // Within the limits: the scan has checked them.
            self.partial.reserve(end.saturating_sub(self.partial.len()));
        }
        self.partial.extend_from_slice(bytes);
    }

    fn put_back(&mut self, rest: Bytes) {
        if !rest.is_empty() {
            self.chunks.push_front(rest);
        }
    }

    /// The frame at the beginning of these bytes, unless the rest of its body is to be read past;
    /// what follows it is read next.
    fn found(&mut self, mut bytes: Bytes, found: Found) -> Option<Frame> {
        let (Found::Whole(parts) | Found::Oversize(parts, _)) = &found;
        let frame = self.frame(&bytes.split_to(parts.end), parts);
        self.put_back(bytes);
        self.scan = Scan::new();
        match found {
            Found::Whole(_) => Some(frame),
            Found::Oversize(_, rest) => {
                self.oversize = Some(Oversize::new(frame, rest));
                None
            }
        }
    }

    fn frame(&self, bytes: &Bytes, parts: &Parts) -> Frame {
        let escaping = Escaping::of(parts.command, self.version);
        Frame {
            command: parts.command,
            headers: Headers::checked(bytes.slice(parts.headers.clone()), escaping),
            body: bytes.slice(parts.body.clone()),
            missing_bytes: 0,
        }
    }
}
