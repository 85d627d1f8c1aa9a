//! The codec held against what servers really send, cut in every possible way.

pub(crate) mod behind;
mod golden;
mod lenient;
mod odd_frame;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use stomp_bridge::stomp::{Command, DecodeError, Decoder, Frame, Limits, Version, encode};

use golden::{frame, golden};

/// Small enough that a short stream can break each of them.
const TIGHT: Limits = Limits {
    command_bytes_max: 12,
    header_line_bytes_max: 24,
    headers_max: 3,
    body_bytes_max: 16,
    frame_bytes_max: 64,
    oversize_bytes_max: 0,
};

/// The same, but bodies of up to 40 bytes are read past.
const LENIENT: Limits = Limits {
    oversize_bytes_max: 40,
    ..TIGHT
};

/// All frames of a stream that arrives in these chunks, and the error that ends it.
fn decode<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
    version: Option<Version>,
    limits: Limits,
) -> (Vec<Frame>, Option<DecodeError>) {
    let mut decoder = Decoder::new(limits);
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

/// The stream, cut after these many bytes each, over and over.
fn cut<'a>(stream: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = stream;
    let mut chunks = Vec::new();
    for &size in sizes.iter().cycle() {
        if rest.is_empty() || size == 0 {
            break;
        }
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        chunks.push(chunk);
        rest = after;
    }
    chunks
}

#[test]
fn golden_frames_decode_however_they_are_cut() {
    for (name, version, stream, expected) in golden() {
        let check = |chunks: Vec<&[u8]>| {
            let sizes: Vec<usize> = chunks.iter().map(|chunk| chunk.len()).collect();
            let (frames, error) = decode(chunks, version, Limits::default());
            assert_eq!(
                (error, &frames),
                (None, &expected),
                "{name}, cut into {sizes:?}"
            );
        };
        check(vec![stream]);
        for at in 0..=stream.len() {
            let (first, second) = stream.split_at(at);
            check(vec![first, second]);
        }
        for size in 1..8 {
            check(cut(stream, &[size]));
        }
    }
}

#[test]
fn a_frame_that_needs_a_later_rule_is_read_by_it() {
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(Bytes::from_static(
        b"CONNECTED\nversion:1.1\n\n\0MESSAGE\na:\\r\n\n\0",
    ));
    assert_eq!(decoder.next().unwrap().unwrap().command, Command::Connected);
    decoder.set_version(Version::V1_1);
    let frame = decoder.next().unwrap().unwrap();
    assert_eq!(frame.headers.get("a").as_deref(), Some("\\r"));
    let line = "a:\\r".to_owned();
    assert_eq!(
        frame.mistake.as_deref(),
        Some(&DecodeError::UnknownEscape { line })
    );
}

#[test]
fn a_stream_that_is_no_stomp_gives_one_error_however_it_is_cut() {
    use DecodeError::*;
    let check = |stream: &[u8], version, expected: DecodeError| {
        for size in 1..=stream.len() {
            let (frames, error) = decode(cut(stream, &[size]), version, TIGHT);
            assert_eq!(frames, [], "{}", stream.escape_ascii());
            assert_eq!(
                error.as_ref(),
                Some(&expected),
                "{} by {size}",
                stream.escape_ascii()
            );
        }
    };
    let line = "nonsense".to_owned();
    check(b"nonsense\n\n\0", None, UnknownCommand { line });
    check(b"HTTP/1.1 400\r\n", None, CommandTooLong(12));
    check(
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x12\x34",
        None,
        CommandTooLong(12),
    );
    // Where no body is read past, a long one is an error.
    let agreed = Some(Version::V1_2);
    check(b"SEND\ncontent-length:17\n\n", agreed, BodyTooLong(16));
    check(
        b"SEND\ncontent-length:999999999\n\n",
        agreed,
        BodyTooLong(16),
    );
    check(b"SEND\n\n12345678901234567\0", agreed, BodyTooLong(16));
    check(b"SEND\n\n12345678901234567", agreed, BodyTooLong(16));
    let head = [b"SEND\n", &b"a:\n".repeat(22)[..]].concat();
    check(&head, agreed, FrameTooLong(64));
}

