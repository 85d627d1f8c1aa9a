//! One event followed to each sink's proof, and what an operator does with histories: forget a
//! device, prune, back up. The binary runs beside the daemon and without it.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::bridge::{Source, asked, cli, done, passed, positions, stop, text};
use peers::{Daemon, Mosquitto, Postgres, Receiver, port, wait};

fn status(device: u32, old: &str, new: &str) -> String {
    format!(
        r#"{{"clientId":1,"deviceId":{device},"sn":"s-{device}","oldState":"{old}","newState":"{new}"}}"#
    )
}

/// What became of the newest event of a device at a sink, once the condition holds of it.
async fn fate(daemon: &Daemon, device: &str, sink: &str, fate: &str) -> Value {
    wait::until(&format!("{device} is {fate} at {sink}"), async || {
        let way = asked(daemon, &["why", device]).await;
        let sinks = way["sinks"].as_array()?.clone();
        sinks
            .into_iter()
            .find(|at| at["sink"] == sink && at["fate"] == fate)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_followed_to_what_each_sink_has_answered() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    let (broker, postgres) = tokio::join!(
        Mosquitto::start_forgetful_on(port::free()),
        Postgres::start()
    );
    let url = postgres.create("why").await;
    let configuration = source.configuration().sqlite().postgres(&url);
    let configuration = configuration.mqtt(&broker.url(), "site");
    let when = "when = \"severity == 'critical'\"\n";
    let configuration = configuration.webhook_with(&receiver.url(), when);
    let folder = tempfile::tempdir().unwrap();
    let names = folder.path().join("names.csv");
    // Names that are the ids of other devices, too.
    let lines = "device,serial,name\n1/3,,泵站\n,s-2,二号\n,s-9,九号\n2/12,,1/3\n9/14,,2\n";
    std::fs::write(&names, lines).unwrap();
    let names = format!("file = \"{}\"\n", names.display());
    let configuration = configuration.table("names", &names);
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    source.publish(status(2, "正常", "故障"));
    source.publish(status(3, "正常", "离线"));
    for sink in ["history", "warehouse"] {
        let at = fate(&daemon, "1/2", sink, "confirmed").await;
        let answer = at["answer"].as_str().unwrap();
        assert!(answer.contains("stored"), "{at}");
        assert!(at["history"]["sequence"].as_i64().unwrap() > 0, "{at}");
        assert_eq!(at["attempts"], 1, "{at}");
    }
    let at = fate(&daemon, "1/2", "site", "confirmed").await;
    let answer = at["answer"].as_str().unwrap();
    assert!(
        answer.starts_with("PUBACK 0x") && answer.contains("packet id"),
        "{at}"
    );
    let at = fate(&daemon, "1/2", "oncall", "confirmed").await;
    assert_eq!(at["answer"], "HTTP 204");
    let at = fate(&daemon, "1/3", "oncall", "filtered").await;
    assert!(
        at["why"]
            .as_str()
            .unwrap()
            .contains("severity == 'critical'"),
        "{at}"
    );
    assert_eq!(at["values"]["severity"], "warning");

    let said = done(&daemon, &["why", "1/2"]).await;
    for part in [
        "device 1/2, 二号: normal -> fault\n  serial    s-2\n",
        ", times of Asia/Shanghai, position ",
        "fault (critical), sent as 故障, changed",
        "HTTP 204",
        "of status_event",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = done(&daemon, &["why", "泵站"]).await;
    assert!(
        said.contains("device 1/3, 泵站: normal -> offline"),
        "{said}"
    );
    let output = cli(&daemon, &["history", "forget", "--device", "泵站"]).await;
    let said = text(&output.stdout);
    assert!(said.contains("device 1/3 would be forgotten"), "{said}");
    // A name of a serial number.
    let said = done(&daemon, &["why", "二号"]).await;
    assert!(said.contains("device 1/2, 二号: normal -> fault"), "{said}");
    let output = cli(&daemon, &["history", "forget", "--device", "二号"]).await;
    let said = text(&output.stdout);
    assert!(said.contains("device 1/2 would be forgotten"), "{said}");
    // An id beats a name, and an id alone that is a name is asked about.
    let said = done(&daemon, &["why", "1/3"]).await;
    assert!(said.contains("device 1/3, 泵站: normal"), "{said}");
    let output = cli(&daemon, &["history", "forget", "--device", "1/3"]).await;
    let said = text(&output.stdout);
    assert!(said.contains("device 1/3 would be forgotten"), "{said}");
    let devices = ["history", "devices", "--format", "csv", "--device"];
    let said = done(&daemon, &[&devices[..], &["1/3"]].concat()).await;
    assert!(said.contains(",泵站,"), "{said}");
    for verb in [&["why", "2"][..], &["history", "forget", "--device", "2"]] {
        let said = text(&cli(&daemon, verb).await.stderr);
        let expected = "2 is the id of 1/2 and the name of 9/14: write one of these";
        assert!(said.contains(expected), "{said}");
    }
    let said = text(&cli(&daemon, &[&devices[..], &["2"]].concat()).await.stderr);
    assert!(
        said.contains("2 is the id of 1/2 and the name of 9/14"),
        "{said}"
    );
    for verb in [
        &["why", "九号"][..],
        &["history", "forget", "--device", "九号"],
    ] {
        let said = text(&cli(&daemon, verb).await.stderr);
        let expected = "gives the name 九号 to the serial number s-9, which no device has";
        assert!(said.contains(expected), "{said}");
    }
    for (arguments, code, part) in [
        (&["why", "1/9"][..], 1, "device 1/9 was never seen"),
        (
            &["why", "1/2", "--at", "2020-01-01 00:00"][..],
            1,
            "at or before 2020-01-01",
        ),
        (
            &["why", "1/2", "--stream", "other"][..],
            1,
            "was never seen",
        ),
        (&["why", "1/2", "--at", "soon"][..], 2, "or a time such as"),
    ] {
        let output = cli(&daemon, arguments).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(part), "{said}");
    }

    // What waits says why, and what was rejected is listed.
    receiver.answer(503);
    source.publish(status(2, "故障", "故障"));
    let because = wait::until("why it waits", async || {
        let at = fate(&daemon, "1/2", "oncall", "waits").await;
        at["because"].as_str().map(str::to_owned)
    });
    let because = because.await;
    assert!(because.contains("answered 503"), "{because}");
    receiver.answer(422);
    let at = fate(&daemon, "1/2", "oncall", "dead_letter").await;
    assert!(
        at["error"].as_str().unwrap().contains("answered 422"),
        "{at}"
    );
    stop(&mut daemon).await;
    let at = fate(&daemon, "1/2", "site", "confirmed").await;
    assert!(at["answer"].as_str().unwrap().starts_with("PUBACK"), "{at}");
}

#[tokio::test]
async fn an_event_that_left_the_journal_is_found_in_a_history() {
    let source = Source::start().await;
    let configuration = source.configuration().sqlite_of_statuses();
    let configuration = configuration.table("journal", "keep = \"0s\"\n");
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    source.publish(status(2, "正常", "故障"));
    wait::until("the journal is empty", async || {
        let way = cli(&daemon, &["why", "1/2", "--json"]).await;
        let way: Value = serde_json::from_slice(&way.stdout).ok()?;
        (way["only_in"]["sink"] == "history").then_some(())
    })
    .await;
    assert!(positions(&daemon).await.is_empty());
    let said = done(&daemon, &["why", "2"]).await;
    assert!(
        said.contains("no longer in the journal; sink history has it as row"),
        "{said}"
    );
    assert!(said.contains("confirmed"), "its proof is kept: {said}");

    // An id may hold a slash, and stand alone.
    let slash = r#"{"clientId":2,"deviceId":"a/b","oldState":"正常","newState":"故障"}"#;
    source.publish(slash.to_owned());
    wait::until("the history has the device", async || {
        let way = cli(&daemon, &["why", "a/b", "--json"]).await;
        let way: Value = serde_json::from_slice(&way.stdout).ok()?;
        (way["only_in"]["sink"] == "history").then_some(())
    })
    .await;
    let devices = ["history", "devices", "--format", "csv", "--device"];
    for device in ["a/b", "2/a/b"] {
        let said = done(&daemon, &[&devices[..], &[device]].concat()).await;
        assert!(said.contains(",2,a/b,"), "{device}: {said}");
    }
    let output = cli(&daemon, &["history", "forget", "--device", "a/b"]).await;
    let said = text(&output.stdout);
    assert!(said.contains("device 2/a/b would be forgotten"), "{said}");
    stop(&mut daemon).await;
}

/// The row is committed before the journal's cursor is past it; a kill between the two leaves it so.
#[tokio::test]
async fn an_event_that_is_a_row_is_stored_and_does_not_wait() {
    let source = Source::start().await;
    let mut daemon = Daemon::start(&source.configuration().sqlite()).await;
    daemon.ready().await;
    source.publish(status(2, "正常", "故障"));
    fate(&daemon, "1/2", "history", "confirmed").await;
    stop(&mut daemon).await;
    let position = asked(&daemon, &["why", "1/2"]).await["position"].clone();
    let options = SqliteConnectOptions::new().filename(daemon.folder().join("journal.db"));
    let mut journal = options.connect().await.unwrap();
    let back = format!(
        "DELETE FROM proof; UPDATE cursor SET position = {position} - 1 WHERE sink = 'history'"
    );
    let back = sqlx::raw_sql(AssertSqlSafe(back));
    back.execute(&mut journal).await.unwrap();
    journal.close().await.unwrap();
    let said = done(&daemon, &["why", "1/2"]).await;
    let (_, of_sinks) = said.split_once("  sinks\n").unwrap();
    let lines: Vec<&str> = of_sinks.lines().map(str::trim).collect();
    assert_eq!(lines[0], "history  stored", "{said}");
    assert!(lines[1].ends_with("of status_event"), "{said}");
    fate(&daemon, "1/2", "history", "stored").await;
}

/// Rows of a device in the view of a SQLite history: `changed` and `missed_transition` of each.
async fn sqlite_rows(daemon: &Daemon, device: u32) -> Vec<(bool, bool)> {
    let options = SqliteConnectOptions::new()
        .filename(daemon.folder().join("history.db"))
        .read_only(true);
    let mut history = options.connect().await.unwrap();
    let rows = "SELECT changed, missed_transition FROM status_event WHERE device_id = ?";
    let rows = sqlx::query_as(rows).bind(device.to_string());
    let rows = rows.fetch_all(&mut history).await.unwrap();
    history.close().await.unwrap();
    rows
}

async fn postgres_rows(postgres: &Postgres, device: u32) -> Vec<(bool, bool)> {
    let mut connection = postgres.connect("forget").await;
    let rows =
        format!("SELECT changed, missed_transition FROM status_event WHERE device_id = '{device}'");
    let rows = sqlx::query_as(AssertSqlSafe(rows));
    let rows = rows.fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows
}

/// Waits until both histories have these rows of a device.
async fn both(daemon: &Daemon, postgres: &Postgres, device: u32, expected: &[(bool, bool)]) {
    wait::until(&format!("{expected:?} of device {device}"), async || {
        let rows = (
            sqlite_rows(daemon, device).await,
            postgres_rows(postgres, device).await,
        );
        (rows == (expected.to_vec(), expected.to_vec())).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_device_is_gone_everywhere_and_begins_anew() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    let postgres = Postgres::start().await;
    let url = postgres.create("forget").await;
    let configuration = source.configuration().sqlite().postgres(&url);
    let configuration = configuration.webhook(&receiver.url());
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    receiver.answer(422);
    source.publish(status(2, "正常", "故障"));
    source.publish(status(3, "正常", "故障"));
    passed(&daemon, "oncall", 2, 2).await;
    both(&daemon, &postgres, 2, &[(true, false)]).await;
    both(&daemon, &postgres, 3, &[(true, false)]).await;

    let output = cli(&daemon, &["history", "forget", "--device", "1/2"]).await;
    let said = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{said}{}",
        text(&output.stderr)
    );
    for part in [
        "device 1/2 would be forgotten",
        "  1 status, 1 interval, its days",
        "  1 dead letter\n",
        "its last state",
        "add --yes",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    both(&daemon, &postgres, 2, &[(true, false)]).await;
    let output = cli(&daemon, &["history", "forget", "--device", "1/8", "--yes"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("device 1/8 was never seen"));

    let forget = ["history", "forget", "--device", "1/2", "--yes"];
    let said = done(&daemon, &forget).await;
    assert!(
        said.contains("device 1/2 is forgotten: its next status is that of a new device"),
        "{said}"
    );
    both(&daemon, &postgres, 2, &[]).await;
    both(&daemon, &postgres, 3, &[(true, false)]).await;
    let letters = asked(&daemon, &["dlq", "list", "oncall"]).await;
    assert_eq!(letters["entries"].as_array().unwrap().len(), 1, "{letters}");

    // The last state was 故障: of a device that is known this would be a change.
    source.publish(status(2, "正常", "正常"));
    both(&daemon, &postgres, 2, &[(false, false)]).await;
    source.publish(status(2, "正常", "故障"));
    both(&daemon, &postgres, 2, &[(false, false), (true, false)]).await;

    // A crash right behind it brings nothing back.
    done(&daemon, &forget).await;
    daemon.kill();
    daemon.restart().await;
    daemon.ready().await;
    source.publish(status(2, "正常", "正常"));
    both(&daemon, &postgres, 2, &[(false, false)]).await;
    source.publish(status(2, "正常", "故障"));
    both(&daemon, &postgres, 2, &[(false, false), (true, false)]).await;

    // Nor does one that is done without the daemon.
    stop(&mut daemon).await;
    done(&daemon, &forget).await;
    both(&daemon, &postgres, 2, &[]).await;
    daemon.restart().await;
    daemon.ready().await;
    source.publish(status(2, "正常", "正常"));
    both(&daemon, &postgres, 2, &[(false, false)]).await;
    both(&daemon, &postgres, 3, &[(true, false)]).await;
    stop(&mut daemon).await;
}

#[tokio::test]
async fn a_serial_number_without_a_history_is_found_in_the_journal_and_its_dead_letters_go() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    receiver.answer(422);
    let folder = tempfile::tempdir().unwrap();
    let names = folder.path().join("names.csv");
    std::fs::write(&names, "serial,name\ns-2,二号\n").unwrap();
    let names = format!("file = \"{}\"\n", names.display());
    let configuration = source.configuration().webhook(&receiver.url());
    let configuration = configuration.table("names", &names);
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    for device in [2, 3, 2] {
        source.publish(status(device, "正常", "故障"));
    }
    passed(&daemon, "oncall", 3, 3).await;
    let said = done(&daemon, &["why", "二号"]).await;
    assert!(said.contains("device 1/2, 二号"), "{said}");
    let forget = ["history", "forget", "--device", "二号", "--yes"];
    let said = done(&daemon, &forget).await;
    assert!(said.contains("2 dead letters"), "{said}");
    let letters = asked(&daemon, &["dlq", "list", "oncall"]).await;
    assert_eq!(letters["entries"].as_array().unwrap().len(), 1, "{letters}");
    stop(&mut daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_statuses_are_pruned_and_a_backup_is_whole_while_the_daemon_writes() {
    const STATUSES: usize = 1200;
    let source = Source::start().await;
    let postgres = Postgres::start().await;
    let url = postgres.create("forget").await;
    let configuration = source.configuration().sqlite_of_statuses().postgres(&url);
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    // A plain topic's server drops who does not keep up with it.
    for begins in (0..STATUSES).step_by(200) {
        source.messages(begins..begins + 200);
        passed(&daemon, "history", begins as i64 + 200, 0).await;
    }
    passed(&daemon, "warehouse", STATUSES as i64, 0).await;

    let copy = daemon.folder().join("copy.db");
    let to = copy.to_str().unwrap();
    let said = done(&daemon, &["history", "backup", to]).await;
    assert!(said.contains("copied to"), "{said}");
    assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let options = SqliteConnectOptions::new().filename(&copy).read_only(true);
    let mut copied = options.connect().await.unwrap();
    let checked: (String, i64) = sqlx::query_as(
        "SELECT quick_check, (SELECT count(*) FROM status_event) FROM pragma_quick_check",
    )
    .fetch_one(&mut copied)
    .await
    .unwrap();
    assert_eq!(checked, ("ok".to_owned(), STATUSES as i64));
    let output = cli(&daemon, &["history", "backup", to]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("is there already"));
    let output = cli(
        &daemon,
        &["history", "backup", "x.dump", "--sink", "warehouse"],
    )
    .await;
    let said = text(&output.stderr);
    assert!(
        said.contains("pg_dump --format=custom --username='"),
        "{said}"
    );
    assert!(!said.contains(peers::PASSWORD), "{said}");

    for sink in ["history", "warehouse"] {
        let prune = ["history", "prune", "--sink", sink, "--keep", "0s"];
        let output = cli(&daemon, &prune).await;
        let said = text(&output.stdout);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{said}{}",
            text(&output.stderr)
        );
        assert!(
            said.contains("1200 statuses") && said.contains("add --yes"),
            "{said}"
        );
        let said = done(&daemon, &[&prune[..], &["--yes"]].concat()).await;
        assert!(
            said.contains("1200 statuses") && said.contains("are deleted"),
            "{said}"
        );
    }
    for device in 1..=3 {
        both(&daemon, &postgres, device, &[]).await;
    }
    let said = done(&daemon, &["history", "prune", "--yes"]).await;
    assert!(
        said.contains(": no statuses were received before"),
        "by the retention: {said}"
    );
    let intervals = done(&daemon, &["history", "faults"]).await;
    assert!(
        intervals.contains("fault"),
        "what has no age yet stays: {intervals}"
    );
    // What comes later is stored as ever.
    source.messages(STATUSES..STATUSES + 3);
    wait::until("the next rows", async || {
        (sqlite_rows(&daemon, 1).await.len() == 1).then_some(())
    })
    .await;
    stop(&mut daemon).await;
}
