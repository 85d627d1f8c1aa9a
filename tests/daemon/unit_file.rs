//! The systemd unit, as systemd itself reads it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const UNIT: &str = include_str!("../../systemd/stomp-bridge.service");

#[test]
fn unit_file_pleases_systemd() {
    if !has_systemd_analyze() {
        return;
    }
    let (_folder, unit) = written();
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&unit)
        .output();
    let output = verify.expect("run systemd-analyze");
    // Unknown keys are warnings to it, with exit code 0.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success(), "{}", output.status);
}

#[test]
fn what_the_daemon_could_do_to_the_machine_is_bounded() {
    for bound in ["MemoryMax=", "TasksMax=", "LimitNOFILE=", "WatchdogSec="] {
        let lines = UNIT.lines().filter(|line| line.starts_with(bound));
        assert_eq!(lines.count(), 1, "{bound}");
    }
    if !has_systemd_analyze() {
        return;
    }
    let (_folder, unit) = written();
    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        // In tenths.
        .arg("--threshold=11")
        .arg(&unit)
        .output();
    let output = security.expect("run systemd-analyze");
    let said = String::from_utf8_lossy(&output.stdout);
    let level = said
        .lines()
        .find_map(|line| line.split_once("Overall exposure level for "));
    let (_, level) = level.unwrap_or_else(|| panic!("no level in {said}"));
    let level = level
        .split_whitespace()
        .find_map(|word| word.parse::<f64>().ok());
    assert!(level.is_some_and(|level| level <= 1.1), "{said}");
}

fn has_systemd_analyze() -> bool {
    let has = Path::new("/usr/bin/systemd-analyze").exists();
    if !has {
        eprintln!("not run: the tests of the systemd unit; this machine has no systemd-analyze");
    }
    has
}

/// The unit with the binary that was just built.
fn written() -> (TempDir, PathBuf) {
    let built = UNIT.replace("/usr/bin/stomp-bridge", env!("CARGO_BIN_EXE_stomp-bridge"));
    assert_ne!(built, UNIT, "the unit starts /usr/bin/stomp-bridge");
    let folder = tempfile::tempdir().expect("make a folder");
    let unit = folder.path().join("stomp-bridge.service");
    fs::write(&unit, built).expect("write the unit");
    (folder, unit)
}
