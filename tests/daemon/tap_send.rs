//! `tap` and `send` in the real binary, against the demo's broker and a scripted server.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use peers::process::{Process, tethered};
use peers::scripted::{Life, Scripted, Then};
use peers::{Configuration, Folder, wait};
use rustix::process::Signal;
use stomp_bridge::demo::{Broker, Message, Publisher};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_util::sync::CancellationToken;

const TOPIC: &str = "/topic/state/1";
const PATIENCE: Duration = Duration::from_secs(60);

struct Lab {
    publisher: Publisher,
    folder: Folder,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Lab {
    /// A broker, and a configuration with one topic of it.
    async fn new() -> Lab {
        Lab::of(TOPIC).await
    }

    async fn of(destination: &str) -> Lab {
        let broker = Broker::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let (url, publisher, stop) = (
            broker.url_sockjs().to_string(),
            broker.publisher(),
            CancellationToken::new(),
        );
        let running = tokio::spawn(broker.run(stop.clone()));
        let folder = configured(&url, destination);
        Lab {
            publisher,
            folder,
            stop,
            running,
        }
    }

    /// Starts `tap`, and waits until it is subscribed.
    async fn tap(&self, args: &[&str]) -> Process {
        let process = start(&self.folder, &[&["tap"], args].concat());
        wait::until("tap subscribes", async || {
            (self.publisher.subscriptions(TOPIC) > 0).then_some(())
        })
        .await;
        process
    }

    fn publish(&self, old: &str, new: &str) {
        let body = format!(
            r#"{{"clientId":1,"deviceId":7,"sn":"522398","oldState":"{old}","newState":"{new}"}}"#
        );
        self.publish_body(&body);
    }

    fn publish_body(&self, body: &str) {
        assert_eq!(
            self.publisher
                .publish(Message::json(TOPIC, body.to_owned())),
            1,
            "nobody is subscribed"
        );
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

fn configured(url: &str, destination: &str) -> Folder {
    let folder = Folder::new("tap");
    let table = format!(
        "destination = \"{destination}\"\nack = \"client-individual\"\nheaders = {{ durable = \"true\" }}\n"
    );
    Configuration::new(url)
        .table("topics.map-1", &table)
        .sqlite()
        .write(&folder);
    folder
}

fn command(folder: &Folder, args: &[&str]) -> Command {
    let mut command = tethered(env!("CARGO_BIN_EXE_stomp-bridge"));
    command
        .args(args)
        .args(["--config", folder.join("config.toml").to_str().unwrap()])
        .env_remove("RUST_LOG");
    command
}

fn start(folder: &Folder, args: &[&str]) -> Process {
    Process::start(args[0], command(folder, args), &folder.join("output"))
}

/// Frames without the time before each.
fn without_times(text: &str) -> String {
    let line = |line: &str| {
        let at = line.find(">>> ").or_else(|| line.find("<<< "));
        // Such as `12:03:04.567 `.
        let at = at.filter(|at| *at == 13 && line[..*at].ends_with(' '));
        line[at.unwrap_or(0)..].to_owned()
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Runs it to its end: what it printed, and its exit code.
async fn output(mut process: Process) -> (String, i32) {
    let status = process.ended(PATIENCE).await;
    (process.log(), status.code().unwrap())
}

#[tokio::test]
async fn tap_prints_a_line_for_each_status_and_touches_nothing_of_the_daemons() {
    let lab = Lab::new().await;
    let tap = lab.tap(&["--count", "4"]).await;
    lab.publish("正常", "故障");
    lab.publish("故障", "故障");
    lab.publish_body("not json");
    lab.publish("故障", "着火");
    let (text, code) = output(tap).await;
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.split_once(' ').unwrap().1)
        .collect();
    assert_eq!(code, 0, "{text}");
    assert_eq!(lines[0], "map-1 device 1/7 5223…  normal -> fault");
    assert_eq!(lines[1], "map-1 device 1/7 5223…  fault  = fault");
    assert!(
        lines[2].starts_with("map-1 cannot be decoded: ") && lines[2].ends_with(": not json"),
        "{text}"
    );
    assert_eq!(lines[3], "map-1 device 1/7 5223…  fault -> 着火");
    assert_eq!(lines.len(), 4);
    assert!(!lab.folder.join("journal.db").exists() && !lab.folder.join("history.db").exists());
    lab.end().await;
}

#[tokio::test]
async fn tap_prints_json_for_programs() {
    let lab = Lab::new().await;
    let tap = lab
        .tap(&["--json", "--count", "2", "--topic", "map-1"])
        .await;
    lab.publish("正常", "故障");
    lab.publish_body("7");
    let (text, code) = output(tap).await;
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((code, lines.len()), (0, 2), "{text}");
    assert_eq!(
        (&lines[0]["state"], &lines[0]["device_id"]),
        (&"fault".into(), &"7".into()),
        "{text}"
    );
    assert_eq!(
        lines[0].get("event_id"),
        None,
        "there is no journal that it could name an entry of"
    );
    assert_eq!(
        (&lines[1]["topic"], &lines[1]["body"]),
        (&"map-1".into(), &"7".into())
    );
    lab.end().await;
}

#[tokio::test]
async fn tap_frames_shows_the_conversation_without_the_passcode() {
    let lab = Lab::new().await;
    let tap = lab.tap(&["--frames", "--count", "1"]).await;
    lab.publish("正常", "故障");
    let (text, code) = output(tap).await;
    assert_eq!(code, 0, "{text}");
    let text = without_times(&text);
    let mut rest = text.as_str();
    for expected in [
        ">>> CONNECT\naccept-version:1.2,1.1,1.0\n",
        "\npasscode:…",
        "\n\n<<< CONNECTED\nversion:1.2\n",
        "\n\n>>> SUBSCRIBE\nid:tap-map-1\ndestination:/topic/state/1\nack:auto\n",
        "<<< MESSAGE\n",
        "destination:/topic/state/1\nsubscription:tap-map-1\n",
        "\n\n{\"clientId\":1,\"deviceId\":7,",
        "\n\n>>> DISCONNECT\nreceipt:",
        "\n\n<<< RECEIPT\nreceipt-id:",
    ] {
        let at = rest
            .find(expected)
            .unwrap_or_else(|| panic!("{expected:?} does not follow in\n{text}"));
        rest = &rest[at + expected.len()..];
    }
    assert!(
        !text.contains(peers::PASSWORD) && !text.contains("durable"),
        "{text}"
    );
    lab.end().await;
}

#[tokio::test]
async fn ctrl_c_ends_tap_with_a_disconnect() {
    for signal in [Signal::INT, Signal::TERM] {
        let lab = Lab::new().await;
        // Not tethered's child but the program itself has the pid.
        let mut tap = lab.tap(&["--frames"]).await;
        tap.logged("SUBSCRIBE", |line| line.ends_with(" >>> SUBSCRIBE"))
            .await;
        tap.signal(signal);
        let (text, code) = output(tap).await;
        assert_eq!(code, 0, "{text}");
        assert!(
            text.contains(">>> DISCONNECT") && text.contains("<<< RECEIPT"),
            "{text}"
        );
        wait::until("it is gone", async || {
            (lab.publisher.subscriptions(TOPIC) == 0).then_some(())
        })
        .await;
        lab.end().await;
    }
}

#[tokio::test]
async fn tap_stops_quietly_when_nobody_reads_it_any_more() {
    let lab = Lab::new().await;
    let mut shell = tethered("sh");
    let binary = env!("CARGO_BIN_EXE_stomp-bridge");
    let config = lab.folder.join("config.toml");
    let pipeline = format!("{binary} tap --config {} | head -n 1", config.display());
    shell.args(["-c", &pipeline]).env_remove("RUST_LOG");
    let mut process = Process::start("sh", shell, &lab.folder.join("output"));
    wait::until("tap subscribes", async || {
        (lab.publisher.subscriptions(TOPIC) > 0).then_some(())
    })
    .await;
    // The second line finds no reader; the pipe may take some before that is noticed.
    wait::until("tap ends", async || {
        let body = r#"{"clientId":1,"deviceId":7,"oldState":"正常","newState":"故障"}"#;
        (lab.publisher.publish(Message::json(TOPIC, body)) == 0).then_some(())
    })
    .await;
    process.ended(PATIENCE).await;
    assert_eq!(process.log().lines().count(), 1, "{}", process.log());
    lab.end().await;
}

#[tokio::test]
async fn tap_refuses_a_queue_unless_forced() {
    let lab = Lab::of("/queue/devices").await;
    let folder = &lab.folder;
    let (text, code) = output(start(folder, &["tap"])).await;
    assert_eq!(code, 1, "{text}");
    for expected in ["map-1", "/queue/devices", "--force"] {
        assert!(text.contains(expected), "{text}");
    }
    let (text, code) = output(start(folder, &["tap", "--topic", "absent"])).await;
    assert!(code == 1 && text.contains("it has map-1"), "{text}");
    // The demo's broker knows no queues; a topic that says it is one is enough.
    let config = std::fs::read_to_string(folder.join("config.toml")).unwrap();
    let config = config
        .replace("/queue/devices", TOPIC)
        .replace("durable = \"true\"", "subscription-type = \"ANYCAST\"");
    folder.write("config.toml", &config);
    assert_eq!(output(start(folder, &["tap"])).await.1, 1);
    let tap = lab.tap(&["--force", "--count", "1"]).await;
    lab.publish("正常", "故障");
    assert_eq!(output(tap).await.1, 0);
    lab.end().await;
}

#[tokio::test]
async fn send_arrives_with_its_headers_and_is_confirmed() {
    let lab = Lab::new().await;
    let tap = lab.tap(&["--frames", "--count", "1"]).await;
    let args = [
        "send",
        TOPIC,
        "héllo",
        "--header",
        "x-kind:a:b",
        "--header",
        "content-type:text/plain",
        "--receipt",
    ];
    let (said, code) = output(start(&configured_like(&lab), &args)).await;
    assert_eq!(
        (said.as_str(), code),
        ("sent to /topic/state/1, confirmed\n", 0)
    );
    let (text, _) = output(tap).await;
    let message = text.split("<<< MESSAGE\n").nth(1).unwrap();
    for expected in ["x-kind:a:b\n", "content-type:text/plain\n", "\n\nhéllo\n"] {
        assert!(
            message.contains(expected),
            "{expected} is missing in\n{text}"
        );
    }
    lab.end().await;
}

/// The same configuration in another folder, for a second process.
fn configured_like(lab: &Lab) -> Folder {
    let folder = Folder::new("send");
    folder.write(
        "config.toml",
        &std::fs::read_to_string(lab.folder.join("config.toml")).unwrap(),
    );
    folder.write("passcode", peers::PASSWORD);
    folder
}

#[tokio::test]
async fn send_says_what_is_wrong_and_fails() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let folder = configured(&format!("stomp://{closed}"), TOPIC);
    let (text, code) = output(start(&folder, &["send", TOPIC, "x"])).await;
    assert_eq!(code, 1);
    assert!(
        text.starts_with("stomp-bridge: connect to the source: connect to 127.0.0.1:"),
        "{text}"
    );
    assert!(text.contains("connection refused"), "{text}");
    let (text, code) = output(start(
        &folder,
        &["send", TOPIC, "x", "--header", "receipt:1"],
    ))
    .await;
    assert!(code == 2 && text.contains("cannot be set here"), "{text}");
    let nowhere = Folder::new("nowhere");
    let (text, code) = output(start(&nowhere, &["send", TOPIC, "x"])).await;
    assert!(code == 78 && text.contains("config.toml"), "{text}");
}

/// What `send` without `--receipt` says of a server that does this after SEND, and its exit code.
async fn sent_to(life: Life) -> (String, i32) {
    let server = Scripted::start(vec![life]).await;
    let folder = configured(&server.url(), TOPIC);
    output(start(&folder, &["send", TOPIC, "x"])).await
}

#[tokio::test]
async fn send_without_a_receipt_fails_where_the_server_refuses_or_does_not_end_in_order() {
    let lab = Lab::new().await;
    let said = output(start(&configured_like(&lab), &["send", TOPIC, "x"])).await;
    assert_eq!(said, ("sent to /topic/state/1\n".to_owned(), 0));
    lab.end().await;
    for (bytes, then, expected) in [
        (
            "ERROR\nmessage:no access to /topic/state/1\n\n\0",
            Then::Stay,
            "the server did not accept the message: ",
        ),
        (
            "ERROR\nmessage:no access to /topic/state/1\n\n\0",
            Then::Close,
            "no access to /topic/state/1",
        ),
        ("", Then::Close, "the server did not accept the message: "),
        ("", Then::Stay, "the server does not answer DISCONNECT"),
    ] {
        let life = Life {
            bytes: bytes.as_bytes().to_vec(),
            then,
        };
        let (text, code) = sent_to(life).await;
        assert_eq!(code, 1, "{bytes}: {text}");
        assert!(
            text.contains(expected) && !text.contains("sent to"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn send_gives_up_where_the_server_reads_nothing_and_is_alive() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        while reader.read_u8().await.unwrap() != 0 {}
        let connected = b"CONNECTED\nversion:1.2\nheart-beat:5000,0\n\n\0";
        writer.write_all(connected).await.unwrap();
        let mut beats = tokio::time::interval(Duration::from_millis(200));
        loop {
            beats.tick().await;
            // Until the client has gone.
            if writer.write_all(b"\n").await.is_err() {
                return;
            }
        }
    });
    let folder = configured(&format!("stomp://{address}"), TOPIC);
    // More than the buffers of both sides hold.
    folder.write("body", &"x".repeat(32 * 1024 * 1024));
    let mut send = tethered("sh");
    send.args(["-c", "exec \"$@\" <\"$0\""])
        .arg(folder.join("body"))
        .args([env!("CARGO_BIN_EXE_stomp-bridge"), "send", TOPIC, "-"])
        .arg("--config")
        .arg(folder.join("config.toml"));
    let send = Process::start("send", send, &folder.join("output"));
    let (text, code) = output(send).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("whether it has arrived is not known"),
        "{text}"
    );
    server.abort();
}

/// A server that closes with this code: after SEND, or after the DISCONNECT that follows.
async fn closing(code: u16, after: &'static str) -> String {
    saying("", code, after).await
}

/// The same, and it says this before it closes.
async fn saying(says: &'static str, code: u16, after: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            let frame = message.into_text().unwrap();
            if frame.starts_with("CONNECT") {
                let connected = "CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0";
                socket.send(connected.into()).await.unwrap();
            }
            if frame.starts_with(after) {
                if !says.is_empty() {
                    socket.send(says.into()).await.unwrap();
                }
                let code = code.into();
                let reason = "".into();
                socket
                    .close(Some(CloseFrame { code, reason }))
                    .await
                    .unwrap();
                while socket.next().await.is_some() {}
                return;
            }
        }
    });
    format!("ws://{address}/ws")
}

