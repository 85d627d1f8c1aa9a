//! What both SQL histories promise.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use stomp_bridge::model::{Column, ColumnKind, Position, StatusEvent, columns};
use stomp_bridge::secret::Secret;
use stomp_bridge::sinks::history::{postgres, sqlite};
use stomp_bridge::sinks::{Batch, Settings, Trouble};
use tempfile::TempDir;
use uuid::Uuid;

use crate::events::{JOURNAL, batch, event, events, raw, start, status};
use crate::postgres::FEW_AND_MANY;
use crate::servers::Postgres;

/// A fresh database of either kind.
pub(crate) enum Database {
    Sqlite { path: PathBuf, _folder: TempDir },
    Postgres { name: String, server: Arc<Postgres> },
}

impl Database {
    pub(crate) fn sqlite() -> Database {
        let folder = tempfile::tempdir().unwrap();
        Database::Sqlite {
            path: folder.path().join("history.db"),
            _folder: folder,
        }
    }

    pub(crate) async fn postgres() -> Database {
        let server = Postgres::shared().await;
        let name = format!("t{}", Uuid::new_v4().simple());
        let mut admin = PgConnection::connect(&server.url("postgres"))
            .await
            .unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut admin)
            .await
            .unwrap();
        Database::Postgres { name, server }
    }

    pub(crate) async fn both() -> [Database; 2] {
        [Database::sqlite(), Database::postgres().await]
    }

    /// The server behind it, and its name there.
    pub(crate) fn of_postgres(&self) -> (&Postgres, &str) {
        match self {
            Database::Sqlite { .. } => panic!("a file has no server"),
            Database::Postgres { name, server } => (server, name),
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Database::Sqlite { path, .. } => path.display().to_string(),
            Database::Postgres { name, server } => server.url(name),
        }
    }

    pub(crate) fn settings(&self, retention: Option<Duration>) -> Settings {
        let name = "history".to_owned();
        match self {
            Database::Sqlite { path, .. } => Settings::Sqlite(sqlite::Settings {
                name,
                path: path.clone(),
                retention,
                intervals: None,
                zone: jiff::tz::TimeZone::UTC,
                mode: sqlite::Settings::MODE,
            }),
            Database::Postgres { .. } => Settings::Postgres(postgres::Settings {
                name,
                url: Secret::from(self.url()),
                schema: None,
                folder: PathBuf::new(),
                retention,
                intervals: None,
                // What tests store is old.
                event_keys: Duration::from_secs(3650 * 86_400),
                zone: jiff::tz::TimeZone::UTC,
            }),
        }
    }

    /// The first column of a query's rows, which must be a text.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<Option<String>> {
        match self {
            Database::Sqlite { .. } => {
                let mut connection = SqliteConnection::connect(&self.url()).await.unwrap();
                sqlx::query_scalar(AssertSqlSafe(sql))
                    .fetch_all(&mut connection)
                    .await
                    .unwrap()
            }
            Database::Postgres { .. } => {
                let mut connection = PgConnection::connect(&self.url()).await.unwrap();
                sqlx::query_scalar(AssertSqlSafe(sql))
                    .fetch_all(&mut connection)
                    .await
                    .unwrap()
            }
        }
    }

    pub(crate) async fn text(&self, sql: &str) -> String {
        let mut rows = self.texts(sql).await;
        assert_eq!(rows.len(), 1, "{sql}");
        rows.remove(0).unwrap()
    }

    pub(crate) async fn count(&self, table: &str) -> usize {
        self.text(&format!("SELECT CAST(count(*) AS text) FROM {table}"))
            .await
            .parse()
            .unwrap()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        match self {
            Database::Sqlite { .. } => {
                let mut connection = SqliteConnection::connect(&self.url()).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(sql))
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
            Database::Postgres { .. } => {
                let mut connection = PgConnection::connect(&self.url()).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(sql))
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_batch_delivered_twice_is_stored_once_and_its_cursor_is_found_again() {
    for database in Database::both().await {
        let thousand = events(1..=1000);
        let mut sink = start(database.settings(None));
        assert!(sink.capabilities().keeps_cursor);
        assert_eq!(sink.open(JOURNAL).await, Ok(None));
        sink.attempt(batch(&thousand)).await.unwrap();
        assert_eq!(sink.idle().await, Ok(()));
        sink.attempt(batch(&thousand)).await.unwrap();
        sink.close().await;

        let mut sink = start(database.settings(None));
        assert_eq!(sink.open(JOURNAL).await, Ok(Some(Position(1000))));
        assert_eq!(
            sink.open(Uuid::from_u128(7)).await,
            Ok(None),
            "a cursor belongs to one journal"
        );
        sink.attempt(batch(&thousand[500..])).await.unwrap();
        assert_eq!(database.count("status_event").await, 1000);
        assert_eq!(database.count("device_row").await, 1000);
    }
}

#[tokio::test]
async fn batches_of_every_size_are_stored_whole() {
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        let mut stored = 0;
        for size in [1, 9, 10, 11, 99, 100, 101, 219, 499, 500, 700] {
            let piece = events(stored + 1..=stored + size);
            // The cursor may stand beyond the last event: what follows was filtered out.
            let through = Position(stored + size + 3);
            sink.attempt(Batch {
                through,
                ..batch(&piece)
            })
            .await
            .unwrap();
            stored += size;
            assert_eq!(sink.open(JOURNAL).await, Ok(Some(through)));
        }
        assert_eq!(database.count("status_event").await, stored as usize);
    }
}

#[tokio::test]
async fn rows_and_cursor_move_together_or_not_at_all() {
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&events(1..=3))).await.unwrap();
        database
            .execute(match &database {
                Database::Sqlite { .. } => {
                    "CREATE TRIGGER refuse BEFORE INSERT ON bridge_cursor WHEN new.position > 4 \
                     BEGIN SELECT RAISE(ABORT, 'position'); END"
                }
                Database::Postgres { .. } => "ALTER TABLE bridge_cursor ADD CHECK (position <= 4)",
            })
            .await;
        let failed = sink.attempt(batch(&events(4..=9))).await.unwrap_err();
        assert_eq!(failed.confirmed, 0);
        assert!(
            matches!(failed.trouble, Trouble::Refused { index: None, .. }),
            "{:?}",
            failed.trouble
        );
        assert_eq!(
            (
                database.count("status_event").await,
                database.count("device_row").await
            ),
            (3, 3)
        );
        sink.attempt(batch(&events(4..=4))).await.unwrap();
        assert_eq!(database.count("status_event").await, 4);
        assert_eq!(sink.open(JOURNAL).await, Ok(Some(Position(4))));
    }
}

