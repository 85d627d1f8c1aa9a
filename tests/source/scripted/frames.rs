//! Frames that servers were seen to send and that break a rule (`tests/frames`), over TCP, WebSocket
//! and SockJS: none of them stops the messages behind it, and none brings a message twice.

use std::fs;
use std::sync::atomic::Ordering::Relaxed;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as RawFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::odd_frame::{Lengths, odd_frame};
use super::*;

const CONNECTED: &[u8] = b"CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0";

/// A server's end of one connection, whatever its framing.
enum Wire {
    Plain(Server),
    WebSocket(Box<WebSocketStream<TcpStream>>),
    SockJs(Box<WebSocketStream<TcpStream>>, Vec<String>),
}

impl Wire {
    async fn accept(lab: &Lab, scheme: &str) -> Wire {
        let mut wire = match scheme {
            "stomp" => return Wire::Plain(lab.accept().await),
            "ws" => Wire::WebSocket(Box::new(upgrade(lab).await)),
            _ => {
                let mut info = lab.accept().await;
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(info.stream.read_u8().await.unwrap());
                }
                info.send(
                    "HTTP/1.1 200 OK\r\nContent-Length: 18\r\nConnection: close\r\n\r\n{\"websocket\":true}",
                )
                .await;
                Wire::SockJs(Box::new(upgrade(lab).await), Vec::new())
            }
        };
        if let Wire::SockJs(socket, _) = &mut wire {
            socket.send(Frame::text("o")).await.unwrap();
        }
        wire
    }

    /// Sends bytes as text, whatever they are; one piece is one WebSocket message.
    async fn send(&mut self, bytes: &[u8]) {
        let text =
            |bytes: Vec<u8>| Frame::Frame(RawFrame::message(bytes, OpCode::Data(Data::Text), true));
        match self {
            Wire::Plain(server) => server.stream.write_all(bytes).await.unwrap(),
            Wire::WebSocket(socket) => {
                for piece in bytes.split_inclusive(|byte| *byte == 0) {
                    socket.send(text(piece.to_vec())).await.unwrap();
                }
            }
            Wire::SockJs(socket, _) => {
                let mut message = b"a[\"".to_vec();
                for byte in bytes {
                    match byte {
                        b'"' | b'\\' => message.extend_from_slice(&[b'\\', *byte]),
                        0..0x20 => message.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                        _ => message.push(*byte),
                    }
                }
                message.extend_from_slice(b"\"]");
                socket.send(text(message)).await.unwrap();
            }
        }
    }

    /// The client's next frame, without its NUL.
    async fn frame(&mut self) -> String {
        let text = match self {
            Wire::Plain(server) => return server.frame().await,
            Wire::WebSocket(socket) => text(socket).await,
            Wire::SockJs(socket, frames) => {
                while frames.is_empty() {
                    frames
                        .extend(serde_json::from_str::<Vec<String>>(&text(socket).await).unwrap());
                }
                frames.remove(0)
            }
        };
        text.trim_matches(['\0', '\n']).to_owned() + "\n\n"
    }

    /// Answers CONNECT and SUBSCRIBE.
    async fn begin(&mut self, connected: &[u8]) {
        assert!(self.frame().await.starts_with("CONNECT\n"));
        self.send(connected).await;
        let subscribe = self.frame().await;
        let receipt = subscribe
            .lines()
            .find_map(|line| line.strip_prefix("receipt:"));
        let receipt = receipt.unwrap_or_else(|| panic!("no receipt in {subscribe}"));
        let answer = format!("RECEIPT\nreceipt-id:{receipt}\n\n\0");
        self.send(answer.as_bytes()).await;
    }

    /// The ids of the next ACKs, trimmed.
    async fn acks(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let frame = self.frame().await;
            let id = ["ACK\nid:", "ACK\nmessage-id:"]
                .iter()
                .find_map(|start| frame.strip_prefix(start));
            let id = id.unwrap_or_else(|| panic!("no ACK: {frame}, after {ids:?}"));
            ids.push(id.trim().to_owned());
        }
        ids.sort();
        ids
    }
}

