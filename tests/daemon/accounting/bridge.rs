//! A daemon that reads from the demo's broker, and the command line beside it.

use std::net::Ipv4Addr;
use std::process::Output;

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions};
use stomp_bridge::demo::{Broker, Message, Publisher};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use peers::platform::message;
use peers::{Configuration, Daemon, wait};

const TOPIC: &str = "/topic/state/1";

/// Devices that report in turn.
pub(crate) const DEVICES: usize = 3;

/// The demo's broker.
pub(crate) struct Source {
    pub(crate) url: String,
    publisher: Publisher,
    running: JoinHandle<()>,
}

impl Source {
    pub(crate) async fn start() -> Source {
        let broker = Broker::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let (url, publisher) = (broker.url_stomp().to_string(), broker.publisher());
        let running = tokio::spawn(broker.run(CancellationToken::new()));
        Source {
            url,
            publisher,
            running,
        }
    }

    /// A configuration that reads from here, without sinks.
    pub(crate) fn configuration(&self) -> Configuration {
        self.configuration_with("")
    }

    /// The same with more keys for its topic.
    pub(crate) fn configuration_with(&self, keys: &str) -> Configuration {
        Configuration::new(&self.url).table(
            "topics.map-1",
            &format!("destination = \"{TOPIC}\"\n{keys}"),
        )
    }

    pub(crate) fn publish(&self, body: impl Into<Vec<u8>>) {
        assert_eq!(
            self.publisher.publish(Message::json(TOPIC, body.into())),
            1,
            "nobody is subscribed"
        );
    }

    /// The platform's messages of these numbers.
    pub(crate) fn messages(&self, numbers: std::ops::Range<usize>) {
        numbers.for_each(|n| self.publish(message("run", n, DEVICES)));
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Runs a verb against a daemon's configuration.
pub(crate) async fn cli(daemon: &Daemon, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stomp-bridge"));
    command
        .args(arguments)
        .arg("--config")
        .arg(daemon.folder().join("config.toml"));
    command
        .env_remove("RUST_LOG")
        .env_remove("STATE_DIRECTORY")
        .output()
        .await
        .unwrap()
}

/// The same for a verb that must succeed: its standard output.
pub(crate) async fn done(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = cli(daemon, arguments).await;
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out
}

/// What `status --json` says; its exit code is 1 where the daemon is not ready.
pub(crate) async fn status(daemon: &Daemon) -> Value {
    let output = cli(daemon, &["status", "--json"]).await;
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    let code = if report["ready"] == true { 0 } else { 1 };
    assert_eq!(output.status.code(), Some(code), "{out}");
    report
}

/// The same with `--json`.
pub(crate) async fn asked(daemon: &Daemon, arguments: &[&str]) -> Value {
    let out = done(daemon, &[arguments, &["--json"]].concat()).await;
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The positions of what the journal has received, in order: what the daemon itself observed stands
/// among it.
pub(crate) async fn positions(daemon: &Daemon) -> Vec<i64> {
    entries(daemon, "kind <> 'coverage'").await
}

/// How much the daemon itself has observed: a history gets that, too.
pub(crate) async fn observed(daemon: &Daemon) -> i64 {
    entries(daemon, "kind = 'coverage'").await.len() as i64
}

async fn entries(daemon: &Daemon, wanted: &str) -> Vec<i64> {
    let options = SqliteConnectOptions::new()
        .filename(daemon.folder().join("journal.db"))
        .read_only(true);
    let mut journal = options.connect().await.unwrap();
    let positions = format!("SELECT position FROM entry WHERE {wanted} ORDER BY position");
    sqlx::query_scalar(AssertSqlSafe(positions))
        .fetch_all(&mut journal)
        .await
        .unwrap()
}

/// Waits until the journal has received so much and a sink has passed all of it, and `waiting`
/// entries are dead-lettered.
pub(crate) async fn passed(daemon: &Daemon, sink: &str, received: i64, waiting: i64) -> Value {
    wait::until(
        &format!("{sink} has passed {received}, {waiting} dead-lettered"),
        async || {
            let journaled = positions(daemon).await.len() as i64;
            let report = status(daemon).await;
            let found = report["sinks"]
                .as_array()?
                .iter()
                .find(|found| found["name"] == sink)?
                .clone();
            let there =
                journaled == received && found["pending"] == 0 && found["waiting"] == waiting;
            (there && found["replaying"] == false).then_some(found)
        },
    )
    .await
}

/// Stops a daemon in order; its last audit must have found nothing.
pub(crate) async fn stop(daemon: &mut Daemon) {
    assert!(daemon.stop().await.success(), "{}", daemon.log());
    assert!(
        !daemon.log().contains("does not balance"),
        "{}",
        daemon.log()
    );
}
