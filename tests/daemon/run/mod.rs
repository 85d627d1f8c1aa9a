//! The real binary against the demo's broker: readiness, metrics, exit codes, the demo itself. No
//! other peer is needed.

mod backup;
mod bounds;
mod canaries;
mod changes;
mod coverage;
mod ends;
mod idle;
mod listener;
mod metrics;
mod notified;
mod operator;
mod page;
mod page_browser;
mod readyz;
mod reload;
mod rotation;
mod systemd;
mod verdict;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use peers::scripted::{Life, Then};
use peers::{Configuration, Daemon, Folder, Scripted, wait};
use stomp_bridge::demo::{Broker, Message, Publisher};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const TOPIC: &str = "/topic/state/1";

struct Served {
    url: String,
    address: SocketAddr,
    publisher: Publisher,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

async fn serve(port: u16) -> Served {
    let broker = Broker::bind((Ipv4Addr::LOCALHOST, port).into())
        .await
        .unwrap();
    let address = broker.url_stomp().socket_addrs(|| None).unwrap()[0];
    let (url, publisher, stop) = (
        broker.url_sockjs().to_string(),
        broker.publisher(),
        CancellationToken::new(),
    );
    let running = tokio::spawn(broker.run(stop.clone()));
    Served {
        url,
        address,
        publisher,
        stop,
        running,
    }
}

impl Served {
    fn publish(&self, device: usize) {
        assert_eq!(self.publish_to(TOPIC, device), 1, "nobody is subscribed");
    }

