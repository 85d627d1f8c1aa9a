//! `why` where the journal no longer says it: a history's row is shown as it stands, what was dropped
//! or evicted is not called done, and an undecodable status is named.

use serde_json::Value;

use super::bridge::{Source, asked, cli, done, stop, text};
use peers::{Daemon, Postgres, Receiver, wait};

/// Other places of a device's ids and its state.
const MOVED: &str =
    "fields = { client = \"/deviceId\", device = \"/sn\", new_state = \"/oldState\" }\n";

/// Gives a daemon's configuration another meaning of a word.
fn rename(daemon: &Daemon) {
    let file = daemon.folder().join("config.toml");
    let written = std::fs::read_to_string(&file).unwrap();
    let meaning = "name = \"fault\", severity = \"critical\"";
    assert!(written.contains(meaning), "{written}");
    let renamed = written.replace(meaning, "name = \"broken\", severity = \"info\"");
    std::fs::write(&file, renamed).unwrap();
}

fn status(device: u32, old: &str, new: &str) -> String {
    format!(
        r#"{{"clientId":1,"deviceId":{device},"sn":"s-{device}","oldState":"{old}","newState":"{new}"}}"#
    )
}

/// The part of a sink in what `why` says of a device.
async fn at_sink(daemon: &Daemon, device: &str, sink: &str) -> Option<Value> {
    let output = cli(daemon, &["why", device, "--json"]).await;
    let way: Value = serde_json::from_slice(&output.stdout).ok()?;
    let sinks = way["sinks"].as_array()?;
    sinks.iter().find(|at| at["sink"] == sink).cloned()
}

