//! A daemon that is connected and has nothing to do: how often it wakes.

use std::collections::BTreeMap;
use std::time::Instant;

use peers::{Mosquitto, Receiver};

use super::*;

/// How often all threads together may wake in a second.
const WAKES_A_SECOND_MAX: f64 = 2.0;

/// Twice the longest of the timers that run while nothing happens.
const IDLE: Duration = Duration::from_secs(20);

/// What wakes a daemon by itself does so in each of these times. What a busy machine adds, threads that
/// wait for each other and for its disk, is less in one of them.
const TIMES: usize = 4;

#[tokio::test]
async fn an_idle_daemon_hardly_wakes() {
    let served = serve(0).await;
    let broker = Mosquitto::start().await;
    let receiver = Receiver::start().await;
    let configuration = configuration(&served.url)
        .mqtt(&broker.url(), "idle")
        .webhook(&receiver.url());
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    served.publish(1);
    wait::until("delivered", async || {
        let delivered = metric(&daemon, "stomp_bridge_sink_delivered_total{sink=\"site\"}").await?;
        (delivered == 1.0).then_some(())
    })
    .await;
    // What the start and the message have left to be done.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut seen = Vec::new();
    while seen.len() < TIMES {
        let (began, woken) = (Instant::now(), woken(&daemon).await);
        let a_second = woken.values().sum::<u64>() as f64 / began.elapsed().as_secs_f64();
        seen.push((a_second, woken));
        if a_second <= WAKES_A_SECOND_MAX {
            break;
        }
    }
    let is_idle = |(a_second, _): &(f64, _)| *a_second <= WAKES_A_SECOND_MAX;
    assert!(seen.iter().any(is_idle), "wakes a second: {seen:#?}");
    assert!(daemon.stop().await.success());
    served.end().await;
}

/// How often each thread wakes in a time.
async fn woken(daemon: &Daemon) -> BTreeMap<(String, String), u64> {
    let before = daemon.waits();
    tokio::time::sleep(IDLE).await;
    let woken = daemon.waits().into_iter().map(|(thread, count)| {
        let count = count - before.get(&thread).copied().unwrap_or(0);
        (thread, count)
    });
    woken.filter(|(_, count)| *count > 0).collect()
}
