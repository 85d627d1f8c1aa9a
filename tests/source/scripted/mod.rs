//! The source against a scripted server on loopback: what it sends, when it acknowledges, how it
//! comes back.

mod coverage;
mod credit;
mod endings;
mod frames;
mod full;
mod lab;
#[path = "../../protocol/codec/odd_frame.rs"]
mod odd_frame;
mod redelivery;
mod refusals;
mod reload;
mod resync;

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use stomp_bridge::journal::{Entry, EntryContent, Passed};
use stomp_bridge::paced::Interval;
use stomp_bridge::source::{LinkState, Settings, Source, SourceError, Status, Topic};
use stomp_bridge::stomp::AckMode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;

use lab::{Lab, PATIENCE, Server, decoders, within};

const BODY: &str = r#"{"clientId":1,"deviceId":7,"sn":"s7","oldState":"正常","newState":"故障"}"#;

#[tokio::test]
async fn an_ack_follows_the_commit_and_names_the_message() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    for id in 0..3 {
        server.message(id, BODY).await;
    }
    for id in 0..3 {
        let ack = server.frame().await;
        assert_eq!(ack, format!("ACK\nid:a{id}\n\n"));
        let entries = lab.entries().await;
        assert!(
            entries.len() > id,
            "acknowledged {id}, and the journal has {}",
            entries.len()
        );
        assert_eq!(entries[id].1, BODY);
    }
}

/// Arrays among them, so that entries and messages are counted apart.
#[tokio::test]
async fn in_a_flood_too_no_ack_comes_before_its_entries() {
    const COUNT: usize = 3_000;
    for mode in [AckMode::ClientIndividual, AckMode::Client] {
        let lab = Lab::new(mode).await;
        let mut server = lab.accept_session("0,0").await;
        let entries_of = |id: usize| if id.is_multiple_of(3) { 2 } else { 1 };
        let body = |id: usize| match entries_of(id) {
            2 => format!("[{BODY},{BODY}]"),
            _ => BODY.to_owned(),
        };
        let messages: String = (0..COUNT)
            .map(|id| {
                format!(
                    "MESSAGE\nsubscription:map-1\ndestination:a\nmessage-id:m{id}\nack:a{id}\n\n{}\0",
                    body(id)
                )
            })
            .collect();
        server.send(&messages).await;
        let (mut next, mut entries) = (0, 0);
        while next < COUNT {
            let ack = server.frame().await;
            let id = ack.trim().strip_prefix("ACK\nid:a").unwrap();
            let id: usize = id.parse().unwrap();
            assert!(id == next || mode == AckMode::Client && id > next, "{ack}");
            entries += (next..=id).map(entries_of).sum::<u64>();
            next = id + 1;
            let stored = lab.journal.log.status().accepted;
            assert!(
                stored >= entries,
                "acknowledged {id}: {stored} of {entries}"
            );
        }
        assert_eq!(lab.journal.log.status().accepted, entries);
    }
}

#[tokio::test]
async fn client_mode_acknowledges_the_last_of_a_batch_only() {
    let lab = Lab::new(AckMode::Client).await;
    let mut server = lab.accept_session("0,0").await;
    let messages: String = (0..50)
        .map(|id| format!("MESSAGE\nsubscription:map-1\ndestination:a\nmessage-id:m{id}\nack:a{id}\n\n{BODY}\0"))
        .collect();
    server.send(&messages).await;
    let mut acks = 0;
    while server.frame().await != "ACK\nid:a49\n\n" {
        acks += 1;
    }
    assert!(
        acks < 49,
        "one ACK for each message is not what `client` is for"
    );
    assert_eq!(lab.entries().await.len(), 50);
}

#[tokio::test]
async fn what_cannot_be_decoded_is_kept_raw_and_acknowledged() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    server.message(0, "not json").await;
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
    let entries = lab.entries().await;
    assert_eq!(entries[0].1, "not json");
    assert!(
        matches!(entries[0].2, EntryContent::Undecodable { .. }),
        "{entries:?}"
    );
}

