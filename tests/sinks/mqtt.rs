//! MQTT against mosquitto.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stomp_bridge::model::{CoverageCause, Event, EventKind, StatusEvent};
use stomp_bridge::paced::Interval;
use stomp_bridge::pipeline::Template;
use stomp_bridge::secret::Secret;
use stomp_bridge::sinks::mqtt::{MAX_INFLIGHT, Protocol, Qos, Settings};
use stomp_bridge::sinks::{Batch, By, Reason, Sink, Trouble};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::events::{JOURNAL, batch, coverage, event, events, start, template};
use crate::servers::{Mosquitto, free_port};

/// Publishes in flight at most.
const WINDOW: usize = 1000;

pub(crate) fn settings(port: u16) -> Settings {
    Settings {
        name: "site".to_owned(),
        url: format!("mqtt://127.0.0.1:{port}").parse().unwrap(),
        protocol: Protocol::Auto,
        username: None,
        password: None,
        client_id: None,
        topic: template("devices/{{ client_id }}/{{ device_id }}/status"),
        body: Some(template("{{ device_id }} {{ state }}")),
        qos: Qos::AtLeastOnce,
        retain: true,
        status_topic: None,
        tls: Default::default(),
        alpn: Vec::new(),
        max_inflight: MAX_INFLIGHT,
        packet_bytes_max: 256 * 1024,
    }
}

/// The same with MQTT 3.1.1 alone.
pub(crate) fn settings_311(port: u16) -> Settings {
    Settings {
        protocol: Protocol::V311,
        ..settings(port)
    }
}

pub(crate) fn mqtt(settings: Settings) -> Box<dyn Sink> {
    start(stomp_bridge::sinks::Settings::Mqtt(settings))
}

/// What a subscriber sees of an event with these settings.
pub(crate) fn message(event: &StatusEvent) -> String {
    format!("devices/1/{id}/status {id} fault", id = event.device_id)
}

#[tokio::test]
async fn a_thousand_events_arrive_in_order_and_stay_retained() {
    for settings in [settings, settings_311] {
        a_thousand_events_arrive(settings).await;
    }
}

async fn a_thousand_events_arrive(settings: fn(u16) -> Settings) {
    let broker = Mosquitto::start();
    let mut sink = mqtt(settings(broker.port));
    assert!(sink.idle().await.is_err());
    assert_eq!(sink.open(JOURNAL).await, Ok(None));
    assert_eq!(sink.idle().await, Ok(()));
    let live = broker.subscriber(2000);
    let thousands = events(1..=2000);
    sink.attempt(batch(&thousands[..1000])).await.unwrap();
    sink.attempt(batch(&thousands[1000..])).await.unwrap();
    let expected: Vec<String> = thousands.iter().map(message).collect();
    assert_eq!(live.messages().await, expected);
    assert_eq!(broker.retained().await, expected.into_iter().collect());

    sink.close().await;
    assert!(
        !broker.has_logged("closed its connection"),
        "the broker was told goodbye"
    );
}

/// Confirmations are read in an hour, unless somebody is in a hurry or the sink is behind.
#[tokio::test]
async fn confirmations_wait_for_the_next_events_and_not_where_the_sink_is_behind() {
    let broker = Mosquitto::start();
    let settings = stomp_bridge::sinks::Settings::Mqtt(settings(broker.port));
    let interval = Interval::new(Duration::from_secs(3600));
    let built = stomp_bridge::sinks::build(settings, &interval).unwrap();
    tokio::spawn(built.driver.unwrap());
    let mut sink = built.sink;
    sink.open(JOURNAL).await.unwrap();
    let pacing = sink.pacing().expect("it paces what it reads");
    let patience = Duration::from_secs(60);
    let events = events(1..=2004);
    // The first confirmation comes after a quiet moment.
    let first = sink.attempt(batch(&events[..1]));
    tokio::time::timeout(patience, first)
        .await
        .unwrap()
        .unwrap();
    for event in 1..4 {
        let mut attempt = sink.attempt(batch(&events[event..event + 1]));
        // The broker needs a fraction of it.
        let waits = tokio::time::timeout(Duration::from_millis(200), &mut attempt).await;
        assert!(waits.is_err(), "read at once");
        pacing.hurry();
        tokio::time::timeout(patience, attempt)
            .await
            .unwrap()
            .unwrap();
    }
    for behind in events[4..].chunks(1000) {
        let attempt = sink.attempt(batch(behind));
        tokio::time::timeout(patience, attempt)
            .await
            .unwrap()
            .unwrap();
    }
    sink.close().await;
}

