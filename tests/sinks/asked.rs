//! What `stomp-bridge history` answers, by the real binary: the same of the same story from both
//! databases, and nothing that changes them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use stomp_bridge::model::{CoverageCause, Event, Place, Severity, StatusEvent};
use stomp_bridge::sinks::history::question::{
    After, DeviceKey, Devices, Filter, Group, Order, Question,
};
use stomp_bridge::sinks::history::reader::{ReadError, Reader};
use tempfile::TempDir;

use crate::events::{JOURNAL, batch, coverage, start, status};
use crate::history::Database;
use crate::keeping::in_zone;
use crate::operators::store;

const NAMES: &str = "device,serial,name,group\n1/7,,泵站一号,江苏\n,sn-9,\"Pump, north\",广东\n";

/// A status of a device at a time of 2026-01-02.
fn at(position: i64, device: &str, time: &str, state: &str, severity: Severity) -> Event {
    let event = status(JOURNAL, position, device, state);
    Event::from(StatusEvent {
        client_id: "1".to_owned(),
        serial: Some(format!("sn-{device}")),
        severity,
        new_state: state.to_owned(),
        received_at: format!("2026-01-{time}Z").parse().unwrap(),
        stream: "platform".into(),
        place: Place {
            detail: Some("Zürich Pump 1".to_owned()),
            ..event.place.clone()
        },
        ..event
    })
}

fn story() -> Vec<Event> {
    let topic = |position, time: &str, cause| {
        let at = format!("2026-01-{time}Z");
        Event::from(coverage(JOURNAL, position, "map-1", &at, cause))
    };
    vec![
        topic(1, "02T00:00:00", None),
        at(2, "7", "02T00:00:00", "normal", Severity::Ok),
        at(3, "9", "02T00:00:00", "normal", Severity::Ok),
        at(4, "7", "02T06:00:00", "fault", Severity::Critical),
        at(5, "7", "02T12:00:00", "normal", Severity::Ok),
        topic(6, "02T18:00:00", Some(CoverageCause::ConnectionLost)),
        topic(7, "02T18:30:00", None),
        at(8, "9", "02T20:00:00", "怪\u{1b}[2J", Severity::Unknown),
        at(9, "7", "03T00:00:00", "offline", Severity::Warning),
        at(10, "9", "03T00:00:00", "normal", Severity::Ok),
        at(11, "7", "03T12:00:00", "normal", Severity::Ok),
    ]
}

/// A folder with the configuration of a history that has the story.
async fn told(database: &Database) -> TempDir {
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&story())).await.unwrap();
    sink.close().await;
    configured(database)
}

/// Everything but the place of the history is wrong, or is not there.
pub(crate) fn configured(database: &Database) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let place = match database {
        Database::Sqlite { .. } => format!("type = \"sqlite\"\npath = \"{}\"", database.url()),
        Database::Postgres { .. } => format!("type = \"postgres\"\nurl = \"{}\"", database.url()),
    };
    let text = format!(
        "[source]\nurl = \"{{{{ secret('absent') }}}}\"\nno_such_key = 1\n[sinks.hook]\ntype = \"webhook\"\n\
         url = \"{{{{ secret('absent') }}}}\"\n[sinks.history]\n{place}\n[sinks.other]\ntype = \"sqlite\"\n\
         path = \"other.db\"\n[names]\nfile = \"names.csv\"\n"
    );
    fs::write(folder.path().join("config.toml"), text).unwrap();
    fs::write(folder.path().join("names.csv"), NAMES).unwrap();
    folder
}

fn run(folder: &Path, args: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stomp-bridge"));
    command.current_dir(folder).arg("history");
    command.args(args.split_whitespace());
    command.env_remove("COLUMNS").output().unwrap()
}