    /// Gives the number of subscribers.
    fn publish_to(&self, topic: &str, device: usize) -> usize {
        let body = format!(
            r#"{{"clientId":1,"deviceId":{device},"sn":"s","oldState":"正常","newState":"故障"}}"#
        );
        self.publisher.publish(Message::json(topic, body))
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

fn configuration(url: &str) -> Configuration {
    Configuration::new(url)
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .sqlite_of_statuses()
}

async fn metric(daemon: &Daemon, line_start: &str) -> Option<f64> {
    let (status, body) = daemon.get("/metrics").await?;
    assert_eq!(status, 200);
    let line = body.lines().find(|line| line.starts_with(line_start))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn ready_means_that_messages_arrive_and_not_ready_says_why() {
    let served = serve(0).await;
    let (url, port) = (served.url.clone(), served.address.port());
    let mut daemon = Daemon::start(&configuration(&url)).await;
    daemon.ready().await;
    assert_eq!(daemon.get("/healthz").await.unwrap().0, 200);
    for device in 0..10 {
        served.publish(device);
    }
    wait::until("10 delivered", async || {
        (metric(
            &daemon,
            "stomp_bridge_sink_delivered_total{sink=\"history\"}",
        )
        .await?
            == 10.0)
            .then_some(())
    })
    .await;
    assert_eq!(
        metric(&daemon, "stomp_bridge_messages_total").await,
        Some(10.0)
    );
    assert_eq!(
        metric(&daemon, "stomp_bridge_link_state{state=\"receiving\"}").await,
        Some(1.0)
    );
    assert_eq!(
        metric(&daemon, "stomp_bridge_sink_lag_entries{sink=\"history\"}").await,
        Some(0.0)
    );

    served.end().await;
    let (status, reasons) = wait::until("not ready", async || {
        daemon
            .get("/readyz")
            .await
            .filter(|(status, _)| *status != 200)
    })
    .await;
    assert_eq!(status, 503);
    assert!(reasons.contains("source connecting since"), "{reasons}");

    let served = serve(port).await;
    daemon.ready().await;
    served.publish(11);
    wait::until("the message after the outage", async || {
        (metric(&daemon, "stomp_bridge_sink_delivered_total").await? == 11.0).then_some(())
    })
    .await;
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn a_silent_link_is_not_ready_and_what_is_weak_stands_in_status() {
    let quiet = Life {
        bytes: Vec::new(),
        then: Then::Stay,
    };
    let server = Scripted::start(vec![quiet]).await;
    let queue = "destination = \"/queue/a\"\nack = \"auto\"\n";
    let configuration = Configuration::new(&server.url())
        .source("silence = \"10s\"")
        .table("topics.a", queue)
        .sqlite_of_statuses();
    let mut daemon = Daemon::start(&configuration).await;
    let silent = async || {
        let link = daemon.status().await["link"].clone();
        (link["state"] == "silent").then_some(link)
    };
    let link = wait::until("silent", silent).await;
    let warnings: Vec<&str> = link["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    let expected = [
        "topic a: the server would keep",
        "the server sends no heart-beats: a dead link",
    ];
    assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    assert!(
        warnings
            .iter()
            .zip(expected)
            .all(|(line, begins)| line.starts_with(begins)),
        "{warnings:?}"
    );
    assert_eq!(link["broker"], "unknown");
    let (status, reasons) = daemon.get("/readyz").await.unwrap();
    assert!(
        status == 503 && reasons.contains("source silent since"),
        "{reasons}"
    );
    assert_eq!(
        metric(&daemon, "stomp_bridge_silences_total").await,
        Some(1.0)
    );
    assert_eq!(
        metric(&daemon, "stomp_bridge_link_warnings").await,
        Some(2.0)
    );
    // It reconnects again and again, and logs the same only once.
    wait::until("connected again", async || {
        (server.lives() > 2).then_some(())
    })
    .await;
    assert!(daemon.stop().await.success());
    let log = daemon.log();
    assert_eq!(log.matches("configuration warning").count(), 2, "{log}");
    assert_eq!(log.matches("topic silent").count(), 1, "{log}");
}

#[tokio::test]
async fn a_port_in_use_is_named_and_the_exit_code_is_1() {
    let served = serve(0).await;
    let folder = Folder::new("port");
    let text = std::fs::read_to_string(configuration(&served.url).write(&folder)).unwrap();
    let config = folder.write(
        "config.toml",
        &text.replace("127.0.0.1:0", &served.address.to_string()),
    );
    let output = bridge(&["run", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(
        log.contains("http.listen") && log.contains("see by `ss -ltnp`"),
        "{log}"
    );
}

#[test]
fn every_problem_of_a_configuration_is_said_at_once_and_the_exit_code_is_78() {
    let folder = Folder::new("check");
    let config = folder.write(
        "config.toml",
        "[source]\nurl = \"htp://x\"\nheartbeet = \"1s\"\n[topics.a]\nack = \"client\"\n[sinks.s]\ntype = \"mqtt\"\n\
         url = \"mqtt://h\"\ntopic = \"d/{{ divice_id }}\"\nwhen = \"changed and\"\nqos = 2\n",
    );
    for verb in ["check", "run"] {
        let output = bridge(&[verb, "--config", config.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(78), "{verb}");
        let said = String::from_utf8(output.stderr).unwrap();
        for expected in [
            "config.toml:2",
            "htp",
            "config.toml:3",
            "heartbeat",
            "destination",
            "divice_id",
            "qos",
        ] {
            assert!(
                said.contains(expected),
                "{verb}: {expected} is missing in\n{said}"
            );
        }
    }
}

#[test]
fn check_says_the_guarantee_of_each_server_that_may_answer() {
    let check = |headers: &str, expected: &[&str]| {
        let folder = Folder::new("check");
        let config = folder.write(
            "config.toml",
            &format!(
                "[source]\nurl = \"stomp://h\"\n[topics.a]\ndestination = \"/queue/a\"\n\
                 ack = \"client-individual\"\n{headers}\n[sinks.s]\ntype = \"sqlite\"\npath = \"h.db\"\n"
            ),
        );
        let output = bridge(&["check", "--config", config.to_str().unwrap()]);
        let said = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = said.lines().skip(1).collect();
        assert_eq!(lines.len(), expected.len(), "{said}");
        for begins in expected {
            let found = lines.iter().any(|line| line.starts_with(begins));
            assert!(found, "{begins} is missing in\n{said}");
        }
    };
    check(
        "",
        &[
            "guarantee, if the server is spring-simple: a: at most once",
            "guarantee, if the server is rabbitmq: a: nothing is lost unless the queue has a limit",
            "guarantee, if the server is artemis: a: a message is lost if it expires or",
            "guarantee, if the server is activemq: a: nothing is lost unless a message expires",
            "guarantee, if the server is unknown: a: nothing is lost if this server keeps",
        ],
    );
    check(
        "headers = { x-expires = \"60000\" }",
        &[
            "guarantee, if the server is rabbitmq: a: a message is lost if nobody reads the queue for 1m",
        ],
    );
}

#[tokio::test]
async fn a_postgres_server_without_tls_gets_no_password_whatever_the_environment_says() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // 0.0.0.0 leads to this machine, but does not say so: it stands for another one.
    let port = listener.local_addr().unwrap().port();
    let url = format!("postgres://bridge:s3cret-word@0.0.0.0:{port}/devices");
    let served = serve(0).await;
    let weak = [
        ("PGSSLMODE", Path::new("disable")),
        ("PGSSLROOTCERT", Path::new("/nowhere/ca.pem")),
    ];
    let mut daemon = Daemon::start_with(&configuration(&served.url).postgres(&url), &weak).await;
    let (mut client, _) = listener.accept().await.unwrap();
    let mut request = [0; 8];
    client.read_exact(&mut request).await.unwrap();
    // SSLRequest.
    assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47]);
    client.write_all(b"N").await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"");
    let words = ["the server offers no TLS", "set sslmode=disable in `url`"];
    let line = daemon.complains(&words).await;
    assert!(!line.contains("s3cret-word"), "{line}");
    assert!(
        !daemon.log().contains("sends the password"),
        "{}",
        daemon.log()
    );
    assert!(daemon.stop().await.success());

    let open = configuration(&served.url).postgres(&format!("{url}?sslmode=prefer"));
    let mut daemon = Daemon::start(&open).await;
    let words = [
        "sslmode=prefer sends the password",
        "write sslmode=verify-full",
    ];
    let line = daemon.complains(&words).await;
    assert!(!line.contains("s3cret-word"), "{line}");
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[test]
fn what_is_no_configuration_is_named_for_what_it_is() {
    let folder = Folder::new("foreign");
    let check = |bytes: &[u8], expected: &[&str]| {
        let config = folder.join("config.toml");
        std::fs::write(&config, bytes).unwrap();
        let output = bridge(&["check", "--config", config.to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{said}");
        let all = expected.iter().all(|expected| said.contains(expected));
        assert!(all && said.ends_with("1 problem\n"), "{expected:?}\n{said}");
    };
    let topic = "[topics.map-1]\ndestination = \"/topic/state/1\"\n";
    let with = |line: &str| format!("[source]\n{line}\n{topic}").into_bytes();
    check(
        b"source:\n  url: http://127.0.0.1:9004/ws\ntopics:\n  map-1:\n    destination: /topic/a\n",
        &["this is YAML", "a configuration is TOML"],
    );
    check(
        &[
            &with("url = \"stomp://h\"")[..],
            b"[states]\n\"\xd5\xfd\xb3\xa3\" = { name = \"n\" }\n",
        ]
        .concat(),
        &[
            "config.toml:6:2",
            "line 6 is not UTF-8, and looks like GBK",
            "iconv -f GBK",
        ],
    );
    check(
        &with("url = \u{201c}stomp://h\u{201d}"),
        &[
            "config.toml:2:7",
            "is a curly quote",
            "write \" in its place",
        ],
    );
    check(
        &with("url = stomp://h"),
        &["config.toml:2:7", "stands without quotes"],
    );
    check(
        &with("url = \"stomp://h\"\n[states]\n正常 = { name = \"normal\", severity = \"ok\" }"),
        &["config.toml:4:1", "write \"正常\" = …"],
    );
    let output = bridge(&["check", "--config", folder.path().to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("it is a folder") && said.contains("/config.toml"),
        "{said}"
    );
}

#[test]
fn a_missing_configuration_is_named() {
    let output = bridge(&["check", "--config", "nowhere.toml"]);
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("nowhere.toml"), "{said}");
}

#[test]
fn the_demo_runs_by_itself_into_a_folder_with_a_history() {
    let folder = Folder::new("demo");
    let output = bridge(&[
        "demo",
        "--messages",
        "20",
        "--dir",
        folder.path().to_str().unwrap(),
    ]);
    let (said, log) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{said}\n{log}");
    assert_eq!(
        said.lines()
            .filter(|line| line.contains(" device "))
            .count(),
        20,
        "{said}\n{log}"
    );
    assert!(
        said.contains("sqlite3 ") && said.contains("device_current"),
        "{said}"
    );
    assert_eq!(log, "", "a demo that goes well logs nothing");
    let query = "select count(*) >= 20 from status_event";
    let history = folder.path().join("history.db");
    let counted = Command::new("sqlite3")
        .arg(history)
        .arg(query)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(counted.stdout).unwrap(), "1\n");
}

fn bridge(args: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_stomp-bridge");
    let mut command = peers::process::tethered(binary);
    command.args(args).env_remove("RUST_LOG");
    command.output().unwrap()
}

#[test]
fn reader_that_has_had_enough_ends_a_verb_quietly() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut check = Command::new(env!("CARGO_BIN_EXE_stomp-bridge"));
    let checked = check
        .args(["check", "--config", "config.toml"])
        .stdout(writer)
        .output()
        .unwrap();
    assert!(
        checked.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    assert!(checked.status.success());
}
