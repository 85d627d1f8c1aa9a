//! Reloads: topics come and go on the open connection, whatever is in flight.

use std::sync::atomic::Ordering::Relaxed;

use super::*;

const INDIVIDUAL: AckMode = AckMode::ClientIndividual;

fn topic(name: &str, destination: &str, ack: AckMode) -> Topic {
    Topic {
        name: name.into(),
        destination: destination.into(),
        ack,
        headers: Vec::new(),
    }
}

/// The topic that every lab begins with.
fn map_1() -> Topic {
    topic("map-1", "/queue/a", INDIVIDUAL)
}

fn map_2() -> Topic {
    topic("map-2", "/queue/2", INDIVIDUAL)
}

impl Lab {
    async fn reload(&self, topics: impl IntoIterator<Item = Topic>) {
        self.reload_with(Settings {
            topics: topics.into_iter().collect(),
            ..self.settings.clone()
        })
        .await;
    }

    pub(super) async fn reload_with(&self, settings: Settings) {
        let decoders = decoders(&settings.topics);
        self.handle.reload(settings, decoders);
    }

    fn attempts(&self) -> u64 {
        self.status.counters.attempts.load(Relaxed)
    }

    /// How many messages the journal has.
    pub(super) async fn statuses(&self) -> usize {
        self.entries()
            .await
            .into_iter()
            .filter(|(_, body, _)| body == BODY)
            .count()
    }

