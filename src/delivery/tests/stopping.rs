//! What a sink still gets at a stop.

use std::time::Duration;

use jiff::Timestamp;

use super::{Far, Rate, Rig, Trouble};
use crate::journal::{NewBatch, NewContent, NewEntry};
use crate::model::{Coverage, CoverageCause};

/// A sink that has made an attempt, and makes the next one in an hour unless it is stopped.
async fn rig(script: impl IntoIterator<Item = Option<(usize, Trouble)>>) -> Rig {
    let far = Far {
        attempt_interval: Duration::from_secs(3600),
        batch_max: 4,
        script: script.into_iter().collect(),
        ..Far::default()
    };
    let mut rig = Rig::new(far).await;
    rig.start();
    rig.append(["ok"]).await;
    rig.until("there is an attempt", |rig| {
        !rig.fake.far().attempts.is_empty()
    })
    .await;
    rig
}

/// The source ends as it does with this cause, and then the deliveries.
async fn stop(rig: &mut Rig, cause: CoverageCause) {
    let now = Timestamp::now();
    let coverage = Coverage {
        heard: false,
        at: now,
        cause: Some(cause),
    };
    let entry = NewEntry {
        topic: "map-1".into(),
        received_at: now,
        body: serde_json::to_vec(&coverage).unwrap().into(),
        content: NewContent::Coverage,
    };
    let entries = vec![entry];
    let appended = rig.journal.log.append(NewBatch { entries });
    appended.await.unwrap();
    rig.stop().await;
}

#[tokio::test]
async fn a_history_gets_what_the_daemon_says_of_its_stop() {
    let mut rig = rig([]).await;
    rig.append(["ok"]).await;
    stop(&mut rig, CoverageCause::DaemonStopped).await;
    assert_eq!(rig.fake.far().attempts, [vec![1], vec![2, 3]]);
    assert_eq!(rig.account().await.cursor.0, 3);
}

#[tokio::test]
async fn whatever_else_waits_waits_for_the_next_start() {
    let mut other = rig([]).await;
    stop(&mut other, CoverageCause::ConnectionLost).await;
    assert_eq!(other.fake.far().attempts, [vec![1]]);
}

#[tokio::test]
async fn a_sink_in_trouble_is_left_alone_at_a_stop() {
    let trouble = Trouble::Retry {
        error: "no".to_owned(),
        after: Some(Duration::from_secs(3600)),
    };
    let mut rig = rig([Some((0, trouble))]).await;
    rig.until("it is down", |rig| !rig.health.report().up).await;
    stop(&mut rig, CoverageCause::DaemonStopped).await;
    assert_eq!(rig.fake.far().attempts, [vec![1]]);
}

#[tokio::test]
async fn a_stop_waits_for_no_rate() {
    let far = Far {
        rate: Some(Rate {
            attempts: 1,
            per: Duration::from_secs(3600),
        }),
        batch_max: 1,
        ..Far::default()
    };
    let mut rig = Rig::new(far).await;
    rig.start();
    rig.append(["ok", "ok"]).await;
    rig.until("there is an attempt", |rig| {
        rig.journal.log.status().sinks[0].cursor.0 == 1
    })
    .await;
    tokio::time::pause();
    rig.running.as_ref().expect("it runs").0.cancel();
    let has_ended = |rig: &Rig| rig.running.as_ref().is_some_and(|it| it.1.is_finished());
    rig.at_once("it ends", has_ended).await;
    tokio::time::resume();
    rig.stop().await;
    assert_eq!(rig.fake.far().attempts, [vec![1]]);
}
