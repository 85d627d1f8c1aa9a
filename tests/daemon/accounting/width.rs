//! What verbs print where the terminal is narrow, where it knows no other characters, and where nobody
//! reads to the end.

use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use unicode_width::UnicodeWidthStr;

use super::bridge::{Source, passed, stop, text};
use peers::{Daemon, Folder, Receiver, wait};

const BINARY: &str = env!("CARGO_BIN_EXE_stomp-bridge");

async fn narrow(daemon: &Daemon, columns: usize, verb: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(verb).arg("--config");
    command.arg(daemon.folder().join("config.toml"));
    command
        .env("COLUMNS", columns.to_string())
        .env("LC_ALL", "C")
        .env_remove("RUST_LOG");
    command.output().await.unwrap()
}

#[tokio::test]
async fn tables_and_long_lines_keep_to_the_terminal_and_cut_nothing_off() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    let webhook = "body = \"{{ device_id }} 射阳县 {{ state }}\"\n";
    let configuration = source.configuration().sqlite();
    let configuration = configuration.webhook_with(&receiver.url(), webhook);
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    receiver.answer(422);
    source.messages(0..2);
    source.publish("射阳县 is no JSON");
    passed(&daemon, "oncall", 3, 2).await;
    let message = daemon
        .folder()
        .write("fault.json", "{\"deviceId\":1,\"newState\":\"故障\"}");
    let message = message.to_str().unwrap();
    for verb in [
        &["status"][..],
        &["sinks", "list"],
        &["sinks", "test", "oncall"],
        &["dlq", "list"],
        &["config", "show"],
        &["config", "show", "--defaults"],
        &["config", "route", "--message", message],
        &["doctor", "--wait", "0"],
        &["check"],
    ] {
        for columns in [20, 40, 80] {
            let output = narrow(&daemon, columns, verb).await;
            let (out, err) = (text(&output.stdout), text(&output.stderr));
            assert!(
                !out.is_empty() && !err.contains("panicked"),
                "{verb:?}: {err}"
            );
            let wide: Vec<&str> = out.lines().filter(|line| line.width() > columns).collect();
            assert!(wide.is_empty(), "{verb:?} at {columns}: {wide:#?}\n{out}");
        }
        let wide = text(&narrow(&daemon, 500, verb).await.stdout);
        let slim = text(&narrow(&daemon, 20, verb).await.stdout);
        // All words are there, however they are broken.
        if verb[0] == "dlq" {
            for word in ["射阳县", "422", "(undecodable)", "2 dead letters"] {
                let pressed = |text: &str| text.split_whitespace().collect::<String>();
                for shown in [&wide, &slim] {
                    assert!(pressed(shown).contains(&pressed(word)), "{word}: {shown}");
                }
            }
        }
    }
    // A body is to be copied: it stands as it is.
    let shown = narrow(&daemon, 40, &["dlq", "show", "oncall", "--all"]).await;
    let shown = text(&shown.stdout);
    assert!(shown.contains("  body: {"), "{shown}");
    let mut others = shown.lines().filter(|line| !line.starts_with("  body: "));
    let wide = others.find(|line| line.width() > 40);
    assert_eq!(wide, None, "{shown}");
    stop(&mut daemon).await;
}

#[tokio::test]
async fn a_reader_that_has_enough_ends_a_verb_in_silence() {
    let source = Source::start().await;
    let mut daemon = Daemon::start(&source.configuration().sqlite()).await;
    daemon.ready().await;
    let config = daemon.folder().join("config.toml");
    let config = config.to_str().unwrap();
    let folder = Folder::new("demo");
    let dir = folder.join("demo");
    let publish = async || {
        for n in 0.. {
            source.messages(n..n + 1);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    for verb in [
        &["status", "--watch", "--config", config][..],
        &["config", "show", "--defaults", "--config", config],
        &["tap", "--config", config],
        &["tap", "history", "--config", config],
        &["tap", "history", "--json", "--config", config],
        &["demo", "--dir", dir.to_str().unwrap()],
    ] {
        let mut command = Command::new(BINARY);
        command.args(verb).env_remove("RUST_LOG").kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ended = async {
            lines.next_line().await.unwrap().expect("a line");
            drop(lines);
            child.wait_with_output().await.unwrap()
        };
        let output = tokio::select! {
            output = tokio::time::timeout(wait::LONG, ended) => output,
            () = publish() => unreachable!(),
        };
        let output = output.unwrap_or_else(|_| panic!("{verb:?} goes on"));
        let said = text(&output.stderr);
        assert!(
            !said.contains("panicked") && !said.contains("ipe"),
            "{verb:?}: {said}"
        );
        assert!(output.status.success(), "{verb:?}: {output:?}");
    }
    stop(&mut daemon).await;
}
