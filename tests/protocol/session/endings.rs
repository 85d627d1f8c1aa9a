//! How a session ends, and that nothing comes after it.

use bytes::Bytes;
use stomp_bridge::stomp::{AckMode, DecodeError, NackError, NotConnected, Options, SessionError};

use super::client::{CONNECTED, Client, describe};

#[test]
fn an_error_ends_the_session_and_names_what_it_is_about() {
    let check = |frame: &str, expected: &str, about: Option<&str>| {
        let mut client = Client::subscribed("1.2");
        client.subscribe("new", AckMode::Auto);
        client.subscribe("other", AckMode::Auto);
        let error = client
            .hears(&format!("{frame}MESSAGE\nsubscription:a\n\nx\0"))
            .unwrap_err();
        assert_eq!(error.to_string(), expected);
        let (id, error) = match error {
            SessionError::SubscribeRefused { id, error, .. } => (Some(id), error),
            SessionError::Server(error) => (None, error),
            other => panic!("expected an ERROR of the server, got {other:?}"),
        };
        assert_eq!(
            (id.as_deref(), error.unconfirmed),
            (about, vec!["new".into(), "other".into()]),
            "{expected}"
        );

        assert_eq!(client.happened(), Ok(vec![]));
        client.sent();
        client.session.disconnect(client.now);
        client.subscribe("more", AckMode::Auto);
        assert_eq!(client.session.begin("t"), Err(NotConnected));
        assert_eq!(
            (client.sent(), client.deadline()),
            (vec![], None),
            "{expected}"
        );
    };
    check(
        "ERROR\nreceipt-id:r-4\nmessage:access_refused\n\nno rights\0",
        "subscribe to /topic/new refused: access_refused: no rights",
        Some("new"),
    );
    // It was confirmed before, and is still refused.
    check(
        "ERROR\nreceipt-id:r-1\nmessage:gone\n\n\0",
        "subscribe to /topic/a refused: gone",
        Some("a"),
    );
    check(
        "ERROR\nmessage:Session closed.\n\n\0",
        "the server ended the session: Session closed. (subscriptions that were not confirmed yet: new, other)",
        None,
    );
    check(
        "ERROR\nreceipt-id:r-77\nmessage:x\n\n\0",
        "the server ended the session: x (subscriptions that were not confirmed yet: new, other)",
        None,
    );
    check(
        "ERROR\nmessage:x\n\nE: x\n\tat y\n\tat z\0",
        "the server ended the session: E: x | at y (subscriptions that were not confirmed yet: new, other)",
        None,
    );
}

#[test]
fn an_error_that_names_nothing_is_about_the_only_subscription_in_question() {
    let check = |before: &str, expected: &str| {
        let mut client = Client::connected(CONNECTED);
        client.subscribe("a", AckMode::Auto);
        let error = client
            .hears(&format!(
                "{before}ERROR\nmessage:access_refused\n\nno rights\n\0\n"
            ))
            .unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        "",
        "subscribe to /topic/a refused: access_refused: no rights",
    );
    check(
        "RECEIPT\nreceipt-id:r-1\n\n\0",
        "the server ended the session: access_refused: no rights",
    );
}

#[test]
fn events_before_an_error_are_given_first() {
    let mut client = Client::subscribed("1.2");
    let both = "MESSAGE\nsubscription:a\n\nx\0ERROR\nmessage:m\n\n\0";
    client
        .session
        .receive(Bytes::copy_from_slice(both.as_bytes()), client.now);
    assert_eq!(
        client
            .session
            .poll()
            .unwrap()
            .as_ref()
            .map(describe)
            .as_deref(),
        Some("message a x no ack")
    );
    assert!(matches!(
        client.session.poll(),
        Err(SessionError::Server(_))
    ));
}

#[test]
fn what_is_no_stomp_ends_the_session() {
    let mut client = Client::subscribed("1.2");
    let body = "x".repeat(2 << 20);
    let error = SessionError::Protocol(DecodeError::BodyTooLong(1 << 20));
    assert_eq!(client.hears(&format!("MESSAGE\n\n{body}")), Err(error));
    assert_eq!((client.hears("\n"), client.deadline()), (Ok(vec![]), None));
}