#[tokio::test]
async fn a_device_has_its_newest_status_and_no_replay_rewinds_it() {
    let later_journal = Uuid::from_u128(u128::MAX);
    let keyed = |key: &str, status: StatusEvent| StatusEvent {
        event_id: key.to_owned(),
        ..status
    };
    let redelivered = keyed("first", status(JOURNAL, 4, "d", "a"));
    let before = StatusEvent {
        received_at: event(0).received_at,
        ..status(later_journal, 9, "d", "e")
    };
    let again = keyed("twice", status(later_journal, 12, "d", "j"));
    let steps = [
        (
            "the last of a batch",
            vec![
                keyed("first", status(JOURNAL, 1, "d", "a")),
                status(JOURNAL, 2, "d", "b"),
            ],
            "b",
        ),
        (
            "a replay",
            vec![keyed("first", status(JOURNAL, 1, "d", "a"))],
            "b",
        ),
        ("the next", vec![status(JOURNAL, 3, "d", "c")], "c"),
        ("delivered again by the broker", vec![redelivered], "c"),
        ("another journal, received earlier", vec![before], "c"),
        (
            "another journal, received later",
            vec![status(later_journal, 5, "d", "f")],
            "f",
        ),
        (
            "nine digits sort after one",
            vec![status(later_journal, 10, "d", "g")],
            "g",
        ),
        (
            "and not as texts",
            vec![status(later_journal, 7, "d", "h")],
            "g",
        ),
        (
            "twice in one batch",
            vec![keyed("twice", status(later_journal, 11, "d", "i")), again],
            "i",
        ),
    ];
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        for (step, events, state) in &steps {
            sink.attempt(batch(events)).await.unwrap();
            assert_eq!(
                database.text("SELECT state FROM device_current").await,
                *state,
                "{step}"
            );
        }
        assert_eq!(database.count("status_event").await, 8);
    }
}

/// A column that is in the list and not in the views, or the other way round, is found here.
#[tokio::test]
async fn views_have_the_columns_of_the_list_and_those_that_only_sql_has() {
    let with = |listed: Vec<String>, more: [&str; 2]| -> Vec<String> {
        let mut columns = listed;
        columns.insert(1, more[0].to_owned());
        columns.push(more[1].to_owned());
        columns
    };
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        let [number, text, time, flag] = match &database {
            // A view of SQLite does not say what its expressions hold.
            Database::Sqlite { .. } => ["", "", "", ""],
            Database::Postgres { .. } => {
                [" bigint", " text", " timestamp with time zone", " boolean"]
            }
        };
        let (sequence, stream) = (format!("sequence{number}"), format!("stream{text}"));
        let statuses = with(listed(&database, &columns::STATUS), [&sequence, &stream]);
        let mut current = statuses.clone();
        current
            .extend(["first_seen", "last_seen", "state_since"].map(|name| format!("{name}{time}")));
        current.push(format!("certain{flag}"));
        let mut coverage = listed(&database, &columns::COVERAGE);
        coverage.push(format!("begins_gap{flag}"));
        coverage.push(format!("gap_until{time}"));
        for (table, listed) in [
            ("status_event", &statuses),
            ("device_current", &current),
            ("coverage", &coverage),
        ] {
            let found = database
                .texts(&match &database {
                    Database::Sqlite { .. } => {
                        format!("SELECT name FROM pragma_table_info('{table}')")
                    }
                    Database::Postgres { .. } => format!(
                        "SELECT column_name || ' ' || data_type FROM information_schema.columns \
                         WHERE table_name = '{table}' ORDER BY ordinal_position"
                    ),
                })
                .await;
            let found: Vec<String> = found.into_iter().flatten().collect();
            assert_eq!(found, *listed, "{table}");
        }
    }
}

