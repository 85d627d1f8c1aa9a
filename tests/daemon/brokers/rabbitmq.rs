//! RabbitMQ, where it refuses a destination: the others flow, and the refused one is named.

use peers::fault::{Cut, Fault};
use peers::{
    Configuration, Daemon, FaultProxy, RabbitMq, Receiver, Stomp, history, platform, stomp, wait,
};
use serde_json::Value;
use tokio::sync::OnceCell;

/// All tests here talk to one: it takes seconds to start.
async fn shared() -> &'static RabbitMq {
    static SHARED: OnceCell<RabbitMq> = OnceCell::const_new();
    SHARED.get_or_init(RabbitMq::start).await
}

const DEVICES: usize = 20;

/// A configuration with these topics: the name, and the destination.
fn configured(url: &str, topics: &[(&str, &str)]) -> Configuration {
    let topics = topics.iter().map(|(name, destination)| {
        let lines = format!("destination = \"{destination}\"\nevent_key = \"/eventId\"\n");
        (format!("topics.{name}"), lines)
    });
    topics
        .fold(Configuration::new(url), |configuration, (name, lines)| {
            configuration.table(&name, &lines)
        })
        .sqlite_of_statuses()
}

/// Publishes until so many messages more are in the history: what is sent while a plain topic is
/// not subscribed is lost.
async fn flows(daemon: &Daemon, destination: &str, run: &str) {
    let mut publisher = Stomp::connect(shared().await.stomp_port()).await;
    let before = history::count(daemon.folder()).await;
    let mut sent = 0;
    wait::until("messages", async || {
        let messages = platform::messages(run, sent..sent + 10, DEVICES);
        publisher.publish(destination, messages).await;
        sent += 10;
        (history::count(daemon.folder()).await >= before + 10).then_some(())
    })
    .await;
}

/// The names of the topics that `/status` says are refused.
async fn refused(daemon: &Daemon) -> Vec<String> {
    let status = daemon.status().await;
    let topics = status["link"]["refused"].as_array().expect("a list");
    let name = |topic: &Value| topic["topic"].as_str().expect("a name").to_owned();
    topics.iter().map(name).collect()
}

async fn refuses(daemon: &Daemon, expected: &[&str]) {
    wait::until("refused topics, and the others", async || {
        let subscribed = daemon.status().await["link"]["state"] != "connecting";
        (refused(daemon).await == expected && subscribed).then_some(())
    })
    .await;
}