#[tokio::test]
async fn a_message_that_is_too_long_is_kept_in_part_and_acknowledged_once() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    server.message(0, &"x".repeat((1 << 20) + 1)).await;
    server.message(1, BODY).await;
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
    assert_eq!(server.frame().await, "ACK\nid:a1\n\n");
    let entries = lab.entries().await;
    assert_eq!((entries.len(), entries[0].1.len()), (2, 64 << 10));
    let EntryContent::Undecodable { reason } = &entries[0].2 else {
        panic!("{:?}", entries[0].2)
    };
    assert!(
        reason.contains("1048577 bytes exceeds source.max_body"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_message_of_no_topic_that_is_too_long_says_both() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    let body = "x".repeat((1 << 20) + 1);
    let head = "MESSAGE\nsubscription:who\ndestination:/elsewhere\nmessage-id:m0\nack:a0\n";
    server.send(&format!("{head}\n{body}\0")).await;
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
    let entries = lab.entries().await;
    let EntryContent::Undecodable { reason } = &entries[0].2 else {
        panic!("{:?}", entries[0].2)
    };
    assert!(
        reason.contains("no topic") && reason.contains("1048577 bytes exceeds source.max_body"),
        "{reason}"
    );
}

#[tokio::test]
async fn heartbeats_that_wait_in_the_socket_are_heard() {
    let heartbeat = Duration::from_millis(400);
    let lab = Lab::with(AckMode::Auto, heartbeat, 1 << 30, None).await;
    // Four times what makes a server dead.
    lab.read_interval.set(Duration::from_secs(4));
    let mut server = lab.accept_session("400,400").await;
    server.exchange_heartbeats(30).await;
    let error = lab.status.link().last_error;
    assert_eq!(error, None);
}

#[tokio::test]
async fn what_came_before_a_reset_is_taken_before_our_heartbeat_meets_it() {
    let heartbeat = Duration::from_millis(100);
    let lab = Lab::with(AckMode::Auto, heartbeat, 1 << 30, None).await;
    lab.read_interval.set(Duration::from_secs(1));
    let mut server = lab.accept_session("86400000,100").await;
    server.message(0, BODY).await;
    // More than one read takes, in a pause that is longer than the time to our next heart-beat.
    let message = |id| {
        format!(
            "MESSAGE\nsubscription:map-1\ndestination:a\nmessage-id:m{id}\nack:a{id}\n\n{BODY}\0"
        )
    };
    server
        .send(&(1..300).map(message).collect::<String>())
        .await;
    server.stream.set_zero_linger().unwrap();
    drop(server);
    lab.until(|status| status.counters.messages.load(Relaxed) == 300)
        .await;
}

/// A second for each would be much more than is waited for.
const ONE_BY_ONE: usize = 200;

#[tokio::test]
async fn a_server_that_waits_for_each_ack_is_not_slowed_down() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    lab.read_interval.set(Duration::from_secs(1));
    // A prefetch of one. After three messages it is seen.
    within(async {
        for id in 0..ONE_BY_ONE {
            server.message(id, BODY).await;
            assert_eq!(server.frame().await, format!("ACK\nid:a{id}\n\n"));
        }
    })
    .await;
}

#[tokio::test]
async fn an_array_becomes_an_entry_for_each_status_and_one_ack() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    server.message(0, &format!("[{BODY}, 7, {BODY}]")).await;
    server.message(1, BODY).await;
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
    assert_eq!(server.frame().await, "ACK\nid:a1\n\n");
    let bodies: Vec<String> = lab
        .entries()
        .await
        .into_iter()
        .map(|(_, body, _)| body)
        .collect();
    assert_eq!(bodies, [BODY, "7", BODY, BODY]);
}

#[tokio::test]
async fn what_is_no_status_is_acknowledged_and_leaves_no_entry() {
    const HEARTBEAT: &str = r#"{"type":"heartbeat","ts":1}"#;
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    server.message(0, HEARTBEAT).await;
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
    server.message(1, &format!("[{HEARTBEAT},{BODY}]")).await;
    server.message(2, HEARTBEAT).await;
    assert_eq!(server.frame().await, "ACK\nid:a1\n\n");
    assert_eq!(server.frame().await, "ACK\nid:a2\n\n");
    let entries = lab.entries().await;
    let bodies: Vec<&str> = entries.iter().map(|(_, body, _)| body.as_str()).collect();
    assert_eq!(bodies, [BODY]);
    assert_eq!(lab.status.unreadable()["map-1"].ignored, 3);
}

#[tokio::test]
async fn an_empty_array_is_acknowledged_counted_and_leaves_no_entry() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    server.message(0, "[]").await;
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
    server.message(1, BODY).await;
    assert_eq!(server.frame().await, "ACK\nid:a1\n\n");
    assert_eq!(lab.entries().await.len(), 1);
    assert_eq!(lab.status.unreadable()["map-1"].empty, 1);
    assert_eq!(lab.status.counters.undecodable.load(Relaxed), 0);
}

