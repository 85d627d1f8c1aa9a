//! Topics that the server refuses: the others are subscribed without them, and a reload that is
//! refused falls back to what stood.

use super::*;

fn topic(name: &str) -> Topic {
    Topic {
        name: name.into(),
        destination: format!("/topic/{name}").as_str().into(),
        ack: AckMode::Auto,
        headers: Vec::new(),
    }
}

/// The part of a frame's header behind its name.
fn header<'a>(frame: &'a str, name: &str) -> &'a str {
    frame
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default()
}

impl Lab {
    /// With these topics instead of its own.
    async fn with_topics(topics: &[Topic]) -> Lab {
        Lab::of("stomp", topics.to_vec(), Duration::ZERO, 1 << 30, None).await
    }

    fn set(&self, topics: &[Topic]) {
        let settings = Settings {
            topics: topics.to_vec(),
            ..self.settings.clone()
        };
        self.handle.reload(settings, decoders(topics));
    }

    /// Answers CONNECT.
    async fn accept_connected(&self) -> Server {
        let mut server = self.accept().await;
        assert!(server.frame().await.starts_with("CONNECT\n"));
        server
            .send("CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0\n")
            .await;
        server
    }

    fn refused(&self) -> Vec<String> {
        let refused = self.status.refused_topics();
        refused.keys().map(|name| name.to_string()).collect()
    }
}

impl Server {
    /// Reads so many SUBSCRIBEs and confirms none.
    async fn subscribes(&mut self, count: usize) -> Vec<String> {
        let mut frames = Vec::new();
        for _ in 0..count {
            let frame = self.frame().await;
            assert!(frame.starts_with("SUBSCRIBE\n"), "{frame}");
            frames.push(frame);
        }
        frames
    }

    /// Confirms these SUBSCRIBEs.
    async fn confirms(&mut self, frames: &[String]) {
        for frame in frames {
            self.receipt(frame).await;
        }
    }
}

fn ids(frames: &[String]) -> Vec<&str> {
    frames.iter().map(|frame| header(frame, "id:")).collect()
}

#[tokio::test]
async fn a_topic_that_the_error_names_is_left_out_by_the_next_connection() {
    let lab = Lab::with_topics(&[topic("a"), topic("b"), topic("c")]).await;
    let mut server = lab.accept_connected().await;
    let frames = server.subscribes(3).await;
    assert_eq!(ids(&frames), ["a", "b", "c"]);
    // Spring names no receipt, and may name the destination.
    server
        .send("ERROR\nmessage:no right to read /topic/b\n\n\0\n")
        .await;
    server.rest().await;
    let mut server = lab.accept_connected().await;
    let frames = server.subscribes(2).await;
    assert_eq!(ids(&frames), ["a", "c"]);
    server.confirms(&frames).await;
    lab.until(|status| status.link().state.is_ready()).await;
    assert_eq!(lab.refused(), ["b"]);
    let told = lab.status.refused_topics();
    assert_eq!(told["b"].destination, "/topic/b");
    assert!(
        told["b"]
            .error
            .contains("subscribe to /topic/b refused: no right to read /topic/b; check that it"),
        "{told:?}"
    );
    server.message_of("c", 1, BODY).await;
    lab.journaled(1).await;
}

#[tokio::test]
async fn where_nothing_is_named_the_halves_are_tried_and_the_good_one_stays() {
    let lab = Lab::with_topics(&[topic("a"), topic("b"), topic("c"), topic("d")]).await;
    let said = "ERROR\nmessage:access denied\n\n\0\n";
    let mut server = lab.accept_connected().await;
    server.subscribes(4).await;
    server.send(said).await;
    server.rest().await;
    // The second half is good, and the first comes only once it stands.
    let mut server = lab.accept_connected().await;
    let frames = server.subscribes(2).await;
    assert_eq!(ids(&frames), ["c", "d"]);
    assert!(server.silent());
    server.confirms(&frames).await;
    let frames = server.subscribes(2).await;
    assert_eq!(ids(&frames), ["a", "b"]);
    lab.until(|status| status.link().state == LinkState::Connected)
        .await;
    server.message_of("d", 1, BODY).await;
    lab.journaled(1).await;
    server.send(said).await;
    server.rest().await;
    let error = lab.error().await;
    assert!(error.contains("one of 2 topics refused (a, b)"), "{error}");
    let mut server = lab.accept_connected().await;
    let frames = server.subscribes(2).await;
    assert_eq!(ids(&frames), ["c", "d"]);
    server.confirms(&frames).await;
    let frames = server.subscribes(1).await;
    assert_eq!(ids(&frames), ["b"]);
    server.confirms(&frames).await;
    let frames = server.subscribes(1).await;
    assert_eq!(ids(&frames), ["a"]);
    server.send(said).await;
    server.rest().await;
    let mut server = lab.accept_connected().await;
    let frames = server.subscribes(3).await;
    assert_eq!(ids(&frames), ["b", "c", "d"]);
    server.confirms(&frames).await;
    lab.until(|status| status.link().state.is_ready()).await;
    assert_eq!(lab.refused(), ["a"]);
}

