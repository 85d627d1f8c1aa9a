//! The real binary's `config route` and `config test`: what they print, and how they end.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const CONFIGURATION: &str = r#"
[source]
url = "ws://h"
[topics.map-1]
destination = "/topic/a"
[sinks.history]
type = "sqlite"
[sinks.oncall]
type = "webhook"
url = "http://h/hook"
when = "changed and severity >= 'warning'"
"#;

const FAULT: &str = r#"{"deviceId":1,"oldState":"正常","newState":"故障"}"#;

fn run(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stomp-bridge"));
    command.current_dir(folder).args(args);
    command.output().unwrap()
}

fn folder(more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{CONFIGURATION}{more}");
    fs::write(folder.path().join("config.toml"), text).unwrap();
    fs::write(folder.path().join("fault.json"), FAULT).unwrap();
    folder
}

#[test]
fn route_prints_json_with_the_verdict_of_each_sink() {
    let folder = folder("");
    let output = run(
        folder.path(),
        &["config", "route", "--message", "fault.json", "--json"],
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let status = &shown["statuses"][0]["status"];
    assert_eq!(status["event"]["state"], "fault");
    let oncall = &status["sinks"][1];
    assert_eq!(
        (&oncall["sink"], &oncall["takes"]),
        (&"oncall".into(), &true.into())
    );
    assert_eq!(oncall["why"], "changed and severity >= 'warning'");
    let request = &oncall["sends"]["request"];
    assert_eq!(
        (&request["method"], &request["url"]),
        (&"POST".into(), &"http://h/…".into())
    );
    let body = request["body"].as_str().unwrap();
    assert!(body.contains(r#""new_state":"故障""#), "{body}");

    let args = [
        "config",
        "route",
        "--message",
        "fault.json",
        "--last",
        "故障",
    ];
    let text = String::from_utf8(run(folder.path(), &args).stdout).unwrap();
    assert!(
        text.contains("sink oncall does not: changed\n  changed is false\n"),
        "{text}"
    );
    let names = fs::read_dir(folder.path()).unwrap();
    assert_eq!(names.count(), 2, "nothing is written");
}

#[test]
fn config_test_ends_with_1_where_a_test_fails_and_with_78_where_the_configuration_is_wrong() {
    let passes = "[[tests]]\nfile = \"fault.json\"\nsinks = [\"history\", \"oncall\"]\n";
    let fails = "[[tests]]\nname = \"at night\"\nfile = \"fault.json\"\nsinks = []\n";
    for (more, code, expected) in [
        (passes.to_owned(), 0, "1 passed, 0 failed"),
        (format!("{passes}{fails}"), 1, "FAILED at night"),
        (String::new(), 1, ""),
        ("[[tests]]\nmesage = \"x\"\n".to_owned(), 78, ""),
    ] {
        let folder = folder(&more);
        let output = run(folder.path(), &["config", "test"]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{more}: {output:?}");
        assert!(text.contains(expected), "{more}: {text}");
    }
}
