//! What only SQLite does.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use futures_util::FutureExt;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use stomp_bridge::model::{Position, StatusEvent};
use stomp_bridge::sinks::{Settings, Trouble, history};

use crate::events::{JOURNAL, batch, event, events, raw, start};
use crate::history::Database;

fn of_mode(path: &Path, mode: u32) -> Settings {
    Settings::Sqlite(history::sqlite::Settings {
        name: "history".to_owned(),
        path: path.to_owned(),
        retention: None,
        intervals: None,
        zone: jiff::tz::TimeZone::UTC,
        mode,
    })
}

#[tokio::test]
async fn a_file_that_another_program_holds_is_the_sinks_trouble_and_passes() {
    let database = Database::sqlite();
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    let mut other = SqliteConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();

    let failed = sink.attempt(batch(&events(1..=2))).await.unwrap_err();
    let Trouble::Retry { error, after: None } = failed.trouble else {
        panic!("{:?}", failed.trouble)
    };
    assert!(
        error.contains(&database.url()) && error.contains("another program holds the file"),
        "{error}"
    );
    assert!(sink.idle().await.is_err());

    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(sink.open(JOURNAL).await, Ok(None));
    sink.attempt(batch(&events(1..=2))).await.unwrap();
    assert_eq!(sink.idle().await, Ok(()));
    assert_eq!(database.count("status_event").await, 2);
}

#[tokio::test]
async fn a_file_that_is_moved_away_is_noticed_by_an_idle_history() {
    let database = Database::sqlite();
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&events(1..=2))).await.unwrap();
    assert_eq!(sink.idle().await, Ok(()));
    std::fs::rename(database.url(), format!("{}.old", database.url())).unwrap();
    let Err(Trouble::Retry { error, .. }) = sink.idle().await else {
        panic!("it writes to a file that has no name")
    };
    assert!(error.contains("removed or moved"), "{error}");
    assert_eq!(sink.open(JOURNAL).await, Ok(None), "a file of its own");
    assert_eq!(sink.idle().await, Ok(()));
}

/// Something is done to the file between two attempts. The second is not confirmed and says why;
/// then a new file begins, and has what it is given. Gives the names in the folder.
async fn lost(words: &str, does: impl Fn(&Path)) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("below/history.db");
    let mut sink = start(of_mode(&path, history::sqlite::Settings::MODE));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&events(1..=40))).await.unwrap();
    does(&path);
    let failed = sink.attempt(batch(&events(41..=80))).await.unwrap_err();
    assert_eq!(failed.confirmed, 0, "{words}");
    let Trouble::Retry { error, after: None } = failed.trouble else {
        panic!("{words}: {:?}", failed.trouble)
    };
    assert!(
        error.contains(words) && error.contains(&path.display().to_string()),
        "{error}"
    );
    assert_eq!(sink.open(JOURNAL).await, Ok(None), "{words}: {error}");
    sink.attempt(batch(&events(1..=80))).await.unwrap();
    assert_eq!(sink.idle().await, Ok(()));
    sink.close().await;
    let mut database = SqliteConnection::connect(&path.display().to_string())
        .await
        .unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM status_event")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(rows, 80, "{words}");
    let names = std::fs::read_dir(path.parent().unwrap()).unwrap();
    names
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn a_file_that_was_taken_away_is_named_at_the_next_attempt_and_begun_anew() {
    let remove = |path: &Path| {
        for suffix in ["", "-wal", "-shm"] {
            std::fs::remove_file(format!("{}{suffix}", path.display())).unwrap();
        }
    };
    lost("was removed or moved", remove).await;
    lost("was removed or moved", |path: &Path| {
        std::fs::remove_file(path).unwrap();
    })
    .await;
    lost("was replaced by another one", |path: &Path| {
        let other = path.with_extension("other");
        std::fs::write(&other, "").unwrap();
        std::fs::rename(other, path).unwrap();
    })
    .await;
    for bytes in [0, 5000] {
        let names = lost("was truncated", |path: &Path| {
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(bytes).unwrap();
        })
        .await;
        let is_rest = |name: &&String| name.starts_with("history.db-truncated-");
        assert_eq!(names.iter().filter(is_rest).count(), 1, "{names:?}");
    }
}