fn listed<Row>(database: &Database, columns: &[Column<Row>]) -> Vec<String> {
    let column = |column: &Column<Row>| match database {
        Database::Sqlite { .. } => column.name.to_owned(),
        Database::Postgres { .. } => format!("{} {}", column.name, sql_type(&column.kind)),
    };
    columns.iter().map(column).collect()
}

fn sql_type<Row>(kind: &ColumnKind<Row>) -> &'static str {
    match kind {
        ColumnKind::Word(_) | ColumnKind::Text(_) => "text",
        ColumnKind::Boolean(_) => "boolean",
        ColumnKind::Number(_) => "double precision",
        ColumnKind::Time(_) => "timestamp with time zone",
        ColumnKind::Json(_) => "json",
    }
}

#[tokio::test]
async fn a_time_that_no_clock_shows_does_not_cost_the_row() {
    let at = |position: i64, time: Timestamp| StatusEvent {
        occurred_at: Some(time),
        ..event(position)
    };
    let first: Timestamp = "0001-01-01T00:00:00Z".parse().unwrap();
    // .NET's DateTime.MinValue, seen from China.
    let before: Timestamp = "0000-12-31T15:54:17Z".parse().unwrap();
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        for more in FEW_AND_MANY {
            let base = 10 * more;
            let mut given = vec![
                at(base + 1, first),
                at(base + 2, before),
                at(base + 3, Timestamp::MIN),
                at(base + 4, Timestamp::MAX),
            ];
            given.extend(events(base + 5..=base + 5 + more));
            sink.attempt(batch(&given)).await.unwrap();
            let kept = format!(
                "status_event WHERE device_id IN ('{}', '{}') AND occurred_at IS NOT NULL",
                base + 1,
                base + 4
            );
            assert_eq!(database.count(&kept).await, 2);
            let not = format!(
                "status_event WHERE device_id IN ('{}', '{}') AND occurred_at IS NULL",
                base + 2,
                base + 3
            );
            assert_eq!(database.count(&not).await, 2);
        }
    }
}

