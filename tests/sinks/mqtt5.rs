//! MQTT 5 against mosquitto, and against scripted brokers for the answers that mosquitto never
//! gives; the way back to MQTT 3.1.1.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::Error;
use rumqttc::v5::mqttbytes::v5::Packet;
use stomp_bridge::sinks::mqtt::{Protocol, Settings};
use stomp_bridge::sinks::{Batch, By, Reason, Sink, Trouble, Undelivered};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::events::{JOURNAL, batch, events, template};
use crate::mqtt::{message, mqtt, settings, settings_311};
use crate::servers::Mosquitto;

/// Reads and writes everything, but for one device.
const DENIED: &str = "topic readwrite #\ntopic deny devices/1/2/status\n";

fn settings_5(port: u16) -> Settings {
    Settings {
        protocol: Protocol::V5,
        ..settings(port)
    }
}

/// The error of an event that the broker itself refuses.
#[track_caller]
fn refused_by_the_broker(failed: Undelivered, confirmed: usize) -> String {
    assert_eq!(failed.confirmed, confirmed, "{failed:?}");
    match failed.trouble {
        Trouble::Refused {
            index,
            by: By::Them,
            error,
        } => {
            assert_eq!(index, Some(confirmed), "{error}");
            error
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn to_be_retried(failed: Undelivered, confirmed: usize) -> String {
    assert_eq!(failed.confirmed, confirmed, "{failed:?}");
    match failed.trouble {
        Trouble::Retry { error, .. } => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_the_access_list_forbids_is_refused_alone_and_nothing_comes_twice() {
    let broker = Mosquitto::start_with_access(DENIED);
    let mut sink = mqtt(settings(broker.port));
    sink.open(JOURNAL).await.unwrap();
    let live = broker.subscriber(4);
    let five = events(1..=5);
    let failed = sink.attempt(batch(&five[..4])).await.unwrap_err();
    let error = refused_by_the_broker(failed, 1);
    assert!(error.contains("not authorized (0x87)"), "{error}");
    assert!(error.contains(r#""devices/1/2/status""#), "{error}");
    // The dead letter is out of the way: what is with the broker is not published again.
    sink.attempt(batch(&five[2..])).await.unwrap();
    let expected = [&five[0], &five[2], &five[3], &five[4]].map(message);
    assert_eq!(live.messages().await, expected);

    // MQTT 3.1.1 has no way to know: the broker says that it has it.
    sink.close().await;
    let mut sink = mqtt(settings_311(broker.port));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&five[1..2])).await.unwrap();
}

#[tokio::test]
async fn an_event_that_is_tried_again_has_those_behind_it_published_again() {
    let broker = Mosquitto::start_with_access(DENIED);
    let mut sink = mqtt(settings(broker.port));
    sink.open(JOURNAL).await.unwrap();
    let live = broker.subscriber(4);
    let three = events(1..=3);
    let failed = sink.attempt(batch(&three)).await.unwrap_err();
    refused_by_the_broker(failed, 1);
    // The circuit breaker has opened: the same event comes again.
    let failed = sink.attempt(batch(&three[1..])).await.unwrap_err();
    refused_by_the_broker(failed, 0);
    // A redrive in between changes nothing.
    let redriven = Batch {
        reason: Reason::Redrive,
        ..batch(&three[..1])
    };
    sink.attempt(redriven).await.unwrap();
    sink.attempt(batch(&three[2..])).await.unwrap();
    let expected = [&three[0], &three[2], &three[2], &three[0]].map(message);
    assert_eq!(live.messages().await, expected);
}

#[tokio::test]
async fn what_is_over_the_message_size_limit_is_refused() {
    let broker = Mosquitto::start_with("allow_anonymous true\nlog_type all\nmessage_size_limit 50");
    let mut sink = mqtt(settings(broker.port));
    sink.open(JOURNAL).await.unwrap();
    let mut three = events(1..=3);
    three[1].state = "x".repeat(60);
    let failed = sink.attempt(batch(&three)).await.unwrap_err();
    let error = refused_by_the_broker(failed, 1);
    assert!(error.contains("packet too large (0x95)"), "{error}");
    assert!(error.contains("62 bytes"), "{error}");
    sink.attempt(batch(&three[2..])).await.unwrap();
    assert_eq!(sink.idle().await, Ok(()), "the connection stands");
}

#[tokio::test]
async fn what_is_over_the_maximum_packet_size_is_not_sent() {
    let broker = Mosquitto::start_with("allow_anonymous true\nlog_type all\nmax_packet_size 200");
    let mut sink = mqtt(settings(broker.port));
    sink.open(JOURNAL).await.unwrap();
    let mut three = events(1..=3);
    three[1].state = "x".repeat(300);
    let failed = sink.attempt(batch(&three)).await.unwrap_err();
    let error = refused_by_the_broker(failed, 1);
    assert!(error.contains("the broker accepts at most 200"), "{error}");
    sink.attempt(batch(&three[2..])).await.unwrap();
    assert_eq!(sink.idle().await, Ok(()), "the connection stands");
    let delivered = [&three[0], &three[2]].map(message);
    assert_eq!(broker.retained().await, delivered.into_iter().collect());
}

#[tokio::test]
async fn a_broker_without_retained_messages_gets_none_and_with_3_1_1_the_keys_are_named() {
    let lines = "allow_anonymous true\nlog_type all\nretain_available false";
    let broker = Mosquitto::start_with(lines);
    let with_will = |settings: Settings| Settings {
        status_topic: Some("devices/bridge/status".to_owned()),
        ..settings
    };
    let mut sink = mqtt(with_will(settings(broker.port)));
    let live = broker.subscriber(60);
    sink.open(JOURNAL).await.unwrap();
    let sixty = events(1..=60);
    sink.attempt(batch(&sixty)).await.unwrap();
    let messages = live.messages().await;
    assert_eq!(messages[0], "devices/bridge/status online");
    assert_eq!(
        messages[1..],
        sixty[..59].iter().map(message).collect::<Vec<_>>()
    );
    // Else it comes again, and the broker closes the connection of the next: they have one name.
    sink.close().await;

    let mut sink = mqtt(with_will(settings_311(broker.port)));
    let Err(Trouble::Retry { error, .. }) = sink.open(JOURNAL).await else {
        panic!("mosquitto closes the connection at a retained will")
    };
    let keys = r#"set `status_topic = ""` and `retain = false`"#;
    assert!(
        error.contains("before its CONNACK") && error.contains(keys),
        "{error}"
    );
    sink.close().await;
    let mut sink = mqtt(Settings {
        retain: false,
        ..settings_311(broker.port)
    });
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&sixty)).await.unwrap();
}

#[tokio::test]
async fn a_status_topic_that_is_forbidden_hinders_no_event() {
    let list = "topic readwrite #\ntopic deny devices/bridge/status\n";
    let broker = Mosquitto::start_with_access(list);
    let mut sink = mqtt(Settings {
        status_topic: Some("devices/bridge/status".to_owned()),
        ..settings(broker.port)
    });
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&events(1..=5))).await.unwrap();
    assert_eq!(sink.idle().await, Ok(()));
}

#[tokio::test]
async fn a_take_over_is_named() {
    let broker = Mosquitto::start();
    // mosquitto 2.0.11 does not say so with MQTT 5 either.
    let named = "times in a row: does another client";
    for settings in [settings, settings_311] {
        let of_one_name = || {
            mqtt(Settings {
                client_id: Some("twin".to_owned()),
                ..settings(broker.port)
            })
        };
        let (mut one, mut other) = (of_one_name(), of_one_name());
        let error = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                let _ = one.open(JOURNAL).await;
                let _ = other.open(JOURNAL).await;
                one.may_be_lost().await;
                match one.idle().await {
                    Err(Trouble::Retry { error, .. }) if error.contains(named) => break error,
                    _ => {}
                }
            }
        });
        let error = error.await.expect("named within a minute");
        assert!(error.contains("client_id \"twin\""), "{error}");
    }
}

