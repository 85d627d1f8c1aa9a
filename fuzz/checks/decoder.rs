//! Any bytes, cut anywhere, decode to the same frames and the same error, and nothing panics. The
//! first byte of an input is the version, the second the size of a chunk.

use bytes::Bytes;
use stomp_bridge::stomp::{DecodeError, Decoder, Frame, Limits, Version};

/// Within reach of a short input. Longer bodies are read past.
const LIMITS: Limits = Limits {
    command_bytes_max: 16,
    header_line_bytes_max: 64,
    headers_max: 8,
    body_bytes_max: 256,
    frame_bytes_max: 512,
    oversize_bytes_max: 400,
};

/// Headers that are kept wherever they stand, each once.
const KEYS_MAX: usize = 13;

fn decode<'a>(
    chunks: impl Iterator<Item = &'a [u8]>,
    version: Option<Version>,
) -> (Vec<Frame>, Option<DecodeError>) {
    let mut decoder = Decoder::new(LIMITS);
    if let Some(version) = version {
        decoder.set_version(version);
    }
    let mut frames = Vec::new();
    for chunk in chunks {
        decoder.feed(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// # Panics
/// The input does not decode as it does when it comes in one piece, or breaks a limit.
pub(crate) fn check(input: &[u8]) {
    let [version, size, stream @ ..] = input else {
        return;
    };
    let version = [
        None,
        Some(Version::V1_0),
        Some(Version::V1_1),
        Some(Version::V1_2),
    ][usize::from(version % 4)];
    let whole = decode(std::iter::once(stream), version);
    assert_eq!(
        decode(stream.chunks(usize::from(*size).max(1)), version),
        whole
    );
    for frame in &whole.0 {
        let _ = format!("{frame:?}");
        assert!(frame.body.len() <= LIMITS.body_bytes_max);
        assert!(frame.body.len() + frame.missing_bytes <= LIMITS.oversize_bytes_max);
        assert!(frame.headers.iter().count() <= LIMITS.headers_max + KEYS_MAX);
    }
}