#[tokio::test]
async fn a_body_is_journaled_in_utf_8_whatever_its_message_says_it_is_in() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    let (gbk, _, _) = encoding_rs::GBK.encode(BODY);
    let header = "content-type:application/json;charset=GBK";
    server.message_with(0, header, &gbk).await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, BODY.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    server.message_with(1, "content-encoding:gzip", &gzip).await;
    // Nobody says what it is in, and it cannot be read.
    server.message_with(2, "x:y", &gbk).await;
    // It can be read, and is no status: the header that it was read by is not kept.
    let (text, _, _) = encoding_rs::GBK.encode("[\"故障\"]");
    server.message_with(3, header, &text).await;
    // It was read as UTF-8, whatever the topic's `encoding` is once somebody corrects that.
    server
        .message_with(4, "x:y", "[\"故障\",7]".as_bytes())
        .await;
    for id in 0..5 {
        assert_eq!(server.frame().await, format!("ACK\nid:a{id}\n\n"));
    }
    let entries = lab.log().await.into_iter();
    let entries = entries.filter(|entry| entry.content != EntryContent::Coverage);
    let bodies: Vec<_> = entries.map(|entry| entry.body).collect();
    let marked = "\u{feff}\"故障\"";
    let marked = marked.as_bytes();
    let body = BODY.as_bytes();
    assert_eq!(bodies, [body, body, &gbk, marked, marked, b"7"]);
    assert_eq!(lab.status.counters.undecodable.load(Relaxed), 4);
}

#[tokio::test]
async fn any_number_of_bytes_that_are_no_status_leave_room_for_one() {
    let lab = Lab::new(AckMode::Auto).await;
    let mut server = lab.accept_session("0,0").await;
    let heartbeat = format!(r#"{{"type":"heartbeat","pad":"{}"}}"#, "x".repeat(100_000));
    for id in 0..60 {
        server.message(id, &heartbeat).await;
    }
    server.message(60, BODY).await;
    lab.until(|status| status.counters.messages.load(Relaxed) == 61)
        .await;
    assert_eq!(lab.status.unreadable()["map-1"].ignored, 60);
}

#[tokio::test]
async fn what_cannot_be_read_is_counted_by_topic_field_and_word() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    let body = r#"{"deviceId":7,"newState":"维护中 ","address":{"latitude":"33,7","longitude":1}}"#;
    for id in 0..2 {
        server.message(id, body).await;
        server.frame().await;
    }
    let told = lab.status.unreadable()["map-1"].clone();
    assert_eq!(
        told.fields.into_iter().collect::<Vec<_>>(),
        [("latitude", 2)]
    );
    let words: Vec<(String, u64)> = told.unmapped.into_iter().collect();
    assert_eq!(words, [("维护中".to_owned(), 2)]);
    assert_eq!(lab.entries().await.len(), 2, "nothing is lost for it");
}

#[tokio::test]
async fn status_within_a_json_text_is_journaled_as_it_is() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    let body = serde_json::to_string(&format!("[{BODY},{BODY}]")).unwrap();
    server.message(0, &body).await;
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
    let entries = lab.entries().await;
    let bodies: Vec<&str> = entries.iter().map(|(_, body, _)| body.as_str()).collect();
    assert_eq!(bodies, [BODY, BODY]);
}

#[tokio::test]
async fn a_missed_transition_is_seen_across_a_reconnect() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    server.message(0, BODY).await;
    server.frame().await;
    drop(server);
    let mut server = lab.accept_session("0,0").await;
    server.message(1, BODY).await;
    server.frame().await;
    let previous = |content: &EntryContent| match content {
        EntryContent::Status { previous, .. } => previous.as_deref().map(str::to_owned),
        other => panic!("{other:?}"),
    };
    let seen: Vec<Option<String>> = lab
        .entries()
        .await
        .iter()
        .map(|(_, _, content)| previous(content))
        .collect();
    assert_eq!(
        seen,
        [None, Some("故障".to_owned())],
        "the second one says 正常, and 故障 was the last seen"
    );
}

#[tokio::test]
async fn a_lost_connection_is_made_anew_with_one_subscription() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    for life in 0..20 {
        let mut server = lab.accept_session("0,0").await;
        server.message(life, BODY).await;
        assert_eq!(server.frame().await, format!("ACK\nid:a{life}\n\n"));
    }
    assert_eq!(lab.entries().await.len(), 20);
}