#[test]
fn limits_are_inclusive() {
    let check = |stream: &[u8]| {
        for size in 1..=stream.len() {
            let (frames, error) = decode(cut(stream, &[size]), Some(Version::V1_2), TIGHT);
            assert_eq!(
                (frames.len(), error),
                (1, None),
                "{} by {size}",
                stream.escape_ascii()
            );
        }
    };
    check(b"UNSUBSCRIBE\r\n\n\0");
    check(b"SEND\na:3456789012345678901234\n\n\0");
    check(b"SEND\na:\na:\na:\n\n\0");
    check(b"SEND\n\n1234567890123456\0");
    check(b"SEND\ncontent-length:16\n\n1234567890123456\0");
    check(b"SEND\na:3456789012345678901\nb:3456789012345678901\nc:\n\n123456789\0");
}

#[test]
fn a_body_over_the_limit_is_read_past_and_the_stream_goes_on() {
    let check = |stream: &[u8], kept: &[u8], missing_bytes: usize| {
        let stream = [stream, b"\nSEND\n\nnext\0"].concat();
        for size in 1..=stream.len() {
            let (frames, error) = decode(cut(&stream, &[size]), Some(Version::V1_2), LENIENT);
            let seen: Vec<_> = frames
                .iter()
                .map(|frame| (&*frame.body, frame.missing_bytes))
                .collect();
            assert_eq!(
                seen,
                [(kept, missing_bytes), (b"next", 0)],
                "{} by {size}",
                stream.escape_ascii()
            );
            assert_eq!(error, None);
        }
    };
    check(b"SEND\n\n1234567890123456\0", b"1234567890123456", 0);
    check(b"SEND\n\n12345678901234567\0", b"1234567890123456", 1);
    check(
        b"SEND\ncontent-length:17\n\n12345678901234567\0",
        b"1234567890123456",
        1,
    );
    check(
        b"SEND\n\n1234567890123456789012345678901234567890\0",
        b"1234567890123456",
        24,
    );
    check(
        b"SEND\ncontent-length:40\n\n1234567890123456\x00234567890123456789\0\n\0\0\0\0",
        b"1234567890123456",
        24,
    );
    // There, it is the frame that would be too long.
    check(
        b"SEND\na:3456789012345678901\nb:34567890123456\n\n1234567890123456789012\0",
        b"1234567890123456",
        6,
    );
}

#[test]
fn a_body_far_over_the_limit_is_still_an_error() {
    let check = |stream: &[u8], expected: DecodeError| {
        for size in 1..=stream.len() {
            let (frames, error) = decode(cut(stream, &[size]), Some(Version::V1_2), LENIENT);
            assert_eq!(
                (frames.len(), error),
                (0, Some(expected.clone())),
                "{} by {size}",
                stream.escape_ascii()
            );
        }
    };
    check(
        b"SEND\n\n12345678901234567890123456789012345678901",
        DecodeError::BodyTooLong(16),
    );
}

#[test]
fn a_body_over_the_limit_is_not_held() {
    let mut decoder = Decoder::new(Limits {
        oversize_bytes_max: 1 << 30,
        ..Limits::default()
    });
    decoder.feed(Bytes::from_static(
        b"MESSAGE\ncontent-length:1000000000\n\n",
    ));
    let chunk = Bytes::from(vec![b'x'; 1_000_000]);
    for chunks in 0..1000 {
        assert_eq!(
            decoder.unfinished_bytes().min(chunks * 1_000_000),
            chunks * 1_000_000
        );
        decoder.feed(chunk.clone());
        assert_eq!(decoder.next(), Ok(None));
    }
    decoder.feed(Bytes::from_static(b"\0"));
    let frame = decoder.next().unwrap().unwrap();
    assert_eq!(
        (frame.body.len(), frame.missing_bytes),
        (64 << 10, 1_000_000_000 - (64 << 10))
    );
}

#[test]
fn lengths_beyond_any_number_are_refused_before_anything_is_allocated() {
    for length in [
        "18446744073709551615",
        "18446744073709551616",
        &"9".repeat(500),
    ] {
        let stream = format!("SEND\ncontent-length:{length}\n\nx");
        let (_, error) = decode([stream.as_bytes()], None, Limits::default());
        assert_eq!(
            error,
            Some(DecodeError::BodyTooLong(Limits::default().body_bytes_max)),
            "{length}"
        );
    }
}

