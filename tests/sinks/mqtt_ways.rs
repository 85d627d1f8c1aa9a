//! The ways to a broker, over TCP, TLS and WebSocket, to brokers that listen so, and ALPN.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use peers::nginx::{Nginx, Speaks, UPGRADE};
use peers::{PASSWORD, RabbitMq, Subscriber, USER};
use rumqttc::Publish;
use stomp_bridge::secret::Secret;
use stomp_bridge::sinks::mqtt::Settings;
use stomp_bridge::sinks::{Sink, Trouble};
use stomp_bridge::tls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::events::{JOURNAL, batch, events};
use crate::mqtt::{message, mqtt, settings};
use crate::servers::{Mosquitto, fixture_path, free_port};

/// They believe the tests' own authority.
fn believing(settings: Settings) -> Settings {
    Settings {
        tls: tls::Settings {
            ca_file: Some(PathBuf::from(fixture_path("ca.pem"))),
            ..tls::Settings::default()
        },
        ..settings
    }
}

/// The error of a sink that cannot be opened.
async fn not_opened(mut sink: Box<dyn Sink>) -> String {
    match sink.open(JOURNAL).await {
        Err(Trouble::Retry { error, .. }) => error,
        other => panic!("{other:?}"),
    }
}

/// A thousand events arrive in their order, behind the sink's own status.
async fn a_thousand_events_arrive(broker: &Mosquitto, sink: &mut dyn Sink) {
    let thousand = events(1..=1000);
    let live = broker.subscriber(1001);
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&thousand)).await.unwrap();
    let mut expected: Vec<String> = thousand.iter().map(message).collect();
    expected.insert(0, "devices/bridge/status online".to_owned());
    assert_eq!(live.messages().await, expected);
}

#[tokio::test]
async fn mosquitto_gets_mqtt_5_over_websocket_with_and_without_tls() {
    let (certificate, key) = (fixture_path("server.pem"), fixture_path("server.key"));
    let tls = format!("certfile {certificate}\nkeyfile {key}\n");
    for (scheme, host, lines) in [
        ("mqtt+ws", "127.0.0.1", ""),
        ("mqtt+wss", "localhost", &*tls),
    ] {
        let port = free_port();
        let mut broker = Mosquitto::start_with(&format!(
            "listener {port} 127.0.0.1\nprotocol websockets\n{lines}\
             allow_anonymous true\nlog_type all"
        ));
        let of = |settings: Settings| Settings {
            url: format!("{scheme}://{host}:{port}").parse().unwrap(),
            status_topic: Some("devices/bridge/status".to_owned()),
            ..settings
        };
        let mut sink = mqtt(of(believing(settings(port))));
        a_thousand_events_arrive(&broker, &mut *sink).await;
        // MQTT 5, by mosquitto's own account.
        assert!(broker.has_logged(" (p5, c1, k"), "{scheme}");

        broker.stop();
        tokio::time::timeout(Duration::from_secs(60), sink.may_be_lost())
            .await
            .expect("noticed");
        broker.restart();
        while sink.open(JOURNAL).await.is_err() {}
        sink.attempt(batch(&events(1..=1000))).await.unwrap();
        sink.close().await;
        let offline = "devices/bridge/status offline".to_owned();
        assert!(broker.retained().await.contains(&offline), "{scheme}");

        if scheme == "mqtt+wss" {
            let error = not_opened(mqtt(of(settings(port)))).await;
            assert!(error.contains("set ca_file"), "{error}");
        }
    }
}

#[tokio::test]
async fn the_protocol_that_alpn_offers_is_the_one_that_the_server_takes() {
    let broker = Mosquitto::start();
    let nginx = Nginx::start_before_bytes(broker.port, "x-amzn-mqtt-ca").await;
    let of = |alpn: &[&str]| Settings {
        url: nginx.before("mqtt://broker").parse().unwrap(),
        alpn: alpn.iter().map(|name| (*name).to_owned()).collect(),
        ..believing(settings(0))
    };
    for alpn in [&["mqtt", "x-amzn-mqtt-ca"][..], &[]] {
        let mut sink = mqtt(of(alpn));
        assert_eq!(sink.open(JOURNAL).await, Ok(None), "{alpn:?}");
        sink.attempt(batch(&events(1..=10))).await.unwrap();
        sink.close().await;
    }
    assert_eq!(broker.retained().await.len(), 10);
    let sessions = peers::wait::until("both sessions are over", async || {
        let sessions = nginx.requests();
        (sessions.len() >= 2).then_some(sessions)
    });
    assert_eq!(sessions.await, ["x-amzn-mqtt-ca 200", "- 200"]);

    let error = not_opened(mqtt(of(&["mqtt"]))).await;
    assert!(error.contains("(ALPN): correct alpn"), "{error}");
}

