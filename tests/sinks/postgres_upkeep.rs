//! What a Postgres history does beside its batches: where it may not, where it has to wait, and
//! through a pooler.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;
use stomp_bridge::model::{Position, StatusEvent};
use stomp_bridge::sinks::{Settings, Sink};
use tokio::time::timeout;

use crate::events::{JOURNAL, batch, event, start, status};
use crate::history::Database;
use crate::postgres_around::{other, role, run, text, with};
use crate::servers::{Pgbouncer, Postgres};

const DAY: Duration = Duration::from_secs(86_400);

/// How long another program waits for a connection of the pool.
const PATIENCE: Duration = Duration::from_secs(60);

/// A history that keeps all for a day.
fn for_a_day(url: String) -> Settings {
    with(url, |settings| {
        settings.retention = Some(DAY);
        settings.intervals = Some(DAY);
    })
}

/// Statuses of a hundred days ago, of which no partition has anything younger, each of its own device.
fn old(positions: std::ops::RangeInclusive<i64>) -> Vec<StatusEvent> {
    let begins = Timestamp::now() - SignedDuration::from_hours(24 * 100);
    let at = |position| StatusEvent {
        received_at: begins + SignedDuration::from_secs(position),
        ..event(position)
    };
    positions.map(at).collect()
}

/// Until all is done that is due, or fails: each time has a second.
async fn idle_long(sink: &mut dyn Sink) {
    for _ in 0..30 {
        assert_eq!(sink.idle().await, Ok(()));
    }
}

/// A role that may do everything with the tables of a history but delete, and its URL. The history
/// has old statuses of seven devices.
async fn without_delete(database: &Database) -> (String, String) {
    let (role, url) = role(database).await;
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&old(1..=7))).await.unwrap();
    sink.close().await;
    let grant = format!("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}");
    database.execute(&grant).await;
    (role, url)
}

/// It delivers, is up, and says what is missing.
async fn delivers_and_warns(sink: &mut dyn Sink, through: i64) {
    sink.attempt(batch(&old(through - 2..=through)))
        .await
        .unwrap();
    let warning = sink.warning().unwrap();
    assert!(
        warning.contains("rows past the retention were not deleted")
            && warning.contains("permission denied for function bridge_drop_before")
            && warning.contains("EXECUTE on the functions bridge_make_partition and"),
        "{warning}"
    );
    idle_long(sink).await;
    let warning = sink.warning().unwrap();
    assert!(
        warning.contains("the history was not tended")
            && warning.contains("permission denied for table state_interval_row"),
        "{warning}"
    );
    // It stays connected.
    sink.attempt(batch(&old(through + 1..=through + 2)))
        .await
        .unwrap();
    assert_eq!(sink.idle().await, Ok(()));
    assert!(sink.warning().is_some());
}

#[tokio::test]
async fn a_role_that_may_not_delete_delivers_and_the_missing_right_is_named() {
    let database = Database::postgres().await;
    let (role, url) = without_delete(&database).await;
    let mut sink = start(for_a_day(url.clone()));
    assert_eq!(sink.open(JOURNAL).await, Ok(Some(Position(7))));
    delivers_and_warns(&mut *sink, 10).await;
    assert_eq!(database.count("status_event").await, 12);

    database
        .execute(&format!(
            "GRANT DELETE ON ALL TABLES IN SCHEMA public TO {role}; \
             GRANT EXECUTE ON FUNCTION bridge_make_partition, bridge_drop_before TO {role}"
        ))
        .await;
    let mut sink = start(for_a_day(url));
    sink.open(JOURNAL).await.unwrap();
    idle_long(&mut *sink).await;
    assert_eq!(sink.warning(), None);
    assert_eq!(database.count("status_event").await, 0);
}

#[tokio::test]
async fn a_retention_that_fails_gives_the_connection_of_a_pooler_back() {
    let database = Database::postgres().await;
    let (role, _) = without_delete(&database).await;
    let (server, name) = database.of_postgres();
    let pooler = Pgbouncer::of(&role, server, "transaction", 1);
    let url = pooler.url(name).replace("bridge:", &format!("{role}:"));
    let mut other = other(&url).await;
    let mut sink = start(for_a_day(url));
    sink.open(JOURNAL).await.unwrap();
    // It fails behind a batch, and then while there are none.
    sink.attempt(batch(&old(8..=9))).await.unwrap();
    one(&mut other).await;
    assert!(sink.warning().is_some());
    assert_eq!(sink.idle().await, Ok(()));
    one(&mut other).await;
    delivers_and_warns(&mut *sink, 12).await;
    one(&mut other).await;
}

/// Another program gets a connection of the pool soon.
async fn one(other: &mut PgConnection) {
    let answer = timeout(PATIENCE, text(other, "SELECT '1'")).await;
    assert_eq!(answer.expect("the pool has a connection"), "1");
}