async fn upgrade(lab: &Lab) -> WebSocketStream<TcpStream> {
    let (stream, _) = within(lab.server.accept()).await.unwrap();
    tokio_tungstenite::accept_async(stream).await.unwrap()
}

async fn text(socket: &mut WebSocketStream<TcpStream>) -> String {
    within(socket.next())
        .await
        .unwrap()
        .unwrap()
        .into_text()
        .unwrap()
        .to_string()
}

/// The files of a kind by name, for the topic of these tests.
fn files(kind: impl Fn(&str) -> bool) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frames");
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, ours(&fs::read(path).unwrap()))
        })
        .filter(|(name, _)| kind(name))
        .collect();
    files.sort();
    files
}

/// With the topic's name and destination in the headers; bodies have neither.
fn ours(bytes: &[u8]) -> Vec<u8> {
    let mut text = bytes.escape_ascii().to_string();
    for (theirs, name) in [
        ("/topic/state/1", "/queue/a"),
        ("subscription:t0", "subscription:map-1"),
    ] {
        text = text.replace(theirs, name);
    }
    text = text.replace("subscription: t0", "subscription: map-1");
    unescaped(&text)
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let (byte, after) = match (byte, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap();
                (u8::from_str_radix(digits, 16).unwrap(), after)
            }
            (b'\\', [b'n', after @ ..]) => (b'\n', after),
            (b'\\', [b'r', after @ ..]) => (b'\r', after),
            (b'\\', [b't', after @ ..]) => (b'\t', after),
            (b'\\', [other, after @ ..]) => (*other, after),
            (byte, after) => (*byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    bytes
}

/// The ids that are to be acknowledged, sorted.
fn ids(stream: &[u8]) -> Vec<String> {
    let mut ids: Vec<String> = stream
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_prefix(b"ack:"))
        .map(|id| String::from_utf8_lossy(id).trim().to_owned())
        .collect();
    ids.sort();
    ids
}

async fn passes(scheme: &str, name: &str, connected: &[u8], stream: &[u8]) -> Lab {
    let mode = AckMode::ClientIndividual;
    let lab = Lab::over(scheme, mode, Duration::ZERO, 1 << 30, None).await;
    let mut wire = Wire::accept(&lab, scheme).await;
    wire.begin(connected).await;
    let expected = ids(stream);
    wire.send(stream).await;
    // How long what stands behind waits is held in simulated time (`codec::behind`).
    let acks = wire.acks(expected.len()).await;
    assert_eq!(acks, expected, "{name} over {scheme}");
    assert_eq!(
        lab.entries().await.len(),
        expected.len(),
        "{name} over {scheme}"
    );
    let connections = lab.status.counters.connections.load(Relaxed);
    assert_eq!(connections, 1, "{name} over {scheme}");
    lab
}

async fn all_pass(scheme: &str) {
    let odd = files(|name| !name.starts_with("connected-h") && !name.starts_with("connected-v"));
    let odd: Vec<_> = odd
        .into_iter()
        .filter(|(name, _)| !name.starts_with("error-"))
        .collect();
    assert!(odd.len() >= 17, "{}", odd.len());
    for (name, stream) in odd {
        let lab = passes(scheme, &name, CONNECTED, &stream).await;
        let good = lab.entries().await;
        let good = good
            .iter()
            .filter(|(_, body, _)| body.contains("\"good-"))
            .count();
        assert_eq!(good, 2, "{name} over {scheme}");
    }
}

#[tokio::test]
async fn what_stands_behind_an_odd_frame_arrives_over_tcp() {
    all_pass("stomp").await;
}

#[tokio::test]
async fn what_stands_behind_an_odd_frame_arrives_over_websocket() {
    all_pass("ws").await;
}

#[tokio::test]
async fn what_stands_behind_an_odd_frame_arrives_over_sockjs() {
    all_pass("http").await;
}

