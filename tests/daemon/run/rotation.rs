//! A password that is rotated in its file needs no restart and no reload.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecursiveMode, Watcher};
use peers::{Configuration, Daemon, Folder, wait};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

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
async fn a_passcode_that_is_rotated_costs_no_refused_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("stomp://{}", listener.local_addr().unwrap());
    let configuration = Configuration::new(&url)
        .password("the-old-passcode")
        .table("topics.map-1", "destination = \"/topic/state/1\"\n")
        .sqlite();
    let daemon = Daemon::start(&configuration).await;
    let accepted = b"CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0";
    // The daemon has just looked at the file when the second connection ends.
    for _ in 0..2 {
        let (mut stream, frame) = connect(&listener).await;
        assert!(frame.contains("passcode:the-old-passcode\n"), "{frame}");
        stream.get_mut().write_all(accepted).await.unwrap();
        daemon.folder().write("passcode", "the-old-passcode");
    }
    let (mut stream, frame) = connect(&listener).await;
    assert!(frame.contains("passcode:the-old-passcode\n"), "{frame}");
    stream.get_mut().write_all(accepted).await.unwrap();
    daemon.folder().write("passcode", NEW);
    drop(stream);
    let (_stream, frame) = connect(&listener).await;
    assert!(frame.contains(&format!("passcode:{NEW}\n")), "{frame}");
}

/// The headers of a sink whose token is the secret `hook`.
const TOKEN_OF_FILE: &str = "headers = { Authorization = \"Bearer {{ secret('hook') }}\" }\n";

/// A configuration whose secret `hook` stands in a file.
fn with_secret(url: &str, file: &Path) -> Configuration {
    super::configuration(url).table("secrets", &format!("hook = {{ file = {file:?} }}\n"))
}

