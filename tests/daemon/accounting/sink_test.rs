//! `sinks test` and `tap SINK` beside a running daemon.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::bridge::{Source, asked, cli, passed, positions, status, stop, text};
use peers::{Daemon, Postgres, Receiver, wait};

async fn rows(daemon: &Daemon) -> (i64, i64) {
    let history = SqliteConnectOptions::new()
        .filename(daemon.folder().join("history.db"))
        .read_only(true);
    let mut history = history.connect().await.unwrap();
    let sql = "SELECT (SELECT count(*) FROM status_event), (SELECT count(*) FROM device_current)";
    sqlx::query_as(sql).fetch_one(&mut history).await.unwrap()
}

async fn rows_of(postgres: &Postgres, database: &str) -> (i64, i64) {
    let mut connection = postgres.connect(database).await;
    let sql = "SELECT (SELECT count(*) FROM status_event), (SELECT count(*) FROM device_current)";
    sqlx::query_as(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

/// What the journal counts of the sinks, without what a moment changes.
async fn accounts(daemon: &Daemon) -> Vec<Value> {
    let report = status(daemon).await;
    let sinks = report["sinks"].as_array().unwrap().iter();
    let account = |sink: &Value| {
        let keys = ["name", "up", "cursor", "delivered", "waiting", "furthest"];
        Value::from_iter(keys.map(|key| (key.to_owned(), sink[key].clone())))
    };
    sinks.map(account).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_leaves_a_running_daemon_and_its_histories_as_they_are() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    let postgres = Postgres::start().await;
    let url = postgres.create("tested").await;
    let configuration = source.configuration().sqlite().postgres(&url);
    let mut daemon = Daemon::start(&configuration.webhook(&receiver.url())).await;
    daemon.ready().await;
    source.messages(0..3);
    for sink in ["history", "warehouse", "oncall"] {
        passed(&daemon, sink, 3, 0).await;
    }
    let before = (positions(&daemon).await, accounts(&daemon).await);
    assert_eq!(
        (rows(&daemon).await, rows_of(&postgres, "tested").await),
        ((3, 3), (3, 3))
    );
    for sink in ["history", "warehouse"] {
        let tested = asked(&daemon, &["sinks", "test", sink]).await;
        let answer = tested["answer"].as_str().unwrap();
        let expected = "1 row stored, then rolled back: nothing of it stays";
        assert!(answer.contains(expected), "{tested}");
        assert_eq!(tested["sends"]["row"]["table"], "status_event");
    }
    let tested = asked(&daemon, &["sinks", "test", "oncall"]).await;
    assert_eq!(tested["answer"], "HTTP 204", "{tested}");
    assert_eq!(receiver.count(), 4);
    assert_eq!(
        (rows(&daemon).await, rows_of(&postgres, "tested").await),
        ((3, 3), (3, 3))
    );
    assert_eq!((positions(&daemon).await, accounts(&daemon).await), before);

    // The daemon's own view of its histories still holds.
    source.messages(3..5);
    for sink in ["history", "warehouse", "oncall"] {
        passed(&daemon, sink, 5, 0).await;
    }
    assert_eq!(
        (rows(&daemon).await, rows_of(&postgres, "tested").await),
        ((5, 3), (5, 3))
    );
    stop(&mut daemon).await;

    // Without a daemon it is the same.
    let tested = asked(&daemon, &["sinks", "test", "history"]).await;
    assert_eq!(tested["ok"], true, "{tested}");
    assert_eq!(rows(&daemon).await, (5, 3));
    let tap = cli(&daemon, &["tap", "oncall"]).await;
    assert_eq!(tap.status.code(), Some(1));
    let said = text(&tap.stderr);
    assert!(
        said.contains("no stomp-bridge runs on this journal"),
        "{said}"
    );
}

/// Starts `tap`, and gives its lines.
fn tap(
    daemon: &Daemon,
    args: &[&str],
) -> (
    tokio::process::Child,
    tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stomp-bridge"));
    command.arg("tap").args(args).arg("--config");
    command.arg(daemon.folder().join("config.toml"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("RUST_LOG").kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let out = child.stdout.take().unwrap();
    (child, BufReader::new(out).lines())
}

/// Waits until a tap has said that nothing comes: it looks at the journal then.
async fn looks(child: &mut tokio::process::Child) -> String {
    let err = child.stderr.take().unwrap();
    let mut lines = BufReader::new(err).lines();
    let line = tokio::time::timeout(wait::LONG, lines.next_line()).await;
    line.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn tap_shows_what_a_sink_sends_and_what_came_back() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    let webhook = "when = \"device_id != '2'\"\nbody = \"{{ device_id }} is {{ state }}\"\n";
    let configuration = source.configuration().sqlite();
    let configuration = configuration.webhook_with(&receiver.url(), webhook);
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    let (mut child, mut lines) = tap(&daemon, &["oncall", "--count", "3"]);
    let said = looks(&mut child).await;
    let expected = "the sink oncall is up; no entry waits for it, nothing sent yet";
    assert_eq!(said, expected);
    // Devices 1, 2 and 3; then 1 again, which is refused.
    source.messages(0..3);
    passed(&daemon, "oncall", 3, 0).await;
    let mut next = async || {
        let line = tokio::time::timeout(wait::LONG, lines.next_line()).await;
        line.unwrap().unwrap().unwrap_or_default()
    };
    let mut devices = Vec::new();
    for _ in 0..2 {
        let (head, body, answer) = (next().await, next().await, next().await);
        let (_, rest) = head.split_once(' ').unwrap();
        let at = format!("  POST http://127.0.0.1:{}/…", receiver.port());
        let device = rest
            .strip_prefix("map-1 device ")
            .and_then(|rest| rest.strip_suffix(&at));
        let device = device.unwrap_or_else(|| panic!("{head}")).to_owned();
        let (_, id) = device.split_once('/').unwrap();
        assert!(body.starts_with(&format!("    {id} is ")), "{body}");
        assert_eq!(answer, "    <- HTTP 204");
        devices.push(id.to_owned());
    }
    devices.sort_unstable();
    assert_eq!(devices, ["1", "3"]);
    receiver.answer(422);
    source.messages(3..4);
    passed(&daemon, "oncall", 4, 1).await;
    let (head, _, answer) = (next().await, next().await, next().await);
    assert!(head.contains("map-1 device "), "{head}");
    assert!(
        answer.starts_with("    <- dead letter: ") && answer.contains("answered 422"),
        "{answer}"
    );
    let ended = tokio::time::timeout(wait::LONG, child.wait()).await;
    assert!(ended.unwrap().unwrap().success());

    // For a program, of one device, and of a history.
    let (mut child, mut lines) = tap(
        &daemon,
        &["history", "--json", "--device", "2", "--count", "1"],
    );
    // What was stored before may still be written down as confirmed: then the tap says no word.
    let mut n = 4;
    let line = wait::until("a line of the device", async || {
        source.messages(n..n + 2);
        n += 2;
        let line = tokio::time::timeout(Duration::from_secs(1), lines.next_line()).await;
        line.ok()?.unwrap()
    })
    .await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["sends"]["row"]["table"], "status_event", "{line}");
    assert!(
        line["answer"].as_str().unwrap().contains("stored"),
        "{line}"
    );
    assert!(line["events"].as_u64().unwrap() >= 1, "{line}");
    let ended = tokio::time::timeout(wait::LONG, child.wait()).await;
    assert!(ended.unwrap().unwrap().success());
    stop(&mut daemon).await;
}
