//! The end of a connection, whatever its reason: messages read are committed and acknowledged, so
//! that the server does not redeliver them.

use std::sync::atomic::Ordering::Relaxed;

use tokio_tungstenite::tungstenite::Error as WebSocketError;

use super::*;

/// Good messages before what ends the connection.
const GOOD: usize = 50;

/// More bytes than the sockets hold, and than a frame may have.
const UNREAD_BYTES: usize = 2 << 20;

/// RabbitMQ's word for a message of map-1 that it has not sent, since that was left.
const WITHHELD: &str = "ERROR\nmessage:Subscription not found\n\n\
                        There is no current subscription with tag 'T_map-1'.\0\n";

fn message(id: usize) -> String {
    format!("MESSAGE\nsubscription:map-1\nmessage-id:m{id}\nack:a{id}\n\n{BODY}\0\n")
}

fn messages(ids: std::ops::Range<usize>) -> String {
    ids.map(message).collect()
}

/// A message with a header of this length.
fn odd(id: usize, header_bytes: usize) -> String {
    let trace = "x".repeat(header_bytes);
    format!(
        "MESSAGE\nsubscription:map-1\nmessage-id:m{id}\nack:a{id}\nx-trace:{trace}\n\n{BODY}\0\n"
    )
}

/// The ids that were acknowledged, in order.
fn acknowledged(sent: &str) -> Vec<usize> {
    sent.split('\0')
        .filter_map(|frame| {
            let id = frame.trim_start().strip_prefix("ACK\nid:a")?;
            id.trim_end().parse().ok()
        })
        .collect()
}

fn all(count: usize) -> Vec<usize> {
    (0..count).collect()
}

impl Lab {
    /// Puts map-2 in the place of map-1; gives its SUBSCRIBE, which is not answered yet.
    async fn change_topics(&self, server: &mut Server) -> String {
        let other = Topic {
            name: "map-2".into(),
            destination: "/queue/2".into(),
            ..self.settings.topics[0].clone()
        };
        let settings = Settings {
            topics: vec![other],
            ..self.settings.clone()
        };
        let decoders = decoders(&settings.topics);
        self.handle.reload(settings, decoders);
        let subscribe = server.frame().await;
        assert!(
            subscribe.starts_with("SUBSCRIBE\nid:map-2\n"),
            "{subscribe}"
        );
        subscribe
    }
}

impl Server {
    /// Writes all of this before it reads anything, as a server with one thread does, and then
    /// reads until the other side has closed.
    async fn hear_out(mut self, bytes: &str) -> String {
        within(self.stream.write_all(bytes.as_bytes()))
            .await
            .unwrap();
        self.rest().await
    }
}

#[tokio::test]
async fn a_header_of_any_length_costs_nothing_before_and_behind_it() {
    for header_bytes in [20 << 10, UNREAD_BYTES] {
        let lab = Lab::new(AckMode::ClientIndividual).await;
        let mut server = lab.accept_session("0,0").await;
        let odd = odd(GOOD, header_bytes);
        let behind = messages(GOOD + 1..2 * GOOD);
        within(
            server
                .stream
                .write_all([&messages(0..GOOD), &odd, &*behind].concat().as_bytes()),
        )
        .await
        .unwrap();
        let mut acks = Vec::new();
        while acks.len() < 2 * GOOD {
            acks.extend(acknowledged(&server.frame().await));
        }
        assert_eq!(acks, all(2 * GOOD));
        assert_eq!(lab.entries().await.len(), 2 * GOOD);
        assert_eq!(lab.status.counters.connections.load(Relaxed), 1);
    }
}

#[tokio::test]
async fn client_mode_acknowledges_the_last_before_the_end_and_nothing_behind_it() {
    let lab = Lab::new(AckMode::Client).await;
    let server = lab.accept_session("0,0").await;
    let all = [
        messages(0..GOOD),
        "ERROR\nmessage:kaputt\n\n\0\n".to_owned(),
        messages(GOOD + 1..2 * GOOD),
    ];
    let sent = server.hear_out(&all.concat()).await;
    assert_eq!(acknowledged(&sent).last(), Some(&(GOOD - 1)));
    assert_eq!(lab.entries().await.len(), GOOD);
}

#[tokio::test]
async fn what_comes_before_an_error_is_acknowledged() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let server = lab.accept_session("0,0").await;
    let error = "ERROR\nmessage:kaputt\n\n\0\n";
    let sent = server.hear_out(&[&messages(0..GOOD), error].concat()).await;
    assert_eq!(acknowledged(&sent), all(GOOD));
    assert_eq!(lab.entries().await.len(), GOOD);
}

#[tokio::test]
async fn a_message_that_a_silence_cuts_is_kept() {
    let heartbeat = Duration::from_millis(800);
    let lab = Lab::with(AckMode::Auto, heartbeat, 1 << 30, None).await;
    let mut server = lab.accept_session("800,800").await;
    // Its length counts too much.
    let odd = format!("MESSAGE\nsubscription:map-1\ncontent-length:9000\n\n{BODY}\0");
    server.send(&odd).await;
    let error = lab.error().await;
    assert!(error.contains("silent"), "{error}");
    assert_eq!(lab.entries().await.len(), 1);
}