/// What a scripted broker does with a CONNECT of MQTT 5.
#[derive(Debug, Clone, Copy)]
enum Older {
    /// CONNACK 1, as MQTT 3.1.1 has it (section 3.2.2.3).
    Says,
    /// CONNACK 0x84, as MQTT 5 has it.
    SaysByFive,
    /// It closes the connection.
    Closes,
    /// It does not answer.
    KeepsSilent,
}

/// Stands before a broker that speaks MQTT 3.1.1 only. Notes the version of each CONNECT.
async fn older_broker(behind: u16, older: Older) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let versions = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut connect = [0; 512];
            let length = client.read(&mut connect).await.unwrap_or_default();
            let version = connect[8];
            versions.lock().unwrap().push(version);
            match (version, older) {
                (5, Older::Says) => client.write_all(&[0x20, 2, 0, 1]).await.unwrap(),
                (5, Older::SaysByFive) => {
                    client.write_all(&[0x20, 3, 0, 0x84, 0]).await.unwrap();
                }
                (5, Older::Closes) => {}
                (5, Older::KeepsSilent) => {
                    tokio::spawn(async move {
                        while client.read(&mut connect).await.is_ok_and(|n| n > 0) {}
                    });
                }
                _ => {
                    let mut broker = TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
                    broker.write_all(&connect[..length]).await.unwrap();
                    tokio::spawn(async move {
                        let _ = copy_bidirectional(&mut client, &mut broker).await;
                    });
                }
            }
        }
    });
    (port, seen)
}

