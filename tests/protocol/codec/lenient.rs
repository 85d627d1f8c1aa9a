//! Frames that break a rule or a limit are read as well as they can be, and what stands behind them
//! arrives.

use bytes::Bytes;
use proptest::prelude::*;
use stomp_bridge::stomp::{
    AckMode, Command, DecodeError, Decoder, Limits, Options, SessionError, Version,
};

use super::behind::{Sent, check};
use super::odd_frame::{Lengths, odd_frame};
use super::{LENIENT, cut, decode};
use crate::session::client::Client;

const GOOD: &[u8] = b"MESSAGE\nsubscription:i\nmessage-id:g\nack:g\n\ngood\0";

/// Reads an odd frame and a good one behind it, however they are cut, and gives the body, the
/// mistake and the headers of the odd one.
fn odd(stream: &[u8]) -> (Command, String, Option<DecodeError>, Vec<(String, String)>) {
    let stream = [stream, GOOD].concat();
    let mut first = None;
    for size in 1..=stream.len() {
        let chunks = cut(&stream, &[size]);
        let (mut frames, error) = decode(chunks, Some(Version::V1_2), LENIENT);
        let shown = stream.escape_ascii();
        assert_eq!((frames.len(), error), (2, None), "{shown} by {size}");
        assert_eq!(&frames[1].body[..], b"good", "{shown} by {size}");
        let frame = frames.swap_remove(0);
        assert_eq!(
            first.get_or_insert(frame.clone()),
            &frame,
            "{shown} by {size}"
        );
    }
    let frame = first.expect("a stream is not empty");
    let headers = frame.headers.iter();
    let headers = headers.map(|(name, value)| (name.into_owned(), value.into_owned()));
    (
        frame.command,
        String::from_utf8_lossy(&frame.body).into_owned(),
        frame.mistake.map(|mistake| *mistake),
        headers.collect(),
    )
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn a_content_length_that_does_not_fit_ends_the_body_at_its_first_nul() {
    let check = |length: &str, body: &str, expected: Option<DecodeError>| {
        let stream = format!("SEND\ncontent-length:{length}\n\n{body}\0");
        let (_, read, mistake, _) = odd(stream.as_bytes());
        assert_eq!((read.as_str(), mistake), (body, expected), "{length}");
    };
    let wrong = |content_length| Some(DecodeError::NoNul { content_length });
    check("3", "abc", None);
    for length in [0, 1, 2, 4, 5, 9, 15, 16, 17, 30, 40] {
        check(&length.to_string(), "abc", wrong(length));
    }
    check(
        " 3",
        "abc",
        Some(DecodeError::BadContentLength { value: text(" 3") }),
    );
    for value in ["", "x", "-1", "+1", "3.0", "0x1", "\u{661}"] {
        let value = text(value);
        check(
            &value.clone(),
            "abc",
            Some(DecodeError::BadContentLength { value }),
        );
    }
    check("41", "abc", wrong(41));
    check("9999999", "abc", wrong(9_999_999));
    // Its line is too long for these limits, too.
    check(
        "18446744073709551616",
        "abc",
        Some(DecodeError::HeaderTooLong(24)),
    );
}

#[test]
fn of_two_content_lengths_the_first_counts_also_where_it_is_wrong() {
    let (_, body, mistake, _) = odd(b"SEND\ncontent-length:x\ncontent-length:3\n\nabcd\0");
    assert_eq!(body, "abcd");
    assert!(matches!(
        mistake,
        Some(DecodeError::BadContentLength { .. })
    ));
}

#[test]
fn long_and_many_headers_are_passed_over_and_keys_are_kept() {
    let headers = |stream: &str| {
        let (_, body, mistake, headers) = odd(stream.as_bytes());
        assert_eq!(body, "x");
        let names: Vec<String> = headers.into_iter().map(|(name, _)| name).collect();
        (names.join(" "), mistake)
    };
    let long = format!("long:{}", "v".repeat(30));
    assert_eq!(
        headers(&format!("SEND\na:\n{long}\nb:\n\nx\0")),
        (text("a b"), Some(DecodeError::HeaderTooLong(24)))
    );
    assert_eq!(
        headers("SEND\na:\nb:\nc:\nd:\nack:1\nmessage-id:2\n\nx\0"),
        (
            text("a b c ack message-id"),
            Some(DecodeError::TooManyHeaders(3))
        )
    );
    let long_key = format!("subscription:{}", "s".repeat(30));
    assert_eq!(
        headers(&format!("SEND\n{long_key}\nack:1\nack:2\n\nx\0")),
        (
            text("subscription ack"),
            Some(DecodeError::HeaderTooLong(24))
        )
    );
}

#[test]
fn a_line_without_a_colon_is_passed_over_and_an_unknown_escape_stays() {
    let (_, body, mistake, headers) = odd(b"SEND\na:first\nsecond line\nb:2\n\nx\0");
    assert_eq!(body, "x");
    assert_eq!(
        mistake,
        Some(DecodeError::NoColon {
            line: text("second line")
        })
    );
    assert_eq!(
        headers,
        [(text("a"), text("first")), (text("b"), text("2"))]
    );

    let (_, _, mistake, headers) = odd(b"SEND\npath:C:\\temp\\n\\\n\n\0");
    assert!(matches!(mistake, Some(DecodeError::UnknownEscape { .. })));
    assert_eq!(headers, [(text("path"), text("C:\\temp\n\\"))]);
}

#[test]
fn a_frame_without_its_blank_line_ends_at_its_nul() {
    let check = |stream: &[u8], expected: Command| {
        let (command, body, mistake, _) = odd(stream);
        assert_eq!((command, body.as_str()), (expected, ""));
        assert!(mistake.is_some());
    };
    check(b"RECEIPT\nreceipt-id:1\0", Command::Receipt);
    check(b"RECEIPT\nreceipt-id:1\n\0", Command::Receipt);
    check(b"MESSAGE\0", Command::Message);
    check(b"NONSENSE\0", Command::Other);
}

#[test]
fn a_command_is_known_whatever_is_round_it_and_others_are_passed_over() {
    let check = |line: &str, expected: Command| {
        let (command, body, mistake, _) = odd(format!("{line}\na:1\n\nx\0").as_bytes());
        assert_eq!((command, body.as_str()), (expected, "x"), "{line}");
        assert!(
            matches!(mistake, Some(DecodeError::OddCommand { .. })),
            "{line}"
        );
    };
    check("message", Command::Message);
    check("MESSAGE ", Command::Message);
    check("\u{feff}MESSAGE\r", Command::Message);
    check("PING", Command::Other);
    check("HTTP/1.1 400 Bad Request, and so on", Command::Other);
    // Bytes between two frames have no end of their own.
    let (frames, _) = decode(
        [&[b"nonsense\nmore\n", GOOD].concat()[..]],
        Some(Version::V1_2),
        LENIENT,
    );
    assert_eq!((frames.len(), &frames[0].body[..]), (1, &b"good"[..]));
}

#[test]
fn a_head_without_an_end_is_no_frame() {
    let stream = [b"SEND\n", &b"a:\n".repeat(40)[..]].concat();
    for size in 1..=stream.len() {
        let (frames, error) = decode(cut(&stream, &[size]), Some(Version::V1_2), LENIENT);
        assert_eq!(
            (frames, error),
            (vec![], Some(DecodeError::FrameTooLong(64)))
        );
    }
}

#[test]
fn a_header_of_any_length_is_not_held() {
    let limits = Limits {
        oversize_bytes_max: 1 << 30,
        ..Limits::default()
    };
    let mut decoder = Decoder::new(limits);
    decoder.set_version(Version::V1_2);
    decoder.feed(Bytes::from_static(b"MESSAGE\nmessage-id:1\nx-trace:"));
    let chunk = Bytes::from(vec![b'x'; 1_000_000]);
    for _ in 0..200 {
        decoder.feed(chunk.clone());
        assert_eq!(decoder.next(), Ok(None));
    }
    decoder.feed(Bytes::from_static(b"\nack:2\n\nbody\0"));
    let frame = decoder.next().unwrap().unwrap();
    assert_eq!(&frame.body[..], b"body");
    let names: Vec<_> = frame.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["message-id", "ack"]);
}