#[tokio::test]
async fn send_believes_a_close_only_where_it_is_in_order() {
    for (code, after, expected) in [
        (1000, "DISCONNECT", 0),
        (1001, "DISCONNECT", 0),
        (1009, "DISCONNECT", 1),
        (1002, "DISCONNECT", 1),
        (1009, "SEND", 1),
        (1000, "SEND", 1),
    ] {
        let folder = configured(&closing(code, after).await, TOPIC);
        let (text, exit) = output(start(&folder, &["send", TOPIC, "x"])).await;
        assert_eq!(exit, expected, "{code} after {after}: {text}");
        let told = format!("with code {code}");
        assert_eq!(text.contains(&told), expected == 1, "{text}");
    }
}

#[tokio::test]
async fn what_a_close_cuts_is_still_told() {
    let error = "ERROR\nmessage:no access to /topic/state/1\n\nask somebo";
    let folder = configured(&saying(error, 1002, "SEND").await, TOPIC);
    let (text, exit) = output(start(&folder, &["send", TOPIC, "x"])).await;
    assert_eq!(exit, 1);
    assert!(text.contains("no access to /topic/state/1"), "{text}");

    // Its length counts too much.
    let odd =
        "MESSAGE\nsubscription:1\ndestination:/topic/state/1\ncontent-length:900\n\n{\"odd\":1}\0";
    let folder = configured(&saying(odd, 1000, "SUBSCRIBE").await, TOPIC);
    let (text, exit) = output(start(&folder, &["tap"])).await;
    assert!(exit != 0 && text.contains("odd"), "{text}");
}