#[test]
fn after_an_error_there_is_nothing_but_that_error() {
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(Bytes::from_static(b"SEND\n\n\0NONSENSE\n"));
    assert!(decoder.next().unwrap().is_some());
    let error = decoder.next().unwrap_err();
    decoder.feed(Bytes::from_static(b"SEND\n\n\0"));
    assert_eq!(decoder.next(), Err(error));
}

#[test]
fn a_cut_stream_is_told_from_one_that_ended_between_frames() {
    let check = |stream: &'static [u8], expected: usize| {
        let mut decoder = Decoder::new(Limits::default());
        decoder.feed(Bytes::from_static(stream));
        while decoder.next().unwrap().is_some() {}
        assert_eq!(
            decoder.unfinished_bytes(),
            expected,
            "{}",
            stream.escape_ascii()
        );
    };
    check(b"", 0);
    check(b"SEND\n\nabc\0\n\r\n", 0);
    check(b"SEND\n\nabc\0SEN", 3);
    check(b"SEND\n\nabc", 9);
}

#[test]
fn bodies_are_slices_of_the_chunk() {
    let chunk = Bytes::from_static(b"SEND\n\nfirst\0SEND\ncontent-length:6\n\nsecond\0");
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(chunk.clone());
    while let Some(frame) = decoder.next().unwrap() {
        assert!(
            chunk.as_ptr_range().contains(&frame.body.as_ptr()),
            "{frame:?}"
        );
    }
}

/// Text that a version can carry unchanged.
fn header_text(version: Version) -> BoxedStrategy<String> {
    match version {
        Version::V1_0 => "[^\u{0}-\u{20}:\\s][^\r\n:]{0,12}[^\u{0}-\u{20}:\\s]".boxed(),
        Version::V1_1 => "[^\r]{0,16}".boxed(),
        Version::V1_2 => "[a-z\\\\:\n\r]{0,8}|\\PC{0,12}|(?s).{0,12}".boxed(),
    }
}

fn any_frame(version: Version) -> impl Strategy<Value = Frame> {
    let command = prop::sample::select(vec![
        Command::Message,
        Command::Error,
        Command::Receipt,
        Command::Send,
    ]);
    let headers = prop::collection::vec((header_text(version), header_text(version)), 0..6);
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        prop::collection::vec(prop::sample::select(b"\0\n\r:\\aMESSAGE".to_vec()), 0..40),
    ];
    (command, headers, body, any::<bool>()).prop_map(|(command, mut headers, body, counted)| {
        headers.retain(|(name, _)| name != "content-length");
        if counted || body.contains(&0) {
            headers.push(("content-length".to_owned(), body.len().to_string()));
        }
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        frame(command, &headers, &body)
    })
}

fn any_version() -> impl Strategy<Value = Version> {
    prop::sample::select(vec![Version::V1_0, Version::V1_1, Version::V1_2])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_decoded_however_it_is_cut(
        (version, frames) in any_version()
            .prop_flat_map(|version| (Just(version), prop::collection::vec(any_frame(version), 1..5))),
        between in prop::collection::vec(prop::sample::select(vec!["", "\n", "\r\n", "\0\n\n"]), 5),
        sizes in prop::collection::vec(1..60_usize, 1..20),
    ) {
        let mut stream = BytesMut::new();
        for (frame, between) in frames.iter().zip(between) {
            stream.extend_from_slice(between.as_bytes());
            encode(frame, version, &mut stream);
        }
        prop_assert_eq!(decode(cut(&stream, &sizes), Some(version), Limits::default()), (frames, None));
    }

    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::sample::select(vec![
                    "MESSAGE\n", "SEND\r\n", "ERROR\n", "a:b\n", "a:\\c\\n\r\n", "x:\\q\n", "content-length:4\n",
                    "content-length:17\r\n", "\n", "\r\n", "\0", "\0\n", "body", "\r", "nonsense", "\\",
                ]).prop_map(|piece| piece.as_bytes().to_vec()),
                prop::collection::vec(any::<u8>(), 0..4),
            ],
            0..16,
        ),
        sizes in prop::collection::vec(1..24_usize, 1..12),
        version in prop::option::of(any_version()),
    ) {
        let stream = pieces.concat();
        for limits in [TIGHT, LENIENT] {
            let whole = decode([&stream[..]], version, limits);
            prop_assert_eq!(decode(cut(&stream, &sizes), version, limits), whole);
        }
    }
}