#[test]
fn a_length_that_counts_too_much_holds_the_next_message_for_three_seconds_at_most() {
    let mut client = Client::subscribed("1.2");
    let odd = |id: u8| {
        format!(
            "MESSAGE\nsubscription:i\nmessage-id:{id}\nack:{id}\ncontent-length:900\n\nodd {id}\0"
        )
    };
    let good = String::from_utf8_lossy(GOOD).into_owned();
    assert_eq!(client.hears(&format!("{}\n{good}", odd(1))), Ok(vec![]));
    assert_eq!(client.deadline(), Some(3_000));
    let events = client.at(3_000).unwrap();
    let mistake = "malformed MESSAGE: expected NUL after a body of content-length 900: the sender \
                   counts something else than bytes";
    assert_eq!(
        events,
        [mistake, "message i odd 1 acks", "message i good acks"]
    );
    // From then on it is known of this sender: what follows a NUL says enough.
    let events = client.hears(&format!("{}\n\n{good}", odd(2))).unwrap();
    assert_eq!(
        events,
        [mistake, "message i odd 2 acks", "message i good acks"]
    );
    assert_eq!(client.hears(&format!("{}\n", odd(3))), Ok(vec![]));
    assert_eq!(client.at(6_000).unwrap(), [mistake, "message i odd 3 acks"]);
}

