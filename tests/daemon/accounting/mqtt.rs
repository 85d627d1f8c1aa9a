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

/// mosquitto closes the connection of a client whose id another one takes, without a word: a first
/// close, and a second one, may be a restart.
#[tokio::test]
async fn another_client_of_the_same_id_is_named_at_the_third_close_and_takes_no_event_away() {
    let broker = Mosquitto::start_with(port::free(), "").await;
    let (source, other) = (Source::start().await, Source::start().await);
    let of = |source: &Source| {
        let (url, password) = (broker.url(), peers::PASSWORD);
        let sink = format!(
            "type = \"mqtt\"\nurl = \"{url}\"\nusername = \"{USER}\"\npassword = \"{password}\"\n\
             client_id = \"twin\"\ntopic = \"site/{{{{ device_id }}}}\"\n"
        );
        source.configuration().table("sinks.site", &sink)
    };
    let mut daemon = Daemon::start(&of(&source)).await;
    let mut twin = Daemon::start(&of(&other)).await;
    const LOST: &str = "no connection to the MQTT broker";
    const NAMED: &str = "times in a row: does another client use the client_id";
    let is_named = |line: &str| line.contains(LOST) && line.contains(NAMED);
    let named = daemon.logged("a take-over", is_named).await;
    assert!(named.contains(" 3 times in a row"), "{named}");
    let log = daemon.log();
    let before = log.lines().take_while(|line| !is_named(line));
    let before = before.filter(|line| line.contains(LOST)).count();
    assert_eq!(before, 2, "{log}");
    for source in [&source, &other] {
        publish(source);
    }
    for daemon in [&daemon, &twin] {
        passed(daemon, "site", MESSAGES as i64, 0).await;
    }
    stop(&mut twin).await;
    stop(&mut daemon).await;
}
