//! The daemon is killed at any moment and aborted at each failpoint, again and again. No
//! acknowledged message is lost, none is in the history twice, and all is in order once it is left
//! alone.

use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::plan::{Plan, long, seed};
use crate::rig::Rig;

/// Lives of one rig, before everything has to arrive: the accountings stay small enough to be
/// looked at after each.
const LIVES: usize = 50;

/// Rigs one after another; two such rows run at a time.
fn rigs() -> usize {
    if long() { 100 } else { 2 }
}

async fn crash_loop(row: u64) {
    let seed = seed() ^ row;
    let began = Instant::now();
    let mut rng = Rng::with_seed(seed);
    let (mut lives, mut messages, mut again) = (0, 0, 0);
    for number in 0..rigs() {
        let name = format!("crash-loop-{row}-{number}");
        let mut rig = Rig::start(&name).await;
        let mut plans = Vec::new();
        for _ in 0..LIVES {
            let plan = Plan::draw(&mut rng);
            plans.push(plan.clone());
            if let Err(loss) = rig.live(&plan, &mut rng).await {
                panic!("{name}, after {plans:#?}: {loss}");
            }
            lives += 1;
        }
        if let Err(loss) = rig.heal("", Duration::from_secs(300)).await {
            panic!("{name}, healing: {loss}");
        }
        messages += rig.queue.published();
        again = again.max(rig.audit.again_max());
        eprintln!("row {row}: {lives} lives so far, {messages} messages");
    }
    eprintln!(
        "row {row}: {lives} lives, {messages} messages, none evicted, at most {again} again in one life, {:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_by_crashes_in_a_first_row() {
    crash_loop(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_by_crashes_in_a_second_row() {
    crash_loop(2).await;
}