/// A copy that is brought back under the sink keeps what it has, and what the sink wrote since does
/// not get into it.
async fn is_whole_once_brought_back(is_aborted: bool) {
    let database = Database::sqlite();
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&events(1..=40))).await.unwrap();
    let backup = format!("{}.backup", database.url());
    let mut other = SqliteConnection::connect(&database.url()).await.unwrap();
    let copy = format!("VACUUM INTO '{}'", backup.trim_start_matches("sqlite://"));
    sqlx::query(AssertSqlSafe(copy))
        .execute(&mut other)
        .await
        .unwrap();
    // The WAL begins again: its next pages are of a file that the backup does not know.
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut other)
        .await
        .unwrap();
    sink.attempt(batch(&events(41..=400))).await.unwrap();
    let next = events(401..=402);
    let next = batch(&next);
    if is_aborted {
        // Its connection is gone with it, and the other one keeps the WAL.
        assert!(sink.attempt(next).now_or_never().is_none());
        std::fs::rename(&backup, database.url()).unwrap();
    } else {
        other.close().await.unwrap();
        std::fs::rename(&backup, database.url()).unwrap();
        let undelivered = sink.attempt(next).await.unwrap_err();
        let words = format!("{:?}", undelivered.trouble);
        assert!(words.contains("was replaced by another one"), "{words}");
    }
    assert_eq!(sink.open(JOURNAL).await.unwrap(), Some(Position(40)));
    sink.attempt(batch(&events(41..=80))).await.unwrap();
    let mut database = SqliteConnection::connect(&database.url()).await.unwrap();
    let whole: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&mut database)
        .await
        .unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM status_event")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!((whole.as_str(), rows), ("ok", 80));
}

#[tokio::test]
async fn a_backup_that_is_brought_back_stays_whole() {
    is_whole_once_brought_back(false).await;
    is_whole_once_brought_back(true).await;
}

#[tokio::test]
async fn a_file_that_was_moved_has_all_its_rows() {
    let database = Database::sqlite();
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&events(1..=40))).await.unwrap();
    let moved = format!("{}.moved", database.url());
    std::fs::rename(database.url(), &moved).unwrap();
    sink.attempt(batch(&events(41..=42))).await.unwrap_err();
    let mut moved = SqliteConnection::connect(&moved).await.unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM status_event")
        .fetch_one(&mut moved)
        .await
        .unwrap();
    assert!((40..=42).contains(&rows), "{rows}");
}

#[tokio::test]
async fn a_vacuum_makes_the_file_smaller_and_takes_nothing_away() {
    let database = Database::sqlite();
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&events(1..=400))).await.unwrap();
    let mut other = SqliteConnection::connect(&database.url()).await.unwrap();
    let vacuum = "PRAGMA wal_checkpoint(TRUNCATE)";
    sqlx::raw_sql(vacuum).execute(&mut other).await.unwrap();
    sink.attempt(batch(&events(401..=401))).await.unwrap();
    let vacuum = "DELETE FROM event; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)";
    sqlx::raw_sql(vacuum).execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    for position in 402..=403 {
        sink.attempt(batch(&events(position..=position)))
            .await
            .unwrap();
    }
    assert_eq!(database.count("status_event").await, 2);
}

#[tokio::test]
async fn the_file_is_its_owners_alone_unless_mode_lets_others_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("below/history.db");
    // A mode that is another than before is set on a file that is there, too.
    for mode in [history::sqlite::Settings::MODE, 0o640] {
        let mut sink = start(of_mode(&path, mode));
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&events(1..=2))).await.unwrap();
        for suffix in ["", "-wal", "-shm"] {
            let file = format!("{}{suffix}", path.display());
            let found = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{file}");
        }
        let below = std::fs::metadata(folder.path().join("below")).unwrap();
        assert_eq!(below.permissions().mode() & 0o777, 0o700, "made for 0600");
        sink.close().await;
    }
}

/// Somebody without rights, who is in root's group.
const NOBODY: u32 = 65534;

