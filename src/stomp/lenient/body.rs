//! Reads a body by its content-length, which may be wrong.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::begins::{Begins, begins_frame};
use super::{Done, LOOK_BYTES_MAX, Lenient, Patience, Stage, body_too_long};
use crate::stomp::error::DecodeError;
use crate::stomp::limits::Limits;

/// So much of a body over its limit is kept: enough to see what it is.
const KEPT_BYTES: usize = 64 << 10;

/// What was read of a body.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) kept: BytesMut,
    pub(super) bytes: usize,
    /// Longest body that is kept whole.
    pub(super) room: usize,
}

impl Body {
    pub(super) fn missing(&self) -> usize {
        self.bytes.saturating_sub(self.kept.len())
    }

    /// Keeps these bytes while there is room for all of the body, else no more than its beginning.
    pub(super) fn push(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), DecodeError> {
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

/// The first NUL in a body with a content-length.
#[derive(Debug)]
pub(super) enum FirstNul {
    Awaited,
    /// It was read, and these bytes follow it: do they begin a frame?
    Read(BytesMut),
    /// They do not, so it belongs to the body.
    OfBody,
}

impl Lenient {
    /// Reads a body by its content-length. `None`: the stage has changed.
    pub(super) fn read_counted(
        &mut self,
        chunk: &mut Bytes,
    ) -> Result<Option<Option<Done>>, DecodeError> {
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
}

fn put_before(bytes: &[u8], chunk: &mut Bytes) {
    if !bytes.is_empty() {
        *chunk = [bytes, &chunk[..]].concat().into();
    }
}