#[test]
fn a_slow_body_with_nuls_is_whole() {
    let head = "MESSAGE\nsubscription:i\nack:1\ncontent-length:9\n\n";
    let mut client = Client::subscribed("1.2");
    assert_eq!(client.hears(&format!("{head}a")), Ok(vec![]));
    assert_eq!(client.at(3_000), Ok(vec![]), "there is no NUL yet");
    assert_eq!(client.at(4_000), Ok(vec![]));
    for (millis, piece) in [(4_000, "b\0"), (6_000, "\0\0"), (8_000, "\n\0")] {
        assert_eq!(client.at(millis), Ok(vec![]));
        assert_eq!(client.hears(piece), Ok(vec![]), "{piece:?}");
    }
    assert_eq!(client.at(10_000), Ok(vec![]));
    assert_eq!(
        client.hears("cd\0").unwrap(),
        ["message i ab\0\0\0\n\0cd acks"]
    );
}

#[test]
fn a_silence_ends_the_frame_that_it_has_cut() {
    let mut client = Client::connected("CONNECTED\nversion:1.2\nheart-beat:1000,1000\n\n\0");
    client.subscribe("a", AckMode::Auto);
    client.hears("RECEIPT\nreceipt-id:r-1\n\n\0").unwrap();
    let odd = "MESSAGE\nsubscription:a\ncontent-length:900\n\nodd\0";
    assert_eq!(client.hears(odd), Ok(vec![]));
    let error = client.at(100_000).unwrap_err();
    assert!(matches!(error, SessionError::Silent { .. }), "{error}");
    let events = client.happened().unwrap();
    assert_eq!(events.last().unwrap(), "message a odd no ack");
}

#[test]
fn a_frame_does_not_end_while_nobody_reads() {
    let mut client = Client::subscribed("1.2");
    let head = "MESSAGE\nsubscription:i\nack:1\ncontent-length:5\n\n";
    assert_eq!(client.hears(&format!("{head}a\0")), Ok(vec![]));
    client.not_read_at(2_000);
    assert_eq!(client.deadline(), Some(5_000));
    client.not_read_at(4_000);
    assert_eq!(client.at(4_000), Ok(vec![]));
    assert_eq!(
        client.hears("\0\0b\0").unwrap(),
        ["message i a\0\0\0b acks"]
    );
}

#[test]
fn a_length_with_blanks_is_right_in_stomp_1_0() {
    let stream = b"SEND\ncontent-length: 3\n\na\0b\0";
    let read = |version| {
        let (mut frames, error) = decode([&stream[..]], Some(version), LENIENT);
        assert_eq!((frames.len(), error), (1, None));
        let frame = frames.remove(0);
        assert_eq!(&frame.body[..], b"a\0b");
        frame.mistake.is_some()
    };
    assert!(!read(Version::V1_0));
    assert!(read(Version::V1_1));
}

