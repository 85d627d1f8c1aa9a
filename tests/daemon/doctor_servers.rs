//! `doctor` and `sinks test` between real servers: each layer's mark where it works and where it does
//! not, the advice that fits, and what a test event leaves behind.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use peers::process::{Process, run, tethered};
use peers::scripted::{Life, Scripted, Then};
use peers::{
    Configuration, Folder, Mosquitto, Postgres, RabbitMq, Receiver, Stomp, Subscriber, platform,
    port, wait,
};
use serde_json::Value;
use stomp_bridge::tls::{Server, ServerSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::OnceCell;

const PATIENCE: Duration = Duration::from_secs(60);
const TOPIC: &str = "/topic/doctor";

/// They end with the test process.
struct Lab {
    rabbitmq: RabbitMq,
    mosquitto: Mosquitto,
    postgres: Postgres,
}

static LAB: OnceCell<Lab> = OnceCell::const_new();

async fn lab() -> &'static Lab {
    LAB.get_or_init(async || {
        let mosquitto = Mosquitto::start_forgetful_on(port::free());
        let (rabbitmq, mosquitto, postgres) =
            tokio::join!(RabbitMq::start(), mosquitto, Postgres::start());
        Lab {
            rabbitmq,
            mosquitto,
            postgres,
        }
    })
    .await
}

fn command(folder: &Folder, args: &[&str]) -> Command {
    let mut command = tethered(env!("CARGO_BIN_EXE_stomp-bridge"));
    command
        .args(args)
        .arg("--config")
        .arg(folder.join("config.toml"))
        .env_remove("RUST_LOG")
        .env("LC_ALL", "C.UTF-8");
    command
}

/// What it printed, and its exit code.
async fn output(folder: &Folder, args: &[&str]) -> (String, i32) {
    let mut process = Process::start(args[0], command(folder, args), &folder.join("output"));
    let status = process.ended(PATIENCE).await;
    (process.log(), status.code().unwrap())
}

async fn json(folder: &Folder, args: &[&str]) -> (Value, i32) {
    let (text, code) = output(folder, &[args, &["--json"]].concat()).await;
    let value = serde_json::from_str(&text);
    (
        value.unwrap_or_else(|error| panic!("{error}: {text}")),
        code,
    )
}

/// The one check of this step, as `outcome: what was found -> advice`.
fn found(report: &Value, step: &str) -> String {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["step"] == step);
    let check = check.unwrap_or_else(|| panic!("{step} is missing: {report:#}"));
    let advice = check["advice"].as_array().into_iter().flatten();
    let advice: String = advice
        .map(|advice| format!(" -> {}", advice.as_str().unwrap()))
        .collect();
    let text = |key: &str| check[key].as_str().unwrap_or_default();
    format!("{}: {}{advice}", text("outcome"), text("found"))
}

fn assert_found(report: &Value, step: &str, outcome: &str, words: &[&str]) {
    let found = found(report, step);
    assert!(found.starts_with(&format!("{outcome}: ")), "{step} {found}");
    for word in words {
        assert!(found.contains(word), "{word} is missing in {step} {found}");
    }
}

