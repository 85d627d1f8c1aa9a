//! The systemd unit, as systemd itself reads it.

use std::fs;
use std::path::Path;
use std::process::Command;

const UNIT: &str = include_str!("../../systemd/stomp-bridge.service");

#[test]
fn unit_file_pleases_systemd() {
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        eprintln!(
            "systemd/stomp-bridge.service was not verified: this machine has no systemd-analyze"
        );
        return;
    }
    // The unit names the installed binary; the one that was just built stands in for it.
    let built = UNIT.replace("/usr/bin/stomp-bridge", env!("CARGO_BIN_EXE_stomp-bridge"));
    assert_ne!(built, UNIT, "the unit starts /usr/bin/stomp-bridge");
    let folder = tempfile::tempdir().expect("make a folder");
    let unit = folder.path().join("stomp-bridge.service");
    fs::write(&unit, built).expect("write the unit");
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&unit)
        .output();
    let output = verify.expect("run systemd-analyze");
    // Unknown keys are warnings to it, with exit code 0.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success(), "{}", output.status);
}