#[tokio::test]
async fn a_broker_that_goes_is_noticed_without_a_probe() {
    let mut broker = Mosquitto::start();
    let mut sink = mqtt(settings(broker.port));
    sink.open(JOURNAL).await.unwrap();
    broker.stop();
    tokio::time::timeout(Duration::from_secs(60), sink.may_be_lost())
        .await
        .expect("noticed");
    assert!(sink.idle().await.is_err());
}

#[tokio::test]
async fn qos_0_is_delivered_and_an_event_is_its_json_by_default() {
    let broker = Mosquitto::start();
    let mut sink = mqtt(Settings {
        qos: Qos::AtMostOnce,
        body: None,
        ..settings(broker.port)
    });
    sink.open(JOURNAL).await.unwrap();
    let live = broker.subscriber(600);
    let many = events(1..=600);
    sink.attempt(batch(&many)).await.unwrap();
    let messages = live.messages().await;
    assert_eq!(messages.len(), 600);
    let json = String::from_utf8(Event::from(many[599].clone()).to_json()).unwrap();
    assert_eq!(messages[599], format!("devices/1/600/status {json}"));
}

#[tokio::test]
async fn coverage_has_a_topic_and_a_json_of_its_own() {
    let broker = Mosquitto::start();
    let topic =
        "{% if kind == 'coverage' %}coverage/{{ topic }}{% else %}d/{{ device_id }}{% endif %}";
    let mut sink = mqtt(Settings {
        topic: Template::parse(topic, &EventKind::ALL.into()).unwrap(),
        body: None,
        ..settings(broker.port)
    });
    sink.open(JOURNAL).await.unwrap();
    let live = broker.subscriber(2);
    let at = "2026-01-02T03:04:05Z";
    let lost = coverage(JOURNAL, 1, "a/b", at, Some(CoverageCause::Silent));
    let (lost, status) = (Event::from(lost), Event::from(event(2)));
    sink.attempt(batch(&[lost.clone(), status.clone()]))
        .await
        .unwrap();
    let json = |event: &Event| String::from_utf8(event.to_json()).unwrap();
    let expected = [
        format!("coverage/a%2Fb {}", json(&lost)),
        format!("d/2 {}", json(&status)),
    ];
    assert_eq!(live.messages().await, expected);
    assert!(json(&lost).starts_with(r#"{"kind":"coverage","event_id":"#));
}

#[tokio::test]
async fn values_with_the_marks_of_a_topic_stay_one_level() {
    let broker = Mosquitto::start();
    let mut sink = mqtt(settings(broker.port));
    sink.open(JOURNAL).await.unwrap();
    let cases = [
        ("a/b", "a%2Fb"),
        ("+", "%2B"),
        ("#", "%23"),
        ("", "%"),
        ("a\0b\u{1}", "a%00b%01"),
        ("县", "县"),
    ];
    for (device_id, level) in cases {
        let live = broker.subscriber(1);
        let event = StatusEvent {
            device_id: device_id.to_owned(),
            state: "x".to_owned(),
            ..event(1)
        };
        sink.attempt(batch(&[event])).await.unwrap();
        let messages = live.messages().await;
        assert!(
            messages[0].starts_with(&format!("devices/1/{level}/status ")),
            "{messages:?}"
        );
        // Retained, it would be the next subscriber's first message.
        broker.publish(&["-r", "-n", "-t", &format!("devices/1/{level}/status")]);
    }
}

#[tokio::test]
async fn an_oversize_packet_is_refused_alone() {
    let broker = Mosquitto::start();
    let mut sink = mqtt(Settings {
        packet_bytes_max: 100,
        ..settings(broker.port)
    });
    sink.open(JOURNAL).await.unwrap();
    let mut four = events(1..=4);
    four[2].state = "x".repeat(100);
    let failed = sink.attempt(batch(&four)).await.unwrap_err();
    assert_eq!(failed.confirmed, 2);
    let Trouble::Refused {
        index: Some(2),
        by: By::Us,
        error,
    } = failed.trouble
    else {
        panic!("{:?}", failed.trouble)
    };
    assert!(error.contains("packet_bytes_max = 100"), "{error}");
    assert_eq!(sink.idle().await, Ok(()));
    sink.attempt(batch(&four[3..])).await.unwrap();
    let delivered = [&four[0], &four[1], &four[3]].map(message);
    assert_eq!(broker.retained().await, delivered.into_iter().collect());
}

#[tokio::test]
async fn a_topic_with_a_wildcard_is_refused_and_nothing_is_sent() {
    let broker = Mosquitto::start();
    let mut sink = mqtt(Settings {
        topic: template("devices/+/{{ device_id }}"),
        ..settings(broker.port)
    });
    sink.open(JOURNAL).await.unwrap();
    let failed = sink.attempt(batch(&events(1..=2))).await.unwrap_err();
    assert_eq!(failed.confirmed, 0);
    assert!(
        matches!(failed.trouble, Trouble::Refused { index: Some(0), .. }),
        "{:?}",
        failed.trouble
    );
}

#[tokio::test]
async fn a_broker_that_is_stopped_in_the_middle_loses_nothing() {
    let mut broker = Mosquitto::start();
    let mut sink = mqtt(settings(broker.port));
    sink.open(JOURNAL).await.unwrap();
    let seen_some = broker.subscriber(3000);
    let delivering = tokio::spawn(async move {
        for first in (1..).step_by(1000) {
            if let Err(failed) = sink.attempt(batch(&events(first..=first + 999))).await {
                return (sink, first, failed);
            }
        }
        unreachable!("the broker is stopped before the numbers end")
    });
    assert_eq!(seen_some.messages().await.len(), 3000);
    broker.stop();
    let (mut sink, first, failed) = delivering.await.unwrap();
    assert!(
        matches!(failed.trouble, Trouble::Retry { .. }),
        "{:?}",
        failed.trouble
    );
    let confirmed = first as usize - 1 + failed.confirmed;
    assert!(
        failed.confirmed < 1000 && confirmed >= 3000 - WINDOW,
        "{confirmed}"
    );
    let opened = sink.open(JOURNAL).await;
    assert!(matches!(opened, Err(Trouble::Retry { .. })), "{opened:?}");
    assert!(sink.idle().await.is_err());

    broker.restart();
    // Everything that we call confirmed was with the broker before it stopped.
    let all = events(1..=first + 999);
    let messages: Vec<String> = all.iter().map(message).collect();
    let published = broker.retained().await;
    assert!(
        messages[..confirmed]
            .iter()
            .all(|message| published.contains(message))
    );
    assert!(
        published.len() <= confirmed + WINDOW,
        "at most a window is published twice: {}",
        published.len()
    );
    while sink.open(JOURNAL).await.is_err() {}
    assert_eq!(sink.idle().await, Ok(()));
    sink.attempt(batch(&all[confirmed..])).await.unwrap();
    assert_eq!(broker.retained().await, messages.into_iter().collect());
}

#[tokio::test]
async fn an_operator_ends_the_wait_after_a_refusal() {
    let broker = Mosquitto::start_with("allow_anonymous false");
    let mut sink = mqtt(settings(broker.port));
    sink.open(JOURNAL).await.unwrap_err();
    // The next attempt is half a minute away.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = broker.connections();
    sink.retry_now();
    sink.open(JOURNAL).await.unwrap_err();
    broker.wait_for_connections(before + 1);
}

#[tokio::test]
async fn a_wrong_password_is_named_and_never_shown() {
    let broker = Mosquitto::start_with("allow_anonymous false");
    for (settings, code) in [
        (settings as fn(u16) -> Settings, "(0x87)"),
        (settings_311, "CONNACK 5"),
    ] {
        let (username, password) = (Some("bridge".to_owned()), Some(Secret::from("s3cret")));
        let mut sink = mqtt(Settings {
            username,
            password,
            ..settings(broker.port)
        });
        let Err(Trouble::Retry { error, .. }) = sink.open(JOURNAL).await else {
            panic!("opened")
        };
        let server = format!("mqtt://127.0.0.1:{}: ", broker.port);
        assert!(error.starts_with(&server), "{error}");
        assert!(
            error.contains(code) && error.contains("check user name, password"),
            "{error}"
        );
        assert!(!error.contains("s3cret"), "{error}");
        let after = None;
        assert_eq!(sink.idle().await, Err(Trouble::Retry { error, after }));
    }
}

#[tokio::test]
async fn a_publish_that_the_broker_does_not_take_is_named_and_in_the_end_refused() {
    let broker = Mosquitto::start_with("allow_anonymous true\nlog_type all\nmax_packet_size 200");
    let mut sink = mqtt(settings_311(broker.port));
    sink.open(JOURNAL).await.unwrap();
    let mut three = events(1..=3);
    three[1].state = "x".repeat(300);
    // The connection may be gone before the confirmation of the first one was read; then they go
    // one by one.
    let mut confirmed = 0;
    let mut named = Vec::new();
    let refused = loop {
        let failed = sink.attempt(batch(&three[confirmed..])).await.unwrap_err();
        confirmed += failed.confirmed;
        match failed.trouble {
            Trouble::Retry { error, .. } => named.push(error),
            Trouble::Refused {
                index,
                by: By::Them,
                error,
            } => break (index, error),
            other => panic!("{other:?}"),
        }
        assert!(named.len() < 12, "{named:?}");
        while sink.open(JOURNAL).await.is_err() {}
    };
    assert_eq!((confirmed, refused.0), (1, Some(0)));
    assert!(named.len() >= 5, "not before it is certain: {named:?}");
    let last = named.last().unwrap();
    assert!(
        last.contains(r#"topic "devices/1/2/status" and 302 bytes"#) && last.contains("limits"),
        "{named:?}"
    );
    assert!(
        refused
            .1
            .contains("has closed the connection 5 times at this publish"),
        "{}",
        refused.1
    );
    while sink.open(JOURNAL).await.is_err() {}
    sink.attempt(batch(&three[2..])).await.unwrap();
    assert_eq!(
        broker.retained().await,
        [&three[0], &three[2]].map(message).into_iter().collect()
    );
}

#[tokio::test]
async fn a_connection_that_is_lost_whatever_is_published_accuses_no_event() {
    // Accepts, says CONNACK, and closes at the first packet or after a moment: as when another
    // client has our id.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut packet = [0; 256];
                if stream.read(&mut packet).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(&[0x20, 2, 0, 0]).await;
                    let _ =
                        tokio::time::timeout(Duration::from_millis(300), stream.read(&mut packet))
                            .await;
                }
            });
        }
    });
    let mut sink = mqtt(settings(port));
    while sink.open(JOURNAL).await.is_err() {}
    for _ in 0..8 {
        let failed = sink.attempt(batch(&events(1..=3))).await.unwrap_err();
        assert!(
            matches!(failed.trouble, Trouble::Retry { .. }),
            "{:?}",
            failed.trouble
        );
        while sink.open(JOURNAL).await.is_err() {}
    }
}