const TOPICS: &str = "destination = \"/topic/doctor\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn each_layer_and_each_sink_has_its_mark_and_a_test_event_leaves_nothing() {
    let (lab, receiver) = (lab().await, Receiver::start().await);
    let folder = Folder::new("doctor");
    let quorum = "destination = \"/queue/limited-doctor\"\nack = \"client-individual\"\n\
                  headers = { \"x-queue-type\" = \"quorum\" }\n";
    Configuration::new(&lab.rabbitmq.stomp_url())
        .table("topics.map-1", TOPICS)
        .table("topics.limited", quorum)
        .sqlite()
        .postgres(&lab.postgres.create("doctor").await)
        .mqtt(&lab.mosquitto.url(), "doctor")
        .webhook(&receiver.url())
        .write(&folder);
    let sinks = ["history", "warehouse", "site", "oncall"];
    let tests = sinks.map(|sink| ["--send-test", sink]).concat();
    let args = [&["doctor"][..], &tests].concat();
    let subscriber = Subscriber::start(lab.mosquitto.port(), "doctor-1", "doctor/#").await;
    let mut doctor = Process::start("doctor", command(&folder, &args), &folder.join("output"));
    let mut publisher = Stomp::connect(lab.rabbitmq.stomp_port()).await;
    let text = wait::until("doctor ends", async || {
        // Nobody says when it is subscribed.
        let message = platform::message("doctor", 1, 1);
        publisher.publish(TOPIC, [message]).await;
        (!doctor.runs()).then(|| doctor.log())
    })
    .await;
    assert_eq!(doctor.ended(PATIENCE).await.code(), Some(0), "{text}");
    let mut rest = text.as_str();
    for mark in [
        "  ✓ DNS ",
        "  ✓ TCP ",
        "  ✓ CONNECTED ",
        // RabbitMQ 4 has a limit by default, and the queue's own cannot be seen.
        "delivery-limit",
        "  - SUBSCRIBE ",
        "is a queue",
        "  ✓ SUBSCRIBE ",
        "  ✓ first message ",
        "  ✓ history ",
        "there is no file yet",
        "  ✓ oncall ",
        "HTTP 204",
        "  ✓ site ",
        "publish doctor/test/stomp-bridge-test/status (QoS 1)",
        "PUBACK",
        "  ✓ warehouse ",
        "tables made, 1 row stored, then rolled back",
    ] {
        let at = rest.find(mark);
        let at = at.unwrap_or_else(|| panic!("{mark} is missing: {text}"));
        rest = &rest[at..];
    }
    assert!(text.contains("RabbitMQ/"), "{text}");

    // What was sent is one marked event, which nobody keeps.
    let [body] = &receiver.bodies()[..] else {
        panic!("{:?}", receiver.bodies())
    };
    let body: Value = serde_json::from_slice(body).unwrap();
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.contains("test event of stomp-bridge"), "{body}");
    let publishes = wait::until("the publish", async || {
        let publishes = subscriber.publishes();
        (!publishes.is_empty()).then_some(publishes)
    })
    .await;
    assert_eq!(publishes.len(), 1, "{publishes:?}");
    let later = Subscriber::start(lab.mosquitto.port(), "doctor-2", "doctor/#").await;
    let (tested, code) = json(&folder, &["sinks", "test", "site"]).await;
    assert_eq!((code, &tested["ok"]), (0, &true.into()), "{tested}");
    let publishes = wait::until("the second publish", async || {
        let publishes = later.publishes();
        (!publishes.is_empty()).then_some(publishes)
    })
    .await;
    let payloads: Vec<Value> = publishes
        .iter()
        .map(|publish| serde_json::from_slice(&publish.payload).unwrap())
        .collect();
    assert_eq!(payloads.len(), 1, "the broker retains none: {payloads:?}");
    assert_eq!(payloads[0]["event_id"], tested["event"]["event_id"]);
    let mut database = lab.postgres.connect("doctor").await;
    let tables: i64 =
        sqlx::query_scalar("select count(*) from pg_class where relname like 'bridge%'")
            .fetch_one(&mut database)
            .await
            .unwrap();
    assert_eq!(tables, 0);
    for file in ["journal.db", "history.db"] {
        assert!(!folder.join(file).exists(), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_cross_its_reason_and_what_to_do() {
    let (lab, receiver) = (lab().await, Receiver::start().await);
    receiver.answer(422);
    let closed = port::free();
    let folder = Folder::new("doctor");
    let mqtt = format!(
        "type = \"mqtt\"\nurl = \"{}\"\nusername = \"lab\"\npassword = \"wrong\"\n",
        lab.mosquitto.url()
    );
    let postgres = lab.postgres.url("postgres");
    let postgres = postgres.replace(peers::PASSWORD, "wrong");
    Configuration::new(&lab.rabbitmq.stomp_url())
        .password("wrong")
        .table("topics.map-1", TOPICS)
        .postgres(&postgres)
        .table(
            "sinks.lost",
            &format!(
                "type = \"postgres\"\nurl = \"{}\"\n",
                lab.postgres.url("nowhere")
            ),
        )
        .table("sinks.site", &mqtt)
        .table(
            "sinks.away",
            &format!("type = \"webhook\"\nurl = \"http://127.0.0.1:{closed}/\"\n"),
        )
        .webhook(&receiver.url())
        .write(&folder);
    let args = ["doctor", "--send-test", "oncall", "--send-test", "site"];
    let (report, code) = json(&folder, &args).await;
    assert_eq!((code, &report["ok"]), (1, &false.into()), "{report}");
    assert_found(&report, "TCP", "ok", &[]);
    assert_found(&report, "CONNECTED", "failed", &["check login"]);
    assert_found(&report, "warehouse", "failed", &["check user and password"]);
    assert_found(&report, "lost", "failed", &["create the database"]);
    assert_found(&report, "site", "failed", &["check user name, password"]);
    assert_found(&report, "away", "failed", &["127.0.0.1", "refused"]);
    assert_found(&report, "oncall", "failed", &["POST", "answered 422"]);
    let text = report.to_string();
    assert!(!text.contains("wrong"), "no secret: {text}");

    for (sink, words) in [
        ("warehouse", "check user and password"),
        ("lost", "create the database"),
        ("site", "check user name, password"),
        ("away", "refused"),
        ("oncall", "answered 422"),
    ] {
        let (text, code) = output(&folder, &["sinks", "test", sink]).await;
        assert_eq!(code, 1, "{text}");
        let failed = text.lines().find(|line| line.starts_with("failed   "));
        let failed = failed.unwrap_or_else(|| panic!("{sink}: {text}"));
        assert!(failed.contains(words), "{sink}: {failed}");
    }
    let (text, code) = output(&folder, &["sinks", "test", "oncal"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("there is no sink oncal: the configuration has"),
        "{text}"
    );
}

/// RabbitMQ ends the session, and does not say over which of the topics.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_the_server_refuses_has_its_cross_and_what_to_do() {
    let lab = lab().await;
    let folder = Folder::new("doctor");
    Configuration::new(&lab.rabbitmq.stomp_url())
        .table("topics.gone", "destination = \"/exchange/nope/doctor\"\n")
        .table("topics.map-1", TOPICS)
        .write(&folder);
    let (report, code) = json(&folder, &["doctor"]).await;
    assert_eq!((code, &report["ok"]), (1, &false.into()), "{report}");
    assert_found(&report, "CONNECTED", "ok", &["RabbitMQ/"]);
    let several = [
        "gone, map-1: the server ended the session",
        "no exchange 'nope'",
        "--topic NAME tries one alone",
    ];
    assert_found(&report, "SUBSCRIBE", "failed", &several);

    let (report, code) = json(&folder, &["doctor", "--topic", "gone"]).await;
    assert_eq!(code, 1, "{report}");
    let one = [
        "gone: subscribe to /exchange/nope/doctor refused",
        "no exchange 'nope'",
        "check that it exists and that this login may read it",
    ];
    assert_found(&report, "SUBSCRIBE", "failed", &one);
    let (text, _) = output(&folder, &["doctor", "--topic", "gone"]).await;
    assert!(text.contains("  ✗ SUBSCRIBE "), "{text}");
    assert!(!text.contains("tries one alone"), "{text}");

    let (report, code) = json(&folder, &["doctor", "--topic", "map-1", "--wait", "1"]).await;
    assert_eq!(code, 0, "{report}");
    assert_found(&report, "SUBSCRIBE", "ok", &["map-1: /topic/doctor"]);
}

#[tokio::test]
async fn a_server_without_heart_beats_is_advised_to_offer_them() {
    let life = Life {
        bytes: Vec::new(),
        then: Then::Stay,
    };
    let server = Scripted::start(vec![life]).await;
    let folder = Folder::new("doctor");
    Configuration::new(&server.url())
        .table("topics.map-1", TOPICS)
        .write(&folder);
    let (report, code) = json(&folder, &["doctor", "--wait", "1"]).await;
    assert_eq!(code, 0, "{report}");
    let words = [
        "its off",
        "the server sends no heart-beats",
        "switch them on",
    ];
    assert_found(&report, "CONNECTED", "warning", &words);
}

#[tokio::test]
async fn a_clock_that_is_another_than_the_servers_is_said() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.unwrap();
    let port = listener.local_addr().unwrap().port();
    // It answers /info as SockJS does, in the year 2001, and nothing else.
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let read = stream.read(&mut head).await.unwrap_or_default();
            let body = r#"{"websocket":true,"cookie_needed":false,"origins":["*:*"],"entropy":1}"#;
            let (status, body) = match String::from_utf8_lossy(&head[..read]).contains("/info") {
                true => ("200 OK", body),
                false => ("404 Not Found", ""),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let folder = Folder::new("doctor");
    Configuration::new(&format!("http://127.0.0.1:{port}/ws"))
        .table("topics.map-1", TOPICS)
        .write(&folder);
    let (report, code) = json(&folder, &["doctor", "--wait", "0"]).await;
    assert_eq!(code, 1, "{report}");
    assert_found(
        &report,
        "clock",
        "warning",
        &["before the server's", "set it (timedatectl"],
    );
    server.abort();
}

#[tokio::test]
async fn a_certificate_that_soon_ends_is_called_for() {
    let folder = Folder::new("doctor");
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "5", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.arg("-keyout").arg(&key).arg("-out").arg(&cert);
    run(openssl);
    let server = Server::new(ServerSettings {
        cert_file: cert.clone(),
        key_file: key,
    });
    let server = server.unwrap();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(server.accept(stream).await);
        }
    });
    Configuration::new(&format!("stomps://localhost:{port}"))
        .source(&ca_file(&cert))
        .table("topics.map-1", TOPICS)
        .write(&folder);
    let (report, code) = json(&folder, &["doctor"]).await;
    assert_eq!(code, 1, "it speaks no STOMP: {report}");
    assert_found(
        &report,
        "TLS",
        "warning",
        &["certificate ends in 4 days", "renewed"],
    );
    accepting.abort();
}

fn ca_file(cert: &Path) -> String {
    format!("tls = {{ ca_file = \"{}\" }}", cert.display())
}