#[tokio::test]
async fn of_hundreds_of_doubtful_topics_five_are_named() {
    let topics: Vec<Topic> = (0..500).map(|n| topic(&format!("t-{n:03}"))).collect();
    let lab = Lab::with_topics(&topics).await;
    let mut server = lab.accept_connected().await;
    server.subscribes(500).await;
    server.send("ERROR\nmessage:access denied\n\n\0\n").await;
    server.rest().await;
    let error = lab.error().await;
    assert!(
        error
            .contains("one of 500 topics refused (t-000, t-001, t-002, t-003, t-004 and 495 more)"),
        "{error}"
    );
    assert!(error.len() < 300, "{error}");
}

#[tokio::test]
async fn a_changed_topic_that_is_refused_goes_on_as_it_was() {
    let lab = Lab::with_topics(&[topic("a"), topic("b")]).await;
    let mut server = lab.accept_connected().await;
    let frames = server.subscribes(2).await;
    server.confirms(&frames).await;
    lab.until(|status| status.link().state.is_ready()).await;
    let changed = Topic {
        destination: "/topic/other".into(),
        ..topic("b")
    };
    lab.set(&[topic("a"), changed]);
    let unsubscribe = server.frame().await;
    assert!(unsubscribe.starts_with("UNSUBSCRIBE\nid:b\n"));
    server.receipt(&unsubscribe).await;
    let subscribe = server.frame().await;
    assert_eq!(header(&subscribe, "destination:"), "/topic/other");
    let receipt = header(&subscribe, "receipt:");
    server
        .send(&format!(
            "ERROR\nmessage:denied\nreceipt-id:{receipt}\n\n\0\n"
        ))
        .await;
    server.rest().await;
    let mut server = lab.accept_connected().await;
    let frames = server.subscribes(2).await;
    assert_eq!(header(&frames[1], "destination:"), "/topic/b");
    server.confirms(&frames).await;
    lab.until(|status| status.link().state.is_ready()).await;
    server.message_of("b", 1, BODY).await;
    lab.journaled(1).await;
    assert_eq!(lab.refused(), ["b"]);
    assert_eq!(lab.status.refused_topics()["b"].destination, "/topic/other");
}

#[tokio::test]
async fn a_close_without_a_word_is_a_refusal_the_second_time() {
    let lab = Lab::with_topics(&[topic("a"), topic("b"), topic("c")]).await;
    for _ in 0..2 {
        let mut server = lab.accept_connected().await;
        let frames = server.subscribes(3).await;
        server.confirms(&frames[..2]).await;
        drop(server);
        let error = lab.error().await;
        assert!(
            error.contains("topics not confirmed yet (c): the server closed the connection")
                || error.contains("subscribe to /topic/c refused"),
            "{error}"
        );
    }
    let mut server = lab.accept_connected().await;
    let frames = server.subscribes(2).await;
    assert_eq!(ids(&frames), ["a", "b"]);
    server.confirms(&frames).await;
    lab.until(|status| status.link().state.is_ready()).await;
    assert_eq!(lab.refused(), ["c"]);
    let error = &lab.status.refused_topics()["c"].error;
    assert!(
        error.contains("the server closed the connection") && error.contains("no other word came"),
        "{error}"
    );
}

/// A queue whose messages are acknowledged one by one.
fn queue(name: &str) -> Topic {
    Topic {
        ack: AckMode::ClientIndividual,
        ..topic(name)
    }
}

