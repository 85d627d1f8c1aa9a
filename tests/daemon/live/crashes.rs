//! Something dies in the middle: the daemon, mosquitto, RabbitMQ. Nothing is lost, and nothing is
//! stored twice where a message has a key of its own.

use super::lab::lab;
use super::run::{MESSAGES, Run, assert_drained};
use peers::configuration::{EventKey, PREFETCH};
use peers::{Configuration, Mosquitto, RabbitMq, wait};

/// When the daemon is killed, relative to what it has been sent.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// While messages come in, once this many have gone out.
    Delivered(usize),
    /// With a full prefetch window in its sockets that it has not read.
    Unread,
    /// Before it has connected again after the last time.
    Starting,
}

const MOMENTS: [Moment; 6] = [
    Moment::Delivered(1),
    Moment::Unread,
    Moment::Starting,
    Moment::Delivered(100),
    Moment::Unread,
    Moment::Delivered(400),
];

#[tokio::test(flavor = "multi_thread")]
async fn killed_daemon_stores_each_message_once_by_its_key() {
    let run = killed_again_and_again("killed_with_key", EventKey::EventId).await;
    run.finish(MESSAGES, 0).await;
    assert_drained(&lab().await.rabbitmq, "killed_with_key").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_daemon_without_a_key_stores_at_most_a_window_again() {
    let run = killed_again_and_again("killed_without_key", EventKey::None).await;
    run.finish(MESSAGES, MOMENTS.len() * PREFETCH).await;
    assert_drained(&lab().await.rabbitmq, "killed_without_key").await;
}

async fn killed_again_and_again(name: &str, key: EventKey) -> Run {
    let mut run = Run::start(name, &lab().await.rabbitmq.stomp_url(), key).await;
    let part = MESSAGES / MOMENTS.len();
    for (round, moment) in MOMENTS.into_iter().enumerate() {
        let numbers = round * part..(round + 1) * part;
        match moment {
            Moment::Delivered(count) => {
                run.daemon.ready().await;
                let wanted = run.receiver.count() + count;
                tokio::join!(run.publish(numbers), delivered(&run, wanted));
            }
            Moment::Unread => {
                run.daemon.ready().await;
                run.daemon.freeze();
                run.publish(numbers).await;
            }
            Moment::Starting => run.publish(numbers).await,
        }
        run.daemon.kill();
        run.daemon.restart().await;
    }
    run
}

/// Waits until the webhook has had this many requests.
async fn delivered(run: &Run, wanted: usize) {
    wait::until("deliveries to the webhook", async || {
        (run.receiver.count() >= wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_daemon_continues_where_it_was() {
    let mut run = Run::start("stopped", &lab().await.rabbitmq.stomp_url(), EventKey::None).await;
    let part = MESSAGES / 3;
    for round in 0..2 {
        let wanted = run.receiver.count() + 100;
        tokio::join!(
            run.publish(round * part..(round + 1) * part),
            delivered(&run, wanted)
        );
        let status = run.daemon.stop().await;
        assert_eq!(status.code(), Some(0), "the exit code after SIGTERM");
        run.daemon.restart().await;
        run.daemon.ready().await;
    }
    run.publish(2 * part..MESSAGES).await;
    // An orderly stop acknowledges what it has stored: not even without a key is anything there
    // twice.
    run.finish(MESSAGES, 0).await;
    assert_drained(&lab().await.rabbitmq, "stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_killed_in_the_middle_misses_nothing() {
    let mut mosquitto = Mosquitto::start().await;
    let url = lab().await.rabbitmq.stomp_url();
    let configuration =
        Configuration::new(&url).queue("status", "mosquitto_killed", EventKey::EventId);
    let mut run = Run::with("mosquitto_killed", configuration, &mosquitto).await;
    let part = MESSAGES / 3;
    for round in 0..2 {
        let wanted = run.subscriber.publishes().len() + 200;
        let published = wait::until("publishes before the kill", async || {
            (run.subscriber.publishes().len() >= wanted).then_some(())
        });
        tokio::join!(run.publish(round * part..(round + 1) * part), published);
        mosquitto.kill();
        // The other sinks do not wait for it.
        delivered(&run, (round + 1) * part).await;
        mosquitto.restart().await;
    }
    run.publish(2 * part..MESSAGES).await;
    run.complete(MESSAGES).await;
    run.daemon.ready().await;
    run.finish(MESSAGES, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarted_rabbitmq_delivers_the_rest() {
    let mut rabbitmq = RabbitMq::start().await;
    let mut runs = Vec::new();
    for (name, key) in [
        ("rabbitmq_with_key", EventKey::EventId),
        ("rabbitmq_without_key", EventKey::None),
    ] {
        let configuration = Configuration::new(&rabbitmq.stomp_url()).queue("status", name, key);
        runs.push(Run::with(name, configuration, &lab().await.mosquitto).await);
    }
    let part = MESSAGES / 3;

    // SIGKILL with a full window at each daemon, which it reads and stores and cannot acknowledge.
    for run in &mut runs {
        run.publish_to(&rabbitmq, 0..part / 2).await;
        run.daemon.freeze();
        run.publish_to(&rabbitmq, part / 2..part).await;
    }
    rabbitmq.kill().await;
    for run in &mut runs {
        run.daemon.thaw();
    }
    rabbitmq.restart().await;
    for run in &mut runs {
        run.publish_to(&rabbitmq, part..2 * part).await;
    }
    rabbitmq.stop().await;
    rabbitmq.restart().await;
    for run in &mut runs {
        run.publish_to(&rabbitmq, 2 * part..MESSAGES).await;
        run.complete(MESSAGES).await;
        run.daemon.ready().await;
    }

    // Each of the two interruptions may bring back a window.
    for (run, again) in runs.into_iter().zip([0, 2 * PREFETCH]) {
        run.finish(MESSAGES, again).await;
    }
    assert_drained(&rabbitmq, "rabbitmq_with_key").await;
    assert_drained(&rabbitmq, "rabbitmq_without_key").await;
}