#[tokio::test]
async fn values_are_stored_as_they_are() {
    let payload = r#"{"a":1e400, "a":"\u0000\ud800", "b" : 0.10}"#;
    let full = StatusEvent {
        occurred_at: Some("2020-12-09T03:16:16Z".parse().unwrap()),
        payload: raw(payload),
        ..event(1)
    };
    let bare = StatusEvent {
        serial: None,
        old_state: None,
        place: Default::default(),
        changed: false,
        ..event(2)
    };
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&[full.clone(), bare.clone()]))
            .await
            .unwrap();
        let time = |column: &str| match &database {
            Database::Sqlite { .. } => column.to_owned(),
            Database::Postgres { .. } => {
                format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
            }
        };
        // PostgreSQL could store these escapes and not read them back.
        let stored = match &database {
            Database::Sqlite { .. } => payload.to_owned(),
            Database::Postgres { .. } => payload.replace("\\u0000\\ud800", "\\ufffd\\ufffd"),
        };
        let expressions = [
            ("topic".to_owned(), Some("map-1"), Some("map-1")),
            (
                "serial".to_owned(),
                Some("5223980739804501806b36caddcca2e0"),
                None,
            ),
            ("old_state".to_owned(), Some("正常"), None),
            ("new_state".to_owned(), Some("故障"), Some("故障")),
            ("severity".to_owned(), Some("critical"), Some("critical")),
            (
                "CASE WHEN changed THEN 'yes' ELSE 'no' END".to_owned(),
                Some("yes"),
                Some("no"),
            ),
            ("district".to_owned(), Some("射阳县"), None),
            (
                "CAST(longitude AS text)".to_owned(),
                Some("120.33282601179727"),
                None,
            ),
            (
                "CAST(wgs84_latitude AS text)".to_owned(),
                Some("33.76825"),
                None,
            ),
            (
                time("occurred_at"),
                Some("2020-12-09T03:16:16.000000Z"),
                None,
            ),
            (
                time("received_at"),
                Some("2026-01-02T03:04:05.679901Z"),
                Some("2026-01-02T03:04:05.680901Z"),
            ),
            (
                "origin".to_owned(),
                Some(full.origin.as_str()),
                Some(bare.origin.as_str()),
            ),
            (
                "CAST(payload AS text)".to_owned(),
                Some(stored.as_str()),
                Some(bare.payload.get()),
            ),
        ];
        for table in ["status_event", "device_current"] {
            for (expression, first, second) in &expressions {
                let rows = database
                    .texts(&format!(
                        "SELECT {expression} FROM {table} ORDER BY device_id"
                    ))
                    .await;
                // The 17th digit of a double is SQLite's own business.
                let rows: Vec<_> = rows.iter().map(|row| row.as_deref()).collect();
                let digits = first
                    .filter(|_| expression.starts_with("CAST(longitude"))
                    .map(|text| &text[..16]);
                match digits {
                    Some(digits) => assert!(rows[0].unwrap().starts_with(digits), "{rows:?}"),
                    None => assert_eq!(rows, [*first, *second], "{table} {expression}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn rows_past_the_retention_are_deleted_and_devices_stay() {
    for database in Database::both().await {
        let mut sink = start(database.settings(Some(Duration::from_secs(3600))));
        sink.open(JOURNAL).await.unwrap();
        let now = jiff::Timestamp::now();
        let young = |event: StatusEvent| StatusEvent {
            received_at: now,
            ..event
        };
        // More than a piece, so that the round has to go on with the next batch.
        let old = events(1..=2500);
        sink.attempt(batch(&old)).await.unwrap();
        // A row of SQLite goes by itself, one of Postgres with its partition.
        let left = match database {
            Database::Sqlite { .. } => 500,
            Database::Postgres { .. } => 0,
        };
        assert_eq!(database.count("status_event").await, left);
        sink.attempt(batch(&[young(event(2501))])).await.unwrap();
        assert_eq!(database.count("status_event").await, 1);
        assert_eq!(database.count("device_row").await, 2501);
    }
}

#[tokio::test]
async fn an_idle_history_deletes_what_is_past_the_retention() {
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        let young = |position| StatusEvent {
            received_at: jiff::Timestamp::now(),
            ..event(position)
        };
        sink.attempt(batch(&events(1..=5000))).await.unwrap();
        // By this one the clock is believed.
        sink.attempt(batch(&[young(5001)])).await.unwrap();
        sink.close().await;
        let mut sink = start(database.settings(Some(Duration::from_secs(3600))));
        sink.open(JOURNAL).await.unwrap();
        // More than one piece, and no delivery.
        for _ in 0..100 {
            sink.idle().await.unwrap();
            if database.count("status_event").await == 1 {
                break;
            }
        }
        assert_eq!(database.count("status_event").await, 1);
        assert_eq!(database.count("device_row").await, 5001);
        // The connection is as good as before.
        sink.attempt(batch(&[young(5002)])).await.unwrap();
        assert_eq!(database.count("status_event").await, 2);
    }
}

/// To the code, a year that ended five years ago is as a year that ends now is to a clock that is
/// five years ahead.
#[tokio::test]
async fn two_starts_with_a_clock_five_years_ahead_delete_no_history_of_a_year() {
    const DAY: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
    for database in Database::both().await {
        let year = Some(Duration::from_secs(365 * 86_400));
        let ended = jiff::Timestamp::now() - 5 * 365 * DAY;
        let mut history = events(1..=364);
        for (event, day) in history.iter_mut().zip(1..) {
            event.received_at = ended - (365 - day) * DAY;
        }
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&history)).await.unwrap();
        sink.close().await;
        // So it was when the clock was still right.
        let believed = format!("UPDATE bridge_clock SET believed_at = '{ended}'");
        database.execute(&believed).await;
        for (ahead, position) in [365..=367, 368..=370].into_iter().enumerate() {
            let mut sink = start(database.settings(year));
            sink.open(JOURNAL).await.unwrap();
            let now: Vec<StatusEvent> = events(position)
                .into_iter()
                .map(|event| StatusEvent {
                    received_at: jiff::Timestamp::now(),
                    ..event
                })
                .collect();
            sink.attempt(batch(&now)).await.unwrap();
            sink.idle().await.unwrap();
            sink.close().await;
            let stored = 364 + 3 * (ahead + 1);
            assert_eq!(database.count("status_event").await, stored);
        }
        // The operator says that the clock is right.
        database.execute("DELETE FROM bridge_clock").await;
        let mut sink = start(database.settings(year));
        sink.open(JOURNAL).await.unwrap();
        for _ in 0..100 {
            sink.idle().await.unwrap();
            if database.count("status_event").await == 6 {
                break;
            }
        }
        assert_eq!(database.count("status_event").await, 6);
    }
}