#[tokio::test]
async fn a_retention_that_another_session_keeps_waiting_is_given_up_and_the_history_stays_up() {
    let database = Database::postgres().await;
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    sink.attempt(batch(&old(1..=7))).await.unwrap();
    sink.close().await;
    let mut other = other(&database.url()).await;
    run(&mut other, "BEGIN; SELECT 1 FROM event FOR UPDATE").await;

    let mut sink = start(with(database.url(), |settings| {
        settings.retention = Some(DAY);
    }));
    sink.open(JOURNAL).await.unwrap();
    assert_eq!(sink.idle().await, Ok(()));
    let warning = sink.warning().unwrap();
    assert!(
        warning.contains("another session holds a lock on the tables"),
        "{warning}"
    );
    sink.attempt(batch(&old(8..=9))).await.unwrap();
    assert_eq!(sink.idle().await, Ok(()));
}

/// Statuses of some devices, each an hour after the one before, and one that comes late by a day.
fn timeline(begins: Timestamp) -> (Vec<StatusEvent>, StatusEvent) {
    let at = |position: i64, device: i64, state: &str, hours: i64| StatusEvent {
        new_state: state.to_owned(),
        received_at: begins + SignedDuration::from_hours(hours),
        ..status(JOURNAL, position, &device.to_string(), state)
    };
    let states = ["normal", "fault", "offline"];
    let events = (1..=90)
        .map(|position| {
            let state = states[(position / 3 % 3) as usize];
            at(position, position % 3, state, position)
        })
        .collect();
    (events, at(91, 1, "repair", 50))
}

/// What a reader finds in the tables.
async fn stored(database: &Database) -> Vec<Option<String>> {
    let mut rows = Vec::new();
    for sql in [
        "SELECT device_id || ' ' || state || ' ' || since::text || ' ' || coalesce(until::text, '') \
         FROM state_interval ORDER BY device_id, since, state, until",
        "SELECT device_id || ' ' || day::text || ' ' || state || ' ' || seconds::bigint::text \
         FROM state_daily ORDER BY device_id, day, state",
        "SELECT device_id || ' ' || state FROM device_current ORDER BY device_id",
        "SELECT count(*)::text FROM status_event",
    ] {
        rows.extend(database.texts(sql).await);
    }
    rows
}

/// Everything that the writer of the tables does, in some batches: new rows, a device whose
/// timeline is made again, days in another zone, and what is past a retention.
async fn writes_everything(url: String, begins: Timestamp) {
    let settings = |zone: &str, keep: Option<Duration>| {
        with(url.clone(), |settings| {
            settings.zone = jiff::tz::TimeZone::get(zone).unwrap();
            settings.retention = keep;
            settings.intervals = keep;
        })
    };
    let (events, late) = timeline(begins);
    // Of days.
    let mut sink = start(settings("UTC", Some(30 * DAY)));
    assert_eq!(sink.open(JOURNAL).await, Ok(None));
    for piece in events.chunks(20) {
        sink.attempt(batch(piece)).await.unwrap();
    }
    idle_long(&mut *sink).await;
    sink.attempt(batch(&[late])).await.unwrap();
    idle_long(&mut *sink).await;
    sink.close().await;

    let mut sink = start(settings("Asia/Shanghai", Some(3 * DAY)));
    assert_eq!(sink.open(JOURNAL).await, Ok(Some(Position(91))));
    idle_long(&mut *sink).await;
    assert_eq!(sink.warning(), None);
    sink.close().await;
}

/// How much of ours stands on a connection of the pool; what has names there is others'.
const LEFT: &str = "SELECT ((SELECT count(*) FROM pg_settings WHERE source = 'session' \
       AND (name LIKE '%timeout' OR name IN ('search_path', 'client_min_messages'))) \
     + (SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database \
       WHERE locktype = 'advisory' AND datname = current_database()))::text";

/// Begins a loop of statements that have names, through a connection of the pool.
fn disturb(url: String) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut connection = other(&url).await;
        loop {
            for number in 0..50 {
                let sql = sqlx::AssertSqlSafe(format!("SELECT $1 + {number}"));
                let query = sqlx::query(sql).bind(1_i32);
                if query.execute(&mut connection).await.is_err() {
                    connection = other(&url).await;
                }
            }
        }
    })
}

#[tokio::test]
async fn all_tables_are_the_same_through_a_pooler_whose_connection_others_use_too() {
    // What the retention takes is half an hour away from what it leaves.
    let begins = Timestamp::now() - SignedDuration::from_mins(100 * 60 + 30);
    let direct = Database::postgres().await;
    writes_everything(direct.url(), begins).await;
    let expected = stored(&direct).await;
    // The late status has cut a piece in two, and the retention has taken some.
    let states = |state: &str| {
        let has = |row: &&Option<String>| row.as_ref().is_some_and(|row| row.contains(state));
        expected.iter().filter(has).count()
    };
    assert!(
        states("repair") > 0 && states("offline") > 0,
        "{expected:?}"
    );
    let kept: usize = expected.last().unwrap().as_ref().unwrap().parse().unwrap();
    assert!((50..91).contains(&kept), "{kept}");

    let database = Database::postgres().await;
    let (server, name): (&Postgres, &str) = database.of_postgres();
    let pooler = Pgbouncer::start(server, "transaction", 1);
    let url = pooler.url(name);
    let mut watcher = other(&url).await;
    let others = [disturb(url.clone()), disturb(url.clone())];
    writes_everything(url, begins).await;
    for other in others {
        assert!(!other.is_finished());
        other.abort();
        let _ = other.await;
    }
    assert_eq!(stored(&database).await, expected);
    assert_eq!(text(&mut watcher, LEFT).await, "0");
}
