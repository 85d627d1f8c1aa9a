//! A password that is rotated in its file needs no restart and no reload.

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use peers::{Configuration, Daemon, Folder, wait};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const NEW: &str = "the-new-passcode";

/// A CONNECT, and the connection it came by.
async fn connect(listener: &TcpListener) -> (BufReader<TcpStream>, String) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = BufReader::new(stream);
    let mut frame = Vec::new();
    stream.read_until(0, &mut frame).await.unwrap();
    (stream, String::from_utf8(frame).unwrap())
}

#[tokio::test]
async fn a_passcode_that_is_rotated_is_used_at_the_next_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("stomp://{}", listener.local_addr().unwrap());
    let configuration = Configuration::new(&url)
        .password("the-old-passcode")
        .table("topics.map-1", "destination = \"/topic/state/1\"\n")
        .sqlite();
    let daemon = Daemon::start(&configuration).await;
    let (mut stream, frame) = connect(&listener).await;
    assert!(frame.contains("passcode:the-old-passcode\n"), "{frame}");
    daemon.folder().write("passcode", NEW);
    let refused = b"ERROR\nmessage:Bad CONNECT\n\n\0";
    stream.get_mut().write_all(refused).await.unwrap();
    drop(stream);
    wait::until("a CONNECT with the new passcode", async || {
        let (mut stream, frame) = connect(&listener).await;
        let is_new = frame.contains(&format!("passcode:{NEW}\n"));
        let answer: &[u8] = match is_new {
            true => b"CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0",
            false => refused,
        };
        stream.get_mut().write_all(answer).await.unwrap();
        is_new.then_some(())
    })
    .await;
    let log = daemon.log();
    assert!(!log.contains(NEW) && !log.contains("the-old"), "{log}");
}

#[tokio::test]
async fn a_token_of_a_sink_that_is_rotated_is_used_at_the_next_attempt() {
    let served = super::serve(0).await;
    let receive = async |headers: HeaderMap| match headers.get("authorization") {
        Some(token) if token == "Bearer the-new-token-2" => StatusCode::NO_CONTENT,
        _ => StatusCode::UNAUTHORIZED,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let receiver = Router::new().route("/", post(receive));
    let receiver = tokio::spawn(async { axum::serve(listener, receiver).await });
    let folder = Folder::new("tokens");
    let token = folder.write("hook-token", "the-old-token-1");
    let headers = "headers = { Authorization = \"Bearer {{ secret('hook') }}\" }\n";
    let configuration = super::configuration(&served.url)
        .table("secrets", &format!("hook = {{ file = {token:?} }}\n"))
        .webhook_with(&url, headers);
    let mut daemon = Daemon::start(&configuration).await;
    wait::until("subscribed", async || {
        (served.publish_to(super::TOPIC, 1) == 1).then_some(())
    })
    .await;
    daemon.complains(&["401"]).await;
    folder.write("hook-token", "the-new-token-2");
    wait::until("delivered", async || {
        let line = "stomp_bridge_sink_delivered_total{sink=\"oncall\"}";
        (super::metric(&daemon, line).await? == 1.0).then_some(())
    })
    .await;
    let log = daemon.log();
    assert!(!log.contains("-token-"), "{log}");
    receiver.abort();
    served.end().await;
}
