//! A disk on which a sync or a write fails, in any of the daemon's threads. The daemon ends, or
//! goes on without that write, and acknowledges nothing that is not on disk.
//! `tests/faults/journal_crash.rs` does the same to the journal alone, call by call.

use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::plan::{long, seed};
use crate::rig::{DAEMON, Rig};
use peers::process::tethered;
use peers::wait;

/// How often something is published in one round, and how many milliseconds apart.
const PUBLISHES: usize = 60;

/// How long to wait for a daemon that has acknowledged little.
const ROUND_MAX: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn failing_disk_loses_nothing_that_was_acknowledged() {
    let mut rng = Rng::with_seed(seed());
    let mut rig = Rig::start("disk-fails").await;
    let rounds = if long() { 300 } else { 8 };
    let mut ended = 0;
    for round in 0..rounds {
        let call = if round % 2 == 0 {
            "fdatasync"
        } else {
            "pwrite64"
        };
        let first = rng.u32(if round % 2 == 0 { 1..30 } else { 20..400 });
        // From then on, or once.
        let mode = if rng.bool() { "+" } else { "" };
        let injection = format!("inject={call}:error=EIO:when={first}{mode}");
        let mut strace = tethered("strace");
        strace.args([
            "-f",
            "-qq",
            "--seccomp-bpf",
            "-o",
            "/dev/null",
            "-e",
            &injection,
            DAEMON,
        ]);
        let mut process = rig.launch_by(strace, "");
        let (began, before) = (Instant::now(), rig.queue.acknowledged().len());
        let mut publishes = 0;
        // On a busy machine strace takes its time before there is anything to fail.
        let done = |rig: &Rig| rig.queue.acknowledged().len() > before + PUBLISHES;
        while publishes < PUBLISHES || (!done(&rig) && began.elapsed() < ROUND_MAX) {
            publishes += 1;
            if publishes <= PUBLISHES {
                rig.publish(rng.usize(1..20)).await;
            }
            // The daemon's own end is one of the outcomes; where it lives on, it is killed.
            if wait::within(Duration::from_millis(10), async || {
                (!process.runs()).then_some(())
            })
            .await
            .is_some()
            {
                ended += 1;
                break;
            }
        }
        process.kill();
        let outcome = rig.check().await;
        outcome.unwrap_or_else(|loss| {
            panic!("round {round}, {injection}: {loss}\n{}", process.log_tail())
        });
    }
    assert!(
        ended > 0,
        "in no round did the daemon end by itself: nothing was shown"
    );
    rig.heal("", Duration::from_secs(300))
        .await
        .unwrap_or_else(|loss| panic!("healing: {loss}"));
    eprintln!(
        "{rounds} failing disks, {ended} ended the daemon, {} messages, none lost",
        rig.queue.published()
    );
}
