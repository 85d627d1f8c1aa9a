//! What others get wrong: each gets one clear line in the log, the daemon lives on, and nothing
//! after it is lost.

use std::io::Write;

use super::lab::lab;
use super::run::{Run, assert_drained};
use peers::configuration::EventKey;
use peers::scripted::{Life, Scripted, Then, message};
use peers::{
    Configuration, Daemon, Mosquitto, Receiver, Stomp, Subscriber, history, platform, port, wait,
};

#[tokio::test(flavor = "multi_thread")]
async fn refused_sign_in_is_named_and_tried_again() {
    let url = lab().await.rabbitmq.stomp_url();
    let base = Configuration::new(&url)
        .queue("status", "sign_in", EventKey::None)
        .sqlite();
    for (configuration, words) in [
        (base.clone().password("wrong"), ["refused", "passcode"]),
        (base.clone().vhost("no-such-vhost"), ["refused", "host"]),
    ] {
        let mut daemon = Daemon::start(&configuration).await;
        daemon.complains(&words).await;
        assert_eq!(
            daemon.get("/readyz").await.map(|(status, _)| status),
            Some(503)
        );
        assert_eq!(
            daemon.get("/healthz").await.map(|(status, _)| status),
            Some(200)
        );
        assert!(daemon.runs());
        assert!(
            !daemon.log().contains("wrong\""),
            "the log gives the password away\n{}",
            daemon.log()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_destination_is_named() {
    let url = lab().await.rabbitmq.stomp_url();
    let configuration = Configuration::new(&url)
        .queue("status", "refused-queue", EventKey::None)
        .sqlite();
    let mut daemon = Daemon::start(&configuration).await;
    daemon.complains(&["refused", "/queue/refused-queue"]).await;
    assert!(daemon.runs());
    assert_eq!(
        daemon.get("/readyz").await.map(|(status, _)| status),
        Some(503)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_are_dead_lettered_and_the_rest_arrives() {
    let rabbitmq = &lab().await.rabbitmq;
    let mut run = Run::start("bad_bodies", &rabbitmq.stomp_url(), EventKey::EventId).await;
    let huge = vec![b'x'; 10 << 20];
    let bad: [&[u8]; 6] = [
        b"{\"deviceId\":1,",
        b"\xff\xfe\x00 not text",
        b"",
        b"[]",
        b"{\"deviceId\":1}",
        &huge,
    ];
    let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
    for (n, body) in bad.into_iter().enumerate() {
        publisher.publish("/queue/bad_bodies", [body]).await;
        run.publish(n * 50..(n + 1) * 50).await;
    }
    run.complete(bad.len() * 50).await;
    run.daemon.complains(&["status"]).await;
    run.daemon.ready().await;
    run.finish(bad.len() * 50, 0).await;
    assert_drained(rabbitmq, "bad_bodies").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_a_header_that_is_too_long_arrives_over_tcp() {
    let url = lab().await.rabbitmq.stomp_url();
    all_round_an_odd_frame_arrives("odd_header_tcp", &url, 1, 20 << 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_a_frame_that_is_too_long_arrives_over_tcp() {
    let url = lab().await.rabbitmq.stomp_url();
    all_round_an_odd_frame_arrives("odd_frame_tcp", &url, 20, 90_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_a_frame_that_is_too_long_arrives_over_web_stomp() {
    let url = lab().await.rabbitmq.web_stomp_url();
    all_round_an_odd_frame_arrives("odd_frame_ws", &url, 20, 90_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_a_frame_that_is_too_long_arrives_over_sockjs() {
    let url = lab().await.sockjs.url();
    all_round_an_odd_frame_arrives("odd_frame_sockjs", &url, 20, 90_000).await;
}

/// A queue of 50 messages, one whose headers are over the limits, and 50 more: all of them arrive,
/// once, on one connection.
async fn all_round_an_odd_frame_arrives(
    queue: &str,
    url: &str,
    headers: usize,
    header_bytes: usize,
) {
    const BEFORE: usize = 50;
    const ALL: usize = 2 * BEFORE + 1;
    let rabbitmq = &lab().await.rabbitmq;
    let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
    let destination = format!("/queue/{queue}");
    let good = |numbers| platform::messages(queue, numbers, BEFORE);
    let trace = "x".repeat(header_bytes);
    let headers: String = (0..headers)
        .map(|n| format!("x-trace-{n}:{trace}\n"))
        .collect();
    publisher.publish(&destination, good(0..BEFORE)).await;
    let odd = platform::message(queue, 2 * BEFORE, BEFORE);
    publisher.publish_with(&destination, &headers, [odd]).await;
    publisher
        .publish(&destination, good(BEFORE..2 * BEFORE))
        .await;

    let receiver = Receiver::start().await;
    let configuration = Configuration::new(url)
        .queue("status", queue, EventKey::None)
        .sqlite()
        .webhook(&receiver.url());
    let mut daemon = Daemon::start(&configuration).await;
    arrive(&receiver, ALL).await;
    daemon
        .complains(&["malformed frame", "longer than the limit"])
        .await;
    wait::until("all messages in SQLite", async || {
        (history::count(daemon.folder()).await >= ALL).then_some(())
    })
    .await;
    assert_eq!(daemon.log().matches("not connected").count(), 0);
    assert_eq!(daemon.stop().await.code(), Some(0));
    let rows = history::rows(daemon.folder()).await;
    platform::assert_complete("sqlite", &rows, ALL);
    assert_eq!((rows.len(), receiver.count()), (ALL, ALL));
    assert_drained(rabbitmq, queue).await;
}

/// RabbitMQ's Web-STOMP sends every body in a text frame.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_a_body_that_is_no_text_arrives_over_web_stomp() {
    let rabbitmq = &lab().await.rabbitmq;
    let queue = "gbk_ws";
    let destination = format!("/queue/{queue}");
    let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
    let good = |numbers| platform::messages(queue, numbers, 2);
    publisher.publish(&destination, good(0..1)).await;
    let gbk = b"{\"newState\":\"\xb9\xca\xd5\xcf\"}";
    publisher.publish(&destination, [gbk]).await;
    publisher.publish(&destination, good(1..2)).await;

    let receiver = Receiver::start().await;
    let configuration = Configuration::new(&rabbitmq.web_stomp_url())
        .queue("status", queue, EventKey::None)
        .webhook(&receiver.url());
    let mut daemon = Daemon::start(&configuration).await;
    arrive(&receiver, 2).await;
    assert_eq!(daemon.log().matches("not connected").count(), 0);
    assert_eq!(daemon.stop().await.code(), Some(0));
    assert_drained(rabbitmq, queue).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_frame_comes_again_after_reconnect() {
    let bodies: Vec<String> = platform::messages("truncated", 0..3, 3).collect();
    let frames: Vec<Vec<u8>> = bodies
        .iter()
        .zip(1..)
        .map(|(body, n)| message("status", n, body.as_bytes()))
        .collect();
    let cut = [&frames[0][..], &frames[1][..frames[1].len() / 2]].concat();
    let whole = [&frames[1][..], &frames[2][..]].concat();
    let server = Scripted::start(vec![
        Life {
            bytes: cut,
            then: Then::Close,
        },
        Life {
            bytes: whole,
            then: Then::Stay,
        },
    ])
    .await;
    let (mut daemon, receiver) = scripted_daemon(&server).await;
    arrive(&receiver, 3).await;
    daemon.complains(&["closed", "frame"]).await;
    assert!(daemon.runs());
    assert_eq!(server.lives(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn error_frame_ends_a_connection_that_the_server_leaves_open() {
    let bodies: Vec<String> = platform::messages("error_frame", 0..2, 2).collect();
    let frames: Vec<Vec<u8>> = bodies
        .iter()
        .zip(1..)
        .map(|(body, n)| message("status", n, body.as_bytes()))
        .collect();
    let error = b"ERROR\nmessage:the server is tired\ncontent-type:text/plain\n\nof it all\0\n";
    let server = Scripted::start(vec![
        Life {
            bytes: [&frames[0][..], error].concat(),
            then: Then::Stay,
        },
        Life {
            bytes: frames[1].clone(),
            then: Then::Stay,
        },
    ])
    .await;
    let (mut daemon, receiver) = scripted_daemon(&server).await;
    arrive(&receiver, 2).await;
    daemon.complains(&["the server is tired"]).await;
    assert!(daemon.runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_than_stomp_is_named() {
    let receiver = Receiver::start().await;
    // An HTTP server where STOMP is expected.
    let url = receiver
        .url()
        .replace("http://", "stomp://")
        .replace("/events", "");
    let configuration = Configuration::new(&url)
        .queue("status", "not_stomp", EventKey::None)
        .sqlite();
    let mut daemon = Daemon::start(&configuration).await;
    daemon.complains(&["STOMP", "HTTP/1.1 400"]).await;
    assert!(daemon.runs());
}

/// A daemon with a webhook alone that reads from a scripted server.
async fn scripted_daemon(server: &Scripted) -> (Daemon, Receiver) {
    let receiver = Receiver::start().await;
    let configuration =
        Configuration::new(&server.url()).queue("status", "status", EventKey::EventId);
    let daemon = Daemon::start(&configuration.webhook(&receiver.url())).await;
    (daemon, receiver)
}

/// Waits until messages 0 to `count` have arrived.
async fn arrive(receiver: &Receiver, count: usize) {
    wait::until("all messages at the webhook", async || {
        (platform::numbers(&receiver.delivered()).len() >= count).then_some(())
    })
    .await;
    platform::assert_complete("webhook", &receiver.delivered(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_sinks_get_everything_once_they_are_back() {
    let rabbitmq = &lab().await.rabbitmq;
    let queue = "unreachable";
    let (http, closed) = (port::free(), port::free());
    let configuration = Configuration::new(&rabbitmq.stomp_url())
        .queue("status", queue, EventKey::EventId)
        .sqlite()
        .webhook(&format!("http://127.0.0.1:{http}/events"))
        .mqtt(&format!("mqtt://127.0.0.1:{closed}"), queue);
    let mut daemon = Daemon::start(&configuration).await;
    let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
    publisher
        .publish(
            &format!("/queue/{queue}"),
            platform::messages(queue, 0..500, 50),
        )
        .await;
    daemon.complains(&["oncall", "refused"]).await;
    daemon.complains(&["site", "refused"]).await;
    // Neither the source nor another sink waits for the two that are down.
    wait::until("all messages in SQLite", async || {
        (history::count(daemon.folder()).await >= 500).then_some(())
    })
    .await;

    let mosquitto = Mosquitto::start_on(closed).await;
    let subscriber = Subscriber::start(mosquitto.port(), queue, &format!("{queue}/#")).await;
    let receiver = Receiver::start_on(http).await;
    arrive(&receiver, 500).await;
    wait::until("all messages at MQTT", async || {
        (platform::numbers(&subscriber.delivered()).len() >= 500).then_some(())
    })
    .await;
    daemon.ready().await;
    assert_eq!(daemon.stop().await.code(), Some(0));
    assert_drained(rabbitmq, queue).await;
}

/// RabbitMQ keeps what a message says of its body, also beyond the queue.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_in_other_charsets_and_compressed_ones_arrive_over_tcp() {
    let url = lab().await.rabbitmq.stomp_url();
    bodies_of_all_kinds_arrive("kinds_tcp", &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_in_other_charsets_and_compressed_ones_arrive_over_web_stomp() {
    let url = lab().await.rabbitmq.web_stomp_url();
    bodies_of_all_kinds_arrive("kinds_ws", &url).await;
}

async fn bodies_of_all_kinds_arrive(queue: &str, url: &str) {
    let rabbitmq = &lab().await.rabbitmq;
    let destination = format!("/queue/{queue}");
    let status = |n: usize| platform::message(queue, n, 2);
    let gbk = |text: &str| encoding_rs::GBK.encode(text).0.into_owned();
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
    let gzip = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    };
    let lines = format!("{}\n{}\n", status(5), status(6));
    let bodies: [(&str, Vec<u8>); 7] = [
        (
            "content-type:application/json;charset=GBK\n",
            gbk(&status(0)),
        ),
        ("content-encoding:gzip\n", gzip(status(1).as_bytes())),
        ("content-type:text/plain\n", gzip(status(2).as_bytes())),
        (
            "content-type:text/plain; charset=gb18030\ncontent-encoding:gzip\n",
            gzip(&gbk(&status(3))),
        ),
        ("content-type:text/plain\n", utf16(&status(4))),
        ("content-type:application/x-ndjson\n", lines.into_bytes()),
        ("", b"[]".to_vec()),
    ];
    let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
    for (headers, body) in bodies {
        publisher.publish_with(&destination, headers, [body]).await;
    }
    let receiver = Receiver::start().await;
    let configuration = Configuration::new(url)
        .queue("status", queue, EventKey::None)
        .sqlite()
        .webhook(&receiver.url());
    let mut daemon = Daemon::start(&configuration).await;
    arrive(&receiver, 7).await;
    wait::until("all messages in SQLite", async || {
        (history::count(daemon.folder()).await >= 7).then_some(())
    })
    .await;
    let log = daemon.log();
    assert!(
        !log.contains("undecodable") && !log.contains("unmapped"),
        "{log}"
    );
    assert_eq!(daemon.stop().await.code(), Some(0));
    platform::assert_complete("sqlite", &history::rows(daemon.folder()).await, 7);
    assert_drained(rabbitmq, queue).await;
}
