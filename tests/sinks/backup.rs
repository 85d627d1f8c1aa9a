//! A copy of a SQLite history, made while its sink writes.

use std::io::Read;
use std::path::Path;

use jiff::SignedDuration;
use stomp_bridge::model::{CoverageCause, Event, Severity, StatusEvent};
use stomp_bridge::sinks::history::operator::Operator;
use stomp_bridge::sinks::history::reader::Store;
use tokio_util::sync::CancellationToken;

use crate::events::{JOURNAL, batch, coverage, raw, start, status};
use crate::history::Database;
use crate::intervals::holds;

/// Statuses of devices that change, and now and then a gap; each payload is another one.
fn events(positions: std::ops::Range<i64>) -> Vec<Event> {
    let begins: jiff::Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    let event = |position: i64| {
        let received_at = begins + SignedDuration::from_secs(position * 20);
        if position % 97 == 0 {
            let deaf = (position / 97) % 2 == 0;
            let cause = deaf.then_some(CoverageCause::Silent);
            let at = received_at.to_string();
            return Event::from(coverage(JOURNAL, position, "map-1", &at, cause));
        }
        let (state, severity) = match position % 7 {
            0 | 1 => ("fault", Severity::Critical),
            _ => ("normal", Severity::Ok),
        };
        let device = (position % 13).to_string();
        Event::from(StatusEvent {
            severity,
            received_at,
            missed_transition: position % 31 == 0,
            payload: raw(&format!(
                "{{\"n\":{position},\"x\":\"{}\"}}",
                "y".repeat(1000)
            )),
            ..status(JOURNAL, position, &device, state)
        })
    };
    positions.map(event).collect()
}

/// The salt of the `-wal`: another one each time that SQLite begins it again.
fn salt(path: &Path) -> Option<[u8; 4]> {
    let wal = format!("{}-wal", path.display());
    let mut header = [0; 32];
    std::fs::File::open(wal)
        .ok()?
        .read_exact(&mut header)
        .ok()?;
    header[16..20].try_into().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_of_one_moment_and_holds_neither_the_writer_nor_its_wal() {
    const BATCH: i64 = 40;
    const BACKUPS_MAX: usize = 50;
    let database = Database::sqlite();
    let Database::Sqlite { path, .. } = &database else {
        unreachable!("it is a file")
    };
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    let mut next = 1;
    while next < 4000 {
        sink.attempt(batch(&events(next..next + BATCH)))
            .await
            .unwrap();
        next += BATCH;
    }
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let writer = tokio::spawn(async move {
        while !stopped.is_cancelled() {
            sink.attempt(batch(&events(next..next + BATCH)))
                .await
                .unwrap();
            next += BATCH;
        }
        sink.close().await;
        next
    });
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("copy.db");
    let mut operator = Operator::open(&Store::Sqlite(path.clone())).await.unwrap();
    let mut began_again = false;
    for _ in 0..BACKUPS_MAX {
        let _ = std::fs::remove_file(&to);
        let before = salt(path);
        operator.back_up(&to).await.unwrap();
        began_again = before.is_some() && salt(path) != before;
        if began_again {
            break;
        }
    }
    stop.cancel();
    let written = writer.await.unwrap();
    assert!(began_again, "no backup let SQLite begin the -wal again");
    let copy = Database::Sqlite {
        path: to,
        _folder: folder,
    };
    let whole = copy
        .text("SELECT integrity_check FROM pragma_integrity_check")
        .await;
    assert_eq!(whole, "ok");
    // All up to the cursor, and nothing behind it.
    let cursor = copy
        .text("SELECT CAST(position AS text) FROM bridge_cursor")
        .await;
    let cursor: i64 = cursor.parse().unwrap();
    assert!((4000..written).contains(&cursor), "{cursor} of {written}");
    let rows = copy.count("event").await + copy.count("coverage").await;
    assert_eq!(rows as i64, cursor);
    let behind = format!("event WHERE position > {cursor}");
    assert_eq!(copy.count(&behind).await, 0);
    // And its timelines are those of the events that it has.
    let told = holds(&copy, 0).await;
    assert!(told.len() > 1000, "{}", told.len());
}
