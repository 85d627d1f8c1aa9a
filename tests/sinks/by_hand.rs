//! What a person has done to the tables of a history by hand, beside the daemon that writes it.

use stomp_bridge::sinks::{Batch, Sink};

use crate::events::{JOURNAL, batch, start, status};
use crate::history::Database;
use crate::intervals::{Step, Story, holds};

/// Gives these steps to a history, but for its restarts.
async fn give(sink: &mut dyn Sink, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Given(reason, events) => {
                let reason = *reason;
                let given = Batch {
                    reason,
                    ..batch(events)
                };
                sink.attempt(given).await.unwrap();
            }
            Step::Restart => {}
            Step::Idle => sink.idle().await.unwrap(),
        }
    }
}

#[tokio::test]
async fn devices_whose_rows_are_deleted_go_on_as_if_nothing_had_happened() {
    const MISSING: &str = "event AS e WHERE NOT EXISTS \
        (SELECT 1 FROM device_row AS d WHERE d.device_key = e.device_key)";
    for seed in 200..204 {
        let steps = Story::told(seed);
        let (before, after) = steps.split_at(steps.len() / 2);
        let mut told = Vec::new();
        for database in Database::both().await {
            let mut sink = start(database.settings(None));
            sink.open(JOURNAL).await.unwrap();
            give(&mut *sink, before).await;
            database.execute("DELETE FROM device_row").await;
            assert!(database.count(MISSING).await > 0, "seed {seed}");
            give(&mut *sink, after).await;
            assert_eq!(database.count(MISSING).await, 0, "seed {seed}");
            sink.close().await;
            told.push(holds(&database, seed).await);
        }
        assert_eq!(told[0], told[1], "seed {seed}");
    }
}

#[tokio::test]
async fn a_new_device_gets_nothing_of_one_whose_row_was_deleted() {
    for database in Database::both().await {
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        let events = [
            status(JOURNAL, 1, "1", "normal"),
            status(JOURNAL, 2, "2", "normal"),
            status(JOURNAL, 3, "2", "fault"),
        ];
        sink.attempt(batch(&events)).await.unwrap();
        sink.close().await;
        database
            .execute("DELETE FROM device_row WHERE device_id = '2'")
            .await;

        // Nobody knows it any longer.
        let mut sink = start(database.settings(None));
        sink.open(JOURNAL).await.unwrap();
        let events = [
            status(JOURNAL, 4, "3", "normal"),
            status(JOURNAL, 5, "2", "normal"),
        ];
        sink.attempt(batch(&events)).await.unwrap();
        for device in ["1", "2", "3"] {
            for view in ["status_event", "state_interval", "device_current"] {
                let of = format!("{view} WHERE device_id = '{device}'");
                assert_eq!(database.count(&of).await, 1, "{of} in {}", database.url());
            }
        }
        sink.close().await;
    }
}
