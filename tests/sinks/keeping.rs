//! What a history does beside its batches: days that are over, another zone, what is past the
//! retention of intervals, and space.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use stomp_bridge::model::{Coverage, CoverageCause, CoverageEvent, StatusEvent, Via};
use stomp_bridge::sinks::history::reader::Reader;
use stomp_bridge::sinks::{Batch, Reason, Settings, Sink};

use crate::events::{JOURNAL, batch, coverage, start, status};
use crate::history::Database;
use crate::operators::store;

const DAY: SignedDuration = SignedDuration::from_hours(24);

pub(crate) fn in_zone(database: &Database, name: &str, intervals: Option<Duration>) -> Settings {
    let zone = TimeZone::get(name).unwrap();
    match database.settings(None) {
        Settings::Sqlite(settings) => Settings::Sqlite(history_sqlite(settings, zone, intervals)),
        Settings::Postgres(mut settings) => {
            settings.zone = zone;
            settings.intervals = intervals;
            Settings::Postgres(settings)
        }
        other => other,
    }
}

fn history_sqlite(
    mut settings: stomp_bridge::sinks::history::sqlite::Settings,
    zone: TimeZone,
    intervals: Option<Duration>,
) -> stomp_bridge::sinks::history::sqlite::Settings {
    settings.zone = zone;
    settings.intervals = intervals;
    settings
}

fn at(position: i64, state: &str, received_at: Timestamp) -> StatusEvent {
    StatusEvent {
        new_state: state.to_owned(),
        received_at,
        ..status(JOURNAL, position, "7", state)
    }
}

async fn open(settings: Settings) -> Box<dyn Sink> {
    let mut sink = start(settings);
    sink.open(JOURNAL).await.unwrap();
    sink
}

/// `day state seconds uncertain entered` of every row, as whole numbers.
async fn days(database: &Database) -> Vec<String> {
    let whole = |column: &str| format!("CAST(CAST({column} AS integer) AS text)");
    let sql = format!(
        "SELECT CAST(day AS text) || ' ' || state || ' ' || {} || ' ' || {} || ' ' || {} \
         FROM state_daily ORDER BY day, state",
        whole("seconds"),
        whole("uncertain_seconds"),
        whole("entered")
    );
    database.texts(&sql).await.into_iter().flatten().collect()
}

#[tokio::test]
async fn days_are_those_of_the_zone_up_to_midnight_and_of_another_one_where_it_changes() {
    // Berlin has no 02:30 on this day.
    let begins: Timestamp = "2026-03-28T22:00:00Z".parse().unwrap();
    let events = [
        at(1, "normal", begins),
        at(2, "fault", begins + SignedDuration::from_hours(2)),
        at(3, "normal", begins + 2 * DAY),
    ];
    for database in Database::both().await {
        let mut sink = open(in_zone(&database, "Europe/Berlin", None)).await;
        sink.attempt(batch(&events)).await.unwrap();
        sink.close().await;
        let berlin = [
            "2026-03-28 normal 3600 0 1",
            "2026-03-29 fault 79200 0 1",
            "2026-03-29 normal 3600 0 0",
            "2026-03-30 fault 86400 0 0",
        ];
        assert_eq!(days(&database).await[..4], berlin, "{}", database.url());

        let mut sink = open(in_zone(&database, "UTC", None)).await;
        sink.idle().await.unwrap();
        let utc = [
            "2026-03-28 normal 7200 0 1",
            "2026-03-29 fault 86400 0 1",
            "2026-03-30 fault 79200 0 0",
            // It lasts, and is counted up to the last midnight.
            "2026-03-30 normal 7200 0 1",
            "2026-03-31 normal 86400 0 0",
        ];
        let found = days(&database).await;
        assert_eq!(found[..5], utc, "{}", database.url());
        let today = Timestamp::now().to_string();
        assert!(found.last().unwrap()[..10] < today[..10], "{found:?}");
    }
}

#[tokio::test]
async fn a_day_of_25_hours_has_them_in_both_databases() {
    // Berlin has 02:30 twice on the 26th.
    let begins: Timestamp = "2025-10-24T23:00:00Z".parse().unwrap();
    let events = [
        at(1, "normal", begins),
        at(2, "fault", begins + SignedDuration::from_hours(24 + 2)),
        at(3, "normal", begins + 3 * DAY),
    ];
    for database in Database::both().await {
        let mut sink = open(in_zone(&database, "Europe/Berlin", None)).await;
        sink.attempt(batch(&events)).await.unwrap();
        sink.close().await;
        let berlin = [
            "2025-10-25 normal 82800 0 1",
            "2025-10-26 fault 79200 0 1",
            "2025-10-26 normal 10800 0 0",
            "2025-10-27 fault 86400 0 0",
        ];
        assert_eq!(days(&database).await[..4], berlin, "{}", database.url());
    }
}