#[tokio::test]
async fn what_is_delivered_again_replaces_no_retained_message() {
    let broker = Mosquitto::start();
    let mut sink = mqtt(settings(broker.port));
    sink.open(JOURNAL).await.unwrap();
    let newest = StatusEvent {
        state: "new".to_owned(),
        ..event(1)
    };
    sink.attempt(batch(std::slice::from_ref(&newest)))
        .await
        .unwrap();
    let live = broker.subscriber(2);
    let older = StatusEvent {
        state: "old".to_owned(),
        ..event(1)
    };
    let again = Batch {
        reason: Reason::Replay,
        ..batch(std::slice::from_ref(&older))
    };
    sink.attempt(again).await.unwrap();
    let expected = ["devices/1/1/status 1 new", "devices/1/1/status 1 old"];
    assert_eq!(live.messages().await, expected, "a subscriber sees it");
    assert_eq!(
        broker.retained().await,
        [expected[0].to_owned()].into_iter().collect()
    );
}

/// A certificate for this machine that vouches for itself, and its key.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=broker of the tests",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    (cert, key)
}

#[tokio::test]
async fn mqtts_trusts_the_configured_certificates_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(folder.path());
    let lines = format!(
        "allow_anonymous true\ncertfile {}\nkeyfile {}",
        cert.display(),
        key.display()
    );
    let broker = Mosquitto::start_with(&lines);
    let url = format!("mqtts://127.0.0.1:{}", broker.port)
        .parse()
        .unwrap();
    let strict = Settings {
        url,
        ..settings(broker.port)
    };
    let mut sink = mqtt(strict.clone());
    let Err(Trouble::Retry { error, .. }) = sink.open(JOURNAL).await else {
        panic!("trusted")
    };
    assert!(error.contains("set ca_file"), "{error}");

    let tls = stomp_bridge::tls::Settings {
        ca_file: Some(cert),
        ..Default::default()
    };
    let mut sink = mqtt(Settings { tls, ..strict });
    assert_eq!(sink.open(JOURNAL).await, Ok(None));
    sink.attempt(batch(&events(1..=100))).await.unwrap();
}

