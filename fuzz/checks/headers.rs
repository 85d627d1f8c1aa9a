//! Header lines that decode mean the same after they were encoded and decoded again. An input is
//! header lines, without the command before them and the blank line after them.

use bytes::{Bytes, BytesMut};
use stomp_bridge::stomp::{Decoder, Frame, Limits, Version, encode};

fn decode(bytes: &[u8]) -> Option<Frame> {
    let mut decoder = Decoder::new(Limits::default());
    decoder.set_version(Version::V1_2);
    decoder.feed(Bytes::copy_from_slice(bytes));
    decoder.next().ok().flatten()
}

/// All but `content-length`, which the encoder writes itself.
fn texts(frame: &Frame) -> Vec<(String, String)> {
    let owned = frame
        .headers
        .iter()
        .map(|(name, value)| (name.into_owned(), value.into_owned()));
    owned.filter(|(name, _)| name != "content-length").collect()
}

/// # Panics
/// They mean something else.
pub(crate) fn check(lines: &[u8]) {
    let Some(frame) = decode(&[b"MESSAGE\n", lines, b"\n\n\0"].concat()) else {
        return;
    };
    let mut encoded = BytesMut::new();
    encode(&frame, Version::V1_2, &mut encoded);
    let again = decode(&encoded).expect("what we encode is STOMP");
    assert_eq!((texts(&again), &again.body), (texts(&frame), &frame.body));
    for (name, _) in frame.headers.iter() {
        assert!(frame.headers.get(&name).is_some() || name.contains('\u{fffd}'));
    }
}