/// A receiver that wants one token, and counts requests without it.
async fn receiver(token: &'static str) -> (String, watch::Sender<&'static str>, Arc<AtomicUsize>) {
    let (wanted, wants) = watch::channel(token);
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    let receive = async move |headers: HeaderMap| {
        let token = headers.get("authorization").and_then(|it| it.to_str().ok());
        let is_right = token == Some(&format!("Bearer {}", *wants.borrow()));
        match is_right {
            true => StatusCode::NO_CONTENT,
            false => {
                count.fetch_add(1, Ordering::Relaxed);
                StatusCode::UNAUTHORIZED
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/", post(receive));
    tokio::spawn(async { axum::serve(listener, router).await });
    (url, wanted, refused)
}

async fn delivered(daemon: &Daemon, count: f64) {
    wait::until("delivered", async || {
        let line = "stomp_bridge_sink_delivered_total{sink=\"oncall\"}";
        (super::metric(daemon, line).await? == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_rotated_while_all_is_well_costs_no_refused_request() {
    let served = super::serve(0).await;
    let (url, wanted, refused) = receiver("the-old-token-1").await;
    let folder = Folder::new("tokens-well");
    let token = folder.write("hook-token", "the-old-token-1");
    let configuration = with_secret(&served.url, &token).webhook_with(&url, TOKEN_OF_FILE);
    let daemon = Daemon::start(&configuration).await;
    wait::until("subscribed", async || {
        (served.publish_to(super::TOPIC, 1) == 1).then_some(())
    })
    .await;
    delivered(&daemon, 1.0).await;
    // What was found then stands for 100 ms.
    tokio::time::sleep(Duration::from_millis(150)).await;
    wanted.send_replace("the-new-token-2");
    folder.write("hook-token", "the-new-token-2");
    served.publish_to(super::TOPIC, 1);
    // The sink has begun again: its counts are since then.
    delivered(&daemon, 1.0).await;
    assert_eq!(refused.load(Ordering::Relaxed), 0, "{}", daemon.log());
    served.end().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_again_is_said_once_and_shown_until_it_can() {
    let served = super::serve(0).await;
    let (url, _wanted, _) = receiver("another").await;
    let folder = Folder::new("tokens-gone");
    let token = folder.write("hook-token", "the-old-token-1");
    let configuration = with_secret(&served.url, &token).webhook_with(&url, TOKEN_OF_FILE);
    let mut daemon = Daemon::start(&configuration).await;
    std::fs::remove_file(&token).unwrap();
    wait::until("subscribed", async || {
        (served.publish_to(super::TOPIC, 1) == 1).then_some(())
    })
    .await;
    daemon
        .complains(&["secrets not read again", "hook-token"])
        .await;
    let unread = daemon.status().await["unread_secrets"].clone();
    assert!(
        unread["problems"][0]
            .as_str()
            .unwrap()
            .contains("hook-token"),
        "{unread}"
    );
    let successful = "stomp_bridge_config_last_reload_successful";
    assert_eq!(super::metric(&daemon, successful).await, Some(0.0));
    // It is looked at before each attempt.
    daemon.complains(&["401"]).await;
    folder.write("hook-token", "the-new-token-2");
    wait::until("read again", async || {
        let unread = daemon.status().await["unread_secrets"].clone();
        unread.is_null().then_some(())
    })
    .await;
    assert_eq!(super::metric(&daemon, successful).await, Some(1.0));
    let log = daemon.log();
    assert_eq!(log.matches("secrets not read again").count(), 1, "{log}");
    served.end().await;
}

#[tokio::test]
async fn a_token_of_a_sink_that_is_rotated_is_used_at_the_next_attempt() {
    let served = super::serve(0).await;
    let (url, _wanted, _) = receiver("the-new-token-2").await;
    let folder = Folder::new("tokens");
    let token = folder.write("hook-token", "the-old-token-1");
    let configuration = with_secret(&served.url, &token).webhook_with(&url, TOKEN_OF_FILE);
    let mut daemon = Daemon::start(&configuration).await;
    wait::until("subscribed", async || {
        (served.publish_to(super::TOPIC, 1) == 1).then_some(())
    })
    .await;
    daemon.complains(&["401"]).await;
    folder.write("hook-token", "the-new-token-2");
    delivered(&daemon, 1.0).await;
    let log = daemon.log();
    assert!(!log.contains("-token-"), "{log}");
    served.end().await;
}

/// A receiver that takes requests and answers none, with how many there were.
async fn silent_receiver() -> (String, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let receive = async move || {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<StatusCode>().await
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/", post(receive));
    tokio::spawn(async { axum::serve(listener, router).await });
    (url, count)
}

async fn requested(count: &AtomicUsize) {
    wait::until("a request", async || {
        (count.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await;
}

/// A sink whose token is the secret `hook`.
fn hanging(configuration: Configuration, url: &str) -> Configuration {
    let lines = format!("type = \"webhook\"\nurl = \"{url}\"\n{TOKEN_OF_FILE}");
    configuration.table("sinks.hang", &lines)
}

#[tokio::test]
async fn a_token_that_is_rotated_holds_up_no_other_sink() {
    let served = super::serve(0).await;
    let (url, requests) = silent_receiver().await;
    let (other, _wanted, _) = receiver("none").await;
    let folder = Folder::new("tokens-hang");
    let token = folder.write("hook-token", "the-old-token-1");
    let configuration = with_secret(&served.url, &token)
        .webhook_with(&other, "headers = { Authorization = \"Bearer none\" }\n");
    let daemon = Daemon::start(&hanging(configuration, &url)).await;
    wait::until("subscribed", async || {
        (served.publish_to(super::TOPIC, 1) == 1).then_some(())
    })
    .await;
    delivered(&daemon, 1.0).await;
    requested(&requests).await;
    folder.write("hook-token", "the-new-token-2");
    tokio::time::sleep(Duration::from_millis(150)).await;
    // Each waited for two seconds, while the other sink was ending: that takes ten, and was over then.
    for count in 2..8 {
        served.publish_to(super::TOPIC, 1);
        delivered(&daemon, f64::from(count)).await;
    }
    let log = daemon.log();
    assert!(log.contains("secrets read again"), "{log}");
    assert!(!log.contains("sink stopped"), "{log}");
    served.end().await;
}

#[tokio::test]
async fn a_passcode_that_is_a_hanging_sinks_too_costs_no_refused_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (hook, requests) = silent_receiver().await;
    let url = format!("stomp://{}", listener.local_addr().unwrap());
    let configuration = Configuration::new(&url)
        .password("the-old-passcode")
        .table("topics.map-1", "destination = \"/topic/state/1\"\n")
        .table("secrets", "hook = { file = \"passcode\" }\n");
    let daemon = Daemon::start(&hanging(configuration, &hook)).await;
    let (mut stream, _) = connect(&listener).await;
    let accepted = b"CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0";
    stream.get_mut().write_all(accepted).await.unwrap();
    let mut frame = Vec::new();
    stream.read_until(0, &mut frame).await.unwrap();
    let frame = String::from_utf8(frame).unwrap();
    let id = frame.lines().find_map(|line| line.strip_prefix("id:"));
    let message = format!(
        "MESSAGE\nsubscription:{}\nmessage-id:1\ndestination:/topic/state/1\n\n\
         {{\"clientId\":1,\"deviceId\":1,\"sn\":\"s\",\"oldState\":\"正常\",\"newState\":\"故障\"}}\0",
        id.expect("a SUBSCRIBE")
    );
    stream
        .get_mut()
        .write_all(message.as_bytes())
        .await
        .unwrap();
    requested(&requests).await;
    daemon.folder().write("passcode", NEW);
    drop(stream);
    let next = tokio::time::timeout(wait::LONG, connect(&listener)).await;
    let (_stream, frame) = next.expect("a CONNECT");
    let log = daemon.log();
    assert!(!log.contains("sink stopped"), "while the sink ends: {log}");
    assert!(frame.contains(&format!("passcode:{NEW}\n")), "{frame}");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_again_is_not_tried_at_each_attempt() {
    let served = super::serve(0).await;
    let (url, _wanted, refused) = receiver("another").await;
    let folder = Folder::new("tokens-tried");
    let token = folder.write("hook-token", "the-old-token-1");
    let read = folder.write("read-token", "the-old-token-2");
    let headers = "headers = { Authorization = \"Bearer {{ secret('hook') }}\", \
                   X-Token = \"{{ secret('read') }}\" }\n";
    let secrets = format!("hook = {{ file = {token:?} }}\nread = {{ file = {read:?} }}\n");
    let configuration = super::configuration(&served.url)
        .table("secrets", &secrets)
        .webhook_with(&url, headers);
    let mut daemon = Daemon::start(&configuration).await;
    wait::until("subscribed", async || {
        (served.publish_to(super::TOPIC, 1) == 1).then_some(())
    })
    .await;
    daemon.complains(&["401"]).await;
    let readings = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&readings);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        if event.is_ok_and(|event| event.kind == opened) {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    })
    .unwrap();
    watcher.watch(&read, RecursiveMode::NonRecursive).unwrap();
    std::fs::remove_file(&token).unwrap();
    daemon.complains(&["secrets not read again"]).await;
    let first = readings.load(Ordering::Relaxed);
    let before = refused.load(Ordering::Relaxed);
    wait::until("more attempts", async || {
        (refused.load(Ordering::Relaxed) >= before + 10).then_some(())
    })
    .await;
    assert!(first > 0, "it was read");
    assert_eq!(readings.load(Ordering::Relaxed), first);
    served.end().await;
}
