//! Undecodable entries: a redrive is whole or not at all, and none goes without being counted.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use stomp_bridge::journal::{NewContent, NewEntry, Settings, Start, Status, WhenFull, Which};
use stomp_bridge::model::Position;

use super::promises::{Running, batch, entry, settings};

fn undecodable(body: &str) -> NewEntry {
    NewEntry {
        content: NewContent::Undecodable {
            reason: "not JSON".into(),
        },
        ..entry(body)
    }
}

async fn open(settings: &Settings) -> Running {
    let running = Running::open(settings).await;
    let sinks = [("site".into(), Start::Oldest)];
    running
        .journal
        .cursors
        .register_sinks(&sinks)
        .await
        .unwrap();
    running
}

async fn sql(path: &Path, text: &'static str) {
    let options = SqliteConnectOptions::new().filename(path);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// How many entries there are, and how many of them wait for somebody.
async fn entries(running: &Running) -> (usize, u64) {
    let all = running.read(Position::START).await.len();
    let mut reader = running.journal.log.reader().await.unwrap();
    (all, reader.undecodable_count().await.unwrap())
}

#[tokio::test]
async fn a_redrive_is_whole_or_not_at_all_and_a_second_one_delivers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let running = open(&settings).await;
    let wholes = vec![undecodable("[1,2]"), undecodable("3")];
    running.journal.log.append(batch(wholes)).await.unwrap();
    running.close().await;
    let redrive = async |running: &Running| {
        let parts = vec![undecodable("1"), undecodable("2")];
        let wanted = vec![(Position(1), parts), (Position(2), Vec::new())];
        running.journal.admin.redrive_undecodable(wanted).await
    };
    // It fails where it lists what is to be delivered, as it does when the process ends there.
    let refuses = "CREATE TRIGGER refuses BEFORE INSERT ON dead_letter \
                   BEGIN SELECT RAISE(ABORT, 'refused'); END";
    sql(&settings.path, refuses).await;
    let running = open(&settings).await;
    redrive(&running).await.unwrap_err();
    running.writer.await.unwrap().unwrap_err();
    drop(running.journal);
    sql(&settings.path, "DROP TRIGGER refuses").await;

    let running = open(&settings).await;
    assert_eq!(entries(&running).await, (2, 2));
    assert_eq!(redrive(&running).await.unwrap(), 3);
    assert_eq!(entries(&running).await, (4, 0));
    let status = running.journal.log.status();
    assert_eq!((status.undecodable, status.parts), (2, 2));
    assert_eq!(status.sinks[0].dead_lettered, 3);
    // Somebody else did the same meanwhile: nothing is delivered twice.
    assert_eq!(redrive(&running).await.unwrap(), 0);
    assert_eq!(entries(&running).await, (6, 0));
    assert_eq!(running.journal.log.status().sinks[0].dead_lettered, 3);
    running.close().await;
}

/// Waits until so many are counted.
async fn until_removed(running: &Running, expected: u64) -> Status {
    let is_counted = || running.journal.log.status().undecodable_removed >= expected;
    let within = Duration::from_secs(60);
    let counted = async {
        while !is_counted() {
            let more = vec![entry(vec![7; 20_000])];
            running.journal.log.append(batch(more)).await.unwrap();
        }
    };
    tokio::time::timeout(within, counted).await.unwrap();
    running.journal.log.status()
}

#[tokio::test]
async fn undecodable_entries_that_go_before_anybody_has_dealt_with_them_are_counted() {
    for when_full in [WhenFull::Pause, WhenFull::DropOldest] {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            bytes_max: 1 << 20,
            when_full,
            ..settings(folder.path())
        };
        let running = open(&settings).await;
        let journal = &running.journal;
        let wholes = ["1", "2", "3"].map(undecodable).to_vec();
        let last = journal.log.append(batch(wholes)).await.unwrap();
        let dealt_with = Which::Positions(vec![Position(2)]);
        let discarded = journal.admin.discard_undecodable(dealt_with).await;
        assert_eq!(discarded.unwrap(), 1);
        // Every sink is past them: they make room. Where none is, they are evicted.
        if when_full == WhenFull::Pause {
            running.advance("site", last);
        }
        let status = until_removed(&running, 2).await;
        assert_eq!(status.undecodable_removed, 2, "{when_full:?}");
        assert_eq!(status.evicted >= 3, when_full == WhenFull::DropOldest);
        running.close().await;

        let running = open(&settings).await;
        assert_eq!(running.journal.log.status().undecodable_removed, 0);
        let mut reader = running.journal.log.reader().await.unwrap();
        assert_eq!(reader.undecodable_removed().await.unwrap(), 2);
        drop(reader);
        running.close().await;
    }
}