/// The error has these words. Gives what it said, and what it printed.
fn refused(folder: &Path, args: &str, expected: &str) -> (String, String) {
    let output = run(folder, args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{args}: {said}");
    assert!(said.contains(expected), "{args}: {said}");
    (said, String::from_utf8_lossy(&output.stdout).into_owned())
}

fn answer(folder: &Path, args: &str) -> String {
    let output = run(folder, args);
    assert_eq!(output.status.code(), Some(0), "{args}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Some columns of a CSV without quoted cells.
fn columns(csv: &str, names: &[&str]) -> Vec<String> {
    let mut lines = csv.lines();
    let heads: Vec<&str> = lines.next().unwrap().split(',').collect();
    let indexes: Vec<usize> = names
        .iter()
        .map(|name| heads.iter().position(|head| head == name).unwrap())
        .collect();
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let wanted: Vec<&str> = indexes.iter().map(|index| cells[*index]).collect();
            wanted.join(" ")
        })
        .collect()
}

#[tokio::test]
async fn the_state_before_has_the_name_that_the_other_states_have() {
    let said = |position, word: &str, state: &str, before: Option<&str>| {
        Event::from(StatusEvent {
            new_state: word.to_owned(),
            old_state: before.map(str::to_owned),
            ..status(JOURNAL, position, "7", state)
        })
    };
    let events = [
        said(1, "正常", "normal", None),
        said(2, "故障", "fault", Some("正常")),
        said(3, "离线", "offline", Some("无名")),
    ];
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&events)).await.unwrap();
        sink.close().await;
        let folder = configured(&database);
        let table = answer(folder.path(), "events");
        let cells: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        for (state, before) in [("fault", "normal"), ("offline", "无名")] {
            let pair = |line: &&Vec<&str>| line.windows(2).any(|pair| pair == [state, before]);
            assert!(cells.iter().any(|line| pair(&line)), "{table}");
        }
        // Other programs get what was sent.
        let csv = answer(folder.path(), "events --format csv");
        let sent = columns(&csv, &["old_state", "state"]);
        assert_eq!(sent[1], "正常 fault", "{csv}");
    }
}

#[tokio::test]
async fn a_state_is_asked_for_by_its_name_or_by_the_word_as_sent() {
    let said = |position, word: &str, state: &str, severity| {
        Event::from(StatusEvent {
            new_state: word.to_owned(),
            severity,
            ..status(JOURNAL, position, "7", state)
        })
    };
    let events = [
        said(1, "正常", "normal", Severity::Ok),
        said(2, "故障", "fault", Severity::Critical),
    ];
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&events)).await.unwrap();
        sink.close().await;
        let folder = configured(&database);
        for verb in ["devices", "events", "faults", "export"] {
            let rows = |state: &str| {
                let csv = answer(
                    folder.path(),
                    &format!("{verb} --state {state} --format csv"),
                );
                csv.lines().count() - 1
            };
            assert_eq!((rows("fault"), rows("故障")), (1, 1), "{verb}");
            // It is never one.
            if verb == "faults" {
                continue;
            }
            let normal = if matches!(verb, "events" | "export") {
                1
            } else {
                0
            };
            assert_eq!((rows("normal"), rows("正常")), (normal, normal), "{verb}");
        }
    }
}