#[tokio::test]
async fn a_truncated_frame_is_no_message_and_ends_the_connection() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    server
        .send(
            "MESSAGE\nsubscription:map-1\nmessage-id:1\nack:1\ncontent-length:400\n\n{\"clientId\"",
        )
        .await;
    drop(server);
    let mut server = lab.accept_session("0,0").await;
    server.message(2, BODY).await;
    server.frame().await;
    let error = lab.status.link().last_error.unwrap();
    assert!(error.contains("bytes into a frame"), "{error}");
    assert_eq!(lab.entries().await.len(), 1);
}

#[tokio::test]
async fn an_error_ends_the_connection_although_the_server_leaves_it_open() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    server
        .send("ERROR\nmessage:kaputt\ncontent-length:4\n\nno!\n\0\n")
        .await;
    server.rest().await;
    lab.accept_session("0,0").await;
    let error = lab.status.link().last_error.unwrap();
    assert!(error.contains("kaputt") && error.contains("no!"), "{error}");
}

#[tokio::test]
async fn a_refused_login_is_not_tried_again_at_once() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept().await;
    server.frame().await;
    server
        .send(
            "ERROR\nmessage:Bad CONNECT\ncontent-length:30\n\nAccess refused for user 'lab'\n\0\n",
        )
        .await;
    server.rest().await;
    let error = lab.error().await;
    assert!(
        error.contains("Access refused for user 'lab'") && error.contains("check login"),
        "{error}"
    );
    lab.waits_with_the_next_attempt().await;
}

#[tokio::test]
async fn a_client_id_that_activemq_holds_still_is_tried_again_at_once() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept().await;
    server.frame().await;
    let said = "Broker: lab - Client: bridge already connected from tcp://127.0.0.1:32914";
    server
        .send(&format!(
            "ERROR\nmessage:{said}\n\njavax.jms.InvalidClientIDException: {said}\n\tat a.b\n\0\n"
        ))
        .await;
    let mut server = lab.accept_session("0,0").await;
    server.message(0, BODY).await;
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
}

#[tokio::test]
async fn a_message_without_an_ack_header_is_taken_and_not_acknowledged() {
    let lab = Lab::new(AckMode::Client).await;
    let mut server = lab.accept_session("0,0").await;
    server
        .send(&format!(
            "MESSAGE\nsubscription:map-1\ndestination:a\nmessage-id:m0\n\n{BODY}\0"
        ))
        .await;
    server.message(1, BODY).await;
    assert_eq!(server.frame().await, "ACK\nid:a1\n\n");
    assert_eq!(lab.entries().await.len(), 2);
}

#[tokio::test]
async fn a_refused_subscription_is_not_tried_again_at_once() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept().await;
    server.frame().await;
    server
        .send("CONNECTED\nversion:1.2\nserver:RabbitMQ/3.10.8\n\n\0\n")
        .await;
    server.frame().await;
    server
        .send("ERROR\nmessage:access_refused\ncontent-length:3\n\nno\n\0\n")
        .await;
    server.rest().await;
    let error = lab.error().await;
    assert!(
        error.contains("subscribe to /queue/a refused") && error.contains("access_refused"),
        "{error}"
    );
    lab.waits_with_the_next_attempt().await;
}

