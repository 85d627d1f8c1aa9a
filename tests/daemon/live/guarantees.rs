//! What the daemon promises of a topic is what the server does.

use std::collections::BTreeSet;

use super::lab::lab;
use peers::{Configuration, Daemon, Stomp, history, platform, wait};

/// A topic, its further headers, and whether RabbitMQ keeps what comes while nobody is subscribed.
const TOPICS: [(&str, &str, &str, bool); 4] = [
    ("queue", "/queue/guarantees", "", true),
    (
        "durable",
        "/topic/guarantees-durable",
        "durable = \"true\", auto-delete = \"false\", ",
        true,
    ),
    // Its queue has a name, and still goes with the connection.
    (
        "named",
        "/topic/guarantees-named",
        "x-queue-name = \"guarantees-named\", ",
        false,
    ),
    ("plain", "/topic/guarantees-plain", "", false),
];

#[tokio::test]
async fn what_comes_while_the_daemon_is_away_is_there_afterwards_exactly_where_that_is_promised() {
    let mut configuration = Configuration::new(&lab().await.rabbitmq.stomp_url()).sqlite();
    for (name, destination, headers, _) in TOPICS {
        let lines = format!(
            "destination = \"{destination}\"\nack = \"client-individual\"\n\
             headers = {{ {headers}prefetch-count = \"256\" }}\n"
        );
        configuration = configuration.table(&format!("topics.{name}"), &lines);
    }
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    let link = daemon.status().await["link"].clone();
    assert_eq!(link["broker"], "rabbitmq");
    for (name, _, _, kept) in TOPICS {
        let promise = link["guarantee"][name].as_str().unwrap();
        assert_eq!(
            promise.starts_with("nothing is lost"),
            kept,
            "{name}: {promise}"
        );
    }
    assert!(daemon.stop().await.success());

    publish(0).await;
    daemon.restart().await;
    daemon.ready().await;
    // Kept messages come before these.
    publish(TOPICS.len()).await;
    let arrived = async || {
        history::rows(daemon.folder())
            .await
            .iter()
            .map(|row| row.n)
            .collect::<BTreeSet<_>>()
    };
    wait::until("the messages after the restart", async || {
        let arrived = arrived().await;
        (TOPICS.len()..2 * TOPICS.len())
            .all(|n| arrived.contains(&n))
            .then_some(())
    })
    .await;
    let arrived = arrived().await;
    for (n, (name, _, _, kept)) in TOPICS.into_iter().enumerate() {
        assert_eq!(arrived.contains(&n), kept, "{name}");
    }
}

/// One message to each topic, numbered from `first` on.
async fn publish(first: usize) {
    let mut publisher = Stomp::connect(lab().await.rabbitmq.stomp_port()).await;
    for (n, (_, destination, ..)) in TOPICS.into_iter().enumerate() {
        publisher
            .publish(
                destination,
                [platform::message("guarantees", first + n, 100)],
            )
            .await;
    }
}
