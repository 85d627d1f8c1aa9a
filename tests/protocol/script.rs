//! Transcripts: what a client and a server say to each other, as a text, played by a scripted
//! server over a real socket against the real transport and session.
//!
//! ```text
//! over stomp | ws | sockjs        heartbeat MS        # a comment
//! > BYTES      the client writes exactly this next (on WebSocket and SockJS: as one message)
//! < BYTES      the server writes this (on WebSocket and SockJS: as one message)
//! close CODE REASON               the server closes the WebSocket; `end` closes the socket
//! ! subscribe ID DESTINATION ACK | ack | nack | send DESTINATION BODY | unsubscribe ID | disconnect
//! = EVENT      the next event; `= error TEXT`: the connection ends with an error that contains this
//! h NAME VALUE a header of the last message
//! ```
//! In BYTES, EVENT, VALUE and BODY `\n`, `\r`, `\0`, `\\` and `\xNN` are escapes.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use stomp_bridge::source::{Client, ClientError, Reconnect, Settings};
use stomp_bridge::stomp::{AckMode, Connected, Event, Message, NewMessage, Subscribe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, protocol::CloseFrame};
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::session::client::describe;

/// Whatever is awaited comes within this time or not at all.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Stomp,
    WebSocket,
    SockJs,
}

/// How the server cuts what it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Whole,
    Bytes,
}

/// Plays a transcript; panics with the line that did not go as it says.
pub(crate) async fn play(name: &str, text: &str, cut: Cut) {
    let (mut over, mut heartbeat) = (Over::Stomp, Duration::from_secs(10));
    let mut play = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (kind, rest) {
            ("" | "#", _) => continue,
            ("over", "stomp") => over = Over::Stomp,
            ("over", "ws") => over = Over::WebSocket,
            ("over", "sockjs") => over = Over::SockJs,
            ("heartbeat", ms) => heartbeat = Duration::from_millis(ms.parse().unwrap()),
            _ => {
                if play.is_none() {
                    play = Some(Play::start(over, heartbeat, cut).await);
                }
                let step = play.as_mut().unwrap().step(kind, rest);
                let outcome = timeout(PATIENCE, step)
                    .await
                    .unwrap_or_else(|_| Err("nothing happens".to_owned()));
                outcome.unwrap_or_else(|problem| {
                    panic!("{name}:{} ({cut:?}) {line}\n{problem}", number + 1)
                });
            }
        }
    }
    let play = play.unwrap_or_else(|| panic!("{name} is empty"));
    assert!(
        play.events.is_empty(),
        "{name}: left over: {:?}",
        play.events
    );
}

/// One transcript that is being replayed.
struct Play {
    peer: Peer,
    wire: Wire,
    cut: Cut,
    events: VecDeque<Result<String, String>>,
}

/// Our side.
struct Peer {
    life: Life,
    last: Option<Message>,
}

type Opened = Result<(Client, Connected), ClientError>;

enum Life {
    Connecting(Pin<Box<dyn Future<Output = Opened>>>),
    Living(Box<Client>),
    Over,
}

/// The server's side.
enum Wire {
    Plain(TcpStream),
    Messages(Box<WebSocketStream<TcpStream>>),
}

impl Play {
    async fn start(over: Over, heartbeat: Duration, cut: Cut) -> Play {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = match over {
            Over::Stomp => format!("stomp://{address}"),
            Over::WebSocket => format!("ws://{address}/ws"),
            Over::SockJs => format!("http://{address}/base"),
        };
        let connecting = Box::pin(async move {
            Client::connect(&settings(&url, heartbeat), |_| Box::new(|_| Ok(()))).await
        });
        let mut peer = Peer {
            life: Life::Connecting(connecting),
            last: None,
        };
        let wire = tokio::select! {
            wire = accept(listener, over) => wire,
            ended = peer.next() => panic!("no connection: {ended:?}"),
        };
        Play {
            peer,
            wire,
            cut,
            events: VecDeque::new(),
        }
    }