#[tokio::test]
async fn an_unsubscribe_stands_between_the_last_acks_and_disconnect_after_a_silence() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    server.message(0, BODY).await;
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
    let settings = Settings {
        silence: Some(Duration::from_secs(2)),
        ..lab.settings.clone()
    };
    lab.handle.reload(settings, decoders(&lab.settings.topics));
    let sent = server.rest().await;
    let left = sent.find("UNSUBSCRIBE\nid:map-1\n");
    let disconnected = sent.find("DISCONNECT\n");
    assert!(left.is_some() && left < disconnected, "{sent}");
    assert_eq!(sent.matches("UNSUBSCRIBE").count(), 1, "{sent}");
    // Unlike the server that has ended the session itself.
    let mut server = lab.accept_session("0,0").await;
    server.message(1, BODY).await;
    assert_eq!(server.frame().await, "ACK\nid:a1\n\n");
    let sent = server.hear_out("ERROR\nmessage:kaputt\n\n\0\n").await;
    assert!(!sent.contains("UNSUBSCRIBE"), "{sent}");
}

#[tokio::test]
async fn an_error_that_a_reset_cuts_still_says_why() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    let cut = "ERROR\nmessage:kaputt\n\nno more";
    server.send(&[&message(0), cut].concat()).await;
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
    socket2::SockRef::from(&server.stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(server);
    let error = lab.error().await;
    assert!(error.contains("kaputt"), "{error}");
}

#[tokio::test]
async fn a_server_that_has_closed_its_half_still_gets_the_acks() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    server.send(&messages(0..GOOD)).await;
    server.stream.shutdown().await.unwrap();
    assert_eq!(acknowledged(&server.rest().await), all(GOOD));
}

#[tokio::test]
async fn what_comes_before_a_websocket_that_breaks_its_protocol_is_acknowledged() {
    let lab = Lab::over(
        "ws",
        AckMode::ClientIndividual,
        Duration::ZERO,
        1 << 30,
        None,
    )
    .await;
    let (stream, _) = within(lab.server.accept()).await.unwrap();
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    within(socket.next()).await.unwrap().unwrap();
    socket
        .send(Frame::text("CONNECTED\nversion:1.2\n\n\0"))
        .await
        .unwrap();
    within(socket.next()).await.unwrap().unwrap();
    for id in 0..GOOD {
        socket.feed(Frame::text(message(id))).await.unwrap();
    }
    socket.flush().await.unwrap();
    // A reserved opcode (RFC 6455, section 5.2), and bytes that nobody reads.
    let unread = vec![0; UNREAD_BYTES];
    within(
        socket
            .get_mut()
            .write_all(&[&[0x83, 0][..], &unread].concat()),
    )
    .await
    .unwrap();
    let mut sent = String::new();
    loop {
        match within(socket.next()).await {
            Some(Ok(Frame::Text(frame))) => sent.push_str(&frame),
            Some(Ok(Frame::Close(_))) => {}
            None | Some(Err(WebSocketError::ConnectionClosed)) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(acknowledged(&sent), all(GOOD));
    let error = lab.error().await;
    assert!(error.contains("broke the transport's protocol"), "{error}");
    assert_eq!(lab.entries().await.len(), GOOD);
}

#[tokio::test]
async fn acks_that_wait_for_a_topic_to_be_left_are_written_before_the_end() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    lab.change_topics(&mut server).await;
    let sent = server
        .hear_out(&[&messages(0..3), "ERROR\nmessage:kaputt\n\n\0\n"].concat())
        .await;
    assert_eq!(acknowledged(&sent), all(3), "{sent}");
    assert!(
        !sent.contains("UNSUBSCRIBE"),
        "the session has ended: {sent}"
    );
}

#[tokio::test]
async fn nothing_is_acknowledged_behind_a_message_that_was_withheld() {
    // With `client`, RabbitMQ takes an ACK for all before it, of whatever topic.
    let lab = Lab::new(AckMode::Client).await;
    let mut server = lab.accept_session("0,0").await;
    let subscribe = lab.change_topics(&mut server).await;
    server.receipt(&subscribe).await;
    let unsubscribe = server.frame().await;
    assert!(
        unsubscribe.starts_with("UNSUBSCRIBE\nid:map-1\n"),
        "{unsubscribe}"
    );
    let of_other = |id| message(id).replace("map-1", "map-2");
    let sent = server
        .hear_out(&[&of_other(0), WITHHELD, &of_other(1)].concat())
        .await;
    assert_eq!(acknowledged(&sent), [0], "{sent}");
    assert_eq!(lab.entries().await.len(), 1, "the other comes again");
}

#[tokio::test]
async fn what_the_journal_does_not_take_is_not_acknowledged_at_the_end() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let server = lab.accept_session("0,0").await;
    lab.writer.abort();
    lab.until(|_| lab.writer.is_finished()).await;
    let sent = server
        .hear_out(&[&messages(0..3), "ERROR\nmessage:kaputt\n\n\0\n"].concat())
        .await;
    assert_eq!(acknowledged(&sent), [0; 0]);
    let error = within(lab.source).await.unwrap().unwrap_err();
    assert!(matches!(error, SourceError::Journal(_)), "{error}");
}

