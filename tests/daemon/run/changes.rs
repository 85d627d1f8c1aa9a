//! What counts as a change, from the wire to a sink with an alarm's condition.

use peers::{Configuration, Daemon, wait};
use stomp_bridge::demo::Message;

use super::{Served, TOPIC, metric, serve};

const OTHER_TOPIC: &str = "/topic/x/deviceStatusChannel";

/// To both topics of the stream.
fn publish(served: &Served, uuid: Option<&str>, old: &str, new: &str) {
    let uuid = uuid.map_or(String::new(), |uuid| format!(r#""uuid":"{uuid}","#));
    let body =
        format!(r#"{{{uuid}"clientId":1,"deviceId":1,"oldState":"{old}","newState":"{new}"}}"#);
    for topic in [TOPIC, OTHER_TOPIC] {
        let subscribers = served.publisher.publish(Message::json(topic, body.clone()));
        assert_eq!(subscribers, 1, "{topic}");
    }
}

/// Until the history has so many rows, and no sink has anything before it.
async fn passed(daemon: &Daemon, rows: f64) {
    wait::until(&format!("{rows} rows"), async || {
        let lag = metric(daemon, "stomp_bridge_sink_lag_entries{sink=\"alarms\"}").await?;
        let behind = metric(daemon, "stomp_bridge_sink_lag_entries{sink=\"history\"}").await?;
        (delivered(daemon).await[1] >= rows && lag + behind == 0.0).then_some(())
    })
    .await;
}

async fn delivered(daemon: &Daemon) -> [f64; 2] {
    let mut counts = [0.0; 2];
    for (count, sink) in counts.iter_mut().zip(["alarms", "history"]) {
        let name = format!("stomp_bridge_sink_delivered_total{{sink=\"{sink}\"}}");
        *count = metric(daemon, &name).await.unwrap();
    }
    counts
}

#[tokio::test]
async fn fault_that_began_while_away_is_an_alarm_and_no_repeat_is_one() {
    let served = serve(0).await;
    let topic = |destination: &str| {
        format!("destination = \"{destination}\"\nstream = \"platform\"\nevent_key = [\"/uuid\"]\n")
    };
    let alarms = "type = \"sqlite\"\npath = \"alarms.db\"\nkinds = [\"status\"]\n\
                  when = \"changed and severity == 'critical'\"\n";
    let configuration = Configuration::new(&served.url)
        .table("topics.map-1", &topic(TOPIC))
        .table("topics.status", &topic(OTHER_TOPIC))
        .table("sinks.alarms", alarms)
        .sqlite_of_statuses();
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    publish(&served, None, "正常", "正常");
    wait::until("the second topic's is a repeat", async || {
        (metric(&daemon, "stomp_bridge_repeats_total").await? == 1.0).then_some(())
    })
    .await;
    passed(&daemon, 1.0).await;
    assert_eq!(delivered(&daemon).await, [0.0, 1.0]);

    // It breaks while the daemon is away, and the platform goes on saying so.
    assert!(daemon.stop().await.success());
    daemon.restart().await;
    daemon.ready().await;
    publish(&served, None, "故障", "故障");
    publish(&served, Some("over"), "故障", "正常");
    publish(&served, Some("again"), "正常", "故障");
    // The server delivers both again.
    publish(&served, Some("over"), "故障", "正常");
    publish(&served, Some("again"), "正常", "故障");
    wait::until("repeats", async || {
        (metric(&daemon, "stomp_bridge_repeats_total").await? == 7.0).then_some(())
    })
    .await;
    passed(&daemon, 3.0).await;
    assert_eq!(delivered(&daemon).await, [2.0, 3.0]);
    let missed = metric(&daemon, "stomp_bridge_missed_transitions_total").await;
    assert_eq!(
        missed,
        Some(1.0),
        "the fault that began while nobody listened"
    );
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_in_the_log_the_status_and_the_metrics() {
    let served = serve(0).await;
    let topic = format!("destination = \"{TOPIC}\"\nignore = \"type == 'heartbeat'\"\n");
    let configuration = Configuration::new(&served.url)
        .table("topics.map-1", &topic)
        .sqlite_of_statuses();
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    // Before the first one: `increase` would see nothing of a counter that begins with 1.
    let counters = ["statuses_unmapped", "statuses_ignored", "messages_empty"];
    for counter in counters {
        let name = format!("stomp_bridge_{counter}_total{{topic=\"map-1\"}}");
        assert_eq!(metric(&daemon, &name).await, Some(0.0), "{counter}");
    }
    let odd = r#"{"deviceId":1,"newState":"维护中","address":{"latitude":"33,7","longitude":1}}"#;
    for body in [odd, r#"{"type":"heartbeat"}"#, odd] {
        served
            .publisher
            .publish(Message::json(TOPIC, body.to_owned()));
    }
    wait::until("2 unmapped", async || {
        let name = "stomp_bridge_statuses_unmapped_total{topic=\"map-1\"}";
        (metric(&daemon, name).await? == 2.0).then_some(())
    })
    .await;
    let field = "stomp_bridge_fields_unreadable_total{topic=\"map-1\",field=\"latitude\"}";
    assert_eq!(metric(&daemon, field).await, Some(2.0));
    let ignored = "stomp_bridge_statuses_ignored_total{topic=\"map-1\"}";
    assert_eq!(metric(&daemon, ignored).await, Some(1.0));
    let status = daemon.status().await;
    let topic = &status["link"]["topics"]["map-1"];
    assert_eq!(topic["unmapped"]["维护中"], 2);
    assert_eq!(topic["unreadable"]["latitude"], 2);
    for words in ["state unmapped", "field unreadable", "object ignored"] {
        assert_eq!(daemon.log().matches(words).count(), 1, "{words}");
    }

    // A word that a reload maps is no longer named; the counter goes on from where it was.
    let mapped = "[states]\n\"维护中\" = { name = \"maintenance\", severity = \"info\" }\n";
    let text = configuration.text().replace("[states]\n", mapped);
    daemon.folder().write("config.toml", &text);
    daemon.hang_up();
    daemon
        .logged("the reload", |line| line.contains("configuration applied"))
        .await;
    let status = daemon.status().await;
    let topic = &status["link"]["topics"]["map-1"];
    assert_eq!(topic["unmapped"], serde_json::json!({}));
    let name = "stomp_bridge_statuses_unmapped_total{topic=\"map-1\"}";
    assert_eq!(metric(&daemon, name).await, Some(2.0));
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn sink_that_takes_nothing_says_so_once() {
    let served = serve(0).await;
    let none =
        "type = \"sqlite\"\npath = \"none.db\"\nkinds = [\"status\"]\nwhen = \"city == 'X'\"\n";
    let configuration = Configuration::new(&served.url)
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .table("sinks.none", none)
        .sqlite_of_statuses();
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    let status = r#"{"deviceId":1,"newState":"故障"}"#;
    let hundred = format!("[{}]", vec![status; 100].join(","));
    let publish = || {
        for _ in 0..12 {
            let message = Message::json(TOPIC, hundred.clone());
            served.publisher.publish(message);
        }
    };
    publish();
    daemon
        .logged("all filtered", |log| {
            log.contains("all filtered: `when` has held for none")
        })
        .await;
    let name = "stomp_bridge_sink_filtered_total{sink=\"none\"}";
    wait::until("all are stored", async || {
        (metric(&daemon, name).await? >= 1200.0).then_some(())
    })
    .await;
    assert_eq!(daemon.log().matches("all filtered").count(), 1);
    // The next start does not say it again.
    assert!(daemon.stop().await.success());
    daemon.restart().await;
    daemon.ready().await;
    let said = daemon.log().matches("all filtered").count();
    let before = metric(&daemon, name).await.unwrap_or_default();
    publish();
    wait::until("all are stored", async || {
        (metric(&daemon, name).await? >= before + 1200.0).then_some(())
    })
    .await;
    assert_eq!(daemon.log().matches("all filtered").count(), said);
    assert!(daemon.stop().await.success());
    served.end().await;
}
