//! How fast STOMP is read and written: `cargo bench --bench codec`. The daemon is to handle 100,000
//! messages a second; the codec should be a small part of that.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use stomp_bridge::stomp::{
    AckMode, Command, Decoder, Event, FrameWriter, Limits, Options, Session, Subscribe, Version,
};

/// What one read from a socket gives at most.
const CHUNK_BYTES: usize = 64 << 10;

/// The size of a frame with the platform's own message in it, as RabbitMQ sends it.
const FRAME_BYTES: usize = 589;

/// About 4 MiB of frames.
const FRAMES: usize = 7_000;

fn main() {
    divan::main();
}

/// A MESSAGE of exactly [`FRAME_BYTES`], its closing NUL included.
fn message(number: usize) -> BytesMut {
    let write = |body: &[u8]| {
        let mut frame = BytesMut::new();
        let id = format!("T_map-1@@session-AqLbzXvP2gQ0sT1fZc9n4w@@{number:06}");
        FrameWriter::new(&mut frame, Command::Message, Version::V1_2)
            .header("subscription", "map-1")
            .header("destination", "/topic/state/1")
            .header("message-id", &id)
            .header("redelivered", "false")
            .header("ack", &id)
            .header("persistent", "true")
            .header("content-type", "application/json")
            .body(body);
        frame
    };
    let body_bytes = FRAME_BYTES - write(&[b'x'; 100]).len() + 100;
    let frame = write(&vec![b'x'; body_bytes]);
    assert_eq!(frame.len(), FRAME_BYTES);
    frame
}

/// The stream of messages, cut into chunks without regard to frames.
fn chunks() -> Vec<Bytes> {
    let stream: Vec<u8> = (0..FRAMES).flat_map(message).collect();
    stream
        .chunks(CHUNK_BYTES)
        .map(Bytes::copy_from_slice)
        .collect()
}

#[divan::bench]
fn decode_messages(bencher: Bencher<'_, '_>) {
    let chunks = chunks();
    bencher
        .counter(BytesCount::new(FRAMES * FRAME_BYTES))
        .bench(|| {
            let mut decoder = Decoder::new(Limits::default());
            decoder.set_version(Version::V1_2);
            let mut frames = 0;
            for chunk in &chunks {
                decoder.feed(chunk.clone());
                while let Some(frame) = decoder.next().expect("the stream is STOMP") {
                    black_box(&frame);
                    frames += 1;
                }
            }
            assert_eq!(frames, FRAMES);
        });
}

#[divan::bench]
fn encode_acks(bencher: Bencher<'_, '_>) {
    let id = "T_map-1@@session-AqLbzXvP2gQ0sT1fZc9n4w@@000001";
    let mut out = BytesMut::with_capacity(CHUNK_BYTES * 16);
    bencher.counter(ItemsCount::new(FRAMES)).bench_local(|| {
        out.clear();
        for _ in 0..FRAMES {
            FrameWriter::new(&mut out, Command::Ack, Version::V1_2)
                .header("id", black_box(id))
                .end();
        }
        black_box(&out);
    });
}

/// All that a session does for a message: decode it, find its subscription, acknowledge it.
#[divan::bench]
fn receive_and_acknowledge(bencher: Bencher<'_, '_>) {
    let chunks = chunks();
    let now = Instant::now();
    let connected = || {
        let mut session = Session::new(
            Options {
                heartbeat: Duration::ZERO,
                ..Options::new("/")
            },
            now,
        );
        let wanted = Subscribe {
            id: "map-1".into(),
            destination: "/topic/state/1".to_owned(),
            ack: AckMode::ClientIndividual,
            headers: Vec::new(),
        };
        session.subscribe(wanted, now);
        session.receive(
            Bytes::from_static(b"CONNECTED\nversion:1.2\n\n\0RECEIPT\nreceipt-id:r-1\n\n\0"),
            now,
        );
        while session.poll().expect("the session lives").is_some() {}
        session
    };
    bencher
        .counter(ItemsCount::new(FRAMES))
        .with_inputs(connected)
        .bench_local_values(|mut session| {
            let mut acknowledged = 0;
            for chunk in &chunks {
                session.receive(chunk.clone(), now);
                while let Some(event) = session.poll().expect("the session lives") {
                    let Event::Message(message) = event else {
                        panic!("expected a message, got {event:?}")
                    };
                    session.ack(
                        message
                            .ack
                            .as_ref()
                            .expect("client-individual messages have an ack id"),
                    );
                    black_box(&message);
                    acknowledged += 1;
                }
                black_box(session.take_outgoing());
            }
            assert_eq!(acknowledged, FRAMES);
        });
}