    async fn step(&mut self, kind: &str, rest: &str) -> Result<(), String> {
        match kind {
            ">" => self.hear(&unescaped(rest)).await,
            "<" => {
                self.wire.say(&unescaped(rest), self.cut).await;
                Ok(())
            }
            "close" => {
                let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
                self.wire.close(code.parse().unwrap(), reason).await;
                Ok(())
            }
            "end" => {
                self.wire.end().await;
                Ok(())
            }
            "!" => {
                self.peer.order(rest);
                Ok(())
            }
            "=" => self.expect(rest).await,
            "h" => {
                let (name, value) = rest.split_once(' ').unwrap();
                let message = self.peer.last.as_ref().ok_or("there was no message")?;
                let found = message
                    .headers
                    .get(name)
                    .map(|value| value.into_owned().into_bytes());
                same(found.as_deref().unwrap_or(b"(none)"), &unescaped(value))
            }
            _ => Err("no step of that name".to_owned()),
        }
    }

    /// Our side goes on while the server waits.
    async fn hear(&mut self, expected: &[u8]) -> Result<(), String> {
        let Play {
            peer, wire, events, ..
        } = self;
        let heard = wire.hear(expected.len());
        tokio::pin!(heard);
        loop {
            tokio::select! {
                heard = &mut heard => return same(&heard?, expected),
                event = peer.next() => events.push_back(event),
            }
        }
    }

    async fn expect(&mut self, expected: &str) -> Result<(), String> {
        let event = match self.events.pop_front() {
            Some(event) => event,
            None => self.peer.next().await,
        };
        match (event, expected.strip_prefix("error ")) {
            (Ok(event), None) => same(event.as_bytes(), &unescaped(expected)),
            (Err(error), Some(part)) if error.contains(part) => Ok(()),
            (event, _) => Err(format!("there was {event:?}")),
        }
    }
}

fn same(found: &[u8], expected: &[u8]) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("there was {}", found.escape_ascii()))
    }
}

impl Peer {
    /// Never returns once it is over. Cancel-safe.
    async fn next(&mut self) -> Result<String, String> {
        let outcome = match &mut self.life {
            Life::Connecting(connecting) => connecting.await.map(|(client, connected)| {
                self.life = Life::Living(Box::new(client));
                Event::Connected(connected)
            }),
            Life::Living(client) => client.next().await,
            Life::Over => std::future::pending().await,
        };
        if outcome.is_err() || matches!(outcome, Ok(Event::Disconnected(_))) {
            self.life = Life::Over;
        }
        let event = outcome.map_err(|error| error.to_string())?;
        let text = describe(&event);
        if let Event::Message(message) = event {
            self.last = Some(message);
        }
        Ok(text)
    }

    fn order(&mut self, order: &str) {
        let Life::Living(client) = &mut self.life else {
            panic!("{order}: there is no connection")
        };
        let (session, now) = (client.session(), Instant::now());
        let ack = || {
            self.last
                .as_ref()
                .and_then(|message| message.ack.clone())
                .expect("a message with an ack")
        };
        match order.splitn(3, ' ').collect::<Vec<_>>()[..] {
            ["subscribe", id, rest] => {
                let (destination, ack) = rest.split_once(' ').unwrap();
                let modes = [AckMode::Auto, AckMode::Client, AckMode::ClientIndividual];
                let ack = modes.into_iter().find(|mode| mode.as_str() == ack).unwrap();
                let wanted = Subscribe {
                    id: id.into(),
                    destination: destination.to_owned(),
                    ack,
                    headers: Vec::new(),
                };
                session.subscribe(wanted, now);
            }
            ["unsubscribe", id] => session.unsubscribe(id, now),
            ["ack"] => session.ack(&ack()),
            ["nack"] => session.nack(&ack()).unwrap(),
            ["send", destination, body] => {
                let body = unescaped(body);
                let message = NewMessage {
                    destination,
                    body: &body,
                    ..NewMessage::default()
                };
                session.send(&message, now).unwrap();
            }
            ["disconnect"] => session.disconnect(now),
            _ => panic!("no order: {order}"),
        }
    }
}

