//! What grows runs into its bound: a warning comes before it, and nobody else notices.

use peers::{Configuration, Daemon, Mosquitto, Receiver, wait};
use stomp_bridge::demo::Message;

use super::{Served, TOPIC, metric, serve};

const MIB: u64 = 1024 * 1024;

/// Devices that the daemon hears of; `tests/run --long` has as many as it remembers by default.
fn devices() -> usize {
    match std::env::var_os("STOMP_BRIDGE_TEST_LONG").is_some() {
        true => 1_000_000,
        false => 100_000,
    }
}

/// Statuses of one message.
const STATUSES: usize = 500;

async fn subscribed(served: &Served) {
    wait::until("subscribed", async || {
        (served.publisher.subscriptions(TOPIC) == 1).then_some(())
    })
    .await;
}

async fn delivered(daemon: &Daemon, sink: &str) -> f64 {
    let line = format!("stomp_bridge_sink_delivered_total{{sink=\"{sink}\"}}");
    metric(daemon, &line).await.unwrap_or_default()
}

#[tokio::test]
async fn devices_that_never_come_again_cost_disk_and_hardly_memory() {
    let served = serve(0).await;
    let configuration = Configuration::new(&served.url)
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .table("journal", "keep = \"0s\"\n")
        .sqlite_of_statuses();
    let mut daemon = Daemon::start(&configuration).await;
    subscribed(&served).await;
    let count = devices();
    for first in (0..count).step_by(STATUSES) {
        let status = |device: usize| {
            format!(
                r#"{{"clientId":1,"deviceId":"{device:032}","oldState":"正常","newState":"故障"}}"#
            )
        };
        let statuses: Vec<String> = (first..first + STATUSES).map(status).collect();
        served
            .publisher
            .publish(Message::json(TOPIC, format!("[{}]", statuses.join(","))));
        // The broker keeps little for a client that is slow.
        let sent = (first + STATUSES) as u64;
        wait::until("received", async || {
            (daemon.status().await["journal"]["devices"].as_u64()? + 20_000 > sent).then_some(())
        })
        .await;
    }
    wait::until("remembered", async || {
        (daemon.status().await["journal"]["devices"] == count).then_some(())
    })
    .await;
    let memory = daemon.memory_bytes_max();
    assert!(memory < 128 * MIB, "{} MiB", memory / MIB);
    assert!(daemon.stop().await.success());
    daemon.restart().await;
    assert_eq!(daemon.status().await["journal"]["devices"], count);
    let memory = daemon.memory_bytes_max();
    assert!(memory < 128 * MIB, "after a start {} MiB", memory / MIB);
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn dead_letters_at_their_bound_stop_their_own_sink_alone() {
    let served = serve(0).await;
    let mosquitto = Mosquitto::start().await;
    let configuration = Configuration::new(&served.url)
        .source("max_body = \"64KiB\"")
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .table("journal", "dlq_max_bytes = \"256KiB\"\n")
        .table(
            "sinks.site",
            &format!(
                "type = \"mqtt\"\nurl = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\n\
                 topic = \"devices/{{{{ device_id }}}}\"\nmax_packet_bytes = \"1KiB\"\n\
                 start = \"oldest\"\n",
                mosquitto.url(),
                peers::USER,
                peers::PASSWORD
            ),
        )
        .sqlite_of_statuses();
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    let pad = "x".repeat(16 << 10);
    let publish = |device: usize| {
        let body = format!(r#"{{"deviceId":{device},"newState":"故障","pad":"{pad}"}}"#);
        served.publisher.publish(Message::json(TOPIC, body));
    };
    (0..30).for_each(publish);
    daemon
        .complains(&["dead letters fill up", "\"sink\":\"site\"", "dlq list"])
        .await;
    let stopped = ["dead letters full", "\"sink\":\"site\"", "dlq drop"];
    daemon.complains(&stopped).await;
    (30..60).for_each(publish);
    wait::until("the history has all of them", async || {
        (delivered(&daemon, "history").await == 60.0).then_some(())
    })
    .await;
    let (code, reasons) = daemon.get("/readyz").await.unwrap();
    assert!(
        code == 503 && reasons.contains("dlq_max_bytes"),
        "{reasons}"
    );
    assert!(!reasons.contains("history"), "{reasons}");
    assert_eq!(daemon.status().await["journal"]["full"], false);
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn a_journal_that_fills_up_says_so_before_it_is_full_and_names_who_holds_it() {
    let served = serve(0).await;
    let receiver = Receiver::start().await;
    receiver.answer(503);
    let configuration = Configuration::new(&served.url)
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .table("journal", "max_bytes = \"1MiB\"\n")
        .sqlite_of_statuses()
        .webhook_with(&receiver.url(), "start = \"oldest\"\n");
    let mut daemon = Daemon::start(&configuration).await;
    subscribed(&served).await;
    let pad = "x".repeat(8 << 10);
    let mut sent = 0.0;
    wait::until("full", async || {
        let status = daemon.status().await;
        // The history keeps up: it is the other one that holds the entries. Once the journal is full,
        // some more are read before the link pauses.
        if status["journal"]["full"] == true || delivered(&daemon, "history").await >= sent {
            let body = format!(r#"{{"deviceId":1,"newState":"故障","pad":"{pad}"}}"#);
            served.publisher.publish(Message::json(TOPIC, body));
            sent += 1.0;
        }
        (status["link"]["state"] == "paused: journal full").then_some(())
    })
    .await;
    let near = [
        "journal fills up",
        "the sink oncall with",
        "pending entries",
    ];
    let near = daemon.complains(&near).await;
    let full = [
        "journal full: nothing is accepted",
        "the sink oncall with",
        "status",
    ];
    let full = daemon.complains(&full).await;
    let log = daemon.log();
    assert!(log.find(&near) < log.find(&full), "{log}");
    assert!(daemon.stop().await.success());
    served.end().await;
}
