//! What only SQLite does.

use sqlx::{Connection, SqliteConnection};
use stomp_bridge::model::StatusEvent;
use stomp_bridge::sinks::{Settings, Trouble, history};

use crate::events::{JOURNAL, batch, event, events, start};
use crate::history::Database;

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
    assert!(error.contains("moved or replaced"), "{error}");
    assert_eq!(sink.open(JOURNAL).await, Ok(None), "a file of its own");
    assert_eq!(sink.idle().await, Ok(()));
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
        (folder.path().join("missing/history.db"), "its folder exist"),
        (text, "no SQLite database"),
    ];
    for (path, advice) in cases {
        let settings = history::sqlite::Settings {
            name: "history".to_owned(),
            path,
            retention: None,
        };
        let mut sink = start(Settings::Sqlite(settings));
        let Err(Trouble::Retry { error, .. }) = sink.open(JOURNAL).await else {
            panic!("{advice}")
        };
        assert!(error.contains(advice), "{error}");
    }
}