/// The messages of a stream, each with what stands between it and the next one.
fn messages(stream: &[u8]) -> Vec<Vec<u8>> {
    const BEGIN: &[u8] = b"MESSAGE\n";
    let mut messages: Vec<Vec<u8>> = vec![Vec::new()];
    for at in 0..stream.len() {
        if stream[at..].starts_with(BEGIN) {
            messages.push(Vec::new());
        }
        messages.last_mut().unwrap().push(stream[at]);
    }
    messages.retain(|message| !message.is_empty());
    messages
}

/// As a durable queue does: what was not acknowledged comes again on the next connection.
async fn a_queue_keeps_what_is_not_acknowledged(scheme: &str) {
    let odd = files(|name| !name.starts_with("connected-h") && !name.starts_with("connected-v"));
    let odd = odd
        .into_iter()
        .filter(|(name, _)| !name.starts_with("error-"));
    for (name, stream) in odd {
        let mode = AckMode::ClientIndividual;
        let lab = Lab::over(scheme, mode, Duration::ZERO, 1 << 30, None).await;
        let all = ids(&stream).len();
        let mut kept = messages(&stream);
        for round in 0..2 {
            let last = format!(
                "MESSAGE\nsubscription:map-1\nmessage-id:l{round}\nack:last{round}\n\n\
                 {{\"deviceId\":9,\"newState\":\"正常\",\"last\":{round}}}\0\n"
            );
            kept.push(last.into_bytes());
            let mut wire = Wire::accept(&lab, scheme).await;
            wire.begin(CONNECTED).await;
            let sent = kept.concat();
            wire.send(&sent).await;
            let acks = wire.acks(ids(&sent).len()).await;
            let is_acknowledged =
                |message: &Vec<u8>| ids(message).iter().all(|id| acks.contains(id));
            kept.retain(|message| !is_acknowledged(message));
            assert!(kept.is_empty(), "{name} over {scheme}: {kept:?}");
        }
        let entries = lab.entries().await;
        for marker in ["\"last\":0", "\"last\":1"] {
            let stored = entries.iter().filter(|(_, body, _)| body.contains(marker));
            assert_eq!(stored.count(), 1, "{marker} of {name} over {scheme}");
        }
        let good = entries
            .iter()
            .filter(|(_, body, _)| body.contains("\"good-"));
        assert_eq!(good.count(), 2, "{name} over {scheme}");
        assert_eq!(entries.len(), all + 2, "{name} over {scheme}");
        assert_eq!(lab.status.counters.connections.load(Relaxed), 2, "{name}");
    }
}

#[tokio::test]
async fn an_odd_frame_in_a_queue_comes_once_and_so_does_what_is_around_it() {
    for scheme in ["stomp", "ws", "http"] {
        a_queue_keeps_what_is_not_acknowledged(scheme).await;
    }
}

/// Odd frames on one connection.
const ODD_FRAMES: usize = 60;

/// Frames at random, each with a good message behind it: it is acknowledged before the next one goes
/// out.
async fn a_good_one_behind_each(scheme: &str) {
    let lab = Lab::over(
        scheme,
        AckMode::ClientIndividual,
        Duration::ZERO,
        1 << 30,
        None,
    )
    .await;
    let mut wire = Wire::accept(&lab, scheme).await;
    wire.begin(CONNECTED).await;
    let odd_frames = odd_frame("map-1", "/queue/a", Lengths::Near);
    let mut chance = TestRunner::default();
    for number in 0..ODD_FRAMES {
        let odd = odd_frames.new_tree(&mut chance).unwrap().current();
        let body = format!("{{\"deviceId\":7,\"newState\":\"正常\",\"good\":{number}}}");
        let good =
            format!("MESSAGE\nsubscription:map-1\nmessage-id:g{number}\nack:g{number}\n\n{body}\0");
        wire.send(&[&odd[..], b"\n", good.as_bytes()].concat())
            .await;
        let acknowledged = async {
            // What is good enough of the odd one has an ACK of its own.
            while wire.frame().await != format!("ACK\nid:g{number}\n\n") {}
        };
        let in_time = tokio::time::timeout(PATIENCE / 2, acknowledged).await;
        let said = lab.status.link().last_error;
        assert!(
            in_time.is_ok(),
            "over {scheme}, after {}: {said:?}",
            odd.escape_ascii()
        );
    }
    let entries = lab.entries().await;
    for number in 0..ODD_FRAMES {
        let wanted = format!("\"good\":{number}}}");
        let stored = entries
            .iter()
            .filter(|(_, body, _)| body.ends_with(&wanted));
        assert_eq!(stored.count(), 1, "good message {number} over {scheme}");
    }
    assert_eq!(lab.status.counters.connections.load(Relaxed), 1, "{scheme}");
}