#[tokio::test]
async fn an_older_broker_gets_mqtt_3_1_1_by_itself_and_is_remembered() {
    for (older, expected) in [
        (Older::Says, &[5, 4, 4][..]),
        (Older::SaysByFive, &[5, 4, 4]),
        // One close may be a restart: it is asked again.
        (Older::Closes, &[5, 4, 5, 4]),
        (Older::KeepsSilent, &[5, 4, 5, 4]),
    ] {
        let mut broker = Mosquitto::start();
        let (port, versions) = older_broker(broker.port, older).await;
        let mut sink = mqtt(settings(port));
        assert_eq!(sink.open(JOURNAL).await, Ok(None), "{older:?}");
        sink.attempt(batch(&events(1..=3))).await.unwrap();
        broker.stop();
        sink.may_be_lost().await;
        broker.restart();
        while sink.open(JOURNAL).await.is_err() {}
        sink.attempt(batch(&events(4..=6))).await.unwrap();
        let mut seen = versions.lock().unwrap().clone();
        // While it was away nothing stood behind the port.
        seen.dedup();
        let mut expected = expected.to_vec();
        expected.dedup();
        assert_eq!(seen, expected, "{older:?}");
    }
}

#[tokio::test]
async fn only_mqtt_5_is_only_mqtt_5() {
    let (port, _) = older_broker(0, Older::Says).await;
    let mut sink = mqtt(settings_5(port));
    let Err(Trouble::Retry { error, .. }) = sink.open(JOURNAL).await else {
        panic!("opened")
    };
    assert!(
        error.contains("does not speak MQTT 5; set `protocol"),
        "{error}"
    );
}

/// A broker of MQTT 5 that answers each publish as the test says.
struct Scripted {
    port: u16,
    /// The bodies of all publishes.
    publishes: Arc<Mutex<Vec<String>>>,
    /// Publishes that waited for an answer at once, at most.
    waiting_max: Arc<Mutex<usize>>,
}

/// The bytes that answer a publish with this packet id and body; the second time another, and so on.
type Answer = fn(u16, &str, usize) -> Vec<u8>;

fn puback(packet_id: u16, code: u8) -> Vec<u8> {
    let [high, low] = packet_id.to_be_bytes();
    vec![0x40, 3, high, low, code]
}

fn note(max: &Mutex<usize>, waiting: usize) {
    let mut max = max.lock().unwrap();
    *max = waiting.max(*max);
}

impl Scripted {
    async fn start(answer: Answer) -> Scripted {
        Scripted::start_with(&[0x20, 3, 0, 0, 0], answer).await
    }

