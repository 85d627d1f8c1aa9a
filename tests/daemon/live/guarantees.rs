//! What the daemon promises of a topic is what the server does.

use std::collections::BTreeSet;
use std::time::Duration;

use super::lab::lab;
use peers::rabbitmq::DELIVERY_LIMIT;
use peers::stomp::Frame;
use peers::{Configuration, Daemon, Stomp, history, platform, wait};

/// Of the queue whose messages live for this time only.
const TTL: Duration = Duration::from_millis(300);

/// A topic, its further headers, those that its sender needs, and whether RabbitMQ keeps what comes
/// while nobody is subscribed.
const TOPICS: [(&str, &str, &str, &str, bool); 5] = [
    ("queue", "/queue/guarantees", "", "", true),
    (
        "durable",
        "/topic/guarantees-durable",
        "durable = \"true\", auto-delete = \"false\", ",
        "",
        true,
    ),
    (
        "ttl",
        "/queue/guarantees-ttl",
        "x-message-ttl = \"300\", ",
        "x-message-ttl:300\n",
        false,
    ),
    // Its queue has a name, and still goes with the connection.
    (
        "named",
        "/topic/guarantees-named",
        "x-queue-name = \"guarantees-named\", ",
        "",
        false,
    ),
    ("plain", "/topic/guarantees-plain", "", "", false),
];

