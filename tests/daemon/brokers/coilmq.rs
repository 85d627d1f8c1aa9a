//! coilmq, whose STOMP is not quite the specification's: nothing of it breaks the daemon, and what
//! cannot work is said.

use peers::configuration::EventKey;
use peers::{CoilMq, Configuration, Daemon, RewritingProxy, Scenario, Stomp};

#[tokio::test(flavor = "multi_thread")]
async fn topic_and_queue_arrive_and_the_broker_may_die() {
    let mut broker = CoilMq::start().await;
    let configuration = Configuration::new(&broker.url())
        .vhost(broker.host())
        .source("heartbeat = \"1s\"")
        .table("topics.map-1", "destination = \"/topic/state/1\"\n")
        .table("topics.status", "destination = \"/queue/status\"\n");
    let mut run = Scenario::start("coilmq", configuration).await;
    for (start, dies) in [(0, true), (400, false)] {
        publish(&broker, "/topic/state/1", run.messages(start..start + 200)).await;
        publish(
            &broker,
            "/queue/status",
            run.messages(start + 200..start + 400),
        )
        .await;
        run.complete(start + 400).await;
        assert_eq!(run.state().await, "receiving");
        if dies {
            broker.kill();
            run.daemon.complains(&["not connected"]).await;
            broker.restart().await;
            run.daemon.ready().await;
        }
    }
    assert_eq!(run.broker().await, "unknown");
    assert!(run.guarantee("map-1").await.starts_with("at most once"));
    run.finish(800, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn older_versions_are_spoken() {
    let broker = CoilMq::start().await;
    // In 1.1 it sends the next message only when the one before is acknowledged. So it does in 1.0,
    // but then it looks for the subscription in a header that 1.0 does not have.
    for (version, mode) in [("1.0", "auto"), ("1.1", "client")] {
        let offered = format!("accept-version:{version}\n");
        let proxy =
            RewritingProxy::start(broker.port(), "accept-version:1.2,1.1,1.0\n", &offered).await;
        let name = format!("version-{version}");
        let topic = format!("destination = \"/queue/{name}\"\nack = \"{mode}\"\n");
        let run = Scenario::start(
            &name,
            Configuration::new(&proxy.url()).table("topics.status", &topic),
        )
        .await;
        publish(&broker, &format!("/queue/{name}"), run.messages(0..100)).await;
        assert_eq!(run.broker().await, "unknown");
        run.finish(100, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn message_that_cannot_be_acknowledged_is_named() {
    let broker = CoilMq::start().await;
    let configuration = Configuration::new(&broker.url()).vhost(broker.host());
    let topic = "destination = \"/queue/status\"\nack = \"client\"\n";
    let mut run = Scenario::start(
        "unacknowledged",
        configuration.table("topics.status", topic),
    )
    .await;
    publish(&broker, "/queue/status", run.messages(0..1)).await;
    run.daemon
        .complains(&["cannot be acknowledged", "status"])
        .await;
    run.finish(1, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_virtual_host_is_named() {
    let broker = CoilMq::start().await;
    let configuration = Configuration::new(&broker.url()).vhost("elsewhere");
    let configuration = configuration
        .queue("status", "status", EventKey::None)
        .sqlite();
    let mut daemon = Daemon::start(&configuration).await;
    daemon
        .complains(&["refused", "host is unknown", "check login, passcode, host"])
        .await;
}

/// One after the other: it loses its place in a stream that is cut within a frame's headers, as a
/// full one is.
async fn publish(broker: &CoilMq, destination: &str, bodies: impl Iterator<Item = String>) {
    let mut publisher =
        Stomp::connect_with(broker.port(), &format!("host:{}\n", broker.host())).await;
    for body in bodies {
        publisher.publish(destination, [body]).await;
    }
}