#[tokio::test]
async fn mqtts_at_a_port_of_clear_text_is_named() {
    let broker = Mosquitto::start_with("allow_anonymous true");
    let url = format!("mqtts://127.0.0.1:{}", broker.port)
        .parse()
        .unwrap();
    let mut sink = mqtt(Settings {
        url,
        ..settings(broker.port)
    });
    let Err(Trouble::Retry { error, .. }) = sink.open(JOURNAL).await else {
        panic!("no TLS there")
    };
    assert!(error.contains("TLS port"), "{error}");
}

#[tokio::test]
async fn mqtts_shows_its_own_certificate_where_the_broker_wants_one() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(folder.path());
    let lines = format!(
        "allow_anonymous true\ncertfile {0}\nkeyfile {1}\ncafile {0}\nrequire_certificate true",
        cert.display(),
        key.display()
    );
    let broker = Mosquitto::start_with(&lines);
    let url = format!("mqtts://127.0.0.1:{}", broker.port)
        .parse()
        .unwrap();
    let tls = stomp_bridge::tls::Settings {
        ca_file: Some(cert.clone()),
        ..Default::default()
    };
    let without = Settings {
        url,
        tls: tls.clone(),
        ..settings(broker.port)
    };
    let mut sink = mqtt(without.clone());
    let Err(Trouble::Retry { error, .. }) = sink.open(JOURNAL).await else {
        panic!("taken without a certificate")
    };
    assert!(
        error.contains("client certificate (cert_file, key_file)"),
        "{error}"
    );

    let tls = stomp_bridge::tls::Settings {
        cert_file: Some(cert),
        key_file: Some(key),
        ..tls
    };
    let mut sink = mqtt(Settings { tls, ..without });
    assert_eq!(sink.open(JOURNAL).await, Ok(None));
    sink.attempt(batch(&events(1..=100))).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_reported_at_once() {
    let mut sink = mqtt(settings(free_port()));
    let failed = sink.attempt(batch(&events(1..=1))).await.unwrap_err();
    assert_eq!(failed.confirmed, 0);
    let Err(Trouble::Retry { error, .. }) = sink.open(JOURNAL).await else {
        panic!("opened")
    };
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_never_answers_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sink = mqtt(settings(silent.local_addr().unwrap().port()));
    let Err(Trouble::Retry { error, .. }) = sink.open(JOURNAL).await else {
        panic!("opened")
    };
    assert!(error.contains("no answer within 8 s"), "{error}");
}

