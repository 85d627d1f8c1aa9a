//! Spring in front of RabbitMQ (`enableStompBrokerRelay`): its words for a broker that is away.

use super::retry_in_ms;
use peers::spring::Endpoint;
use peers::{Configuration, Daemon, RabbitMq, Spring, Stomp, history, platform, wait};

/// A refused login would wait for this time at least.
const REFUSED_MS_MIN: u64 = 30_000;

/// Publishes to the broker behind until a message has come.
async fn flows(daemon: &Daemon, rabbitmq: &RabbitMq, run: &str) {
    let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
    let before = history::count(daemon.folder()).await;
    let mut sent = 0;
    wait::until("a message", async || {
        let messages = platform::messages(run, sent..sent + 10, 10);
        publisher.publish("/topic/state.1", messages).await;
        sent += 10;
        (history::count(daemon.folder()).await > before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_behind_a_relay_refuses_nobody() {
    let mut rabbitmq = RabbitMq::start().await;
    let relay = format!("lab.relay={}", rabbitmq.stomp_port());
    let Some(spring) = Spring::start(&[&relay]).await else {
        return;
    };
    let configuration = Configuration::new(&spring.url(Endpoint::Raw))
        .table("topics.map-1", "destination = \"/topic/state.1\"\n")
        .sqlite_of_statuses();
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    flows(&daemon, &rabbitmq, "relay-1").await;
    rabbitmq.stop().await;
    let said = daemon
        .complains(&["not connected", "Broker not available"])
        .await;
    assert!(!said.contains("passcode"), "{said}");
    rabbitmq.restart().await;
    daemon.ready().await;
    let log = daemon.log();
    for line in log.lines().filter(|line| line.contains("not connected")) {
        let wait = retry_in_ms(line);
        assert!(wait.is_some_and(|wait| wait < REFUSED_MS_MIN), "{line}");
    }
    flows(&daemon, &rabbitmq, "relay-2").await;
}
