//! A frame in pieces that a server's buffer can take: Spring closes a WebSocket (1009) over a
//! message of 64 KiB, and the browsers' clients cut at 16 KiB. A piece is a text of its own: no
//! character is cut in two.

use bytes::Bytes;

/// The pieces of one frame, none longer than `bytes_max`, or than a character where that is less.
pub(super) fn pieces(mut frame: Bytes, bytes_max: usize) -> impl Iterator<Item = Bytes> {
    let text = std::str::from_utf8(&frame).is_ok();
    std::iter::from_fn(move || {
        if frame.is_empty() {
            return None;
        }
        let mut end = frame.len().min(bytes_max.max(LONGEST_CHARACTER));
        // A byte 10xxxxxx continues a character; bytes that are no text have no boundary.
        while text && frame.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
            end -= 1;
        }
        Some(frame.split_to(end))
    })
}

/// Of UTF-8, in bytes (RFC 3629, section 3).
const LONGEST_CHARACTER: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(frame: &[u8], bytes_max: usize, expected: &[&[u8]]) {
        let pieces: Vec<Bytes> = pieces(Bytes::copy_from_slice(frame), bytes_max).collect();
        assert_eq!(pieces, expected);
    }

    #[test]
    fn a_frame_is_cut_between_characters_only_where_it_is_too_long() {
        check(b"SEND\n\nx\0", usize::MAX, &[b"SEND\n\nx\0"]);
        check(b"abcd", 4, &[b"abcd"]);
        check(b"abcde", 4, &[b"abcd", b"e"]);
        check("a故障".as_bytes(), 4, &["a故".as_bytes(), "障".as_bytes()]);
        check("a故障".as_bytes(), 5, &["a故".as_bytes(), "障".as_bytes()]);
        check(b"a\xff\x80\x80\x80b", 4, &[b"a\xff\x80\x80", b"\x80b"]);
        check(b"", 4, &[]);
    }

    proptest! {
        #[test]
        fn pieces_are_texts_that_make_the_frame_again(text in ".*", bytes_max in 4_usize..64) {
            let pieces: Vec<Bytes> = pieces(Bytes::copy_from_slice(text.as_bytes()), bytes_max).collect();
            prop_assert!(pieces.iter().all(|piece| piece.len() <= bytes_max && std::str::from_utf8(piece).is_ok()));
            prop_assert_eq!(pieces.concat(), text.as_bytes());
        }
    }
}
