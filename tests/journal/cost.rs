//! What the writer costs at the pace at which the source gives it entries: commits, bytes and
//! wake-ups, counted in the WAL and with a given clock.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use stomp_bridge::journal::{
    DeliveryProof, Journal, NewBatch, NewContent, NewEntry, Passed, Settings, Start, Writer,
};
use stomp_bridge::model::Position;
use stomp_bridge::pipeline::StatusKey;
use tokio_util::sync::CancellationToken;

use crate::promises::on_a_given_clock;

/// As the source paces itself.
const GROUP: usize = 5;
const INTERVAL: Duration = Duration::from_millis(5);

/// What is not saved after so many seconds of the given clock never is.
const PATIENCE: usize = 300;

/// An entry as the platform's, which takes about 450 bytes.
const BODY_BYTES: usize = 400;

/// A status that changes its device's last state.
fn entry(number: usize, received_at: Timestamp) -> NewEntry {
    NewEntry {
        topic: "map-1".into(),
        received_at,
        body: vec![b'x'; BODY_BYTES].into(),
        content: NewContent::Status {
            stream: "map-1".into(),
            key: StatusKey {
                client_id: "1".to_owned(),
                device_id: (number % 20).to_string(),
                old_state: None,
                new_state: number.to_string(),
                event_key: Some(number as u64),
                shared_hash: None,
            },
            places: None,
        },
    }
}

/// The commits that a WAL holds, each with its pages.
struct Wal {
    page_bytes: usize,
    commits: Vec<Vec<u32>>,
}

impl Wal {
    /// By SQLite's "WAL file format": a header of 32 bytes, then frames with 24 bytes before each
    /// page. Frames with other salts are of an earlier round.
    fn read(journal: &Path) -> Wal {
        let bytes = std::fs::read(journal.with_extension("db-wal")).unwrap();
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let page_bytes = word(8) as usize;
        let mut wal = Wal {
            page_bytes,
            commits: Vec::new(),
        };
        let mut pages = Vec::new();
        let mut at = 32;
        while at + 24 + page_bytes <= bytes.len() && bytes[at + 8..at + 16] == bytes[16..24] {
            pages.push(word(at));
            if word(at + 4) > 0 {
                wal.commits.push(std::mem::take(&mut pages));
            }
            at += 24 + page_bytes;
        }
        wal
    }

    /// Without the first commits.
    fn since(mut self, commits: usize) -> Wal {
        self.commits.drain(..commits);
        self
    }

    fn bytes(&self) -> usize {
        self.commits.iter().map(Vec::len).sum::<usize>() * (24 + self.page_bytes)
    }

    /// How many commits have written a page.
    fn writes(&self, page: u32) -> usize {
        let writes = |commit: &&Vec<u32>| commit.contains(&page);
        self.commits.iter().filter(writes).count()
    }
}

async fn read_only(journal: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(journal)
        .read_only(true);
    options.connect().await.unwrap()
}

/// The positions that the cursor and the last states have on disk.
async fn saved(journal: &Path) -> (Position, Position) {
    let mut file = read_only(journal).await;
    let text = "SELECT position, last_states_position FROM cursor, journal";
    let (cursor, last_states): (i64, i64) =
        sqlx::query_as(text).fetch_one(&mut file).await.unwrap();
    file.close().await.unwrap();
    (Position(cursor), Position(last_states))
}

/// The first page of each table.
async fn pages(journal: &Path) -> BTreeMap<String, u32> {
    let mut file = read_only(journal).await;
    let pages = sqlx::query_as("SELECT name, rootpage FROM sqlite_schema WHERE type = 'table'");
    let pages: Vec<(String, u32)> = pages.fetch_all(&mut file).await.unwrap();
    file.close().await.unwrap();
    pages.into_iter().collect()
}

/// A journal with one sink, whose writer runs. Gives how often that was woken up.
async fn open(settings: &Settings) -> (Journal, Arc<AtomicUsize>) {
    let (journal, writer) = Journal::open(settings).await.unwrap();
    let woken = Arc::new(AtomicUsize::new(0));
    tokio::spawn(counted(writer, Arc::clone(&woken)));
    let sinks = [("site".into(), Start::Oldest)];
    journal.cursors.register_sinks(&sinks).await.unwrap();
    (journal, woken)
}

async fn counted(writer: Writer, woken: Arc<AtomicUsize>) {
    let mut run = pin!(writer.run(CancellationToken::new()));
    let ended = std::future::poll_fn(|context| {
        woken.fetch_add(1, Ordering::Relaxed);
        match run.as_mut().poll(context) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => Poll::Pending,
        }
    });
    ended.await.unwrap();
}

