//! The real binary's `config route` and `config test`: what they print, and how they end.

use std::fs::{self, File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

/// Somebody without rights.
const NOBODY: u32 = 65534;

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
fn check_warns_of_a_folder_that_this_user_may_not_write_to() {
    let folder = folder("");
    let allow = |mode| fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
    // Nobody may not look into the folders above the binary, but has its file.
    let binary = File::open(env!("CARGO_BIN_EXE_stomp-bridge")).unwrap();
    let check = || {
        let mut command = Command::new(format!("/proc/self/fd/{}", binary.as_raw_fd()));
        command.current_dir(folder.path()).arg("check");
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    allow(0o555);
    let told = check();
    let place = folder.path().display();
    for key in ["journal.path", "sinks.history.path"] {
        let warning = format!("this user may not write to {place} ({key})");
        assert!(told.contains(&warning), "{told}");
    }
    allow(0o777);
    assert_eq!(check(), "");
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
