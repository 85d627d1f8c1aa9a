//! One check for the tests and for the fuzz target `lenient`: a good message behind any frame whose
//! end is known arrives.

use std::time::{Duration, Instant};

use bytes::Bytes;
use stomp_bridge::stomp::{AckMode, Event, Limits, Message, Options, Session, Subscribe};

/// Small enough that a short stream can break each of them.
pub(crate) const LIMITS: Limits = Limits {
    command_bytes_max: 16,
    header_line_bytes_max: 64,
    headers_max: 8,
    body_bytes_max: 256,
    frame_bytes_max: 512,
    oversize_bytes_max: 4096,
};

const GOOD: &[u8] = b"MESSAGE\nsubscription:i\nmessage-id:g\nack:g\n\ngood\0";

/// How the frame is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent<'a> {
    /// Between the frame and the good messages.
    pub(crate) between: &'a [u8],
    /// The sizes of the pieces, over and over.
    pub(crate) sizes: &'a [usize],
}

/// Sends `odd`, which ends with its only NUL, and two good messages.
///
/// # Panics
/// One of the two does not arrive, though the end of `odd` is known.
pub(crate) fn check(odd: &[u8], sent: Sent<'_>) {
    if ends_a_session(odd) {
        return;
    }
    let stream = [odd, sent.between, GOOD, GOOD].concat();
    // A content-length with a NUL behind it is right by definition, whatever was meant.
    if swallows(&stream, odd.len()) {
        return;
    }
    let seen = messages(&stream, sent.sizes);
    let is_good = |message: &&Message| message.body == "good" && message.ack.is_some();
    let good = seen.iter().filter(is_good).count();
    assert!(good >= 2, "{}: {seen:?}", stream.escape_ascii());
    // Nothing holds more than the limits allow.
    for message in seen {
        assert!(message.body.len() <= LIMITS.body_bytes_max);
        assert!(message.body.len() + message.missing_bytes <= LIMITS.oversize_bytes_max);
        let headers = message.headers.iter();
        let bytes: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
        // U+FFFD takes three bytes for one.
        assert!(bytes <= 3 * stream.len());
    }
}

/// An ERROR ends the session, and so does more than is read past.
fn ends_a_session(odd: &[u8]) -> bool {
    let is_error = |line: &[u8]| {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        line.trim_ascii().eq_ignore_ascii_case(b"ERROR")
    };
    odd.len() > LIMITS.oversize_bytes_max
        || odd.split(|byte| matches!(byte, b'\n' | 0)).any(is_error)
}

/// Whether a content-length of the first frame leads to a NUL behind that frame.
fn swallows(stream: &[u8], frame: usize) -> bool {
    let blank = |byte: &u8| matches!(byte, b'\n' | b'\r' | 0);
    let mut at = stream.iter().take_while(|byte| blank(byte)).count();
    let mut lengths = Vec::new();
    while let Some(end) = stream
        .get(at..frame)
        .and_then(|rest| rest.iter().position(|byte| *byte == b'\n'))
    {
        let line = &stream[at..at + end];
        at += end + 1;
        if matches!(line, b"" | b"\r") {
            break;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        if line[..colon].trim_ascii() == b"content-length" {
            let value = String::from_utf8_lossy(&line[colon + 1..]);
            lengths.extend(value.trim().parse::<usize>().ok());
        }
    }
    lengths
        .iter()
        .filter_map(|length| at.checked_add(*length))
        .any(|nul| nul >= frame && stream.get(nul) == Some(&0))
}

/// The messages that a session reads of a stream, also after it has waited for more.
fn messages(stream: &[u8], sizes: &[usize]) -> Vec<Message> {
    let start = Instant::now();
    let mut session = Session::new(
        Options {
            limits: LIMITS,
            ..Options::new("/")
        },
        start,
    );
    let wanted = Subscribe {
        id: "i".into(),
        destination: "/t".to_owned(),
        ack: AckMode::ClientIndividual,
        headers: Vec::new(),
    };
    session.subscribe(wanted, start);
    session.receive(Bytes::from_static(b"CONNECTED\nversion:1.2\n\n\0"), start);
    let mut seen = read(&mut session);
    let mut rest = stream;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at((*size).clamp(1, rest.len()));
        session.receive(Bytes::copy_from_slice(chunk), start);
        seen.extend(read(&mut session));
        rest = after;
    }
    for seconds in [3, 6] {
        let now = start + Duration::from_secs(seconds);
        session.tick(now).expect("the server is alive");
        seen.extend(read(&mut session));
    }
    seen
}

fn read(session: &mut Session) -> Vec<Message> {
    let mut seen = Vec::new();
    while let Some(event) = session.poll().expect("no such frame ends a session") {
        if let Event::Message(message) = event {
            seen.push(message);
        }
    }
    seen
}