/// Carries the bytes of MQTT between a WebSocket and a broker.
async fn websocket_before(broker: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                #[allow(clippy::result_large_err, reason = "the type is the library's")]
                let check = |request: &Request, mut response: Response| {
                    assert_eq!(request.uri().to_string(), "/mqtt?token=x");
                    let wanted = request.headers()["sec-websocket-protocol"].clone();
                    assert_eq!(wanted, "mqtt");
                    let headers = response.headers_mut();
                    headers.insert("sec-websocket-protocol", wanted);
                    Ok(response)
                };
                let mut socket = accept_hdr_async(stream, check).await.unwrap();
                let mut tcp = TcpStream::connect(("127.0.0.1", broker)).await.unwrap();
                socket.send(Message::Ping("hello".into())).await.unwrap();
                // Packets may come in pieces (MQTT 5, section 6).
                let mut piece = [0; 5];
                loop {
                    tokio::select! {
                        message = socket.next() => match message {
                            Some(Ok(Message::Binary(bytes))) => tcp.write_all(&bytes).await.unwrap(),
                            Some(Ok(Message::Pong(_))) => {}
                            _ => break,
                        },
                        read = tcp.read(&mut piece) => match read {
                            Ok(length @ 1..) => {
                                let bytes = piece[..length].to_vec();
                                socket.send(Message::Binary(bytes.into())).await.unwrap();
                            }
                            _ => break,
                        }
                    }
                }
                let _ = socket.close(None).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn mqtt_goes_over_websocket() {
    let mut broker = Mosquitto::start();
    let port = websocket_before(broker.port).await;
    let mut sink = mqtt(Settings {
        url: format!("mqtt+ws://127.0.0.1:{port}?token=x")
            .parse()
            .unwrap(),
        status_topic: Some("devices/bridge/status".to_owned()),
        ..settings(port)
    });
    sink.open(JOURNAL).await.unwrap();
    let thousand = events(1..=1000);
    let live = broker.subscriber(1001);
    sink.attempt(batch(&thousand)).await.unwrap();
    let mut expected: Vec<String> = thousand.iter().map(message).collect();
    expected.insert(0, "devices/bridge/status online".to_owned());
    assert_eq!(live.messages().await, expected);
    broker.stop();
    tokio::time::timeout(Duration::from_secs(60), sink.may_be_lost())
        .await
        .expect("noticed");
    broker.restart();
    while sink.open(JOURNAL).await.is_err() {}
    sink.attempt(batch(&thousand)).await.unwrap();
    sink.close().await;
    let offline = "devices/bridge/status offline".to_owned();
    assert!(broker.retained().await.contains(&offline));
}

#[tokio::test]
async fn a_websocket_that_is_none_is_named() {
    let broker = Mosquitto::start();
    let with = |url: String| {
        mqtt(Settings {
            url: url.parse().unwrap(),
            ..settings(broker.port)
        })
    };
    for (url, named) in [
        (
            format!("mqtt+ws://127.0.0.1:{}", broker.port),
            "WebSocket refused",
        ),
        (format!("mqtt+ws://127.0.0.1:{}", free_port()), "refused"),
    ] {
        let Err(Trouble::Retry { error, .. }) = with(url).open(JOURNAL).await else {
            panic!("opened")
        };
        assert!(error.contains(named), "{error}");
    }
}

/// RabbitMQ 3.10 speaks MQTT 3.1.1 only: over TCP, over WebSocket by itself, and behind nginx, which
/// has the certificate.
#[tokio::test]
async fn rabbitmq_gets_mqtt_3_1_1_by_itself_over_tcp_and_websocket() {
    let broker = RabbitMq::start().await;
    let nginx = Nginx::start(broker.web_mqtt_port(), Speaks::Http2, UPGRADE).await;
    let live = Subscriber::start(broker.mqtt_port(), "reader", "devices/1/#").await;
    let hundred = events(1..=100);
    let expected: Vec<String> = hundred.iter().map(message).collect();
    let url = broker.web_mqtt_url();
    let tcp = format!("mqtt://127.0.0.1:{}", broker.mqtt_port());
    for (times, url) in (1..).zip([tcp, nginx.before(&url), url]) {
        let mut sink = mqtt(Settings {
            url: url.parse().unwrap(),
            username: Some(USER.to_owned()),
            password: Some(Secret::from(PASSWORD)),
            status_topic: Some("devices/bridge/status".to_owned()),
            ..believing(settings(0))
        });
        assert_eq!(sink.open(JOURNAL).await, Ok(None), "{url}");
        sink.attempt(batch(&hundred)).await.unwrap();
        let seen = peers::wait::until("all have arrived", async || {
            let publishes = live.publishes();
            let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
            let line = |publish: &Publish| format!("{} {}", publish.topic, text(&publish.payload));
            let all = publishes.len() >= times * hundred.len();
            all.then(|| publishes.iter().map(line).collect::<Vec<_>>())
        });
        assert_eq!(seen.await, vec![expected.clone(); times].concat(), "{url}");
        sink.close().await;
    }
}