#[tokio::test]
async fn a_good_message_behind_any_frame_arrives_over_tcp() {
    a_good_one_behind_each("stomp").await;
}

#[tokio::test]
async fn a_good_message_behind_any_frame_arrives_over_websocket() {
    a_good_one_behind_each("ws").await;
}

#[tokio::test]
async fn a_good_message_behind_any_frame_arrives_over_sockjs() {
    a_good_one_behind_each("http").await;
}

#[tokio::test]
async fn a_length_that_counts_far_too_much_costs_less_than_five_seconds() {
    let odd = format!("MESSAGE\nsubscription:map-1\nack:a1\ncontent-length:99999\n\n{BODY}\0\n");
    let good = format!("MESSAGE\nsubscription:map-1\nack:a2\n\n{BODY}\0\n");
    for scheme in ["stomp", "ws", "http"] {
        passes(
            scheme,
            "far too long",
            CONNECTED,
            [&*odd, &*good].concat().as_bytes(),
        )
        .await;
        // Nothing behind it says where it ends.
        passes(scheme, "the last one", CONNECTED, odd.as_bytes()).await;
    }
}

#[tokio::test]
async fn an_odd_connected_is_no_reason_to_stay_away() {
    let odd = files(|name| name.starts_with("connected-h") || name.starts_with("connected-v"));
    assert_eq!(odd.len(), 5);
    let good = format!("MESSAGE\nsubscription:map-1\nmessage-id:1\nack:1\n\n{BODY}\0");
    for (name, connected) in odd {
        for scheme in ["stomp", "ws", "http"] {
            passes(scheme, &name, &connected, good.as_bytes()).await;
        }
    }
}

#[tokio::test]
async fn the_words_of_a_sloppy_error_are_told() {
    let odd = files(|name| name.starts_with("error-"));
    assert_eq!(odd.len(), 2);
    for (name, error) in odd {
        for scheme in ["stomp", "ws", "http"] {
            let mode = AckMode::ClientIndividual;
            let lab = Lab::over(scheme, mode, Duration::ZERO, 1 << 30, None).await;
            let mut wire = Wire::accept(&lab, scheme).await;
            assert!(wire.frame().await.starts_with("CONNECT\n"));
            wire.send(&error).await;
            let told = lab.error().await;
            let words = match name.as_str() {
                "error-unknown-escape" => "the server refused CONNECT: no file C:\\temp\\x",
                _ => "the server refused CONNECT: User bridge is not authorized",
            };
            assert!(told.contains(words), "{name} over {scheme}: {told}");
        }
    }
}

#[tokio::test]
async fn a_message_of_no_topic_is_kept_counted_and_acknowledged() {
    let unknown = "MESSAGE\nsubscription:sub-9\ndestination:/else/where\nack:a1\n\n{}\0";
    let good = format!("MESSAGE\nsubscription:map-1\nack:a2\n\n{BODY}\0");
    let lab = passes(
        "stomp",
        "unknown",
        CONNECTED,
        [unknown, &good].concat().as_bytes(),
    )
    .await;
    let log = lab.log().await;
    let kept = log.iter().find(|entry| *entry.body == *b"{}").unwrap();
    assert_eq!(&*kept.topic, "/else/where");
    let EntryContent::Undecodable { reason } = &kept.content else {
        panic!("{kept:?}")
    };
    assert!(reason.contains("no topic"), "{reason}");
    assert_eq!(lab.status.counters.unknown.load(Relaxed), 1);
}

