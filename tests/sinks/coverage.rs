//! What both SQL histories make of coverage.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};
use stomp_bridge::model::CoverageCause::{
    self, ConnectionLost, DaemonDown, DaemonStopped, Refused, Silent,
};
use stomp_bridge::model::{CoverageEvent, Event, Position, StatusEvent};
use stomp_bridge::sinks::{Batch, Reason, Settings, Trouble, history};
use uuid::Uuid;

use crate::events::{JOURNAL, batch, coverage, event, events, start, status};
use crate::history::Database;

/// Of one day.
fn at(position: i64, topic: &str, time: &str, cause: Option<CoverageCause>) -> CoverageEvent {
    of(JOURNAL, position, topic, time, cause)
}

fn of(
    journal: Uuid,
    position: i64,
    topic: &str,
    time: &str,
    cause: Option<CoverageCause>,
) -> CoverageEvent {
    coverage(
        journal,
        position,
        topic,
        &format!("2026-01-02T{time}Z"),
        cause,
    )
}

/// A status of the topic `a`, of the same day.
fn said(position: i64, time: &str) -> Event {
    Event::from(StatusEvent {
        topic: "a".into(),
        stream: "a".into(),
        changed: false,
        received_at: format!("2026-01-02T{time}Z").parse().unwrap(),
        ..status(JOURNAL, position, "7", "normal")
    })
}

/// `topic since until seconds cause` of every gap.
async fn gaps(database: &Database) -> Vec<String> {
    let time = |column: &str| match database {
        Database::Sqlite { .. } => format!("strftime('%H:%M:%S', {column})"),
        Database::Postgres { .. } => format!("to_char({column} AT TIME ZONE 'UTC', 'HH24:MI:SS')"),
    };
    let sql = format!(
        "SELECT topic || ' ' || {} || ' ' || coalesce({}, '-') || ' ' || \
         coalesce(CAST(CAST(seconds * 1000 AS bigint) AS text), '-') || ' ' || cause \
         FROM coverage_gap ORDER BY topic, since",
        time("since"),
        time("until")
    );
    let rows = database.texts(&sql).await;
    rows.into_iter().flatten().collect()
}

#[tokio::test]
async fn the_same_story_has_the_same_gaps_in_both_histories() {
    let later_journal = Uuid::from_u128(1);
    let story = [
        at(1, "a", "00:00:00", None),
        at(2, "b", "00:00:01", None),
        at(3, "a", "01:00:00", Some(ConnectionLost)),
        // It is not heard already: that goes on, and from when it began.
        at(4, "a", "00:59:00", Some(DaemonDown)),
        at(9, "b", "01:30:00", Some(Silent)),
        // Nine and ten are compared as numbers.
        at(10, "a", "02:00:00.250", None),
        at(11, "a", "02:30:00", None),
        // The clock was set back: the gap still ends, and lasts no time.
        at(12, "a", "05:00:00", Some(Refused)),
        at(13, "a", "04:00:00", None),
        at(14, "a", "06:00:00", Some(DaemonStopped)),
        // Another journal goes on where this one ended.
        of(later_journal, 1, "a", "07:00:00", None),
        of(later_journal, 2, "a", "08:00:00", Some(Silent)),
    ];
    let expected = [
        "a 01:00:00 02:00:00 3600250 connection_lost",
        "a 05:00:00 04:00:00 0 refused",
        "a 06:00:00 07:00:00 3600000 daemon_stopped",
        "a 08:00:00 - - silent",
        "b 01:30:00 - - silent",
    ];
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&story)).await.unwrap();
        assert_eq!(gaps(&database).await, expected, "{}", database.url());

        // In another order of storing, such as by a redrive, they are the same.
        database.execute("DELETE FROM coverage").await;
        let (first, second) = story.split_at(6);
        sink.attempt(batch(second)).await.unwrap();
        sink.attempt(batch(first)).await.unwrap();
        assert_eq!(gaps(&database).await, expected, "{}", database.url());
    }
}

