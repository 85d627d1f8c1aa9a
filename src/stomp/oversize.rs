//! A frame whose body is over the limit: its beginning is kept, and the rest is read without being
//! held. So a message that is too long does not end the connection, only to come again on the next
//! one.

use bytes::{Buf, Bytes};
use memchr::memchr;

use super::error::DecodeError;
use super::frame::Frame;
use super::limits::Limits;
use super::scan::{Rest, body_too_long};

/// The frame and the known length of the rest of its body.
#[derive(Debug)]
pub(super) struct Oversize {
    frame: Frame,
    rest: Rest,
}

impl Oversize {
    /// `frame` has as much of its body as is kept.
    pub(super) fn new(frame: Frame, rest: Rest) -> Oversize {
        Oversize { frame, rest }
    }

    /// Reads past what of the body is in `chunk`, and past the NUL after it. True: that was all.
    pub(super) fn pass(&mut self, chunk: &mut Bytes, limits: &Limits) -> Result<bool, DecodeError> {
        let (body, ends) = match &mut self.rest {
            Rest::Counted(left) => {
                let body = chunk.len().min(*left);
                *left -= body;
                (body, *left == 0 && body < chunk.len())
            }
            Rest::Terminated => {
                let nul = memchr(0, chunk);
                (nul.unwrap_or(chunk.len()), nul.is_some())
            }
        };
        chunk.advance(body);
        self.frame.missing_bytes += body;
        if self.bytes() > limits.oversize_bytes_max {
            return Err(body_too_long(limits.body_bytes_max, limits));
        }
        if ends && chunk.get_u8() != 0 {
            return Err(DecodeError::NoNul {
                content_length: self.bytes(),
            });
        }
        Ok(ends)
    }

    /// Bytes of the body so far.
    pub(super) fn bytes(&self) -> usize {
        self.frame.body.len() + self.frame.missing_bytes
    }

    pub(super) fn into_frame(self) -> Frame {
        self.frame
    }
}
