//! The server's side of one STOMP session: a client's frame in, actions out. It owns no socket, no
//! clock and no subscription; it only knows which there are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::message::Message;
use crate::stomp::{Command, Frame, Version};

/// Subscriptions of one client.
const SUBSCRIPTIONS_MAX: usize = 128;
/// The destinations that there are.
const DESTINATION_PREFIX: &str = "/topic/";
/// Headers of SEND that are the sender's affair, and those that MESSAGE has of its own.
const SEND_ONLY: [&str; 8] = [
    "destination",
    "content-length",
    "receipt",
    "transaction",
    "subscription",
    "message-id",
    "ack",
    "redelivered",
];

/// What CONNECTED settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) version: Version,
    /// We promised to send something at least so often.
    pub(super) send_every: Option<Duration>,
    /// The client did.
    pub(super) expect_every: Option<Duration>,
}

/// A frame for a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// CONNECTED; from here on the terms hold.
    Connected(Frame, Terms),
    /// RECEIPT.
    Receipt(Frame),
    /// The last frame of a client that said DISCONNECT, where it asked for a receipt.
    Goodbye(Option<Frame>),
    /// ERROR, and nothing after it (STOMP 1.2, section ERROR).
    Error(Frame),
}

/// The actions to be done, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Answer(Answer),
    Subscribe {
        id: Arc<str>,
        destination: String,
        acknowledged: bool,
    },
    Unsubscribe {
        id: Arc<str>,
    },
    Publish(Message),
}

/// A frame's mistake: the ERROR's `message` header.
type Refusal = String;

/// One conversation.
#[derive(Debug)]
pub(super) struct Session {
    name: String,
    heartbeat: Duration,
    /// `None` before CONNECT.
    terms: Option<Terms>,
    /// By id; the destination serves 1.0's UNSUBSCRIBE.
    subscriptions: HashMap<Arc<str>, String>,
}

impl Session {
    /// `name` is what CONNECTED calls it; `heartbeat` the shortest one that is offered, zero for
    /// none.
    pub(super) fn new(name: String, heartbeat: Duration) -> Session {
        Session {
            name,
            heartbeat,
            terms: None,
            subscriptions: HashMap::new(),
        }
    }

    /// After an [`Answer::Error`] or [`Answer::Goodbye`] no further frame may be given.
    pub(super) fn on_frame(&mut self, frame: &Frame) -> Vec<Step> {
        // What a client sends is read strictly: a mistake of its author is to be seen here.
        if let Some(mistake) = &frame.mistake {
            return vec![Step::Answer(refuse(&mistake.to_string(), Some(frame)))];
        }
        let done = match (frame.command, self.terms) {
            (Command::Connect | Command::Stomp, None) => self.connect(frame),
            (Command::Connect | Command::Stomp, Some(_)) => Err("already connected".into()),
            (_, None) => Err("the first frame must be CONNECT or STOMP".into()),
            (Command::Subscribe, Some(terms)) => self.subscribe(frame, terms.version),
            (Command::Unsubscribe, Some(terms)) => self.unsubscribe(frame, terms.version),
            (Command::Send, Some(_)) => send(frame),
            (Command::Ack | Command::Nack, Some(terms)) => acknowledge(frame, terms.version),
            (Command::Disconnect, Some(_)) => {
                return vec![Step::Answer(Answer::Goodbye(receipt(frame)))];
            }
            (Command::Begin | Command::Commit | Command::Abort, Some(_)) => {
                Err("this broker has no transactions".into())
            }
            (
                Command::Connected | Command::Message | Command::Receipt | Command::Error,
                Some(_),
            ) => Err("a frame that only servers send".into()),
            (Command::Other, Some(_)) => Err("an unknown command".into()),
        };
        match done {
            Ok(mut steps) => {
                if self.terms.is_some()
                    && !matches!(frame.command, Command::Connect | Command::Stomp)
                {
                    steps.extend(
                        receipt(frame).map(|receipt| Step::Answer(Answer::Receipt(receipt))),
                    );
                }
                steps
            }
            Err(refusal) => vec![Step::Answer(refuse(&refusal, Some(frame)))],
        }
    }