/// A clock that was set back leaves the gap at a time that is still to come.
#[tokio::test]
async fn a_device_that_is_heard_since_a_gap_is_certain_whatever_the_clock_says() {
    let story = [
        at(1, "a", "12:00:00", None).into(),
        said(2, "14:00:00"),
        at(3, "a", "14:00:05", Some(DaemonStopped)).into(),
        at(4, "a", "13:00:00", None).into(),
        said(5, "13:10:00"),
        said(6, "13:59:00"),
    ];
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        let certain = async || {
            let sql =
                "SELECT CAST(CASE WHEN certain THEN 1 ELSE 0 END AS text) FROM device_current";
            database.text(sql).await == "1"
        };
        let uncertain = "state_interval WHERE cause IS NOT NULL";
        for (count, is_certain) in [(3, false), (6, true)] {
            sink.attempt(batch(&story[..count])).await.unwrap();
            let url = database.url();
            assert_eq!(certain().await, is_certain, "{count} in {url}");
            assert_eq!(database.count(uncertain).await == 0, is_certain, "{url}");
        }
        sink.attempt(batch(&[said(7, "14:30:00")])).await.unwrap();
        assert!(certain().await && database.count(uncertain).await == 0);
    }
}

/// A status that was taken out of an undecodable body stands at the end of the journal, and was
/// received before the gap.
#[tokio::test]
async fn a_status_that_is_redriven_behind_a_gap_is_still_of_before_it() {
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        let story = [
            at(1, "a", "11:00:00", None).into(),
            said(2, "11:50:00"),
            at(20, "a", "12:05:00", Some(Silent)).into(),
        ];
        sink.attempt(batch(&story)).await.unwrap();
        let redriven = Batch {
            reason: Reason::Redrive,
            ..batch(&[said(500, "12:00:00")])
        };
        sink.attempt(redriven).await.unwrap();
        let uncertain = "device_current WHERE NOT certain";
        assert_eq!(database.count(uncertain).await, 1, "{}", database.url());
        let next = [at(501, "a", "12:09:00", None).into(), said(502, "12:10:00")];
        sink.attempt(batch(&next)).await.unwrap();
        let broken = "state_interval WHERE cause = 'silent' AND seconds = 300";
        assert_eq!(database.count(broken).await, 1, "{}", database.url());
    }
}

#[tokio::test]
async fn of_more_gaps_than_are_held_in_memory_each_device_meets_its_first() {
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        let first = event(1);
        let (topic, heard) = (first.topic.clone(), first.received_at);
        sink.attempt(batch(&[first])).await.unwrap();
        sink.close().await;
        let (numbers, minutes) = match &database {
            Database::Sqlite { .. } => (
                "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100002)",
                "strftime('%Y-%m-%dT%H:%M:%S.000000Z', '2026-02-01', n || ' minutes')",
            ),
            Database::Postgres { .. } => (
                "WITH n AS (SELECT generate_series(1, 100002) AS n)",
                "timestamptz '2026-02-01 00:00:00Z' + n * interval '1 minute'",
            ),
        };
        let (yes, no) = match &database {
            Database::Sqlite { .. } => ("1", "0"),
            Database::Postgres { .. } => ("true", "false"),
        };
        database
            .execute(&format!(
                "{numbers} INSERT INTO coverage \
                     (event_id, topic, heard, cause, at, received_at, origin, begins_gap, gap_until) \
                 SELECT 'g' || n, CASE WHEN n < 3 THEN '{topic}' ELSE 'other' END, {no}, \
                     'silent', {minutes}, {minutes}, 'g-' || n, {yes}, {minutes} FROM n"
            ))
            .await;
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        let next = StatusEvent {
            received_at: "2026-06-01T00:00:00Z".parse().unwrap(),
            position: Position(2),
            origin: event(2).origin,
            event_id: event(2).event_id,
            ..event(1)
        };
        assert!(next.received_at > heard);
        sink.attempt(batch(&[next])).await.unwrap();
        let until = match &database {
            Database::Sqlite { .. } => "strftime('%d %H:%M', until)",
            Database::Postgres { .. } => "to_char(until AT TIME ZONE 'UTC', 'DD HH24:MI')",
        };
        let certain =
            format!("SELECT {until} FROM state_interval WHERE cause IS NULL AND until IS NOT NULL");
        assert_eq!(
            database.text(&certain).await,
            "01 00:01",
            "{}",
            database.url()
        );
    }
}