#[tokio::test]
async fn another_zone_costs_a_start_nothing_and_the_days_before_go_in_pieces() {
    const MANY: usize = 5000;
    let begins: Timestamp = "2026-03-28T22:00:00Z".parse().unwrap();
    let after = |hours| begins + SignedDuration::from_hours(hours);
    for database in Database::both().await {
        let mut sink = open(in_zone(&database, "Europe/Berlin", None)).await;
        let events = [at(1, "normal", begins), at(2, "fault", after(2))];
        sink.attempt(batch(&events)).await.unwrap();
        // The fault lasts, and is counted up to the last midnight.
        sink.idle().await.unwrap();
        sink.close().await;
        let many = format!(
            "WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < {MANY}) \
             INSERT INTO state_daily_row \
             (day, device_key, state_key, certain_us, uncertain_us, entered) \
             SELECT '1990-01-01', n + 1, 1, 1, 0, 0 FROM n"
        );
        database.execute(&many).await;
        let before = database.count("state_daily_row").await;

        let mut sink = open(in_zone(&database, "UTC", None)).await;
        assert_eq!(database.count("state_daily_row").await, before);
        // It ends a piece that is counted in the zone before.
        let event = [at(3, "normal", after(48))];
        sink.attempt(batch(&event)).await.unwrap();
        let left = database.count("state_daily_row").await;
        assert!(0 < left && left < before, "{left} of {before}");
        let utc = [
            "2026-03-28 normal 7200 0 1",
            "2026-03-29 fault 86400 0 1",
            "2026-03-30 fault 79200 0 0",
            "2026-03-30 normal 7200 0 1",
            "2026-03-31 normal 86400 0 0",
        ];
        let mut found = Vec::new();
        for _ in 0..30 {
            sink.idle().await.unwrap();
            found = days(&database).await;
            if found.len() > utc.len() {
                break;
            }
        }
        assert_eq!(
            found.get(..5),
            Some(&utc.map(str::to_owned)[..]),
            "{}",
            database.url()
        );
        let left = database
            .count("state_daily_row WHERE day < '2000-01-01'")
            .await;
        assert_eq!(left, 0);
    }
}

/// What is to be done beside the deliveries is done, where nothing is delivered.
async fn until_done(sink: &mut dyn Sink) {
    for _ in 0..30 {
        if !sink.goes_on() {
            return;
        }
        sink.idle().await.unwrap();
    }
    panic!("it goes on without end");
}

#[tokio::test]
async fn days_are_counted_again_without_a_wait_and_who_reads_knows_of_it_until_all_are() {
    let begins: Timestamp = "2026-03-28T22:00:00Z".parse().unwrap();
    let events = [
        at(1, "normal", begins),
        at(2, "fault", begins + SignedDuration::from_hours(2)),
    ];
    for database in Database::both().await {
        let is_recounting = async || {
            let reader = Reader::open(&store(&database, database.url()))
                .await
                .unwrap();
            let is_recounting = reader.is_recounting();
            reader.close().await;
            is_recounting
        };
        let mut sink = open(in_zone(&database, "Europe/Berlin", None)).await;
        sink.attempt(batch(&events)).await.unwrap();
        until_done(&mut *sink).await;
        assert!(!is_recounting().await);
        sink.close().await;

        let mut sink = open(in_zone(&database, "UTC", None)).await;
        assert!(sink.goes_on() && is_recounting().await);
        until_done(&mut *sink).await;
        assert!(!is_recounting().await);
        let utc = [
            "2026-03-28 normal 7200 0 1",
            "2026-03-29 fault 86400 0 1",
            "2026-03-30 fault 86400 0 0",
        ];
        assert_eq!(days(&database).await[..3], utc, "{}", database.url());
        sink.close().await;

        // It ends behind the last device, before what lasts is counted.
        let all = "INSERT INTO history_setting (name, value) VALUES ('recounted_below', '9223372036854775807'); \
                   UPDATE device_row SET counted_until = NULL, counted_certain_until = NULL; \
                   DELETE FROM state_daily_row WHERE day > '2026-03-29'";
        database.execute(all).await;
        assert!(is_recounting().await);
        let mut sink = open(in_zone(&database, "UTC", None)).await;
        until_done(&mut *sink).await;
        assert!(!is_recounting().await);
        assert_eq!(days(&database).await[2], utc[2], "{}", database.url());
        sink.close().await;
    }
}

