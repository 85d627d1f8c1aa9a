//! From CONNECT to CONNECTED, and what may come instead.

use std::time::{Duration, Instant};

use stomp_bridge::stomp::{
    AckMode, Backslashes, NewMessage, NotConnected, Options, Session, SessionError,
};

use super::client::{CONNECTED, Client};

#[test]
fn connected_tells_version_server_and_heartbeats() {
    let check = |headers: &str, expected: &str| {
        let mut client = Client::new(Options::new("/"));
        assert_eq!(
            client
                .hears(&format!("CONNECTED\n{headers}\n\0\n"))
                .unwrap(),
            [expected],
            "{headers}"
        );
    };
    check(
        "version:1.2\nheart-beat:0,0\n",
        "connected 1.2 - out None in None",
    );
    check(
        "server:RabbitMQ/3.10.8\nheart-beat:8000,20000\nversion:1.1\n",
        "connected 1.1 RabbitMQ/3.10.8 out Some(20s) in Some(10s)",
    );
    check(
        "heart-beat:0,1\nversion:1.2\n",
        "connected 1.2 - out Some(10s) in None",
    );
    check(
        "heart-beat:1,0\nversion:1.2\n",
        "connected 1.2 - out None in Some(10s)",
    );
    // STOMP 1.0 says neither.
    check("session:x\n", "connected 1.0 - out None in None");
    check("version:1.2\n", "connected 1.2 - out None in None");
    check(
        "version: 1.0 \nheart-beat: 0, 0\n",
        "connected 1.0 - out None in None",
    );
}

#[test]
fn what_is_no_answer_to_connect_ends_the_session() {
    let check = |bytes: &str, expected: &str| {
        let mut client = Client::new(Options::new("/"));
        let error = client.hears(bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(client.hears(CONNECTED), Ok(vec![]), "after {error}");
        assert_eq!(
            (client.sent(), client.deadline()),
            (vec![], None),
            "after {error}"
        );
    };
    let refused = "refused CONNECT: Bad CONNECT: Access refused for user 'lab'; check login";
    check(
        "ERROR\nmessage:Bad CONNECT\ncontent-length:30\n\nAccess refused for user 'lab'\n\0",
        refused,
    );
    check("ERROR\nmessage:bad C:\\temp\n\n\0", "bad C:\\temp");
    check("ERROR\n\n\0", "ERROR without a text");
    check("CONNECT\n\n\0", "the server sent CONNECT");
    check("HTTP/1.1 400 Bad Request\r\n", "`HTTP/1.1 400 Bad Request`");
}

#[test]
fn an_odd_connected_is_read_as_well_as_it_can_be() {
    let check = |headers: &str, expected: &str, taken: &str| {
        let mut client = Client::new(Options::new("/"));
        let events = client.hears(&format!("CONNECTED\n{headers}\n\0")).unwrap();
        let expected = format!("connected {expected} - out None in None");
        assert_eq!((events.len(), &events[0]), (2, &expected), "{headers}");
        let told = format!("which cannot be read: taken for {taken}");
        assert!(events[1].ends_with(&told), "{events:?}");
    };
    for odd in [
        "0",
        "",
        "10000",
        "10000,10000,",
        "10000;10000",
        "-1,-1",
        "10000.0,10000",
        "true,true",
        "18446744073709551616,0",
        "soon",
    ] {
        check(&format!("version:1.2\nheart-beat:{odd}\n"), "1.2", "0,0");
    }
    for (odd, taken) in [
        ("1.1,1.2", "1.2"),
        ("v12.stomp", "1.2"),
        ("1.1.0", "1.1"),
        ("", "1.0"),
        ("1", "1.0"),
        ("2.0", "1.0"),
    ] {
        check(&format!("version:{odd}\n"), taken, taken);
    }
}

#[test]
fn what_comes_before_connected_is_passed_over() {
    let mut client = Client::new(Options::new("/"));
    for early in ["MESSAGE\n\nx\0", "RECEIPT\nreceipt-id:r-1\n\n\0"] {
        let events = client.hears(early).unwrap();
        assert!(events[0].ends_with("has no place here"), "{events:?}");
    }
    let events = client
        .hears("\u{feff}CONNECTED \nversion : 1.2 \n\n\0")
        .unwrap();
    assert_eq!(events[1..], ["connected 1.2 - out None in None"]);
}

#[test]
fn nothing_is_sent_before_connected() {
    let mut client = Client::new(Options::new("/"));
    client.subscribe("b", AckMode::Auto);
    client.subscribe("a", AckMode::Client);
    client.subscribe("gone", AckMode::Auto);
    client.session.unsubscribe("gone", client.now);
    assert_eq!(
        client.session.send(&NewMessage::default(), client.now),
        Err(NotConnected)
    );
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
    let expected = "CONNECT\naccept-version:1.2,1.1,1.0\nhost:/\nheart-beat:10000,10000\nlogin:lab\npasscode:a\\\\b\n\n\0";
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
    assert_eq!(
        client.at(10_000),
        Err(SessionError::ConnectedTimeout {
            after: Duration::from_secs(10)
        })
    );
    assert_eq!(client.deadline(), None);
}
