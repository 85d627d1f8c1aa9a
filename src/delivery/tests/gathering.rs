//! What comes soon after an attempt waits for more to go with it.

use std::time::Duration;

use tokio::time;

use super::{Far, Rig};

/// No test lasts as long, but for those that move the clock.
const INTERVAL: Duration = Duration::from_secs(3600);

/// A sink with this interval that has just made its first attempt, at once.
async fn rig(batch_max: usize) -> Rig {
    let far = Far {
        attempt_interval: INTERVAL,
        batch_max,
        ..Far::default()
    };
    let mut rig = Rig::new(far).await;
    rig.start();
    rig.append(["ok"]).await;
    until_attempts(&rig, &[&[1]]).await;
    rig
}

async fn until_attempts(rig: &Rig, expected: &[&[i64]]) {
    rig.until("the attempts are made", |rig| {
        rig.fake.far().attempts.len() == expected.len()
    })
    .await;
    assert_eq!(rig.fake.far().attempts, expected);
}

/// Moves the clock.
async fn pass_the_interval() {
    time::pause();
    time::advance(INTERVAL).await;
    time::resume();
}

#[tokio::test]
async fn what_comes_soon_after_an_attempt_goes_together() {
    let mut rig = rig(1000).await;
    for body in ["ok", "filtered", "ok"] {
        rig.append([body]).await;
        // It would have been delivered by then.
        rig.account().await;
        assert_eq!(rig.fake.far().attempts.len(), 1);
    }
    pass_the_interval().await;
    until_attempts(&rig, &[&[1], &[2, 4]]).await;
    rig.until_done().await;

    pass_the_interval().await;
    rig.append(["ok"]).await;
    until_attempts(&rig, &[&[1], &[2, 4], &[5]]).await;
    rig.stop().await;
}

#[tokio::test]
async fn full_batch_waits_for_nothing() {
    let mut rig = rig(3).await;
    rig.append(["ok"; 7]).await;
    until_attempts(&rig, &[&[1], &[2, 3, 4], &[5, 6, 7]]).await;
    rig.until("the second is confirmed", |rig| rig.counted()[0] == 7)
        .await;
    rig.stop().await;
    let attempts = rig.fake.far().attempts.len();
    assert_eq!(attempts, 3, "the eighth is left to the next start");
}
