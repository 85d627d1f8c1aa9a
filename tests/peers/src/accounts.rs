//! The daemon's delivery accounting as `/status` has it, added up again.

use serde_json::Value;

use super::{Daemon, wait};

/// What `/status` says; `None` where nothing answers.
pub async fn report(daemon: &Daemon) -> Option<Value> {
    let (_, body) = daemon.get("/status").await?;
    serde_json::from_str(&body).ok()
}

/// Waits until nothing is pending. Panics unless received = journaled + undecodable + evicted, and
/// for each sink journaled = delivered + filtered + dead-lettered.
pub async fn balance(daemon: &Daemon) {
    let mut last = Value::Null;
    let settled = wait::within(wait::LONG, async || {
        last = report(daemon).await?;
        let sinks = last["sinks"].as_array()?;
        (last["intake"]["waiting"] == 0 && sinks.iter().all(|sink| sink["pending"] == 0))
            .then_some(())
    });
    let settled = settled.await;
    assert!(settled.is_some(), "something is pending still: {last:#}");
    let number = |value: &Value| {
        value
            .as_i64()
            .unwrap_or_else(|| panic!("{value} is no number in {last:#}"))
    };
    let intake = |name: &str| number(&last["intake"][name]);
    assert_eq!(
        intake("received"),
        intake("accepted") + intake("undecodable"),
        "{last:#}"
    );
    let head = number(&last["journal"]["head"]);
    for sink in last["sinks"].as_array().expect("there are sinks") {
        let count = |name: &str| number(&sink[name]);
        let outcomes = [
            "delivered",
            "filtered",
            "undecodable",
            "dead_lettered",
            "evicted",
            "removed",
        ]
        .map(count);
        assert_eq!(
            head - count("started") + count("rewound"),
            outcomes.iter().sum::<i64>(),
            "{last:#}"
        );
        assert_eq!(
            count("dead_lettered"),
            count("waiting") + count("redriven") + count("discarded"),
            "{last:#}"
        );
    }
    assert_eq!(
        last["accounting_errors"].as_array().map(Vec::len),
        Some(0),
        "{last:#}"
    );
    let metrics = daemon.get("/metrics").await.expect("the daemon answers").1;
    assert!(
        metrics.contains("\nstomp_bridge_accounting_errors 0\n"),
        "{metrics}"
    );
}
