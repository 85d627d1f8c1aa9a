//! The peers of the live tests by themselves: they start, answer, restart with their data, and end
//! with the test.

mod fault;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;

use peers::http::exchange;
use peers::process::{Process, tethered};
use peers::source::{PREFETCH, Source};
use peers::{
    Folder, Mosquitto, Postgres, RabbitMq, Receiver, SockJs, Stomp, Subscriber, platform, wait,
};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

#[tokio::test(flavor = "multi_thread")]
async fn confirmed_messages_survive_sigkill_of_rabbitmq() {
    let mut rabbitmq = RabbitMq::start().await;
    let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
    let sent: Vec<String> = platform::messages("peers", 0..1000, 50).collect();
    publisher.publish("/queue/peers", &sent).await;

    rabbitmq.kill().await;
    rabbitmq.restart().await;

    let mut subscriber = Stomp::connect(rabbitmq.stomp_port()).await;
    subscriber.subscribe("/queue/peers").await;
    for body in &sent {
        let frame = subscriber.receive().await;
        assert_eq!(frame.command, "MESSAGE");
        assert_eq!(frame.header("destination"), "/queue/peers");
        assert_eq!(String::from_utf8_lossy(&frame.body), *body);
    }
    sockjs_endpoint_speaks_for(&rabbitmq).await;
    rabbitmq.stop().await;
}

