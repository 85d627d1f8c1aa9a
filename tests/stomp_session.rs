//! The client's session with a given clock: what a server says, what follows, what is sent, and when.

use std::time::{Duration, Instant};

use bytes::Bytes;
use stomp_bridge::stomp::{
    AckId, AckMode, Backslashes, Confirm, Connected, DecodeError, Event, Farewell, Message, NackError, NewMessage,
    NotConnected, Options, Session, SessionError, Subscribe, Version,
};

const CONNECTED: &str = "CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0";

/// A session, its clock, and what it said. The one place that touches the interface.
struct Client {
    session: Session,
    start: Instant,
    now: Instant,
    /// Of every message that can be acknowledged, in order.
    acks: Vec<AckId>,
}

impl Client {
    fn new(options: Options) -> Client {
        let start = Instant::now();
        let mut client = Client { session: Session::new(options, start), start, now: start, acks: Vec::new() };
        assert!(client.sent()[0].starts_with("CONNECT\n"));
        client
    }

    /// Connected to a server that answered with these bytes.
    fn connected(answer: &str) -> Client {
        let mut client = Client::new(Options::new("/"));
        let events = client.hears(answer).unwrap();
        assert!(events[0].starts_with("connected"), "{events:?}");
        client
    }

    /// Connected to a server of that version, subscribed as `a` (auto), `c` (client) and `i` (client-individual).
    fn subscribed(version: &str) -> Client {
        let mut client = Client::connected(&format!("CONNECTED\nversion:{version}\n\n\0"));
        for (id, ack) in [("a", AckMode::Auto), ("c", AckMode::Client), ("i", AckMode::ClientIndividual)] {
            client.subscribe(id, ack);
        }
        client
            .hears("RECEIPT\nreceipt-id:r-1\n\n\0RECEIPT\nreceipt-id:r-2\n\n\0RECEIPT\nreceipt-id:r-3\n\n\0")
            .unwrap();
        client.sent();
        client
    }

    fn subscribe(&mut self, id: &str, ack: AckMode) {
        let destination = format!("/topic/{id}");
        self.session.subscribe(Subscribe { id: id.into(), destination, ack, headers: Vec::new() }, self.now);
    }

    /// Everything that follows from these bytes of the server.
    fn hears(&mut self, bytes: &str) -> Result<Vec<String>, SessionError> {
        self.session.receive(Bytes::copy_from_slice(bytes.as_bytes()), self.now);
        self.happened()
    }

    fn happened(&mut self) -> Result<Vec<String>, SessionError> {
        let mut events = Vec::new();
        while let Some(event) = self.session.poll()? {
            if let Event::Message(Message { ack: Some(ack), .. }) = &event {
                self.acks.push(ack.clone());
            }
            events.push(describe(&event));
        }
        Ok(events)
    }

    /// The clock stands at this many milliseconds after the start; the session is ticked, and what it queues is sent.
    fn at(&mut self, ms: u64) -> Result<Vec<String>, SessionError> {
        self.now = self.start + Duration::from_millis(ms);
        self.session.tick(self.now)?;
        let events = self.happened()?;
        Ok(events)
    }

    /// The frames that are queued, without their NUL; the writer has finished with them at once.
    fn sent(&mut self) -> Vec<String> {
        let Some(outgoing) = self.session.take_outgoing() else { return Vec::new() };
        self.session.sent(self.now);
        outgoing
            .frames()
            .map(|frame| String::from_utf8(frame.to_vec()).unwrap().trim_end_matches('\0').to_owned())
            .collect()
    }

    /// Milliseconds from the start to the next deadline.
    fn deadline(&self) -> Option<u64> {
        self.session.deadline().map(|at| u64::try_from(at.duration_since(self.start).as_millis()).unwrap())
    }
}

