//! A wall clock that jumps by an hour and by ten years, ahead and back, while the daemon runs and
//! before it starts. Everything is delivered, and the jump deletes no entry too early.
//!
//! libfaketime gives the daemon, and nobody else, another CLOCK_REALTIME. The monotonic clock goes
//! on as it is, as it does on a machine whose time is set.

use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::audit::{HISTORY, MQTT, SINKS, WAREHOUSE};
use crate::rig::{DAEMON, Keys, Rig};
use peers::process::{Process, tethered};
use peers::{Clock, RabbitMq, wait};

/// Messages of each leg: every device reports.
const LEG: usize = 40;

const HOUR: i64 = 3600;
const TEN_YEARS: i64 = 10 * 365 * 24 * HOUR;

fn daemon(clock: &Clock) -> Command {
    let mut command = tethered(DAEMON);
    command.envs(clock.environment());
    command
}

/// Sets the clock, waits until the daemon's requests show it, and until everything has arrived
/// everywhere.
async fn leg(rig: &mut Rig, process: &mut Process, clock: &Clock, ahead: i64) {
    clock.set(ahead);
    let seen = wait::within(wait::LONG, async || {
        rig.publish(1).await;
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("it is after 1970")
            .as_secs();
        ((rig.ends.receiver.timestamp() - now as i64 - ahead).abs() < HOUR / 2).then_some(())
    });
    assert!(
        seen.await.is_some(),
        "the daemon does not see a clock that is {ahead} s ahead\n{}",
        process.log_tail()
    );
    rig.publish(LEG).await;
    rig.arrive(process, &SINKS).await;
}

async fn start(rig: &Rig, clock: &Clock) -> Process {
    let mut process = rig.launch_by(daemon(clock), "");
    process
        .logged("\"live\"", |line| line.contains("\"message\":\"live\""))
        .await;
    process
}

async fn stop(mut process: Process) {
    process.signal(Signal::TERM);
    let status = process.ended(wait::LONG).await;
    assert_eq!(status.code(), Some(0), "{}", process.log_tail());
    let log = process.log();
    // Neither side has missed a heart-beat of the other's.
    assert!(
        !log.contains("\"not connected\"") && !log.contains("does not balance"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_that_jumps_loses_nothing_and_deletes_nothing() {
    let rabbitmq = RabbitMq::start().await;
    let keys = Keys {
        keep: "7d",
        source: "heartbeat = \"2s\"",
    };
    let mut rig = Rig::with_rabbitmq_and("clock", &rabbitmq, keys).await;
    let clock = Clock::right();

    let mut process = start(&rig, &clock).await;
    for ahead in [HOUR, 0, -HOUR, 0] {
        leg(&mut rig, &mut process, &clock, ahead).await;
    }
    // What one sink has not got yet will look ten years old, too.
    rig.ends.receiver.answer(503);
    rig.publish(LEG).await;
    rig.arrive(&mut process, &[HISTORY, WAREHOUSE, MQTT]).await;
    stop(process).await;

    let mut process = start(&rig, &clock).await;
    clock.set(TEN_YEARS);
    rig.publish(LEG).await;
    // The first delivery to a history brings its first round of retention.
    for history in [HISTORY, WAREHOUSE] {
        process
            .logged("\"far ahead\"", |line| {
                line.contains("far ahead") && line.contains(history)
            })
            .await;
    }
    rig.arrive(&mut process, &[HISTORY, WAREHOUSE, MQTT]).await;
    rig.ends.receiver.answer(204);
    rig.arrive(&mut process, &SINKS).await;
    for ahead in [TEN_YEARS, 0] {
        leg(&mut rig, &mut process, &clock, ahead).await;
    }
    stop(process).await;

    // A machine whose clock is wrong when it starts.
    clock.set(TEN_YEARS);
    let mut process = start(&rig, &clock).await;
    leg(&mut rig, &mut process, &clock, TEN_YEARS).await;
    for ahead in [0, -TEN_YEARS] {
        leg(&mut rig, &mut process, &clock, ahead).await;
    }
    stop(process).await;
    let mut process = start(&rig, &clock).await;
    leg(&mut rig, &mut process, &clock, -TEN_YEARS).await;
    stop(process).await;

    // Now it is right, and far ahead of the newest row.
    rig.heal("", Duration::from_secs(300))
        .await
        .unwrap_or_else(|loss| panic!("{loss}"));
    // All of it is younger than `keep`, however old the clock made it look.
    assert_eq!(rig.audit.kept(&rig.ends).await, rig.queue.published());
}
