//! What both SQL histories make of snapshots.

use stomp_bridge::model::{CoverageCause, Event, Severity, StatusEvent, Via};

use crate::events::{JOURNAL, batch, coverage, start, status};
use crate::history::Database;

/// Of one day.
fn heard(position: i64, time: &str, cause: Option<CoverageCause>) -> Event {
    let at = format!("2026-01-02T{time}:00Z");
    coverage(JOURNAL, position, "map-1", &at, cause).into()
}

fn said(position: i64, time: &str, device: &str, state: &str, severity: Severity) -> StatusEvent {
    StatusEvent {
        new_state: state.to_owned(),
        severity,
        received_at: format!("2026-01-02T{time}:00Z").parse().unwrap(),
        ..status(JOURNAL, position, device, state)
    }
}

/// A status of a snapshot, which says nothing of the place.
fn snapshot(status: StatusEvent) -> StatusEvent {
    StatusEvent {
        via: Via::Resync,
        old_state: None,
        serial: None,
        place: Default::default(),
        changed: false,
        missed_transition: false,
        ..status
    }
}

/// `device state since until certain` of every piece.
async fn pieces(database: &Database) -> Vec<String> {
    let time = |column: &str| match database {
        Database::Sqlite { .. } => format!("strftime('%H:%M', {column})"),
        Database::Postgres { .. } => format!("to_char({column} AT TIME ZONE 'UTC', 'HH24:MI')"),
    };
    let sql = format!(
        "SELECT device_id || ' ' || state || ' ' || {} || ' ' || coalesce({}, 'now') || ' ' \
         || CASE WHEN certain THEN 'certain' ELSE coalesce(cause, 'uncertain') END \
         FROM state_interval ORDER BY device_id, since",
        time("since"),
        time("until")
    );
    let rows = database.texts(&sql).await;
    rows.into_iter().flatten().collect()
}

#[tokio::test]
async fn two_snapshots_of_a_quiet_link_tell_how_long_a_fault_lasted() {
    use Severity::{Critical, Ok};
    let events: Vec<Event> = vec![
        heard(1, "00:00", None),
        snapshot(said(2, "00:01", "1", "normal", Ok)).into(),
        snapshot(said(3, "00:02", "1", "fault", Critical)).into(),
        snapshot(said(4, "00:03", "1", "normal", Ok)).into(),
        // The link is lost, and the gap begins with the newest snapshot.
        heard(5, "00:03", Some(CoverageCause::ConnectionLost)),
    ];
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&events)).await.unwrap();
        assert_eq!(
            pieces(&database).await,
            [
                "1 normal 00:01 00:02 certain",
                "1 fault 00:02 00:03 certain",
                "1 normal 00:03 now connection_lost",
            ],
            "{}",
            database.url()
        );
        let episode = "fault_episode WHERE seconds = 60 AND certain AND uncertain_seconds = 0";
        assert_eq!(database.count(episode).await, 1, "{}", database.url());
    }
}

#[tokio::test]
async fn a_snapshot_ends_the_uncertainty_of_the_devices_that_it_has() {
    use Severity::{Critical, Ok};
    let before: Vec<Event> = vec![
        heard(1, "00:00", None),
        said(2, "01:00", "1", "fault", Critical).into(),
        said(3, "01:00", "2", "fault", Critical).into(),
        said(4, "01:00", "3", "fault", Critical).into(),
        heard(5, "02:00", Some(CoverageCause::ConnectionLost)),
        heard(6, "03:00", None),
    ];
    let after: Vec<Event> = vec![
        snapshot(said(7, "03:00", "1", "fault", Critical)).into(),
        snapshot(said(8, "03:00", "3", "normal", Ok)).into(),
    ];
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        sink.attempt(batch(&before)).await.unwrap();
        let certain = "device_current WHERE certain";
        assert_eq!(database.count(certain).await, 0, "{}", database.url());
        sink.attempt(batch(&after)).await.unwrap();
        // By a crash between the commit and its answer.
        sink.attempt(batch(&after)).await.unwrap();
        assert_eq!(
            pieces(&database).await,
            [
                "1 fault 01:00 02:00 certain",
                "1 fault 02:00 03:00 connection_lost",
                "1 fault 03:00 now certain",
                "2 fault 01:00 02:00 certain",
                "2 fault 02:00 now connection_lost",
                "3 fault 01:00 02:00 certain",
                "3 fault 02:00 03:00 connection_lost",
                "3 normal 03:00 now certain",
            ],
            "{}",
            database.url()
        );
        let episodes = "fault_episode WHERE device_id = '1' AND until IS NULL";
        assert_eq!(
            database.count(episodes).await,
            1,
            "it is one fault all along"
        );
        let resynced = "status_event WHERE via = 'resync' AND NOT missed_transition";
        assert_eq!(database.count(resynced).await, 2);
        assert_eq!(database.count("status_event WHERE via = 'live'").await, 3);
        let placed = "device_current WHERE city = '盐城市' AND serial IS NOT NULL";
        assert_eq!(
            database.count(placed).await,
            3,
            "a snapshot takes no place away"
        );
        // The next gap makes it uncertain again.
        let gap = heard(9, "05:00", Some(CoverageCause::Silent));
        sink.attempt(batch(&[gap])).await.unwrap();
        assert_eq!(database.count(certain).await, 0, "{}", database.url());
        let uncertain = "fault_episode WHERE NOT certain AND uncertain_seconds > 0";
        assert_eq!(database.count(uncertain).await, 3, "{}", database.url());
    }
}