#[tokio::test]
async fn a_gap_that_lasts_takes_from_availability_what_it_lasts_and_no_more() {
    let now = jiff::Timestamp::now();
    let hours_ago = |hours| now - jiff::SignedDuration::from_hours(hours);
    let normal = StatusEvent {
        severity: Severity::Ok,
        new_state: "normal".to_owned(),
        received_at: hours_ago(24 * 90),
        ..status(JOURNAL, 2, "7", "normal")
    };
    let heard = |position, hours, cause| {
        let at = hours_ago(hours).to_string();
        Event::from(coverage(JOURNAL, position, "map-1", &at, cause))
    };
    let events = [
        heard(1, 24 * 90, None),
        normal.into(),
        heard(3, 1, Some(CoverageCause::ConnectionLost)),
    ];
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&events)).await.unwrap();
        sink.idle().await.unwrap();
        sink.close().await;
        let folder = configured(&database);
        let json = answer(folder.path(), "availability --since 3d --format json");
        let row: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
        let seconds = |name: &str| row[name].as_f64().unwrap();
        let uncertain = seconds("uncertain_seconds");
        assert!((3600.0..3700.0).contains(&uncertain), "{row}");
        assert!(seconds("available_seconds") > 2.0 * 86_400.0, "{row}");
        assert_eq!(row["percent"], 100.0, "{row}");
        // As two rows: three months of it are certain.
        let certain = "state_interval WHERE certain AND lasting AND until IS NOT NULL \
                       AND seconds > 89 * 86400";
        assert_eq!(database.count(certain).await, 1, "{}", database.url());
        let uncertain = "state_interval WHERE NOT certain AND lasting AND until IS NULL \
                         AND cause = 'connection_lost' AND seconds BETWEEN 3600 AND 3700";
        assert_eq!(database.count(uncertain).await, 1, "{}", database.url());
    }
}

/// No daemon has counted the days that have passed meanwhile.
#[tokio::test]
async fn availability_has_the_days_that_passed_without_a_daemon() {
    let days = |days: i64| jiff::SignedDuration::from_hours(24 * days);
    let begins = jiff::Timestamp::now() - days(5);
    let said = |position, state, severity, received_at| {
        Event::from(StatusEvent {
            severity,
            changed: true,
            received_at,
            ..status(JOURNAL, position, "7", state)
        })
    };
    let events = [
        said(1, "fault", Severity::Critical, begins - days(1)),
        said(2, "normal", Severity::Ok, begins),
    ];
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&events)).await.unwrap();
        sink.close().await;
        let folder = configured(&database);
        let none = "device_row WHERE counted_until IS NOT NULL";
        let ask = |by: &str| -> (usize, f64, f64) {
            let json = answer(
                folder.path(),
                &format!("availability --since 9d --by {by} --format json"),
            );
            let rows = json.lines().map(|line| serde_json::from_str(line).unwrap());
            let rows: Vec<serde_json::Value> = rows.collect();
            let sum = |name: &str| rows.iter().map(|row| row[name].as_f64().unwrap()).sum();
            (rows.len(), sum("available_seconds"), sum("known_seconds"))
        };
        for is_counted in [false, true] {
            if is_counted {
                let mut sink = start(database.settings(None));
                sink.open(JOURNAL).await.unwrap();
                sink.idle().await.unwrap();
                sink.close().await;
            }
            let url = database.url();
            assert_eq!(database.count(none).await > 0, is_counted, "{url}");
            let ((devices, well, known), (rows, well_of_days, known_of_days)) =
                (ask("device"), ask("day"));
            assert_eq!((devices, rows), (1, 7), "{url}");
            for (seconds, expected) in [
                (well, 5.0),
                (well_of_days, 5.0),
                (known, 6.0),
                (known_of_days, 6.0),
            ] {
                let wrong = (seconds - expected * 86_400.0).abs();
                assert!(wrong < 120.0, "{seconds} of {expected} days in {url}");
            }
        }
    }
}

#[tokio::test]
async fn both_databases_answer_the_same() {
    let [sqlite, postgres] = Database::both().await;
    let folders = [told(&sqlite).await, told(&postgres).await];
    for args in [
        "devices --format csv",
        "devices --format geojson",
        "devices --serial sn-9 --format json",
        "devices --severity unknown --format csv",
        "events --format csv",
        "events --device 1/7 --state fault --format csv",
        "events --since 2026-01-02T06:00 --until 2026-01-02T12:00 --format csv",
        "events --topic map-1 --stream platform --severity critical --limit 3 --format json",
        "faults --until 2026-01-03 --format csv",
        "faults --serial sn-7 --json",
        "gaps --format csv",
        "availability --since 2026-01-02 --until 2026-01-03 --format csv",
        "availability --by day --since 2026-01-02 --until 2026-01-03 --format csv",
        "availability --by group --since 2026-01-02 --until 2026-01-03 --format csv",
        "export --format csv",
        "export --json --group 江苏",
        "events --device 1/7 --format geojson",
        "export --format geojson",
    ] {
        let [a, b] = [&folders[0], &folders[1]].map(|folder| answer(folder.path(), args));
        assert_eq!(a, b, "{args}");
        assert!(!a.is_empty(), "{args}");
    }
}