#[test]
fn frames_that_have_no_place_here_are_passed_over() {
    let mut client = Client::subscribed("1.2");
    for command in ["CONNECTED", "SEND", "CONNECT"] {
        assert_eq!(
            client
                .hears(&format!("{command}\nversion:1.2\n\n\0"))
                .unwrap(),
            [format!(
                "malformed {command}: the frame {command} has no place here"
            )]
        );
    }
    assert_eq!(
        client.hears("PING\n\n\0").unwrap(),
        ["malformed (unknown): expected a STOMP command, found `PING`"]
    );
    let odd = "EVENT\nsubscription:i\nack:1\n\nx\0";
    let events = client.hears(odd).unwrap();
    assert_eq!(events[1..], ["message i x acks"], "it can be one");
}

#[test]
fn disconnect_waits_for_its_receipt_a_close_or_two_seconds() {
    let check = |finish: &dyn Fn(&mut Client) -> Vec<String>, expected: &[&str]| {
        let mut client = Client::subscribed("1.2");
        client
            .hears("MESSAGE\nsubscription:i\nack:1\n\nx\0")
            .unwrap();
        client.session.disconnect(client.now);
        client.session.disconnect(client.now);
        assert_eq!(client.sent(), ["DISCONNECT\nreceipt:r-4\n\n"]);
        assert_eq!(client.deadline(), Some(2_000));
        // Nothing is sent after it.
        client.session.ack(&client.acks[0]);
        client.subscribe("new", AckMode::Auto);
        client.session.unsubscribe("a", client.now);
        assert_eq!(
            client.session.nack(&client.acks[0]),
            Err(NackError::NotConnected(NotConnected))
        );
        assert_eq!(client.sent(), [""; 0]);
        assert_eq!(finish(&mut client), expected);
        assert_eq!(
            (client.hears(CONNECTED), client.deadline()),
            (Ok(vec![]), None)
        );
        assert_eq!(client.session.closed(), Ok(()));
    };
    check(
        &|client| client.hears("RECEIPT\nreceipt-id:r-4\n\n\0\n").unwrap(),
        &["disconnected by Receipt"],
    );
    check(
        &|client| {
            client
                .hears("MESSAGE\nsubscription:a\n\nx\0RECEIPT\nreceipt-id:r-4\n\n\0")
                .unwrap()
        },
        &["message a x no ack", "disconnected by Receipt"],
    );
    check(
        &|client| {
            client.session.closed().unwrap();
            client.happened().unwrap()
        },
        &["disconnected by Closed"],
    );
    check(
        &|client| client.at(2_000).unwrap(),
        &["disconnected by Silence"],
    );
    check(
        &|client| client.hears("ERROR\nmessage:died\n\n\0").unwrap(),
        &["disconnected by error died"],
    );
}

#[test]
fn what_came_before_an_error_can_be_acknowledged_and_then_only_disconnect_follows() {
    let check = |fail: &dyn Fn(&mut Client) -> SessionError| {
        let mut client = Client::subscribed("1.2");
        client
            .hears("MESSAGE\nsubscription:i\nack:1\n\nx\0")
            .unwrap();
        let error = fail(&mut client);
        client.subscribe("new", AckMode::Auto);
        client.session.unsubscribe("a", client.now);
        client.session.disconnect(client.now);
        assert_eq!(client.sent(), [""; 0], "{error}");
        client.session.ack(&client.acks[0]);
        client.session.leave(None, client.now);
        client.session.ack(&client.acks[0]);
        assert_eq!(
            client.sent(),
            ["ACK\nid:1\n\n", "DISCONNECT\nreceipt:r-4\n\n"],
            "{error}"
        );
        let nothing = (client.hears(CONNECTED), client.deadline());
        assert_eq!(nothing, (Ok(vec![]), None), "{error}");
        assert_eq!(client.session.closed(), Ok(()), "{error}");
    };
    let endless = format!("MESSAGE\n\n{}", "x".repeat(2 << 20));
    check(&|client| client.hears(&endless).unwrap_err());
    check(&|client| client.hears("ERROR\nmessage:died\n\n\0").unwrap_err());
    check(&|client| client.session.closed().unwrap_err());
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
    assert_eq!(
        client.session.closed(),
        Err(SessionError::ClosedBeforeConnected)
    );
    let mut client = Client::subscribed("1.2");
    assert_eq!(
        client.session.closed(),
        Err(SessionError::Closed {
            unfinished_bytes: 0
        })
    );
    let mut client = Client::subscribed("1.2");
    client.hears("MESSAGE\nsub").unwrap();
    assert_eq!(
        client.session.closed(),
        Err(SessionError::Closed {
            unfinished_bytes: 11
        })
    );
}