/// How each database finds the gaps of one topic, as it says itself.
#[tokio::test]
async fn the_gaps_of_one_topic_are_found_by_its_index() {
    const GAPS: &str = "SELECT * FROM coverage_gap WHERE topic = 'a'";
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        let (plan, expected): (Vec<String>, _) = match &database {
            Database::Sqlite { .. } => {
                let mut connection = SqliteConnection::connect(&database.url()).await.unwrap();
                let sql = format!("EXPLAIN QUERY PLAN {GAPS}");
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection);
                let rows = rows.await.unwrap();
                let plan = rows.iter().map(|row| row.get("detail")).collect();
                (
                    plan,
                    "SEARCH coverage USING INDEX coverage_begins_gap (topic=?)",
                )
            }
            Database::Postgres { name, .. } => {
                // A table without rows is read whole, unless that is forbidden.
                let forbid = format!("ALTER DATABASE {name} SET enable_seqscan = off");
                database.execute(&forbid).await;
                let plan = database.texts(&format!("EXPLAIN {GAPS}")).await;
                let plan = plan.into_iter().flatten().collect();
                (plan, "Index Cond: (topic = 'a'::text)")
            }
        };
        let plan = plan.join("\n");
        assert!(plan.contains(expected), "{plan}");
    }
}

#[tokio::test]
async fn coverage_is_stored_as_it_is() {
    let story = [
        at(1, "a", "03:04:05.678901", Some(ConnectionLost)),
        at(2, "a", "03:04:06", None),
    ];
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&story)).await.unwrap();
        let time = |column: &str| match &database {
            Database::Sqlite { .. } => column.to_owned(),
            Database::Postgres { .. } => {
                format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
            }
        };
        let rows = database
            .texts(&format!(
                "SELECT event_id || ' ' || topic || ' ' || CASE WHEN heard THEN 'heard' ELSE 'not' END || ' ' || \
                 coalesce(cause, '-') || ' ' || {} || ' ' || {} || ' ' || origin FROM coverage ORDER BY event_id",
                time("at"),
                time("received_at")
            ))
            .await;
        let [first, second] = story.each_ref().map(|event| &event.origin);
        let expected = [
            format!(
                "{first} a not connection_lost 2026-01-02T03:04:05.678901Z 2026-01-02T03:04:05.685901Z {first}"
            ),
            format!(
                "{second} a heard - 2026-01-02T03:04:06.000000Z 2026-01-02T03:04:06.007000Z {second}"
            ),
        ];
        let rows: Vec<String> = rows.into_iter().flatten().collect();
        assert_eq!(rows, expected);
    }
}

/// Few statuses go to Postgres by INSERT, many by COPY.
#[tokio::test]
async fn a_batch_of_both_kinds_is_stored_whole_and_once() {
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        let (mut position, mut statuses) = (0, 0);
        for more in [2, 700] {
            let first = Event::from(at(position + 1, "a", "01:00:00", Some(Silent)));
            let last = Event::from(at(position + more + 2, "a", "02:00:00", None));
            let between = events(position + 2..=position + more + 1);
            let between = between.into_iter().map(Event::from);
            let mixed: Vec<Event> = [first].into_iter().chain(between).chain([last]).collect();
            position += more + 2;
            statuses += more as usize;
            // The second time as after a crash whose commit was not seen.
            for _ in 0..2 {
                sink.attempt(batch(&mixed)).await.unwrap();
                assert_eq!(sink.open(JOURNAL).await, Ok(Some(Position(position))));
            }
            assert_eq!(database.count("status_event").await, statuses);
            assert_eq!(database.count("device_row").await, statuses);
        }
        assert_eq!(database.count("coverage").await, 4);
        assert_eq!(database.count("coverage_gap").await, 2);

        // Coverage alone moves the cursor, too; a replay stores nothing twice.
        let alone = at(position + 1, "a", "03:00:00", Some(Refused));
        sink.attempt(batch(std::slice::from_ref(&alone)))
            .await
            .unwrap();
        assert_eq!(sink.open(JOURNAL).await, Ok(Some(Position(position + 1))));
        let replay = Batch {
            reason: Reason::Replay,
            ..batch(&[alone])
        };
        sink.attempt(replay).await.unwrap();
        assert_eq!(database.count("coverage").await, 5);
    }
}

