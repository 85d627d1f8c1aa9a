//! Starts that fail and ends that are not what anybody wished: each has its reason, its exit code,
//! and leaves nothing behind that the next start would be surprised by.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use peers::process::{Process, tethered};
use peers::{Configuration, Daemon, Folder, Receiver, wait};
use rustix::process::Signal;
use stomp_bridge::demo::Message;

use super::{TOPIC, bridge, configuration, serve};

const BINARY: &str = env!("CARGO_BIN_EXE_stomp-bridge");

/// Both refuse it, with these words, and with the code on which systemd does not restart.
fn refused(configuration: &Configuration, prepare: impl Fn(&Folder), words: &str) {
    let folder = Folder::new("refused");
    let config = configuration.write(&folder);
    prepare(&folder);
    for verb in ["check", "run"] {
        let output = bridge(&[verb, "--config", config.to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{verb}: {said}");
        assert!(said.contains(words), "{verb}: {words:?} is not in\n{said}");
    }
}

#[test]
fn what_run_cannot_build_check_refuses_too_and_the_exit_code_is_78() {
    let own = || configuration("stomp://127.0.0.1:1");
    let no_certificate = |folder: &Folder| {
        folder.write("ca.pem", "this is no certificate\n");
    };
    let tls = "tls = { ca_file = \"ca.pem\" }\n";
    let stomps = configuration("stomps://127.0.0.1:1").source(tls.trim_end());
    refused(&stomps, no_certificate, "ca.pem");
    let mqtts = format!("type = \"mqtt\"\nurl = \"mqtts://127.0.0.1:1\"\ntopic = \"a\"\n{tls}");
    refused(&own().table("sinks.site", &mqtts), no_certificate, "ca.pem");
    let folder = |folder: &Folder| std::fs::create_dir(folder.join("history.db")).unwrap();
    refused(&own(), folder, "history.db is a folder");
    let file = |folder: &Folder| {
        folder.write("data", "a file");
    };
    let below = own().table("journal", "path = \"data/journal.db\"\n");
    refused(&below, file, "data is no folder");
    let topic =
        "type = \"mqtt\"\nurl = \"mqtt://127.0.0.1:1\"\ntopic = \"a\"\nstatus_topic = \"a/#\"\n";
    refused(&own().table("sinks.site", topic), |_| {}, "status_topic");
}

#[test]
fn a_state_folder_that_cannot_be_written_is_named() {
    let folder = Folder::new("read-only");
    let config = Configuration::new("stomp://127.0.0.1:1")
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        // Nobody makes a file there, root neither.
        .table("journal", "path = \"/sys/kernel/journal.db\"\n")
        .write(&folder);
    let output = bridge(&["run", "--config", config.to_str().unwrap()]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{log}");
    let words = "check journal.path, and that the daemon may write to its folder";
    assert!(
        log.contains("/sys/kernel/journal.db") && log.contains(words),
        "{log}"
    );
}

#[test]
fn a_journal_that_is_none_of_ours_or_of_this_version_is_the_configurations_mistake() {
    let of_another_layout = "pragma application_id = 1400128106; pragma user_version = 99";
    for (sql, words) in [
        (
            Some("create table device (id)"),
            "not a journal of stomp-bridge",
        ),
        (
            Some(of_another_layout),
            "the layout of a newer stomp-bridge, and nothing was changed: run that version again",
        ),
        (None, "not a journal of stomp-bridge"),
    ] {
        let folder = Folder::new("foreign");
        let config = configuration("stomp://127.0.0.1:1").write(&folder);
        let file = folder.join("journal.db");
        match sql {
            Some(sql) => {
                let made = std::process::Command::new("sqlite3")
                    .arg(file)
                    .arg(sql)
                    .status();
                assert!(made.unwrap().success());
            }
            None => std::fs::write(file, "notes of somebody".repeat(100)).unwrap(),
        }
        let output = bridge(&["run", "--config", config.to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn a_start_that_fails_is_no_unclean_stop() {
    let served = serve(0).await;
    let folder = Folder::new("fails");
    let text = std::fs::read_to_string(configuration(&served.url).write(&folder)).unwrap();
    let taken = text.replace("127.0.0.1:0", &served.address.to_string());
    let config = folder.write("config.toml", &taken);
    for _ in 0..2 {
        let output = bridge(&["run", "--config", config.to_str().unwrap()]);
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.contains("http.listen"), "{log}");
        assert!(!log.contains("not clean"), "{log}");
    }
}

/// `run` with a configuration that comes when the test says so.
struct Slow {
    process: Process,
    config: PathBuf,
    written: PathBuf,
    text: String,
    _folder: Folder,
}

impl Slow {
    fn start(configuration: &Configuration) -> Slow {
        let folder = Folder::new("slow");
        let written = configuration.write(&folder);
        let text = std::fs::read_to_string(&written).unwrap();
        let config = folder.join("config.fifo");
        let made = std::process::Command::new("mkfifo").arg(&config).status();
        assert!(made.unwrap().success());
        let mut command = tethered(BINARY);
        command
            .args(["run", "--config"])
            .arg(&config)
            .current_dir(folder.path())
            .env_remove("RUST_LOG");
        let process = Process::start("stomp-bridge", command, &folder.join("daemon.log"));
        Slow {
            process,
            config,
            written,
            text,
            _folder: folder,
        }
    }

    /// Waits until the process catches a signal, and sends it.
    async fn send(&self, signal: Signal) {
        let status = format!("/proc/{}/status", self.process.pid().as_raw_nonzero());
        wait::until("the signal is caught", async || {
            let text = std::fs::read_to_string(&status).ok()?;
            let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
            let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
            (caught & (1 << (signal.as_raw() - 1)) != 0).then_some(())
        })
        .await;
        self.process.signal(signal);
    }

    /// Gives it its configuration, which is a file from then on.
    fn feed(&self) {
        let mut fifo = OpenOptions::new().write(true).open(&self.config).unwrap();
        std::fs::rename(&self.written, &self.config).unwrap();
        fifo.write_all(self.text.as_bytes()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_comes_before_the_configuration_is_read_ends_nothing_by_itself() {
    let served = serve(0).await;
    let mut slow = Slow::start(&configuration(&served.url));
    slow.send(Signal::HUP).await;
    slow.send(Signal::TERM).await;
    assert!(slow.process.runs(), "{}", slow.process.log_tail());
    slow.feed();
    let status = slow.process.ended(wait::LONG).await;
    assert!(status.success(), "{status}\n{}", slow.process.log_tail());
    assert!(slow.process.log().contains("\"message\":\"stopped\""));
    served.end().await;
}

fn full() -> Stdio {
    Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap())
}

#[tokio::test]
async fn nothing_that_cannot_be_written_to_makes_a_panic() {
    let folder = Folder::new("full");
    let bad = folder.write("bad.toml", "[source]\nurl = 7\n");
    for verb in ["run", "check"] {
        let mut command = tethered(BINARY);
        command.args([verb, "--config"]).arg(&bad).stderr(full());
        assert_eq!(command.status().unwrap().code(), Some(78), "{verb}");
    }
    let good = configuration("stomp://127.0.0.1:1").write(&folder);
    let mut command = tethered(BINARY);
    command
        .args(["check", "--config"])
        .arg(&good)
        .stdout(full());
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("standard output cannot be written to"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_whose_log_goes_nowhere_delivers_and_stops() {
    let served = serve(0).await;
    let folder = Folder::new("mute");
    let config = configuration(&served.url).write(&folder);
    let mut command = std::process::Command::new(BINARY);
    command
        .args(["run", "--config"])
        .arg(&config)
        .current_dir(folder.path())
        .stderr(full());
    let mut child = command.spawn().unwrap();
    wait::until("subscribed", async || {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        (served.publisher.subscriptions(TOPIC) == 1).then_some(())
    })
    .await;
    served.publish(1);
    let history = folder.join("history.db");
    wait::until("stored", async || (rows(&history) == "1").then_some(())).await;
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap());
    assert!(status.await.unwrap().success());
    served.end().await;
}

fn rows(history: &Path) -> String {
    let counted = std::process::Command::new("sqlite3")
        .arg(history)
        .arg("select count(*) from status_event")
        .output()
        .unwrap();
    String::from_utf8(counted.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_stop_with_a_full_journal_is_a_clean_stop() {
    let served = serve(0).await;
    let receiver = Receiver::start().await;
    receiver.answer(404);
    let configuration = Configuration::new(&served.url)
        .table("topics.map-1", &format!("destination = \"{TOPIC}\"\n"))
        .table("journal", "max_bytes = \"1MiB\"\n")
        .webhook_with(&receiver.url(), "start = \"oldest\"\n");
    let mut daemon = Daemon::start(&configuration).await;
    wait::until("subscribed", async || {
        (served.publisher.subscriptions(TOPIC) == 1).then_some(())
    })
    .await;
    let pad = "x".repeat(64 << 10);
    wait::until("paused", async || {
        let body = format!(r#"{{"deviceId":1,"newState":"故障","pad":"{pad}"}}"#);
        served.publisher.publish(Message::json(TOPIC, body));
        (daemon.status().await["link"]["state"] == "paused: journal full").then_some(())
    })
    .await;
    let status = daemon.stop().await;
    let log = daemon.log();
    assert!(status.success(), "{log}");
    assert!(
        !log.contains("panicked") && !log.contains("do not balance"),
        "{log}"
    );
    daemon.restart().await;
    assert!(daemon.stop().await.success());
    assert!(!daemon.log().contains("not clean"), "{}", daemon.log());
    served.end().await;
}

#[tokio::test]
async fn a_history_that_is_removed_is_filled_from_the_journal_as_far_as_that_reaches() {
    let served = serve(0).await;
    let mut daemon = Daemon::start(&configuration(&served.url)).await;
    daemon.ready().await;
    let history = daemon.folder().join("history.db");
    (1..=5).for_each(|device| served.publish(device));
    wait::until("stored", async || (rows(&history) == "5").then_some(())).await;
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{suffix}", history.display())).unwrap();
    }
    served.publish(6);
    daemon
        .complains(&["history.db", "was removed or moved"])
        .await;
    wait::until("stored again", async || {
        (rows(&history) == "6").then_some(())
    })
    .await;
    daemon.ready().await;
    assert!(daemon.stop().await.success());
    assert!(!daemon.log().contains("do not balance"), "{}", daemon.log());
    served.end().await;
}

#[tokio::test]
async fn a_journal_that_is_taken_away_ends_the_daemon_in_words_and_the_next_start_goes_on() {
    let served = serve(0).await;
    let mut daemon = Daemon::start(&configuration(&served.url)).await;
    daemon.ready().await;
    let history = daemon.folder().join("history.db");
    (1..=5).for_each(|device| served.publish(device));
    wait::until("stored", async || (rows(&history) == "5").then_some(())).await;
    std::fs::remove_file(daemon.folder().join("journal.db-wal")).unwrap();
    served.publish(6);
    wait::until("ended", async || (!daemon.runs()).then_some(())).await;
    let log = daemon.log();
    assert!(log.contains("its -wal was removed"), "{log}");
    assert!(
        !log.contains("do not balance") && !log.contains("panicked"),
        "{log}"
    );
    daemon.restart().await;
    daemon.ready().await;
    served.publish(7);
    wait::until("stored", async || {
        rows(&history)
            .parse::<u32>()
            .ok()
            .filter(|rows| *rows >= 6)
            .map(drop)
    })
    .await;
    assert!(daemon.stop().await.success());
    served.end().await;
}

#[tokio::test]
async fn a_journal_that_is_removed_while_nothing_comes_is_no_clean_stop() {
    let served = serve(0).await;
    let mut daemon = Daemon::start(&configuration(&served.url)).await;
    daemon.ready().await;
    std::fs::remove_file(daemon.folder().join("journal.db")).unwrap();
    let status = daemon.stop().await;
    let log = daemon.log();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("its file was removed"), "{log}");
    assert!(!log.contains("\"stopped\""), "{log}");
    served.end().await;
}

fn demo(folder: &Folder) -> std::process::Output {
    let dir = folder.path().to_str().unwrap();
    bridge(&["demo", "--messages", "1", "--dir", dir])
}

#[test]
fn a_demo_uses_no_folder_that_is_not_its_own() {
    let folder = Folder::new("demo-own");
    for _ in 0..2 {
        let output = demo(&folder);
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{log}");
    }
    let config = folder.join("config.toml");
    let written = std::fs::read_to_string(&config).unwrap();
    let own = written.replace("sinks.history", "sinks.other");
    folder.write("config.toml", &own);
    let said = |output: std::process::Output| {
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let refused = said(demo(&folder));
    assert!(
        refused.contains("--dir") && refused.contains("config.toml"),
        "{refused}"
    );
    assert_eq!(std::fs::read_to_string(&config).unwrap(), own);

    let foreign = Folder::new("demo-foreign");
    foreign.write("journal.db", "");
    let refused = said(demo(&foreign));
    assert!(refused.contains("journal.db"), "{refused}");
    assert!(!foreign.join("config.toml").exists());
}

#[tokio::test]
async fn a_command_finds_the_daemon_by_any_link_to_its_journal() {
    let served = serve(0).await;
    let mut daemon = Daemon::start(&configuration(&served.url)).await;
    daemon.ready().await;
    let link = daemon.folder().join("link.db");
    std::os::unix::fs::symlink(daemon.folder().join("journal.db"), &link).unwrap();
    let journal = link.to_str().unwrap();
    let output = bridge(&["sinks", "forget", "nobody", "--journal", journal]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("nobody") && !said.contains("does not answer"),
        "{said}"
    );
    assert!(daemon.stop().await.success());
    served.end().await;
}
