//! `stomp-bridge history events --follow`, by the real binary, where the history is taken away.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use stomp_bridge::model::StatusEvent;
use stomp_bridge::sinks::Sink;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use crate::asked::configured;
use crate::events::{JOURNAL, batch, events, start};
use crate::history::Database;

/// Only what hangs takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The command, which ends with the test.
struct Follower {
    child: Child,
    statuses: Lines<BufReader<ChildStdout>>,
    remarks: Lines<BufReader<ChildStderr>>,
}

impl Follower {
    fn start(folder: &Path) -> Follower {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stomp-bridge"));
        command.args(["history", "events", "--follow", "--json"]);
        command.current_dir(folder).kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let statuses = BufReader::new(child.stdout.take().unwrap()).lines();
        let remarks = BufReader::new(child.stderr.take().unwrap()).lines();
        Follower {
            child,
            statuses,
            remarks,
        }
    }

    /// The next statuses are those of these positions.
    async fn shows(&mut self, positions: std::ops::RangeInclusive<i64>) {
        for position in positions {
            let line = timeout(PATIENCE, self.statuses.next_line()).await;
            let line = line.expect("a status in time").unwrap();
            let line = line.expect("the command goes on");
            let status: serde_json::Value = serde_json::from_str(&line).unwrap();
            let origin = status["origin"].as_str().unwrap();
            assert!(
                origin.ends_with(&format!("-{position}")),
                "{position}: {line}"
            );
        }
    }

    /// The next remark has these words.
    async fn says(&mut self, words: &str) {
        let line = timeout(PATIENCE, self.remarks.next_line()).await;
        let line = line.expect("a remark in time").unwrap();
        let line = line.expect("the command goes on");
        assert!(line.contains(words), "{line}");
    }

    async fn goes_on(mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None);
        self.child.kill().await.unwrap();
        assert_eq!(self.remarks.next_line().await.unwrap(), None);
    }
}

async fn stored(database: &Database, events: &[StatusEvent]) -> Box<dyn Sink> {
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(events)).await.unwrap();
    sink
}

/// As docs/backup.md restores a history: the journal fills in what the backup lacks, or all of it.
#[tokio::test]
async fn a_history_that_another_file_replaces_is_followed_behind_what_was_shown() {
    for has_backup in [true, false] {
        let database = Database::sqlite();
        let Database::Sqlite { path, .. } = &database else {
            panic!("it is a file")
        };
        // Two of one message, received at once: one of them was shown.
        let mut all = events(1..=9);
        all[5].received_at = all[4].received_at;
        stored(&database, &all[..3]).await.close().await;
        let backup = path.with_file_name("backup.db");
        fs::copy(path, &backup).unwrap();
        let mut sink = stored(&database, &all[3..5]).await;
        let folder = configured(&database);
        let mut follower = Follower::start(folder.path());
        follower.shows(1..=5).await;

        sink.close().await;
        for suffix in ["", "-wal", "-shm"] {
            let of = |name: &str| path.with_file_name(format!("{name}{suffix}"));
            if of("history.db").exists() {
                fs::rename(of("history.db"), of("old.db")).unwrap();
            }
        }
        follower
            .says("was removed or replaced: --follow goes on")
            .await;
        let first = match has_backup {
            true => {
                fs::copy(&backup, path).unwrap();
                3
            }
            false => 0,
        };
        let mut sink = stored(&database, &all[first..8]).await;
        follower.says("is read again, behind the last status").await;
        follower.shows(6..=8).await;
        sink.attempt(batch(&all[8..])).await.unwrap();
        follower.shows(9..=9).await;
        follower.goes_on().await;
        sink.close().await;
    }
}

/// The one who closes it last would take the -wal and the -shm away, but for the follower's locks.
#[tokio::test]
async fn a_history_whose_daemon_is_started_again_is_followed() {
    let database = Database::sqlite();
    let all = events(1..=5);
    let mut sink = stored(&database, &all[..3]).await;
    let folder = configured(&database);
    let mut follower = Follower::start(folder.path());
    follower.shows(1..=3).await;
    sink.close().await;
    stored(&database, &all[3..]).await.close().await;
    follower.shows(4..=5).await;
    follower.goes_on().await;
}

#[tokio::test]
async fn a_server_that_ends_the_session_is_asked_again() {
    let database = Database::postgres().await;
    let all = events(1..=5);
    stored(&database, &all[..3]).await.close().await;
    let folder = configured(&database);
    let mut follower = Follower::start(folder.path());
    follower.shows(1..=3).await;
    database
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    follower.says("--follow asks again every second").await;
    follower.says("is read again, behind the last status").await;
    stored(&database, &all[3..]).await.close().await;
    follower.shows(4..=5).await;
    follower.goes_on().await;
}
