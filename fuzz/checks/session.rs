//! Whatever a server says, and whatever the caller asks meanwhile, a session never panics. It sends
//! nothing before CONNECTED but CONNECT, and nothing after DISCONNECT. Its deadlines are always in
//! the future. An input is lines: `<` and what the server sends, with `~` for NUL and `|` for LF, or
//! an order.

use std::time::{Duration, Instant};

use bytes::Bytes;
use stomp_bridge::stomp::{
    AckMode, Command, Confirm, Decoder, Event, Limits, NewMessage, Options, Session, Subscribe,
};

/// What we have sent, read by the rules of the server.
struct Sent {
    decoder: Decoder,
    connected: bool,
    disconnected: bool,
}

impl Sent {
    fn check(&mut self, session: &mut Session) {
        let Some(outgoing) = session.take_outgoing() else {
            return;
        };
        assert_eq!(outgoing.ends.last(), Some(&outgoing.bytes.len()));
        assert!(!self.disconnected, "something follows DISCONNECT");
        self.decoder.feed(outgoing.bytes);
        while let Some(frame) = self.decoder.next().expect("what we send is STOMP") {
            assert!(!self.disconnected, "{frame:?} follows DISCONNECT");
            assert_eq!(
                frame.command == Command::Connect,
                !self.connected,
                "{frame:?}"
            );
            self.connected = true;
            self.disconnected = frame.command == Command::Disconnect;
        }
        assert_eq!(self.decoder.unfinished_bytes(), 0);
    }
}

/// # Panics
/// It does.
pub(crate) fn check(input: &[u8]) {
    let mut now = Instant::now();
    let limits = Limits {
        oversize_bytes_max: 4096,
        ..Limits::with_body_bytes_max(256)
    };
    let mut session = Session::new(
        Options {
            limits,
            ..Options::new("/")
        },
        now,
    );
    let mut sent = Sent {
        decoder: Decoder::new(Limits::default()),
        connected: false,
        disconnected: false,
    };
    let mut acks = Vec::new();
    sent.check(&mut session);
    for line in input.split(|&byte| byte == b'\n') {
        let Some((&order, rest)) = line.split_first() else {
            continue;
        };
        let id = if rest.is_empty() { "a" } else { "b" };
        match order {
            b'<' => {
                let bytes: Vec<u8> = rest
                    .iter()
                    .map(|byte| match byte {
                        b'~' => 0,
                        b'|' => b'\n',
                        other => *other,
                    })
                    .collect();
                session.receive(Bytes::from(bytes), now);
            }
            b's' | b'c' | b'i' => {
                let ack = match order {
                    b's' => AckMode::Auto,
                    b'c' => AckMode::Client,
                    _ => AckMode::ClientIndividual,
                };
                let wanted = Subscribe {
                    id: id.into(),
                    destination: "/t".to_owned(),
                    ack,
                    headers: Vec::new(),
                };
                session.subscribe(wanted, now);
            }
            b'u' => session.unsubscribe(id, now),
            b'a' => acks.last().into_iter().for_each(|ack| session.ack(ack)),
            b'n' => {
                if let Some(ack) = acks.last() {
                    let _ = session.nack(ack);
                }
            }
            b'm' => {
                let confirm = if rest.is_empty() {
                    Confirm::No
                } else {
                    Confirm::Receipt
                };
                let message = NewMessage {
                    destination: "/q",
                    body: rest,
                    confirm,
                    ..NewMessage::default()
                };
                let _ = session.send(&message, now);
            }
            b't' => {
                now += Duration::from_millis(rest.iter().map(|byte| u64::from(*byte) * 100).sum())
            }
            b'd' => session.disconnect(now),
            b'e' => {
                let _ = session.closed();
            }
            _ => {}
        }
        while let Ok(Some(event)) = session.poll() {
            let _ = format!("{event:?}");
            if let Event::Message(message) = event {
                acks.extend(message.ack);
            }
        }
        let _ = session.tick(now);
        sent.check(&mut session);
        // Asked at its deadline, a session must move on, or its caller would spin.
        assert!(
            session.deadline().is_none_or(|due| due > now),
            "a deadline that has passed"
        );
    }
}
