//! A session, its clock, and what it said, for the tests. The one place that touches the interface.

use std::time::{Duration, Instant};

use bytes::Bytes;
use stomp_bridge::stomp::{
    AckId, AckMode, Connected, Event, Farewell, Frame, Message, Options, Session, SessionError,
    Subscribe,
};

/// A server without heart-beats.
pub(crate) const CONNECTED: &str = "CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0";

/// The words of a server of these tests, for a message that met our UNSUBSCRIBE.
fn withheld(error: &Frame) -> Option<&str> {
    std::str::from_utf8(&error.body)
        .ok()?
        .strip_prefix("not sent to ")
}

/// A session under test.
pub(crate) struct Client {
    pub(crate) session: Session,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    /// Of every message that can be acknowledged, in order.
    pub(crate) acks: Vec<AckId>,
}

impl Client {
    pub(crate) fn new(options: Options) -> Client {
        let start = Instant::now();
        let mut client = Client {
            session: Session::new(options, start),
            start,
            now: start,
            acks: Vec::new(),
        };
        assert!(client.sent()[0].starts_with("CONNECT\n"));
        client
    }

    /// Connected to a server that answered with these bytes.
    pub(crate) fn connected(answer: &str) -> Client {
        let mut client = Client::new(Options {
            withheld,
            ..Options::new("/")
        });
        let events = client.hears(answer).unwrap();
        assert!(events[0].starts_with("connected"), "{events:?}");
        client
    }

    /// Connected to a server of that version, subscribed as `a` (auto), `c` (client) and `i`
    /// (client-individual).
    pub(crate) fn subscribed(version: &str) -> Client {
        let mut client = Client::connected(&format!("CONNECTED\nversion:{version}\n\n\0"));
        for (id, ack) in [
            ("a", AckMode::Auto),
            ("c", AckMode::Client),
            ("i", AckMode::ClientIndividual),
        ] {
            client.subscribe(id, ack);
        }
        client
            .hears("RECEIPT\nreceipt-id:r-1\n\n\0RECEIPT\nreceipt-id:r-2\n\n\0RECEIPT\nreceipt-id:r-3\n\n\0")
            .unwrap();
        client.sent();
        client
    }

    pub(crate) fn subscribe(&mut self, id: &str, ack: AckMode) {
        let destination = format!("/topic/{id}");
        self.session.subscribe(
            Subscribe {
                id: id.into(),
                destination,
                ack,
                headers: Vec::new(),
            },
            self.now,
        );
    }

    /// Everything that follows from these bytes of the server.
    pub(crate) fn hears(&mut self, bytes: &str) -> Result<Vec<String>, SessionError> {
        self.session
            .receive(Bytes::copy_from_slice(bytes.as_bytes()), self.now);
        self.happened()
    }

    pub(crate) fn happened(&mut self) -> Result<Vec<String>, SessionError> {
        let mut events = Vec::new();
        while let Some(event) = self.session.poll()? {
            if let Event::Message(Message { ack: Some(ack), .. }) = &event {
                self.acks.push(ack.clone());
            }
            events.push(describe(&event));
        }
        Ok(events)
    }

    /// The clock stands at this many milliseconds after the start; the session is ticked, and what
    /// it queues is sent.
    pub(crate) fn at(&mut self, ms: u64) -> Result<Vec<String>, SessionError> {
        self.now = self.start + Duration::from_millis(ms);
        self.session.tick(self.now)?;
        let events = self.happened()?;
        Ok(events)
    }

    /// At this many milliseconds after the start, nobody reads.
    pub(crate) fn not_read_at(&mut self, ms: u64) {
        self.now = self.start + Duration::from_millis(ms);
        self.session.unread(self.now);
    }

    /// The frames that are queued, without their NUL; the writer has finished with them at once.
    pub(crate) fn sent(&mut self) -> Vec<String> {
        let Some(outgoing) = self.session.take_outgoing() else {
            return Vec::new();
        };
        self.session.sent(self.now);
        outgoing
            .frames()
            .map(|frame| {
                String::from_utf8(frame.to_vec())
                    .unwrap()
                    .trim_end_matches('\0')
                    .to_owned()
            })
            .collect()
    }

    /// Milliseconds from the start to the next deadline.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.session
            .deadline()
            .map(|at| u64::try_from(at.duration_since(self.start).as_millis()).unwrap())
    }
}

/// An event in a few words.
pub(crate) fn describe(event: &Event) -> String {
    let message = |message: &Message| {
        let body = String::from_utf8_lossy(&message.body);
        let ack = if message.ack.is_some() {
            "acks"
        } else {
            "no ack"
        };
        let redelivered = if message.redelivered { " again" } else { "" };
        format!("{} {body} {ack}{redelivered}", message.subscription)
    };
    match event {
        Event::Connected(Connected {
            version,
            server,
            heartbeat,
            ..
        }) => {
            let server = server.as_deref().unwrap_or("-");
            format!(
                "connected {version} {server} out {:?} in {:?}",
                heartbeat.outgoing, heartbeat.incoming
            )
        }
        Event::Subscribed { id, confirmed } => format!("subscribed {id} by {confirmed:?}"),
        Event::Unsubscribed { id, confirmed } => format!("unsubscribed {id} by {confirmed:?}"),
        Event::Message(it) => format!("message {}", message(it)),
        Event::Late(it) => format!("late {}", message(it)),
        Event::Withheld { id } => format!("withheld {id}"),
        Event::Unknown(it) => format!("unknown {}", message(it)),
        Event::Malformed(it) => format!("malformed {}: {}", it.command, it.mistake),
        Event::Receipt { id, confirmed } => format!("receipt {id} by {confirmed:?}"),
        Event::Disconnected(farewell) => match farewell {
            Farewell::Error(error) => format!("disconnected by error {error}"),
            other => format!("disconnected by {other:?}"),
        },
    }
}
