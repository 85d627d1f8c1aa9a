//! `send` to Spring, which throws away what is too large for it and confirms nothing; and a SockJS
//! endpoint that somebody takes for a plain WebSocket.

use std::process::Command;

use super::spring::shared;
use peers::process::{Process, tethered};
use peers::spring::Endpoint;
use peers::{Configuration, Daemon, Folder, wait};

fn command(folder: &Folder, args: &[&str]) -> Command {
    let mut command = tethered(env!("CARGO_BIN_EXE_stomp-bridge"));
    let config = folder.join("config.toml");
    command
        .args(args)
        .arg("--config")
        .arg(config)
        .env_remove("RUST_LOG");
    command
}

/// What `send` of a body says, and its exit code.
async fn sent(url: &str, body: &str) -> (String, Option<i32>) {
    let folder = Folder::new("spring_send");
    Configuration::new(url)
        .table("topics.map-1", "destination = \"/topic/state/1\"\n")
        .sqlite()
        .write(&folder);
    let command = command(&folder, &["send", "/topic/state/1", body]);
    let mut process = Process::start("send", command, &folder.join("output"));
    let status = process.ended(wait::LONG).await;
    (process.log(), status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_spring_does_not_take_is_not_said_to_be_sent() {
    let Some(spring) = shared().await else { return };
    for endpoint in [Endpoint::SockJs, Endpoint::Raw] {
        let url = spring.url(endpoint);
        let (text, code) = sent(&url, "{\"deviceId\":1}").await;
        assert_eq!((text.as_str(), code), ("sent to /topic/state/1\n", Some(0)));
        // Beyond the 64 KiB that Spring takes in one message.
        let (text, code) = sent(&url, &"x".repeat(90_000)).await;
        assert_eq!(code, Some(1), "{text}");
        assert!(
            text.contains("code 1009") && !text.contains("sent to"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockjs_endpoint_dialled_as_a_websocket_is_named() {
    let Some(spring) = shared().await else { return };
    let url = spring.url(Endpoint::SockJs).replace("http://", "ws://");
    let configuration =
        Configuration::new(&url).table("topics.map-1", "destination = \"/topic/state/1\"\n");
    let mut daemon = Daemon::start(&configuration.sqlite()).await;
    let words = [
        "answered 400; this may be a SockJS endpoint",
        "http:// in place of ws://",
    ];
    daemon.complains(&words).await;
}
