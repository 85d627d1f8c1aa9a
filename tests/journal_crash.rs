//! The journal when its process is killed, and when the disk fails: what was acknowledged is there afterwards.

#![allow(clippy::unwrap_used, reason = "a test says no more of a failure than where it was")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use stomp_bridge::journal::{Journal, NewBatch, NewEntry, Settings, Start, Verdict, WhenFull};
use stomp_bridge::model::Position;
use tokio_util::sync::CancellationToken;

/// Names the journal for [`child`].
const JOURNAL: &str = "JOURNAL_CRASH_PATH";

fn settings(path: PathBuf) -> Settings {
    Settings { path, bytes_max: 1 << 30, when_full: WhenFull::Pause, retain: Duration::from_secs(3600) }
}

/// Not a test: what the tests start as a process of its own. It appends entries whose body is their position and says
/// `acknowledged POSITION` after each batch; a sink reads them and says `confirmed POSITION` before its cursor moves.
#[tokio::test]
#[ignore = "started by the other tests"]
async fn child() {
    let settings = settings(std::env::var_os(JOURNAL).unwrap().into());
    let (journal, writer) = Journal::open(&settings).await.unwrap();
    let writer = tokio::spawn(writer.run(CancellationToken::new()));
    journal.register_sinks(&[("sink".into(), Start::Oldest)]).await.unwrap();
    let sink = journal.clone();
    tokio::spawn(async move {
        let mut reader = sink.reader().await.unwrap();
        let mut head = sink.head();
        let mut at = sink.cursor("sink").await.unwrap().unwrap();
        loop {
            let _ = head.wait_for(|head| *head > at).await;
            let entries = reader.read_after(at, 100, usize::MAX).await.unwrap();
            at = entries.last().unwrap().position;
            say("confirmed", at);
            sink.advance("sink", at);
        }
    });
    let mut last = *journal.head().borrow();
    loop {
        let positions = last.0 + 1..=last.0 + 1 + last.0 % 50;
        let entries = positions.map(|position| NewEntry {
            topic: "map-1".into(),
            received_at: Timestamp::now(),
            body: Bytes::from(position.to_string()),
            verdict: Verdict::Accepted { previous: None },
        });
        match journal.append(NewBatch { entries: entries.collect(), last_states: Vec::new() }).await {
            Ok(position) => last = position,
            Err(error) => {
                println!("refused: {error}");
                println!("ended: {:?}", writer.await.unwrap().unwrap_err());
                // Once closed, always closed.
                journal.append(NewBatch::default()).await.unwrap_err();
                return;
            }
        }
        say("acknowledged", last);
    }
}

fn say(what: &str, position: Position) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{what} {position}").and_then(|()| stdout.flush()).unwrap();
}

fn start(mut command: Command, journal: &Path) -> Child {
    command.env(JOURNAL, journal).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn child_arguments() -> [&'static str; 5] {
    ["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"]
}

/// What a child has said by its end.
#[derive(Default)]
struct Said {
    acknowledged: i64,
    confirmed: i64,
    rest: Vec<String>,
}

impl Said {
    fn hear(&mut self, line: String) {
        match line.split_once(' ').map(|(what, position)| (what, position.parse())) {
            Some(("acknowledged", Ok(position))) => self.acknowledged = position,
            Some(("confirmed", Ok(position))) => self.confirmed = position,
            _ => self.rest.push(line),
        }
    }
}

/// Opens the journal that a child has left, and looks for everything that it has promised.
async fn check(path: &Path, said: &Said) -> Position {
    let (journal, writer) = Journal::open(&settings(path.to_owned())).await.unwrap();
    let head = *journal.head().borrow();
    assert!(head.0 >= said.acknowledged, "{} was acknowledged, but the journal ends at {head}", said.acknowledged);
    let cursor = journal.cursor("sink").await.unwrap().unwrap_or_default();
    assert!(cursor.0 <= said.confirmed, "the cursor {cursor} is past {}, the last confirmed", said.confirmed);
    let mut reader = journal.reader().await.unwrap();
    let entries = reader.read_after(Position::START, usize::MAX, usize::MAX).await.unwrap();
    assert_eq!(entries.len() as i64, head.0);
    for (position, entry) in (1..).zip(&entries) {
        assert_eq!((entry.position, &*entry.body), (Position(position), position.to_string().as_bytes()));
    }
    drop(writer);
    head
}

#[tokio::test]
async fn killed_process_loses_nothing_that_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut before = Position::START;
    let mut said = Said::default();
    for lines in [1, 2, 3, 50, 51, 117, 300] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(child_arguments());
        let mut child = start(command, &path);
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut acknowledged = 0;
        while acknowledged < lines {
            let line = output.next().unwrap();
            acknowledged += usize::from(line.starts_with("acknowledged"));
            said.hear(line);
        }
        child.kill().unwrap();
        output.for_each(|line| said.hear(line));
        child.wait().unwrap();
        let head = check(&path, &said).await;
        assert!(head > before);
        before = head;
    }
}

#[tokio::test]
async fn failed_sync_ends_the_writer_and_acknowledges_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
    command.args(["-e", "inject=fsync,fdatasync:error=EIO:when=30+"]);
    command.arg(std::env::current_exe().unwrap()).args(child_arguments());
    let mut child = start(command, &path);
    let mut said = Said::default();
    let output = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    output.for_each(|line| said.hear(line));
    assert!(child.wait().unwrap().success(), "{:?}", said.rest);
    let rest = said.rest.join("\n");
    assert!(rest.contains("refused: the journal is closed"), "{rest}");
    assert!(rest.contains("ended: Sqlite") && rest.contains("disk I/O error"), "{rest}");
    assert!(said.acknowledged > 0, "some were acknowledged before");
    check(&path, &said).await;
}