/// Keep-alive, MQTT 3.1.1, section 3.12.
#[tokio::test(start_paused = true)]
async fn a_broker_that_no_longer_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sink = mqtt(settings_311(listener.local_addr().unwrap().port()));
    let broker = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut packet = [0; 256];
        assert!(
            stream.read(&mut packet).await.unwrap() > 2 && packet[0] == 0x10,
            "CONNECT"
        );
        stream.write_all(&[0x20, 2, 0, 0]).await.unwrap();
        // The first PINGREQ is answered, the second is not.
        while stream.read(&mut packet).await.unwrap() > 0 && packet[..2] != [0xC0, 0] {}
        stream.write_all(&[0xD0, 0]).await.unwrap();
        while stream.read(&mut packet).await.is_ok_and(|read| read > 0) {}
        // The next connection is not refused, which would be the last error then.
        listener
    });
    sink.open(JOURNAL).await.unwrap();
    let opened = tokio::time::Instant::now();
    let error = loop {
        match sink.idle().await {
            Ok(()) => tokio::time::sleep(Duration::from_secs(1)).await,
            Err(Trouble::Retry { error, .. }) => break error,
            Err(other) => panic!("{other:?}"),
        }
    };
    let lived = opened.elapsed().as_secs();
    assert!(
        (89..=92).contains(&lived),
        "asked after 30 s and 60 s, given up at 90 s, not at {lived} s"
    );
    assert!(error.contains("PINGRESP"), "{error}");
    let _listener = broker.await.unwrap();
}

/// Its password may have been rotated.
#[tokio::test]
async fn a_driver_that_is_ending_makes_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings = stomp_bridge::sinks::Settings::Mqtt(settings(port));
    let mut built = stomp_bridge::sinks::build(settings, &Interval::default()).unwrap();
    built.ending.cancel();
    let driver = tokio::spawn(built.driver.take().unwrap());
    built.sink.open(JOURNAL).await.unwrap_err();
    driver.await.unwrap();
    let dialled = tokio::time::timeout(Duration::from_millis(50), listener.accept());
    assert!(dialled.await.is_err());
}

#[tokio::test]
async fn the_driver_ends_with_its_sink() {
    let settings = stomp_bridge::sinks::Settings::Mqtt(settings(free_port()));
    for opened in [false, true] {
        let mut built = stomp_bridge::sinks::build(settings.clone(), &Interval::default()).unwrap();
        let driver = tokio::spawn(built.driver.take().unwrap());
        if opened {
            built.sink.open(JOURNAL).await.unwrap_err();
        }
        drop(built);
        tokio::time::timeout(Duration::from_secs(60), driver)
            .await
            .unwrap()
            .unwrap();
    }
}
