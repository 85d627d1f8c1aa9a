//! Our decoder beside the published STOMP crates, on the same stream in the same run:
//! `cargo run --release --manifest-path benches/rivals/Cargo.toml -- --bench`.
//!
//! The stream is MESSAGE frames of 589 bytes, in chunks of 64 KiB that are cut without regard to
//! frames, as a socket gives them. Each decoder gives what it makes of a frame. Ours leaves the
//! headers where they stand until somebody asks for them: so it is measured without, and with every
//! header read. stomp-parser takes whole frames only: they are cut out for it at their NULs, which
//! is less than a decoder must do.

use async_stomp::client::ClientCodec;
use bytes::{Bytes, BytesMut};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use stomp_bridge::stomp::{Command, Decoder, FrameWriter, Limits, Version};
use stomp_parser::server::ServerFrame;
use tokio_util::codec::Decoder as _;

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
    write(&vec![b'x'; body_bytes])
}

fn chunks() -> Vec<Bytes> {
    let stream: Vec<u8> = (0..FRAMES).flat_map(message).collect();
    assert_eq!(stream.len(), FRAMES * FRAME_BYTES);
    stream
        .chunks(CHUNK_BYTES)
        .map(Bytes::copy_from_slice)
        .collect()
}

fn bytes() -> BytesCount {
    BytesCount::new(FRAMES * FRAME_BYTES)
}

/// The chunk is taken as it is: a socket's buffer is handed over.
#[divan::bench]
fn a_stomp_bridge(bencher: Bencher<'_, '_>) {
    let chunks = chunks();
    bencher.counter(bytes()).bench(|| {
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

/// The same with each chunk copied, as for the others, and every header read.
#[divan::bench]
fn b_stomp_bridge_copying_and_reading_headers(bencher: Bencher<'_, '_>) {
    let chunks = chunks();
    bencher.counter(bytes()).bench(|| {
        let mut decoder = Decoder::new(Limits::default());
        decoder.set_version(Version::V1_2);
        let mut frames = 0;
        for chunk in &chunks {
            decoder.feed(Bytes::copy_from_slice(chunk));
            while let Some(frame) = decoder.next().expect("the stream is STOMP") {
                frame.headers.iter().for_each(|header| {
                    black_box(header);
                });
                black_box(&frame);
                frames += 1;
            }
        }
        assert_eq!(frames, FRAMES);
    });
}

/// tokio-util's codecs read into one buffer.
#[divan::bench]
fn c_async_stomp(bencher: Bencher<'_, '_>) {
    let chunks = chunks();
    bencher.counter(bytes()).bench(|| {
        let mut codec = ClientCodec::new();
        let mut buffer = BytesMut::new();
        let mut frames = 0;
        for chunk in &chunks {
            buffer.extend_from_slice(chunk);
            while let Some(frame) = codec.decode(&mut buffer).expect("the stream is STOMP") {
                black_box(&frame);
                frames += 1;
            }
        }
        assert_eq!(frames, FRAMES);
    });
}

#[divan::bench]
fn d_stomp_parser(bencher: Bencher<'_, '_>) {
    let chunks = chunks();
    bencher.counter(bytes()).bench(|| {
        let mut buffer = BytesMut::new();
        let mut frames = 0;
        for chunk in &chunks {
            buffer.extend_from_slice(chunk);
            while let Some(nul) = memchr::memchr(0, &buffer) {
                let frame = ServerFrame::try_from(buffer.split_to(nul + 1).to_vec())
                    .expect("it is a frame");
                black_box(&frame);
                frames += 1;
            }
        }
        assert_eq!(frames, FRAMES);
    });
}
