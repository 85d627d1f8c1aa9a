//! Any bytes are a SockJS frame or an error, the payload is never longer than the frame, an encoded
//! frame decodes to the same, and so does one that comes in pieces.

// The crate shows a connection, not its frames.
#[path = "../../src/transport/sockjs/frame.rs"]
mod frame;

use bytes::Bytes;
use frame::{Frame, LongFrame, decode, encode};

/// Every byte of a payload took one byte of the frame at least; only a lone surrogate is `\uXXXX`
/// and three bytes.
fn check_size(input: &[u8]) {
    if let Ok(Frame::Payload(payload)) = decode(input) {
        assert!(payload.len() <= input.len());
    }
}

/// As a server would send it.
fn check_return(text: &str) {
    let pieces: Vec<&str> = text.split('|').collect();
    let sent = format!("a{}", encode(pieces.iter().copied()));
    assert_eq!(
        decode(sent.as_bytes()),
        Ok(Frame::Payload(pieces.concat().into()))
    );
}

/// Our own JSON against serde_json's, wherever that takes the text: it refuses lone surrogates and
/// raw control characters.
fn check_reference(input: &[u8]) {
    let Some((b'a', json)) = input.split_first() else {
        return;
    };
    if let Ok(expected) = serde_json::from_slice::<Vec<String>>(json) {
        assert_eq!(decode(input), Ok(Frame::Payload(expected.concat().into())));
    }
}

/// A payload that is read in two pieces, wherever it is cut, and in one that may go on.
fn check_pieces(input: &[u8]) {
    let Ok(Frame::Payload(whole)) = decode(input) else {
        return;
    };
    for at in [1, 2, input.len() / 3, input.len() / 2, input.len() - 1] {
        let (first, last) = input.split_at(at.clamp(1, input.len()));
        assert_eq!(in_pieces(first, last), Some(whole.clone()), "cut at {at}");
    }
    let begun = LongFrame::begin(input).and_then(Result::ok);
    assert!(begun.is_some_and(|(frame, payload)| frame.is_whole() && payload == whole));
}

fn in_pieces(first: &[u8], last: &[u8]) -> Option<Bytes> {
    let (mut frame, begun) = LongFrame::begin(first)?.ok()?;
    let (middle, last) = last.split_at(last.len() / 2);
    let payloads = [begun, frame.read(middle).ok()?, frame.end(last).ok()?];
    Some(payloads.concat().into())
}

/// # Panics
/// They are not.
pub(crate) fn check(input: &[u8]) {
    check_size(input);
    check_reference(input);
    check_pieces(input);
    if let Ok(text) = std::str::from_utf8(input) {
        check_return(text);
    }
}
