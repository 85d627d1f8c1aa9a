//! ActiveMQ Classic over TCP: queues, topics and durable subscriptions, its versions and its
//! heart-beats. It dies, falls silent, or has not noticed that we have.

use std::time::Duration;

use tokio::sync::OnceCell;

use super::retry_in_ms;
use peers::configuration::EventKey;
use peers::fault::Fault;
use peers::stomp::{Lengths, assert_drained};
use peers::{ActiveMq, Configuration, Daemon, FaultProxy, RewritingProxy, Scenario, Stomp, wait};

static SHARED: OnceCell<ActiveMq> = OnceCell::const_new();

/// The one that scenarios share which do not break it; it ends with the test process.
pub(crate) async fn shared() -> &'static ActiveMq {
    SHARED.get_or_init(ActiveMq::start).await
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_outlives_the_brokers_crash() {
    let mut broker = ActiveMq::start().await;
    let url = broker.stomp_url();
    let mut run = Scenario::start(
        "crash",
        Configuration::new(&url).queue("status", "crash", EventKey::EventId),
    )
    .await;
    assert!(run.guarantee("status").await.starts_with("nothing is lost"));
    let mut publisher = Stomp::connect(broker.stomp_port())
        .await
        .with(Lengths::Unsaid);
    publisher
        .publish("/queue/crash", run.messages(0..1000))
        .await;
    run.complete(1000).await;
    assert_eq!(
        (run.state().await.as_str(), run.broker().await.as_str()),
        ("receiving", "activemq")
    );

    // It dies with a window at the daemon that it has not read.
    run.daemon.freeze();
    publisher
        .publish("/queue/crash", run.messages(1000..1500))
        .await;
    broker.kill();
    run.daemon.thaw();
    run.daemon.complains(&["not connected"]).await;
    broker.restart().await;
    let mut publisher = Stomp::connect(broker.stomp_port()).await;
    publisher
        .publish("/queue/crash", run.messages(1500..2000))
        .await;
    run.complete(2000).await;
    run.daemon.ready().await;
    // ACKs that carry its escaped ids are understood, or this would still be there.
    run.finish(2000, 0).await;
    assert_drained(broker.stomp_port(), "crash").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_subscription_keeps_what_comes_while_we_are_away() {
    let broker = shared().await;
    let configuration = Configuration::new(&broker.stomp_url())
        .source("headers = { client-id = \"bridge\" }")
        .table("topics.plain", "destination = \"/topic/plain\"\n")
        .table(
            "topics.durable",
            "destination = \"/topic/durable\"\nack = \"client-individual\"\nevent_key = \"/eventId\"\n\
             headers = { \"activemq.subscriptionName\" = \"bridge\" }\n",
        );
    let mut run = Scenario::start("durable", configuration).await;
    assert!(run.guarantee("plain").await.starts_with("at most once"));
    assert!(
        run.guarantee("durable")
            .await
            .starts_with("nothing is lost")
    );
    let mut publisher = Stomp::connect(broker.stomp_port()).await;
    publisher
        .publish("/topic/plain", run.messages(0..300))
        .await;
    publisher
        .publish("/topic/durable", run.messages(300..600))
        .await;
    run.complete(600).await;

    assert_eq!(run.daemon.stop().await.code(), Some(0));
    publisher
        .publish("/topic/durable", run.messages(600..900))
        .await;
    run.daemon.restart().await;
    run.complete(900).await;

    // Killed, it comes back perhaps before the broker has noticed that it was gone.
    run.daemon.freeze();
    publisher
        .publish("/topic/durable", run.messages(900..1200))
        .await;
    run.daemon.kill();
    run.daemon.restart().await;
    run.finish(1200, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_id_in_use_is_tried_again_soon() {
    let broker = shared().await;
    let other = Stomp::connect_with(broker.stomp_port(), "host:/\nclient-id:twice\n").await;
    let configuration =
        Configuration::new(&broker.stomp_url()).source("headers = { client-id = \"twice\" }");
    let configuration = configuration
        .queue("status", "twice", EventKey::EventId)
        .sqlite();
    let mut daemon = Daemon::start(&configuration).await;
    let said = daemon
        .complains(&["already connected", "not connected"])
        .await;
    // A refused login would wait for half a minute.
    let wait = retry_in_ms(&said);
    assert!(wait.is_some_and(|wait| wait < 30_000), "{said}");
    drop(other);
    daemon.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_password_is_named() {
    let url = shared().await.stomp_url();
    let configuration = Configuration::new(&url)
        .password("wrong")
        .queue("status", "login", EventKey::None)
        .sqlite();
    let mut daemon = Daemon::start(&configuration).await;
    let said = daemon
        .complains(&["refused", "password is invalid", "check login"])
        .await;
    assert!(!said.contains("wrong\""), "{said}");
    assert_eq!(
        daemon.get("/readyz").await.map(|(status, _)| status),
        Some(503)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_subscription_is_named_and_the_connection_left() {
    let proxy = FaultProxy::start(shared().await.stomp_port()).await;
    let topic = "destination = \"/queue/selected\"\nheaders = { selector = \"no selector\" }\n";
    let url = peers::stomp::url(proxy.port());
    let configuration = Configuration::new(&url)
        .table("topics.status", topic)
        .sqlite();
    let mut daemon = Daemon::start(&configuration).await;
    // ActiveMQ leaves the socket open after its ERROR.
    daemon
        .complains(&[
            "not connected",
            "subscribe to /queue/selected refused",
            "no selector",
        ])
        .await;
    assert_eq!(
        daemon.get("/readyz").await.map(|(status, _)| status),
        Some(503)
    );
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn older_versions_are_spoken() {
    let broker = shared().await;
    for (version, mode) in [("1.0", "client"), ("1.1", "client-individual")] {
        let offered = format!("accept-version:{version}\n");
        let proxy = RewritingProxy::start(
            broker.stomp_port(),
            "accept-version:1.2,1.1,1.0\n",
            &offered,
        )
        .await;
        let name = format!("version-{version}");
        let topic = format!(
            "destination = \"/queue/{name}\"\nack = \"{mode}\"\nevent_key = \"/eventId\"\n"
        );
        let mut run = Scenario::start(
            &name,
            Configuration::new(&proxy.url()).table("topics.status", &topic),
        )
        .await;
        run.daemon
            .logged("the version", |line| {
                line.contains(&format!("\"version\":\"{version}\""))
            })
            .await;
        let mut publisher = Stomp::connect(broker.stomp_port()).await;
        publisher
            .publish(&format!("/queue/{name}"), run.messages(0..300))
            .await;
        run.finish(300, 0).await;
        assert_drained(broker.stomp_port(), &name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_keep_an_idle_connection_and_end_a_dead_one() {
    let broker = shared().await;
    let proxy = FaultProxy::start(broker.stomp_port()).await;
    let url = peers::stomp::url(proxy.port());
    let configuration = Configuration::new(&url).source("heartbeat = \"3s\"");
    let mut run = Scenario::start(
        "beats",
        configuration.queue("status", "beats", EventKey::EventId),
    )
    .await;
    // ActiveMQ forgives one interval, so it would have cut an idle client that does not keep to it.
    let cut = wait::within(Duration::from_secs(12), async || lost(&run)).await;
    assert_eq!(cut, None, "an idle connection ends");
    let mut publisher = Stomp::connect(broker.stomp_port()).await;
    publisher
        .publish("/queue/beats", run.messages(0..200))
        .await;
    run.complete(200).await;
    assert_eq!(proxy.connections(), 1);

    proxy.strike(Fault::HalfOpen);
    // Nothing else than a missing heart-beat shows it; after how long is the session's affair.
    run.daemon.complains(&["not connected", "silent"]).await;
    publisher
        .publish("/queue/beats", run.messages(200..400))
        .await;
    run.complete(400).await;
    run.daemon.ready().await;
    run.finish(400, 0).await;
}

fn lost(run: &Scenario) -> Option<()> {
    run.daemon.log().contains("\"not connected\"").then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_broker_is_noticed() {
    let broker = ActiveMq::start().await;
    let configuration = Configuration::new(&broker.stomp_url()).source("heartbeat = \"1s\"");
    let mut run = Scenario::start(
        "frozen",
        configuration.queue("status", "frozen", EventKey::EventId),
    )
    .await;
    broker.freeze();
    run.daemon.complains(&["not connected", "silent"]).await;
    broker.thaw();
    let mut publisher = Stomp::connect(broker.stomp_port()).await;
    publisher
        .publish("/queue/frozen", run.messages(0..200))
        .await;
    run.daemon.ready().await;
    run.finish(200, 0).await;
}
