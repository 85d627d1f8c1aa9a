//! A full journal, a quorum queue with a delivery limit, and restarts: the server drops nothing.

use std::time::Duration;

use super::lab::lab;
use peers::platform::{self, assert_complete};
use peers::stomp::assert_drained;
use peers::{Configuration, Daemon, RabbitMq, Receiver, Stomp, wait};

const MESSAGES: usize = 2000;

const DEVICES: usize = 50;

/// A message is dropped that is sent more often than this and once.
const DELIVERY_LIMIT: u32 = 3;

/// More than the limit: each is the end of a connection.
const RESTARTS: usize = 6;

/// Messages that the sink takes between two restarts.
const STEP: usize = 150;

/// A message of two kilobytes: the journal of one mebibyte takes a few hundred of them.
fn message(n: usize) -> String {
    let pad = "x".repeat(1500);
    platform::message("credit", n, DEVICES).replacen('{', &format!("{{\"pad\":\"{pad}\","), 1)
}

async fn paused(daemon: &Daemon) {
    wait::until("the link is paused", async || {
        (daemon.status().await["link"]["state"] == "paused: journal full").then_some(())
    })
    .await;
    // What waits at the server does so for want of room, though the log takes what was sent.
    let (_, metrics) = daemon.get("/metrics").await.expect("an answer");
    assert!(metrics.contains("\nstomp_bridge_journal_full 1\n"));
    assert_eq!(daemon.status().await["journal"]["full"], true);
}

/// The queue is left and subscribed again as often as it takes, on one connection. What its server
/// would have held back would come a second time, or with the next connection only.
#[tokio::test(flavor = "multi_thread")]
async fn queues_are_left_and_subscribed_again_without_a_message_held_back() {
    let rabbitmq = &lab().await.rabbitmq;
    let receiver = Receiver::start().await;
    let headers = "headers = { durable = \"true\", auto-delete = \"false\" }\n";
    let topic = |destination: &str, headers: &str| {
        format!("destination = \"{destination}\"\nack = \"client-individual\"\n{headers}")
    };
    let destinations = ["/queue/credit", "/topic/credit"];
    let configuration = Configuration::new(&rabbitmq.stomp_url())
        .table("topics.queue", &topic(destinations[0], ""))
        .table("topics.durable", &topic(destinations[1], headers))
        .table("journal", "max_bytes = \"1MiB\"\n")
        .webhook_with(&receiver.url(), "start = \"oldest\"\n");
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    receiver.answer(503);
    let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
    let half = MESSAGES / 2;
    publisher
        .publish(destinations[0], (0..half).map(message))
        .await;
    publisher
        .publish(destinations[1], (half..MESSAGES).map(message))
        .await;
    paused(&daemon).await;
    receiver.answer(204);
    wait::reached(MESSAGES, async || receiver.count()).await;
    assert_complete("webhook", &receiver.delivered(), MESSAGES);
    assert_eq!(receiver.count(), MESSAGES, "some came twice");
    let (_, metrics) = daemon.get("/metrics").await.expect("an answer");
    assert!(metrics.contains("\nstomp_bridge_connections_total 1\n"));
    let paused = daemon.log().matches("source paused").count();
    assert!(paused > 1, "it paused {paused} times");
    assert!(daemon.stop().await.success());
    assert_drained(rabbitmq.stomp_port(), "credit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_journal_and_restarts_cost_no_message_its_deliveries() {
    let queue = "limited";
    let rabbitmq = RabbitMq::start_with_quorum_queue(queue, DELIVERY_LIMIT).await;
    let receiver = Receiver::start().await;
    receiver.answer(503);
    let destination = format!("/amq/queue/{queue}");
    let topic = format!("destination = \"{destination}\"\nack = \"client-individual\"\n");
    let configuration = Configuration::new(&rabbitmq.stomp_url())
        .table("topics.limited", &topic)
        .table("journal", "max_bytes = \"1MiB\"\n")
        .webhook_with(&receiver.url(), "start = \"oldest\"\n");
    let mut daemon = Daemon::start(&configuration).await;
    let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
    publisher
        .publish(&destination, (0..MESSAGES).map(message))
        .await;

    for restart in 0..RESTARTS {
        paused(&daemon).await;
        let (code, reasons) = daemon.get("/readyz").await.expect("an answer");
        assert!(
            code == 503 && reasons.contains("wait at the server"),
            "{reasons}"
        );
        // Some are taken, so that the queue is subscribed again, and then none.
        let before = receiver.count();
        receiver.answer(204);
        wait::until("the sink takes some", async || {
            (receiver.count() >= before + STEP).then_some(())
        })
        .await;
        receiver.answer(503);
        // At another moment of what follows each time.
        tokio::time::sleep(Duration::from_millis(100 * restart as u64)).await;
        match restart % 2 {
            0 => daemon.kill(),
            _ => assert!(daemon.stop().await.success()),
        }
        daemon.restart().await;
    }
    paused(&daemon).await;
    receiver.answer(204);
    let distinct = async || platform::numbers(&receiver.delivered()).len();
    wait::reached(MESSAGES, distinct).await;
    assert_complete("webhook", &receiver.delivered(), MESSAGES);
    assert!(daemon.stop().await.success());
    // Nothing is left behind: what is published now comes out first. Its server does drop what is
    // sent too often.
    publisher.publish(&destination, ["dropped"]).await;
    for _ in 0..=DELIVERY_LIMIT {
        let mut client = Stomp::connect(rabbitmq.stomp_port()).await;
        client.subscribe(&destination).await;
        assert_eq!(client.receive().await.body, b"dropped");
    }
    publisher.publish(&destination, ["the last"]).await;
    publisher.subscribe(&destination).await;
    assert_eq!(publisher.receive().await.body, b"the last");
}