fn describe(event: &Event) -> String {
    let message = |message: &Message| {
        let body = String::from_utf8_lossy(&message.body);
        let ack = if message.ack.is_some() { "acks" } else { "no ack" };
        let redelivered = if message.redelivered { " again" } else { "" };
        format!("{} {body} {ack}{redelivered}", message.subscription)
    };
    match event {
        Event::Connected(Connected { version, server, heartbeat, .. }) => {
            let server = server.as_deref().unwrap_or("-");
            format!("connected {version} {server} out {:?} in {:?}", heartbeat.outgoing, heartbeat.incoming)
        }
        Event::Subscribed { id, confirmed } => format!("subscribed {id} by {confirmed:?}"),
        Event::Unsubscribed { id, confirmed } => format!("unsubscribed {id} by {confirmed:?}"),
        Event::Message(it) => format!("message {}", message(it)),
        Event::Late(it) => format!("late {}", message(it)),
        Event::Unknown(it) => format!("unknown {}", message(it)),
        Event::Receipt { id, confirmed } => format!("receipt {id} by {confirmed:?}"),
        Event::Disconnected(farewell) => match farewell {
            Farewell::Error(error) => format!("disconnected by error {error}"),
            other => format!("disconnected by {other:?}"),
        },
    }
}

#[test]
fn connected_tells_version_server_and_heartbeats() {
    let check = |headers: &str, expected: &str| {
        let mut client = Client::new(Options::new("/"));
        assert_eq!(client.hears(&format!("CONNECTED\n{headers}\n\0\n")).unwrap(), [expected], "{headers}");
    };
    check("version:1.2\nheart-beat:0,0\n", "connected 1.2 - out None in None");
    check(
        "server:RabbitMQ/3.10.8\nheart-beat:8000,20000\nversion:1.1\n",
        "connected 1.1 RabbitMQ/3.10.8 out Some(20s) in Some(10s)",
    );
    check("heart-beat:0,1\nversion:1.2\n", "connected 1.2 - out Some(10s) in None");
    check("heart-beat:1,0\nversion:1.2\n", "connected 1.2 - out None in Some(10s)");
    // STOMP 1.0 says neither.
    check("session:x\n", "connected 1.0 - out None in None");
    check("version:1.2\n", "connected 1.2 - out None in None");
    check("version: 1.0 \nheart-beat: 0, 0\n", "connected 1.0 - out None in None");
}

