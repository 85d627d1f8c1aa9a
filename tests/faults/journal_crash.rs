//! The journal when its process is killed, and when the disk fails: acknowledged entries are there
//! afterwards.
//!
//! Each test starts its own binary again for itself alone. The child finds the journal's path in
//! the environment, and is the process that is killed or whose disk fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use peers::process::own_test;
use stomp_bridge::journal::{
    Error, Journal, NewBatch, NewContent, NewEntry, Passed, Settings, Start,
};
use stomp_bridge::model::Position;
use tokio_util::sync::CancellationToken;

/// In a child, the journal's path.
const JOURNAL: &str = "JOURNAL_CRASH_PATH";

fn settings(path: PathBuf) -> Settings {
    Settings {
        bytes_max: 1 << 30,
        keep: Duration::from_secs(3600),
        ..Settings::new(path)
    }
}

/// The rest of a test in its own child process. It appends `batches` of entries, whose body is
/// their position, and prints `acknowledged POSITION` after each. A sink reads them and prints
/// `confirmed POSITION` before its cursor moves. Does nothing in the test itself.
async fn be_the_child(batches: usize) {
    let Some(path) = std::env::var_os(JOURNAL) else {
        return;
    };
    // The test runner may have begun a line.
    println!();
    let code = match child(path.into(), batches).await {
        Ok(()) => 0,
        Err(error) => {
            println!("ended: {error:?}");
            1
        }
    };
    std::process::exit(code);
}

async fn child(path: PathBuf, batches: usize) -> Result<(), Error> {
    let (journal, writer) = Journal::open(&settings(path)).await?;
    let stop = CancellationToken::new();
    let writer = tokio::spawn(writer.run(stop.clone()));
    match append(&journal, batches).await {
        Ok(()) => stop.cancel(),
        Err(error) => {
            println!("refused: {error}");
            // Once closed, always closed.
            journal.log.append(NewBatch::default()).await.unwrap_err();
        }
    }
    writer.await.unwrap()
}

async fn append(journal: &Journal, batches: usize) -> Result<(), Error> {
    journal
        .cursors
        .register_sinks(&[("sink".into(), Start::Oldest)])
        .await?;
    let sink = journal.clone();
    tokio::spawn(async move {
        let mut reader = sink.log.reader().await.unwrap();
        let mut head = sink.log.head();
        let mut at = sink.cursors.cursor("sink").unwrap();
        loop {
            let _ = head.wait_for(|head| *head > at).await;
            let entries = reader.read_after(at, 100, usize::MAX).await.unwrap();
            at = entries.last().unwrap().position;
            say("confirmed", at);
            let passed = Passed {
                delivered: entries.len() as u64,
                ..Passed::default()
            };
            sink.cursors.pass("sink", at, passed);
        }
    });
    let mut last = *journal.log.head().borrow();
    for _ in 0..batches {
        let positions = last.0 + 1..=last.0 + 1 + last.0 % 50;
        let entries = positions.map(|position| NewEntry {
            topic: "map-1".into(),
            received_at: Timestamp::now(),
            body: Bytes::from(position.to_string()),
            content: NewContent::sample(),
        });
        last = journal
            .log
            .append(NewBatch {
                entries: entries.collect(),
            })
            .await?;
        say("acknowledged", last);
    }
    Ok(())
}

fn say(what: &str, position: Position) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{what} {position}")
        .and_then(|()| stdout.flush())
        .unwrap();
}

