//! What was committed when the daemon died, and acknowledged by nobody, comes again: it must be a
//! repeat then, although the last states on disk did not know of it.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use stomp_bridge::faults::Failpoint;

use crate::rig::Rig;
use peers::wait;

/// The commit after which each life ends.
const COMMITS: [u64; 4] = [1, 2, 3, 5];

/// The numbers of the messages in the log, in order, and whether each is a repeat.
async fn logged(rig: &Rig) -> Vec<(i64, bool)> {
    let options = SqliteConnectOptions::new()
        .filename(rig.ends.data.join("journal.db"))
        .read_only(true);
    let mut journal = options.connect().await.expect("open the journal");
    sqlx::query_as(
        "SELECT json_extract(body, '$.n'), repeat IS NOT NULL FROM entry \
         WHERE kind = 'status' ORDER BY position",
    )
    .fetch_all(&mut journal)
    .await
    .expect("read the log")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_before_a_crash_is_a_repeat_when_it_comes_again() {
    let mut rig = Rig::start_and_keep("redelivered", "1h").await;
    for commits in COMMITS {
        rig.publish(10).await;
        let place = Failpoint::AfterCommit.name();
        let mut process = rig.launch(&format!("abort {place} {commits}"));
        let lived = wait::until("the end of the daemon", async || {
            rig.publish(1).await;
            (!process.runs()).then_some(())
        });
        lived.await;
    }
    rig.heal("", Duration::from_secs(300))
        .await
        .unwrap_or_else(|loss| panic!("{loss}"));
    let logged = logged(&rig).await;
    let mut seen = BTreeSet::new();
    let mut repeats = 0;
    for (number, repeat) in logged {
        assert_eq!(
            !seen.insert(number),
            repeat,
            "message {number}: a repeat is what was there before"
        );
        repeats += usize::from(repeat);
    }
    assert_eq!(seen.len(), rig.queue.published());
    assert!(repeats >= COMMITS.len(), "only {repeats} came again");
}
