//! A full journal, where the server keeps nothing: the source stops reading, and still notices the
//! end of the connection. Over TCP, WebSocket, and the streaming transport of SockJS.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use sqlx::Connection;
use stomp_bridge::model::{Coverage, CoverageCause, Position};
use stomp_bridge::source::Handle;
use tokio_tungstenite::WebSocketStream;
use tokio_util::sync::CancellationToken;

use super::coverage::{coverage, word};
use super::*;

/// A status with its padding.
const BODY_BYTES: usize = 16 << 10;

/// So many fill what the source holds in memory.
const HELD: usize = 65;

/// More than these nobody reads then; they fit into the kernel's buffer.
const UNREAD: usize = 2;

/// Once empty it takes all that the source holds at once.
const JOURNAL_BYTES_MAX: u64 = 2 << 20;

/// So seldom that a test is over before one is missed.
const SELDOM: &str = "86400000,86400000";

/// Ours are wanted often, and the server's are promised so seldom.
const OURS: &str = "86400000,200";

/// The server's side, whatever carries the frames.
enum Peer {
    Tcp(Server),
    WebSocket(Box<WebSocketStream<TcpStream>>),
    /// The answer that goes on.
    Xhr(TcpStream),
}

/// Few bytes that become many: a status of 4 MiB, compressed.
fn bomb(device: usize) -> Vec<u8> {
    let pad = " ".repeat(4 << 20);
    let body = format!(r#"{{"deviceId":{device},"newState":"故障","pad":"{pad}"}}"#);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, body.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// Such messages, in one write.
async fn send_bombs(server: &mut Server, count: usize) {
    let mut frames = Vec::new();
    for id in 0..count {
        let body = bomb(id);
        let head = format!(
            "MESSAGE\nsubscription:map-1\ndestination:a\nmessage-id:m{id}\nack:a{id}\n\
             content-length:{}\n\n",
            body.len()
        );
        frames.extend([head.as_bytes(), &body, b"\0\n"].concat());
    }
    assert!(frames.len() < 64 << 10, "{} bytes", frames.len());
    server.stream.write_all(&frames).await.unwrap();
}

/// How many of such messages may be in memory at once: one in each commit, and one in the intake.
const BOMBS_HELD: u64 = 3;

#[tokio::test]
async fn bodies_that_grow_are_taken_from_one_read_as_there_is_room_for_them() {
    let lab = Lab::with_full_journal().await;
    let mut server = lab.accept_session(OURS).await;
    send_bombs(&mut server, 8).await;
    lab.until(|status| status.counters.messages.load(Relaxed) > 0)
        .await;
    // The link lives on meanwhile.
    server.exchange_heartbeats(4).await;
    let taken = lab.status.counters.messages.load(Relaxed);
    assert!(taken <= BOMBS_HELD, "{taken} are in memory");
    for id in 0..8 {
        let frame = within(async {
            loop {
                lab.unstick();
                let frame = tokio::time::timeout(Duration::from_millis(50), server.frame());
                if let Ok(frame) = frame.await {
                    break frame;
                }
            }
        });
        assert_eq!(frame.await, format!("ACK\nid:a{id}\n\n"));
    }
    assert_eq!(lab.status.counters.messages.load(Relaxed), 8);
}

#[tokio::test]
async fn a_stop_journals_the_bodies_that_had_no_room() {
    let mut lab = Lab::with_full_journal().await;
    let mut server = lab.accept_session("0,0").await;
    send_bombs(&mut server, 8).await;
    lab.until(|status| status.counters.messages.load(Relaxed) > 0)
        .await;
    lab.stop.cancel();
    within(&mut lab.source).await.unwrap().unwrap();
    let followed = lab.follow();
    within(async {
        while followed.devices().len() < 8 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let expected: Vec<String> = (0..8).map(|device| device.to_string()).collect();
    assert_eq!(followed.devices(), expected);
}

#[tokio::test]
async fn bodies_that_grow_are_taken_as_there_is_room_also_behind_the_end_of_the_connection() {
    let lab = Lab::plain("stomp").await;
    let Peer::Tcp(mut server) = lab.connected(SELDOM).await else {
        panic!("TCP")
    };
    send_bombs(&mut server, 8).await;
    drop(server);
    lab.until(|status| status.link().last_error.is_some()).await;
    let taken = lab.status.counters.messages.load(Relaxed);
    assert!((1..=BOMBS_HELD).contains(&taken), "{taken} are in memory");
    let followed = lab.follow();
    within(async {
        while followed.devices().len() < 8 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let expected: Vec<String> = (0..8).map(|device| device.to_string()).collect();
    assert_eq!(followed.devices(), expected);
}

/// How a server goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Fin,
    Reset,
}

fn message(id: usize) -> String {
    message_of("map-1", id)
}

fn message_of(topic: &str, id: usize) -> String {
    let status = r#"{"clientId":1,"deviceId":7,"oldState":"正常","newState":"故障","pad":""#;
    let pad = "x".repeat(BODY_BYTES - status.len() - 2);
    let head =
        format!("MESSAGE\nsubscription:{topic}\ndestination:a\nmessage-id:m{id}\nack:a{id}\n");
    format!("{head}content-length:{BODY_BYTES}\n\n{status}{pad}\"}}\0")
}

fn topic(name: &str, destination: &str, ack: AckMode) -> Topic {
    Topic {
        name: name.into(),
        destination: destination.into(),
        ack,
        headers: Vec::new(),
    }
}

impl Lab {
    /// One plain topic, and a journal that is full.
    async fn plain(scheme: &str) -> Lab {
        Lab::full(scheme, vec![topic("map-1", "/topic/a", AckMode::Auto)]).await
    }

    async fn full(scheme: &str, topics: Vec<Topic>) -> Lab {
        Lab::full_with(scheme, topics, Duration::from_millis(200)).await
    }

    async fn full_with(scheme: &str, topics: Vec<Topic>, heartbeat: Duration) -> Lab {
        let lab = Lab::of(scheme, topics, heartbeat, JOURNAL_BYTES_MAX, None).await;
        // Before that no connection is made to a full one.
        lab.until(|status| status.counters.attempts.load(Relaxed) == 1)
            .await;
        lab.fill().await;
        lab
    }

    /// Answers CONNECT and SUBSCRIBE.
    async fn connected(&self, heartbeat: &str) -> Peer {
        let scheme = self.settings.urls[0].to_string();
        let mut peer = match scheme.split(':').next() {
            Some("ws") => {
                let (stream, _) = within(self.server.accept()).await.unwrap();
                Peer::WebSocket(Box::new(
                    tokio_tungstenite::accept_async(stream).await.unwrap(),
                ))
            }
            Some("http") => self.xhr().await,
            _ => Peer::Tcp(self.accept().await),
        };
        let connect = peer.frame(self).await;
        assert!(connect.starts_with("CONNECT\n"), "{connect}");
        peer.send(&format!(
            "CONNECTED\nversion:1.2\nserver:RabbitMQ/3.10.8\nheart-beat:{heartbeat}\n\n\0"
        ))
        .await;
        for _ in &self.settings.topics {
            let subscribe = peer.frame(self).await;
            let receipt = subscribe
                .lines()
                .find_map(|line| line.strip_prefix("receipt:"))
                .expect("a receipt is wanted");
            peer.send(&format!("RECEIPT\nreceipt-id:{receipt}\n\n\0"))
                .await;
        }
        self.until(|status| status.link().state.is_ready()).await;
        peer
    }

    async fn xhr(&self) -> Peer {
        let info = r#"{"websocket":false,"origins":["*:*"],"cookie_needed":false,"entropy":1}"#;
        self.answer("/info", "200 OK", info).await;
        let (mut stream, request) = self.request().await;
        assert!(request.contains("/xhr_streaming"), "{request}");
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut peer = Peer::Xhr(stream);
        peer.chunk(&format!("{}\no\n", "h".repeat(2048))).await;
        peer
    }

    /// The next HTTP request: its head and body.
    async fn request(&self) -> (TcpStream, String) {
        within(async {
            let (mut stream, _) = self.server.accept().await.unwrap();
            let mut request = Vec::new();
            loop {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                let length = head
                    .lines()
                    .find_map(|line| {
                        line.to_lowercase()
                            .strip_prefix("content-length: ")?
                            .parse()
                            .ok()
                    })
                    .unwrap_or(0);
                if body.len() >= length {
                    return (stream, text);
                }
            }
        })
        .await
    }

    /// Answers the next request for this path; gives its body. Others are of the session before.
    async fn answer(&self, path: &str, status: &str, body: &str) -> String {
        let (mut stream, request) = loop {
            let (stream, request) = self.request().await;
            if request.lines().next().unwrap().contains(path) {
                break (stream, request);
            }
        };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        request.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// Sends messages until the source reads no more.
    async fn pause(&self, peer: &mut Peer) {
        for id in 0..HELD {
            peer.send(&message(id)).await;
        }
        self.until(|status| status.link().state == LinkState::Paused)
            .await;
        assert!(!self.status.link().state.is_ready());
    }

    /// The one sink gets on from now on, and this is what it gets.
    fn follow(&self) -> Followed {
        let followed = Followed::default();
        let (journal, seen_by) = (self.journal.clone(), followed.clone());
        tokio::spawn(async move {
            let (mut head, mut seen) = (journal.log.head(), Position::START);
            loop {
                // Without a folder the test is over.
                let Ok(mut reader) = journal.log.reader().await else {
                    return;
                };
                let entries = reader.read_after(seen, 1000, usize::MAX).await.unwrap();
                let read = entries.last().map(|entry| entry.position);
                seen_by.0.lock().unwrap().extend(entries);
                if let Some(read) = read {
                    seen = read;
                    journal.cursors.pass("stuck", seen, Passed::default());
                } else if head.changed().await.is_err() {
                    return;
                }
            }
        });
        followed
    }

    /// Waits for the end of the connection, of which no missing heart-beat has told.
    async fn notices(&self) {
        let error = self.error().await;
        assert!(!error.contains("silent"), "{error}");
    }
}

/// The entries of the journal, in order.
#[derive(Clone, Default)]
struct Followed(Arc<Mutex<Vec<Entry>>>);

impl Followed {
    /// The devices of the statuses, in order.
    fn devices(&self) -> Vec<String> {
        let entries = self.0.lock().unwrap();
        let devices = entries.iter().filter_map(|entry| {
            let body = String::from_utf8_lossy(&entry.body);
            let (_, device) = body.split_once("{\"deviceId\":")?;
            Some(device.split_once(',')?.0.to_owned())
        });
        devices.collect()
    }

    /// What is said of when topics were heard.
    fn words(&self) -> Vec<String> {
        let entries = self.0.lock().unwrap();
        let said = entries
            .iter()
            .filter(|entry| entry.content == EntryContent::Coverage);
        said.map(word).collect()
    }

    /// It may be journaled a moment after the end is in the status.
    async fn gap(&self) -> Coverage {
        peers::wait::until("a gap", async || {
            let entries = self.0.lock().unwrap();
            entries.iter().find_map(|entry| {
                let coverage =
                    (entry.content == EntryContent::Coverage).then(|| coverage(entry))?;
                (!coverage.heard).then_some(coverage)
            })
        })
        .await
    }

    fn statuses(&self) -> usize {
        let entries = self.0.lock().unwrap();
        let of_server = |entry: &&Entry| entry.body.starts_with(b"{\"clientId\"");
        entries.iter().filter(of_server).count()
    }

    async fn until(&self, words: &[&str], statuses: usize) {
        let came = async {
            while self.words() != words || self.statuses() != statuses {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, came).await;
        let found = (self.words(), self.statuses());
        assert!(came.is_ok(), "{found:?}, not {words:?} and {statuses}");
    }
}

impl Peer {
    async fn send(&mut self, frame: &str) {
        match self {
            Peer::Tcp(server) => server.send(frame).await,
            Peer::WebSocket(socket) => socket.send(Frame::text(frame)).await.unwrap(),
            Peer::Xhr(_) => {
                let frames = serde_json::to_string(&[frame]).unwrap();
                self.chunk(&format!("a{frames}\n")).await;
            }
        }
    }

    async fn chunk(&mut self, text: &str) {
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        self.tcp().write_all(chunk.as_bytes()).await.unwrap();
    }

    fn tcp(&mut self) -> &mut TcpStream {
        match self {
            Peer::Tcp(server) => &mut server.stream,
            Peer::WebSocket(socket) => (**socket).get_mut(),
            Peer::Xhr(answer) => answer,
        }
    }

    /// The next frame, or `\n`.
    async fn next(&mut self, lab: &Lab) -> String {
        match self {
            Peer::Tcp(server) => {
                let mut byte = [0];
                within(server.stream.read_exact(&mut byte)).await.unwrap();
                assert_eq!(byte, *b"\n");
                "\n".to_owned()
            }
            Peer::WebSocket(socket) => match within(socket.next()).await.unwrap().unwrap() {
                Frame::Ping(_) => "ping".to_owned(),
                frame => frame.to_text().unwrap().to_owned(),
            },
            Peer::Xhr(_) => {
                let body = lab.answer("/xhr_send", "204 No Content", "").await;
                serde_json::from_str::<Vec<String>>(&body).unwrap().concat()
            }
        }
    }

    async fn frame(&mut self, lab: &Lab) -> String {
        if let Peer::Tcp(server) = self {
            return server.frame().await;
        }
        loop {
            let frame = self.next(lab).await;
            if frame != "\n" && frame != "ping" {
                return frame;
            }
        }
    }

    /// Reads a number of heart-beats, and answers each.
    async fn beats(&mut self, lab: &Lab, expected: &str, count: usize) {
        for _ in 0..count {
            assert_eq!(self.next(lab).await, expected);
            if expected == "\n" {
                self.send("\n").await;
            }
        }
    }

    /// Reads without end, and answers what is to be answered within a second.
    async fn stays(&mut self, lab: &Lab) {
        match self {
            Peer::Xhr(_) => std::future::pending().await,
            Peer::Tcp(_) | Peer::WebSocket(_) => loop {
                if self.next(lab).await == "\n" {
                    self.send("\n").await;
                }
            },
        }
    }

    /// It goes, and what it has sent is on the way. Gives what keeps the socket open.
    async fn end(mut self, end: End) -> Option<Peer> {
        match end {
            End::Fin => {
                self.tcp().shutdown().await.unwrap();
                Some(self)
            }
            End::Reset => {
                self.tcp().set_zero_linger().unwrap();
                None
            }
        }
    }
}

const TRANSPORTS: [&str; 3] = ["stomp", "ws", "http"];

#[tokio::test]
async fn an_end_is_noticed_at_once_and_what_arrived_is_journaled_later() {
    for (scheme, end) in TRANSPORTS
        .into_iter()
        .flat_map(|scheme| [(scheme, End::Fin), (scheme, End::Reset)])
    {
        let lab = Lab::plain(scheme).await;
        let mut peer = lab.connected(OURS).await;
        lab.pause(&mut peer).await;
        let held = lab.status.counters.body_bytes.load(Relaxed);
        assert!(
            (1 << 20..(1 << 20) + (128 << 10)).contains(&held),
            "{scheme}: {held}"
        );
        for id in HELD..HELD + UNREAD {
            peer.send(&message(id)).await;
        }
        // It reads on, and hears us.
        peer.beats(&lab, "\n", 3).await;
        let _open = peer.end(end).await;
        lab.notices().await;
        let read = lab.status.counters.messages.load(Relaxed);
        assert!(read <= HELD as u64, "{scheme} {end:?}: {read}");

        // Nobody asks the server for what has no room.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let link = lab.status.link();
        assert_eq!(link.state, LinkState::Paused, "{scheme} {end:?}");
        assert_eq!(lab.status.counters.attempts.load(Relaxed), 1);

        let followed = lab.follow();
        let _again = lab.connected(SELDOM).await;
        let words = ["map-1+", "map-1-journal_full", "map-1+"];
        followed.until(&words, HELD + UNREAD).await;
        let gap = followed.gap().await;
        assert_eq!(gap.cause, Some(CoverageCause::JournalFull));
        assert!(gap.at <= link.since, "{scheme} {end:?}: {gap:?} {link:?}");
    }
}

#[tokio::test]
async fn heart_beats_and_pings_go_on_and_the_same_connection_goes_on_later() {
    for (scheme, heartbeat, beat) in [
        ("stomp", "1000,1000", "\n"),
        ("ws", "1000,1000", "\n"),
        ("ws", "0,0", "ping"),
        ("http", "0,1000", "\n"),
    ] {
        let topics = vec![topic("map-1", "/topic/a", AckMode::Auto)];
        let lab = Lab::full_with(scheme, topics, Duration::from_secs(1)).await;
        let mut peer = lab.connected(heartbeat).await;
        lab.pause(&mut peer).await;
        // Longer than a silence may be.
        peer.beats(&lab, beat, 5).await;
        assert_eq!(lab.status.link().state, LinkState::Paused, "{scheme}");
        let followed = lab.follow();
        for statuses in [HELD, HELD + 1] {
            let journaled = followed.until(&["map-1+"], statuses);
            tokio::select! {
                () = peer.stays(&lab) => panic!("it never ends"),
                () = journaled => {}
            }
            peer.send(&message(statuses)).await;
        }
        lab.until(|status| status.link().state == LinkState::Receiving)
            .await;
        assert_eq!(lab.status.link().last_error, None);
        assert_eq!(lab.status.counters.attempts.load(Relaxed), 1);
    }
}

#[tokio::test]
async fn a_server_whose_end_does_not_come_through_is_noticed_by_our_heart_beat() {
    let lab = Lab::plain("stomp").await;
    let mut peer = lab.connected(OURS).await;
    lab.pause(&mut peer).await;
    let flood = message(HELD);
    let flooded = async {
        loop {
            peer.send(&flood).await;
        }
    };
    // What it has sent fills both kernels, and its FIN stands behind that.
    let flooded = tokio::time::timeout(Duration::from_secs(1), flooded).await;
    assert!(flooded.is_err());
    // With unread bytes its kernel would send a reset.
    let mut beats = [0; 1024];
    while peer.tcp().try_read(&mut beats).is_ok() {}
    drop(peer);
    lab.notices().await;
    let followed = lab.follow();
    let _again = lab.connected(SELDOM).await;
    lab.until(|status| status.link().state.is_ready()).await;
    assert!(followed.statuses() >= HELD);
    assert_eq!(followed.gap().await.cause, Some(CoverageCause::JournalFull));
}

#[tokio::test]
async fn an_end_before_the_source_stops_reading_waits_for_the_journal_too() {
    let lab = Lab::plain("stomp").await;
    let mut peer = lab.connected(SELDOM).await;
    for id in 0..3 {
        peer.send(&message(id)).await;
    }
    lab.until(|status| status.counters.messages.load(Relaxed) == 3)
        .await;
    drop(peer);
    lab.until(|status| status.link().state == LinkState::Paused)
        .await;
    lab.waits_with_the_next_attempt().await;
    let followed = lab.follow();
    let _again = lab.connected(SELDOM).await;
    let words = ["map-1+", "map-1-journal_full", "map-1+"];
    followed.until(&words, 3).await;
}

#[tokio::test]
async fn a_journal_that_gets_room_in_a_back_off_pauses_the_source_no_longer() {
    let topics = vec![topic("map-1", "/topic/a", AckMode::Auto)];
    let lab = Lab::of("stomp", topics, Duration::ZERO, JOURNAL_BYTES_MAX, None).await;
    let mut first = lab.connected("0,0").await;
    // No attempt after a life comes before this time.
    let hour = Duration::from_secs(3600);
    lab.reload_with(Settings {
        reconnect: stomp_bridge::source::Reconnect {
            initial: hour,
            max: Some(hour),
            attempts: None,
        },
        ..lab.settings.clone()
    })
    .await;
    let disconnect = first.frame(&lab).await;
    assert!(disconnect.starts_with("DISCONNECT\n"), "{disconnect}");
    drop(first);
    let mut peer = lab.connected("0,0").await;
    peer.send(&message(0)).await;
    lab.until(|status| status.link().state == LinkState::Receiving)
        .await;
    lab.fill().await;
    let attempts = lab.status.counters.attempts.load(Relaxed);
    drop(peer);
    lab.until(|status| {
        status.link().last_error.is_some() && status.link().state == LinkState::Paused
    })
    .await;
    lab.unstick();
    lab.until(|status| status.link().state == LinkState::Connecting)
        .await;
    assert_eq!(lab.status.counters.attempts.load(Relaxed), attempts);
}

#[tokio::test]
async fn a_stop_journals_what_was_read() {
    let mut lab = Lab::plain("stomp").await;
    let mut peer = lab.connected(OURS).await;
    lab.pause(&mut peer).await;
    lab.stop.cancel();
    within(&mut lab.source).await.unwrap().unwrap();
    let followed = lab.follow();
    followed
        .until(&["map-1+", "map-1-journal_full"], HELD)
        .await;
}

#[tokio::test]
async fn a_stop_after_the_end_journals_what_was_read() {
    let mut lab = Lab::plain("stomp").await;
    let mut peer = lab.connected(OURS).await;
    lab.pause(&mut peer).await;
    drop(peer);
    lab.notices().await;
    lab.stop.cancel();
    within(&mut lab.source).await.unwrap().unwrap();
    let followed = lab.follow();
    followed
        .until(&["map-1+", "map-1-journal_full"], HELD)
        .await;
}

#[tokio::test]
async fn a_start_with_a_full_journal_waits_for_room_and_a_stop_does_not() {
    let mut lab = Lab::plain("stomp").await;
    drop(lab.accept().await);
    lab.stop.cancel();
    within(&mut lab.source).await.unwrap().unwrap();
    let next = async || -> (Source, Handle, Arc<Status>) {
        let (status, decoders) = (Status::new(), decoders(&lab.settings.topics));
        let (settings, log) = (lab.settings.clone(), lab.journal.log.clone());
        let interval = Interval::default();
        let source = Source::new(settings, decoders, log, status.clone(), interval);
        let (source, handle) = source.await.unwrap();
        (source, handle, status)
    };
    let is_paused = |status: &Status| status.link().state == LinkState::Paused;
    let paused = async |status: &Status| {
        within(async {
            while !is_paused(status) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };

    let (source, _handle, status) = next().await;
    let stop = CancellationToken::new();
    let stopped = async {
        paused(&status).await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(source.run(stop.clone()), stopped);
    ended.unwrap();

    let (source, _handle, status) = next().await;
    let stop = CancellationToken::new();
    let _end = stop.clone().drop_guard();
    tokio::spawn(source.run(stop));
    paused(&status).await;
    lab.waits_with_the_next_attempt().await;
    assert!(is_paused(&status));
    let before = Timestamp::now();
    lab.follow();
    let mut server = lab.accept().await;
    assert!(server.frame().await.starts_with("CONNECT\n"));
    assert!(status.link().since >= before);
}

/// Nothing is lost by it: the server still has what waits there.
#[tokio::test]
async fn a_slow_disk_has_no_more_than_a_mebibyte_of_a_plain_topic_in_memory() {
    const SENT: usize = 512;
    let topics = vec![topic("map-1", "/topic/a", AckMode::Auto)];
    let lab = Lab::of("stomp", topics, Duration::ZERO, 1 << 30, None).await;
    let mut peer = lab.connected("0,0").await;
    let path = lab.journal.log.path().to_owned();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut other = sqlx::sqlite::SqliteConnection::connect_with(&options)
        .await
        .unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let flood = async {
        for id in 0..SENT {
            peer.send(&message(id)).await;
        }
        peer.stays(&lab).await;
    };
    let slow = async {
        lab.until(|status| status.counters.body_bytes.load(Relaxed) >= 1 << 20)
            .await;
        // Within this time it would read all of it.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let read = lab.status.counters.body_bytes.load(Relaxed);
        sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
        lab.until(|status| status.counters.messages.load(Relaxed) == SENT as u64)
            .await;
        read
    };
    let read = tokio::select! {
        () = flood => unreachable!("it stays"),
        read = slow => read,
    };
    // A chunk of a read may exceed it.
    assert!(
        (1 << 20..(1 << 20) + (128 << 10)).contains(&read),
        "{read} bytes"
    );
    lab.until(|_| lab.journal.log.status().accepted == SENT as u64)
        .await;
}

/// A server whose windows nobody knows: what it has sent comes again, and its last word stands behind
/// what was not read.
#[tokio::test]
async fn the_reason_of_the_end_is_read_behind_messages_that_all_come_again() {
    let topics = vec![topic("map-1", "/queue/a", AckMode::ClientIndividual)];
    let lab = Lab::full("stomp", topics).await;
    let mut server = lab.accept().await;
    assert!(server.frame().await.starts_with("CONNECT\n"));
    server
        .send("CONNECTED\nversion:1.2\nserver:Other/1\nheart-beat:0,0\n\n\0")
        .await;
    let subscribe = server.frame().await;
    server.receipt(&subscribe).await;
    let mut sent = 0;
    let rests = |status: &Status| status.link().state == LinkState::Paused;
    while !rests(&lab.status) {
        // No more than is read: the end would stand behind what the kernel cannot take.
        server.send(&message(sent)).await;
        sent += 1;
        lab.until(|status| rests(status) || status.counters.messages.load(Relaxed) == sent as u64)
            .await;
    }
    let read = lab.status.counters.messages.load(Relaxed);
    for id in sent..sent + UNREAD {
        server.send(&message(id)).await;
    }
    // A frame that is counted when it is read.
    server
        .send("NOTICE\n\n\0ERROR\nmessage:maintenance at noon\n\n\0")
        .await;
    drop(server);
    lab.until(|status| status.counters.malformed.load(Relaxed) == 1)
        .await;
    lab.follow();
    let error = lab.error().await;
    assert!(error.contains("maintenance at noon"), "{error}");
    // What was not read before is not stored: it comes again.
    assert_eq!(lab.status.counters.messages.load(Relaxed), read);
}
