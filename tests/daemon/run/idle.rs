//! A daemon that is connected and has nothing to do: how often it wakes.

use std::collections::BTreeMap;

use peers::{Mosquitto, Receiver};

use super::*;

/// How often all threads together may wake in a second, on a busy machine too: nothing wakes more
/// often on it.
const WAKES_A_SECOND_MAX: f64 = 2.0;

/// Twice the longest of the timers that run while nothing happens.
const IDLE: Duration = Duration::from_secs(20);

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
    let before = daemon.waits();
    tokio::time::sleep(IDLE).await;
    let after = daemon.waits();
    let woken = |(thread, count): (&(String, String), &u64)| {
        let woken = count - before.get(thread).copied().unwrap_or(0);
        (thread.clone(), woken)
    };
    let woken: BTreeMap<_, u64> = after
        .iter()
        .map(woken)
        .filter(|(_, count)| *count > 0)
        .collect();
    let a_second = woken.values().sum::<u64>() as f64 / IDLE.as_secs_f64();
    assert!(
        a_second <= WAKES_A_SECOND_MAX,
        "{a_second} wakes a second: {woken:#?}"
    );
    assert!(daemon.stop().await.success());
    served.end().await;
}