/// Two of many topics are refused: the first of all, and one among the others.
async fn the_others_flow(url: &str, run: &str) {
    let good: Vec<(String, String)> = (1..=6)
        .map(|number| (format!("t-{number}"), format!("/topic/{run}.{number}")))
        .collect();
    let mut topics: Vec<(&str, &str)> = good
        .iter()
        .map(|(name, destination)| (name.as_str(), destination.as_str()))
        .collect();
    topics.extend([
        ("a-none", "/exchange/nope/first"),
        ("t-3-none", "/exchange/nope/middle"),
    ]);
    let daemon = Daemon::start(&configured(url, &topics)).await;
    refuses(&daemon, &["a-none", "t-3-none"]).await;
    for (name, destination) in &good {
        flows(&daemon, destination, &format!("{run}-{name}")).await;
    }
    let (code, reasons) = daemon.get("/readyz").await.expect("an answer");
    assert_eq!(code, 503, "{reasons}");
    assert!(
        reasons.contains("topic a-none refused since")
            && reasons.contains("topic t-3-none refused since")
            && reasons.contains("subscribe to /exchange/nope/middle refused"),
        "{reasons}"
    );
    assert!(!reasons.contains("t-3 "), "{reasons}");
    let status = daemon.status().await;
    assert_eq!(status["link"]["state"], "receiving", "{status}");
    // A connection for each step of the search, and no storm.
    let connections = daemon.log().matches("\"message\":\"connected\"").count();
    assert!(connections <= 12, "{connections} connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_destination_of_many_is_left_out_over_tcp() {
    the_others_flow(&shared().await.stomp_url(), "refused-tcp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_destination_of_many_is_left_out_over_websocket() {
    the_others_flow(&shared().await.web_stomp_url(), "refused-ws").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_is_refused_leaves_what_stood() {
    for (url, run) in [
        (shared().await.stomp_url(), "reload-tcp"),
        (shared().await.web_stomp_url(), "reload-ws"),
    ] {
        let (first, second) = (format!("/topic/{run}.1"), format!("/topic/{run}.2"));
        let stood = [("t-1", first.as_str()), ("t-2", second.as_str())];
        let mut daemon = Daemon::start(&configured(&url, &stood)).await;
        daemon.ready().await;
        // One topic is added, and one is led to another destination: the server has neither.
        let reloaded = [
            ("t-1", first.as_str()),
            ("t-2", "/exchange/nope/changed"),
            ("t-3", "/exchange/nope/added"),
        ];
        configured(&url, &reloaded).write(daemon.folder());
        daemon.hang_up();
        refuses(&daemon, &["t-2", "t-3"]).await;
        flows(&daemon, &first, &format!("{run}-1")).await;
        flows(&daemon, &second, &format!("{run}-2")).await;
        // Corrected, everything is as it was.
        configured(&url, &stood).write(daemon.folder());
        daemon.hang_up();
        daemon.ready().await;
        flows(&daemon, &second, &format!("{run}-3")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_destination_is_subscribed_once_it_is_there() {
    let rabbitmq = shared().await;
    let topics = [("t-1", "/topic/late.1"), ("t-2", "/amq/queue/late")];
    let mut daemon = Daemon::start(&configured(&rabbitmq.stomp_url(), &topics)).await;
    refuses(&daemon, &["t-2"]).await;
    let (_, reasons) = daemon.get("/readyz").await.expect("an answer");
    assert!(reasons.contains("no queue 'late'"), "{reasons}");
    // A client that subscribes so declares it, and it stays.
    let mut other = Stomp::connect(rabbitmq.stomp_port()).await;
    other.subscribe("/queue/late").await;
    other.publish("/topic/late.nobody", ["{}"]).await;
    drop(other);
    // It is asked for again after 30 to 45 s, on the living connection.
    daemon.ready().await;
    assert_eq!(refused(&daemon).await, [""; 0]);
    flows(&daemon, "/topic/late.1", "late-1").await;
    flows(&daemon, "/queue/late", "late-2").await;
    let connections = daemon.log().matches("\"message\":\"connected\"").count();
    assert_eq!(connections, 2, "the one that was refused, and the next");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_journal_stops_the_reading_of_a_plain_topic_and_loses_nothing_that_was_read() {
    let rabbitmq = shared().await;
    let proxy = FaultProxy::start(rabbitmq.stomp_port()).await;
    let receiver = Receiver::start().await;
    receiver.answer(503);
    let configuration = configured(&stomp::url(proxy.port()), &[("t-1", "/topic/full.1")])
        .source("heartbeat = \"1s\"")
        .table("journal", "max_bytes = \"1MiB\"\n")
        .webhook(&receiver.url());
    let mut daemon = Daemon::start(&configuration).await;
    wait::until("subscribed", async || {
        (daemon.status().await["link"]["state"] == "subscribed").then_some(())
    })
    .await;
    let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
    let mut sent = 0;
    wait::until("paused", async || {
        let messages = platform::messages("full", sent..sent + 200, DEVICES);
        publisher.publish("/topic/full.1", messages).await;
        sent += 200;
        (daemon.status().await["link"]["state"] == "paused: journal full").then_some(())
    })
    .await;
    let read = daemon.status().await["intake"]["received"]
        .as_u64()
        .expect("a number");
    // Our heart-beats go out, and one of them is the last.
    proxy.strike(Fault::CutAfterSent(1, Cut::Reset));
    daemon
        .complains(&["connection lost: what was read waits"])
        .await;
    assert_eq!(proxy.connections(), 1);
    receiver.answer(204);
    daemon.ready().await;
    assert_eq!(proxy.connections(), 2);
    let count = history::count(daemon.folder()).await;
    assert!(
        count as u64 >= read && count <= sent,
        "{read} {count} {sent}"
    );
    flows(&daemon, "/topic/full.1", "full-again").await;
}