/// Starts the child of a test, behind other words of a command line.
fn start(test: &str, journal: &Path, before: &[&str]) -> Child {
    let mut words = before.iter().map(Into::into).collect::<Vec<OsString>>();
    words.extend(own_test(module_path!(), test));
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .env(JOURNAL, journal)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a child has said by its end.
#[derive(Default)]
struct Said {
    acknowledged: i64,
    acknowledgements: usize,
    confirmed: i64,
    rest: Vec<String>,
}

impl Said {
    fn hear(&mut self, line: String) {
        match line
            .split_once(' ')
            .map(|(what, position)| (what, position.parse()))
        {
            Some(("acknowledged", Ok(position))) => {
                self.acknowledged = position;
                self.acknowledgements += 1;
            }
            Some(("confirmed", Ok(position))) => self.confirmed = position,
            _ => self.rest.push(line),
        }
    }

    /// Hears a child to its end.
    fn hear_all(mut child: Child) -> (Said, ExitStatus) {
        let mut said = Said::default();
        let output = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        output.for_each(|line| said.hear(line));
        (said, child.wait().unwrap())
    }
}

/// Opens the journal that a child has left, and looks for everything that it has promised.
async fn check(path: &Path, said: &Said) -> Position {
    let (journal, writer) = loop {
        match Journal::open(&settings(path.to_owned())).await {
            // Another test's fork has the lock's handle until it becomes what it is to be.
            Err(Error::InUse { .. }) => tokio::task::yield_now().await,
            opened => break opened.unwrap(),
        }
    };
    let head = *journal.log.head().borrow();
    assert!(
        head.0 >= said.acknowledged,
        "{} was acknowledged, but the journal ends at {head}",
        said.acknowledged
    );
    let cursor = journal.cursors.cursor("sink").unwrap_or_default();
    assert!(
        cursor.0 <= said.confirmed,
        "the cursor {cursor} is past {}, the last confirmed",
        said.confirmed
    );
    let mut reader = journal.log.reader().await.unwrap();
    let entries = reader
        .read_after(Position::START, usize::MAX, usize::MAX)
        .await
        .unwrap();
    assert_eq!(entries.len() as i64, head.0);
    for (position, entry) in (1..).zip(&entries) {
        assert_eq!(
            (entry.position, &*entry.body),
            (Position(position), position.to_string().as_bytes())
        );
    }
    drop(writer);
    head
}

#[tokio::test]
async fn killed_process_loses_nothing_that_it_acknowledged() {
    be_the_child(usize::MAX).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut before = Position::START;
    let mut said = Said::default();
    for lines in [1, 2, 3, 50, 51, 117, 300] {
        let mut child = start(
            "killed_process_loses_nothing_that_it_acknowledged",
            &path,
            &["env"],
        );
        let mut output = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        said.acknowledgements = 0;
        while said.acknowledgements < lines {
            said.hear(output.next().unwrap());
        }
        child.kill().unwrap();
        output.for_each(|line| said.hear(line));
        child.wait().unwrap();
        let head = check(&path, &said).await;
        assert!(head > before);
        before = head;
    }
}

/// Batches of a child whose disk fails once; two, so that one comes after a failure in the other.
const BATCHES: usize = 2;

/// Lets the n-th call in each thread of a child fail, for every n until there is none. `judge` gets
/// the exit status of each child that was hit.
async fn fail_each(test: &str, inject: &str, judge: impl Fn(&Said, ExitStatus, &str)) {
    be_the_child(BATCHES).await;
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("template.db");
    // Most of a new journal's writes make its tables: the quick form begins with one that has them.
    let long = std::env::var_os("STOMP_BRIDGE_TEST_LONG").is_some();
    let mut before = Said::default();
    if !long {
        let (said, status) = Said::hear_all(start(test, &template, &["env"]));
        assert!(status.success());
        before = said;
    }
    let mut hit = 0;
    for n in 1.. {
        let path = folder.path().join(format!("journal-{n}.db"));
        if !long {
            std::fs::copy(&template, &path).unwrap();
        }
        let log = folder.path().join("strace");
        let injection = format!("inject={inject}:when={n}");
        let trace = [
            "timeout",
            "60",
            "strace",
            "-f",
            "-qq",
            "--seccomp-bpf",
            "-o",
            log.to_str().unwrap(),
            "-e",
            &injection,
        ];
        let (mut said, status) = Said::hear_all(start(test, &path, &trace));
        said.acknowledged = said.acknowledged.max(before.acknowledged);
        said.confirmed = said.confirmed.max(before.confirmed);
        if !std::fs::read_to_string(&log)
            .unwrap()
            .contains("(INJECTED)")
        {
            assert!(status.success(), "without a failure: {:?}", said.rest);
            break;
        }
        hit += 1;
        judge(
            &said,
            status,
            &format!("{inject}, the {n}-th: {:?}", said.rest),
        );
        check(&path, &said).await;
        check(&path, &said).await;
    }
    println!("{inject}: {hit} failures");
    assert!(hit >= BATCHES, "{inject} has hit only {hit} calls");
}

fn ended_with_an_error(said: &Said, status: ExitStatus, what: &str) {
    assert!(!status.success(), "the process goes on after {what}");
    assert!(said.rest.join("\n").contains("ended: "), "{what}");
}

#[tokio::test]
async fn each_failed_sync_ends_the_process_or_was_not_needed_yet() {
    let test = "each_failed_sync_ends_the_process_or_was_not_needed_yet";
    fail_each(
        test,
        "fdatasync:error=EIO",
        |said, status, what| match status.success() {
            // A checkpoint: what it copies is in the synced WAL, and is copied again.
            true => assert_eq!(said.acknowledgements, BATCHES, "{what}"),
            false => ended_with_an_error(said, status, what),
        },
    )
    .await;
}

#[tokio::test]
async fn each_failed_write_ends_the_process_or_was_not_needed_yet() {
    let test = "each_failed_write_ends_the_process_or_was_not_needed_yet";
    fail_each(
        test,
        "pwrite64:error=EIO",
        |said, status, what| match status.success() {
            true => assert_eq!(said.acknowledgements, BATCHES, "{what}"),
            false => ended_with_an_error(said, status, what),
        },
    )
    .await;
}

#[tokio::test]
async fn each_write_without_room_is_tried_again() {
    fail_each(
        "each_write_without_room_is_tried_again",
        "pwrite64:error=ENOSPC",
        |said, status, what| {
            match said.acknowledgements {
                // While it opens, there is nothing to wait with.
                0 => ended_with_an_error(said, status, what),
                acknowledgements => {
                    assert_eq!(acknowledgements, BATCHES, "it did not go on after {what}")
                }
            }
        },
    )
    .await;
}

#[tokio::test]
async fn disk_that_fails_for_good_acknowledges_nothing_more() {
    let test = "disk_that_fails_for_good_acknowledges_nothing_more";
    be_the_child(usize::MAX).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let trace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "inject=fsync,fdatasync:error=EIO:when=30+",
    ];
    let (said, status) = Said::hear_all(start(test, &path, &trace));
    let rest = said.rest.join("\n");
    assert!(!status.success(), "{rest}");
    assert!(rest.contains("refused: the journal is closed"), "{rest}");
    assert!(
        rest.contains("ended: Sync") && rest.contains("Input/output error"),
        "{rest}"
    );
    assert!(said.acknowledged > 0, "some were acknowledged before");
    check(&path, &said).await;
}
