//! Sinks that are added and removed: where a new one begins, and the entries kept for a removed
//! one.

use serde_json::Value;

use super::bridge::{Source, cli, done, observed, passed, positions, status, stop, text};
use peers::{Daemon, Receiver, wait};

#[tokio::test]
async fn new_sink_begins_where_it_is_told_and_one_that_left_holds_on_until_it_is_forgotten() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    let mut daemon = Daemon::start(&source.configuration().webhook(&receiver.url())).await;
    daemon.ready().await;
    source.messages(0..3);
    passed(&daemon, "oncall", 3, 0).await;
    let refused = cli(&daemon, &["sinks", "forget", "oncall"]).await;
    assert!(
        text(&refused.stderr).contains("is in the configuration"),
        "{}",
        text(&refused.stderr)
    );
    stop(&mut daemon).await;

    let webhook = |start: &str| {
        format!(
            "type = \"webhook\"\nurl = \"{}\"\nstart = \"{start}\"\n",
            receiver.url()
        )
    };
    let configuration = source.configuration().table("sinks.fresh", &webhook("now"));
    configuration
        .table("sinks.whole", &webhook("oldest"))
        .sqlite()
        .write(daemon.folder());
    daemon.restart().await;
    daemon
        .logged("a warning", |line| line.contains("sinks forget oncall"))
        .await;
    daemon.ready().await;
    source.messages(3..4);
    let all = 4 + observed(&daemon).await;
    for (sink, before, delivered) in [("fresh", 3, 1), ("whole", 0, 4), ("history", 0, all)] {
        let account = passed(&daemon, sink, 4, 0).await;
        assert_eq!(
            (
                received_until(&daemon, &account["started"]).await,
                &account["delivered"]
            ),
            (before, &delivered.into()),
            "{sink}"
        );
    }
    let left = status(&daemon).await["sinks"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(
        (&left["name"], &left["configured"]),
        (&"oncall".into(), &false.into())
    );
    assert_eq!(received_until(&daemon, &left["cursor"]).await, 3);
    done(&daemon, &["sinks", "forget", "oncall"]).await;
    let names = status(&daemon).await["sinks"].as_array().unwrap().len();
    assert_eq!(names, 3);
    assert!(
        !cli(&daemon, &["sinks", "forget", "oncall"])
            .await
            .status
            .success()
    );
    wait::until("all were delivered", async || {
        (receiver.count() == 3 + 1 + 4).then_some(())
    })
    .await;
    stop(&mut daemon).await;
}

/// How much the journal had received at a position.
async fn received_until(daemon: &Daemon, position: &Value) -> usize {
    let position = position.as_i64().unwrap();
    let received = positions(daemon).await.into_iter();
    received.take_while(|at| *at <= position).count()
}

/// Two in an hour: the rest stays in the journal, and a new process may send two more. How long a stop
/// waits for it is held in simulated time (`a_stop_waits_for_no_rate`).
#[tokio::test]
async fn a_rate_holds_no_stop_and_what_is_omitted_reaches_nobody() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    let url = format!("{}?d={{{{ device_id }}}}", receiver.url());
    let lines = "rate = \"2/1h\"\nomit = [\"payload\", \"serial\"]\nsuccess = { status = 204 }\n";
    let configuration = source.configuration().webhook_with(&url, lines);
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    source.messages(0..5);
    for sent in [2, 4, 5] {
        wait::until("as many as the rate allows", async || {
            (receiver.count() >= sent).then_some(())
        })
        .await;
        let report = status(&daemon).await;
        assert_eq!(report["sinks"][0]["up"], true, "{report}");
        stop(&mut daemon).await;
        assert_eq!(receiver.count(), sent);
        if sent < 5 {
            daemon.restart().await;
        }
    }
    for body in receiver.bodies() {
        let event: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&event["payload"], &event["serial"]),
            (&Value::Null, &Value::Null)
        );
        assert!(event["device_id"].is_string(), "{event}");
    }
}

#[tokio::test]
async fn status_without_a_daemon_says_what_to_do() {
    let source = Source::start().await;
    let mut daemon = Daemon::start(&source.configuration().sqlite()).await;
    let said = cli(&daemon, &["status"]).await;
    assert!(text(&said.stdout).contains("history"));
    daemon.kill();
    let refused = cli(&daemon, &["status"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let says = text(&refused.stderr);
    assert!(
        says.contains("no stomp-bridge runs on the journal") && says.contains("stomp-bridge run"),
        "{says}"
    );
}