    /// With this CONNACK.
    async fn start_with(connack: &'static [u8], answer: Answer) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scripted = Scripted {
            port: listener.local_addr().unwrap().port(),
            publishes: Arc::default(),
            waiting_max: Arc::default(),
        };
        let (publishes, waiting_max) = (scripted.publishes.clone(), scripted.waiting_max.clone());
        tokio::spawn(async move {
            let mut times = HashMap::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = BytesMut::new();
                let mut answers: Vec<Vec<u8>> = Vec::new();
                loop {
                    // It answers when nothing more comes.
                    let patience = match answers.is_empty() {
                        true => Duration::from_secs(3600),
                        false => Duration::from_millis(30),
                    };
                    match tokio::time::timeout(patience, stream.read_buf(&mut bytes)).await {
                        Ok(Ok(1..)) => {}
                        Ok(_) => break,
                        Err(_) => {
                            note(&waiting_max, answers.len());
                            let all: Vec<u8> = std::mem::take(&mut answers).concat();
                            // A DISCONNECT is the end.
                            if stream.write_all(&all).await.is_err() || all.contains(&0xE0) {
                                break;
                            }
                        }
                    }
                    loop {
                        match Packet::read(&mut bytes, None) {
                            Ok(Packet::Connect(..)) => {
                                answers.push(connack.to_vec());
                            }
                            Ok(Packet::Publish(publish)) => {
                                let body = String::from_utf8(publish.payload.to_vec()).unwrap();
                                let time = times.entry(body.clone()).or_insert(0);
                                answers.push(answer(publish.pkid, &body, *time));
                                *time += 1;
                                publishes.lock().unwrap().push(body);
                            }
                            Ok(_) => {}
                            Err(Error::InsufficientBytes(_)) => break,
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            }
        });
        scripted
    }

    fn sink(&self) -> Box<dyn Sink> {
        mqtt(Settings {
            body: Some(template("{{ device_id }}")),
            ..settings_5(self.port)
        })
    }

    fn publishes(&self) -> Vec<String> {
        self.publishes.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn what_is_over_a_quota_is_retried_with_all_behind_it() {
    let broker = Scripted::start(|id, body, time| match (body, time) {
        ("2", 0) => puback(id, 0x97),
        _ => puback(id, 0),
    })
    .await;
    let mut sink = broker.sink();
    sink.open(JOURNAL).await.unwrap();
    let three = events(1..=3);
    let failed = sink.attempt(batch(&three)).await.unwrap_err();
    let error = to_be_retried(failed, 1);
    assert!(error.contains("quota exceeded (0x97)"), "{error}");
    sink.attempt(batch(&three[1..])).await.unwrap();
    assert_eq!(broker.publishes(), ["1", "2", "3", "2", "3"], "in order");
}

#[tokio::test]
async fn a_failure_without_a_cause_is_the_events_once_others_pass() {
    let broker = Scripted::start(|id, body, _| match body {
        "2" => puback(id, 0x83),
        _ => puback(id, 0),
    })
    .await;
    let mut sink = broker.sink();
    sink.open(JOURNAL).await.unwrap();
    let many = events(1..=9);
    let failed = sink.attempt(batch(&many)).await.unwrap_err();
    to_be_retried(failed, 1);
    let failed = sink.attempt(batch(&many[1..])).await.unwrap_err();
    to_be_retried(failed, 0);
    let failed = sink.attempt(batch(&many[1..])).await.unwrap_err();
    let error = refused_by_the_broker(failed, 0);
    assert!(
        error.contains("(0x83), 3 times, while it accepted others"),
        "{error}"
    );
    sink.attempt(batch(&many[2..])).await.unwrap();
    let published = broker.publishes();
    let pairs = ["2", "3", "2", "3"];
    assert_eq!(published[9..13], pairs, "only one other is its companion");
    assert_eq!(published[13..], ["4", "5", "6", "7", "8", "9"]);
}

#[tokio::test]
async fn a_broker_that_fails_everything_accuses_no_event() {
    let broker = Scripted::start(|id, _, time| match time {
        0..6 => puback(id, 0x80),
        _ => puback(id, 0),
    })
    .await;
    let mut sink = broker.sink();
    sink.open(JOURNAL).await.unwrap();
    let two = events(1..=2);
    for _ in 0..6 {
        let failed = sink.attempt(batch(&two)).await.unwrap_err();
        to_be_retried(failed, 0);
    }
    sink.attempt(batch(&two)).await.unwrap();
}

#[tokio::test]
async fn a_lone_event_has_the_sinks_status_for_a_companion_and_else_ten_attempts() {
    let status_topic = Some("devices/bridge/status".to_owned());
    for (status_topic, attempts) in [(status_topic, 4), (None, 10)] {
        let broker = Scripted::start(|id, body, _| match body {
            "1" => puback(id, 0x83),
            _ => puback(id, 0),
        })
        .await;
        let mut sink = mqtt(Settings {
            body: Some(template("{{ device_id }}")),
            status_topic,
            ..settings_5(broker.port)
        });
        sink.open(JOURNAL).await.unwrap();
        let one = events(1..=1);
        for _ in 1..attempts {
            let failed = sink.attempt(batch(&one)).await.unwrap_err();
            to_be_retried(failed, 0);
        }
        let failed = sink.attempt(batch(&one)).await.unwrap_err();
        refused_by_the_broker(failed, 0);
        let published = broker.publishes();
        let times = published.iter().filter(|body| *body == "1").count();
        assert_eq!(times, attempts);
    }
}

#[tokio::test]
async fn a_redrive_that_fails_without_a_cause_holds_nothing_up() {
    let broker = Scripted::start(|id, _, _| puback(id, 0x83)).await;
    let mut sink = broker.sink();
    sink.open(JOURNAL).await.unwrap();
    let one = events(1..=1);
    let redrive = Batch {
        reason: Reason::Redrive,
        ..batch(&one)
    };
    let failed = sink.attempt(redrive).await.unwrap_err();
    refused_by_the_broker(failed, 0);
}

#[tokio::test]
async fn a_disconnect_that_names_a_publish_refuses_it_once_it_is_alone() {
    let broker = Scripted::start(|id, body, _| match body {
        "2" => vec![0xE0, 1, 0x99],
        _ => puback(id, 0),
    })
    .await;
    let mut sink = broker.sink();
    sink.open(JOURNAL).await.unwrap();
    let three = events(1..=3);
    let mut confirmed = 0;
    let error = loop {
        let failed = sink.attempt(batch(&three[confirmed..])).await.unwrap_err();
        confirmed += failed.confirmed;
        match failed.trouble {
            Trouble::Refused { error, .. } => break error,
            Trouble::Retry { .. } => while sink.open(JOURNAL).await.is_err() {},
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(confirmed, 1);
    assert!(error.contains("payload format invalid (0x99)"), "{error}");
    let attempts = broker
        .publishes()
        .iter()
        .filter(|body| *body == "2")
        .count();
    assert!(attempts <= 3, "{attempts} times");
}

#[tokio::test]
async fn a_disconnect_for_another_cause_accuses_no_event() {
    let broker = Scripted::start(|id, _, time| match time {
        0..7 => vec![0xE0, 1, 0x8B],
        _ => puback(id, 0),
    })
    .await;
    let mut sink = broker.sink();
    let one = events(1..=1);
    for _ in 0..7 {
        while sink.open(JOURNAL).await.is_err() {}
        let failed = sink.attempt(batch(&one)).await.unwrap_err();
        let error = to_be_retried(failed, 0);
        assert!(error.contains("server shutting down (0x8b)"), "{error}");
    }
}

#[tokio::test]
async fn no_more_than_max_inflight_and_the_receive_maximum_wait_for_the_broker() {
    let receive_maximum_5 = &[0x20, 6, 0, 0, 3, 0x21, 0, 5];
    for (connack, max_inflight, expected) in [
        (&[0x20, 3, 0, 0, 0][..], 7, 7),
        (receive_maximum_5, 7, 5),
        (receive_maximum_5, 3, 3),
    ] {
        let broker = Scripted::start_with(connack, |id, _, _| puback(id, 0)).await;
        let mut sink = mqtt(Settings {
            max_inflight,
            ..settings_5(broker.port)
        });
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&events(1..=50))).await.unwrap();
        assert_eq!(*broker.waiting_max.lock().unwrap(), expected);
    }
}