#[test]
fn headers_that_are_too_long_together_are_a_mistake_of_their_own() {
    let limits = Limits {
        frame_bytes_max: 40,
        oversize_bytes_max: 1000,
        ..LENIENT
    };
    let stream = b"SEND\na:345678901234567890\nb:345678901234567890\n\nx\0";
    let (frames, error) = decode([&stream[..]], Some(Version::V1_2), limits);
    assert_eq!((frames.len(), error), (1, None));
    assert_eq!(
        frames[0].mistake.as_deref(),
        Some(&DecodeError::HeadersTooLong(40))
    );
    assert_eq!(frames[0].headers.iter().count(), 1);
    // A right frame keeps all of them, also from a sender that was wrong before.
    let line = format!("a:{}\n", "x".repeat(10_000)).repeat(10);
    let stream = format!("SEND\ncontent-length:1\n\nabc\0MESSAGE\n{line}\nbody\0");
    let limits = Limits {
        oversize_bytes_max: 4 << 20,
        ..Limits::default()
    };
    let (frames, error) = decode([stream.as_bytes()], Some(Version::V1_2), limits);
    assert_eq!((frames.len(), error), (2, None));
    assert_eq!(
        (frames[1].headers.iter().count(), &frames[1].mistake),
        (10, &None)
    );
}

#[test]
fn a_body_with_nuls_is_waited_for_as_long_as_bytes_come() {
    let mut client = Client::subscribed("1.2");
    let head = "MESSAGE\nsubscription:i\nack:1\ncontent-length:9\n\n";
    assert_eq!(client.hears(&format!("{head}a\0bcd")), Ok(vec![]));
    assert_eq!(
        client.at(3_000),
        Ok(vec![]),
        "what follows the NUL begins no frame"
    );
    assert_eq!(
        client.hears("efgh\0").unwrap(),
        ["message i a\0bcdefgh acks"]
    );
}

#[test]
fn an_error_that_the_close_cuts_still_says_why() {
    let check = |connected: bool, bytes: &str, expected: &str| {
        let mut client = match connected {
            true => Client::subscribed("1.2"),
            false => Client::new(Options::new("/")),
        };
        assert_eq!(client.hears(bytes), Ok(vec![]), "{bytes}");
        let error = client.session.closed().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let expired = "ERROR\nmessage:Session expired\n\nplease log in";
    check(
        false,
        expired,
        "refused CONNECT: Session expired: please log in",
    );
    check(
        true,
        expired,
        "ended the session: Session expired: please log in",
    );
    check(true, "ERROR\nmessage:no rea", "no rea");
    check(
        true,
        "ERROR\nmessage:m\ncontent-length:99\n\nbody",
        "m: body",
    );
    check(
        true,
        "MESSAGE\nsubscription:i\n\nbo",
        "26 bytes into a frame",
    );
}

#[test]
fn a_sloppy_error_is_read() {
    let check = |bytes: &str, expected: &str| {
        let mut client = Client::subscribed("1.2");
        let error = client.hears(bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(
        "ERROR\nmessage:no file C:\\temp\\x\n\n\0",
        "no file C:\\temp\\x",
    );
    check(
        "ERROR\nmessage : not you \nat x\ncontent-length:7\n\nx\0\n\n\n\n\n\n\n\n",
        "not you: x",
    );
    let long = "l".repeat(20_000);
    check(&format!("ERROR\nmessage:why {long}\n\n\0"), "why lll");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_good_message_behind_any_frame_whose_end_is_known_arrives(
        odd in prop_oneof![
            odd_frame("i", "/t", Lengths::Any),
            odd_frame("i", "/t", Lengths::Near),
        ],
        between in prop::sample::select(vec!["", "\n", "\r\n\n", "\0\n"]),
        sizes in prop::collection::vec(1..80_usize, 1..12),
    ) {
        check(&odd, Sent { between: between.as_bytes(), sizes: &sizes });
    }
}
