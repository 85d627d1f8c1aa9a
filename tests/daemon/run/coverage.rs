//! What the daemon observes of itself and its link, as a history shows it.

use peers::{Configuration, Daemon, Receiver, wait};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use stomp_bridge::demo::Message;

use super::{TOPIC, metric, serve};

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

#[tokio::test]
async fn a_full_journal_is_the_links_state_and_then_the_gaps_cause() {
    let served = serve(0).await;
    let (url, port) = (served.url.clone(), served.address.port());
    let receiver = Receiver::start().await;
    receiver.answer(503);
    let configuration = Configuration::new(&url)
        .source("heartbeat = \"1s\"")
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .table("journal", "max_bytes = \"1MiB\"\n")
        .sqlite()
        .webhook(&receiver.url());
    let mut daemon = Daemon::start(&configuration).await;
    wait::until("subscribed", async || {
        (served.publisher.subscriptions(TOPIC) == 1).then_some(())
    })
    .await;
    let pad = "x".repeat(16 << 10);
    let mut sent: usize = 0;
    wait::until("paused", async || {
        let body = format!(
            r#"{{"clientId":1,"deviceId":{sent},"oldState":"正常","newState":"故障","pad":"{pad}"}}"#
        );
        sent += served.publisher.publish(Message::json(TOPIC, body));
        (daemon.status().await["link"]["state"] == "paused: journal full").then_some(())
    })
    .await;
    let state = "stomp_bridge_link_state{state=\"paused: journal full\"}";
    assert_eq!(metric(&daemon, state).await, Some(1.0));
    let (code, reasons) = daemon.get("/readyz").await.unwrap();
    assert!(
        code == 503 && reasons.contains("source paused: journal full since"),
        "{reasons}"
    );

    served.end().await;
    let words = ["connection lost: what was read waits"];
    daemon.complains(&words).await;
    receiver.answer(204);
    let served = serve(port).await;
    daemon.ready().await;
    has_gaps(&daemon, &["journal_full"]).await;
    // All that was sent had arrived here before the server ended.
    wait::until("delivered", async || {
        (receiver.count() == sent).then_some(())
    })
    .await;
    assert!(daemon.stop().await.success());
    served.end().await;
}