#[tokio::test]
async fn a_queue_that_a_refused_reload_falls_back_to_is_acknowledged_as_before() {
    let lab = Lab::with_topics(&[queue("a")]).await;
    let mut server = lab.accept_connected().await;
    let frames = server.subscribes(1).await;
    server.confirms(&frames).await;
    lab.until(|status| status.link().state.is_ready()).await;
    let changed = Topic {
        destination: "/topic/other".into(),
        ..topic("a")
    };
    lab.set(std::slice::from_ref(&changed));
    let unsubscribe = server.frame().await;
    assert!(unsubscribe.starts_with("UNSUBSCRIBE\nid:a\n"));
    server.receipt(&unsubscribe).await;
    server.subscribes(1).await;
    server
        .send("ERROR\nmessage:no right to read /topic/other\n\n\0\n")
        .await;
    server.rest().await;
    let mut server = lab.accept_connected().await;
    let frames = server.subscribes(1).await;
    assert_eq!(header(&frames[0], "destination:"), "/topic/a");
    assert_eq!(header(&frames[0], "ack:"), "client-individual");
    server.confirms(&frames).await;
    server.message_of("a", 1, BODY).await;
    assert_eq!(server.frame().await, "ACK\nid:a1\n\n");
    let guarantee = lab.status.profile().guarantees["a"].clone();
    // The refused change is taken back: what stands goes on standing, and what is refused from now
    // on is another topic.
    lab.set(&[queue("a"), topic("b")]);
    let frames = server.subscribes(1).await;
    assert_eq!(ids(&frames), ["b"]);
    assert_eq!(lab.status.profile().guarantees["a"], guarantee);
    server.send("ERROR\nmessage:access denied\n\n\0\n").await;
    server.rest().await;
    lab.until(|status| !status.link().state.is_ready() && status.refused_topics().len() == 1)
        .await;
    assert_eq!(lab.refused(), ["b"]);
}

#[tokio::test]
async fn a_change_that_is_taken_back_before_it_was_carried_out_leaves_the_topic_standing() {
    let kept = Topic {
        destination: "/queue/a".into(),
        ..queue("a")
    };
    let lab = Lab::with_topics(std::slice::from_ref(&kept)).await;
    let mut server = lab.accept().await;
    assert!(server.frame().await.starts_with("CONNECT\n"));
    // It keeps what is in a queue, so that the queue is not left at once.
    server
        .send("CONNECTED\nversion:1.2\nserver:RabbitMQ/3.10.8\nheart-beat:0,0\n\n\0\n")
        .await;
    let frames = server.subscribes(1).await;
    server.confirms(&frames).await;
    lab.until(|status| status.link().state.is_ready()).await;
    let changed = Topic {
        destination: "/topic/other".into(),
        ..kept.clone()
    };
    // Its UNSUBSCRIBE waits until nothing has come for a second.
    lab.set(&[changed, topic("b")]);
    let frames = server.subscribes(1).await;
    server.confirms(&frames).await;
    lab.set(&[kept, topic("b"), topic("c")]);
    let frames = server.subscribes(1).await;
    assert_eq!(ids(&frames), ["c"]);
    server.confirms(&frames).await;
    drop(server);
    let error = lab.error().await;
    assert!(!error.contains("not confirmed"), "{error}");
}

#[tokio::test]
async fn a_refusal_that_comes_after_the_wait_for_receipts_is_found() {
    let lab = Lab::with_topics(&[topic("a"), topic("b"), topic("c")]).await;
    let mut server = lab.accept_connected().await;
    let frames = server.subscribes(3).await;
    server.confirms(&frames[..1]).await;
    // The others stand since nothing speaks against them.
    lab.until(|status| status.link().state.is_ready()).await;
    server
        .send("ERROR\nmessage:no right to read /topic/b\n\n\0\n")
        .await;
    server.rest().await;
    let mut server = lab.accept_connected().await;
    let frames = server.subscribes(2).await;
    assert_eq!(ids(&frames), ["a", "c"]);
    server.confirms(&frames[..1]).await;
    lab.until(|status| status.link().state.is_ready()).await;
    server.send("ERROR\nmessage:access denied\n\n\0\n").await;
    server.rest().await;
    let mut server = lab.accept_connected().await;
    let frames = server.subscribes(1).await;
    assert_eq!(ids(&frames), ["a"]);
    server.confirms(&frames).await;
    lab.until(|status| status.link().state.is_ready()).await;
    assert_eq!(lab.refused(), ["b", "c"]);
}
