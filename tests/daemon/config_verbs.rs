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
        let warning = format!("this user may not write to {place}\n --> config.toml ({key})\n");
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

#[test]
fn show_says_where_each_value_stands_and_no_secret() {
    let folder = folder("[sinks.site]\ntype = \"mqtt\"\npassword = \"hunter2\"\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_stomp-bridge"));
    command.current_dir(folder.path()).args(["config", "show"]);
    let output = command
        .env("STOMP_BRIDGE_JOURNAL__PATH", "j.db")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        let words = line
            .unwrap_or_else(|| panic!("{key}: {text}"))
            .split_whitespace();
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        line("source.url"),
        "source.url = \"ws://h\" # config.toml:3:1"
    );
    assert!(line("journal.path").ends_with("# environment variable STOMP_BRIDGE_JOURNAL__PATH"));
    assert!(line("sinks.site.password").contains("= … #"));
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn schema_completions_and_the_manual_are_printed() {
    let folder = folder("");
    let schema = run(folder.path(), &["config", "schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert!(schema["properties"]["source"].is_object());
    for (args, expected) in [
        (&["completions", "bash"][..], "_stomp__bridge()"),
        (&["completions", "zsh"], "#compdef stomp-bridge"),
        (&["completions", "fish"], "complete -c stomp-bridge"),
        (&["man"], ".TH stomp-bridge"),
    ] {
        let output = run(folder.path(), args);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(expected), "{args:?}: {text}");
    }
    let output = run(folder.path(), &["man", "--dir", "man1"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for page in [
        "stomp-bridge.1",
        "stomp-bridge-doctor.1",
        "stomp-bridge-dlq-list.1",
    ] {
        assert!(folder.path().join("man1").join(page).exists(), "{page}");
    }
}

/// What bash offers behind a line is asked of bash itself.
#[test]
fn bash_completes_verbs_below_verbs_and_their_options() {
    let folder = folder("");
    let completions = run(folder.path(), &["completions", "bash"]).stdout;
    fs::write(folder.path().join("completions"), completions).unwrap();
    const OFFER: &str = "source ./completions; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
         _stomp__bridge stomp-bridge \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
         echo \"${COMPREPLY[*]}\"";
    let check = |line: &[&str], offered: &str| {
        let mut bash = Command::new("bash");
        bash.current_dir(folder.path()).args(["-c", OFFER, "bash"]);
        let output = bash.args(line).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), offered, "{line:?}: {output:?}");
    };
    check(&["stomp-bridge", "jour"], "journal");
    check(&["stomp-bridge", "history", "ev"], "events");
    check(&["stomp-bridge", "journal", "reset-id", "--fo"], "--force");
    check(&["stomp-bridge", "support-bundle", "--pr"], "--print");
    check(
        &["stomp-bridge", "history", "events", "--severity", "w"],
        "warning",
    );
}

#[test]
fn check_prints_json_and_tries_the_servers_if_it_is_asked_to() {
    let folder = folder("");
    let json = |args: &[&str]| {
        let output = run(folder.path(), args);
        let shown: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        (shown, output.status.code())
    };
    let (shown, code) = json(&["check", "--json"]);
    assert_eq!(
        (code, &shown["ok"], &shown["sinks"]),
        (Some(0), &true.into(), &2.into())
    );
    // The source's server is not there.
    let wrong = CONFIGURATION.replace("ws://h", "ws://127.0.0.1:1");
    fs::write(folder.path().join("config.toml"), &wrong).unwrap();
    let (shown, code) = json(&["check", "--connect", "--json"]);
    assert_eq!((code, &shown["ok"]), (Some(1), &false.into()), "{shown}");
    assert_eq!(shown["problems"], serde_json::json!([]));
    assert_eq!(shown["connect"]["checks"][1]["step"], "TCP", "{shown}");
    fs::write(
        folder.path().join("config.toml"),
        format!("{wrong}[sorce]\n"),
    )
    .unwrap();
    let (shown, code) = json(&["check", "--connect", "--json"]);
    assert_eq!((code, &shown["ok"]), (Some(78), &false.into()), "{shown}");
    let problem = &shown["problems"][0];
    assert_eq!(
        (&problem["level"], &problem["key"]),
        (&"error".into(), &"sorce".into())
    );
    assert!(
        problem["line"].is_u64() && shown["connect"].is_null(),
        "{shown}"
    );
}
