//! Nothing breaks: every message takes its way over each transport, and out again by all four
//! sinks.

use std::process::Command;

use super::lab::lab;
use super::run::{MESSAGES, Run, assert_drained};
use peers::configuration::EventKey;

#[tokio::test(flavor = "multi_thread")]
async fn every_message_arrives_over_tcp() {
    let run = Run::start(
        "over_tcp",
        &lab().await.rabbitmq.stomp_url(),
        EventKey::EventId,
    )
    .await;
    run.publish(0..MESSAGES).await;
    let history = run.daemon.folder().join("history.db");
    let mut run = run;
    run.complete(MESSAGES).await;
    // As docs/guide.md has it, with SQLite's own shell, while the daemon runs.
    let devices = Command::new("sqlite3")
        .arg(history)
        .arg("select count(*) from device_current")
        .output();
    assert_eq!(
        String::from_utf8_lossy(&devices.expect("run sqlite3").stdout),
        "50\n"
    );
    run.finish(MESSAGES, 0).await;
    assert_drained(&lab().await.rabbitmq, "over_tcp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_arrives_over_web_stomp() {
    let run = Run::start(
        "over_web_stomp",
        &lab().await.rabbitmq.web_stomp_url(),
        EventKey::EventId,
    )
    .await;
    run.publish(0..MESSAGES).await;
    run.finish(MESSAGES, 0).await;
    assert_drained(&lab().await.rabbitmq, "over_web_stomp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_arrives_over_sockjs() {
    let run = Run::start("over_sockjs", &lab().await.sockjs.url(), EventKey::EventId).await;
    run.publish(0..MESSAGES).await;
    run.finish(MESSAGES, 0).await;
    assert_drained(&lab().await.rabbitmq, "over_sockjs").await;
}
