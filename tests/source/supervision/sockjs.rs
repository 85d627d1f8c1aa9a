//! Over SockJS, where STOMP has no heart-beats: `h` frames are the only ones, and a server that
//! hangs sends none.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use stomp_bridge::source::{ConfigurationWarning, Detection, LinkState, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::lab::{Lab, pass, pass_until, settings};
use super::server::{CONNECTED, Server};

const SECOND: Duration = Duration::from_secs(1);

/// The period of Spring and of sockjs-node.
const PERIOD: Duration = Duration::from_secs(25);

/// Two and a half periods, the last second for what has arrived, and the steps of the time.
const MISSED_WITHIN: Duration = Duration::from_secs(65);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    WebSocket,
    Streaming,
    Polling,
}

/// One that has a single transport, and hangs when the test says so.
struct SockJs {
    transport: Transport,
    /// Frames that nobody has fetched, in order.
    frames: Mutex<VecDeque<String>>,
    filled: Notify,
    /// The session of `frames`.
    session: Mutex<String>,
    /// Its application sends nothing; its sockets live.
    hangs: AtomicBool,
    /// Nothing of it lives.
    frozen: AtomicBool,
}

async fn never<T>() -> T {
    std::future::pending().await
}

impl SockJs {
    async fn start(transport: Transport, heartbeat: Duration) -> (Arc<SockJs>, Lab) {
        let server = Server::bind().await;
        let settings = Settings {
            heartbeat,
            ..settings(&[&server.url("http")])
        };
        let sockjs = Arc::new(SockJs {
            transport,
            frames: Mutex::default(),
            filled: Notify::new(),
            session: Mutex::default(),
            hangs: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
        });
        let serving = Arc::clone(&sockjs);
        let lab = Lab::start(settings).await;
        server.serve(move |_, peer| {
            let sockjs = Arc::clone(&serving);
            async move { sockjs.request(peer.stream).await }
        });
        pass_until(SECOND, || lab.state() == LinkState::Subscribed).await;
        (sockjs, lab)
    }

    fn push(&self, frame: &str) {
        self.frames.lock().unwrap().push_back(frame.to_owned());
        self.filled.notify_waiters();
        self.filled.notify_one();
    }

    fn push_stomp(&self, frame: &str) {
        let text = serde_json::to_string(&[frame]).unwrap();
        self.push(&format!("a{text}"));
    }

    /// The next frame for the session, while it is the last. Cancel-safe.
    async fn next(&self, session: &str) -> String {
        loop {
            if self.hangs.load(Relaxed) || *self.session.lock().unwrap() != session {
                never().await
            }
            let frame = self.frames.lock().unwrap().pop_front();
            match frame {
                Some(frame) => return frame,
                None => self.filled.notified().await,
            }
        }
    }

    fn begins(&self, session: &str) {
        let mut last = self.session.lock().unwrap();
        if *last != session {
            session.clone_into(&mut last);
            self.frames.lock().unwrap().clear();
            self.push("o");
        }
    }

    /// What the client sends, as SockJS frames it.
    fn received(&self, text: &str) {
        let frames: Vec<String> = serde_json::from_str(text).unwrap();
        for frame in frames {
            let header = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name));
            if frame.starts_with("CONNECT\n") {
                self.push_stomp(CONNECTED);
            } else if let Some(receipt) = header("receipt:") {
                self.push_stomp(&format!("RECEIPT\nreceipt-id:{receipt}\n\n\0"));
            }
        }
    }

    async fn request(&self, mut stream: TcpStream) -> Option<()> {
        // Written bytes come at once, not with the kernel's next ACK.
        stream.set_nodelay(true).ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        if self.frozen.load(Relaxed) {
            never().await
        }
        let head = String::from_utf8(head).unwrap();
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_owned())
        };
        let length = header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let path = head.split(' ').nth(1)?;
        let (session, end) = path.rsplit_once('/')?;
        match (end, self.transport) {
            ("info", transport) => {
                let websocket = transport == Transport::WebSocket;
                let info = format!("{{\"websocket\":{websocket},\"entropy\":1,\"origins\":[]}}");
                answer(&mut stream, "200 OK", &info).await
            }
            ("xhr", Transport::Polling) => {
                self.begins(session);
                let frame = self.next(session).await;
                answer(&mut stream, "200 OK", &format!("{frame}\n")).await
            }
            ("xhr_streaming", Transport::Streaming) => {
                self.begins(session);
                self.stream(stream, session).await
            }
            ("xhr_send", _) => {
                self.received(std::str::from_utf8(&body).unwrap());
                answer(&mut stream, "204 No Content", "").await
            }
            ("websocket", Transport::WebSocket) => {
                self.begins(session);
                let key = derive_accept_key(header("sec-websocket-key")?.as_bytes());
                let upgraded = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\nSec-WebSocket-Accept: {key}\r\n\r\n"
                );
                stream.write_all(upgraded.as_bytes()).await.ok()?;
                self.websocket(stream, session).await
            }
            _ => answer(&mut stream, "404 Not Found", "").await,
        }
    }

    async fn stream(&self, mut stream: TcpStream, session: &str) -> Option<()> {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut line = "h".repeat(2048);
        loop {
            let chunk = format!("{:x}\r\n{line}\n\r\n", line.len() + 1);
            stream.write_all(chunk.as_bytes()).await.ok()?;
            line = self.next(session).await;
        }
    }

    async fn websocket(&self, stream: TcpStream, session: &str) -> Option<()> {
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        loop {
            tokio::select! {
                frame = self.next(session) => socket.send(Message::text(frame)).await.ok()?,
                message = socket.next() => {
                    if self.frozen.load(Relaxed) {
                        never().await
                    }
                    // A ping is answered by itself.
                    if let Message::Text(text) = message?.ok()? {
                        self.received(&text);
                    }
                }
            }
        }
    }

    /// Sends heart-beats for a while.
    async fn beat(&self, count: u32) {
        for _ in 0..count {
            pass(PERIOD).await;
            self.push("h");
        }
        pass(SECOND).await;
    }
}

