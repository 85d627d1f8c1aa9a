//! What an operator changes in a history, whichever rights there are, and what is left of it.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use stomp_bridge::model::StatusEvent;
use stomp_bridge::secret::Secret;
use stomp_bridge::sinks::Sink;
use stomp_bridge::sinks::history::operator::Operator;
use stomp_bridge::sinks::history::question::{Filter, Question};
use stomp_bridge::sinks::history::reader::{Reader, Store};

use crate::events::{JOURNAL, batch, raw, start, status};
use crate::history::Database;
use crate::postgres_around::role;

fn days_ago(days: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(24 * days)
}

/// A status with an event key, whose payload is the same as that of the device's others.
fn at(position: i64, device: &str, received_at: Timestamp) -> StatusEvent {
    StatusEvent {
        event_id: format!("key-{position}"),
        payload: raw(&format!("{{\"device\":{device}}}")),
        received_at,
        ..status(JOURNAL, position, device, "normal")
    }
}

async fn told(database: &Database, statuses: &[StatusEvent]) {
    let mut sink = open(database).await;
    sink.attempt(batch(statuses)).await.unwrap();
    sink.close().await;
}

async fn open(database: &Database) -> Box<dyn Sink> {
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    sink
}

pub(crate) fn store(database: &Database, url: String) -> Store {
    match database {
        Database::Sqlite { path, .. } => Store::Sqlite(path.clone()),
        Database::Postgres { .. } => Store::Postgres {
            url: Secret::from(url),
            schema: None,
            folder: PathBuf::new(),
        },
    }
}

async fn operator(database: &Database) -> Operator {
    let store = store(database, database.url());
    Operator::open(&store).await.unwrap()
}