/// Part of the test above for the sake of its RabbitMQ: `/info`, and a session whose first STOMP
/// frame is answered.
async fn sockjs_endpoint_speaks_for(rabbitmq: &RabbitMq) {
    let sockjs = SockJs::start(rabbitmq.stomp_port()).await;
    let info = exchange(sockjs.port(), "GET", "/stomp/info", "").await;
    assert!(
        info.contains("200 OK") && info.contains("\"websocket\":true"),
        "{info}"
    );

    let session = "/stomp/000/peers";
    assert!(
        exchange(sockjs.port(), "POST", &format!("{session}/xhr"), "")
            .await
            .contains("\r\n\r\no\n")
    );
    let connect = serde_json::json!([format!(
        "CONNECT\naccept-version:1.2\nhost:/\nlogin:{}\npasscode:{}\n\n\0",
        peers::USER,
        peers::PASSWORD
    )]);
    let sent = exchange(
        sockjs.port(),
        "POST",
        &format!("{session}/xhr_send"),
        &connect.to_string(),
    )
    .await;
    assert!(sent.contains("204 No Content"), "{sent}");
    let answer = exchange(sockjs.port(), "POST", &format!("{session}/xhr"), "").await;
    assert!(answer.contains(r#"a["CONNECTED\n"#), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_publishes_survive_sigkill_of_mosquitto() {
    let mut mosquitto = Mosquitto::start().await;
    let subscriber = Subscriber::start(mosquitto.port(), "peers", "peers/#").await;
    publish(&mosquitto, "peers/before", 100).await;
    mosquitto.kill();
    mosquitto.restart().await;
    publish(&mosquitto, "peers/after", 100).await;
    wait::until("both hundreds at the subscriber", async || {
        let topics: Vec<String> = subscriber
            .publishes()
            .iter()
            .map(|p| p.topic.clone())
            .collect();
        let count = |topic: &str| topics.iter().filter(|t| *t == topic).count();
        (count("peers/before") >= 100 && count("peers/after") >= 100).then_some(())
    })
    .await;
}

/// Publishes to mosquitto (QoS 1) and returns once all is acknowledged.
async fn publish(mosquitto: &Mosquitto, topic: &str, count: usize) {
    let mut options = MqttOptions::new("publisher", "127.0.0.1", mosquitto.port());
    options.set_credentials(peers::USER, peers::PASSWORD);
    let (client, mut events) = AsyncClient::new(options, count);
    for n in 0..count {
        client
            .try_publish(topic, QoS::AtLeastOnce, false, n.to_string())
            .expect("the channel holds all of them");
    }
    let mut acknowledged = 0;
    while acknowledged < count {
        if let Event::Incoming(Packet::PubAck(_)) = events.poll().await.expect("mosquitto answers")
        {
            acknowledged += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_rows_survive_a_crash_of_postgres() {
    let mut postgres = Postgres::start().await;
    postgres.create("peers").await;
    let mut connection = postgres.connect("peers").await;
    sqlx::query("create table t as select 1 as one")
        .execute(&mut connection)
        .await
        .expect("create a table");
    postgres.kill();
    postgres.restart().await;
    let mut connection = postgres.connect("peers").await;
    let one: i32 = sqlx::query_scalar("select one from t")
        .fetch_one(&mut connection)
        .await
        .expect("select");
    assert_eq!(one, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn receiver_keeps_what_it_has_accepted() {
    let receiver = Receiver::start().await;
    let port = receiver
        .url()
        .rsplit(':')
        .next()
        .and_then(|rest| rest.split('/').next()?.parse().ok());
    let port = port.expect("the URL has a port");
    assert!(
        exchange(port, "POST", "/events", "one")
            .await
            .contains("204")
    );
    receiver.answer(503);
    assert!(
        exchange(port, "POST", "/events", "two")
            .await
            .contains("503")
    );
    assert_eq!(receiver.bodies(), ["one"]);
}

#[test]
fn source_floods_from_whichever_thread() {
    let source = Source::bind();
    let address = source.address();
    std::thread::spawn(move || acknowledge_all(address));
    let mut client = source.accept().expect("a subscription");
    for _ in 0..2 {
        let flood = std::thread::spawn(move || {
            let flooded = client.flood(Duration::MAX, 3 * PREFETCH);
            (client, flooded.expect("an ACK for each message").0)
        });
        let (same, count) = flood.join().expect("no panic");
        assert_eq!(count, 3 * PREFETCH);
        client = same;
    }
}

/// A client that answers the end of each frame with an ACK, until its server is gone.
fn acknowledge_all(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).expect("connect on loopback");
    let open = "CONNECT\n\n\0SUBSCRIBE\nid:1\ndestination:/topic/t\nack:client-individual\n\n\0";
    stream.write_all(open.as_bytes()).expect("write two frames");
    let mut buffer = [0; 4096];
    let mut is_answer_to_connect = true;
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        for _ in buffer[..length].iter().filter(|&&byte| byte == 0) {
            if !std::mem::take(&mut is_answer_to_connect) {
                // The server's end is the end here, too.
                let _ = stream.write_all(b"ACK\nid:1\n\n\0");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn process_dies_with_whoever_started_it() {
    let folder = Folder::new("tether");
    // A stand-in for a test process that is killed: a shell that starts a tethered child and says
    // its pid.
    let mut shell = tethered("sh");
    shell.args([
        "-c",
        "setpriv --pdeathsig KILL -- sleep 600 & echo child $!; wait",
    ]);
    let mut process = Process::start("shell", shell, &folder.join("log"));
    let line = process
        .logged("the child's pid", |line| line.starts_with("child "))
        .await;
    let child = Path::new("/proc").join(line.trim_start_matches("child "));
    let name = child.join("comm");
    wait::until("the child sleeps", async || {
        std::fs::read_to_string(&name)
            .ok()
            .filter(|comm| comm.trim() == "sleep")
    })
    .await;
    // The shell alone, not its group.
    process.signal(rustix::process::Signal::KILL);
    wait::until("the child is gone", async || {
        let state = std::fs::read_to_string(child.join("stat")).ok();
        // A zombie whose new parent has not come by yet is dead too.
        state.is_none_or(|stat| stat.contains(") Z ")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_start_shows_the_log() {
    let folder = Folder::new("failure");
    let mut shell = tethered("sh");
    shell.args(["-c", "echo the reason; exit 3"]);
    let mut process = Process::start("shell", shell, &folder.join("log"));
    let outcome = AssertUnwindSafe(process.logged("a line", |line| line == "ready"))
        .catch_unwind()
        .await;
    let panic = outcome.expect_err("a process that ends is no success");
    let message = panic.downcast_ref::<String>().expect("panics carry text");
    assert!(
        message.contains("exit status: 3") && message.contains("the reason"),
        "{message}"
    );
}