#[test]
fn what_is_no_answer_to_connect_ends_the_session() {
    let check = |bytes: &str, expected: &str| {
        let mut client = Client::new(Options::new("/"));
        let error = client.hears(bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(client.hears(CONNECTED), Ok(vec![]), "after {error}");
        assert_eq!((client.sent(), client.deadline()), (vec![], None), "after {error}");
    };
    let refused = "refused CONNECT: Bad CONNECT: Access refused for user 'lab'; check login";
    check("ERROR\nmessage:Bad CONNECT\ncontent-length:30\n\nAccess refused for user 'lab'\n\0", refused);
    check("ERROR\nmessage:bad C:\\temp\n\n\0", "bad C:\\temp");
    check("ERROR\n\n\0", "ERROR without a text");
    check("MESSAGE\n\n\0", "the server sent MESSAGE");
    check("RECEIPT\nreceipt-id:r-1\n\n\0", "the server sent RECEIPT");
    check("CONNECTED\nversion:2.0\n\n\0", "`version:2.0`");
    check("CONNECTED\nversion:1.2\nheart-beat:soon\n\n\0", "`heart-beat:soon`");
    check("HTTP/1.1 400 Bad Request\r\n", "`HTTP/1.1 400 Bad Request`");
}

#[test]
fn nothing_is_sent_before_connected() {
    let mut client = Client::new(Options::new("/"));
    client.subscribe("b", AckMode::Auto);
    client.subscribe("a", AckMode::Client);
    client.subscribe("gone", AckMode::Auto);
    client.session.unsubscribe("gone", client.now);
    assert_eq!(client.session.send(&NewMessage::default(), client.now), Err(NotConnected));
    assert_eq!(client.session.begin("t"), Err(NotConnected));
    assert_eq!(client.sent(), [""; 0]);
    client.hears(CONNECTED).unwrap();
    let expected = [
        "SUBSCRIBE\nid:a\ndestination:/topic/a\nack:client\nreceipt:r-1\n\n",
        "SUBSCRIBE\nid:b\ndestination:/topic/b\nack:auto\nreceipt:r-2\n\n",
    ];
    assert_eq!(client.sent(), expected);
}

#[test]
fn connect_asks_for_every_version_and_doubles_backslashes_on_request() {
    let options = Options {
        login: Some("lab".to_owned()),
        passcode: Some("a\\b".into()),
        backslashes: Backslashes::Doubled,
        ..Options::new("/")
    };
    let mut session = Session::new(options, Instant::now());
    let outgoing = session.take_outgoing().unwrap();
    let expected =
        "CONNECT\naccept-version:1.2,1.1,1.0\nhost:/\nheart-beat:10000,10000\nlogin:lab\npasscode:a\\\\b\n\n\0";
    assert_eq!(outgoing.bytes, expected);
    assert!(!format!("{outgoing:?}").contains("lab"));
}

#[test]
fn a_server_that_never_answers_connect_is_given_up() {
    let mut client = Client::new(Options::new("/"));
    assert_eq!(client.deadline(), Some(10_000));
    assert_eq!(client.at(9_999), Ok(vec![]));
    // Bytes alone are no answer.
    assert_eq!(client.hears("\n"), Ok(vec![]));
    assert_eq!(client.at(10_000), Err(SessionError::ConnectedTimeout { after: Duration::from_secs(10) }));
    assert_eq!(client.deadline(), None);
}

#[test]
fn our_heartbeat_is_one_lf_at_six_tenths_of_the_interval_after_the_last_write() {
    let mut client = Client::connected("CONNECTED\nversion:1.2\nheart-beat:0,1000\n\n\0");
    assert_eq!(client.deadline(), Some(6_000));
    assert_eq!(client.at(5_999), Ok(vec![]));
    assert_eq!(client.sent(), [""; 0]);
    client.at(6_000).unwrap();
    assert_eq!(client.sent(), ["\n"]);
    assert_eq!(client.deadline(), Some(12_000));

    // A frame is as good as a heart-beat.
    client.at(9_000).unwrap();
    client.subscribe("a", AckMode::Auto);
    assert_eq!(client.sent().len(), 1);
    client.hears("RECEIPT\nreceipt-id:r-1\n\n\0").unwrap();
    assert_eq!(client.deadline(), Some(15_000));
}

#[test]
fn a_writer_that_is_stuck_is_given_one_heartbeat_an_interval_and_no_deadline_in_the_past() {
    let mut client = Client::connected("CONNECTED\nversion:1.2\nheart-beat:0,10000\n\n\0");
    for round in 1..=3 {
        client.at(6_000 * round).unwrap();
        assert_eq!(client.session.take_outgoing().map(|outgoing| outgoing.bytes), Some("\n".into()));
        assert_eq!(client.deadline(), Some(6_000 * (round + 1)));
    }
    // What waits already needs no heart-beat after it.
    client.subscribe("a", AckMode::Auto);
    client.at(24_000).unwrap();
    assert_eq!(client.session.take_outgoing().unwrap().ends.len(), 1);
}

#[test]
fn silence_is_two_and_a_half_intervals_without_a_byte() {
    let mut client = Client::connected("CONNECTED\nversion:1.2\nheart-beat:10000,0\n\n\0");
    assert_eq!(client.deadline(), Some(25_000));
    assert_eq!(client.at(24_999), Ok(vec![]));
    // Half a frame is a sign of life.
    assert_eq!(client.hears("MESS"), Ok(vec![]));
    assert_eq!(client.deadline(), Some(49_999));
    assert_eq!(client.at(49_998), Ok(vec![]));
    assert_eq!(client.hears("AGE\nsubscription:x\n\n\0"), Ok(vec!["unknown x  no ack".to_owned()]));
    assert_eq!(client.at(74_998), Err(SessionError::Silent { silence: Duration::from_secs(25) }));
}

#[test]
fn a_late_reader_does_not_take_its_own_delay_for_silence() {
    let mut client = Client::connected("CONNECTED\nversion:1.2\nheart-beat:1000,0\n\n\0");
    // We slept through many intervals; what has arrived meanwhile is received first.
    client.now = client.start + Duration::from_secs(600);
    assert_eq!(client.hears("\n\n\n"), Ok(vec![]));
    assert_eq!(client.at(600_000), Ok(vec![]));
}

#[test]
fn without_heartbeats_only_the_watchdog_notices_silence() {
    let mut client = Client::connected(CONNECTED);
    assert_eq!(client.deadline(), None);
    assert_eq!(client.at(86_400_000), Ok(vec![]));

    let mut client = Client::new(Options { silence_max: Some(Duration::from_secs(60)), ..Options::new("/") });
    client.hears(CONNECTED).unwrap();
    assert_eq!(client.deadline(), Some(60_000));
    assert_eq!(client.at(60_000), Err(SessionError::Silent { silence: Duration::from_secs(60) }));
}

#[test]
fn a_subscription_is_confirmed_by_receipt_message_or_silence() {
    let mut client = Client::connected(CONNECTED);
    for id in ["r", "m", "s"] {
        client.subscribe(id, AckMode::Auto);
    }
    assert_eq!(client.deadline(), Some(3_000));
    let message = "MESSAGE\nsubscription:m\nmessage-id:1\n\nx\0";
    assert_eq!(client.hears(message).unwrap(), ["subscribed m by Message", "message m x no ack"]);
    assert_eq!(client.hears("RECEIPT\nreceipt-id:r-1\n\n\0").unwrap(), ["subscribed r by Receipt"]);
    assert_eq!(client.hears("RECEIPT\nreceipt-id:r-2\n\n\0"), Ok(vec![]), "known already");
    assert_eq!(client.at(2_999), Ok(vec![]));
    assert_eq!(client.at(3_000).unwrap(), ["subscribed s by Silence"]);
    assert_eq!(client.hears("RECEIPT\nreceipt-id:r-3\n\n\0"), Ok(vec![]), "too late to matter");
    assert_eq!(client.deadline(), None);
}

#[test]
fn receipts_come_in_any_order_and_foreign_ones_are_ignored() {
    let mut client = Client::connected(CONNECTED);
    let confirmed = NewMessage { destination: "/q", confirm: Confirm::Receipt, ..NewMessage::default() };
    let ids: Vec<String> =
        (0..3).map(|_| client.session.send(&confirmed, client.now).unwrap().unwrap().to_string()).collect();
    assert_eq!(ids, ["r-1", "r-2", "r-3"]);
    assert_eq!(client.hears("RECEIPT\nreceipt-id:r-3\n\n\0").unwrap(), ["receipt r-3 by Receipt"]);
    for foreign in ["receipt-id:s0\n", "receipt-id:r-99\n", ""] {
        assert_eq!(client.hears(&format!("RECEIPT\n{foreign}\n\0")), Ok(vec![]));
    }
    // A SEND's receipt leaks into RabbitMQ's MESSAGE.
    client.hears("MESSAGE\nsubscription:x\nreceipt:r-2\n\n\0").unwrap();
    assert_eq!(client.hears("RECEIPT\nreceipt-id:r-1\n\n\0").unwrap(), ["receipt r-1 by Receipt"]);
    assert_eq!(client.at(3_000).unwrap(), ["receipt r-2 by Silence"]);
}

#[test]
fn an_acknowledgement_has_the_headers_of_its_version() {
    let message =
        |subscription: &str| format!("MESSAGE\nsubscription:{subscription}\nmessage-id:m\\c1\nack:k\\c1\n\nx\0");
    let check = |version, acked: &str, nacked: Option<&str>| {
        let mut client = Client::subscribed(version);
        let events = ["a", "c", "i"].map(|id| client.hears(&message(id)).unwrap().concat());
        assert_eq!(events, ["message a x no ack", "message c x acks", "message i x acks"], "{version}");
        for ack in &client.acks {
            client.session.ack(ack);
        }
        assert_eq!(client.sent(), ["c", "i"].map(|id| acked.replace("SUB", id)), "{version}");
        match nacked {
            None => assert_eq!(client.session.nack(&client.acks[0]), Err(NackError::NoNack)),
            Some(nacked) => {
                client.session.nack(&client.acks[0]).unwrap();
                assert_eq!(client.sent(), [nacked]);
            }
        }
    };
    check("1.0", "ACK\nmessage-id:m\\c1\n\n", None);
    let nacked = "NACK\nsubscription:c\nmessage-id:m\\c1\n\n";
    check("1.1", "ACK\nsubscription:SUB\nmessage-id:m\\c1\n\n", Some(nacked));
    check("1.2", "ACK\nid:k\\c1\n\n", Some("NACK\nid:k\\c1\n\n"));
}

#[test]
fn ids_that_a_server_does_not_escape_are_escaped_in_the_answer() {
    let mut client = Client::subscribed("1.2");
    client.hears("MESSAGE\nsubscription:i\nmessage-id:1\nack:T_x:y@@1\n\n\0").unwrap();
    client.session.ack(&client.acks[0]);
    assert_eq!(client.sent(), ["ACK\nid:T_x\\cy@@1\n\n"]);
}

#[test]
fn a_1_2_message_without_ack_is_not_acknowledged() {
    let mut client = Client::subscribed("1.2");
    let events = client.hears("MESSAGE\nsubscription:i\nmessage-id:3-0\nredelivered:true\n\nx\0").unwrap();
    assert_eq!(events, ["message i x no ack again"]);
}

#[test]
fn a_message_finds_its_subscription_by_id_or_else_by_destination() {
    let mut client = Client::subscribed("1.0");
    let mut check = |headers: &str, expected: &str| {
        assert_eq!(client.hears(&format!("MESSAGE\n{headers}\nx\0")).unwrap(), [expected], "{headers}");
    };
    check("subscription:a\ndestination:/other\n", "message a x no ack");
    check("destination:/topic/a\n", "message a x no ack");
    check("destination:/elsewhere\n", "unknown  x no ack");
    check("subscription:who\ndestination:/topic/a\n", "unknown who x no ack");
    check("", "unknown  x no ack");
}

#[test]
fn after_unsubscribe_messages_are_late_and_cannot_be_acknowledged() {
    let mut client = Client::subscribed("1.2");
    let message = "MESSAGE\nsubscription:i\nmessage-id:1\nack:1\n\nx\0";
    client.hears(message).unwrap();
    client.session.unsubscribe("i", client.now);
    assert_eq!(client.sent(), ["UNSUBSCRIBE\nid:i\nreceipt:r-4\n\n"]);
    assert_eq!(client.hears(message).unwrap(), ["late i x no ack"]);
    client.session.ack(&client.acks[0]);
    client.session.nack(&client.acks[0]).unwrap();
    client.session.unsubscribe("i", client.now);
    client.session.unsubscribe("nobody", client.now);
    assert_eq!(client.sent(), [""; 0]);
    assert_eq!(client.hears("RECEIPT\nreceipt-id:r-4\n\n\0").unwrap(), ["unsubscribed i by Receipt"]);
    assert_eq!(client.hears(message).unwrap(), ["late i x no ack"]);

    client.subscribe("i", AckMode::ClientIndividual);
    assert_eq!(client.sent().len(), 1);
    assert_eq!(client.hears(message).unwrap(), ["subscribed i by Message", "message i x acks"]);
}

#[test]
fn an_unsubscribe_that_is_not_answered_counts_as_done() {
    let mut client = Client::subscribed("1.2");
    client.session.unsubscribe("a", client.now);
    assert_eq!(client.at(3_000).unwrap(), ["unsubscribed a by Silence"]);
}

#[test]
fn an_id_in_use_is_never_subscribed_twice() {
    let mut client = Client::subscribed("1.2");
    client.subscribe("a", AckMode::Client);
    let expected = ["UNSUBSCRIBE\nid:a\n\n", "SUBSCRIBE\nid:a\ndestination:/topic/a\nack:client\nreceipt:r-4\n\n"];
    assert_eq!(client.sent(), expected);
    assert_eq!(client.hears("RECEIPT\nreceipt-id:r-4\n\n\0").unwrap(), ["subscribed a by Receipt"]);
}

#[test]
fn an_error_ends_the_session_and_names_what_it_is_about() {
    let check = |frame: &str, expected: &str| {
        let mut client = Client::subscribed("1.2");
        client.subscribe("new", AckMode::Auto);
        let error = client.hears(&format!("{frame}MESSAGE\nsubscription:a\n\nx\0")).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(client.happened(), Ok(vec![]));
        client.sent();
        client.session.disconnect(client.now);
        client.subscribe("more", AckMode::Auto);
        assert_eq!(client.session.begin("t"), Err(NotConnected));
        assert_eq!((client.sent(), client.deadline()), (vec![], None));
        error
    };
    let check_about = |frame: &str, expected: &str, about: &str| match check_error(check(frame, expected)) {
        (id, _) => assert_eq!(id.as_deref(), (!about.is_empty()).then_some(about)),
    };
    check_about(
        "ERROR\nreceipt-id:r-4\nmessage:access_refused\n\nno rights\0",
        "subscribe to /topic/new refused: access_refused: no rights",
        "new",
    );
    // It was confirmed before, and is refused all the same.
    check_about("ERROR\nreceipt-id:r-1\nmessage:gone\n\n\0", "subscribe to /topic/a refused: gone", "a");
    check_about("ERROR\nmessage:Session closed.\n\n\0", "the server ended the session: Session closed.", "");
    check_about("ERROR\nreceipt-id:r-77\nmessage:x\n\n\0", "the server ended the session: x", "");
    check_about("ERROR\nmessage:x\n\nE: x\n\tat y\n\tat z\0", "the server ended the session: E: x | at y", "");
}

/// The subscription that an error is about, and those that nothing had confirmed.
fn check_error(error: SessionError) -> (Option<String>, Vec<String>) {
    let (id, error) = match error {
        SessionError::SubscribeRefused { id, error, .. } => (Some(id.to_string()), error),
        SessionError::Server(error) => (None, error),
        other => panic!("expected an ERROR of the server, got {other:?}"),
    };
    let unconfirmed: Vec<String> = error.unconfirmed.iter().map(|id| id.to_string()).collect();
    assert_eq!(unconfirmed, ["new"]);
    (id, unconfirmed)
}

#[test]
fn events_before_an_error_are_given_first() {
    let mut client = Client::subscribed("1.2");
    let both = "MESSAGE\nsubscription:a\n\nx\0ERROR\nmessage:m\n\n\0";
    client.session.receive(Bytes::copy_from_slice(both.as_bytes()), client.now);
    assert_eq!(client.session.poll().unwrap().as_ref().map(describe).as_deref(), Some("message a x no ack"));
    assert!(matches!(client.session.poll(), Err(SessionError::Server(_))));
}

#[test]
fn what_is_no_stomp_ends_the_session() {
    let check = |bytes: &str, expected: SessionError| {
        let mut client = Client::subscribed("1.2");
        assert_eq!(client.hears(bytes), Err(expected));
        assert_eq!((client.hears("\n"), client.deadline()), (Ok(vec![]), None));
    };
    check("MESSAGE\na:\\t\n\n\0", SessionError::Protocol(DecodeError::UnknownEscape { line: "a:\\t".to_owned() }));
    let command = stomp_bridge::stomp::Command::Connected;
    check(CONNECTED, SessionError::Unexpected { command });
}

#[test]
fn disconnect_waits_for_its_receipt_a_close_or_two_seconds() {
    let check = |finish: &dyn Fn(&mut Client) -> Vec<String>, expected: &[&str]| {
        let mut client = Client::subscribed("1.2");
        client.hears("MESSAGE\nsubscription:i\nack:1\n\nx\0").unwrap();
        client.session.disconnect(client.now);
        client.session.disconnect(client.now);
        assert_eq!(client.sent(), ["DISCONNECT\nreceipt:r-4\n\n"]);
        assert_eq!(client.deadline(), Some(2_000));
        // Nothing is sent after it.
        client.session.ack(&client.acks[0]);
        client.subscribe("new", AckMode::Auto);
        client.session.unsubscribe("a", client.now);
        assert_eq!(client.session.nack(&client.acks[0]), Err(NackError::NotConnected(NotConnected)));
        assert_eq!(client.sent(), [""; 0]);
        assert_eq!(finish(&mut client), expected);
        assert_eq!((client.hears(CONNECTED), client.deadline()), (Ok(vec![]), None));
        assert_eq!(client.session.closed(), Ok(()));
    };
    check(&|client| client.hears("RECEIPT\nreceipt-id:r-4\n\n\0\n").unwrap(), &["disconnected by Receipt"]);
    check(
        &|client| client.hears("MESSAGE\nsubscription:a\n\nx\0RECEIPT\nreceipt-id:r-4\n\n\0").unwrap(),
        &["message a x no ack", "disconnected by Receipt"],
    );
    check(
        &|client| {
            client.session.closed().unwrap();
            client.happened().unwrap()
        },
        &["disconnected by Closed"],
    );
    check(&|client| client.at(2_000).unwrap(), &["disconnected by Silence"]);
    check(&|client| client.hears("ERROR\nmessage:died\n\n\0").unwrap(), &["disconnected by error died"]);
}

#[test]
fn disconnect_before_connected_sends_nothing() {
    let mut client = Client::new(Options::new("/"));
    client.session.disconnect(client.now);
    assert_eq!(client.happened().unwrap(), ["disconnected by NotConnected"]);
    assert_eq!((client.sent(), client.deadline()), (vec![], None));
}

#[test]
fn a_close_that_we_did_not_ask_for_is_an_error() {
    let mut client = Client::new(Options::new("/"));
    assert_eq!(client.session.closed(), Err(SessionError::ClosedBeforeConnected));
    let mut client = Client::subscribed("1.2");
    assert_eq!(client.session.closed(), Err(SessionError::Closed { unfinished_bytes: 0 }));
    let mut client = Client::subscribed("1.2");
    client.hears("MESSAGE\nsub").unwrap();
    assert_eq!(client.session.closed(), Err(SessionError::Closed { unfinished_bytes: 11 }));
}

#[test]
fn transactions_and_sends_are_written_as_asked() {
    let mut client = Client::connected(CONNECTED);
    client.session.begin("t:1").unwrap();
    let headers = [("content-type", "text/plain"), ("x\n", "a:b")];
    let message = NewMessage {
        destination: "/q",
        headers: &headers,
        body: b"hi",
        transaction: Some("t:1"),
        ..NewMessage::default()
    };
    assert_eq!(client.session.send(&message, client.now), Ok(None));
    let committed = client.session.commit("t:1", client.now).unwrap();
    client.session.abort("t2").unwrap();
    let expected = [
        "BEGIN\ntransaction:t\\c1\n\n",
        "SEND\ndestination:/q\ntransaction:t\\c1\ncontent-type:text/plain\nx\\n:a\\cb\n\nhi",
        "COMMIT\ntransaction:t\\c1\nreceipt:r-1\n\n",
        "ABORT\ntransaction:t2\n\n",
    ];
    assert_eq!(client.sent(), expected);
    assert_eq!(client.hears(&format!("RECEIPT\nreceipt-id:{committed}\n\n\0")).unwrap(), ["receipt r-1 by Receipt"]);
}

#[test]
fn waits_without_end_do_not_overflow_the_clock() {
    let options = Options {
        heartbeat: Duration::MAX,
        silence_max: Some(Duration::MAX),
        connected_timeout: Duration::MAX,
        receipt_timeout: Duration::MAX,
        disconnect_timeout: Duration::MAX,
        ..Options::new("/")
    };
    let mut client = Client::new(options);
    assert!(client.deadline().is_some());
    client.hears("CONNECTED\nversion:1.2\nheart-beat:18446744073709551615,18446744073709551615\n\n\0").unwrap();
    client.subscribe("a", AckMode::Auto);
    assert!(client.deadline().is_some());
    client.session.disconnect(client.now);
    assert!(client.deadline().is_some());
}

#[test]
fn versions_are_ordered() {
    assert!(Version::V1_0 < Version::V1_1 && Version::V1_1 < Version::V1_2);
}
