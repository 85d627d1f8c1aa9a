//! What compresses a body, and what comes out of it: never more than is asked for.

use std::io::Read;

use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};

use crate::pipeline::{Remedy, Undecodable};

/// Pieces of one gzip (RFC 1952, section 2.2). Each costs more than its few bytes.
const GZIP_MEMBERS_MAX: usize = 64;

/// RFC 1952, section 2.3.1.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// RFC 1950, section 2.2: deflate with the window that everybody uses. No JSON begins with an `x`.
const ZLIB: u8 = 0x78;

/// What compresses a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compressed {
    Gzip,
    Zlib,
    /// Nothing tells it: some call this deflate, too.
    Deflate,
}

impl Compressed {
    /// By how it begins.
    pub(super) fn of(bytes: &[u8]) -> Option<Compressed> {
        match bytes {
            [first, second, ..] if [*first, *second] == GZIP => Some(Compressed::Gzip),
            [ZLIB, flags, ..] if u16::from_be_bytes([ZLIB, *flags]).is_multiple_of(31) => {
                Some(Compressed::Zlib)
            }
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Compressed::Gzip => "gzip",
            Compressed::Zlib | Compressed::Deflate => "deflate",
        }
    }

    pub(super) fn inflated(self, bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Undecodable> {
        let mut out = Vec::new();
        match self {
            Compressed::Gzip => self.members(bytes, bytes_max, &mut out)?,
            Compressed::Zlib => self.take(&mut ZlibDecoder::new(bytes), bytes_max, &mut out)?,
            Compressed::Deflate => {
                self.take(&mut DeflateDecoder::new(bytes), bytes_max, &mut out)?;
            }
        }
        Ok(out)
    }

    /// A gzip is one member behind the other.
    fn members(self, bytes: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Result<(), Undecodable> {
        let mut rest = bytes;
        for _ in 0..GZIP_MEMBERS_MAX {
            let mut decoder = GzDecoder::new(rest);
            self.take(&mut decoder, bytes_max, out)?;
            rest = decoder.into_inner();
            if rest.iter().all(|byte| *byte == 0) {
                return Ok(());
            }
        }
        Err(Undecodable::by_sender(format!(
            "expected gzip of at most {GZIP_MEMBERS_MAX} members, found more"
        )))
    }

    /// Appends what comes out, as far as it fits.
    fn take(
        self,
        decoder: &mut impl Read,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Undecodable> {
        let room = bytes_max.saturating_sub(out.len()) as u64;
        let taken = decoder.take(room.saturating_add(1)).read_to_end(out);
        taken.map_err(|error| {
            Undecodable::by_sender(format!(
                "expected {}, found what cannot be decompressed: {error}",
                self.name()
            ))
        })?;
        if out.len() > bytes_max {
            let reason = format!(
                "more than {bytes_max} bytes come out of {}, and that exceeds source.max_body: \
                 raise it, or have smaller messages sent",
                self.name()
            );
            return Err(Undecodable::with(Remedy::Limit, reason));
        }
        Ok(())
    }
}
