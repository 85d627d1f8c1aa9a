//! What the server's messages show of its ways to lose them: the counts of earlier deliveries, and
//! what becomes of the guarantee.

use super::lab::Server;
use super::*;

/// A message of `map-1` with one more header.
async fn message_with(server: &mut Server, id: usize, header: &str) {
    let frame = format!(
        "MESSAGE\nsubscription:map-1\ndestination:/queue/a\nmessage-id:m{id}\nack:a{id}\n{header}\n\n{BODY}\0\n"
    );
    server.send(&frame).await;
    assert_eq!(server.frame().await, format!("ACK\nid:a{id}\n\n"));
}

fn guarantee(lab: &Lab) -> String {
    lab.status.profile().guarantees["map-1"].to_string()
}

#[tokio::test]
async fn the_highest_count_is_kept_and_changes_the_guarantee_for_the_connections_behind_it() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    message_with(&mut server, 0, "x-a:b").await;
    assert!(lab.status.delivery_counts().is_empty());
    assert!(
        guarantee(&lab).starts_with("nothing is lost unless the queue has a limit"),
        "{}",
        guarantee(&lab)
    );
    for (id, count) in [(1, 3), (2, 12), (3, 1)] {
        message_with(&mut server, id, &format!("x-delivery-count:{count}")).await;
    }
    assert_eq!(lab.status.delivery_counts()["map-1"], 12);
    let limited = guarantee(&lab);
    assert!(
        limited.starts_with("a message is lost if more connections end"),
        "{limited}"
    );
    drop(server);
    let mut server = lab.accept_session("0,0").await;
    message_with(&mut server, 4, "x-a:b").await;
    assert_eq!(guarantee(&lab), limited);

    // Another queue has shown nothing yet.
    let changed = Topic {
        destination: "/queue/b".into(),
        ..lab.settings.topics[0].clone()
    };
    let settings = Settings {
        topics: vec![changed],
        ..lab.settings.clone()
    };
    let decoders = decoders(&settings.topics);
    lab.handle.reload(settings, decoders);
    lab.until(|status| status.profile().guarantees["map-1"].en != limited)
        .await;
    let unsubscribe = server.frame().await;
    assert!(unsubscribe.starts_with("UNSUBSCRIBE\nid:map-1\n"));
    server.receipt(&unsubscribe).await;
    let subscribe = server.frame().await;
    server.receipt(&subscribe).await;
    lab.until(|status| status.delivery_counts().is_empty())
        .await;
}

#[tokio::test]
async fn a_topic_that_acknowledges_nothing_is_delivered_once_whatever_is_said() {
    let lab = Lab::new(AckMode::Auto).await;
    let mut server = lab.accept_session("0,0").await;
    server
        .send(&format!(
            "MESSAGE\nsubscription:map-1\ndestination:/queue/a\nmessage-id:m\nx-delivery-count:9\n\n{BODY}\0\n"
        ))
        .await;
    lab.until(|status| status.counters.messages.load(Relaxed) == 1)
        .await;
    assert!(lab.status.delivery_counts().is_empty());
    assert!(guarantee(&lab).starts_with("at most once before receipt: ack is auto"));
}

/// In RabbitMQ's words (3.10.8): it has waited for an ACK, and no topic is to blame.
#[tokio::test]
async fn a_server_that_waits_no_longer_for_an_ack_refuses_no_topic() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    server
        .send(
            "ERROR\nmessage:precondition_failed\ncontent-type:text/plain\nversion:1.0,1.1,1.2\n\n\
             PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value \
             used: 1000 ms. This timeout value can be configured, see consumers doc guide to learn \
             more\0\n",
        )
        .await;
    let error = lab.error().await;
    assert!(error.contains("consumer_timeout"), "{error}");
    let mut server = lab.accept_session("0,0").await;
    message_with(&mut server, 0, "x-delivery-count:1").await;
    assert!(lab.status.refused_topics().is_empty());
}

#[tokio::test]
async fn a_queue_that_is_declared_otherwise_has_its_own_guarantee_at_once() {
    let lab = Lab::new(AckMode::ClientIndividual).await;
    let mut server = lab.accept_session("0,0").await;
    message_with(&mut server, 0, "expiration:60000").await;
    assert!(
        guarantee(&lab).contains("it expires"),
        "{}",
        guarantee(&lab)
    );
    let with = |headers: &[(&str, &str)]| {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.to_string(), (*value).into()));
        let topic = Topic {
            headers: headers.collect(),
            ..lab.settings.topics[0].clone()
        };
        let settings = Settings {
            topics: vec![topic],
            ..lab.settings.clone()
        };
        lab.handle
            .reload(settings.clone(), decoders(&settings.topics));
    };
    // A window says nothing about the queue.
    with(&[("prefetch-count", "7")]);
    lab.until(|status| !status.leaving().is_empty()).await;
    assert!(
        guarantee(&lab).contains("it expires"),
        "{}",
        guarantee(&lab)
    );
    // The old one is still being left.
    with(&[("x-queue-type", "quorum")]);
    lab.until(|status| {
        !status.profile().guarantees["map-1"]
            .en
            .contains("it expires")
    })
    .await;
    assert!(!lab.status.leaving().is_empty());
}