#[tokio::test]
async fn a_message_that_ends_three_connections_is_named() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    for attempt in 1..=3 {
        assert_eq!(lab.status.link().undeliverable, None);
        let mut server = lab.accept_session("0,0").await;
        let cut =
            format!("MESSAGE\nsubscription:map-1\nmessage-id:m7@@{attempt}\nack:a7\n\n{{\"half");
        server.send(&cut).await;
        drop(server);
    }
    lab.until(|status| status.link().undeliverable.is_some())
        .await;
    let found = lab.status.link().undeliverable.unwrap();
    assert_eq!((found.topic(), found.message_id()), ("map-1", "m7@@3"));
    assert!(
        found
            .to_string()
            .contains("remove this message at the server")
    );
}

#[tokio::test]
async fn a_server_that_ignores_unsubscribe_is_left() {
    let lab = Lab::new(AckMode::Auto).await;
    let mut server = lab.accept_session("0,0").await;
    let other = Topic {
        name: "map-2".into(),
        destination: "/queue/2".into(),
        ..lab.settings.topics[0].clone()
    };
    let settings = Settings {
        topics: vec![other],
        ..lab.settings.clone()
    };
    let decoders = decoders(&settings.topics);
    lab.handle.reload(settings, decoders);
    let mut again = within(async {
        let mut id = 0;
        loop {
            id += 1;
            let message = format!("MESSAGE\nsubscription:map-1\nmessage-id:m{id}\n\n{BODY}\0");
            // It is over once the source has left.
            let _ = server.stream.write_all(message.as_bytes()).await;
            let next = tokio::time::timeout(Duration::from_millis(100), lab.server.accept()).await;
            if let Ok(accepted) = next {
                let (stream, _) = accepted.unwrap();
                break Server {
                    stream,
                    received: Vec::new(),
                };
            }
        }
    })
    .await;
    assert!(again.frame().await.starts_with("CONNECT\n"));
    again.send("CONNECTED\nversion:1.2\n\n\0").await;
    let subscribe = again.frame().await;
    assert!(
        subscribe.starts_with("SUBSCRIBE\nid:map-2\n"),
        "{subscribe}"
    );
}

/// A SockJS message that is much longer than `source.max_body`, alone and with others in its array.
#[tokio::test]
async fn a_sockjs_message_of_any_length_stops_nothing_behind_it() {
    let lab = Lab::over(
        "http",
        AckMode::ClientIndividual,
        Duration::ZERO,
        1 << 30,
        None,
    )
    .await;
    let mut wire = Wire::accept(&lab, "http").await;
    wire.begin(CONNECTED).await;
    let message = |id: usize, body: &str| {
        let head = "MESSAGE\nsubscription:map-1\ndestination:/queue/a";
        let length = body.len();
        format!("{head}\nmessage-id:m{id}\nack:a{id}\ncontent-length:{length}\n\n{body}\0")
    };
    let long = "x".repeat(5 << 20);
    let sent = [message(0, BODY), message(1, &long), message(2, BODY)].concat();
    wire.send(sent.as_bytes()).await;
    wire.send(message(3, BODY).as_bytes()).await;
    assert_eq!(wire.acks(4).await, ["a0", "a1", "a2", "a3"]);
    let entries = lab.entries().await;
    let EntryContent::Undecodable { reason } = &entries[1].2 else {
        panic!("{:?}", entries[1].2)
    };
    assert!(
        reason.contains("5242880 bytes exceeds source.max_body"),
        "{reason}"
    );
    assert_eq!((entries.len(), entries[1].1.len()), (4, 64 << 10));
    assert_eq!(lab.log().await[2].topic, "map-1".into());
    assert_eq!(lab.status.counters.attempts.load(Relaxed), 1);
}