#[tokio::test]
async fn a_full_journal_is_waited_for_before_the_connection_is_given_up() {
    let lab = Lab::with_full_journal().await;
    let mut server = lab.accept_session("0,0").await;
    server
        .send(&[&messages(0..3), "ERROR\nmessage:kaputt\n\n\0\n"].concat())
        .await;
    lab.until(|status| {
        status.counters.messages.load(Relaxed) == 3 && !status.link().state.is_ready()
    })
    .await;
    lab.unstick();
    assert_eq!(acknowledged(&server.rest().await), all(3));
    assert_eq!(lab.statuses().await, 3);
}

#[tokio::test]
async fn a_stop_while_the_end_of_a_connection_waits_for_the_journal_leaves_time_for_the_acks() {
    let mut lab = Lab::with_full_journal().await;
    let mut server = lab.accept_session("0,0").await;
    server
        .send(&[&messages(0..3), "ERROR\nmessage:kaputt\n\n\0\n"].concat())
        .await;
    lab.until(|status| {
        status.counters.messages.load(Relaxed) == 3 && !status.link().state.is_ready()
    })
    .await;
    lab.stop.cancel();
    // Well within the time that a stop gives to what was read.
    tokio::time::sleep(Duration::from_millis(50)).await;
    lab.unstick();
    assert_eq!(acknowledged(&server.rest().await), all(3));
    within(&mut lab.source).await.unwrap().unwrap();
}

#[tokio::test]
async fn heart_beats_go_on_while_the_end_of_a_connection_waits_for_a_full_journal() {
    // With `client` the connection ends by the withheld message, and the session has not failed.
    let lab = Lab::with_full_journal_and(AckMode::Client).await;
    let mut server = lab.accept_session("0,200").await;
    let subscribe = lab.change_topics(&mut server).await;
    server.receipt(&subscribe).await;
    let unsubscribe = server.frame().await;
    assert!(
        unsubscribe.starts_with("UNSUBSCRIBE\nid:map-1\n"),
        "{unsubscribe}"
    );
    let of_other = message(0).replace("map-1", "map-2");
    server.send(&[&of_other, WITHHELD].concat()).await;
    lab.until(|status| !status.link().state.is_ready()).await;
    server.exchange_heartbeats(3).await;
    lab.unstick();
    assert_eq!(acknowledged(&server.rest().await), all(1));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_full_journal_which_still_writes_what_came() {
    let mut lab = Lab::with_full_journal().await;
    let mut server = lab.accept_session("0,0").await;
    // One is with the journal when the others come.
    server.message(0, BODY).await;
    lab.until(|status| status.counters.messages.load(Relaxed) == 1)
        .await;
    server.send(&messages(1..3)).await;
    lab.until(|status| status.counters.messages.load(Relaxed) == 3)
        .await;
    lab.stop.cancel();
    assert_eq!(server.rest().await, "", "nothing of it is on disk");
    within(&mut lab.source).await.unwrap().unwrap();
    lab.unstick();
    lab.journaled(3).await;
}

#[tokio::test]
async fn a_stop_loses_nothing_of_two_batches_that_wait_for_room() {
    let mut lab = Lab::with_full_journal_and(AckMode::Auto).await;
    let mut server = lab.accept_session("0,0").await;
    // Less than 1 MiB waits after the first, so that the second is read.
    let large = "x".repeat(700 << 10);
    for id in 0..2 {
        server.message(id, &large).await;
        let count = id as u64 + 1;
        lab.until(|status| status.counters.messages.load(Relaxed) == count)
            .await;
    }
    lab.stop.cancel();
    assert_eq!(server.rest().await, "", "nothing of it is on disk");
    within(&mut lab.source).await.unwrap().unwrap();
    let (mut head, mut large_entries) = (lab.journal.log.head(), 0);
    let mut seen = *head.borrow_and_update();
    within(async {
        // Each of them fills the journal again.
        while large_entries < 2 {
            lab.journal.cursors.pass("stuck", seen, Passed::default());
            head.changed().await.expect("the writer runs");
            let mut reader = lab.journal.log.reader().await.unwrap();
            let new = reader.read_after(seen, 1000, usize::MAX).await.unwrap();
            large_entries += new
                .iter()
                .filter(|new| new.body.len() == large.len())
                .count();
            seen = new.last().map_or(seen, |last| last.position);
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_neither_reads_nor_closes_is_left() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut deaf = lab.accept_session("0,0").await;
    deaf.send(&[&messages(0..3), "ERROR\nmessage:kaputt\n\n\0\n"].concat())
        .await;
    let _again = lab.accept_session("0,0").await;
    assert_eq!(acknowledged(&deaf.rest().await), all(3));
}
