//! The systemd units, as systemd itself reads them. `packaging/test` starts them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const UNIT: &str = include_str!("../../systemd/stomp-bridge.service");
const TEMPLATE: &str = include_str!("../../systemd/stomp-bridge@.service");

/// Each unit: its file's name, what systemd is asked about, and its text.
const UNITS: [(&str, &str, &str); 2] = [
    ("stomp-bridge.service", "stomp-bridge.service", UNIT),
    (
        "stomp-bridge@.service",
        "stomp-bridge@site.service",
        TEMPLATE,
    ),
];

#[test]
fn unit_files_please_systemd() {
    if !has_systemd_analyze() {
        return;
    }
    for (file, unit, text) in UNITS {
        let (folder, _) = written(file, text);
        let verify = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(folder.path().join(unit))
            .output();
        let output = verify.expect("run systemd-analyze");
        // Unknown keys are warnings to it, with exit code 0.
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{unit}");
        assert!(output.status.success(), "{unit}: {}", output.status);
    }
}

#[test]
fn what_the_daemon_could_do_to_the_machine_is_bounded() {
    for (_, unit, text) in UNITS {
        for bound in ["MemoryMax=", "TasksMax=", "LimitNOFILE=", "WatchdogSec="] {
            let lines = text.lines().filter(|line| line.starts_with(bound));
            assert_eq!(lines.count(), 1, "{unit}: {bound}");
        }
    }
    if !has_systemd_analyze() {
        return;
    }
    for (file, unit, text) in UNITS {
        let (_folder, path) = written(file, text);
        let security = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            // In tenths.
            .arg("--threshold=11")
            .arg(&path)
            .output();
        let output = security.expect("run systemd-analyze");
        let said = String::from_utf8_lossy(&output.stdout);
        let level = said
            .lines()
            .find_map(|line| line.split_once("Overall exposure level for "));
        let (_, level) = level.unwrap_or_else(|| panic!("{unit}: no level in {said}"));
        let level = level
            .split_whitespace()
            .find_map(|word| word.parse::<f64>().ok());
        assert!(level.is_some_and(|level| level <= 1.1), "{unit}: {said}");
    }
}

/// What systemd must be told for the rest to be true: how a start, a reload, a crash and a bad
/// configuration go, and whose the files are.
#[test]
fn units_start_reload_and_end_as_documented() {
    for (_, unit, text) in UNITS {
        for directive in [
            "Type=notify",
            "NotifyAccess=main",
            "ExecReload=/bin/kill -HUP $MAINPID",
            "Restart=always",
            "RestartPreventExitStatus=78",
            "StartLimitIntervalSec=0",
            "DynamicUser=yes",
            "StateDirectoryMode=0700",
            "UMask=0077",
        ] {
            assert!(
                text.lines().any(|line| line == directive),
                "{unit}: {directive}"
            );
        }
    }
}

/// The template differs in names alone: a directive that one unit gets, the other gets, too.
#[test]
fn the_template_is_the_unit_with_names_of_its_own() {
    let directives = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(ToOwned::to_owned).collect()
    };
    let expected: Vec<String> = directives(UNIT)
        .into_iter()
        .flat_map(|line| match line.split_once('=') {
            Some(("Description", _)) => vec![format!("{line}: %i")],
            Some(("ExecStart", _)) => vec![line.replace("/config.toml", "/%i.toml")],
            Some(("StateDirectory", _)) => {
                vec!["User=stomp-bridge-%i".to_owned(), format!("{line}@%i")]
            }
            _ => vec![line],
        })
        .collect();
    assert_eq!(directives(TEMPLATE), expected);
}

fn has_systemd_analyze() -> bool {
    let has = Path::new("/usr/bin/systemd-analyze").exists();
    if !has {
        eprintln!("not run: the tests of the systemd units; this machine has no systemd-analyze");
    }
    has
}

/// The unit with the binary that was just built.
fn written(file: &str, text: &str) -> (TempDir, PathBuf) {
    let built = text.replace("/usr/bin/stomp-bridge", env!("CARGO_BIN_EXE_stomp-bridge"));
    assert_ne!(built, text, "{file} starts /usr/bin/stomp-bridge");
    let folder = tempfile::tempdir().expect("make a folder");
    let path = folder.path().join(file);
    fs::write(&path, built).expect("write the unit");
    (folder, path)
}
