//! Delivery accounting that balances while sinks refuse and fail, and while the daemon is killed in
//! the middle.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::bridge::{DEVICES, Source, done, passed, positions, status, stop};
use peers::platform::assert_complete;
use peers::{Daemon, Receiver, wait};

const ROUNDS: usize = 8;
const MESSAGES: usize = 150;

#[tokio::test]
async fn accounts_balance_after_crashes_of_the_sinks_and_of_the_daemon() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    let filtered = format!(
        "type = \"webhook\"\nurl = \"{}\"\nwhen = \"device_id == '1'\"\nretry = {{ initial = \"50ms\", max = \"50ms\" }}\n",
        receiver.url()
    );
    let configuration = source
        .configuration()
        .sqlite()
        .webhook(&receiver.url())
        .table("sinks.filtered", &filtered);
    let mut daemon = Daemon::start(&configuration).await;
    let mut sent = 0;
    for round in 0..ROUNDS {
        daemon.ready().await;
        source.messages(sent..sent + MESSAGES / 2);
        // Good, rejected permanently, in trouble.
        let answer = [204, 422, 500, 204][round % 4];
        receiver.answer(answer);
        source.messages(sent + MESSAGES / 2..sent + MESSAGES);
        source.publish("no status");
        sent += MESSAGES;
        // Nothing acknowledges here: only journaled messages count.
        let received = sent + round + 1;
        wait::until("all is journaled", async || {
            (positions(&daemon).await.len() == received).then_some(())
        })
        .await;
        // At any moment of the deliveries, but not before the first refusal where there is to be
        // one.
        if answer == 422 {
            wait::until("some are refused", async || {
                let report = status(&daemon).await;
                let sinks = report["sinks"].as_array()?;
                let oncall = sinks.iter().find(|sink| sink["name"] == "oncall")?;
                (oncall["waiting"].as_i64()? > 0).then_some(())
            })
            .await;
        }
        daemon.kill();
        daemon.restart().await;
        // A third party's refusals end; what they did stays in the accounts.
        receiver.answer(204);
    }
    daemon.ready().await;
    let received = (sent + ROUNDS) as i64;
    let mut counted = Vec::new();
    for sink in ["history", "oncall", "filtered"] {
        let account = wait::until(sink, async || {
            let journaled = positions(&daemon).await.len() as i64;
            let report = status(&daemon).await;
            assert!(
                report["accounting_errors"].as_array().unwrap().is_empty(),
                "{report}"
            );
            let found = report["sinks"]
                .as_array()?
                .iter()
                .find(|found| found["name"] == sink)?
                .clone();
            (found["pending"] == 0 && journaled == received).then_some(found)
        })
        .await;
        let count = |name: &str| account[name].as_i64().unwrap();
        assert_eq!(count("undecodable"), ROUNDS as i64, "{account}");
        assert_eq!(count("dead_lettered"), count("waiting"), "{account}");
        let moved = count("cursor") - count("started") + count("rewound");
        let sum = [
            "delivered",
            "filtered",
            "undecodable",
            "dead_lettered",
            "evicted",
            "removed",
        ]
        .map(count)
        .iter()
        .sum::<i64>();
        assert_eq!(moved, sum, "{account}");
        counted.push(account);
    }
    assert_eq!(counted[0]["waiting"], 0);
    assert!(
        counted[1]["waiting"].as_i64().unwrap() > 0,
        "some were refused: {}",
        counted[1]
    );
    assert_eq!(
        counted[2]["filtered"].as_i64().unwrap(),
        // With what the daemon itself observed.
        (sent - sent / DEVICES) as i64 + counted[2]["cursor"].as_i64().unwrap() - received
    );

    for sink in ["oncall", "filtered"] {
        done(&daemon, &["dlq", "redrive", sink, "--all"]).await;
        passed(&daemon, sink, received, 0).await;
    }
    assert_complete("webhook", &receiver.delivered(), sent);
    stop(&mut daemon).await;
}

/// One device's requests are never answered: the others' are, and the accounts say so before and
/// after a stop in the middle of it.
#[tokio::test]
async fn accounts_balance_with_lanes_under_way_at_a_stop() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    let oncall = format!(
        "type = \"webhook\"\nurl = \"{}\"\ntimeout = \"60s\"\n",
        receiver.url()
    );
    let mut daemon = Daemon::start(&source.configuration().table("sinks.oncall", &oncall)).await;
    daemon.ready().await;
    receiver.silent_for(Some("2"));
    source.messages(0..MESSAGES);
    wait::until("the others are served", async || {
        (receiver.count() == MESSAGES - MESSAGES / DEVICES).then_some(())
    })
    .await;
    // The second is of device 2.
    let report = wait::until("the cursor is before it", async || {
        let report = status(&daemon).await;
        let first = positions(&daemon).await[0];
        (report["sinks"][0]["cursor"] == first).then_some(report)
    })
    .await;
    let sink = &report["sinks"][0];
    assert!(
        report["accounting_errors"].as_array().unwrap().is_empty() && sink["up"] == true,
        "{report}"
    );
    assert_eq!(sink["delivered"], 1);
    stop(&mut daemon).await;
    receiver.silent_for(None);
    daemon.restart().await;
    daemon.ready().await;
    let account = passed(&daemon, "oncall", MESSAGES as i64, 0).await;
    assert_eq!(account["delivered"], MESSAGES);
    stop(&mut daemon).await;
    assert_complete("webhook", &receiver.delivered(), MESSAGES);
    let twice = receiver.count() - MESSAGES;
    assert!(
        twice < MESSAGES - MESSAGES / DEVICES,
        "{twice}: what was beyond the cursor, and no more"
    );
}

/// What a mistake of ours would look like: an entry too many, one too few, and one that is dead-
/// lettered nowhere.
#[tokio::test]
async fn accounts_that_do_not_balance_are_an_error_in_the_log_and_in_the_metrics() {
    let source = Source::start().await;
    let mut daemon = Daemon::start(&source.configuration().sqlite()).await;
    daemon.ready().await;
    daemon
        .logged("it delivers", |line| {
            line.contains("sink is up") && line.contains("history")
        })
        .await;
    source.messages(0..5);
    passed(&daemon, "history", 5, 0).await;
    stop(&mut daemon).await;
    for (mistake, mended) in [
        ("delivered = delivered + 1", "delivered = delivered - 1"),
        ("position = position - 1", "position = position + 1"),
        (
            "delivered = delivered - 1, dead_lettered = 1",
            "delivered = delivered + 1, dead_lettered = 0",
        ),
    ] {
        write(&daemon, mistake).await;
        daemon.restart().await;
        daemon
            .logged(mistake, |line| {
                line.contains("delivery accounting does not balance") && line.contains("history")
            })
            .await;
        let (_, metrics) = daemon.get("/metrics").await.unwrap();
        assert!(
            metrics.contains("stomp_bridge_accounting_errors 1"),
            "{metrics}"
        );
        assert_eq!(
            status(&daemon).await["accounting_errors"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        daemon.kill();
        write(&daemon, mended).await;
    }
    daemon.restart().await;
    daemon.ready().await;
    stop(&mut daemon).await;
}

async fn write(daemon: &Daemon, change: &str) {
    let path = daemon.folder().join("journal.db");
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .unwrap();
    let text = format!("UPDATE cursor SET {change} WHERE sink = 'history'");
    assert_eq!(
        sqlx::raw_sql(sqlx::AssertSqlSafe(text))
            .execute(&mut connection)
            .await
            .unwrap()
            .rows_affected(),
        1
    );
    connection.close().await.unwrap();
}