impl Wire {
    async fn say(&mut self, bytes: &[u8], cut: Cut) {
        let pieces = bytes.chunks(if cut == Cut::Bytes { 1 } else { bytes.len() });
        for piece in pieces {
            match self {
                Wire::Plain(stream) => stream.write_all(piece).await.unwrap(),
                Wire::Messages(socket) => {
                    let message = match std::str::from_utf8(piece) {
                        Ok(text) => tungstenite::Message::text(text),
                        Err(_) => tungstenite::Message::binary(piece.to_vec()),
                    };
                    socket.send(message).await.unwrap();
                }
            }
        }
    }

    async fn hear(&mut self, length: usize) -> Result<Vec<u8>, String> {
        match self {
            Wire::Plain(stream) => {
                let mut bytes = vec![0; length];
                stream
                    .read_exact(&mut bytes)
                    .await
                    .map_err(|error| error.to_string())?;
                Ok(bytes)
            }
            Wire::Messages(socket) => match socket.next().await {
                Some(Ok(tungstenite::Message::Text(text))) => Ok(text.as_bytes().to_vec()),
                other => Err(format!("there was {other:?}")),
            },
        }
    }

    async fn close(&mut self, code: u16, reason: &str) {
        let Wire::Messages(socket) = self else {
            panic!("only a WebSocket has codes")
        };
        let close = CloseFrame {
            code: code.into(),
            reason: reason.to_owned().into(),
        };
        socket
            .send(tungstenite::Message::Close(Some(close)))
            .await
            .unwrap();
    }

    async fn end(&mut self) {
        match self {
            Wire::Plain(stream) => stream.shutdown().await.unwrap(),
            Wire::Messages(socket) => socket.get_mut().shutdown().await.unwrap(),
        }
    }
}

async fn accept(listener: TcpListener, over: Over) -> Wire {
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.set_nodelay(true).unwrap();
    match over {
        Over::Stomp => Wire::Plain(stream),
        Over::WebSocket => Wire::Messages(Box::new(accept_async(stream).await.unwrap())),
        Over::SockJs => {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            assert!(
                head.starts_with(b"GET /base/info HTTP/1.1\r\n"),
                "{}",
                head.escape_ascii()
            );
            let info = r#"{"entropy":-1,"origins":["*:*"],"cookie_needed":true,"websocket":true}"#;
            let length = info.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{info}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = accept_async(stream).await.unwrap();
            socket.send(tungstenite::Message::text("o")).await.unwrap();
            Wire::Messages(Box::new(socket))
        }
    }
}

/// The source's settings, without credentials.
pub(crate) fn settings(url: &str, heartbeat: Duration) -> Settings {
    Settings {
        urls: vec![url.parse().unwrap()],
        signin: None,
        login: None,
        passcode: None,
        host: "/".to_owned(),
        headers: Vec::new(),
        heartbeat,
        silence: None,
        silences: Default::default(),
        resyncs: Default::default(),
        backslashes: Default::default(),
        websocket_split: None,
        tls: Default::default(),
        reconnect: Reconnect {
            initial: Duration::ZERO,
            max: Some(Duration::ZERO),
            attempts: None,
        },
        topics: Vec::new(),
        body_bytes_max: 1 << 20,
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escape = (byte == b'\\').then(|| after.first().copied()).flatten();
        let (byte, length) = match escape {
            None => (byte, 0),
            Some(b'n') => (b'\n', 1),
            Some(b'r') => (b'\r', 1),
            Some(b'0') => (0, 1),
            Some(b'\\') => (b'\\', 1),
            Some(b'x') => (
                u8::from_str_radix(std::str::from_utf8(&after[1..3]).unwrap(), 16).unwrap(),
                3,
            ),
            Some(other) => panic!("no escape: \\{}", char::from(other)),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes
}