#[tokio::test]
async fn attempts_bound_the_reconnects() {
    let lab = Lab::with(AckMode::Auto, Duration::ZERO, 1 << 30, Some(3)).await;
    for _ in 0..3 {
        drop(lab.accept().await);
    }
    let error = within(lab.source).await.unwrap().unwrap_err();
    assert!(
        matches!(error, SourceError::GaveUp { attempts: 3, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn readiness_comes_with_the_subscription_not_with_the_connection() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept().await;
    server.frame().await;
    lab.until(|status| status.link().state == LinkState::Connecting)
        .await;
    server
        .send("CONNECTED\nversion:1.2\nserver:RabbitMQ/3.10.8\n\n\0")
        .await;
    let subscribe = server.frame().await;
    lab.until(|status| status.link().state == LinkState::Connected)
        .await;
    assert!(!lab.status.link().state.is_ready());
    server.receipt(&subscribe).await;
    lab.until(|status| status.link().state == LinkState::Subscribed)
        .await;
    server.message(0, BODY).await;
    lab.until(|status| status.link().state == LinkState::Receiving)
        .await;
    drop(server);
    lab.until(|status| !status.link().state.is_ready()).await;
}

#[tokio::test]
async fn stopping_commits_acknowledges_and_says_goodbye() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    server.message(0, BODY).await;
    lab.until(|status| status.link().state == LinkState::Receiving)
        .await;
    lab.stop.cancel();
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
    // RabbitMQ answers it only behind the ACK, which DISCONNECT alone would overtake.
    server.unsubscribed("map-1").await;
    // What it sends meanwhile is not acknowledged, so it comes again: it must not be taken too.
    server.message(1, BODY).await;
    let disconnect = server.frame().await;
    assert!(disconnect.starts_with("DISCONNECT\n"), "{disconnect}");
    server.receipt(&disconnect).await;
    assert_eq!(server.rest().await, "", "nothing follows DISCONNECT");
    within(lab.source).await.unwrap().unwrap();
    assert_eq!(lab.status.counters.messages.load(Relaxed), 1);
    assert_eq!(lab.status.link().state, LinkState::Stopped);
}

#[tokio::test]
async fn a_full_journal_stops_the_acks_and_not_the_heartbeats() {
    let lab = Lab::with_full_journal().await;
    let mut server = lab.accept_session("86400000,200").await;
    server.message(0, BODY).await;
    server.exchange_heartbeats(10).await;
    lab.unstick();
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
}

#[tokio::test]
async fn a_server_that_is_not_read_is_not_taken_for_silent() {
    let lab = Lab::with_full_journal().await;
    let mut server = lab.accept_session("1000,1000").await;
    // More than the intake takes in: from there on the socket is not read, the server's heart-beats
    // included.
    for id in 0..6000 {
        server.message(id, BODY).await;
    }
    // For longer than a silence may be.
    server.exchange_heartbeats(6).await;
    lab.unstick();
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
}

#[tokio::test]
async fn a_flood_does_not_stop_our_heartbeats() {
    let lab = Lab::with(AckMode::Auto, Duration::from_millis(200), 1 << 30, None).await;
    let mut server = lab.accept_session("86400000,200").await;
    let message =
        format!("MESSAGE\nsubscription:map-1\ndestination:a\nmessage-id:m\n\n{BODY}\0").repeat(100);
    let (mut read, mut write) = server.stream.split();
    let flood = async {
        loop {
            write.write_all(message.as_bytes()).await.unwrap();
        }
    };
    let beats = async {
        let mut beats = [0; 10];
        read.read_exact(&mut beats).await.unwrap();
        beats
    };
    tokio::select! {
        () = flood => {}
        beats = within(beats) => assert_eq!(beats, [b'\n'; 10]),
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_left_within_two_intervals_and_a_second() {
    let lab = Lab::with(
        AckMode::ClientIndividual,
        Duration::from_millis(200),
        1 << 30,
        None,
    )
    .await;
    let started = std::time::Instant::now();
    let mut server = lab.accept_session("200,200").await;
    server.rest().await;
    assert!(
        started.elapsed() >= Duration::from_millis(400),
        "left after {:?}",
        started.elapsed()
    );
    lab.accept_session("200,200").await;
    let error = lab.status.link().last_error.unwrap();
    assert!(error.contains("silent"), "{error}");
}

#[tokio::test]
async fn without_heartbeats_a_dead_websocket_is_noticed_by_pings() {
    let lab = Lab::over("ws", AckMode::Auto, Duration::from_secs(1), 1 << 30, None).await;
    let connect = async || {
        let (stream, _) = within(lab.server.accept()).await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        assert!(
            within(socket.next())
                .await
                .unwrap()
                .unwrap()
                .to_text()
                .unwrap()
                .starts_with("CONNECT\n")
        );
        socket
            .send(Frame::text("CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0"))
            .await
            .unwrap();
        assert!(
            within(socket.next())
                .await
                .unwrap()
                .unwrap()
                .to_text()
                .unwrap()
                .starts_with("SUBSCRIBE\n")
        );
        socket
    };
    let mut socket = connect().await;
    // Reading answers them: it lives, though no byte of STOMP comes.
    for _ in 0..5 {
        assert!(matches!(
            within(socket.next()).await.unwrap().unwrap(),
            Frame::Ping(_)
        ));
    }
    socket.flush().await.unwrap();
    // From here on nobody does.
    let _again = connect().await;
    let error = lab.status.link().last_error.unwrap();
    assert!(error.contains("silent"), "{error}");
}

#[tokio::test]
async fn the_source_ends_when_the_journal_has_ended() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    lab.writer.abort();
    lab.until(|_| lab.writer.is_finished()).await;
    server.message(0, BODY).await;
    let error = within(lab.source).await.unwrap().unwrap_err();
    assert!(matches!(error, SourceError::Journal(_)), "{error}");
    assert!(
        !server.rest().await.contains("ACK"),
        "nothing is acknowledged that is not on disk"
    );
}
