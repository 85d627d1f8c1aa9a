//! A frozen peer: it answers nothing, and its sockets stay open (SIGSTOP, or a receiver that
//! stalls). Its own sink gives up in time, no other part waits, and everything arrives once the
//! peer goes on.

use super::lab::lab;
use super::run::{Ends, Run, assert_drained};
use peers::configuration::EventKey;
use peers::{Configuration, Mosquitto, Postgres, RabbitMq, accounts, wait};

/// Messages published before, at the beginning of and during the trouble.
const PART: usize = 400;

/// Heart-beats both ways, so that RabbitMQ would close a connection on which ours do not come. A sink
/// that is frozen is given up later than a source without them.
const HEARTBEAT: &str = "heartbeat = \"3s\"";

/// One after the other they would take minutes of waiting.
#[tokio::test(flavor = "multi_thread")]
async fn frozen_sinks_delay_nobody_and_get_everything_later() {
    tokio::join!(frozen_mosquitto(), frozen_postgres(), stalled_receiver());
}

async fn configuration(name: &str) -> Configuration {
    Configuration::new(&lab().await.rabbitmq.stomp_url())
        .source(HEARTBEAT)
        .queue("status", name, EventKey::EventId)
}

async fn frozen_mosquitto() {
    let mosquitto = Mosquitto::start().await;
    let name = "frozen_mosquitto";
    let run = Run::with(name, configuration(name).await, &mosquitto).await;
    frozen(
        run,
        name,
        "site",
        "no confirmation",
        || mosquitto.freeze(),
        || mosquitto.thaw(),
    )
    .await;
}

async fn frozen_postgres() {
    let postgres = Postgres::start().await;
    let name = "frozen_postgres";
    let ends = Ends::of(&lab().await.mosquitto, &postgres).await;
    let run = Run::among(name, configuration(name).await, ends).await;
    frozen(
        run,
        name,
        "warehouse",
        "no answer within",
        || postgres.freeze(),
        || postgres.thaw(),
    )
    .await;
}

async fn stalled_receiver() {
    let name = "stalled_receiver";
    let run = Run::with(name, configuration(name).await, &lab().await.mosquitto).await;
    let stalled = run.receiver.stalled();
    let set = |to: bool| {
        stalled.send_replace(to);
    };
    frozen(
        run,
        name,
        "oncall",
        "timed out",
        || set(true),
        || set(false),
    )
    .await;
}

/// The whole story of one sink whose peer is frozen until the daemon has given it up, with `words`.
async fn frozen(
    mut run: Run,
    queue: &str,
    sink: &str,
    words: &str,
    freeze: impl Fn(),
    thaw: impl Fn(),
) {
    run.publish(0..PART).await;
    run.complete(PART).await;
    freeze();
    run.publish(PART..2 * PART).await;
    run.complete_without(sink, 2 * PART).await;
    run.trouble(sink, words).await;
    run.publish(2 * PART..3 * PART).await;
    run.complete_without(sink, 3 * PART).await;
    // The source never noticed.
    assert_eq!(
        run.connections().await,
        1,
        "{sink} has cost the source its connection"
    );
    thaw();
    run.complete(3 * PART).await;
    run.daemon.ready().await;
    assert_eq!(
        run.connections().await,
        1,
        "{sink} has cost the source its connection"
    );
    // The frozen peer may take the bytes in its sockets, and the redelivery as well.
    run.finish_with_repeats(3 * PART, 2 * PART).await;
    assert_drained(&lab().await.rabbitmq, queue).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_rabbitmq_is_noticed_and_delivers_the_rest_later() {
    let rabbitmq = RabbitMq::start().await;
    let name = "frozen_rabbitmq";
    let configuration = Configuration::new(&rabbitmq.stomp_url()).source(HEARTBEAT);
    let configuration = configuration.queue("status", name, EventKey::EventId);
    let mut run = Run::with(name, configuration, &lab().await.mosquitto).await;
    let wanted = wait::until("deliveries before the freeze", async || {
        (run.receiver.count() >= PART / 2).then_some(())
    });
    tokio::join!(run.publish_to(&rabbitmq, 0..3 * PART), wanted);
    rabbitmq.freeze();
    let noticed = |report: &serde_json::Value| report["link"]["state"] == "connecting";
    wait::until("the loss of the source to be noticed", async || {
        accounts::report(&run.daemon)
            .await
            .filter(noticed)
            .map(drop)
    })
    .await;
    // Messages received by then still go out.
    let journaled = wait::until("the journal to be empty of news", async || {
        let report = accounts::report(&run.daemon).await?;
        let done = report["sinks"]
            .as_array()?
            .iter()
            .all(|sink| sink["pending"] == 0);
        done.then(|| report["intake"]["accepted"].as_u64())?
    })
    .await;
    assert!(journaled as usize >= PART / 2);
    assert_eq!(
        run.daemon.get("/readyz").await.map(|(status, _)| status),
        Some(503)
    );
    rabbitmq.thaw();
    run.complete(3 * PART).await;
    run.daemon.ready().await;
    // Until RabbitMQ has given the old connection up as well, the new one gets what comes after.
    run.finish_in_any_order(3 * PART, 0).await;
    assert_drained(&rabbitmq, name).await;
}
