//! What an MQTT broker rejects: dead letters of those events alone, and a pause where it is all of
//! them.

use super::bridge::{Source, asked, passed, status, stop};
use peers::platform::message;
use peers::{Daemon, Folder, Mosquitto, Subscriber, USER, port};

const DEVICES: usize = 12;
const MESSAGES: usize = 60;

/// mosquitto with an access list; the folder has it.
async fn broker(rules: &str) -> (Mosquitto, Folder) {
    let folder = Folder::new("access");
    let list = folder.write("access", &format!("user {USER}\n{rules}"));
    let line = format!("acl_file {}\n", list.display());
    (Mosquitto::start_with(port::free(), &line).await, folder)
}

fn publish(source: &Source) {
    for n in 0..MESSAGES {
        source.publish(message("run", n, DEVICES));
    }
}

#[tokio::test]
async fn what_the_brokers_access_list_forbids_is_dead_lettered_and_nothing_else() {
    let (broker, _list) = broker("topic readwrite #\ntopic deny site/1/2/status\n").await;
    let source = Source::start().await;
    let configuration = source.configuration().mqtt(&broker.url(), "site");
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    let live = Subscriber::start(broker.port(), "reader", "site/1/#").await;
    publish(&source);
    let forbidden = MESSAGES / DEVICES;
    passed(&daemon, "site", MESSAGES as i64, forbidden as i64).await;
    let listed = asked(&daemon, &["dlq", "list", "site"]).await;
    let first = listed["entries"][0]["error"].as_str().unwrap();
    assert!(first.contains("not authorized (0x87)"), "{first}");
    let numbers: Vec<usize> = live.delivered().iter().map(|event| event.n).collect();
    let allowed: Vec<usize> = (0..MESSAGES).filter(|n| n % DEVICES != 1).collect();
    assert_eq!(numbers, allowed, "each once, in order");
    stop(&mut daemon).await;
}

#[tokio::test]
async fn a_broker_that_forbids_everything_is_not_up_and_the_journal_keeps_the_rest() {
    let (broker, _list) = broker("topic read #\n").await;
    let source = Source::start().await;
    let configuration = source.configuration().mqtt(&broker.url(), "site");
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    publish(&source);
    let is_pause = |line: &str| line.contains("events were rejected") && line.contains("0x87");
    daemon.logged("a pause", is_pause).await;
    let report = status(&daemon).await;
    let sink = &report["sinks"][0];
    let dead_letters = sink["waiting"].as_u64().unwrap();
    assert!((1..30).contains(&dead_letters), "{sink}");
    assert!(sink["pending"].as_u64().unwrap() > 0, "{sink}");
    stop(&mut daemon).await;
}
