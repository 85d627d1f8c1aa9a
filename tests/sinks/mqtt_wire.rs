//! What goes over the wire to mosquitto, packet by packet: topic aliases, the receive maximum, and
//! what the broker has not asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::Error;
use rumqttc::v5::mqttbytes::v5::Packet;
use stomp_bridge::model::StatusEvent;
use stomp_bridge::sinks::Trouble;
use stomp_bridge::sinks::mqtt::{Protocol, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::events::{JOURNAL, batch, events, template};
use crate::mqtt::{mqtt, settings};
use crate::servers::Mosquitto;

/// A PUBLISH as the broker gets it.
#[derive(Debug, Clone)]
struct Published {
    /// Which of the connections.
    connection: usize,
    topic: String,
    alias: Option<u16>,
    body: String,
    retain: bool,
}

/// Carries MQTT 5 to a broker, and reads it on the way.
struct Wire {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    published: Vec<Published>,
    /// Publishes without an answer, of the last connection.
    waiting: usize,
    waiting_max: usize,
}

impl Seen {
    fn client_sends(&mut self, connection: usize, packet: Packet) {
        let Packet::Publish(publish) = packet else {
            return;
        };
        self.waiting += 1;
        self.waiting_max = self.waiting_max.max(self.waiting);
        self.published.push(Published {
            connection,
            topic: String::from_utf8(publish.topic.to_vec()).unwrap(),
            alias: publish.properties.and_then(|all| all.topic_alias),
            body: String::from_utf8(publish.payload.to_vec()).unwrap(),
            retain: publish.retain,
        });
    }

    fn broker_sends(&mut self, packet: Packet) {
        if let Packet::PubAck(_) = packet {
            self.waiting -= 1;
        }
    }
}

/// Takes the whole packets off the front.
fn packets(bytes: &mut BytesMut) -> Vec<Packet> {
    let mut packets = Vec::new();
    loop {
        match Packet::read(bytes, None) {
            Ok(packet) => packets.push(packet),
            Err(Error::InsufficientBytes(_)) => return packets,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Wire {
    async fn to(broker: &Mosquitto) -> Wire {
        let (behind, listener) = (broker.port, TcpListener::bind("127.0.0.1:0").await.unwrap());
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let noted = Arc::clone(&seen);
        tokio::spawn(async move {
            for connection in 0.. {
                let (client, _) = listener.accept().await.unwrap();
                // The broker may be away.
                if let Ok(broker) = TcpStream::connect(("127.0.0.1", behind)).await {
                    noted.lock().unwrap().waiting = 0;
                    tokio::spawn(carry(connection, client, broker, Arc::clone(&noted)));
                }
            }
        });
        Wire { port, seen }
    }

    fn settings(&self) -> Settings {
        Settings {
            protocol: Protocol::V5,
            ..settings(self.port)
        }
    }

    /// What was published so far, in order.
    fn published(&self) -> Vec<Published> {
        self.seen.lock().unwrap().published.clone()
    }

    fn waiting_max(&self) -> usize {
        self.seen.lock().unwrap().waiting_max
    }
}

async fn carry(
    connection: usize,
    mut client: TcpStream,
    mut broker: TcpStream,
    seen: Arc<Mutex<Seen>>,
) {
    let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
    let (mut from_client, mut from_broker) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(length @ 1..) = read else { break };
                there.extend_from_slice(&from_client[..length]);
                for packet in packets(&mut there) {
                    seen.lock().unwrap().client_sends(connection, packet);
                }
                if broker.write_all(&from_client[..length]).await.is_err() {
                    break;
                }
            }
            read = broker.read(&mut from_broker) => {
                let Ok(length @ 1..) = read else { break };
                back.extend_from_slice(&from_broker[..length]);
                for packet in packets(&mut back) {
                    seen.lock().unwrap().broker_sends(packet);
                }
                if client.write_all(&from_broker[..length]).await.is_err() {
                    break;
                }
            }
        }
    }
}

const DEVICES: usize = 25;

/// Devices that report in turn, and say a number of their own.
fn in_turn(count: i64) -> Vec<StatusEvent> {
    let in_turn = |event: StatusEvent| StatusEvent {
        device_id: (event.position.0 as usize % DEVICES).to_string(),
        state: event.position.to_string(),
        ..event
    };
    events(1..=count).into_iter().map(in_turn).collect()
}

/// What a subscriber sees of them.
fn messages(events: &[StatusEvent]) -> Vec<String> {
    let message = |event: &StatusEvent| {
        let (id, state) = (&event.device_id, &event.state);
        format!("devices/1/{id}/status {id} {state}")
    };
    events.iter().map(message).collect()
}

/// A PUBLISH has its topic's name once, with a number. The later ones have the number alone. Gives
/// the numbers that were used.
#[track_caller]
fn numbers(published: &[Published]) -> BTreeSet<u16> {
    let mut names = BTreeMap::new();
    for publish in published {
        let id = publish.body.split(' ').next().unwrap();
        let topic = format!("devices/1/{id}/status");
        match (publish.alias, publish.topic.is_empty()) {
            (Some(number), true) => assert_eq!(names.get(&number), Some(&topic), "{publish:?}"),
            (Some(number), false) => {
                assert_eq!(publish.topic, topic);
                let before = names.insert(number, topic);
                assert_eq!(before, None, "a name that is known stands in {publish:?}");
            }
            (None, _) => assert_eq!(publish.topic, topic),
        }
    }
    names.into_keys().collect()
}

#[tokio::test]
async fn topics_that_come_again_have_numbers_and_arrive_under_their_names() {
    let mut broker = Mosquitto::start();
    let wire = Wire::to(&broker).await;
    let mut sink = mqtt(Settings {
        retain: false,
        ..wire.settings()
    });
    sink.open(JOURNAL).await.unwrap();
    let many = in_turn(600);
    let live = broker.subscriber(many.len());
    sink.attempt(batch(&many)).await.unwrap();
    assert_eq!(live.messages().await, messages(&many));
    assert_eq!(sink.idle().await, Ok(()), "on one connection");
    let published = wire.published();
    assert_eq!(published.len(), many.len());
    // mosquitto has room for ten.
    assert_eq!(numbers(&published), (1..=10).collect());
    let without_name = published.iter().filter(|it| it.topic.is_empty()).count();
    assert_eq!(without_name, 10 * (many.len() / DEVICES - 1));

    // Numbers are those of one connection.
    broker.stop();
    sink.may_be_lost().await;
    broker.restart();
    while sink.open(JOURNAL).await.is_err() {}
    let live = broker.subscriber(100);
    sink.attempt(batch(&many[..100])).await.unwrap();
    assert_eq!(live.messages().await, messages(&many[..100]));
    let again = &wire.published()[published.len()..];
    assert!(again[0].connection > published[0].connection);
    assert_eq!(numbers(again), (1..=10).collect());
}

#[tokio::test]
async fn no_number_stands_where_the_broker_has_none_or_the_topic_is_shorter() {
    let without = "allow_anonymous true\nlog_type all\nmax_topic_alias 0";
    let short = || template("d/{% if device_id == '1' %}1{% else %}2{% endif %}");
    for (broker, topic) in [
        (Mosquitto::start_with(without), None),
        (Mosquitto::start(), Some(short())),
    ] {
        let wire = Wire::to(&broker).await;
        let settings = wire.settings();
        let topic = topic.unwrap_or_else(|| settings.topic.clone());
        let mut sink = mqtt(Settings { topic, ..settings });
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&in_turn(100))).await.unwrap();
        let published = wire.published();
        assert_eq!(published.len(), 100);
        let is_named = |it: &Published| it.alias.is_none() && !it.topic.is_empty();
        assert!(published.iter().all(is_named), "{published:?}");
    }
}