/// What sqlite3 of another user of the file's group prints for this query.
fn read_by_group(file: &str, sql: &str) -> String {
    let output = Command::new("sqlite3")
        .args(["-readonly", file, sql])
        .uid(NOBODY)
        .gid(0)
        .current_dir("/")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_group_that_mode_lets_in_reads_what_lies_in_folders_that_we_make() {
    let is_there = Command::new("sqlite3").arg("-version").output().is_ok();
    if !rustix::process::geteuid().is_root() || !is_there {
        println!("not tested: another user's reading takes root and sqlite3");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let allowed = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), allowed).unwrap();
    for (mode, above, expected) in [
        (history::sqlite::Settings::MODE, 0o700, None),
        (0o640, 0o710, Some("2")),
        (0o644, 0o711, Some("2")),
    ] {
        let made = folder.path().join(format!("{mode:o}"));
        let path = made.join("below/history.db");
        let mut sink = start(of_mode(&path, mode));
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&events(1..=2))).await.unwrap();
        for folder in [&made, path.parent().unwrap()] {
            let found = std::fs::metadata(folder).unwrap().permissions().mode();
            assert_eq!(found & 0o777, above, "{}", folder.display());
        }
        let file = path.display().to_string();
        let sql = "SELECT count(*) FROM status_event";
        let read = read_by_group(&file, sql);
        match expected {
            Some(expected) => assert_eq!(read, expected),
            None => assert!(read.contains("unable to open database file"), "{read}"),
        }
        sink.close().await;
        if expected.is_some() {
            // As docs/security.md says.
            let read = read_by_group(&format!("file:{file}?immutable=1"), sql);
            assert_eq!(read, "2");
        }
    }
}

#[tokio::test]
async fn a_long_reader_is_warned_of_until_it_ends() {
    let database = Database::sqlite();
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&[event(1)])).await.unwrap();
    let mut reader = SqliteConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM event")
        .execute(&mut reader)
        .await
        .unwrap();
    assert_eq!(sink.warning(), None);
    for first in (2..).step_by(100).take(60) {
        let large = |position: i64| StatusEvent {
            payload: raw(&format!("\"{position}{}\"", "x".repeat(20_000))),
            ..event(position)
        };
        let large: Vec<StatusEvent> = (first..first + 100).map(large).collect();
        sink.attempt(batch(&large)).await.unwrap();
        if sink.warning().is_some() {
            break;
        }
    }
    let warning = sink.warning().unwrap();
    assert!(
        warning.contains(&database.url()) && warning.contains("end that one (`fuser` names"),
        "{warning}"
    );
    assert_eq!(sink.idle().await, Ok(()), "it delivers");
    assert_eq!(sink.warning(), Some(warning));
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut reader)
        .await
        .unwrap();
    assert_eq!(sink.idle().await, Ok(()));
    assert_eq!(sink.warning(), None);
}

#[tokio::test]
async fn a_nul_in_a_text_is_stored() {
    let database = Database::sqlite();
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&[StatusEvent {
        new_state: "a\0b".to_owned(),
        ..event(1)
    }]))
    .await
    .unwrap();
    assert_eq!(
        database
            .text("SELECT hex(new_state) FROM status_event")
            .await,
        "610062"
    );
}

#[tokio::test]
async fn times_are_read_by_sqlites_own_functions() {
    let database = Database::sqlite();
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&[event(1)])).await.unwrap();
    let minute = database
        .text("SELECT strftime('%H:%M', received_at, '+8 hours') FROM device_current")
        .await;
    assert_eq!(minute, "11:04");
}

#[tokio::test]
async fn a_file_that_cannot_be_a_history_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "no database ".repeat(200)).unwrap();
    let cases = [
        (text.join("history.db"), "its folder exist"),
        (text, "no SQLite database"),
    ];
    for (path, advice) in cases {
        let mut sink = start(of_mode(&path, history::sqlite::Settings::MODE));
        let Err(Trouble::Retry { error, .. }) = sink.open(JOURNAL).await else {
            panic!("{advice}")
        };
        assert!(error.contains(advice), "{error}");
    }
}