#[tokio::test]
async fn what_comes_while_the_daemon_is_away_is_there_afterwards_exactly_where_that_is_promised() {
    let mut configuration = Configuration::new(&lab().await.rabbitmq.stomp_url()).sqlite();
    for (name, destination, headers, ..) in TOPICS {
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
    for (name, .., kept) in TOPICS {
        let promise = link["guarantee"][name].as_str().unwrap();
        assert_eq!(
            promise.starts_with("nothing is lost"),
            kept,
            "{name}: {promise}"
        );
    }
    assert!(daemon.stop().await.success());

    publish(0).await;
    // The server's clock decides.
    tokio::time::sleep(2 * TTL).await;
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
    for (n, (name, .., kept)) in TOPICS.into_iter().enumerate() {
        assert_eq!(arrived.contains(&n), kept, "{name}");
    }
}

/// One message to each topic, numbered from `first` on.
async fn publish(first: usize) {
    let mut publisher = Stomp::connect(lab().await.rabbitmq.stomp_port()).await;
    for (n, (_, destination, _, headers, _)) in TOPICS.into_iter().enumerate() {
        publisher
            .publish_with(
                destination,
                headers,
                [platform::message("guarantees", first + n, 100)],
            )
            .await;
    }
}

/// Headers of a topic, and how its guarantee begins.
const LINES: [(&str, &str, &str); 6] = [
    (
        "ttl",
        "x-message-ttl = \"60000\"",
        "a message is lost if it waits for more than 1m (x-message-ttl)",
    ),
    (
        "length",
        "x-max-length = \"100\"",
        "a message is lost if more than 100 messages wait (x-max-length)",
    ),
    (
        "expires",
        "x-expires = \"60000\"",
        "a message is lost if nobody reads the queue for 1m (x-expires)",
    ),
    (
        "auto",
        "auto-delete = \"true\"",
        "at most once: RabbitMQ deletes an auto-delete queue",
    ),
    (
        "exclusive",
        "exclusive = \"true\"",
        "at most once: RabbitMQ deletes an exclusive queue",
    ),
    (
        "plain",
        "x-queue-type = \"classic\"",
        "nothing is lost unless a policy",
    ),
];

#[tokio::test]
async fn the_line_says_what_the_queue_was_declared_with_and_what_its_messages_show() {
    let rabbitmq = &lab().await.rabbitmq;
    let mut configuration = Configuration::new(&rabbitmq.stomp_url()).sqlite();
    for (name, header, _) in LINES {
        let lines = format!(
            "destination = \"/queue/lines-{name}\"\nack = \"client-individual\"\n\
             headers = {{ {header}, prefetch-count = \"256\" }}\n"
        );
        configuration = configuration.table(&format!("topics.{name}"), &lines);
    }
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    for (name, _, begins) in LINES {
        let said = guarantee(&daemon, name).await;
        assert!(said.starts_with(begins), "{name}: {said}");
    }
    let warnings = daemon.status().await["link"]["warnings"].to_string();
    for begins in [
        "topics auto, exclusive: RabbitMQ does not keep such a queue",
        "topics expires, length, ttl: RabbitMQ drops messages that wait",
    ] {
        assert!(warnings.contains(begins), "{warnings}");
    }
    // A time to live that its sender sets stands in the message alone.
    let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
    publisher
        .publish_with(
            "/amq/queue/lines-plain",
            "expiration:60000\n",
            [platform::message("lines", 0, 1)],
        )
        .await;
    wait::until("the guarantee after an expiring message", async || {
        let said = guarantee(&daemon, "plain").await;
        said.starts_with("a message is lost if it expires")
            .then_some(())
    })
    .await;
    assert!(daemon.stop().await.success());
}

#[tokio::test]
async fn what_was_delivered_before_is_loud_from_half_of_the_limit_on() {
    let rabbitmq = &lab().await.rabbitmq;
    let destination = "/queue/limited-guarantees";
    let quorum = "x-queue-type:quorum\n";
    let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
    publisher
        .publish_with(destination, quorum, [platform::message("limited", 0, 1)])
        .await;
    for count in ["", "1"] {
        assert_eq!(
            delivered(destination, quorum)
                .await
                .header("x-delivery-count"),
            count
        );
    }
    // The server does not show its policy: a user who knows it says so.
    let named = format!(
        "destination = \"{destination}\"\nack = \"client-individual\"\n\
         headers = {{ x-queue-type = \"quorum\", x-delivery-limit = \"{DELIVERY_LIMIT}\", prefetch-count = \"9\" }}\n"
    );
    let configuration = Configuration::new(&rabbitmq.stomp_url())
        .sqlite()
        .table("topics.named", &named);
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    wait::until("the message", async || {
        (history::count(daemon.folder()).await == 1).then_some(())
    })
    .await;
    let link = daemon.status().await["link"].clone();
    assert_eq!(link["highest_delivery_count"]["named"], 2, "{link}");
    let (_, metrics) = daemon.get("/metrics").await.unwrap();
    let line = "\nstomp_bridge_delivery_count_highest 2\n";
    assert!(metrics.contains(line), "{metrics}");
    let said = guarantee(&daemon, "named").await;
    let begins = format!("a message is lost if more than {DELIVERY_LIMIT} connections end");
    assert!(said.starts_with(&begins), "{said}");
    assert!(daemon.stop().await.success());
    let log = daemon.log();
    let loud: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("near its delivery limit"))
        .collect();
    assert!(
        loud.len() == 1 && loud[0].contains("\"delivery_count\":2"),
        "{loud:?}"
    );

    // What the line says is what the server does.
    publisher
        .publish_with(destination, quorum, [platform::message("limited", 1, 1)])
        .await;
    for count in 0..=DELIVERY_LIMIT {
        let found = delivered(destination, quorum).await;
        let said = found.header("x-delivery-count").to_owned();
        assert_eq!(said.parse().unwrap_or(0), count, "{found:?}");
    }
    publisher
        .publish_with(destination, quorum, ["behind it"])
        .await;
    assert_eq!(delivered(destination, quorum).await.body, b"behind it");
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_refused_with_advice_that_helps() {
    let rabbitmq = &lab().await.rabbitmq;
    let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
    let message = [platform::message("other", 0, 1)];
    publisher
        .publish_with("/queue/other", "x-message-ttl:600000\n", message)
        .await;
    let configured = |destination: &str| {
        Configuration::new(&rabbitmq.stomp_url()).sqlite().table(
            "topics.other",
            &format!("destination = \"{destination}\"\nack = \"client-individual\"\n"),
        )
    };
    let mut daemon = Daemon::start(&configured("/queue/other")).await;
    wait::until("a refused topic", async || {
        let (_, reasons) = daemon.get("/readyz").await?;
        let helps = reasons.contains("x-message-ttl") && reasons.contains("/amq/queue/NAME");
        helps.then_some(())
    })
    .await;
    configured("/amq/queue/other").write(daemon.folder());
    daemon.hang_up();
    wait::until("the message", async || {
        (history::count(daemon.folder()).await == 1).then_some(())
    })
    .await;
    assert!(daemon.stop().await.success());
}

/// The first message of a connection that ends without an ACK.
async fn delivered(destination: &str, headers: &str) -> Frame {
    let mut other = Stomp::connect(lab().await.rabbitmq.stomp_port()).await;
    other.subscribe_with(destination, headers).await;
    other.receive().await
}

async fn guarantee(daemon: &Daemon, topic: &str) -> String {
    let link = daemon.status().await["link"].clone();
    let said = link["guarantee"][topic].as_str();
    said.unwrap_or_else(|| panic!("{link}")).to_owned()
}
