//! Verbs beside a running daemon, in the real binary: `tap` out of its journal, `doctor`, `sinks
//! list` and `status --watch`.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use peers::daemon::launch;
use peers::process::{Process, tethered};
use peers::{Configuration, Folder, wait};
use serde_json::Value;
use stomp_bridge::demo::{Broker, Message, Publisher};
use tokio_util::sync::CancellationToken;

const TOPIC: &str = "/topic/state/1";
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker, and a daemon that has subscribed.
struct Lab {
    publisher: Publisher,
    folder: Folder,
    stop: CancellationToken,
    daemon: Process,
}

impl Lab {
    async fn new() -> Lab {
        let broker = Broker::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let (url, publisher) = (broker.url_ws().to_string(), broker.publisher());
        let stop = CancellationToken::new();
        tokio::spawn(broker.run(stop.clone()));
        let folder = Folder::new("beside");
        let config = Configuration::new(&url)
            .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
            .sqlite()
            .write(&folder);
        let daemon = launch(folder.path(), &config, &[]);
        let lab = Lab {
            publisher,
            folder,
            stop,
            daemon,
        };
        wait::until("the daemon subscribes", async || {
            (lab.publisher.subscriptions(TOPIC) > 0).then_some(())
        })
        .await;
        wait::until("the daemon is ready", async || {
            let (_, code) = lab.output(&["status"]).await;
            (code == 0).then_some(())
        })
        .await;
        lab
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = tethered(env!("CARGO_BIN_EXE_stomp-bridge"));
        let config = self.folder.join("config.toml");
        command
            .args(args)
            .args(["--config", config.to_str().unwrap()])
            .env_remove("RUST_LOG")
            .env_remove("STATE_DIRECTORY");
        command
    }

    fn start(&self, args: &[&str]) -> Process {
        let log = self.folder.join(args[0]);
        Process::start(args[0], self.command(args), &log)
    }

    async fn output(&self, args: &[&str]) -> (String, i32) {
        let mut process = self.start(args);
        let status = process.ended(PATIENCE).await;
        (process.log(), status.code().unwrap())
    }

    fn publish(&self, device: u32, new: &str) {
        let body = format!(
            r#"{{"clientId":1,"deviceId":{device},"sn":"5223","oldState":"正常","newState":"{new}"}}"#
        );
        self.publisher.publish(Message::json(TOPIC, body));
    }

    async fn end(mut self) {
        self.daemon.kill();
        self.stop.cancel();
    }
}

#[tokio::test]
async fn tap_shows_what_the_daemon_journals_and_connects_to_nothing() {
    let lab = Lab::new().await;
    let filters = ["--device", "7", "--changed", "--count", "2", "--json"];
    let mut tap = lab.start(&[&["tap"], &filters[..]].concat());
    // What was there before is not shown: so it is said again until it is seen.
    let shown = wait::until("tap prints", async || {
        lab.publish(7, "故障");
        lab.publish(8, "故障");
        lab.publish(7, "正常");
        let lines = tap.log().lines().count();
        (lines >= 2).then(|| tap.log())
    })
    .await;
    assert_eq!(lab.publisher.subscriptions(TOPIC), 1, "the daemon's alone");
    for line in shown.lines() {
        let status: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{shown}"));
        assert_eq!(
            (&status["device_id"], &status["changed"]),
            (&"7".into(), &true.into())
        );
        assert!(
            status["event_id"].is_string(),
            "an entry of the journal has one: {line}"
        );
    }
    let status = tap.ended(PATIENCE).await;
    assert!(status.success());
    assert_eq!(tap.log().lines().count(), 2);

    let mut own = lab.start(&["tap", "--own-connection", "--count", "1"]);
    wait::until("tap subscribes", async || {
        (lab.publisher.subscriptions(TOPIC) == 2).then_some(())
    })
    .await;
    lab.publish(7, "离线");
    assert!(own.ended(PATIENCE).await.success());
    lab.end().await;
}

#[tokio::test]
async fn a_quiet_tap_says_that_it_is_connected() {
    let lab = Lab::new().await;
    for args in [&["tap"][..], &["tap", "--own-connection"]] {
        let mut tap = lab.start(args);
        tap.logged("nothing yet", |line| {
            line.contains("1 topic (map-1), nothing yet")
        })
        .await;
        tap.kill();
    }
    lab.end().await;
}

#[tokio::test]
async fn doctor_and_sinks_list_know_the_daemon() {
    let lab = Lab::new().await;
    let (text, code) = lab.output(&["doctor", "--wait", "0", "--json"]).await;
    assert_eq!(code, 0, "{text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    let first = &report["checks"][0];
    assert_eq!(
        (&first["part"], &first["step"]),
        (&"daemon".into(), &"ready".into())
    );

    let (text, code) = lab.output(&["sinks", "list"]).await;
    assert_eq!(code, 0, "{text}");
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["SINK", "TYPE", "STATE", "LAG", "DLQ"], "{text}");
    assert_eq!(lines[1][..3], ["history", "sqlite", "up"], "{text}");
    lab.end().await;
}

#[tokio::test]
async fn a_sign_in_beside_the_daemon_wants_to_be_asked_for() {
    let lab = Lab::new().await;
    let signin = "[source.signin]\nurl = \"http://127.0.0.1:9/login\"\n";
    let text = std::fs::read_to_string(lab.folder.join("config.toml")).unwrap();
    // The daemon goes on with the configuration that it has read.
    lab.folder.write("config.toml", &format!("{text}{signin}"));
    let (text, code) = lab.output(&["doctor", "--json"]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("--own-connection"), "{text}");
    let (text, code) = lab.output(&["doctor", "--own-connection", "--json"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("\"sign-in\""), "{text}");
    lab.end().await;
}

#[tokio::test]
async fn status_is_watched_until_somebody_ends_it() {
    let lab = Lab::new().await;
    let mut watch = lab.start(&["status", "--watch"]);
    let count = |log: &str| log.matches("\nlink ").count();
    wait::until("two looks", async || {
        (count(&watch.log()) >= 2).then_some(())
    })
    .await;
    // A pipe has no screen to clear.
    assert!(!watch.log().contains('\u{1b}'));
    watch.kill();
    lab.end().await;
}
