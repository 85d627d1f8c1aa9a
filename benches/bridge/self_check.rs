//! The benchmark measures the daemon and not itself. A client that only acknowledges must get
//! messages much faster than the daemon can, and in correct frames. The subscriber must find every
//! message, however its bytes are cut.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::Row;
use crate::heartbeat::lateness;
use crate::subscriber::Subscriber;
use peers::message::{self, DIGITS};
use peers::source::{PREFETCH, Source};

const DURATION: Duration = Duration::from_secs(1);
const PACED: usize = 200;
/// Ten times the rate that the daemon must reach.
const RATE_MIN: f64 = 500_000.0;

/// A flood and a paced run, with a client that acknowledges everything at once.
pub(crate) fn run() -> Vec<Row> {
    let source = Source::bind();
    let address = source.address();
    let client = thread::spawn(move || acknowledge_everything(address));

    let mut subscribed = source.accept().expect("our own client subscribes");
    assert_eq!(subscribed.subscription(), ("bench", "/topic/state/1"));
    let (count, elapsed) = subscribed
        .flood(DURATION, usize::MAX)
        .expect("our own client acknowledges");
    let rate = count as f64 / elapsed.as_secs_f64();
    let written = subscribed
        .pace(Duration::from_millis(1), PACED)
        .expect("our own client acknowledges");
    assert!(written.is_sorted());
    subscribed
        .check_acknowledged()
        .expect("the last ACK is for the last message");
    drop(subscribed);
    let seen = client
        .join()
        .expect("our own client does not panic")
        .expect("our own client understands the frames");
    assert_eq!(seen, count + PACED);

    // Unoptimised, or on a busy machine, the rate says nothing.
    if !cfg!(debug_assertions) && rate < RATE_MIN {
        println!(
            "  the server itself is slow here: its figures below are limits of this benchmark"
        );
    }
    check_subscriber();
    check_lateness();
    vec![Row::new(
        "messages a second to a client that only ACKs",
        format!("{rate:.0}"),
    )]
}

/// Each message is noted once, though it comes twice and in pieces of any length.
fn check_subscriber() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address");
    let broker = thread::spawn(move || publish(&listener));
    let mut subscriber = Subscriber::connect(address).expect("our own broker takes a subscriber");
    let came = subscriber.receive(PACED).expect("every message comes");
    assert_eq!(came.len(), PACED);
    assert!(came.is_sorted());
    broker
        .join()
        .expect("our own broker does not panic")
        .expect("our own broker writes everything");
}

/// A pause that is a tenth too long is found, and one that is just not is none.
fn check_lateness() {
    let start = Instant::now();
    let at = |milliseconds: &[u64]| -> Vec<Instant> {
        milliseconds
            .iter()
            .map(|ms| start + Duration::from_millis(*ms))
            .collect()
    };
    let found = lateness(&at(&[0, 600, 1_200, 2_300, 3_401]), Duration::from_secs(1));
    assert_eq!(
        (found.late(), found.longest()),
        (1, Duration::from_millis(1_101))
    );
}

/// An MQTT broker of one conversation (MQTT 3.1.1, section 3.3).
fn publish(listener: &TcpListener) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    // CONNECT and SUBSCRIBE; then CONNACK, SUBACK.
    stream.read_exact(&mut [0; 19 + 16])?;
    stream.write_all(b"\x20\x02\x00\x00\x90\x03\x00\x01\x00")?;
    let mut packets = Vec::new();
    for sequence in 0..PACED {
        for _ in 0..2 {
            // A remaining length of two bytes now and then, as real payloads have.
            let body = format!(
                "\0\x09devices/1seq={sequence:0DIGITS$}{}",
                "-".repeat(sequence)
            );
            packets.push(0x30);
            match body.len() {
                length @ ..128 => packets.push(length as u8),
                length => packets.extend([(length % 128) as u8 | 0x80, (length / 128) as u8]),
            }
            packets.extend_from_slice(body.as_bytes());
        }
    }
    let mut rest = &packets[..];
    for piece in (1..).step_by(7) {
        let (first, others) = rest.split_at(rest.len().min(piece));
        stream.write_all(first)?;
        rest = others;
        if rest.is_empty() {
            break;
        }
    }
    Ok(())
}

/// Reads frames in order, each with its sequence number in both places, and acknowledges each.
fn acknowledge_everything(address: SocketAddr) -> io::Result<usize> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"CONNECT\naccept-version:1.2\nhost:/\n\n\0")?;
    let mut pending = Vec::new();
    let mut chunk = vec![0; 256 * 1024];
    while !pending.ends_with(b"\0\n") {
        let length = stream.read(&mut chunk)?;
        pending.extend_from_slice(&chunk[..length]);
    }
    assert!(pending.starts_with(b"CONNECTED\nversion:1.2\n"));
    pending.clear();
    stream.write_all(
        b"SUBSCRIBE\nid:bench\ndestination:/topic/state/1\nack:client-individual\n\n\0",
    )?;

    let mut seen = 0;
    let mut acks = Vec::new();
    loop {
        let length = stream.read(&mut chunk)?;
        if length == 0 {
            return Ok(seen);
        }
        pending.extend_from_slice(&chunk[..length]);
        let mut start = 0;
        while let Some(length) = memchr::memchr(0, &pending[start..]) {
            check(&pending[start..start + length], seen);
            let mut ack = *b"ACK\nid:T_bench@@session-1@@000000000\n\n\0";
            let digits = ack.len() - 3 - DIGITS;
            message::write_number(&mut ack[digits..digits + DIGITS], seen);
            acks.extend_from_slice(&ack);
            seen += 1;
            start += length + 2;
            if start > pending.len() {
                // The LF after the NUL has not come.
                start = pending.len();
                break;
            }
        }
        pending.drain(..start);
        stream.write_all(&acks)?;
        acks.clear();
    }
}

/// Only now and then: looking at every frame would measure this client.
fn check(frame: &[u8], sequence: usize) {
    if !sequence.is_multiple_of(PREFETCH - 1) {
        return;
    }
    let frame = std::str::from_utf8(frame)
        .expect("frames are UTF-8")
        .trim_start();
    let (head, body) = frame.split_once("\n\n").expect("a blank line");
    let number = format!("{sequence:0DIGITS$}");
    assert!(head.starts_with("MESSAGE\nsubscription:bench\n"), "{head}");
    assert!(
        head.contains(&format!("\nack:T_bench@@session-1@@{number}\n")),
        "{head}"
    );
    assert!(
        head.ends_with(&format!("\ncontent-length:{}", body.len())),
        "{head}"
    );
    assert_eq!(body.len(), 400);
    assert_eq!(message::read_number(body.as_bytes()), Some(sequence));
    let body: serde_json::Value = serde_json::from_str(body).expect("a body is JSON");
    assert!(
        body["deviceId"].is_number() && body["newState"].is_string(),
        "{body}"
    );
}
