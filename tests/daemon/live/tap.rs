//! `tap` and `send` against RabbitMQ, over each transport: the daemon does not run.

use std::process::Command;
use std::time::Duration;

use super::lab::lab;
use peers::process::{Process, tethered};
use peers::{Configuration, Folder, PASSWORD};

const PATIENCE: Duration = Duration::from_secs(60);

fn command(folder: &Folder, args: &[&str]) -> Command {
    let mut command = tethered(env!("CARGO_BIN_EXE_stomp-bridge"));
    command.args(args).args([
        "--config",
        folder.join("config.toml").to_str().expect("a path of text"),
    ]);
    command.env_remove("RUST_LOG");
    command
}

fn configured(name: &str, url: &str, destination: &str, password: &str) -> Folder {
    let folder = Folder::new(name);
    let topic = format!(
        "destination = \"{destination}\"\nheaders = {{ durable = \"true\", \"auto-delete\" = \"false\" }}\n"
    );
    Configuration::new(url)
        .password(password)
        .table("topics.map-1", &topic)
        .write(&folder);
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_tapped_over_each_transport() {
    let lab = lab().await;
    let urls = [
        lab.rabbitmq.stomp_url(),
        lab.rabbitmq.web_stomp_url(),
        lab.sockjs.url(),
    ];
    for (number, url) in urls.iter().enumerate() {
        let destination = format!("/topic/tap.{number}");
        let folder = configured("tap", url, &destination, PASSWORD);
        let mut tap = Process::start(
            "tap",
            command(&folder, &["tap", "--frames", "--count", "1"]),
            &folder.join("tap"),
        );
        tap.logged("a receipt", |line| line.starts_with("receipt-id:"))
            .await;
        let body = r#"{"clientId":1,"deviceId":7,"oldState":"正常","newState":"故障"}"#;
        let send = [
            "send",
            &destination,
            body,
            "--header",
            "x-kind:a:b",
            "--receipt",
        ];
        let mut send = Process::start("send", command(&folder, &send), &folder.join("send"));
        assert!(
            send.ended(PATIENCE).await.success(),
            "{url}\n{}",
            send.log()
        );
        assert_eq!(
            send.log(),
            format!("sent to {destination}, confirmed\n"),
            "{url}"
        );
        assert!(tap.ended(PATIENCE).await.success(), "{url}\n{}", tap.log());
        let text = tap.log();
        for expected in [
            "<<< CONNECTED\n",
            "server:RabbitMQ/",
            "passcode:…\n",
            "x-kind:a:b\n",
            body,
            ">>> DISCONNECT\n",
        ] {
            assert!(
                text.contains(expected),
                "{url}: {expected} is missing in\n{text}"
            );
        }
        assert!(
            !text.contains(PASSWORD) && !text.contains("durable"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_is_said_in_one_line() {
    let folder = configured(
        "refused",
        &lab().await.rabbitmq.stomp_url(),
        "/topic/a",
        "wrong",
    );
    let mut send = Process::start(
        "send",
        command(&folder, &["send", "/topic/a", "x"]),
        &folder.join("send"),
    );
    assert_eq!(send.ended(PATIENCE).await.code(), Some(1));
    let said = send.log();
    assert!(
        said.contains("connect to the source: the server refused CONNECT")
            && said.contains("check login"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}