/// The GRANTs of docs/sql.md: those of the daemon, and those of an operator.
pub(crate) fn rights(role: &str) -> [String; 2] {
    let document = include_str!("../../docs/sql.md");
    let blocks = document.split("```postgresql\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    let rights: Vec<String> = blocks
        .map(|block| {
            let block = block.replace("TO bridge;", &format!("TO {role};"));
            block.replace("TO operator;", &format!("TO {role};"))
        })
        .collect();
    rights.try_into().unwrap()
}

#[tokio::test]
async fn an_operator_needs_the_rights_of_the_document_and_is_told_which() {
    let database = Database::postgres().await;
    let old = days_ago(100);
    // Of the second and the third one, which have a partition, one is too old.
    let month = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let month = month.first_of_month().unwrap().start_of_day().unwrap();
    let month = month.timestamp();
    let second = month + SignedDuration::from_secs(1);
    told(
        &database,
        &[at(1, "1", old), at(2, "2", month), at(3, "3", second)],
    )
    .await;
    let (role, url) = role(&database).await;
    let [daemon, more] = rights(&role);
    database.execute(&daemon).await;
    let url = store(&database, url);
    let mut operator = Operator::open(&url).await.unwrap();

    // Whole partitions go by the function, and where nothing goes nobody has to begin again.
    let turn = "SELECT turn::text FROM bridge_writer";
    let before = database.text(turn).await;
    let pruned = operator.prune(days_ago(200), &mut |_| {}).await.unwrap();
    assert_eq!((pruned, database.text(turn).await), (0, before));
    let pruned = operator.prune(days_ago(60), &mut |_| {}).await.unwrap();
    assert_eq!((pruned, database.count("event").await), (1, 2));

    let failed = operator.prune(second, &mut |_| {}).await.unwrap_err();
    let failed = failed.to_string();
    assert!(failed.contains("DELETE on event,"), "{failed}");
    let device = operator.devices("3").await.unwrap().remove(0);
    let failed = operator.forget(&device).await.unwrap_err().to_string();
    assert!(failed.contains("DELETE on event,"), "{failed}");

    // Beside those of the daemon, or alone.
    database.execute(&more).await;
    assert_eq!(operator.prune(second, &mut |_| {}).await.unwrap(), 1);
    database
        .execute(&format!(
            "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}"
        ))
        .await;
    database.execute(&more).await;
    operator.forget(&device).await.unwrap();
    assert_eq!(database.count("event").await, 0);
}

#[tokio::test]
async fn nothing_of_a_forgotten_device_is_left_whether_it_has_statuses_or_not() {
    for database in Database::both().await {
        let month = Timestamp::now();
        // The second payload of a month has a row of its own; the third device shares nothing.
        let statuses = [
            at(1, "1", days_ago(100)),
            at(2, "2", month),
            at(3, "2", month + SignedDuration::from_secs(1)),
            at(4, "3", month),
            at(5, "3", month + SignedDuration::from_secs(1)),
        ];
        told(&database, &statuses).await;
        let mut operator = operator(&database).await;
        let pruned = operator.prune(days_ago(60), &mut |_| {}).await.unwrap();
        assert_eq!(pruned, 1, "{}", database.url());
        for device in ["1", "2"] {
            let rows = format!("state_interval WHERE device_id = '{device}'");
            let device = operator.devices(device).await.unwrap().remove(0);
            // With the one that lasts.
            let rows = database.count(&rows).await;
            assert!(rows > 0 && device.intervals == rows as u64);
            operator.forget(&device).await.unwrap();
        }
        for table in ["device_row", "profile", "payload"] {
            let what = format!("{table} of {}", database.url());
            assert_eq!(database.count(table).await, 1, "{what}");
        }
        assert_eq!(database.count("event").await, 2);
        if let Database::Postgres { .. } = database {
            let keys = database
                .texts("SELECT event_id FROM event_key_seen ORDER BY 1")
                .await;
            let keys: Vec<String> = keys.into_iter().flatten().collect();
            // That of the pruned status is remembered as long as every other.
            assert_eq!(keys, ["key-1", "key-4", "key-5"]);
        }
    }
}

#[tokio::test]
async fn the_order_of_storing_goes_on_where_the_newest_device_is_forgotten() {
    for database in Database::both().await {
        let now = Timestamp::now();
        told(&database, &[at(1, "1", now), at(2, "2", now)]).await;
        let mut operator = operator(&database).await;
        let device = operator.devices("2").await.unwrap().remove(0);
        operator.forget(&device).await.unwrap();
        told(&database, &[at(3, "3", now)]).await;
        let sequences = database
            .texts("SELECT CAST(sequence AS text) FROM event ORDER BY sequence")
            .await;
        let sequences: Vec<String> = sequences.into_iter().flatten().collect();
        assert_eq!(sequences, ["1", "3"], "{}", database.url());
    }
}

#[tokio::test]
async fn what_pruned_statuses_had_goes_without_a_retention_too() {
    for database in Database::both().await {
        let old = days_ago(100);
        let statuses = [
            at(1, "1", old),
            at(2, "1", old + SignedDuration::from_secs(1)),
            at(3, "1", Timestamp::now()),
        ];
        told(&database, &statuses).await;
        assert_eq!(database.count("payload").await, 1);
        assert_eq!(database.count("profile").await, 2);
        let mut operator = operator(&database).await;
        operator.prune(days_ago(60), &mut |_| {}).await.unwrap();
        let mut sink = open(&database).await;
        sink.idle().await.unwrap();
        let url = database.url();
        assert_eq!(database.count("payload").await, 0, "{url}");
        assert_eq!(database.count("profile").await, 1, "{url}");
    }
}

#[tokio::test]
async fn a_reader_of_the_views_alone_gets_times_of_utc_and_is_told_so() {
    let database = Database::postgres().await;
    told(&database, &[at(1, "1", Timestamp::now())]).await;
    let (role, url) = role(&database).await;
    let views =
        "status_event, device_current, state_interval, fault_episode, state_daily, coverage_gap";
    database
        .execute(&format!("GRANT SELECT ON {views} TO {role}"))
        .await;
    let mut reader = Reader::open(&store(&database, url)).await.unwrap();
    assert_eq!(reader.zone_name(), "UTC");
    assert!(
        reader
            .doubt()
            .unwrap()
            .contains("SELECT on history_setting")
    );
    let question = Question::Devices;
    let rows = reader.rows(&question, &Filter::default(), None).await;
    assert_eq!(rows.unwrap().len(), 1);
    let owner = Reader::open(&store(&database, database.url())).await;
    assert_eq!(owner.unwrap().doubt(), None);
}

#[tokio::test]
async fn a_copy_whose_name_sqlite_cannot_write_is_refused() {
    let database = Database::sqlite();
    told(&database, &[at(1, "1", Timestamp::now())]).await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join(OsStr::from_bytes(b"copy-\xff.db"));
    let failed = operator(&database).await.back_up(&to).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::InvalidInput);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