/// Waits until a sink has an event of a device.
async fn confirmed(daemon: &Daemon, device: &str, sink: &str) {
    wait::until(&format!("{sink} has {device}"), async || {
        let at = at_sink(daemon, device, sink).await?;
        (at["fate"] == "confirmed").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_shown_as_it_stands_whatever_the_configuration_says_by_now() {
    let (source, postgres) = (Source::start().await, Postgres::start().await);
    let url = postgres.create("rows").await;
    let sqlite = "type = \"sqlite\"\npath = \"history.db\"\nkinds = [\"status\"]\n\
        omit = [\"payload\", \"detail\"]\n";
    let journal = ("journal", "keep = \"0s\"\n");
    let configuration = source.configuration().table("sinks.history", sqlite);
    let configuration = configuration.postgres(&url).table(journal.0, journal.1);
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    source.publish(status(2, "正常", "故障"));
    // The row of the same event that has its payload is the one to show.
    let way = wait::until("the journal no longer has it", async || {
        let way = cli(&daemon, &["why", "1/2", "--json"]).await;
        let way: Value = serde_json::from_slice(&way.stdout).ok()?;
        (way["only_in"]["sink"] == "warehouse").then_some(way)
    })
    .await;
    assert_eq!(way["event"]["payload"]["sn"], "s-2", "{way}");
    assert_eq!(way["only_in"]["in_journal"], false, "{way}");
    stop(&mut daemon).await;

    let corrected = source.configuration_with(MOVED);
    let corrected = corrected.table("sinks.history", sqlite);
    corrected.write(daemon.folder());
    rename(&daemon);
    let said = done(&daemon, &["why", "1/2"]).await;
    for part in [
        "device 1/2: 正常 -> fault\n",
        "\n  serial    s-2\n",
        "no longer in the journal; sink history has it as row",
        "\n  stored    fault (critical), sent as 故障, changed\n",
        "\n  payload   the row has none\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("warning"), "{said}");
}

#[tokio::test]
async fn what_a_row_says_otherwise_than_the_configuration_stands_beside_it() {
    let source = Source::start().await;
    let mut daemon = Daemon::start(&source.configuration().sqlite()).await;
    daemon.ready().await;
    source.publish(status(2, "正常", "故障"));
    confirmed(&daemon, "1/2", "history").await;
    stop(&mut daemon).await;
    rename(&daemon);
    let said = done(&daemon, &["why", "1/2"]).await;
    assert!(said.contains("decoded   broken (info)"), "{said}");
    let row = "of status_event, which says fault (critical)\n";
    assert!(format!("{said}\n").contains(row), "{said}");
    // Its entry is still there, as another device's by now.
    let moved = source.configuration_with(MOVED).sqlite();
    moved.write(daemon.folder());
    let said = done(&daemon, &["why", "1/2"]).await;
    assert!(said.contains("device 1/2: 正常 -> fault"), "{said}");
    let kept = "the configuration reads its entry in the journal otherwise by now; sink history";
    assert!(said.contains(kept), "{said}");
}

#[tokio::test]
async fn what_was_dropped_from_the_dead_letters_is_not_called_done() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    receiver.answer(422);
    let configuration = source.configuration().webhook(&receiver.url());
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    source.publish(status(2, "正常", "故障"));
    wait::until("it is dead-lettered", async || {
        let at = at_sink(&daemon, "1/2", "oncall").await?;
        (at["fate"] == "dead_letter").then_some(())
    })
    .await;
    let dropped = async || {
        let output = cli(&daemon, &["dlq", "drop", "oncall", "--all"]).await;
        output.status.success().then_some(())
    };
    wait::until("the cursor is past it, and it is dropped", dropped).await;
    let at = wait::until("it is no longer listed", async || {
        let at = at_sink(&daemon, "1/2", "oncall").await?;
        (at["fate"] != "dead_letter").then_some(at)
    })
    .await;
    assert_eq!(at["fate"], "passed", "{at}");
    assert_eq!(at["perhaps_dropped"], true, "{at}");
    let said = done(&daemon, &["why", "1/2"]).await;
    assert!(
        said.contains("or its dead letter was dropped; no proof"),
        "{said}"
    );
    assert!(!said.contains("done"), "{said}");
    let position = asked(&daemon, &["why", "1/2"]).await["position"].clone();
    let (_, page) = daemon.get(&format!("/event/{position}")).await.unwrap();
    assert!(page.contains("or its dead letter was dropped"), "{page}");
    stop(&mut daemon).await;
}

#[tokio::test]
async fn what_was_evicted_before_a_sink_had_it_is_lost_for_it() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    receiver.answer(503);
    let bounds = "max_bytes = \"1MiB\"\nwhen_full = \"drop_oldest\"\n";
    let configuration = source.configuration().sqlite_of_statuses();
    let configuration = configuration.webhook(&receiver.url());
    let mut daemon = Daemon::start(&configuration.table("journal", bounds)).await;
    daemon.ready().await;
    source.publish(status(2, "正常", "故障"));
    confirmed(&daemon, "1/2", "history").await;
    let pad = "x".repeat(16 << 10);
    let way = wait::until("it is evicted", async || {
        source.publish(format!(
            r#"{{"clientId":1,"deviceId":3,"newState":"故障","pad":"{pad}"}}"#
        ));
        let way = asked(&daemon, &["why", "1/2"]).await;
        way["only_in"].is_object().then_some(way)
    })
    .await;
    let had = at_sink(&daemon, "1/2", "history").await.unwrap();
    assert_eq!(had["fate"], "confirmed", "{had}");
    let path = format!("/api/v1/events/{}", way["position"]);
    let (code, said) = daemon.get(&path).await.unwrap();
    assert_eq!(code, 404);
    assert!(said.contains("has evicted this entry"), "{said}");
    let path = format!("/event/{}", way["position"]);
    let (_, page) = daemon.get(&path).await.unwrap();
    assert!(
        page.contains("evicted this entry before every sink"),
        "{page}"
    );

    // A stopped sink has nothing in memory, either.
    stop(&mut daemon).await;
    let lost = at_sink(&daemon, "1/2", "oncall").await.unwrap();
    assert_eq!(lost["fate"], "evicted", "{lost}");
    assert_eq!(lost["perhaps_in_memory"], false, "{lost}");
    // Once the sink gets what is left, it has still lost this one.
    receiver.answer(204);
    daemon.restart().await;
    daemon.ready().await;
    confirmed(&daemon, "1/3", "oncall").await;
    let lost = at_sink(&daemon, "1/2", "oncall").await.unwrap();
    assert_eq!(lost["fate"], "evicted", "{lost}");
    let said = done(&daemon, &["why", "1/2"]).await;
    assert!(
        said.contains("oncall   evicted before the sink had it"),
        "{said}"
    );
    let output = cli(&daemon, &["why", "1/99"]).await;
    let said = text(&output.stderr);
    assert!(said.contains("was full and has evicted"), "{said}");
    stop(&mut daemon).await;
}

#[tokio::test]
async fn an_undecodable_status_is_not_called_unseen() {
    let source = Source::start().await;
    let mut daemon = Daemon::start(&source.configuration().sqlite()).await;
    daemon.ready().await;
    source.publish(status(2, "正常", "故障"));
    for device in [55, 2] {
        source.publish(format!(
            r#"{{"clientId":1,"deviceId":{device},"oldState":"x"}}"#
        ));
    }
    source.publish("no status");
    wait::until("the entries are there", async || {
        let letters = asked(&daemon, &["dlq", "list", "--undecodable"]).await;
        (letters["entries"].as_array()?.len() == 3).then_some(())
    })
    .await;
    let output = cli(&daemon, &["why", "1/55"]).await;
    let said = text(&output.stderr);
    for part in [
        "the journal has 1 status that is undecodable, at position ",
        "stomp-bridge dlq list --undecodable",
        "1 undecodable entry names no device that can be read",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = done(&daemon, &["why", "1/2"]).await;
    let part = "\n  newer     1 status that is undecodable, at position ";
    assert!(said.contains(part), "{said}");
    let way = asked(&daemon, &["why", "1/2"]).await;
    assert_eq!(way["undecodable_behind"]["statuses"], 1, "{way}");
    stop(&mut daemon).await;
}
