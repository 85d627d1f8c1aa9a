//! A daemon's HTTP listener among clients that mean no good: what they send costs nothing, and
//! probes and the operator are answered.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::bridge::{Source, stop};
use peers::{Daemon, wait};

/// As much as a command may have.
const BODY_BYTES: usize = 8 * 1024 * 1024;
const MIB: u64 = 1024 * 1024;
/// How long a client goes on sending what nobody reads.
const WITHHELD: Duration = Duration::from_millis(50);

#[tokio::test]
async fn requests_without_the_token_are_answered_before_their_bodies_and_cost_no_memory() {
    let source = Source::start().await;
    let mut daemon = Daemon::start(&source.configuration().sqlite()).await;
    daemon.ready().await;
    let before = daemon.resident_bytes_max();
    let mut clients = JoinSet::new();
    for n in 0..150 {
        let http = daemon.http().to_owned();
        let expects = if n % 2 == 0 {
            "100-continue"
        } else {
            "nothing"
        };
        let head = control(&format!("Expect: {expects}\r\n"), BODY_BYTES);
        clients.spawn(async move {
            let mut stream = TcpStream::connect(http).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let answer = answer(&mut stream).await;
            // A client that still sends it only finds the connection closed.
            let body = vec![b' '; BODY_BYTES];
            (answer, stream.write_all(&body).await.is_ok())
        });
    }
    let answered = timeout(wait::LONG, clients.join_all()).await.unwrap();
    assert_eq!(answered.len(), 150);
    for (answer, sent) in answered {
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(!sent, "the body was read");
    }
    let grown = daemon.resident_bytes_max() - before;
    assert!(grown < 64 * MIB, "{} MiB", grown / MIB);
    stop(&mut daemon).await;
}

#[tokio::test]
async fn bodies_that_are_withheld_cost_no_memory() {
    let source = Source::start().await;
    let mut daemon = Daemon::start(&source.configuration().sqlite()).await;
    daemon.ready().await;
    let before = daemon.resident_bytes_max();
    let mut held = Vec::new();
    for _ in 0..150 {
        let mut stream = TcpStream::connect(daemon.http()).await.unwrap();
        stream
            .write_all(control("", BODY_BYTES).as_bytes())
            .await
            .unwrap();
        // All but the last byte, as far as it is taken.
        let body = vec![b' '; BODY_BYTES - 1];
        let _ = timeout(WITHHELD, stream.write_all(&body)).await;
        held.push(stream);
    }
    let grown = daemon.resident_bytes_max() - before;
    assert!(grown < 16 * MIB, "{} MiB", grown / MIB);
    drop(held);
    stop(&mut daemon).await;
}

#[tokio::test]
async fn command_that_is_too_long_is_refused_at_once_and_one_that_is_not_waits_for_its_body() {
    let source = Source::start().await;
    let mut daemon = Daemon::start(&source.configuration().sqlite()).await;
    let file = std::fs::read(daemon.folder().join("journal.db-control")).unwrap();
    let access: Value = serde_json::from_slice(&file).unwrap();
    let token = access["token"].as_str().unwrap();
    let header = format!("Authorization: Bearer {token}\r\nExpect: 100-continue\r\n");

    let mut stream = TcpStream::connect(daemon.http()).await.unwrap();
    let head = control(&header, BODY_BYTES + 1);
    stream.write_all(head.as_bytes()).await.unwrap();
    let refused = answer(&mut stream).await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");

    // One command after another on one connection, each as long as it may be.
    let mut stream = TcpStream::connect(daemon.http()).await.unwrap();
    let command = r#"{"command":"drop_undecodable","which":"all"}"#;
    let body = [command, &" ".repeat(BODY_BYTES - command.len())].concat();
    for _ in 0..2 {
        let head = control(&header, body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        let go_on = answer(&mut stream).await;
        assert!(go_on.starts_with("HTTP/1.1 100 "), "{go_on}");
        stream.write_all(body.as_bytes()).await.unwrap();
        let done = answer(&mut stream).await;
        assert!(done.starts_with("HTTP/1.1 200 "), "{done}");
    }
    drop(stream);
    stop(&mut daemon).await;
}

#[tokio::test]
async fn probes_are_answered_while_hundreds_of_clients_hold_their_connections() {
    let source = Source::start().await;
    let mut daemon = Daemon::start(&source.configuration().sqlite()).await;
    daemon.ready().await;
    let mut held = Vec::new();
    for n in 0..300 {
        let mut stream = TcpStream::connect(daemon.http()).await.unwrap();
        let half: &[u8] = [&b""[..], b"GET /healthz HTT", b"POST /control HTTP/1.1\r\n"][n % 3];
        stream.write_all(half).await.unwrap();
        held.push(stream);
    }
    for path in ["/healthz", "/readyz", "/metrics", "/status"] {
        let (status, body) = daemon.get(path).await.unwrap();
        assert_eq!(status, 200, "{path}: {body}");
    }
    let line = daemon.complains(&["http connections used up"]).await;
    assert_eq!(daemon.log().matches("used up").count(), 1, "{line}");
    // Nobody waits for them at the stop either.
    stop(&mut daemon).await;
    drop(held);
}

/// The head of a command with this many bytes.
fn control(headers: &str, length: usize) -> String {
    format!(
        "POST /control HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n"
    )
}

/// The head of an answer; its body too, where that came with it.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        let read = stream.read_buf(&mut bytes).await.unwrap();
        assert_ne!(read, 0, "closed without an answer");
    }
    String::from_utf8(bytes).unwrap()
}
