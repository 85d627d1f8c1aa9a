//! What the daemon observes of itself and its link, as a history shows it.

use peers::{Configuration, Daemon, wait};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::{TOPIC, serve};

/// The causes of the gaps that are over, in order.
async fn gaps(daemon: &Daemon) -> Vec<String> {
    let options = SqliteConnectOptions::new()
        .filename(daemon.folder().join("history.db"))
        .read_only(true);
    let mut history = options.connect().await.unwrap();
    let gaps =
        "SELECT cause FROM coverage_gap WHERE topic = 'map-1' AND seconds >= 0 ORDER BY since";
    sqlx::query_scalar(gaps)
        .fetch_all(&mut history)
        .await
        .unwrap()
}

async fn has_gaps(daemon: &Daemon, expected: &[&str]) {
    wait::until(&format!("{expected:?}"), async || {
        (gaps(daemon).await == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_history_says_when_nobody_listened_and_why() {
    let served = serve(0).await;
    let (url, port) = (served.url.clone(), served.address.port());
    let configuration = Configuration::new(&url)
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .sqlite();
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    served.publish(1);

    assert!(daemon.stop().await.success());
    daemon.restart().await;
    daemon.ready().await;
    has_gaps(&daemon, &["daemon_stopped"]).await;

    served.end().await;
    daemon.complains(&["not connected"]).await;
    let served = serve(port).await;
    has_gaps(&daemon, &["daemon_stopped", "connection_lost"]).await;

    daemon.ready().await;
    daemon.kill();
    daemon.restart().await;
    has_gaps(
        &daemon,
        &["daemon_stopped", "connection_lost", "daemon_down"],
    )
    .await;
    assert!(daemon.stop().await.success());
    served.end().await;
}
