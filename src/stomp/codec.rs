//! Frames out of a byte stream that may be cut anywhere (STOMP 1.2, section STOMP Frames). The
//! decoder enforces the limits, skips heart-beats, and copies nothing but a frame that stands in
//! two chunks or breaks a rule.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::command::Command;
use super::error::DecodeError;
use super::escape::Escaping;
use super::frame::Frame;
use super::headers::Headers;
use super::lenient::{LOOK_BYTES_MAX, Lengths, Lenient, Patience};
use super::limits::Limits;
use super::scan::{Parts, Scan};
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
    /// Reads the frame that has broken a rule.
    lenient: Option<Box<Lenient>>,
    lengths: Lengths,
    /// Bytes that were copied and had to be read again, since a content-length was too large.
    reread_bytes: usize,
    /// How many were found.
    frames: u64,
    failed: Option<DecodeError>,
}

/// Once so many times the longest frame was read again, lengths are ignored: a peer of tiny frames
/// with great lengths would cost us a frame's bytes for each of them.
const REREAD_FRAMES_MAX: usize = 4;

impl Decoder {
    /// A decoder at the beginning of a stream, before a version is agreed.
    pub fn new(limits: Limits) -> Decoder {
        Decoder {
            limits,
            version: None,
            chunks: VecDeque::new(),
            partial: BytesMut::new(),
            scan: Scan::new(),
            lenient: None,
            lengths: Lengths::Believed,
            reread_bytes: 0,
            frames: 0,
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
            if let Some(lenient) = &mut self.lenient
                && !is_heartbeat(&bytes)
            {
                lenient.set_patience(Patience::Waits);
            }
            self.chunks.push_back(bytes);
        }
    }

