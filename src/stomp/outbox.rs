//! Bytes to be sent, and where each frame ends.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::encode::HEARTBEAT;

/// Everything that was queued since the last time, in order. A heart-beat counts as a frame of one
/// LF.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// All frames, one after another: what TCP sends at once.
    pub bytes: Bytes,
    /// The offset after each frame, ascending; the last is the length of `bytes`.
    pub ends: Vec<usize>,
}

impl Outgoing {
    /// Frame by frame: each is one WebSocket message.
    pub fn frames(&self) -> impl Iterator<Item = Bytes> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, &end)| self.bytes.slice(start..end))
    }

    /// How many frames there are, without heart-beats.
    pub fn frames_count(&self) -> usize {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let lengths = starts.zip(&self.ends).map(|(start, end)| end - start);
        lengths.filter(|length| *length > 1).count()
    }
}

/// Without the bytes: CONNECT holds a passcode.
impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("bytes", &self.bytes.len())
            .field("frames", &self.ends.len())
            .finish()
    }
}

/// Where frames are queued.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: BytesMut,
    ends: Vec<usize>,
}

impl Outbox {
    /// Queues the frame that `write` appends.
    pub(super) fn frame(&mut self, write: impl FnOnce(&mut BytesMut)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn heartbeat(&mut self) {
        self.frame(|out| out.extend_from_slice(&[HEARTBEAT]));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn take(&mut self) -> Option<Outgoing> {
        if self.is_empty() {
            return None;
        }
        Some(Outgoing {
            bytes: self.bytes.split().freeze(),
            ends: std::mem::take(&mut self.ends),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_is_found_again() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.take(), None);
        outbox.frame(|out| out.extend_from_slice(b"ACK\nid:1\n\n\0"));
        outbox.heartbeat();
        let outgoing = outbox.take().unwrap();
        assert_eq!(
            outgoing.frames().collect::<Vec<_>>(),
            [&b"ACK\nid:1\n\n\0"[..], b"\n"]
        );
        assert_eq!(outgoing.ends.last(), Some(&outgoing.bytes.len()));
        assert_eq!(outbox.take(), None);
    }
}
