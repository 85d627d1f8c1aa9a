//! `/metrics` as Prometheus reads it, and what docs/ makes of it: the table of all metrics, the
//! alerts, the dashboard.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use peers::{Prometheus, Receiver};
use serde_json::Value;

use super::*;

const OPEN_METRICS: &str = "Accept: application/openmetrics-text; version=1.0.0\r\n";

fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(docs(file)).unwrap()
}

/// Runs promtool, which is to have nothing against it.
fn promtool(args: &[&str], input: &str) {
    let folder = Folder::new("promtool");
    let input = fs::File::open(folder.write("input", input)).unwrap();
    let mut command = peers::process::tethered("promtool");
    let output = command.args(args).stdin(input).output().unwrap();
    let (said, problems) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && problems.is_empty(),
        "{args:?}: {said}{problems}"
    );
}

/// The names of metrics in a text, each without what a histogram's samples add to it.
fn names(text: &str) -> BTreeSet<String> {
    let words =
        text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let names =
        words.filter(|word| word.starts_with("stomp_bridge_") || word.starts_with("process_"));
    names
        .map(|name| name.strip_suffix("_bucket").unwrap_or(name).to_owned())
        .collect()
}

/// The metrics of an answer, by their own lines.
fn families(answer: &str) -> BTreeSet<String> {
    let types = answer
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

/// A daemon with two topics, a history and a receiver; two statuses are delivered to both.
async fn delivering(served: &Served, receiver: &Receiver) -> Daemon {
    let configuration = configuration(&served.url)
        .table("topics.quiet", "destination = \"/topic/quiet\"\n")
        .webhook(&receiver.url());
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    served.publish(1);
    let address = r#"{"latitude":"x","longitude":1}"#;
    let unmapped = format!(r#"{{"deviceId":1,"newState":"维护中","address":{address}}}"#);
    served.publisher.publish(Message::json(TOPIC, unmapped));
    for sink in ["history", "oncall"] {
        wait::until("delivered", async || {
            let line = format!("stomp_bridge_sink_delivered_total{{sink=\"{sink}\"}}");
            (metric(&daemon, &line).await? == 2.0).then_some(())
        })
        .await;
    }
    daemon
}

#[tokio::test]
async fn the_answer_is_right_for_promtool_and_has_all_that_the_docs_name() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    let mut daemon = delivering(&served, &receiver).await;
    let (status, text) = daemon.get("/metrics").await.unwrap();
    assert_eq!(status, 200);
    promtool(&["check", "metrics"], &text);
    let found = families(&text);
    let table = read("metrics.md");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let rows: String = rows
        .filter_map(|row| row.split(" | ").next())
        .map(|row| format!("{row}\n"))
        .collect();
    assert_eq!(found, names(&rows), "docs/metrics.md has another list");
    for file in [
        "alerts/stomp-bridge.rules.yml",
        "grafana/stomp-bridge.json",
        "guarantees.md",
        "guide.md",
        "troubleshooting.md",
    ] {
        let named = names(&read(file));
        assert!(!named.is_empty(), "{file} names no metric");
        let unknown: Vec<_> = named.difference(&found).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}");
    }

    let count = |line: &str| {
        let found = text.lines().find_map(|it| it.strip_prefix(line));
        let value = found.unwrap_or_else(|| panic!("{line} is not in {text}"));
        value.trim().parse::<f64>().unwrap()
    };
    assert_eq!(count("stomp_bridge_ready "), 1.0);
    for reason in [
        "link",
        "topic_refused",
        "topic_silent",
        "sink",
        "journal_full",
    ] {
        let line = format!("stomp_bridge_not_ready_reasons{{reason=\"{reason}\"}} ");
        assert_eq!(count(&line), 0.0, "{reason}");
    }
    assert_eq!(count("stomp_bridge_journaled_latency_seconds_count "), 2.0);
    for sink in ["history", "oncall"] {
        let label = format!("{{sink=\"{sink}\"}} ");
        let latency = "stomp_bridge_sink_confirmed_latency_seconds";
        assert_eq!(count(&format!("{latency}_count{label}")), 2.0);
        let slowest = count(&format!("{latency}_sum{label}"));
        assert!(slowest > 0.0 && slowest < 120.0, "{slowest}");
        assert_eq!(count(&format!("stomp_bridge_sink_lag_seconds{label}")), 0.0);
    }
    let topic = "stomp_bridge_topic_messages_total{topic=\"map-1\"} ";
    assert_eq!(count(topic), 2.0);
    // CONNECTED and the messages; CONNECT and the SUBSCRIBEs.
    assert!(count("stomp_bridge_received_frames_total ") >= 3.0);
    assert!(count("stomp_bridge_sent_frames_total ") >= 3.0);
    let bodies = count("stomp_bridge_message_body_bytes_total ");
    assert!(count("stomp_bridge_received_bytes_total ") > bodies);
    assert!(count("stomp_bridge_link_last_received_timestamp_seconds ") > 1.7e9);

    let (_, open) = daemon.get_with("/metrics", OPEN_METRICS).await.unwrap();
    assert!(open.ends_with("\n# EOF\n"), "{open}");
    assert!(!text.contains("# EOF"), "{text}");
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn prometheus_reads_it_and_takes_every_expression_of_the_dashboard() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    let mut daemon = delivering(&served, &receiver).await;
    let rules = docs("alerts/stomp-bridge.rules.yml");
    let prometheus = Prometheus::start(daemon.http(), &rules).await;
    wait::until("scraped", async || {
        let up = prometheus.query("up == 1").await.unwrap();
        (up.len() == 1).then_some(())
    })
    .await;
    assert_eq!(prometheus.scrape_error().await, "");
    let quantile = "histogram_quantile(1, stomp_bridge_journaled_latency_seconds_bucket) < 60";
    assert_eq!(prometheus.query(quantile).await.unwrap().len(), 1);
    let alerts = prometheus.query("ALERTS").await.unwrap();
    let expected = ["StompBridgeUnmapped"];
    let alerts: Vec<&str> = alerts
        .iter()
        .filter_map(|alert| alert["metric"]["alertname"].as_str())
        .filter(|name| !expected.contains(name))
        .collect();
    assert_eq!(alerts, [""; 0], "of a daemon that is well");

    let dashboard: Value = serde_json::from_str(&read("grafana/stomp-bridge.json")).unwrap();
    let expressions = expressions(&dashboard);
    assert!(expressions.len() > 30, "{}", expressions.len());
    for expression in expressions {
        let expression = expression
            .replace("$instance", ".*")
            .replace("$__rate_interval", "1m");
        let result = prometheus.query(&expression).await;
        assert!(result.is_ok(), "{expression}: {result:?}");
    }

    // The alert of a link that is gone waits for minutes, and knows of it at once.
    served.end().await;
    wait::until("pending", async || {
        let pending = "ALERTS{alertname='StompBridgeLinkDown',alertstate='pending'}";
        (prometheus.query(pending).await.ok()?.len() == 1).then_some(())
    })
    .await;
    assert_eq!(metric(&daemon, "stomp_bridge_ready").await, Some(0.0));
    let reason = "stomp_bridge_not_ready_reasons{reason=\"link\"}";
    assert_eq!(metric(&daemon, reason).await, Some(1.0));
    assert!(daemon.stop().await.success());
}

