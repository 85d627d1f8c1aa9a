//! What goes wrong in other STOMP clients, and does not here.

use std::time::Duration;

use stomp_bridge::stomp::{AckMode, Options, SessionError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::rules::check_table;
use super::script::settings;
use crate::session::client::{CONNECTED, Client};

/// A mistake, and the tests that show that it is not ours.
const MISTAKES: &[(&str, &str)] = &[
    (
        "1: a heart-beat taken for a frame; one-sided heart-beats that lock up",
        "tests/protocol/mistakes.rs: a_heartbeat_is_no_frame_wherever_it_comes one_sided_heartbeats_work_each_by_itself",
    ),
    (
        "2: the second frame of a message lost; a frame over several messages",
        "tests/protocol/mistakes.rs: frames_and_chunks_need_not_agree; tests/source/transport/websocket.rs: messages_of_any_kind_are_pieces_of_one_stream; tests/protocol/transcripts.rs: every_server_is_understood_byte_by_byte",
    ),
    (
        "3: length in characters; a blank line in a body; NUL in a body",
        "tests/protocol/mistakes.rs: a_body_is_bytes_whatever_it_looks_like",
    ),
    (
        "4: an escape or a CR cut in two; sequential unescaping; ACK of 1.2 by message-id",
        "tests/protocol/codec/mod.rs: golden_frames_decode_however_they_are_cut; src/stomp/escape.rs: each_version_decodes_its_own_escapes_in_one_pass; tests/protocol/session/messages.rs: an_acknowledgement_has_the_headers_of_its_version",
    ),
    (
        "5: CONNECTED without heart-beat; none sent over SockJS; false timeouts under load",
        "tests/protocol/mistakes.rs: connected_without_heart_beat_is_enough; tests/protocol/transcripts.rs: every_server_is_understood_byte_for_byte; tests/source/scripted/mod.rs: a_flood_does_not_stop_our_heartbeats a_server_that_is_not_read_is_not_taken_for_silent",
    ),
    (
        "6: a slow handler stalls the reader and so the heart-beats",
        "tests/source/scripted/mod.rs: a_full_journal_stops_the_acks_and_not_the_heartbeats",
    ),
    (
        "7: a close that waits without end; ERROR without close; close without ERROR",
        "tests/source/transport/plain.rs: server_that_does_not_read_stops_neither_receiving_nor_closing; tests/source/transport/websocket.rs: server_that_does_not_read_stops_neither_receiving_nor_closing; tests/source/scripted/mod.rs: an_error_ends_the_connection_although_the_server_leaves_it_open; tests/source/supervision/stages.rs: with_a_goodbye_that_nobody_answers; tests/protocol/mistakes.rs: a_close_before_any_error_is_told",
    ),
    (
        "8: double subscriptions; a refused one tried in a hot loop; connected without a subscription",
        "tests/source/scripted/mod.rs: a_lost_connection_is_made_anew_with_one_subscription a_refused_subscription_is_not_tried_again_at_once readiness_comes_with_the_subscription_not_with_the_connection; tests/protocol/session/messages.rs: an_id_in_use_is_never_subscribed_twice",
    ),
    (
        "9: xhr_streaming after c[3000]; a session id used twice; no fallback after a timeout",
        "tests/source/transport/xhr.rs: closed_session_is_not_asked_again; tests/protocol/mistakes.rs: every_attempt_of_sockjs_has_a_session_of_its_own; tests/source/transport/sockjs.rs: websocket_that_is_swallowed_leaves_time_for_the_next_transport",
    ),
    (
        "10: a refused login tried as fast as a lost network",
        "tests/source/scripted/mod.rs: a_refused_login_is_not_tried_again_at_once; tests/source/supervision/attempts.rs: a_refusal_is_tried_again_after_half_a_minute_and_then_ever_slower",
    ),
    (
        "11: giving up permanently; the old connection leaked",
        "src/retry.rs: the_bound_doubles_up_to_the_maximum; tests/source/scripted/mod.rs: a_lost_connection_is_made_anew_with_one_subscription attempts_bound_the_reconnects; tests/source/supervision/attempts.rs: a_dead_server_is_asked_150_times_an_hour_at_most_and_for_ever; tests/source/supervision/lives.rs: ten_thousand_lives_leave_nothing_behind",
    ),
];

#[test]
fn every_known_mistake_has_a_test() {
    assert_eq!(MISTAKES.len(), 11);
    check_table(MISTAKES);
}

#[test]
fn a_heartbeat_is_no_frame_wherever_it_comes() {
    let mut client = Client::subscribed("1.2");
    for beat in ["\n", "\r\n", "\n\n\n", "\0\n"] {
        assert_eq!(client.hears(beat), Ok(vec![]), "{beat:?}");
    }
    let between = "\nMESSAGE\nsubscription:a\n\nx\0\n\nMESSAGE\nsubscription:a\n\ny\0\n";
    assert_eq!(
        client.hears(between).unwrap(),
        ["message a x no ack", "message a y no ack"]
    );
}

#[test]
fn one_sided_heartbeats_work_each_by_itself() {
    // Only we beat: the server's silence is no matter.
    let mut client = Client::connected("CONNECTED\nversion:1.2\nheart-beat:0,10000\n\n\0");
    for beat in 1..=20 {
        assert_eq!(client.at(6_000 * beat), Ok(vec![]));
        assert_eq!(client.sent(), ["\n"]);
    }
    // Only the server beats: we owe it nothing, and it must go on.
    let mut client = Client::connected("CONNECTED\nversion:1.2\nheart-beat:10000,0\n\n\0");
    for beat in 1..=20 {
        assert_eq!(client.at(10_000 * beat), Ok(vec![]));
        assert_eq!(client.hears("\n"), Ok(vec![]));
        assert_eq!(client.sent(), [""; 0]);
    }
    assert!(matches!(
        client.at(225_000),
        Err(SessionError::Silent { .. })
    ));
}

#[test]
fn frames_and_chunks_need_not_agree() {
    let mut client = Client::subscribed("1.2");
    let message = |body: &str| format!("MESSAGE\nsubscription:a\n\n{body}\0");
    let both = [message("x"), message("y")].concat();
    assert_eq!(
        client.hears(&both).unwrap(),
        ["message a x no ack", "message a y no ack"]
    );
    for at in 1..both.len() - 1 {
        let (first, second) = both.split_at(at);
        let events = [client.hears(first).unwrap(), client.hears(second).unwrap()].concat();
        assert_eq!(
            events,
            ["message a x no ack", "message a y no ack"],
            "cut at {at}"
        );
    }
}

#[test]
fn a_body_is_bytes_whatever_it_looks_like() {
    let mut client = Client::subscribed("1.2");
    for body in [
        "江苏省",
        "a\n\nMESSAGE\nb:c\n\nd",
        "a\0b\0\n",
        "\n\n",
        "\r\n",
        "a\\nb",
        "\u{feff}x",
    ] {
        let frame = format!(
            "MESSAGE\nsubscription:a\ncontent-length:{}\n\n{body}\0",
            body.len()
        );
        assert_eq!(
            client.hears(&frame).unwrap(),
            [format!("message a {body} no ack")]
        );
    }
}

#[test]
fn connected_without_heart_beat_is_enough() {
    // The legacy JavaScript client throws here.
    let client = Client::connected("CONNECTED\nversion:1.1\n\n\0");
    assert_eq!(client.deadline(), None);
}

#[test]
fn a_close_before_any_error_is_told() {
    let mut client = Client::new(Options::new("/"));
    assert_eq!(
        client.session.closed(),
        Err(SessionError::ClosedBeforeConnected)
    );
    let mut client = Client::connected(CONNECTED);
    client.subscribe("a", AckMode::Auto);
    client.hears("MESS").unwrap();
    assert_eq!(
        client.session.closed(),
        Err(SessionError::Closed {
            unfinished_bytes: 4
        })
    );
}

#[tokio::test]
async fn every_attempt_of_sockjs_has_a_session_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/base", listener.local_addr().unwrap());
    let serve = async {
        let mut sessions = Vec::new();
        // Two attempts of `/info` and three transports each.
        while sessions.len() < 6 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let path = head.split(' ').nth(1).unwrap();
            let (status, body) = if path == "/base/info" {
                ("200 OK", "{}")
            } else {
                ("404 Not Found", "")
            };
            if let [_, "base", server, session, _] = path.split('/').collect::<Vec<_>>()[..] {
                assert!(
                    server.len() == 3 && server.bytes().all(|byte| byte.is_ascii_digit()),
                    "{path}"
                );
                assert!(
                    session.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                    "{path}"
                );
                sessions.push(session.to_owned());
            }
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        sessions
    };
    let settings = settings(&url, Duration::ZERO);
    let attempts = async {
        for _ in 0..2 {
            let failed =
                stomp_bridge::source::Client::connect(&settings, |_| Box::new(|_| Ok(()))).await;
            assert!(failed.is_err());
        }
    };
    let (mut sessions, ()) = tokio::join!(serve, attempts);
    sessions.sort();
    sessions.dedup();
    assert_eq!(sessions.len(), 6, "one was used twice: {sessions:?}");
}
