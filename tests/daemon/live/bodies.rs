//! Bodies as platforms write them, through a real broker: each topic by its own keys, and within
//! bounds.

use std::collections::BTreeSet;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::lab::lab;
use super::run::assert_drained;
use crate::accounting::bridge::{asked, status};
use peers::{Configuration, Daemon, Receiver, Stomp, history, platform, wait};

const DEVICES: usize = 2;

/// `source.max_body` of the test.
const BODY_BYTES_MAX: usize = 64 << 10;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// A body and the headers of its message.
type Sent = (&'static str, Vec<u8>);

fn plain(body: impl Into<Vec<u8>>) -> Sent {
    ("", body.into())
}

/// A topic with its keys, what is sent to it, and how many of its entries are undecodable.
struct Topic {
    name: &'static str,
    keys: &'static str,
    sent: Vec<Sent>,
    undecodable: usize,
}

/// Eleven statuses.
const STATUSES: usize = 11;

fn topics() -> Vec<Topic> {
    let status = |n: usize| platform::message("bodies", n, DEVICES);
    let text = |inner: &str| Value::from(inner).to_string();
    let lines = format!("{}\r\n{}\n", status(1), status(2));
    let mixed = format!("[{}, {{\"x\": 1}}, 5, {}]", status(5), status(6));
    let (zeros, deep) = (
        vec![b' '; 64 * BODY_BYTES_MAX],
        vec![b'['; BODY_BYTES_MAX / 2],
    );
    let gbk = encoding_rs::GBK.encode(&status(10)).0.into_owned();
    let cut = gzip(&gbk);
    vec![
        Topic {
            name: "plain",
            keys: "ignore = \"type == 'heartbeat'\"\n",
            sent: vec![
                // JSON in JSON, alone and line by line.
                plain(text(&status(0))),
                plain(text(&lines)),
                plain(format!("\u{feff}{}", status(3))),
                plain(format!("{}\0\n\0", status(4))),
                plain(mixed),
                plain(r#"{"type":"heartbeat"}"#),
                plain("[]"),
                // What comes out of it is 64 times as long as a body may be.
                plain(gzip(&zeros)),
                plain(deep),
            ],
            undecodable: 4,
        },
        Topic {
            name: "wrapped",
            keys: "items = \"/data\"\nfields = { province = { const = \"Jiangsu\" } }\n",
            sent: vec![
                plain(format!("{{\"code\":0,\"data\":{}}}", text(&status(7)))),
                plain(format!("{{\"data\":[{},{}]}}", status(8), status(9))),
                plain(r#"{"code":0,"data":[]}"#),
                plain(r#"{"code":0,"data":null}"#),
            ],
            undecodable: 0,
        },
        Topic {
            name: "charset",
            keys: "encoding = \"gb18030\"\n",
            sent: vec![
                plain(gbk),
                plain(cut[..cut.len() - 9].to_vec()),
                ("content-encoding:gzip\n", cut[..cut.len() - 9].to_vec()),
            ],
            undecodable: 2,
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_topics_form_is_read_and_what_cannot_be_is_kept_with_its_reason() {
    let rabbitmq = &lab().await.rabbitmq;
    let receiver = Receiver::start().await;
    let mut configuration = Configuration::new(&rabbitmq.stomp_url())
        .source(&format!("max_body = \"{BODY_BYTES_MAX}B\""))
        .sqlite_of_statuses()
        .webhook(&receiver.url());
    let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
    let topics = topics();
    for Topic {
        name, keys, sent, ..
    } in &topics
    {
        let destination = format!("/queue/bodies_{name}");
        for (headers, body) in sent {
            publisher.publish_with(&destination, headers, [body]).await;
        }
        let lines = format!("destination = \"{destination}\"\nack = \"client-individual\"\n{keys}");
        configuration = configuration.table(&format!("topics.{name}"), &lines);
    }
    let mut daemon = Daemon::start(&configuration).await;
    let undecodable: usize = topics.iter().map(|topic| topic.undecodable).sum();
    let report = wait::until("every body is read", async || {
        let report = status(&daemon).await;
        let is_all = report["intake"]["undecodable"] == undecodable
            && platform::numbers(&receiver.delivered()).len() == STATUSES
            && history::count(daemon.folder()).await == STATUSES;
        is_all.then_some(report)
    })
    .await;
    let count = |topic: &str, what: &str| report["link"]["topics"][topic][what].clone();
    assert_eq!(count("plain", "ignored"), 1, "{report}");
    assert_eq!(count("plain", "empty"), 1, "{report}");
    assert_eq!(count("wrapped", "empty"), 2, "{report}");
    for body in receiver.bodies() {
        let event: Value = serde_json::from_slice(&body).unwrap();
        let province = match &event["topic"] {
            topic if topic == "wrapped" => "Jiangsu",
            _ => "江苏省",
        };
        assert_eq!(event["province"], province, "{event}");
        assert_ne!(event["state"], event["new_state"], "{event}");
    }

    let listed = asked(&daemon, &["dlq", "list", "--undecodable"]).await;
    let reasons = listed["entries"].as_array().unwrap().iter();
    let reasons: Vec<&str> = reasons.map(|it| it["error"].as_str().unwrap()).collect();
    let of = |words: &str| {
        reasons
            .iter()
            .filter(|reason| reason.contains(words))
            .count()
    };
    assert_eq!(reasons.len(), undecodable, "{listed}");
    assert_eq!(
        of("come out of gzip, and that exceeds source.max_body"),
        1,
        "{reasons:?}"
    );
    assert_eq!(
        of("expected gzip, found what cannot be decompressed"),
        2,
        "{reasons:?}"
    );
    assert_eq!(of("UTF-8"), 0, "{reasons:?}");
    let distinct: BTreeSet<&str> = reasons.iter().copied().collect();
    assert!(distinct.len() >= 5, "{reasons:?}");
    assert_eq!(daemon.stop().await.code(), Some(0));
    for topic in &topics {
        assert_drained(rabbitmq, &format!("bodies_{}", topic.name)).await;
    }
}