#[tokio::test]
async fn a_gap_that_lasts_makes_what_is_counted_of_an_open_piece_uncertain() {
    let begins: Timestamp = "2026-03-28T22:00:00Z".parse().unwrap();
    let deaf = coverage(
        JOURNAL,
        2,
        "map-1",
        "2026-03-29T12:00:00Z",
        Some(CoverageCause::Silent),
    );
    for database in Database::both().await {
        let mut sink = open(in_zone(&database, "UTC", None)).await;
        sink.attempt(batch(&[at(1, "normal", begins)]))
            .await
            .unwrap();
        sink.attempt(batch(std::slice::from_ref(&deaf)))
            .await
            .unwrap();
        sink.idle().await.unwrap();
        let expected = [
            "2026-03-28 normal 7200 0 1",
            "2026-03-29 normal 43200 43200 0",
            "2026-03-30 normal 0 86400 0",
        ];
        assert_eq!(days(&database).await[..3], expected, "{}", database.url());
        let current = database
            .text("SELECT CASE WHEN certain THEN 'certain' ELSE 'not' END FROM device_current")
            .await;
        assert_eq!(current, "not");
        // What the device then says ends the piece, and nothing is counted twice.
        let again = at(3, "fault", begins + 3 * DAY);
        sink.attempt(batch(&[again])).await.unwrap();
        let found = days(&database).await;
        let normal: Vec<&String> = found.iter().filter(|row| row.contains("normal")).collect();
        assert_eq!(
            normal[..3],
            expected.map(str::to_owned).iter().collect::<Vec<_>>()
        );
        assert_eq!(*normal[3], "2026-03-31 normal 0 79200 0");
        assert_eq!(normal.len(), 4);
    }
}

#[tokio::test]
async fn what_is_past_the_retention_of_intervals_goes_and_devices_stay() {
    let old = Timestamp::now() - 40 * DAY;
    for database in Database::both().await {
        let keep = Some(Duration::from_secs(30 * 86_400));
        let mut sink = open(in_zone(&database, "UTC", keep)).await;
        let mut events: Vec<StatusEvent> = (1..=40)
            .map(|position| {
                let state = ["normal", "fault"][(position % 2) as usize];
                at(position, state, old + position as i32 * DAY)
            })
            .collect();
        for event in &mut events {
            event.position.0 += 10;
        }
        let gap = coverage(
            JOURNAL,
            1,
            "map-1",
            "2026-01-01T00:00:00Z",
            Some(CoverageCause::Silent),
        );
        let heard = coverage(JOURNAL, 2, "map-1", "2026-01-01T01:00:00Z", None);
        sink.attempt(batch(&[gap, heard])).await.unwrap();
        sink.attempt(batch(&events)).await.unwrap();
        sink.close().await;
        let mut sink = open(in_zone(&database, "UTC", keep)).await;
        sink.idle().await.unwrap();
        let kept = database.count("state_interval").await;
        assert!((29..=32).contains(&kept), "{}: {kept}", database.url());
        let days = database
            .count("(SELECT DISTINCT day FROM state_daily) AS day")
            .await;
        assert!((29..=32).contains(&days), "{}: {days}", database.url());
        assert_eq!(database.count("coverage").await, 0);
        assert_eq!(database.count("status_event").await, 40);
        assert_eq!(database.count("device_current").await, 1);
    }
}

#[tokio::test]
async fn a_device_keeps_its_newest_word_and_nothing_that_only_its_event_had() {
    let now = Timestamp::now();
    for database in Database::both().await {
        let mut sink = open(database.settings(None)).await;
        let said = |position: i64, word: &str| StatusEvent {
            new_state: word.to_owned(),
            event_id: format!("key-{position}"),
            via: Via::Resync,
            ..at(
                position,
                "normal",
                now + SignedDuration::from_secs(position),
            )
        };
        let said = [said(1, "正常"), said(2, "运行")];
        sink.attempt(batch(&said)).await.unwrap();
        sink.close().await;
        let current = "SELECT new_state || ' ' || state || ' ' || coalesce(via, '-') || ' ' \
                       || coalesce(event_id, '-') FROM device_current";
        assert_eq!(database.text(current).await, "运行 normal resync key-2");
        assert_eq!(database.count("state_interval").await, 1);
        database.execute("DELETE FROM event").await;
        assert_eq!(
            database.text(current).await,
            "运行 normal - -",
            "{}",
            database.url()
        );
    }
}

