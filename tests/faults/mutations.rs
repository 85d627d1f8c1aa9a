//! Ten mutations that the daemon makes on purpose. The audit must find each of them; in a daemon
//! without them the same audit finds nothing.

use std::time::Duration;

use fastrand::Rng;
use stomp_bridge::faults::{Failpoint, Mutation};

use crate::plan::{End, Plan, seed};
use crate::rig::Rig;

/// A mutation that is not found in this many lives is not found.
const LIVES_MAX: usize = 60;

/// Draws lives in which the mutation can matter, and tells how many it took to find it.
async fn check(mutation: Mutation) {
    let mut rng = Rng::with_seed(seed());
    let mut rig = Rig::start(mutation.name()).await;
    for life in 1..=LIVES_MAX {
        let plan = Plan {
            mutation: Some(mutation),
            ..plan(mutation, &mut rng)
        };
        let before = rig.audit.arrived();
        if let Err(found) = rig.live(&plan, &mut rng).await {
            let found = found.lines().next().unwrap_or_default();
            return eprintln!("{}: found in life {life}: {found}", mutation.name());
        }
        // A life in which nothing arrived everywhere was too short for any mutation.
        if rig.audit.arrived() == before {
            rig.slow_down();
        }
    }
    panic!("{} was not found in {LIVES_MAX} lives", mutation.name());
}

/// A life of the crash loop; where the mutation needs a certain moment, mostly one that ends there.
fn plan(mutation: Mutation, rng: &mut Rng) -> Plan {
    let plan = Plan {
        flow: true,
        ..Plan::draw(rng)
    };
    let abort = |place, count: u64| Plan {
        end: End::Abort(place, count),
        ..plan.clone()
    };
    match mutation {
        Mutation::AckBeforeCommit => abort(Failpoint::BeforeCommit, rng.u64(2..12)),
        Mutation::AckOfAnother => abort(Failpoint::AckWritten, rng.u64(2..12)),
        Mutation::CursorBeforeDelivery => abort(Failpoint::BeforeDeliver, rng.u64(4..12)),
        Mutation::SkipAfterRetry | Mutation::DropBatchOnReconnect => Plan {
            end: End::Kill(Duration::from_millis(900)),
            trouble: Duration::from_millis(300),
            ..plan
        },
        // The log must have time to become empty.
        Mutation::ReusePositions => Plan {
            // Delivered entries are removed once a second.
            end: End::Kill(Duration::from_millis(2500)),
            burst: 10,
            flow: false,
            ..plan
        },
        _ => Plan {
            end: End::Kill(Duration::from_millis(rng.u64(300..900))),
            ..plan
        },
    }
}

macro_rules! found {
    ($($test:ident: $mutation:ident,)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            check(Mutation::$mutation).await;
        })*

        /// The control of the power cut looks for it: a kill alone loses nothing that was written.
        const ELSEWHERE: [Mutation; 1] = [Mutation::CommitWithoutSync];

        #[test]
        fn every_mutation_has_a_test() {
            let tested = [$(Mutation::$mutation),*];
            assert!(Mutation::ALL.iter().all(|mutation| tested.contains(mutation) || ELSEWHERE.contains(mutation)));
        }
    };
}

found! {
    ack_before_the_commit_is_found: AckBeforeCommit,
    ack_of_another_message_is_found: AckOfAnother,
    cursor_before_the_delivery_is_found: CursorBeforeDelivery,
    entry_skipped_after_a_retry_is_found: SkipAfterRetry,
    batch_dropped_on_reconnect_is_found: DropBatchOnReconnect,
    lost_half_of_a_bisected_batch_is_found: LoseBisectHalf,
    forgotten_dead_letter_is_found: ForgetDeadLetter,
    entries_collected_early_are_found: CollectEarly,
    reused_positions_are_found: ReusePositions,
}
