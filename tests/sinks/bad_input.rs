//! What a platform may send and a clock may show, beside the bodies of `tests/golden`: the same
//! rows in both databases, and what comes behind is stored as well.

use jiff::Timestamp;
use stomp_bridge::model::{Severity, StatusEvent};

use crate::events::{JOURNAL, batch, event, events, raw, start, status};
use crate::history::Database;
use crate::postgres::FEW_AND_MANY;

const QUOTES: [&str; 6] = [
    "'); DROP TABLE event; --",
    "\"; DELETE FROM device_row; \"",
    "a\\b\tc\r\nd",
    "$1 ?1 :a @b \\N \\.",
    "😀🇨🇳 e\u{301} \u{200f}",
    "%s {{ x }} \u{1}",
];

#[tokio::test]
async fn texts_that_mean_something_elsewhere_are_texts() {
    for more in FEW_AND_MANY {
        let mut given: Vec<StatusEvent> = (1..)
            .zip(QUOTES)
            .map(|(position, text)| StatusEvent {
                topic: text.into(),
                stream: text.into(),
                client_id: text.to_owned(),
                serial: Some(text.to_owned()),
                old_state: Some(text.to_owned()),
                new_state: text.to_owned(),
                event_id: format!("key {text}"),
                payload: raw(&serde_json::to_string(text).unwrap()),
                ..status(JOURNAL, position, text, text)
            })
            .collect();
        given.extend(events(7..=7 + more));
        for database in Database::both().await {
            let mut sink = start(database.settings(None));
            sink.open(JOURNAL).await.unwrap();
            // The second time nothing is new.
            for _ in 0..2 {
                assert_eq!(sink.attempt(batch(&given)).await, Ok(()));
            }
            for column in [
                "topic",
                "stream",
                "client_id",
                "device_id",
                "serial",
                "old_state",
                "new_state",
                "state",
            ] {
                for view in ["status_event", "device_current"] {
                    let sql = format!("SELECT {column} FROM {view} ORDER BY sequence LIMIT 6");
                    let found = database.texts(&sql).await;
                    let found: Vec<&str> = found.iter().flatten().map(String::as_str).collect();
                    assert_eq!(found, QUOTES, "{column} of {view} in {}", database.url());
                }
            }
            let payloads =
                "SELECT CAST(payload AS text) FROM status_event ORDER BY sequence LIMIT 6";
            let payloads = database.texts(payloads).await;
            let read = |text: &String| serde_json::from_str::<String>(text).unwrap();
            let payloads: Vec<String> = payloads.iter().flatten().map(read).collect();
            assert_eq!(payloads, QUOTES, "{}", database.url());
            let rows = 7 + more as usize;
            assert_eq!(database.count("status_event").await, rows);
            assert_eq!(database.count("device_current").await, rows);
        }
    }
}

#[tokio::test]
async fn a_payload_of_300_kilobytes_is_a_row_like_others() {
    let text = |letter: &str| format!("{{\"deviceId\":1,\"x\":\"{}\"}}", letter.repeat(100_000));
    // As ASCII, as three bytes each, and the same again.
    let payloads = [text("yyy"), text("故"), text("故")];
    for more in FEW_AND_MANY {
        let mut given = events(1..=1 + more);
        let first = 2 + more;
        given.extend(
            (first..)
                .zip(&payloads)
                .map(|(position, payload)| StatusEvent {
                    payload: raw(payload),
                    ..event(position)
                }),
        );
        given.extend(events(first + 3..=first + 4));
        for database in Database::both().await {
            let mut sink = start(database.settings(None));
            sink.open(JOURNAL).await.unwrap();
            assert_eq!(sink.attempt(batch(&given)).await, Ok(()));
            assert_eq!(database.count("status_event").await, given.len());
            let large = "SELECT CAST(payload AS text) FROM status_event \
                         WHERE length(CAST(payload AS text)) > 100000 ORDER BY sequence";
            let found = database.texts(large).await;
            let found: Vec<&String> = found.iter().flatten().collect();
            assert!(found.iter().copied().eq(&payloads), "{}", database.url());
        }
    }
}

/// `device state since until certain` of every piece, and `device state received_at` of every row.
async fn told(database: &Database) -> Vec<String> {
    let time = |column: &str| match database {
        Database::Sqlite { .. } => format!("substr({column}, 1, 19)"),
        Database::Postgres { .. } => {
            format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS')")
        }
    };
    let mut told = Vec::new();
    for sql in [
        format!(
            "SELECT device_id || ' ' || state || ' ' || {} || ' ' || coalesce({}, 'now') || \
             CASE WHEN certain THEN '' ELSE ' uncertain' END \
             FROM state_interval ORDER BY device_id, since, until IS NULL, until",
            time("since"),
            time("until")
        ),
        format!(
            "SELECT device_id || ' ' || state || ' ' || {} FROM status_event ORDER BY sequence",
            time("received_at")
        ),
        format!(
            "SELECT device_id || ' ' || state || ' since ' || {} || ' seen ' || {} \
             FROM device_current ORDER BY device_id",
            time("state_since"),
            time("last_seen")
        ),
    ] {
        told.extend(database.texts(&sql).await.into_iter().flatten());
    }
    told
}

#[tokio::test]
async fn a_clock_of_the_year_9999_or_1_and_one_that_is_set_back_leave_the_same_rows() {
    let at = |position, device: &str, state: &str, severity, time: &str| StatusEvent {
        new_state: state.to_owned(),
        severity,
        received_at: time.parse::<Timestamp>().unwrap(),
        ..status(JOURNAL, position, device, state)
    };
    use Severity::{Critical, Ok as Well};
    let given = [
        at(1, "1", "normal", Well, "2026-01-02T00:00:00Z"),
        at(2, "1", "fault", Critical, "9999-12-30T21:00:00Z"),
        at(3, "2", "normal", Well, "9999-12-30T21:00:00Z"),
        // It is set right again.
        at(4, "1", "normal", Well, "2026-01-02T01:00:00Z"),
        at(5, "2", "fault", Critical, "2026-01-02T01:00:00Z"),
        at(6, "3", "normal", Well, "2026-01-02T01:00:00Z"),
        at(7, "3", "fault", Critical, "0001-01-01T00:00:00Z"),
        at(8, "3", "normal", Well, "2026-01-02T02:00:00Z"),
        at(9, "4", "normal", Well, "0001-01-01T00:00:00Z"),
        at(10, "4", "fault", Critical, "2026-01-02T03:00:00Z"),
    ];
    let mut all = Vec::new();
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        assert_eq!(sink.attempt(batch(&given)).await, Ok(()));
        // Its days take a while, and hold nothing up.
        assert_eq!(sink.idle().await, Ok(()));
        let next = [at(11, "5", "normal", Well, "2026-01-02T04:00:00Z")];
        assert_eq!(sink.attempt(batch(&next)).await, Ok(()));
        sink.close().await;
        all.push(told(&database).await);
    }
    assert_eq!(all[0], all[1]);
    for expected in [
        "1 fault 9999-12-30T21:00:00 9999-12-30T21:00:00",
        "1 normal 9999-12-30T21:00:00 now",
        "3 fault 2026-01-02T01:00:00 2026-01-02T02:00:00",
        "4 normal 0001-01-01T00:00:00 2026-01-02T03:00:00",
        "4 fault since 2026-01-02T03:00:00 seen 2026-01-02T03:00:00",
        "5 normal 2026-01-02T04:00:00",
    ] {
        assert!(
            all[0].iter().any(|it| it == expected),
            "{expected} in {all:#?}"
        );
    }
}