/// Whether a broker has learned a number by a publish that it rejects is its own.
#[tokio::test]
async fn behind_a_rejection_every_topic_has_its_name() {
    let broker = Mosquitto::start_with_access("topic readwrite #\ntopic deny devices/1/2/status\n");
    let wire = Wire::to(&broker).await;
    let mut sink = mqtt(wire.settings());
    sink.open(JOURNAL).await.unwrap();
    let many = in_turn(100);
    let allowed: Vec<StatusEvent> = many
        .iter()
        .filter(|event| event.device_id != "2")
        .cloned()
        .collect();
    let live = broker.subscriber(allowed.len());
    let (mut confirmed, mut rejected) = (0, 0);
    while confirmed < many.len() {
        match sink.attempt(batch(&many[confirmed..])).await {
            Ok(()) => break,
            Err(failed) => {
                let refused = matches!(failed.trouble, Trouble::Refused { .. });
                assert!(refused, "{:?}", failed.trouble);
                confirmed += failed.confirmed + 1;
                rejected += 1;
            }
        }
    }
    assert_eq!(rejected, 100 / DEVICES);
    assert_eq!(live.messages().await, messages(&allowed), "each once");
    // All of the first attempt went before the answer.
    let sent = wire.published().len();
    sink.attempt(batch(&allowed[..50])).await.unwrap();
    let later = &wire.published()[sent..];
    assert_eq!(later.len(), 50);
    assert!(later.iter().all(|it| it.alias.is_none()), "{later:?}");
}

#[tokio::test]
async fn mosquittos_receive_maximum_and_max_inflight_are_reached_and_never_exceeded() {
    for (broker_max, max_inflight, expected) in [(3, 1000, 3), (20, 1000, 20), (20, 7, 7)] {
        let broker = Mosquitto::start_with(&format!(
            "allow_anonymous true\nlog_type all\nmax_inflight_messages {broker_max}"
        ));
        let wire = Wire::to(&broker).await;
        let mut sink = mqtt(Settings {
            max_inflight,
            ..wire.settings()
        });
        sink.open(JOURNAL).await.unwrap();
        let thousand = in_turn(1000);
        let live = broker.subscriber(1000);
        sink.attempt(batch(&thousand)).await.unwrap();
        assert_eq!(live.messages().await, messages(&thousand));
        assert_eq!(wire.waiting_max(), expected, "of {broker_max}");
        assert_eq!(wire.published().len(), 1000, "each once");
    }
}

#[tokio::test]
async fn a_broker_without_retained_messages_is_asked_to_keep_none() {
    for (line, retains) in [("", true), ("retain_available false", false)] {
        let lines = format!("allow_anonymous true\nlog_type all\n{line}");
        let broker = Mosquitto::start_with(&lines);
        let wire = Wire::to(&broker).await;
        let mut sink = mqtt(Settings {
            status_topic: Some("devices/bridge/status".to_owned()),
            ..wire.settings()
        });
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&in_turn(10))).await.unwrap();
        let published = wire.published();
        assert_eq!(published.len(), 11);
        assert!(published.iter().all(|it| it.retain == retains), "{line}");
    }
}
