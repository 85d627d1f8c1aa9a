//! Messages a second into each sink, in batches of four thousand, and the latency of single ones.
//! `cargo bench --bench sinks` prints a line for each; mosquitto and PostgreSQL are started for it,
//! with their own defaults for syncing, which takes root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use peers::{Mosquitto, PASSWORD, Postgres, USER, platform, port};
use stomp_bridge::model::{Event, EventKind, Origin, Position};
use stomp_bridge::paced::Interval;
use stomp_bridge::pipeline::{Decoder, Mapping, Template};
use stomp_bridge::secret::Secret;
use stomp_bridge::sinks::{Batch, Built, Reason, Settings, Sink, build, history, mqtt, webhook};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use uuid::Uuid;

const JOURNAL: Uuid = Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0);

const BATCH: i64 = 4000;
/// As many as a large customer has.
const DEVICES: usize = 5000;
const LATENCIES: i64 = 1000;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let only = std::env::args()
        .nth(1)
        .filter(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let folder = tempfile::tempdir().unwrap();
    let name = || "bench".to_owned();
    if wanted("sqlite") {
        let path = folder.path().join("history.db");
        run(
            "sqlite",
            100,
            Settings::Sqlite(history::sqlite::Settings {
                name: name(),
                path,
                retention: None,
                intervals: None,
                zone: jiff::tz::TimeZone::UTC,
                mode: history::sqlite::Settings::MODE,
            }),
        )
        .await;
    }
    if wanted("postgres") {
        let server = Postgres::start().await;
        let url = Secret::from(server.url("postgres"));
        run(
            "postgres",
            100,
            Settings::Postgres(history::postgres::Settings {
                name: name(),
                url,
                schema: None,
                folder: PathBuf::new(),
                retention: None,
                intervals: None,
                event_keys: std::time::Duration::from_secs(7 * 86_400),
                zone: jiff::tz::TimeZone::UTC,
            }),
        )
        .await;
    }
    // With Nagle's algorithm in the broker, its default, each batch waits for a delayed TCP
    // acknowledgement.
    for (label, line) in [
        ("mqtt", "set_tcp_nodelay true"),
        ("mqtt-nagle", "set_tcp_nodelay false"),
    ] {
        if !wanted(label) {
            continue;
        }
        let lines = format!("persistence true\n{line}\n");
        let broker = Mosquitto::start_with(port::free(), &lines).await;
        let settings = mqtt::Settings {
            name: name(),
            url: broker.url().parse().unwrap(),
            protocol: mqtt::Protocol::Auto,
            username: Some(USER.to_owned()),
            password: Some(Secret::from(PASSWORD)),
            client_id: None,
            topic: Template::parse(
                "devices/{{ client_id }}/{{ device_id }}/status",
                &[EventKind::Status].into(),
            )
            .unwrap(),
            body: None,
            qos: mqtt::Qos::AtLeastOnce,
            retain: true,
            status_topic: None,
            tls: Default::default(),
            alpn: Vec::new(),
            max_inflight: mqtt::MAX_INFLIGHT,
            packet_bytes_max: 256 * 1024,
        };
        run(label, 100, Settings::Mqtt(settings)).await;
    }
    if wanted("webhook") {
        let settings = webhook::Settings {
            name: name(),
            url: url::Url::parse(&receiver().await).unwrap().into(),
            method: webhook::Method::Post,
            headers: Vec::new(),
            posting: webhook::Posting::Single { body: None },
            concurrency: 8,
            secrets: vec![Secret::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
            hmac: None,
            rate: None,
            answers: webhook::Answers::default(),
            tls: stomp_bridge::tls::Settings::default(),
            timeout: Duration::from_secs(20),
        };
        run("webhook", 10, Settings::Webhook(settings)).await;
    }
}

async fn run(name: &str, batches: i64, settings: Settings) {
    let Built {
        mut sink, driver, ..
    } = build(settings, &Interval::new(Duration::from_millis(5))).unwrap();
    if let Some(driver) = driver {
        tokio::spawn(driver);
    }
    let decoder = Decoder::new("map-1".into(), Mapping::default(), Arc::default());
    let event = |position| event(&decoder, position);
    sink.open(JOURNAL).await.unwrap();
    let mut taken = Duration::ZERO;
    for number in 0..batches {
        let events: Vec<Event> = (1..=BATCH).map(|i| event(number * BATCH + i)).collect();
        taken += deliver(&mut *sink, &events).await;
    }
    let rate = (batches * BATCH) as f64 / taken.as_secs_f64();
    let mut latencies = Vec::new();
    for number in 1..=LATENCIES {
        latencies.push(deliver(&mut *sink, &[event(batches * BATCH + number)]).await);
    }
    latencies.sort_unstable();
    let (middle, p99) = (
        latencies[latencies.len() / 2],
        latencies[latencies.len() * 99 / 100],
    );
    println!(
        "{name:10} {rate:9.0} messages/s   one message: {middle:.0?} in the middle, {p99:.0?} p99"
    );
    sink.close().await;
}

async fn deliver(sink: &mut dyn Sink, events: &[Event]) -> Duration {
    let begun = Instant::now();
    let batch = Batch {
        journal: JOURNAL,
        events,
        through: events.last().unwrap().position(),
        reason: Reason::Log,
    };
    sink.attempt(batch).await.unwrap();
    begun.elapsed()
}

/// The platform's message of this number, as the decoder gives it.
fn event(decoder: &Decoder, position: i64) -> Event {
    let body = platform::message("bench", usize::try_from(position).unwrap(), DEVICES);
    let origin = Origin {
        journal: JOURNAL,
        position: Position(position),
    };
    let received_at = Timestamp::from_millisecond(1_767_323_045_678 + position).unwrap();
    decoder
        .event(body.as_bytes(), origin, received_at, None)
        .unwrap()
        .into()
}

/// Answers 204 to every request, so that the measurement is the sink's.
async fn receiver() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let mut received = Vec::new();
                while let Ok(1..) = stream.read_buf(&mut received).await {
                    if let Some(bytes) = request_bytes(&received) {
                        received.drain(..bytes);
                        if stream
                            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                            .await
                            .is_err()
                        {
                            return;
                        }
                    }
                }
            });
        }
    });
    format!("http://{address}/")
}

/// The length of the request at the beginning, where it is whole.
fn request_bytes(received: &[u8]) -> Option<usize> {
    let head = received
        .windows(4)
        .position(|window| window == b"\r\n\r\n")?
        + 4;
    let text = std::str::from_utf8(&received[..head])
        .unwrap()
        .to_ascii_lowercase();
    let length: usize = text
        .split("content-length: ")
        .nth(1)?
        .split("\r\n")
        .next()?
        .parse()
        .unwrap();
    (received.len() >= head + length).then_some(head + length)
}
