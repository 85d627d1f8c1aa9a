//! A history whose journal was lost, and restored from a backup: what the backup has not, the history
//! may have.

use jiff::Timestamp;
use stomp_bridge::model::CoverageCause::{self, DaemonDown, DaemonStopped};
use stomp_bridge::model::{CoverageEvent, Event, StatusEvent};
use stomp_bridge::sinks::Batch;
use uuid::Uuid;

use crate::events::{JOURNAL, batch, coverage, start, status};
use crate::history::Database;

/// The id of what comes after the restore.
const NOW: Uuid = Uuid::from_u128(1);

fn time(time: &str) -> Timestamp {
    format!("2026-01-02T{time}:00Z").parse().unwrap()
}

fn said(journal: Uuid, position: i64, device: &str, at: &str) -> Event {
    let status = status(journal, position, device, "normal");
    let status = StatusEvent {
        topic: "a".into(),
        received_at: time(at),
        ..status
    };
    status.into()
}

/// A topic began to be heard, or ceased; the daemon notices that at another time.
fn heard(
    journal: Uuid,
    position: i64,
    at: &str,
    cause: Option<CoverageCause>,
    noticed: &str,
) -> Event {
    let at = time(at).to_string();
    let event = CoverageEvent {
        received_at: time(noticed),
        ..coverage(journal, position, "a", &at, cause)
    };
    event.into()
}

/// `since until cause` of every gap.
async fn gaps(database: &Database) -> Vec<String> {
    let time = |column: &str| match database {
        Database::Sqlite { .. } => format!("strftime('%H:%M', {column})"),
        Database::Postgres { .. } => format!("to_char({column} AT TIME ZONE 'UTC', 'HH24:MI')"),
    };
    let sql = format!(
        "SELECT {} || ' ' || {} || ' ' || cause FROM coverage_gap ORDER BY since",
        time("since"),
        time("until")
    );
    database.texts(&sql).await.into_iter().flatten().collect()
}

/// `device certain uncertain` of the day, in minutes.
async fn minutes(database: &Database) -> Vec<String> {
    let minutes = |column: &str| format!("CAST(CAST(sum({column}) / 60 AS integer) AS text)");
    let sql = format!(
        "SELECT device_id || ' ' || {} || ' ' || {} FROM state_daily \
         WHERE CAST(day AS text) = '2026-01-02' GROUP BY device_id ORDER BY device_id",
        minutes("seconds"),
        minutes("uncertain_seconds")
    );
    database.texts(&sql).await.into_iter().flatten().collect()
}

/// The backup was made at 02:00. The daemon went on up to 03:00, and the history has what came.
#[tokio::test]
async fn the_outage_around_a_restore_is_one_gap_and_no_device_is_certain_in_it() {
    let lost = [
        heard(JOURNAL, 1, "01:00", None, "01:00"),
        said(JOURNAL, 2, "1", "01:30"),
        said(JOURNAL, 3, "2", "02:30"),
        heard(JOURNAL, 4, "03:00", Some(DaemonStopped), "03:00"),
    ];
    let goes_on = [
        // The last that the backup knows of the link.
        heard(NOW, 3, "02:00", Some(DaemonDown), "05:00"),
        heard(NOW, 4, "05:00", None, "05:00"),
        said(NOW, 5, "3", "06:00"),
    ];
    let day = 24 * 60;
    for (lost, since, cause) in [
        (&lost[..], 3 * 60, "03:00 05:00 daemon_stopped"),
        // It was killed: nothing says up to when it has heard what came behind the last status.
        (&lost[..3], 2 * 60 + 30, "02:30 05:00 daemon_down"),
    ] {
        let expected = [
            format!("1 {} {}", since - 90, day - since),
            format!("2 {} {}", since - 150, day - since),
            format!("3 {} 0", day - 6 * 60),
        ];
        for database in Database::both().await {
            let mut sink = start(database.settings(None));
            sink.open(JOURNAL).await.unwrap();
            sink.attempt(batch(lost)).await.unwrap();
            sink.close().await;
            let mut sink = start(database.settings(None));
            sink.open(NOW).await.unwrap();
            // The second time as after a crash whose commit was not seen.
            for _ in 0..2 {
                let goes_on = Batch {
                    journal: NOW,
                    ..batch(&goes_on)
                };
                sink.attempt(goes_on).await.unwrap();
                assert_eq!(gaps(&database).await, [cause], "{}", database.url());
            }
            sink.idle().await.unwrap();
            assert_eq!(minutes(&database).await, expected, "{}", database.url());
            let certain = "SELECT device_id FROM device_current WHERE certain";
            assert_eq!(database.texts(certain).await, [Some("3".to_owned())]);
            sink.close().await;
        }
    }
}

/// Which of two causes a moment has does not depend on which came first.
#[tokio::test]
async fn two_journals_whose_gaps_begin_at_one_moment_have_the_longer_one() {
    let of = |journal, until: &str| {
        [
            heard(journal, 1, "01:00", None, "01:00"),
            heard(journal, 2, "03:00", Some(DaemonStopped), "03:00"),
            heard(journal, 3, until, None, until),
        ]
    };
    let stories = [of(JOURNAL, "05:00"), of(NOW, "04:00")];
    for order in [[0, 1], [1, 0]] {
        for database in Database::both().await {
            let mut sink = start(database.settings(None));
            sink.open(JOURNAL).await.unwrap();
            for story in order {
                sink.attempt(batch(&stories[story])).await.unwrap();
            }
            let expected = ["03:00 05:00 daemon_stopped"];
            assert_eq!(gaps(&database).await, expected, "{}", database.url());
            sink.close().await;
        }
    }
}

/// The entries of a backup come again, and what an orderly stop wrote stands behind the last status.
#[tokio::test]
async fn coverage_that_comes_again_under_a_later_id_is_known_whatever_came_beside_it() {
    let stopped = heard(JOURNAL, 3, "03:00", Some(DaemonStopped), "03:00");
    let began = heard(JOURNAL, 1, "01:00", None, "01:00");
    let status = said(JOURNAL, 2, "1", "01:30");
    for story in [
        vec![began.clone(), stopped.clone()],
        vec![began, status, stopped],
    ] {
        for database in Database::both().await {
            // The second one knows nothing of what the first has stored but what the file says.
            for _ in 0..2 {
                let mut sink = start(database.settings(None));
                sink.open(NOW).await.unwrap();
                let under_the_later = Batch {
                    journal: NOW,
                    ..batch(&story)
                };
                sink.attempt(under_the_later).await.unwrap();
                sink.close().await;
            }
            assert_eq!(database.count("coverage").await, 2, "{}", database.url());
            assert_eq!(database.count("coverage_gap").await, 1);
        }
    }
}
