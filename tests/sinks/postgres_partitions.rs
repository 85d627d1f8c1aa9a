//! The partitions of a Postgres history: made for whatever comes, and dropped whole.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use stomp_bridge::model::{Position, StatusEvent};
use stomp_bridge::sinks::{Batch, Reason, Settings, Sink, probe};
use tokio::time::timeout;

use crate::events::{JOURNAL, batch, event, events, start, status};
use crate::history::Database;
use crate::postgres::FEW_AND_MANY;
use crate::postgres_around::{other, role, run, text, with};

const DAY: Duration = Duration::from_secs(86_400);

fn kept_for(database: &Database, retention: Option<Duration>) -> Settings {
    with(database.url(), |settings| settings.retention = retention)
}

async fn open(settings: Settings) -> Box<dyn Sink> {
    let mut sink = start(settings);
    sink.open(JOURNAL).await.unwrap();
    sink
}

fn at(position: i64, received_at: Timestamp) -> StatusEvent {
    StatusEvent {
        received_at,
        ..event(position)
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The partitions of `event`, each as `since until`.
async fn partitions(database: &Database) -> Vec<String> {
    let sql = "SELECT since::date || ' ' || until::date FROM bridge_partitions() \
               WHERE parent = 'event' ORDER BY since";
    database.texts(sql).await.into_iter().flatten().collect()
}

async fn setting(database: &Database, name: &str) -> Vec<Option<String>> {
    let sql = format!("SELECT value FROM history_setting WHERE name = '{name}'");
    database.texts(&sql).await
}

#[tokio::test]
async fn a_batch_across_a_border_is_stored_in_days_or_months_and_none_is_a_default() {
    let today = Timestamp::now()
        .to_zoned(TimeZone::UTC)
        .start_of_day()
        .unwrap();
    let yesterday = today.timestamp() - SignedDuration::from_hours(24);
    let days = [yesterday, today.timestamp()].map(|day| day.to_string()[..10].to_owned());
    let tomorrow = today.timestamp() + SignedDuration::from_hours(24);
    let [yesterday, today_date] = days;
    let tomorrow = tomorrow.to_string()[..10].to_owned();
    for more in FEW_AND_MANY {
        for (retention, midnight, expected) in [
            (
                Some(7 * DAY),
                today.timestamp(),
                [
                    format!("{yesterday} {today_date}"),
                    format!("{today_date} {tomorrow}"),
                ],
            ),
            (
                None,
                time("2026-02-01T00:00:00Z"),
                [
                    "2026-01-01 2026-02-01".to_owned(),
                    "2026-02-01 2026-03-01".to_owned(),
                ],
            ),
        ] {
            let database = Database::postgres().await;
            let mut sink = open(kept_for(&database, retention)).await;
            let before = midnight - SignedDuration::from_micros(1);
            let last = 2 + more;
            let given: Vec<StatusEvent> = (1..=last)
                .map(|position| at(position, if position < last { before } else { midnight }))
                .collect();
            assert_eq!(sink.attempt(batch(&given)).await, Ok(()));
            let found = partitions(&database).await;
            for partition in expected {
                assert!(found.contains(&partition), "{partition} in {found:?}");
            }
            assert_eq!(database.count("status_event").await, last as usize);
            let default = "pg_class WHERE relispartition \
                           AND pg_get_expr(relpartbound, oid) = 'DEFAULT'";
            assert_eq!(database.count(default).await, 0);
        }
    }
}

#[tokio::test]
async fn partitions_of_now_and_of_soon_are_there_before_their_rows() {
    let database = Database::postgres().await;
    let mut sink = open(kept_for(&database, Some(7 * DAY))).await;
    assert_eq!(sink.idle().await, Ok(()));
    let days = |hours| {
        let at = Timestamp::now() + SignedDuration::from_hours(hours);
        at.to_string()[..10].to_owned()
    };
    let found = partitions(&database).await;
    let expected = vec![
        format!("{} {}", days(0), days(24)),
        format!("{} {}", days(24), days(48)),
    ];
    assert_eq!(found, expected);
}

/// A status whose id is made of an event key.
fn keyed(position: i64, key: &str, received_at: Timestamp) -> StatusEvent {
    StatusEvent {
        event_id: key.to_owned(),
        ..at(position, received_at)
    }
}

#[tokio::test]
async fn a_status_that_the_server_delivers_again_is_one_row_whichever_partition_it_is_of() {
    for more in FEW_AND_MANY {
        let database = Database::postgres().await;
        let settings = || {
            with(database.url(), |settings| {
                settings.event_keys = DAY;
            })
        };
        let mut sink = open(settings()).await;
        let begins = time("2026-01-31T23:59:59.5Z");
        let later = |millis| begins + SignedDuration::from_millis(millis);
        let mut given = vec![
            keyed(1, "a", begins),
            keyed(2, "b", begins),
            // In the same batch, and in another month.
            keyed(3, "a", later(1000)),
        ];
        given.extend((4..4 + more).map(|position| at(position, later(position))));
        sink.attempt(batch(&given)).await.unwrap();
        let rows = 2 + more as usize;
        assert_eq!(database.count("status_event").await, rows);
        // Again: by the server, at another microsecond; and what was given, after a crash.
        let again = [
            keyed(1000, "b", later(2)),
            keyed(1001, "a", later(86_000_000)),
        ];
        sink.attempt(batch(&again)).await.unwrap();
        let mut sink = open(settings()).await;
        sink.attempt(batch(&given)).await.unwrap();
        assert_eq!(database.count("status_event").await, rows);
        assert_eq!(database.count("event_key_seen").await, 2);

        // The keys are old by now.
        let mut sink = open(settings()).await;
        assert_eq!(sink.idle().await, Ok(()));
        assert_eq!(database.count("event_key_seen").await, 0);
        let now = Timestamp::now();
        sink.attempt(batch(&[keyed(1002, "a", now), keyed(1003, "a", now)]))
            .await
            .unwrap();
        assert_eq!(database.count("status_event").await, rows + 1);
        // What was stored is known by its position for as long as it is there.
        sink.attempt(batch(&given)).await.unwrap();
        let known = "status_event WHERE event_id = 'b'";
        assert_eq!(database.count(known).await, 1);
    }
}

#[tokio::test]
async fn what_is_older_than_the_oldest_partition_gets_no_row_and_is_counted() {
    let database = Database::postgres().await;
    let mut sink = open(kept_for(&database, None)).await;
    let old = Timestamp::now() - SignedDuration::from_hours(24 * 100);
    sink.attempt(batch(&[at(1, old), at(2, old)]))
        .await
        .unwrap();
    sink.close().await;
    let mut sink = open(kept_for(&database, Some(7 * DAY))).await;
    assert_eq!(sink.idle().await, Ok(()));
    assert_eq!(database.count("status_event").await, 0);
    let since = setting(&database, "statuses_since").await;
    assert_eq!(since.len(), 1, "{since:?}");

    let now = Timestamp::now();
    let position = std::cell::Cell::new(10);
    let next = |received_at: Timestamp, device: &str| {
        position.set(position.get() + 1);
        StatusEvent {
            received_at,
            ..status(JOURNAL, position.get(), device, "normal")
        }
    };
    let given: Vec<StatusEvent> = vec![
        next(old, "fresh"),
        next(now, "now"),
        next(old, "1"),
        next(Timestamp::MIN, "zero"),
        next(time("0001-01-01T00:00:00Z"), "first"),
    ];
    sink.attempt(batch(&given)).await.unwrap();
    assert_eq!(sink.open(JOURNAL).await, Ok(Some(Position(15))));
    assert_eq!(database.count("status_event").await, 1);
    let counted = setting(&database, "statuses_too_old").await;
    assert_eq!(counted, [Some("4".to_owned())]);
    // An operator sees it, and so does who asks what became of one of them.
    let warning = sink.warning().unwrap_or_default();
    assert!(
        warning.contains("4 statuses have got no row: they are older than"),
        "{warning}"
    );
    let answer = sink.answer().unwrap_or_default();
    assert_eq!(answer, "1 row stored, 4 older than the kept rows");
    // The device is still known by it.
    let fresh = "SELECT state || ' ' || last_seen::date FROM device_current \
                 WHERE device_id = 'fresh' AND payload IS NULL";
    let day = old.to_string()[..10].to_owned();
    assert_eq!(database.text(fresh).await, format!("normal {day}"));
    // A replay, and what is redriven, is no trouble either.
    for reason in [Reason::Replay, Reason::Redrive] {
        let again = Batch {
            reason,
            ..batch(&given[..3])
        };
        sink.attempt(again).await.unwrap();
    }
    assert_eq!(database.count("status_event").await, 1);
}

#[tokio::test]
async fn a_default_partition_that_somebody_has_made_is_named_and_statuses_are_stored() {
    const RETENTION: Option<Duration> = Some(Duration::from_secs(100 * 86_400));
    let now = Timestamp::now();
    let soon = now + SignedDuration::from_hours(24 * 70);
    let later = now + SignedDuration::from_hours(24 * 140);
    for more in FEW_AND_MANY {
        let database = Database::postgres().await;
        let mut sink = open(kept_for(&database, RETENTION)).await;
        sink.attempt(batch(&[at(1, now)])).await.unwrap();
        assert_eq!(sink.warning(), None);
        // Rows of somebody's own, one of them of a time that has no partition yet.
        database
            .execute(&format!(
                "CREATE TABLE \"Rest\" PARTITION OF event DEFAULT; \
                 INSERT INTO event (sequence, position, received_at, journal_key, device_key, topic_key, \
                     state_key, profile_key, changed, missed_transition, payload) \
                 SELECT -1, -1, '{soon}', journal_key, device_key, topic_key, state_key, profile_key, \
                     false, false, '{{}}' FROM event LIMIT 1"
            ))
            .await;
        for again in [false, true] {
            if again {
                // It is said at the start, too.
                sink.close().await;
                sink = open(kept_for(&database, RETENTION)).await;
            } else {
                let given = (2..4 + more).map(|position| at(position, soon));
                let given: Vec<StatusEvent> = given.chain([at(4 + more, later)]).collect();
                assert_eq!(sink.attempt(batch(&given)).await, Ok(()));
            }
            let warning = sink.warning().unwrap_or_default();
            for part in [
                "Rest is a DEFAULT partition, which the daemon has not made",
                "ALTER TABLE event DETACH PARTITION \"Rest\"",
            ] {
                assert!(warning.contains(part), "{warning}");
            }
        }
        let found = probe(kept_for(&database, RETENTION)).await.unwrap();
        let advice = found.advice.unwrap_or_default();
        assert!(
            advice.starts_with("Rest is a DEFAULT partition"),
            "{advice}"
        );
        // What has a partition of its own goes there.
        assert_eq!(database.count("\"Rest\"").await, 3 + more as usize);
        assert_eq!(database.count("status_event").await, 5 + more as usize);
        let of_later = format!(
            "bridge_partitions() WHERE parent = 'event' AND since <= '{later}' AND until > '{later}'"
        );
        assert_eq!(database.count(&of_later).await, 1);
        // Nothing is stored twice, and what was done is seen without a restart.
        let again: Vec<StatusEvent> = (2..4 + more).map(|position| at(position, soon)).collect();
        sink.attempt(batch(&again)).await.unwrap();
        assert_eq!(database.count("status_event").await, 5 + more as usize);
        database
            .execute("ALTER TABLE event DETACH PARTITION \"Rest\"; DROP TABLE \"Rest\"")
            .await;
        let mut sink = open(kept_for(&database, RETENTION)).await;
        assert_eq!(sink.warning(), None);
        sink.attempt(batch(&[at(5 + more, soon)])).await.unwrap();
        assert_eq!(database.count("status_event").await, 3);
    }
}

#[tokio::test]
async fn a_late_status_takes_its_place_in_an_old_partition_or_in_one_of_its_own() {
    let database = Database::postgres().await;
    let mut sink = open(kept_for(&database, None)).await;
    let at = |position, day: &str, state: &str| StatusEvent {
        received_at: time(&format!("{day}T00:00:00Z")),
        new_state: state.to_owned(),
        ..status(JOURNAL, position, "7", state)
    };
    let given = [
        at(1, "2026-01-10", "normal"),
        at(2, "2026-01-20", "fault"),
        at(5, "2026-04-10", "normal"),
    ];
    sink.attempt(batch(&given)).await.unwrap();
    let late = [
        at(3, "2026-01-15", "offline"),
        at(4, "2026-02-20", "offline"),
    ];
    let late = Batch {
        reason: Reason::Redrive,
        ..batch(&late)
    };
    sink.attempt(late).await.unwrap();
    let pieces = "SELECT state || ' ' || since::date || ' ' || coalesce(until::date::text, '') \
                  FROM state_interval ORDER BY since";
    let pieces: Vec<String> = database.texts(pieces).await.into_iter().flatten().collect();
    assert_eq!(
        pieces,
        [
            "normal 2026-01-10 2026-01-15",
            "offline 2026-01-15 2026-01-20",
            "fault 2026-01-20 2026-02-20",
            "offline 2026-02-20 2026-04-10",
            "normal 2026-04-10 ",
        ]
    );
    let found = partitions(&database).await;
    assert!(found.contains(&"2026-02-01 2026-03-01".to_owned()));
    assert!(!found.contains(&"2026-03-01 2026-04-01".to_owned()));
    // The newest event of the device is found in its partition.
    let payload = "SELECT payload::text FROM device_current";
    assert!(database.text(payload).await.contains("deviceId"));
}

#[tokio::test]
async fn a_clock_of_any_year_is_stored_and_makes_no_thousand_partitions() {
    let database = Database::postgres().await;
    let mut sink = open(kept_for(&database, None)).await;
    // Such clocks came before, each in a month of its own, at last in a year of its own. What makes a
    // partition slow is its indexes.
    let before = "DROP INDEX event_sequence, event_origin, event_id, event_device, payload_digest; \
                  DO $$ BEGIN FOR number IN 1..170 LOOP \
                  PERFORM bridge_make_partition('0001-01-01'::date + number * 14000); \
                  END LOOP; END $$";
    database.execute(before).await;
    let day = |days: i64| time("0001-01-01T00:00:00Z") + SignedDuration::from_hours(24 * days);
    let mut given: Vec<StatusEvent> = (1..=90)
        .map(|position| at(position, day((position + 170) * 14_000)))
        .collect();
    given.push(at(91, time("9999-12-30T21:59:59.999999Z")));
    given.push(at(92, time("0001-01-01T00:00:00Z")));
    sink.attempt(batch(&given)).await.unwrap();
    assert_eq!(database.count("status_event").await, 92);
    let made = partitions(&database).await;
    assert!((180..230).contains(&made.len()), "{}", made.len());
    let reach = "SELECT count(*)::text FROM (SELECT since, lag(until) OVER (ORDER BY since) AS before \
                 FROM bridge_partitions() WHERE parent = 'event') AS p WHERE before > since";
    assert_eq!(database.text(reach).await, "0");
    // They are read as before.
    assert_eq!(sink.open(JOURNAL).await, Ok(Some(Position(92))));
    sink.attempt(batch(&[at(93, day(3))])).await.unwrap();
    assert_eq!(partitions(&database).await.len(), made.len());
}

#[tokio::test]
async fn a_clock_that_is_a_year_ahead_for_a_while_costs_a_partition() {
    let database = Database::postgres().await;
    let mut sink = open(kept_for(&database, Some(30 * DAY))).await;
    let now = Timestamp::now();
    let ahead = now + SignedDuration::from_hours(24 * 366);
    let times = [now, ahead, ahead, now];
    for (position, received_at) in (1..).zip(times) {
        sink.attempt(batch(&[at(position, received_at)]))
            .await
            .unwrap();
    }
    assert_eq!(sink.idle().await, Ok(()));
    assert_eq!(database.count("status_event").await, 4);
    let found = partitions(&database).await;
    assert_eq!(found.len(), 3, "{found:?}");
}

#[tokio::test]
async fn another_retention_makes_other_partitions_beside_those_that_are_there() {
    let database = Database::postgres().await;
    let mut sink = open(kept_for(&database, None)).await;
    let begins = time("2026-01-10T12:00:00Z");
    let mut given: Vec<StatusEvent> = (0..90)
        .map(|day| {
            let at_noon = begins + SignedDuration::from_hours(24 * day);
            at(day + 1, at_noon)
        })
        .collect();
    // Without a clock that says that they are old, none goes.
    let believed = "UPDATE bridge_clock SET believed_at = '2026-01-10'";
    database.execute(believed).await;
    fastrand::Rng::with_seed(7).shuffle(&mut given);
    for (number, piece) in given.chunks(30).enumerate() {
        let retention = [Some(30 * DAY), None, Some(30 * DAY)][number % 3];
        database.execute(believed).await;
        sink.close().await;
        sink = open(kept_for(&database, retention)).await;
        let redriven = Batch {
            reason: Reason::Redrive,
            ..batch(piece)
        };
        sink.attempt(redriven).await.unwrap();
    }
    assert_eq!(database.count("status_event").await, 90);
    let found = partitions(&database).await;
    let lengths: BTreeSet<bool> = found
        .iter()
        .map(|partition| {
            let (since, until) = partition.split_once(' ').unwrap();
            let midnight = |day: &str| time(&format!("{day}T00:00:00Z"));
            midnight(until).duration_since(midnight(since)).as_hours() > 24
        })
        .collect();
    assert_eq!(lengths.len(), 2, "days and more: {found:?}");
}

#[tokio::test]
async fn a_partition_that_somebody_dropped_is_made_again() {
    for more in FEW_AND_MANY {
        let database = Database::postgres().await;
        let mut sink = open(kept_for(&database, None)).await;
        sink.attempt(batch(&events(1..=5))).await.unwrap();
        database
            .execute("DROP TABLE event_p20260101; DROP TABLE payload_p20260101")
            .await;
        sink.attempt(batch(&events(6..=7 + more))).await.unwrap();
        assert_eq!(database.count("status_event").await, 2 + more as usize);
    }
}

/// Its rows are counted no more, and its name is taken.
#[tokio::test]
async fn a_partition_that_somebody_detached_and_keeps_is_in_nobodys_way() {
    let database = Database::postgres().await;
    let mut sink = open(kept_for(&database, None)).await;
    sink.attempt(batch(&events(1..=5))).await.unwrap();
    database
        .execute("ALTER TABLE event DETACH PARTITION event_p20260101")
        .await;
    sink.attempt(batch(&events(6..=7))).await.unwrap();
    assert_eq!(database.count("status_event").await, 2);
    assert_eq!(database.count("event_p20260101").await, 5);
}

/// Statuses of a hundred days ago, and a history that keeps them.
async fn with_old(database: &Database) {
    let mut sink = open(kept_for(database, None)).await;
    let old = Timestamp::now() - SignedDuration::from_hours(24 * 100);
    sink.attempt(batch(&[at(1, old), at(2, Timestamp::now())]))
        .await
        .unwrap();
    sink.close().await;
}

#[tokio::test]
async fn a_long_reader_holds_the_retention_up_and_nobody_else() {
    let database = Database::postgres().await;
    with_old(&database).await;
    let mut reader = other(&database.url()).await;
    run(&mut reader, "BEGIN; SELECT count(*) FROM status_event").await;
    let mut sink = open(kept_for(&database, Some(30 * DAY))).await;
    let retention = tokio::spawn(async move {
        assert_eq!(sink.idle().await, Ok(()));
        sink
    });
    let mut second = open(with(database.url(), |settings| {
        settings.name = "second".to_owned();
    }))
    .await;
    let mut position = 10;
    while !retention.is_finished() {
        position += 1;
        let given = [at(position, Timestamp::now())];
        // One behind the retention would wait for as long as the reader does.
        let stored = timeout(Duration::from_secs(60), second.attempt(batch(&given)));
        stored.await.expect("it waits for nobody").unwrap();
    }
    let mut sink = retention.await.unwrap();
    let warning = sink.warning().unwrap();
    assert!(
        warning.contains("rows past the retention were not deleted")
            && warning.contains("another session holds a lock on the tables"),
        "{warning}"
    );
    let rows = database.count("status_event").await;
    run(&mut reader, "COMMIT").await;
    sink.close().await;
    let mut sink = open(kept_for(&database, Some(30 * DAY))).await;
    assert_eq!(sink.idle().await, Ok(()));
    assert_eq!(sink.warning(), None);
    assert_eq!(database.count("status_event").await, rows - 1);
}

#[tokio::test]
async fn a_role_owns_nothing_makes_and_drops_partitions_by_the_two_functions_alone() {
    let database = Database::postgres().await;
    with_old(&database).await;
    let (role, url) = role(&database).await;
    let settings = || with(url.clone(), |settings| settings.retention = Some(30 * DAY));
    // As docs/sql.md has it; the last one later.
    let document = include_str!("../../docs/sql.md");
    let (_, rights) = document.split_once("```postgresql\n").unwrap();
    let (rights, _) = rights.split_once("```").unwrap();
    let rights = rights.replace("TO bridge;", &format!("TO {role};"));
    let (tables, functions) = rights.split_once("GRANT EXECUTE").unwrap();
    database.execute(tables).await;
    let mut sink = open(settings()).await;
    // It has the partition of this one, and not of the other.
    sink.attempt(batch(&[at(3, Timestamp::now())]))
        .await
        .unwrap();
    let ahead = Timestamp::now() + SignedDuration::from_hours(24 * 100);
    let failed = sink.attempt(batch(&[at(4, ahead)])).await.unwrap_err();
    let failed = format!("{:?}", failed.trouble);
    assert!(
        failed.contains("permission denied for function bridge_make_partition")
            && failed.contains("EXECUTE on the functions bridge_make_partition and"),
        "{failed}"
    );
    database.execute(&format!("GRANT EXECUTE{functions}")).await;
    let mut sink = open(settings()).await;
    sink.attempt(batch(&[at(4, ahead)])).await.unwrap();
    for _ in 0..3 {
        assert_eq!(sink.idle().await, Ok(()));
    }
    assert_eq!(sink.warning(), None);
    assert_eq!(database.count("status_event").await, 3);

    // It can do no more by them, whatever it puts before the tables.
    let mut role = other(&url).await;
    for refused in [
        "DROP TABLE event_p20260101",
        "DELETE FROM event",
        "TRUNCATE event",
        "SELECT bridge_drop_before((now() + interval '2 days')::date)",
        "SELECT bridge_drop_before(NULL)",
        "SELECT bridge_drop_before('infinity')",
        "SELECT bridge_make_partition(NULL)",
        "SELECT bridge_make_partition('-infinity')",
        "SELECT bridge_make_partition('10000-01-01')",
    ] {
        let sql = sqlx::AssertSqlSafe(refused);
        let outcome = sqlx::raw_sql(sql).execute(&mut role).await;
        assert!(outcome.is_err(), "{refused}");
    }
    let today = "SELECT bridge_drop_before((now() AT TIME ZONE 'UTC')::date)";
    run(
        &mut role,
        "CREATE TEMP TABLE history_setting (name text PRIMARY KEY, value text); \
         CREATE TEMP TABLE event (received_at timestamptz) PARTITION BY RANGE (received_at); \
         CREATE TEMP TABLE event_p20200101 PARTITION OF event \
             FOR VALUES FROM ('2020-01-01') TO ('2020-02-01'); \
         SET search_path = pg_temp, public; SET timezone = 'Asia/Shanghai'; SET datestyle = German",
    )
    .await;
    let dropped = format!("SELECT coalesce(({today}), 'none')");
    assert_eq!(text(&mut role, &dropped).await, "none");
    assert_eq!(
        text(&mut role, "SELECT count(*)::text FROM history_setting").await,
        "0"
    );
    assert_eq!(database.count("status_event").await, 3);
}

#[tokio::test]
async fn a_clock_that_is_not_believed_takes_a_tenth_a_day_of_a_history_that_is_only_sampled() {
    let database = Database::postgres().await;
    open(kept_for(&database, None)).await.close().await;
    // Two years of months that ended years ago, each with as many rows: some 3,000 pages.
    database
        .execute(
            "DO $$ BEGIN FOR month IN 0..23 LOOP PERFORM bridge_make_partition( \
                 ('2019-01-01'::date + month * interval '1 month')::date); END LOOP; END $$; \
             INSERT INTO event (sequence, position, received_at, journal_key, device_key, topic_key, \
                 state_key, profile_key, changed, missed_transition, payload) \
             SELECT n, n, '2019-01-02Z'::timestamptz + n % 24 * interval '1 month', 1, 1, 1, 1, 1, \
                 true, false, to_json(repeat('x', 100)) FROM generate_series(1, 120000) AS n; \
             UPDATE bridge_clock SET believed_at = '2021-01-01Z'",
        )
        .await;
    let mut sink = open(kept_for(&database, Some(365 * DAY))).await;
    let oldest = async || partitions(&database).await.swap_remove(0);
    for _ in 0..100 {
        sink.idle().await.unwrap();
        if oldest().await.starts_with("2019-03") {
            break;
        }
    }
    // A tenth is two months and a part of the third, which stays whole.
    for _ in 0..5 {
        sink.idle().await.unwrap();
    }
    assert_eq!(sink.warning(), None);
    assert_eq!(oldest().await, "2019-03-01 2019-04-01");
}