    /// Waits until the journal has this many messages.
    pub(super) async fn journaled(&self, count: usize) {
        within(async {
            while self.statuses().await < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

impl Server {
    /// Reads SUBSCRIBE and confirms it.
    async fn subscribed(&mut self, id: &str, destination: &str) {
        let subscribe = self.frame().await;
        assert!(
            subscribe.starts_with(&format!("SUBSCRIBE\nid:{id}\ndestination:{destination}\n")),
            "{subscribe}"
        );
        self.receipt(&subscribe).await;
    }

    /// Reads UNSUBSCRIBE, and gives it.
    pub(super) async fn unsubscribed(&mut self, id: &str) -> String {
        let unsubscribe = self.frame().await;
        assert!(
            unsubscribe.starts_with(&format!("UNSUBSCRIBE\nid:{id}\nreceipt:")),
            "{unsubscribe}"
        );
        unsubscribe
    }

    /// What RabbitMQ says of a message that met an UNSUBSCRIBE.
    async fn withhold(&mut self, id: &str) {
        let detail = format!("There is no current subscription with tag 'T_{id}'.");
        self.send(&format!(
            "ERROR\nmessage:Subscription not found\ncontent-type:text/plain\n\n{detail}\0\n"
        ))
        .await;
    }

    pub(super) fn silent(&mut self) -> bool {
        self.received.iter().all(|byte| *byte == b'\n') && self.stream.try_read(&mut [0]).is_err()
    }

    /// Sends a message of a topic and waits for its ACK: whatever came before would be found out.
    async fn acknowledges(&mut self, topic: &str, id: usize) {
        self.message_of(topic, id, BODY).await;
        assert_eq!(self.frame().await, format!("ACK\nid:a{id}\n\n"));
    }
}

#[tokio::test]
async fn topics_come_and_go_on_the_living_connection_and_readiness_follows() {
    let lab = Lab::new(INDIVIDUAL).await;
    let mut server = lab.accept_session("0,0").await;
    lab.until(|status| status.link().state == LinkState::Subscribed)
        .await;

    lab.reload([map_1(), map_2()]).await;
    let subscribe = server.frame().await;
    assert!(
        subscribe.starts_with("SUBSCRIBE\nid:map-2\ndestination:/queue/2\n"),
        "{subscribe}"
    );
    lab.until(|status| status.link().state == LinkState::Connected)
        .await;
    assert_eq!(lab.status.profile().guarantees.len(), 2);
    server.receipt(&subscribe).await;
    lab.until(|status| status.link().state == LinkState::Subscribed)
        .await;
    server.acknowledges("map-1", 1).await;
    server.acknowledges("map-2", 2).await;
    lab.until(|status| status.link().state == LinkState::Receiving)
        .await;

    lab.reload([map_2()]).await;
    let unsubscribe = server.unsubscribed("map-1").await;
    assert!(lab.status.link().state.is_ready(), "what is wanted stands");
    server.receipt(&unsubscribe).await;
    server.acknowledges("map-2", 3).await;
    lab.until(|status| status.profile().guarantees.len() == 1)
        .await;
    assert_eq!(lab.attempts(), 1);
}

#[tokio::test]
async fn a_reload_of_the_same_does_nothing() {
    let lab = Lab::new(INDIVIDUAL).await;
    let mut server = lab.accept_session("0,0").await;
    lab.reload([map_1()]).await;
    server.acknowledges("map-1", 1).await;
    assert!(server.silent());
    assert_eq!(lab.attempts(), 1);
}

#[tokio::test]
async fn what_came_is_acknowledged_before_the_topic_is_left_and_nothing_after() {
    let lab = Lab::new(INDIVIDUAL).await;
    let mut server = lab.accept_session("0,0").await;
    lab.reload([map_2()]).await;
    server.subscribed("map-2", "/queue/2").await;
    for id in 0..3 {
        server.message(id, BODY).await;
    }
    lab.until(|status| status.leaving().contains("map-1")).await;
    lab.until(|status| status.counters.messages.load(Relaxed) == 3)
        .await;
    assert_eq!(lab.status.leaving(), ["map-1".into()].into());
    // RabbitMQ fills a window that an ACK opens before it comes to the UNSUBSCRIBE; a transaction
    // keeps it shut.
    assert_eq!(server.frame().await, "BEGIN\ntransaction:leave-map-1\n\n");
    for id in 0..3 {
        assert_eq!(
            server.frame().await,
            format!("ACK\nid:a{id}\ntransaction:leave-map-1\n\n")
        );
    }
    assert_eq!(
        lab.statuses().await,
        3,
        "on disk before they are acknowledged"
    );
    let unsubscribe = server.unsubscribed("map-1").await;
    let commit = server.frame().await;
    assert!(
        commit.starts_with("COMMIT\ntransaction:leave-map-1\n"),
        "{commit}"
    );

    // These were in flight. An ACK for them would make RabbitMQ say "Subscription not found".
    server.message(3, BODY).await;
    server.message(4, BODY).await;
    server.receipt(&unsubscribe).await;
    server.receipt(&commit).await;
    lab.journaled(5).await;
    server.acknowledges("map-2", 5).await;
    assert_eq!(lab.status.leaving().len(), 0);
    assert_eq!(lab.attempts(), 1);
}

#[tokio::test]
async fn messages_that_the_server_withholds_do_not_end_the_connection() {
    let lab = Lab::new(INDIVIDUAL).await;
    let mut server = lab.accept_session("0,0").await;
    lab.reload([map_2()]).await;
    server.subscribed("map-2", "/queue/2").await;
    let unsubscribe = server.unsubscribed("map-1").await;
    server.receipt(&unsubscribe).await;
    for _ in 0..50 {
        server.withhold("map-1").await;
    }
    server.acknowledges("map-2", 1).await;
    assert_eq!((lab.attempts(), lab.status.link().last_error), (1, None));
    // It keeps them for the next connection. A configuration that names the topic again wants them
    // too.
    lab.reload([map_1(), map_2()]).await;
    server.unsubscribed("map-2").await;
    let disconnect = server.frame().await;
    assert!(disconnect.starts_with("DISCONNECT\n"), "{disconnect}");
    server.receipt(&disconnect).await;
    let _again = lab.accept_session("0,0").await;
    assert_eq!(lab.attempts(), 2);
}

#[tokio::test]
async fn a_changed_topic_is_subscribed_only_once_the_old_one_is_gone() {
    let lab = Lab::new(INDIVIDUAL).await;
    let mut server = lab.accept_session("0,0").await;
    lab.reload([topic("map-1", "/queue/b", INDIVIDUAL)]).await;
    let unsubscribe = server.unsubscribed("map-1").await;
    assert!(!lab.status.link().state.is_ready());
    server.message(0, BODY).await;
    lab.journaled(1).await;
    assert!(
        server.silent(),
        "what comes now would be taken for a message of the new one"
    );
    server.receipt(&unsubscribe).await;
    server.subscribed("map-1", "/queue/b").await;
    server.acknowledges("map-1", 1).await;
    assert_eq!(lab.attempts(), 1);
}

#[tokio::test]
async fn a_server_without_receipts_is_given_time_to_forget_the_old_topic() {
    let lab = Lab::new(AckMode::Auto).await;
    let mut server = lab.accept_session("0,0").await;
    let left = std::time::Instant::now();
    lab.reload([topic("map-1", "/queue/b", AckMode::Auto)])
        .await;
    server.unsubscribed("map-1").await;
    server.subscribed("map-1", "/queue/b").await;
    assert!(
        left.elapsed() >= Duration::from_secs(2),
        "after {:?}",
        left.elapsed()
    );
    assert_eq!(lab.attempts(), 1);
}

#[tokio::test]
async fn a_changed_topic_gets_what_was_withheld_by_another_connection() {
    let lab = Lab::new(INDIVIDUAL).await;
    let mut server = lab.accept_session("0,0").await;
    lab.reload([topic("map-1", "/queue/b", INDIVIDUAL)]).await;
    let unsubscribe = server.unsubscribed("map-1").await;
    server.receipt(&unsubscribe).await;
    server.withhold("map-1").await;
    server.rest().await;
    let mut server = lab.accept().await;
    server.frame().await;
    server
        .send("CONNECTED\nversion:1.2\nserver:RabbitMQ/3.10.8\n\n\0")
        .await;
    server.subscribed("map-1", "/queue/b").await;
    server.acknowledges("map-1", 1).await;
    let error = lab.status.link().last_error.unwrap();
    assert!(
        error.contains("topic map-1 was left while the server was sending"),
        "{error}"
    );
}

#[tokio::test]
async fn a_topic_that_comes_back_before_it_is_left_stays() {
    let lab = Lab::new(INDIVIDUAL).await;
    let mut server = lab.accept_session("0,0").await;
    server.acknowledges("map-1", 0).await;
    // Its UNSUBSCRIBE waits until nothing has come for a while.
    lab.reload([map_2()]).await;
    server.subscribed("map-2", "/queue/2").await;
    lab.reload([map_1(), map_2()]).await;
    lab.reload([map_1(), map_2(), topic("map-3", "/queue/3", INDIVIDUAL)])
        .await;
    server.subscribed("map-3", "/queue/3").await;
    server.acknowledges("map-1", 1).await;
    assert_eq!(lab.attempts(), 1);
}

#[tokio::test]
async fn a_topic_that_is_refused_after_a_reload_is_named() {
    let lab = Lab::new(INDIVIDUAL).await;
    let mut server = lab.accept_session("0,0").await;
    lab.until(|status| status.link().state.is_ready()).await;
    lab.reload([map_1(), map_2()]).await;
    server.frame().await;
    server
        .send("ERROR\nmessage:access_refused\ncontent-length:3\n\nno\n\0\n")
        .await;
    server.rest().await;
    let error = lab.error().await;
    assert!(
        error.contains("subscribe to /queue/2 refused: access_refused"),
        "{error}"
    );
    // Corrected, it is not waited for the next attempt, which is half a minute away.
    let corrected = std::time::Instant::now();
    lab.reload([map_1()]).await;
    lab.accept_session("0,0")
        .await
        .acknowledges("map-1", 1)
        .await;
    assert!(
        corrected.elapsed() < Duration::from_secs(25),
        "after {:?}",
        corrected.elapsed()
    );
}

#[tokio::test]
async fn what_the_connection_was_made_with_is_changed_by_one_new_connection() {
    let lab = Lab::new(INDIVIDUAL).await;
    let mut server = lab.accept_session("0,0").await;
    server.acknowledges("map-1", 1).await;
    lab.reload_with(Settings {
        host: "/other".to_owned(),
        ..lab.settings.clone()
    })
    .await;
    server.unsubscribed("map-1").await;
    let disconnect = server.frame().await;
    assert!(disconnect.starts_with("DISCONNECT\n"), "{disconnect}");
    server.receipt(&disconnect).await;
    assert_eq!(server.rest().await, "");
    let mut server = lab.accept().await;
    let connect = server.frame().await;
    assert!(connect.contains("\nhost:/other\n"), "{connect}");
    server
        .send("CONNECTED\nversion:1.2\nserver:RabbitMQ/3.10.8\n\n\0")
        .await;
    server.subscribed("map-1", "/queue/a").await;
    server.acknowledges("map-1", 2).await;
    assert_eq!((lab.attempts(), lab.status.link().last_error), (2, None));
}

#[tokio::test]
async fn stopping_while_a_topic_is_left_acknowledges_what_came() {
    let lab = Lab::new(INDIVIDUAL).await;
    let mut server = lab.accept_session("0,0").await;
    lab.reload([map_2()]).await;
    server.subscribed("map-2", "/queue/2").await;
    server.message(0, BODY).await;
    lab.journaled(1).await;
    lab.stop.cancel();
    let mut sent = String::new();
    while !sent.contains("DISCONNECT") {
        sent.push_str(&server.frame().await);
    }
    assert_eq!(sent.matches("ACK\nid:a0\n").count(), 1, "{sent}");
}

#[tokio::test]
async fn a_device_is_remembered_while_its_topic_is_away() {
    let lab = Lab::new(INDIVIDUAL).await;
    let mut server = lab.accept_session("0,0").await;
    server.acknowledges("map-1", 1).await;
    lab.reload([map_2()]).await;
    server.subscribed("map-2", "/queue/2").await;
    let unsubscribe = server.unsubscribed("map-1").await;
    server.receipt(&unsubscribe).await;
    lab.until(|status| status.profile().guarantees.len() == 1)
        .await;
    lab.reload([map_1(), map_2()]).await;
    server.subscribed("map-1", "/queue/a").await;
    server.acknowledges("map-1", 2).await;
    let content = lab.entries().await[1].2.clone();
    let EntryContent::Status { previous, .. } = content else {
        panic!("{content:?}")
    };
    assert_eq!(
        previous.as_deref(),
        Some("故障"),
        "it says 正常, and 故障 was the last seen"
    );
}

#[tokio::test]
async fn another_silence_asks_nothing_of_the_server() {
    let lab = Lab::new(INDIVIDUAL).await;
    let mut server = lab.accept_session("0,0").await;
    lab.until(|status| status.link().state == LinkState::Subscribed)
        .await;
    let silence = Some(Duration::from_millis(50));
    lab.reload_with(Settings {
        silences: [("map-1".into(), silence)].into(),
        ..lab.settings.clone()
    })
    .await;
    lab.until(|status| status.link().state == LinkState::Silent)
        .await;
    assert!(lab.status.topics()["map-1"].silent_since.is_some());
    lab.reload([map_1()]).await;
    lab.until(|status| status.link().state == LinkState::Subscribed)
        .await;
    assert_eq!(lab.status.topics()["map-1"].silent_since, None);
    server.message(0, BODY).await;
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
    assert_eq!(lab.attempts(), 1);
}

#[tokio::test]
async fn another_silence_of_the_source_makes_no_new_connection_and_holds_at_once() {
    let lab = Lab::new(INDIVIDUAL).await;
    let mut server = lab.accept_session("0,0").await;
    lab.until(|status| status.link().state == LinkState::Subscribed)
        .await;
    let silence = |silence| Settings {
        silence: Some(silence),
        ..lab.settings.clone()
    };
    lab.reload_with(silence(Duration::from_secs(3600))).await;
    server.acknowledges("map-1", 1).await;
    assert_eq!(lab.attempts(), 1);
    // This time without a byte means a dead link from now on.
    lab.reload_with(silence(Duration::from_millis(300))).await;
    let _again = lab.accept_session("0,0").await;
    assert_eq!(lab.attempts(), 2);
}

#[tokio::test]
async fn a_topic_that_left_is_silent_no_more() {
    let lab = Lab::new(INDIVIDUAL).await;
    let mut server = lab.accept_session("0,0").await;
    let silences = [("map-2".into(), Some(Duration::from_millis(50)))];
    lab.reload_with(Settings {
        topics: vec![map_1(), map_2()],
        silences: silences.into(),
        ..lab.settings.clone()
    })
    .await;
    server.subscribed("map-2", "/queue/2").await;
    let is_silent = |status: &Status, topic: &str| {
        let topics = status.topics();
        topics
            .get(topic)
            .is_some_and(|it| it.silent_since.is_some())
    };
    lab.until(|status| is_silent(status, "map-2")).await;
    assert!(!is_silent(&lab.status, "map-1"));
    lab.reload([map_1()]).await;
    lab.until(|status| !status.topics().contains_key("map-2"))
        .await;
}