fn settings(folder: &Path) -> Settings {
    Settings {
        keep: Duration::from_secs(3600),
        ..Settings::new(folder.join("journal.db"))
    }
}

/// A sink has them at once.
async fn give(journal: &Journal, entries: Vec<NewEntry>) {
    let passed = Passed {
        delivered: entries.len() as u64,
        ..Passed::default()
    };
    let count = i64::try_from(entries.len()).unwrap();
    let at = journal.log.append(NewBatch { entries }).await.unwrap();
    journal.cursors.prove(DeliveryProof {
        sink: "site".into(),
        from: Position(at.0 - count + 1),
        to: at,
        positions: None,
        confirmed_at: Timestamp::now(),
        attempts: 1,
        answer: format!("PUBACK 0x00, packet ids {} to {at}", at.0 - count + 1),
    });
    journal.cursors.pass("site", at, passed);
}

/// Gives groups at the source's pace for some seconds; a sink has each at once.
async fn flow(journal: &Journal, seconds: usize) -> usize {
    let groups = seconds * 1000 / INTERVAL.as_millis() as usize;
    for group in 0..groups {
        let numbers = group * GROUP..(group + 1) * GROUP;
        let entries = numbers
            .map(|number| entry(number, Timestamp::now()))
            .collect();
        give(journal, entries).await;
        tokio::time::advance(INTERVAL).await;
    }
    groups
}

#[test]
fn paced_entries_cost_one_commit_a_group_and_one_more_a_second() {
    on_a_given_clock(|| async {
        const SECONDS: usize = 3;
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let (journal, _) = open(&settings).await;
        let before = Wal::read(&settings.path).commits.len();
        let groups = flow(&journal, SECONDS).await;
        let wal = Wal::read(&settings.path).since(before);
        let saves = wal.commits.len() - groups;
        assert!(saves <= SECONDS, "{saves} more commits than groups");
        let pages = pages(&settings.path).await;
        for table in ["cursor", "last_state", "proof"] {
            let writes = wal.writes(pages[table]);
            assert!(
                (SECONDS - 1..=SECONDS).contains(&writes),
                "{table} was written {writes} times in {SECONDS} s"
            );
        }
        let bytes = wal.bytes() / (groups * GROUP);
        println!("{bytes} bytes in the WAL for each entry");
        assert!(bytes <= 2048, "{bytes} bytes for each entry");
    });
}

#[test]
fn entries_that_get_old_meanwhile_cost_two_commits_a_second() {
    on_a_given_clock(|| async {
        const SECONDS: usize = 2;
        // One gets old every 5 ms, as long as the test may last.
        const OLD: usize = 4000;
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let (journal, _) = open(&settings).await;
        let first = Timestamp::now() - settings.keep;
        let old = (0..OLD).map(|number| entry(number, first + INTERVAL * number as u32));
        give(&journal, old.collect()).await;
        let before = Wal::read(&settings.path).commits.len();
        let groups = flow(&journal, SECONDS).await;
        let wal = Wal::read(&settings.path).since(before);
        let others = wal.commits.len() - groups;
        assert!(others <= 2 * SECONDS, "{others} more commits than groups");
        // A removal keeps the head there, a save the position of the last states.
        let writes = wal.writes(pages(&settings.path).await["journal"]);
        assert!(
            (1..=2 * SECONDS).contains(&writes),
            "{writes} removals and saves in {SECONDS} s"
        );
        let oldest = journal.log.status().oldest.unwrap();
        assert!(oldest > Position(1), "something was removed");
    });
}

#[test]
fn idle_writer_sleeps() {
    on_a_given_clock(|| async {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let (journal, woken) = open(&settings).await;
        flow(&journal, 1).await;
        let pass = async |seconds: usize| {
            for _ in 0..10 * seconds {
                tokio::time::advance(Duration::from_millis(100)).await;
                // What it began goes on at its own pace.
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
        };
        // What is left is saved, by a disk that has its own pace.
        let head = Position(1000);
        let mut passed = 0;
        while saved(&settings.path).await != (head, head) {
            assert!(passed < PATIENCE, "{:?}", saved(&settings.path).await);
            pass(1).await;
            passed += 1;
        }
        pass(3).await;
        let before = woken.load(Ordering::Relaxed);
        pass(100).await;
        let woken = woken.load(Ordering::Relaxed) - before;
        assert!(woken <= 10, "woken {woken} times in 100 s");
    });
}