fn expressions(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(expressions).collect(),
        Value::Object(members) => {
            let own = members.get("expr").and_then(Value::as_str);
            let below = members.values().flat_map(expressions);
            own.map(str::to_owned).into_iter().chain(below).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn each_alert_is_tested_and_says_what_to_do() {
    let rules = docs("alerts/stomp-bridge.rules.yml");
    promtool(&["check", "rules", rules.to_str().unwrap()], "");
    let tests = docs("alerts/stomp-bridge.test.yml");
    promtool(&["test", "rules", tests.to_str().unwrap()], "");
    let (rules, tests) = (
        read("alerts/stomp-bridge.rules.yml"),
        read("alerts/stomp-bridge.test.yml"),
    );
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 15, "{alerts:?}");
    let table = read("operations.md");
    for alert in alerts {
        assert!(table.contains(&format!("| `{alert}` | ")), "{alert}");
        let name = format!("alertname: {alert}\n");
        let mut cases = tests.split(&name).skip(1);
        let fires = cases.any(|case| case.trim_start().starts_with("exp_alerts:\n"));
        assert!(fires, "no test has {alert} fire");
    }
}

/// The counters that a file's alerts have in `increase` or `rate`.
fn counted(rules: &str) -> BTreeSet<&str> {
    let calls = ["increase(", "rate("].into_iter();
    let counters = calls.flat_map(|call| rules.split(call).skip(1));
    counters
        .filter_map(|rest| rest.split(['[', '{', ')']).next())
        .collect()
}

/// `increase` sees nothing of a counter whose first sample is 1.
#[tokio::test]
async fn each_counter_of_an_alert_has_samples_before_anything_has_come() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    let mut daemon = Daemon::start(&configuration(&served.url).webhook(&receiver.url())).await;
    daemon.ready().await;
    let rules = read("alerts/stomp-bridge.rules.yml");
    let counters = counted(&rules);
    assert!(counters.len() > 3, "{counters:?}");
    for counter in counters {
        assert_eq!(metric(&daemon, counter).await, Some(0.0), "{counter}");
    }
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn how_far_a_sink_is_behind_is_known_in_time_too_also_after_a_restart() {
    let (served, receiver) = (serve(0).await, Receiver::start().await);
    receiver.answer(503);
    let mut daemon = Daemon::start(&configuration(&served.url).webhook(&receiver.url())).await;
    wait::until("subscribed", async || {
        (served.publisher.subscriptions(TOPIC) == 1).then_some(())
    })
    .await;
    let began = Instant::now();
    served.publish(1);
    let lag = "stomp_bridge_sink_lag_seconds{sink=\"oncall\"}";
    let behind = async |daemon: &Daemon, seconds: f64| {
        wait::until("behind", async || {
            (metric(daemon, lag).await? > seconds).then_some(())
        })
        .await;
    };
    behind(&daemon, 2.0).await;
    assert_eq!(
        metric(
            &daemon,
            "stomp_bridge_sink_state{sink=\"oncall\",state=\"retrying\"}"
        )
        .await,
        Some(1.0)
    );
    assert!(daemon.stop().await.success());
    daemon.restart().await;
    behind(&daemon, 2.0).await;
    let pending = metric(&daemon, "stomp_bridge_journal_oldest_pending_seconds").await;
    let (pending, waited) = (pending.unwrap(), began.elapsed().as_secs_f64());
    assert!(
        pending > 2.0 && pending < waited + 2.0,
        "{pending} of {waited}"
    );
    receiver.answer(204);
    wait::until("caught up", async || {
        (metric(&daemon, lag).await? == 0.0).then_some(())
    })
    .await;
    assert!(daemon.stop().await.success());
    served.end().await;
}

/// How much more of the processor a scrape of 500 topics may take than one of a single topic: what a
/// topic costs is its lines, and nothing is looked up for it. The machine's speed is in both.
const COST_MAX: f64 = 12.0;

/// A daemon with so many topics, whose server answers CONNECT and nothing else.
async fn with_topics(count: usize) -> (Scripted, Daemon) {
    let quiet = Life {
        bytes: Vec::new(),
        then: Then::Stay,
    };
    let server = Scripted::start(vec![quiet]).await;
    let mut configuration = configuration(&server.url());
    for number in 1..count {
        let table = format!("topics.many-{number}");
        let destination = format!("destination = \"/topic/many/{number}\"\n");
        configuration = configuration.table(&table, &destination);
    }
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    (server, daemon)
}

/// What a scrape takes of the processor, in seconds: a mean of many.
async fn cost(daemon: &Daemon) -> f64 {
    const SCRAPES: u32 = 50;
    let cpu = async || metric(daemon, "process_cpu_seconds_total").await.unwrap();
    let before = cpu().await;
    for _ in 0..SCRAPES {
        let (status, text) = daemon.get("/metrics").await.unwrap();
        assert_eq!(status, 200);
        assert!(text.len() < 128 * 1024, "{} bytes", text.len());
    }
    (cpu().await - before) / f64::from(SCRAPES)
}

/// What scrapes often is no burden: 500 topics, and somebody who has mistaken the interval.
#[tokio::test]
async fn a_scrape_of_500_topics_costs_little_and_a_foreign_host_gets_none() {
    let (_server, mut daemon) = with_topics(500).await;
    let (_other_server, single) = with_topics(1).await;
    let resident = daemon.resident_bytes_max();
    let (many, one) = (cost(&daemon).await, cost(&single).await);
    eprintln!(
        "a scrape of 500 topics costs {:.2} ms, one of a single topic {:.2} ms",
        many * 1e3,
        one * 1e3
    );
    assert!(many < COST_MAX * one, "{many} s, and {one} s");
    let grown = daemon.resident_bytes_max().saturating_sub(resident);
    assert!(grown < 8 * 1024 * 1024, "{grown} bytes more");

    let mut stream = tokio::net::TcpStream::connect(daemon.http()).await.unwrap();
    let foreign = b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    stream.write_all(foreign).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert!(!answer.contains("stomp_bridge_"), "{answer}");
    assert!(daemon.stop().await.success());
}