#[tokio::test]
async fn a_gap_stays_while_a_device_has_said_nothing_since() {
    let old = Timestamp::now() - 40 * DAY;
    for database in Database::both().await {
        let keep = Some(Duration::from_secs(30 * 86_400));
        let mut sink = open(in_zone(&database, "UTC", keep)).await;
        let gap = |position: i64, cause| CoverageEvent {
            coverage: Coverage {
                heard: position % 2 == 0,
                at: old + position as i32 * DAY,
                cause,
            },
            ..coverage(JOURNAL, position, "map-1", "2026-01-01T00:00:00Z", cause)
        };
        let deaf = |position| gap(position, Some(CoverageCause::Silent));
        // The device is heard on the second day, between two gaps.
        let before = [deaf(1), gap(2, None)];
        let status = at(3, "fault", old + 2 * DAY + DAY / 2);
        let behind = [deaf(5), gap(6, None)];
        sink.attempt(batch(&before)).await.unwrap();
        sink.attempt(batch(&[status])).await.unwrap();
        sink.attempt(batch(&behind)).await.unwrap();
        sink.close().await;
        let mut sink = open(in_zone(&database, "UTC", keep)).await;
        sink.idle().await.unwrap();
        assert_eq!(database.count("coverage").await, 2, "{}", database.url());
        let certain = "SELECT CASE WHEN certain THEN 'certain' ELSE 'not' END FROM device_current";
        assert_eq!(database.text(certain).await, "not");
        // Once it has spoken, the gap is of a piece that is closed.
        sink.attempt(batch(&[at(7, "normal", Timestamp::now())]))
            .await
            .unwrap();
        sink.close().await;
        let mut sink = open(in_zone(&database, "UTC", keep)).await;
        sink.idle().await.unwrap();
        assert_eq!(database.count("coverage").await, 0, "{}", database.url());
    }
}

#[tokio::test]
async fn a_sqlite_file_gives_free_pages_back() {
    let database = Database::sqlite();
    let old = Timestamp::now() - 20 * DAY;
    let mut sink = start(database.settings(None));
    sink.open(JOURNAL).await.unwrap();
    let events: Vec<StatusEvent> = (1..=30_000)
        .map(|position| StatusEvent {
            changed: false,
            ..at(
                position,
                "normal",
                old + SignedDuration::from_secs(position),
            )
        })
        .collect();
    for piece in events.chunks(4000) {
        sink.attempt(batch(piece)).await.unwrap();
    }
    sink.attempt(batch(&[at(30_001, "fault", Timestamp::now())]))
        .await
        .unwrap();
    sink.close().await;
    let pages = async || -> i64 {
        let pages = "SELECT CAST(page_count AS text) FROM pragma_page_count";
        database.text(pages).await.parse().unwrap()
    };
    let before = pages().await;
    let mut sink = start(database.settings(Some(Duration::from_secs(86_400))));
    sink.open(JOURNAL).await.unwrap();
    for _ in 0..30 {
        sink.idle().await.unwrap();
    }
    assert_eq!(database.count("status_event").await, 1);
    let after = pages().await;
    assert!(after < before / 2, "{before} pages, then {after}");
}

/// What the pieces of a time were made of is gone: a status that comes late for that time must not
/// make them again of what is left.
#[tokio::test]
async fn a_late_status_spoils_nothing_whose_statuses_are_past_the_retention() {
    let begins = Timestamp::now() - DAY;
    let each = SignedDuration::from_secs(10);
    let events: Vec<StatusEvent> = (1..=6)
        .map(|position| {
            let state = ["normal", "fault"][(position % 2) as usize];
            at(position, state, begins + position as i32 * each)
        })
        .collect();
    let pieces = "SELECT state || ' ' || CAST(CAST(seconds AS integer) AS text) \
                  FROM state_interval WHERE until IS NOT NULL ORDER BY since";
    for database in Database::both().await {
        let mut sink = open(in_zone(&database, "UTC", None)).await;
        sink.attempt(batch(&events)).await.unwrap();
        let before = (database.texts(pieces).await, days(&database).await);
        assert_eq!(before.0.len(), 5, "{before:?}");
        database
            .execute("DELETE FROM event WHERE sequence < 6")
            .await;
        for late in [
            at(7, "fault", begins),
            at(8, "normal", begins + 3 * each + each / 2),
            at(9, "fault", begins + 5 * each + each / 2),
        ] {
            let redriven = Batch {
                reason: Reason::Redrive,
                ..batch(&[late])
            };
            sink.attempt(redriven).await.unwrap();
            let after = (database.texts(pieces).await, days(&database).await);
            assert_eq!(after, before, "{}", database.url());
        }
        sink.close().await;
    }
}