    /// STOMP 1.2, sections Connecting, Protocol Negotiation and Heart-beating.
    fn connect(&mut self, frame: &Frame) -> Result<Vec<Step>, Refusal> {
        let asked = frame.headers.get("accept-version");
        let version = Version::negotiate(asked.as_deref())
            .ok_or("supported protocol versions are 1.0 1.1 1.2")?;
        let (client_sends, client_wants) = match (version, frame.headers.get("heart-beat")) {
            (Version::V1_0, _) | (_, None) => (Duration::ZERO, Duration::ZERO),
            (_, Some(text)) => beats(&text)
                .ok_or("heart-beat must be two numbers of milliseconds, as in 10000,10000")?,
        };
        let terms = Terms {
            version,
            send_every: settle(self.heartbeat, client_wants),
            expect_every: settle(client_sends, self.heartbeat),
        };
        self.terms = Some(terms);
        let offer_ms = self.heartbeat.as_millis();
        let headers = [
            ("version", version.as_str()),
            ("heart-beat", &format!("{offer_ms},{offer_ms}")),
            ("session", &self.name),
            (
                "server",
                concat!("stomp-bridge-demo/", env!("CARGO_PKG_VERSION")),
            ),
        ];
        Ok(vec![Step::Answer(Answer::Connected(
            Frame::new(Command::Connected, headers),
            terms,
        ))])
    }

    fn subscribe(&mut self, frame: &Frame, version: Version) -> Result<Vec<Step>, Refusal> {
        let destination = destination(frame)?;
        let id: Arc<str> = match frame.headers.get("id") {
            Some(id) => id.into(),
            None if version == Version::V1_0 => destination.as_str().into(),
            None => return Err("SUBSCRIBE needs an id".into()),
        };
        let acknowledged = match frame.headers.get("ack").as_deref() {
            None | Some("auto") => false,
            Some("client" | "client-individual") => true,
            Some(other) => {
                return Err(format!(
                    "ack must be auto, client or client-individual, not {other}"
                ));
            }
        };
        if self.subscriptions.contains_key(&id) {
            return Err(format!("there is a subscription with the id {id} already"));
        }
        if self.subscriptions.len() == SUBSCRIPTIONS_MAX {
            return Err(format!(
                "a client may have {SUBSCRIPTIONS_MAX} subscriptions"
            ));
        }
        self.subscriptions.insert(id.clone(), destination.clone());
        Ok(vec![Step::Subscribe {
            id,
            destination,
            acknowledged,
        }])
    }

    fn unsubscribe(&mut self, frame: &Frame, version: Version) -> Result<Vec<Step>, Refusal> {
        let id: Arc<str> = match (frame.headers.get("id"), frame.headers.get("destination")) {
            (Some(id), _) => id.into(),
            (None, Some(destination)) if version == Version::V1_0 => destination.into(),
            (None, _) => return Err("UNSUBSCRIBE needs an id".into()),
        };
        match self.subscriptions.remove(&id) {
            Some(_) => Ok(vec![Step::Unsubscribe { id }]),
            None => Err(format!("there is no subscription with the id {id}")),
        }
    }
}

/// An ERROR, with the `receipt-id` of the frame that it is for, where that asked for one.
pub(super) fn refuse(message: &str, frame: Option<&Frame>) -> Answer {
    let receipt = frame.and_then(|frame| frame.headers.get("receipt"));
    let headers = [("message", message), ("content-type", "text/plain")];
    let headers = headers
        .into_iter()
        .chain(receipt.as_deref().map(|receipt| ("receipt-id", receipt)));
    let error = Frame::new(Command::Error, headers);
    Answer::Error(match frame {
        Some(frame) => error.with_body(format!("The frame was {}.\n", frame.command)),
        None => error,
    })
}

/// STOMP 1.2, section RECEIPT.
fn receipt(frame: &Frame) -> Option<Frame> {
    let receipt = frame.headers.get("receipt")?;
    Some(Frame::new(Command::Receipt, [("receipt-id", &*receipt)]))
}

fn send(frame: &Frame) -> Result<Vec<Step>, Refusal> {
    let destination = destination(frame)?;
    if frame.headers.get("transaction").is_some() {
        return Err("this broker has no transactions".into());
    }
    let headers = frame
        .headers
        .iter()
        .filter(|(name, _)| !SEND_ONLY.contains(&&**name));
    let headers = headers
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    Ok(vec![Step::Publish(Message {
        destination,
        headers,
        body: frame.body.clone(),
    })])
}

/// Nothing is kept for a client, so there is nothing to acknowledge. But a wrong ACK gets an ERROR
/// (STOMP 1.0 to 1.2, sections ACK and NACK).
fn acknowledge(frame: &Frame, version: Version) -> Result<Vec<Step>, Refusal> {
    let needed: &[&str] = match version {
        Version::V1_0 if frame.command == Command::Nack => {
            return Err("STOMP 1.0 has no NACK".into());
        }
        Version::V1_0 => &["message-id"],
        Version::V1_1 => &["message-id", "subscription"],
        Version::V1_2 => &["id"],
    };
    match needed.iter().find(|name| frame.headers.get(name).is_none()) {
        Some(missing) => Err(format!("{} needs {missing}", frame.command)),
        None => Ok(Vec::new()),
    }
}

