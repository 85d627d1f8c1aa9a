//! A slice again: the same ids, and nothing newer is overwritten.

use super::bridge::{DEVICES, Source, asked, cli, done, observed, passed, positions, stop, text};
use peers::{Daemon, Mosquitto, Receiver, Subscriber, wait};

#[tokio::test]
async fn replay_repeats_ids_and_rewinds_no_retained_message() {
    let (source, receiver, mosquitto) = (
        Source::start().await,
        Receiver::start().await,
        Mosquitto::start().await,
    );
    let configuration = source
        .configuration()
        .sqlite()
        .webhook(&receiver.url())
        .mqtt(&mosquitto.url(), "d");
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    source.messages(0..9);
    for sink in ["history", "oncall", "site"] {
        passed(&daemon, sink, 9, 0).await;
    }
    let at = positions(&daemon).await;
    let mut sent = receiver.delivered();
    // Different devices' arrive side by side.
    sent.sort_by_key(|event| event.position);

    let found = asked(
        &daemon,
        &[
            "replay",
            "oncall",
            "--device",
            "2",
            "--since",
            "1h",
            "--dry-run",
        ],
    )
    .await;
    assert_eq!(
        (&found["events"], &found["first"], &found["last"]),
        (&3.into(), &at[1].into(), &at[7].into())
    );
    assert_eq!(
        asked(&daemon, &["replay", "oncall", "--until", "1h", "--dry-run"]).await["events"],
        0
    );
    assert_eq!(receiver.count(), 9, "a dry run sends nothing");

    done(&daemon, &["replay", "oncall", "--device", "2"]).await;
    wait::until("the device's events come again", async || {
        (receiver.count() == 12).then_some(())
    })
    .await;
    assert_eq!(
        receiver.delivered()[9..],
        [sent[1].clone(), sent[4].clone(), sent[7].clone()]
    );

    let subscriber = Subscriber::start(mosquitto.port(), "watcher", "d/+/+/status").await;
    wait::until("retained", async || {
        (subscriber.publishes().len() == DEVICES).then_some(())
    })
    .await;
    done(&daemon, &["replay", "site"]).await;
    done(&daemon, &["replay", "history"]).await;
    wait::until("all of it comes again", async || {
        (subscriber.publishes().len() == DEVICES + 9).then_some(())
    })
    .await;
    for (sink, more) in [
        ("history", observed(&daemon).await),
        ("oncall", 0),
        ("site", 0),
    ] {
        let account = passed(&daemon, sink, 9, 0).await;
        assert_eq!(
            account["delivered"],
            9 + more,
            "a replay is no second delivery in the accounts"
        );
    }
    // Who comes later finds the newest.
    let later = Subscriber::start(mosquitto.port(), "later", "d/+/+/status").await;
    wait::until("retained", async || {
        (later.publishes().len() == DEVICES).then_some(())
    })
    .await;
    let mut retained: Vec<usize> = later.delivered().iter().map(|event| event.n).collect();
    retained.sort_unstable();
    assert_eq!(retained, [6, 7, 8]);

    let refused = cli(&daemon, &["replay", "nobody"]).await;
    assert!(
        text(&refused.stderr).contains("no sink nobody"),
        "{}",
        text(&refused.stderr)
    );
    stop(&mut daemon).await;
}

#[tokio::test]
async fn status_topic_says_whether_the_daemon_is_there() {
    let (source, mosquitto) = (Source::start().await, Mosquitto::start().await);
    let mut daemon = Daemon::start(&source.configuration().mqtt(&mosquitto.url(), "plant/7")).await;
    daemon.ready().await;
    let subscriber = Subscriber::start(mosquitto.port(), "watcher", "plant/7/bridge/status").await;
    let last = async || {
        subscriber
            .publishes()
            .last()
            .map(|publish| text(&publish.payload))
    };
    let becomes = async |expected: &str| {
        wait::until(expected, async || {
            (last().await.as_deref() == Some(expected)).then_some(())
        })
        .await;
    };
    becomes("online").await;
    stop(&mut daemon).await;
    becomes("offline").await;
    daemon.restart().await;
    becomes("online").await;
    daemon.kill();
    becomes("offline").await;
}