#[tokio::test]
async fn an_answer_says_what_happened() {
    for database in Database::both().await {
        let folder = told(&database).await;
        let ask = |args: &str| answer(folder.path(), args);
        let faults = ask("faults --format csv");
        assert_eq!(
            columns(
                &faults,
                &[
                    "client_id",
                    "device_id",
                    "since",
                    "until",
                    "seconds",
                    "certain"
                ]
            ),
            ["1 7 2026-01-02T06:00:00.000000Z 2026-01-02T12:00:00.000000Z 21600 true"]
        );
        let gaps = ask("gaps --format csv");
        assert_eq!(
            columns(&gaps, &["topic", "seconds", "cause"]),
            ["map-1 1800 connection_lost"]
        );
        // Of 12 certain hours before the gap at 18:00, 6 were a fault; the rest of the day is not known.
        let day = "--since 2026-01-02 --until 2026-01-03 --format csv";
        let availability = ask(&format!("availability {day} --device 泵站一号"));
        assert_eq!(
            columns(
                &availability,
                &[
                    "percent",
                    "available_seconds",
                    "known_seconds",
                    "uncertain_seconds",
                    "faults"
                ]
            ),
            ["66.66 43200 64800 21600 1"]
        );
        let groups = ask(&format!("availability --by group {day}"));
        assert_eq!(
            columns(&groups, &["group", "devices", "available_seconds"]),
            ["江苏 1 43200", "广东 1 64800"]
        );
        let named = ask("devices --format json");
        assert!(
            named.contains("\"name\":\"泵站一号\",\"group\":\"江苏\""),
            "{named}"
        );
        assert!(named.contains("\"name\":\"Pump, north\""), "{named}");
        let events = ask("events --format csv --limit 3");
        assert_eq!(columns(&events, &["sequence"]), ["8", "7", "6"]);
        let events = ask("events --device 9 --format csv");
        assert_eq!(events.lines().count(), 4);
        let exported = ask("export");
        assert!(
            exported.starts_with("sequence,received_at,stream,topic,"),
            "{exported}"
        );
        assert_eq!(exported.matches("\r\n").count(), 9);
        let map = ask("devices --format geojson");
        let map: serde_json::Value = serde_json::from_str(&map).unwrap();
        assert_eq!(map["features"].as_array().unwrap().len(), 2);
        let map = ask("export --format geojson");
        let map: serde_json::Value = serde_json::from_str(&map).unwrap();
        let features = map["features"].as_array().unwrap();
        let ids: BTreeSet<_> = features
            .iter()
            .map(|one| one["id"].as_str().unwrap())
            .collect();
        assert_eq!(
            (features.len(), ids.len()),
            (8, 8),
            "each status has its own id"
        );
        let table = ask("events");
        assert!(table.contains("times of UTC"), "{table}");
        assert!(
            table.contains("怪\\u{1b}[2J") && !table.contains('\u{1b}'),
            "{table}"
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_sentence_or_an_empty_answer() {
    for database in Database::both().await {
        let folder = configured(&database);
        // The file, or the tables in the database, are not there yet.
        refused(folder.path(), "devices", "no history");

        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        sink.close().await;
        for (args, noun) in [
            ("devices", "no devices"),
            ("events", "no statuses"),
            ("faults", "no faults"),
            ("availability", "no devices"),
            ("availability --by day", "no days"),
            ("availability --by group", "no groups"),
            ("gaps", "no gaps"),
        ] {
            let answer = answer(folder.path(), args);
            assert_eq!(answer.lines().last(), Some(noun), "{args}");
            assert!(answer.contains("times of UTC"), "{args}: {answer}");
        }
        assert_eq!(answer(folder.path(), "export").matches("\r\n").count(), 1);
        assert_eq!(answer(folder.path(), "devices --format json"), "");
        let map = answer(folder.path(), "devices --format geojson");
        let map: serde_json::Value = serde_json::from_str(&map).unwrap();
        assert_eq!(map["features"], serde_json::json!([]));
    }
}

#[tokio::test]
async fn a_command_that_cannot_be_answered_says_why() {
    let database = Database::sqlite();
    let folder = told(&database).await;
    let made = Command::new("sqlite3")
        .args(["foreign.db", "CREATE TABLE of_another (x)"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    for (args, expected) in [
        (
            "devices --sink nix",
            "has no history nix; its histories are history, other",
        ),
        ("devices --sink other", "there is no history"),
        (
            "devices --file config.toml",
            "config.toml is no SQLite database",
        ),
        ("prune --file names.csv --keep 1y", "is no SQLite database"),
        ("gaps --file .", "is a folder"),
        (
            "devices --file foreign.db",
            "is no history of this version, but another database",
        ),
        (
            "devices --config absent.toml",
            "--file names a SQLite history without a configuration",
        ),
        (
            "devices --group 江",
            "there is no group 江; [names] has 广东, 江苏",
        ),
        (
            "events --since 2026-01-03 --until 2026-01-02",
            "--since is not before --until",
        ),
        ("gaps --since 2199-01-01", "lies in the future"),
        (
            "events --follow --format geojson",
            "a FeatureCollection has an end",
        ),
    ] {
        refused(folder.path(), args, expected);
    }
    for (args, formats) in [
        ("faults --format geojson", "table, csv, json"),
        ("export --format table", "csv, json, geojson"),
    ] {
        let output = run(folder.path(), args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected = format!("possible values: {formats}]");
        assert!(
            !output.status.success() && said.contains(&expected),
            "{args}: {said}"
        );
    }
    // Names that cannot be read are no reason to say nothing.
    fs::remove_file(folder.path().join("names.csv")).unwrap();
    let output = run(folder.path(), "devices --format csv");
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("without the names of the devices"), "{said}");
}

/// It looked like good news: `no gaps`, and no error.
#[tokio::test]
async fn a_filter_that_names_what_nobody_has_is_an_error_that_says_which_there_are() {
    for database in Database::both().await {
        let folder = told(&database).await;
        for (args, expected) in [
            (
                "gaps --topic map1",
                "no topic map1; did you mean map-1? Known is map-1",
            ),
            (
                "gaps --topic nope --since 1h",
                "no topic nope; known is map-1",
            ),
            (
                "devices --state Fault",
                "no state Fault; did you mean fault?",
            ),
            (
                "faults --state nix",
                "no critical state nix; known is fault",
            ),
            // Of a warning there is never a fault.
            (
                "faults --state offline",
                "no critical state offline; known is fault",
            ),
            (
                "events --state nix",
                "no state nix; known are normal, fault, offline, ",
            ),
            ("events --stream nope", "no stream nope; known is platform"),
            (
                "devices --device 9/9",
                "no device 9/9; known are 1/7, 1/9, Pump, north, 泵站一号",
            ),
            (
                "availability --device 1/",
                "no device 1/; known are 1/7, 1/9",
            ),
            (
                "availability --by group --stream x",
                "no stream x; known is platform",
            ),
            (
                "availability --by day --serial x",
                "no serial number x; known are sn-7, sn-9",
            ),
            (
                "faults --serial SN-9",
                "no serial number SN-9; did you mean sn-9?",
            ),
            ("export --topic nope", "no topic nope"),
        ] {
            let (said, shown) = refused(folder.path(), args, expected);
            assert_eq!(said.lines().count(), 1, "{args}: {said}");
            let heads = if args.starts_with("export") { 1 } else { 0 };
            assert_eq!(shown.lines().count(), heads, "{args}: {shown}");
        }
        for (format, shown) in [("json", 0), ("csv", 1)] {
            let args = format!("gaps --topic nope --format {format}");
            let output = run(folder.path(), &args);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            let lines = String::from_utf8(output.stdout).unwrap();
            assert_eq!(lines.lines().count(), shown, "{lines}");
        }
        let nameless = format!("devices --device Pump --file {}", database.url());
        if matches!(database, Database::Sqlite { .. }) {
            let output = run(folder.path(), &nameless);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                said.contains("without [names] no device has a name"),
                "{said}"
            );
        }
    }
}

#[tokio::test]
async fn what_the_history_or_the_configuration_has_is_a_right_answer_without_rows() {
    const KEYS: &str = "[source]\nurl = \"stomp://h\"\n[topics.map-2]\ndestination = \"/topic/2\"\n\
        stream = \"second\"\n[states]\n\"烟\" = { name = \"smoke\", severity = \"critical\" }\n";
    for database in Database::both().await {
        let folder = told(&database).await;
        let config = folder.path().join("config.toml");
        let text = fs::read_to_string(&config).unwrap();
        let (_, sinks) = text.split_once("[sinks.history]").unwrap();
        fs::write(&config, format!("{KEYS}[sinks.history]{sinks}")).unwrap();
        let names = format!("{NAMES}2/5,,Fan,\n,sn-5,Lamp,\n");
        fs::write(folder.path().join("names.csv"), names).unwrap();
        for (args, noun) in [
            ("gaps --topic map-2", "no gaps"),
            ("gaps --topic map-1 --until 2020-01-01", "no gaps"),
            ("devices --stream second", "no devices"),
            ("devices --state smoke", "no devices"),
            ("faults --state 烟", "no faults"),
            ("devices --severity critical", "no devices"),
            ("events --device 1/7 --until 2020-01-01", "no statuses"),
            ("devices --device 2/5", "no devices"),
            ("devices --device Fan", "no devices"),
            ("devices --device Lamp", "no devices"),
            ("faults --serial sn-5", "no faults"),
        ] {
            let answer = answer(folder.path(), args);
            assert_eq!(answer.lines().last(), Some(noun), "{args}");
        }
        let output = run(folder.path(), "gaps --topic map2");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.contains("did you mean map-2? Known are map-1, map-2"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn availability_says_while_days_may_be_of_another_zone() {
    for database in Database::both().await {
        let folder = told(&database).await;
        let mut sink = start(in_zone(&database, "Asia/Tokyo", None));
        sink.open(JOURNAL).await.unwrap();
        let said = |args: &str| {
            let output = run(folder.path(), args);
            assert_eq!(output.status.code(), Some(0), "{args}: {output:?}");
            String::from_utf8(output.stderr).unwrap()
        };
        let availability = "availability --since 2026-01-02";
        let during = said(availability);
        assert!(during.contains("days are being counted again"), "{during}");
        assert_eq!(during.lines().count(), 1, "{during}");
        assert_eq!(said("faults"), "", "no days are asked for");
        sink.idle().await.unwrap();
        assert_eq!(said(availability), "", "{}", database.url());
        sink.close().await;
    }
}

#[tokio::test]
async fn a_question_changes_nothing() {
    let database = Database::postgres().await;
    let folder = told(&database).await;
    // What a view does in a question is refused: the transaction is read-only.
    database
        .execute(
            "CREATE FUNCTION touch() RETURNS text LANGUAGE plpgsql VOLATILE AS \
             $$ BEGIN DELETE FROM event; RETURN 'x'; END $$; \
             CREATE OR REPLACE VIEW coverage_gap AS SELECT touch() AS topic, now() AS since, \
             now() AS until, 1::double precision AS seconds, 'y'::text AS cause",
        )
        .await;
    refused(folder.path(), "gaps", "read-only transaction");
    assert_eq!(database.count("status_event").await, 8);
}

#[tokio::test]
async fn what_pages_ask_has_the_same_answer_in_both_databases() {
    let key = |device: &str| DeviceKey {
        stream: "platform".to_owned(),
        client_id: "1".to_owned(),
        device_id: device.to_owned(),
    };
    let behind = After {
        severity: Severity::Ok,
        since: "2026-01-03T12:00:00Z".parse().unwrap(),
        device: key("7"),
    };
    let (width, height) = (1.6, 1.136);
    let all = Filter::default;
    let one = || Filter {
        devices: Devices::one(&key("7")),
        ..all()
    };
    let of_client = |client: &str| Filter {
        devices: Devices::OfClient(client.to_owned()),
        ..all()
    };
    let text = |text: &str| Filter {
        text: Some(text.to_owned()),
        ..all()
    };
    let changed = || Filter {
        changed: true,
        ..one()
    };
    let asked = [
        (Question::States, all(), 1),
        (Question::Groups(Group::Client), all(), 1),
        (Question::Groups(Group::Province), all(), 1),
        (Question::Cells { width, height }, all(), 1),
        (Question::NewestIntervals, one(), 4),
        (Question::Events(Order::Received), changed(), 4),
        (Question::Devices, of_client("1"), 2),
        (Question::Devices, of_client("2"), 0),
        (Question::Devices, text("sn-"), 2),
        // As SQLite has it: letters of ASCII alone.
        (Question::Devices, text("SN-"), 2),
        (Question::Devices, text("zürich PUMP"), 2),
        (Question::Devices, text("ZÜRICH"), 0),
        (Question::Devices, text("盐城"), 2),
        (Question::Devices, text("城盐"), 0),
        (Question::Devices, text("1/9"), 1),
        (Question::Devices, text("%"), 0),
        (
            Question::Devices,
            Filter {
                after: Some(behind),
                ..all()
            },
            1,
        ),
        (
            Question::Devices,
            Filter {
                in_trouble: true,
                ..all()
            },
            0,
        ),
    ];
    let mut answers = Vec::new();
    for database in Database::both().await {
        told(&database).await;
        let mut reader = Reader::open(&store(&database, database.url()))
            .await
            .unwrap();
        let mut answer = Vec::new();
        for (question, filter, expected) in &asked {
            let rows = reader.rows(question, filter, Some(50)).await.unwrap();
            let is_enough = rows.len() >= *expected && (*expected > 0 || rows.is_empty());
            assert!(is_enough, "{question:?} {filter:?}: {rows:?}");
            answer.push(rows);
        }
        reader.close().await;
        answers.push(answer);
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn a_question_that_takes_too_long_is_given_up() {
    for database in Database::both().await {
        told(&database).await;
        let since = match &database {
            Database::Sqlite { .. } => "'2026-01-01T00:00'",
            Database::Postgres { .. } => "now()",
        };
        let mut reader = Reader::open(&store(&database, database.url()))
            .await
            .unwrap();
        reader.set_limit(Duration::from_secs(1));
        database
            .execute(&format!(
                "DROP VIEW coverage_gap; CREATE VIEW coverage_gap AS \
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) \
                 SELECT 'x' AS topic, {since} AS since, {since} AS until, 1 AS seconds, 'y' AS cause \
                 FROM n WHERE i < 0"
            ))
            .await;
        let asked = reader.rows(&Question::Gaps, &Filter::default(), None).await;
        assert!(matches!(asked, Err(ReadError::Slow(..))), "{asked:?}");
        // The connection is as good as before.
        reader.set_limit(Duration::from_secs(60));
        let all = Filter::default();
        let asked = reader.rows(&Question::Devices, &all, None).await;
        assert_eq!(asked.unwrap().len(), 2);
    }
}