fn destination(frame: &Frame) -> Result<String, Refusal> {
    match frame.headers.get("destination") {
        Some(destination) if destination.starts_with(DESTINATION_PREFIX) => {
            Ok(destination.into_owned())
        }
        Some(other) => Err(format!(
            "there is no destination {other}: they begin with {DESTINATION_PREFIX}"
        )),
        None => Err(format!("{} needs a destination", frame.command)),
    }
}

/// `heart-beat`: what the sender can do, what it would like; milliseconds.
fn beats(text: &str) -> Option<(Duration, Duration)> {
    let (sends, wants) = text.split_once(',')?;
    let beat = |text: &str| {
        text.parse::<u32>()
            .ok()
            .map(|ms| Duration::from_millis(ms.into()))
    };
    Some((beat(sends)?, beat(wants)?))
}

fn settle(offered: Duration, wanted: Duration) -> Option<Duration> {
    (!offered.is_zero() && !wanted.is_zero()).then(|| offered.max(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::new("s-1".into(), Duration::from_secs(1))
    }

    fn connected(version: &str) -> Session {
        let mut session = session();
        session.on_frame(&Frame::new(Command::Connect, [("accept-version", version)]));
        assert!(session.terms.is_some());
        session
    }

    /// What the answers are called and what their telling header says.
    fn told(steps: Vec<Step>) -> Vec<String> {
        let header = |frame: &Frame, name| {
            frame
                .headers
                .get(name)
                .map(|value| value.into_owned())
                .unwrap_or_default()
        };
        let tell = |step| match step {
            Step::Answer(Answer::Connected(frame, _)) => {
                format!("connected {}", header(&frame, "version"))
            }
            Step::Answer(Answer::Receipt(frame)) => {
                format!("receipt {}", header(&frame, "receipt-id"))
            }
            Step::Answer(Answer::Goodbye(None)) => "goodbye".into(),
            Step::Answer(Answer::Goodbye(Some(frame))) => {
                format!("goodbye {}", header(&frame, "receipt-id"))
            }
            Step::Answer(Answer::Error(frame)) => format!("error {}", header(&frame, "message")),
            Step::Subscribe {
                id,
                destination,
                acknowledged,
            } => {
                format!("subscribe {id} {destination} {acknowledged}")
            }
            Step::Unsubscribe { id } => format!("unsubscribe {id}"),
            Step::Publish(message) => {
                format!("publish {} {:?}", message.destination, message.headers)
            }
        };
        steps.into_iter().map(tell).collect()
    }

    #[test]
    fn the_best_common_version_is_taken_and_none_is_an_error() {
        let check = |headers: &[(&str, &str)], expected: &str| {
            let frame = Frame::new(Command::Stomp, headers.iter().copied());
            assert_eq!(told(session().on_frame(&frame)), [expected], "{headers:?}");
        };
        check(&[("accept-version", "1.2,1.1,1.0")], "connected 1.2");
        check(&[("accept-version", "1.1,1.0")], "connected 1.1");
        check(&[], "connected 1.0");
        check(
            &[("accept-version", "3.0")],
            "error supported protocol versions are 1.0 1.1 1.2",
        );
    }

    #[test]
    fn heart_beats_are_the_slower_of_both_offers_and_off_where_one_side_wants_none() {
        let check = |offer_ms, heart_beat: &str, expected: Option<(u64, u64)>| {
            let mut session = Session::new("s".into(), Duration::from_millis(offer_ms));
            let frame = Frame::new(
                Command::Connect,
                [("accept-version", "1.2"), ("heart-beat", heart_beat)],
            );
            session.on_frame(&frame);
            let ms = |every: Option<Duration>| {
                every.map_or(0, |every| u64::try_from(every.as_millis()).unwrap())
            };
            let terms = session
                .terms
                .map(|terms| (ms(terms.send_every), ms(terms.expect_every)));
            assert_eq!(terms, expected, "{offer_ms} {heart_beat}");
        };
        // (we send, we expect)
        check(1_000, "10000,10000", Some((10_000, 10_000)));
        check(1_000, "20,30", Some((1_000, 1_000)));
        check(1_000, "5000,0", Some((0, 5_000)));
        check(1_000, "0,5000", Some((5_000, 0)));
        check(0, "5000,5000", Some((0, 0)));
        for wrong in ["", "1000", "1000, 1000", "a,b", "-1,0", "99999999999,0"] {
            check(1_000, wrong, None);
        }
    }

    #[test]
    fn frames_are_answered_by_their_version() {
        use Command::*;
        let check = |version: &str, command, headers: &[(&str, &str)], expected: &[&str]| {
            let frame = Frame::new(command, headers.iter().copied());
            assert_eq!(
                told(connected(version).on_frame(&frame)),
                expected,
                "{version} {frame:?}"
            );
        };
        let a = ("destination", "/topic/a");
        check(
            "1.2",
            Subscribe,
            &[a, ("id", "x"), ("receipt", "r")],
            &["subscribe x /topic/a false", "receipt r"],
        );
        check(
            "1.2",
            Subscribe,
            &[a, ("id", "x"), ("ack", "client-individual")],
            &["subscribe x /topic/a true"],
        );
        check(
            "1.0",
            Subscribe,
            &[a],
            &["subscribe /topic/a /topic/a false"],
        );
        check("1.1", Subscribe, &[a], &["error SUBSCRIBE needs an id"]);
        check(
            "1.2",
            Subscribe,
            &[("id", "x")],
            &["error SUBSCRIBE needs a destination"],
        );
        check(
            "1.2",
            Subscribe,
            &[("id", "x"), ("destination", "/queue/a")],
            &["error there is no destination /queue/a: they begin with /topic/"],
        );
        check(
            "1.2",
            Subscribe,
            &[a, ("id", "x"), ("ack", "maybe")],
            &["error ack must be auto, client or client-individual, not maybe"],
        );
        check(
            "1.2",
            Unsubscribe,
            &[("id", "x")],
            &["error there is no subscription with the id x"],
        );
        check(
            "1.2",
            Send,
            &[
                a,
                ("content-type", "text/plain"),
                ("x", "y"),
                ("receipt", "r"),
                ("message-id", "1"),
            ],
            &[
                r#"publish /topic/a [("content-type", "text/plain"), ("x", "y")]"#,
                "receipt r",
            ],
        );
        check(
            "1.2",
            Send,
            &[a, ("transaction", "t")],
            &["error this broker has no transactions"],
        );
        check(
            "1.2",
            Begin,
            &[("transaction", "t")],
            &["error this broker has no transactions"],
        );
        check("1.2", Ack, &[("id", "1"), ("receipt", "r")], &["receipt r"]);
        check("1.2", Ack, &[("message-id", "1")], &["error ACK needs id"]);
        check(
            "1.1",
            Nack,
            &[("message-id", "1")],
            &["error NACK needs subscription"],
        );
        check(
            "1.1",
            Nack,
            &[("message-id", "1"), ("subscription", "x")],
            &[],
        );
        check("1.0", Ack, &[("message-id", "1")], &[]);
        check(
            "1.0",
            Nack,
            &[("message-id", "1")],
            &["error STOMP 1.0 has no NACK"],
        );
        check("1.2", Connect, &[], &["error already connected"]);
        check(
            "1.2",
            Message,
            &[],
            &["error a frame that only servers send"],
        );
        check("1.2", Disconnect, &[], &["goodbye"]);
        check("1.2", Disconnect, &[("receipt", "r")], &["goodbye r"]);
    }

    #[test]
    fn nothing_comes_before_connect() {
        let steps = session().on_frame(&Frame::new(Command::Subscribe, [("id", "x")]));
        assert_eq!(
            told(steps),
            ["error the first frame must be CONNECT or STOMP"]
        );
    }

    #[test]
    fn an_id_is_free_again_once_it_is_unsubscribed_and_not_before() {
        let mut session = connected("1.2");
        let subscribe = Frame::new(
            Command::Subscribe,
            [("id", "x"), ("destination", "/topic/a")],
        );
        let unsubscribe = Frame::new(Command::Unsubscribe, [("id", "x")]);
        assert_eq!(
            told(session.on_frame(&subscribe)),
            ["subscribe x /topic/a false"]
        );
        assert_eq!(told(session.on_frame(&unsubscribe)), ["unsubscribe x"]);
        assert_eq!(
            told(session.on_frame(&subscribe)),
            ["subscribe x /topic/a false"]
        );
        assert_eq!(
            told(session.on_frame(&subscribe)),
            ["error there is a subscription with the id x already"]
        );
    }

    #[test]
    fn subscriptions_are_limited() {
        let mut session = connected("1.2");
        let mut subscribe = |id: usize| {
            let id = id.to_string();
            told(session.on_frame(&Frame::new(
                Command::Subscribe,
                [("id", &*id), ("destination", "/topic/a")],
            )))
        };
        for id in 0..SUBSCRIPTIONS_MAX {
            assert_eq!(subscribe(id), [format!("subscribe {id} /topic/a false")]);
        }
        assert_eq!(
            subscribe(SUBSCRIPTIONS_MAX),
            ["error a client may have 128 subscriptions"]
        );
    }

    #[test]
    fn an_error_names_the_receipt_that_it_is_instead_of() {
        let frame = Frame::new(Command::Subscribe, [("id", "x"), ("receipt", "r-7")]);
        let steps = connected("1.2").on_frame(&frame);
        let [Step::Answer(Answer::Error(error))] = &steps[..] else {
            panic!("{steps:?}")
        };
        assert_eq!(error.headers.get("receipt-id").as_deref(), Some("r-7"));
    }
}