    /// The next whole frame; `None`: feed more first. Once a version is agreed, every frame whose
    /// end is known is read, whatever rule it breaks. After an error there is nothing but that
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
            self.lenient = None;
        }
        outcome
    }

    /// Bytes of a frame whose end has not come. Not 0 when the stream ends: it was cut.
    pub fn unfinished_bytes(&self) -> usize {
        self.lenient
            .as_ref()
            .map_or(self.partial.len(), |lenient| lenient.bytes())
    }

    /// Frames that have come.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The number of the frame whose end has not come, if one has begun.
    pub(super) fn unfinished(&self) -> Option<u64> {
        (self.lenient.is_some() || !self.partial.is_empty()).then_some(self.frames)
    }

    /// What is known of the frame whose end has not come.
    pub(super) fn unfinished_frame(&self) -> Option<Frame> {
        if let Some(lenient) = &self.lenient {
            return Some(lenient.so_far());
        }
        if self.partial.is_empty() {
            return None;
        }
        let mut lenient = Lenient::new(self.limits, self.version, Patience::Waits, self.lengths);
        // A frame that is cut is no error of its own.
        let _ = lenient.read(&mut Bytes::copy_from_slice(&self.partial));
        Some(lenient.so_far())
    }

    /// The frame whose end has not come is taken to end at its first NUL, if that is among its
    /// bytes and nothing speaks against it. To be followed by [`Decoder::next`].
    pub(super) fn hurry(&mut self) {
        let again = match &mut self.lenient {
            Some(lenient) => lenient.hurry(),
            None if memchr(0, &self.partial).is_some() => {
                let bytes = self.partial.split().freeze();
                self.read_again(bytes, Patience::Over);
                None
            }
            None => None,
        };
        self.put_back(again.unwrap_or_default());
    }

    /// The stream has ended: [`Decoder::hurry`], and an ERROR that is cut is read as far as it came.
    pub(super) fn end(&mut self) {
        let cut = self
            .unfinished_frame()
            .is_some_and(|frame| frame.command == Command::Error);
        if cut && self.lenient.is_none() {
            let bytes = self.partial.split().freeze();
            self.read_again(bytes, Patience::Over);
        } else {
            self.hurry();
        }
        if let Some(lenient) = &mut self.lenient {
            lenient.set_patience(Patience::Over);
        }
        if cut {
            self.chunks.push_back(Bytes::from_static(&[0]));
        }
    }

    fn read(&mut self) -> Result<Option<Frame>, DecodeError> {
        while let Some(mut chunk) = self.chunks.pop_front() {
            if self.lenient.is_some() {
                if let Some(frame) = self.read_leniently(chunk)? {
                    return Ok(Some(frame));
                }
            } else if self.partial.is_empty() {
                // Heart-beats, the line end that RabbitMQ puts after a frame, and stray NULs.
                let blank = chunk
                    .iter()
                    .take_while(|byte| matches!(byte, b'\n' | b'\r' | 0))
                    .count();
                chunk.advance(blank);
                if self.lengths != Lengths::Believed && !chunk.is_empty() {
                    self.read_again(chunk, Patience::Waits);
                    continue;
                }
                match self.scan.advance(&chunk, self.version, &self.limits) {
                    Ok(Some(parts)) => return Ok(Some(self.found(chunk, &parts))),
                    Ok(None) => self.hold(&chunk),
                    Err(_) => self.read_again(chunk, Patience::Waits),
                }
            } else {
                let wanted = self.scan.wants(self.partial.len(), &chunk, &self.limits);
                self.hold(&chunk[..wanted]);
                chunk.advance(wanted);
                match self.scan.advance(&self.partial, self.version, &self.limits) {
                    Ok(Some(parts)) => {
                        self.put_back(chunk);
                        let bytes = self.partial.split().freeze();
                        return Ok(Some(self.found(bytes, &parts)));
                    }
                    Ok(None) => self.put_back(chunk),
                    Err(_) => {
                        self.put_back(chunk);
                        let bytes = self.partial.split().freeze();
                        self.read_again(bytes, Patience::Waits);
                    }
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

    /// The frame at the beginning of these bytes; what follows it is read next.
    fn found(&mut self, mut bytes: Bytes, parts: &Parts) -> Frame {
        let frame = self.frame(&bytes.split_to(parts.end), parts);
        self.put_back(bytes);
        self.scan = Scan::new();
        self.frames += 1;
        frame
    }

    fn frame(&self, bytes: &Bytes, parts: &Parts) -> Frame {
        let escaping = Escaping::of(parts.command, self.version);
        Frame {
            command: parts.command,
            headers: Headers::checked(bytes.slice(parts.headers.clone()), escaping),
            body: bytes.slice(parts.body.clone()),
            missing_bytes: 0,
            mistake: None,
        }
    }

    /// The frame that begins with these bytes is read from its beginning by the lenient reader.
    fn read_again(&mut self, bytes: Bytes, patience: Patience) {
        self.scan = Scan::new();
        let lenient = Lenient::new(self.limits, self.version, patience, self.lengths);
        self.lenient = Some(Box::new(lenient));
        self.put_back(bytes);
    }

    fn read_leniently(&mut self, mut chunk: Bytes) -> Result<Option<Frame>, DecodeError> {
        let Some(lenient) = &mut self.lenient else {
            return Ok(None);
        };
        let done = lenient.read(&mut chunk)?;
        self.put_back(chunk);
        let Some((frame, behind)) = done else {
            return Ok(None);
        };
        // So few are looked at behind every NUL.
        if behind.len() > LOOK_BYTES_MAX {
            self.reread_bytes = self.reread_bytes.saturating_add(behind.len());
        }
        self.put_back(behind);
        self.lenient = None;
        self.frames += 1;
        if self.reread_bytes
            > self
                .limits
                .frame_bytes_max
                .saturating_mul(REREAD_FRAMES_MAX)
        {
            self.lengths = Lengths::Ignored;
        } else if matches!(frame.mistake.as_deref(), Some(DecodeError::NoNul { .. })) {
            self.lengths = Lengths::Doubted;
        }
        Ok(Some(frame))
    }
}

/// Whether these bytes are nothing but line ends: between frames they are heart-beats, and a server
/// may send them within one, too.
pub(super) fn is_heartbeat(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\n' | b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiny_frames_of_great_lengths_are_read_again_a_few_times_only() {
        let limits = Limits {
            body_bytes_max: 16_000,
            frame_bytes_max: 20_000,
            oversize_bytes_max: 64_000,
            ..Limits::default()
        };
        let check = |command: &str, reread_bytes_max: usize| {
            let mut decoder = Decoder::new(limits);
            decoder.set_version(Version::V1_2);
            let stream = format!("{command}\ncontent-length:16000\n\n\0").repeat(10_000);
            decoder.feed(Bytes::from(stream));
            let mut frames = 0;
            while decoder.next().unwrap().is_some() {
                frames += 1;
            }
            let reread_bytes = decoder.reread_bytes;
            assert!(
                reread_bytes <= reread_bytes_max,
                "{command}: {reread_bytes}"
            );
            assert!(frames >= 9_000, "{command}: {frames}");
        };
        check("PING", 5 * limits.frame_bytes_max);
        check("SEND", 5 * limits.frame_bytes_max);
        // What follows the NUL begins a frame, however it is written. Only the first frame is read
        // to its length.
        for command in [
            "MESSAGE",
            "CONNECTED",
            "message",
            " RECEIPT ",
            "\u{feff}MESSAGE",
        ] {
            check(command, limits.frame_bytes_max);
        }
    }
}
