//! `doctor` in the real binary: what it finds at a server that works and at those that do not, and
//! that it leaves nothing behind.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use peers::certificates::{self, Shows};
use peers::process::{Process, tethered};
use peers::{Configuration, Folder, port, wait};
use serde_json::Value;
use stomp_bridge::demo::{Broker, Message, Publisher};
use stomp_bridge::tls::{Server, ServerSettings};
use tokio_util::sync::CancellationToken;

const TOPIC: &str = "/topic/state/1";
const PATIENCE: Duration = Duration::from_secs(60);

struct Lab {
    sockjs: String,
    websocket: String,
    publisher: Publisher,
    stop: CancellationToken,
}

impl Lab {
    async fn new() -> Lab {
        let broker = Broker::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let stop = CancellationToken::new();
        let lab = Lab {
            sockjs: broker.url_sockjs().to_string(),
            websocket: broker.url_ws().to_string(),
            publisher: broker.publisher(),
            stop: stop.clone(),
        };
        tokio::spawn(broker.run(stop));
        lab
    }

    /// Publishes a body to all subscribers, once there is one.
    async fn speak(&self, body: &str) {
        wait::until("doctor subscribes", async || {
            (self.publisher.subscriptions(TOPIC) > 0).then_some(())
        })
        .await;
        self.publisher
            .publish(Message::json(TOPIC, body.to_owned()));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn folder(url: &str) -> Folder {
    let folder = Folder::new("doctor");
    Configuration::new(url)
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .sqlite()
        .write(&folder);
    folder
}

fn command(config: &Path, args: &[&str]) -> Command {
    let mut command = tethered(env!("CARGO_BIN_EXE_stomp-bridge"));
    command
        .args(["doctor", "--config", config.to_str().unwrap()])
        .args(args)
        .env_remove("RUST_LOG")
        .env("LC_ALL", "C.UTF-8");
    command
}

fn start(folder: &Folder, args: &[&str]) -> Process {
    let command = command(&folder.join("config.toml"), args);
    Process::start("doctor", command, &folder.join("output"))
}

/// What it printed, and its exit code.
async fn output(mut process: Process) -> (String, i32) {
    let status = process.ended(PATIENCE).await;
    (process.log(), status.code().unwrap())
}

/// The steps with their outcomes, and the whole report.
async fn report(folder: &Folder, args: &[&str]) -> (Vec<String>, Value, i32) {
    let (text, code) = output(start(folder, &[args, &["--json"]].concat())).await;
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
    let checks = report["checks"].as_array().unwrap();
    let steps = checks.iter().map(|check| {
        let (step, outcome) = (&check["step"], &check["outcome"]);
        format!("{} {}", step.as_str().unwrap(), outcome.as_str().unwrap())
    });
    (steps.collect(), report.clone(), code)
}

fn untouched(folder: &Folder) -> bool {
    !folder.join("journal.db").exists() && !folder.join("history.db").exists()
}

#[tokio::test]
async fn each_layer_is_passed_and_nothing_is_left_behind() {
    let lab = Lab::new().await;
    let folder = folder(&lab.sockjs);
    let doctor = start(&folder, &[]);
    lab.speak(r#"{"clientId":1,"deviceId":7,"sn":"522398","oldState":"正常","newState":"故障"}"#)
        .await;
    let (text, code) = output(doctor).await;
    assert_eq!(code, 0, "{text}");
    let steps = [
        "DNS",
        "TCP",
        "SockJS /info",
        "upgrade",
        "SockJS session",
        "CONNECTED",
    ];
    let steps = steps
        .into_iter()
        .chain(["SUBSCRIBE", "first message", "history"]);
    let mut rest = text.as_str();
    for step in steps {
        let mark = format!("  ✓ {step} ");
        let at = rest.find(&mark).unwrap_or_else(|| panic!("{step}: {text}"));
        rest = &rest[at..];
    }
    assert!(text.contains("device 1/7 5223…  normal -> fault"), "{text}");
    assert!(text.ends_with("\nall is well\n"), "{text}");
    assert!(untouched(&folder));
}

#[tokio::test]
async fn a_silent_topic_is_a_warning_with_advice_and_a_message_that_does_not_fit_a_failure() {
    let lab = Lab::new().await;
    let folder = folder(&lab.sockjs);
    let (steps, report, code) = report(&folder, &["--wait", "1"]).await;
    assert_eq!(code, 0, "{report}");
    assert!(
        steps.contains(&"first message warning".to_owned()),
        "{report}"
    );
    let text = report.to_string();
    assert!(
        text.contains("silent for 1 s: is the destination right?"),
        "{text}"
    );

    let doctor = start(&folder, &[]);
    lab.speak("7").await;
    let (text, code) = output(doctor).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("cannot be decoded") && text.contains("[topics.map-1] fields"),
        "{text}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_fails_at_its_layer_and_the_sinks_are_still_tried() {
    let folder = Folder::new("doctor");
    let closed = port::free();
    Configuration::new(&format!("ws://127.0.0.1:{closed}/ws"))
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .webhook(&format!("http://127.0.0.1:{closed}/"))
        .mqtt(&format!("mqtt://127.0.0.1:{closed}"), "root")
        .sqlite()
        .write(&folder);
    let (steps, report, code) = report(&folder, &[]).await;
    assert_eq!(code, 1, "{report}");
    assert_eq!(steps[..2], ["DNS ok", "TCP failed"], "{report}");
    let failed = steps
        .iter()
        .filter(|step| step.ends_with(" failed"))
        .count();
    assert_eq!(failed, 3, "{report}");
    assert!(steps.contains(&"history ok".to_owned()), "{report}");
    assert!(
        report.to_string().contains("is the server running"),
        "{report}"
    );
    assert!(untouched(&folder));
}

#[tokio::test]
async fn sockjs_written_as_a_websocket_says_how_to_write_it() {
    let lab = Lab::new().await;
    let (sockjs, port) = lab.sockjs.split_once("://").unwrap();
    assert_eq!(sockjs, "http");
    let folder = folder(&format!("ws://{port}"));
    let (steps, report, code) = report(&folder, &["--wait", "0"]).await;
    assert_eq!(code, 1, "{report}");
    assert!(steps.contains(&"upgrade failed".to_owned()), "{report}");
    assert!(report.to_string().contains("write http://"), "{report}");
}

#[tokio::test]
async fn a_queue_is_not_read() {
    let lab = Lab::new().await;
    let folder = Folder::new("doctor");
    Configuration::new(&lab.websocket)
        .table("topics.q", "destination = \"/queue/a\"\nack = \"client\"\n")
        .sqlite()
        .write(&folder);
    let (steps, report, code) = report(&folder, &[]).await;
    assert_eq!(code, 0, "{report}");
    assert!(steps.contains(&"SUBSCRIBE skipped".to_owned()), "{report}");
    assert_eq!(lab.publisher.subscriptions("/queue/a"), 0);
}

#[tokio::test]
async fn a_bad_configuration_and_an_unknown_topic_are_named() {
    let folder = folder("ws://127.0.0.1:1");
    let (text, code) = output(start(&folder, &["--topic", "map-9"])).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("there is no topic `map-9`"), "{text}");
    folder.write("config.toml", "[sorce]\n");
    let (text, code) = output(start(&folder, &[])).await;
    assert_eq!(code, 78, "{text}");
    assert!(text.contains("sorce"), "{text}");
}

#[tokio::test]
async fn a_server_that_hangs_up_in_the_handshake_fails_at_tls() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    // It accepts and says nothing of TLS.
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    let folder = Folder::new("doctor");
    Configuration::new(&format!("wss://localhost:{port}/ws"))
        .source(&certificates::tls(Shows::Nothing))
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .write(&folder);
    let (steps, report, code) = report(&folder, &[]).await;
    assert_eq!(code, 1, "{report}");
    assert_eq!(steps[..3], ["DNS ok", "TCP ok", "TLS failed"], "{report}");
    server.abort();
}

#[tokio::test]
async fn the_certificate_of_the_server_is_shown_with_its_end() {
    let server = Server::new(ServerSettings {
        cert_file: certificates::path("server.pem"),
        key_file: certificates::path("server.key"),
    });
    let server = server.unwrap();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    // It speaks TLS, and no STOMP.
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(server.accept(stream).await);
        }
    });
    let folder = Folder::new("doctor");
    Configuration::new(&format!("stomps://localhost:{port}"))
        .source(&certificates::tls(Shows::Nothing))
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .write(&folder);
    let (steps, report, code) = report(&folder, &[]).await;
    assert_eq!(code, 1, "{report}");
    assert_eq!(
        steps[..4],
        ["DNS ok", "TCP ok", "TLS ok", "CONNECTED failed"],
        "{report}"
    );
    assert_eq!(report["checks"][2]["found"], "certificate until 2120-01-01");
    accepting.abort();
}