async fn answer(stream: &mut TcpStream, status: &str, body: &str) -> Option<()> {
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.ok()
}

/// The link is given up after this time, and not before; gives the reason.
async fn lost(lab: &Lab, (least, most): (Duration, Duration)) -> String {
    let took = pass_until(most, || lab.status.link().last_error.is_some()).await;
    assert!(took >= least, "after {took:?}: {:?}", lab.status.link());
    lab.status.link().last_error.unwrap()
}

const OFF: Duration = Duration::ZERO;

/// Heart-beats come, then nothing: the link is dead, over each transport.
async fn hangs_over(transport: Transport, heartbeat: Duration) {
    let (sockjs, lab) = SockJs::start(transport, heartbeat).await;
    sockjs.beat(4).await;
    assert_eq!((lab.attempts(), lab.state()), (1, LinkState::Subscribed));
    sockjs.hangs.store(true, Relaxed);
    let error = lost(&lab, (60 * SECOND, MISSED_WITHIN)).await;
    let expected = "SockJS's heart-beats have stopped: nothing has come for 1m2s";
    assert_eq!(error, expected);
    // The server is back, and the next connection is as good as the first.
    sockjs.hangs.store(false, Relaxed);
    pass_until(20 * SECOND, || lab.state() == LinkState::Subscribed).await;
    sockjs.beat(4).await;
    assert_eq!(lab.state(), LinkState::Subscribed);
    assert_eq!(lab.attempts(), 2);
}

#[tokio::test]
async fn a_poll_that_is_never_answered_ends_the_link() {
    hangs_over(Transport::Polling, OFF).await;
}

#[tokio::test]
async fn a_stream_without_heartbeats_ends_the_link() {
    hangs_over(Transport::Streaming, 10 * SECOND).await;
}

#[tokio::test]
async fn an_application_that_hangs_behind_a_websocket_that_answers_pings_ends_the_link() {
    hangs_over(Transport::WebSocket, OFF).await;
}

#[tokio::test]
async fn a_frozen_server_is_noticed_by_pings_though_heartbeats_are_off() {
    let (sockjs, lab) = SockJs::start(Transport::WebSocket, OFF).await;
    sockjs.beat(2).await;
    let expected = ConfigurationWarning::HeartbeatsOff(Detection::Pings(10 * SECOND));
    let warnings = lab.status.profile().warnings;
    assert!(warnings.contains(&expected), "{warnings:?}");
    sockjs.frozen.store(true, Relaxed);
    let error = lost(&lab, (14 * SECOND, 27 * SECOND)).await;
    assert!(error.contains("silent for 25s"), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_before_its_first_heartbeat_is_asked_by_a_new_connection() {
    let (sockjs, lab) = SockJs::start(Transport::Polling, OFF).await;
    sockjs.hangs.store(true, Relaxed);
    sockjs.frozen.store(true, Relaxed);
    let error = lost(&lab, (60 * SECOND, MISSED_WITHIN)).await;
    assert!(error.contains("reconnecting to test the link"), "{error}");
    // It does not answer, and that is said now.
    let trouble = || lab.status.link().trouble.unwrap_or_default();
    pass_until(12 * SECOND, || trouble().contains("SockJS info")).await;
    assert_eq!(lab.state(), LinkState::Connecting);
}

#[tokio::test]
async fn a_server_that_sends_no_heartbeats_is_asked_ever_more_seldom() {
    let (sockjs, lab) = SockJs::start(Transport::Polling, OFF).await;
    let detection = |expected: Detection| {
        let expected = ConfigurationWarning::HeartbeatsOff(expected);
        let warnings = lab.status.profile().warnings;
        assert!(warnings.contains(&expected), "{warnings:?}");
    };
    detection(Detection::SockJs(62 * SECOND));
    for (life, seconds, next) in [(1, 62, 125), (2, 125, 250), (3, 250, 500)] {
        let patience = Duration::from_secs(seconds);
        let took = pass_until(patience + 3 * SECOND, || lab.attempts() > life).await;
        assert!(took >= patience - SECOND, "{took:?}");
        pass_until(SECOND, || lab.state() == LinkState::Subscribed).await;
        detection(Detection::Reconnecting(Duration::from_secs(next)));
    }
    // A message is a sign of life, and one of its heart-beats says what its period is.
    pass(400 * SECOND).await;
    sockjs.push_stomp("\n");
    pass(400 * SECOND).await;
    sockjs.push("h");
    pass(900 * SECOND).await;
    assert_eq!((lab.attempts(), lab.state()), (4, LinkState::Subscribed));
}
