//! Any bytes are a SockJS frame or an error, the payload is never longer than the frame, and an
//! encoded frame decodes to the same.

// The crate shows a connection, not its frames.
#[path = "../../src/transport/sockjs/frame.rs"]
mod frame;

use frame::{Frame, decode, encode};

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

/// # Panics
/// They are not.
pub(crate) fn check(input: &[u8]) {
    check_size(input);
    check_reference(input);
    if let Ok(text) = std::str::from_utf8(input) {
        check_return(text);
    }
}