#[tokio::test]
async fn coverage_statuses_and_cursor_move_together_or_not_at_all() {
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        let refuse = match &database {
            Database::Sqlite { .. } => {
                "CREATE TRIGGER refuse BEFORE INSERT ON device_row BEGIN SELECT RAISE(ABORT, 'no'); END"
            }
            Database::Postgres { .. } => "ALTER TABLE device_row ADD CHECK (false)",
        };
        database.execute(refuse).await;
        let mixed = [Event::from(at(1, "a", "01:00:00", None)), event(2).into()];
        let failed = sink.attempt(batch(&mixed)).await.unwrap_err();
        assert!(
            matches!(failed.trouble, Trouble::Refused { .. }),
            "{:?}",
            failed.trouble
        );
        assert_eq!(database.count("coverage").await, 0);
        assert_eq!(database.count("bridge_cursor").await, 0);
    }
}

#[tokio::test]
async fn the_retention_of_statuses_leaves_coverage() {
    for database in Database::both().await {
        let mut sink = start(database.settings(Some(Duration::from_secs(3600))));
        sink.open(JOURNAL).await.unwrap();
        let mixed = [Event::from(at(1, "a", "01:00:00", None)), event(2).into()];
        sink.attempt(batch(&mixed)).await.unwrap();
        assert_eq!(database.count("status_event").await, 0);
        assert_eq!(database.count("coverage").await, 1);
    }
}

#[tokio::test]
async fn a_history_of_another_layout_is_refused_in_one_sentence_that_says_what_to_do() {
    // What 0.1 left, and what a later version leaves.
    for (change, says) in [
        (
            match_checksum("UPDATE bridge_migration SET checksum = {}"),
            "has another layout, that of another stomp-bridge, such as 0.1: ",
        ),
        (
            match_checksum(
                "INSERT INTO bridge_migration (version, description, success, checksum, execution_time) \
                 VALUES (9, 'later', true, {}, 0)",
            ),
            "a newer stomp-bridge has made this history, and nothing was changed: run that version again",
        ),
    ] {
        for database in Database::both().await {
            let mut sink = start(database.settings(None));
            sink.open(JOURNAL).await.unwrap();
            sink.close().await;
            database.execute(&change(&database)).await;
            let Err(Trouble::Retry { error, after: None }) = sink.open(JOURNAL).await else {
                panic!("opened")
            };
            let (whose, what) = match &database {
                Database::Sqlite { .. } => (database.url(), "begin a new file"),
                Database::Postgres { name, .. } => (name.clone(), "begin a new database"),
            };
            let fills = "the journal fills it as far as it reaches";
            for expected in [whose.as_str(), says, what, fills] {
                assert!(error.contains(expected), "{error}, not {expected}");
            }
            assert!(!error.contains("migration"), "{error}");

            // What it says helps.
            let advised = match &database {
                Database::Sqlite { path, .. } => {
                    std::fs::rename(path, path.with_extension("old")).unwrap();
                    database.settings(None)
                }
                Database::Postgres { .. } => Settings::Postgres(history::postgres::Settings {
                    name: "history".to_owned(),
                    url: database.url().into(),
                    schema: Some("fresh".to_owned()),
                    folder: std::path::PathBuf::new(),
                    retention: None,
                    intervals: None,
                    event_keys: std::time::Duration::from_secs(7 * 86_400),
                    zone: jiff::tz::TimeZone::UTC,
                }),
            };
            assert_eq!(start(advised).open(JOURNAL).await, Ok(None));
        }
    }
}

/// A statement with a checksum in the database's own spelling.
fn match_checksum(statement: &'static str) -> impl Fn(&Database) -> String {
    move |database| {
        let checksum = match database {
            Database::Sqlite { .. } => "x'00'",
            Database::Postgres { .. } => "'\\x00'::bytea",
        };
        statement.replace("{}", checksum)
    }
}
