//! Hundreds of topics of one table on one connection.

use jiff::Timestamp;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::lab::lab;
use peers::{Configuration, Daemon, Stomp, wait};
use stomp_bridge::model::{Coverage, CoverageCause};

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_topics_of_one_table_are_subscribed_on_one_connection() {
    let lab = lab().await;
    let table = "destination = \"/topic/many.{{ client }}\"\nack = \"client-individual\"\nfor = { client = \"1..500\" }\n";
    let configuration = Configuration::new(&lab.rabbitmq.stomp_url())
        .table("topics.map", table)
        .sqlite();
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    let mut publisher = Stomp::connect(lab.rabbitmq.stomp_port()).await;
    for client in 1..=500 {
        let body =
            format!(r#"{{"clientId":{client},"deviceId":1,"oldState":"正常","newState":"故障"}}"#);
        publisher
            .publish(&format!("/topic/many.{client}"), [body])
            .await;
    }
    let options = SqliteConnectOptions::new()
        .filename(daemon.folder().join("history.db"))
        .read_only(true);
    let mut history = options.connect().await.expect("open the history");
    wait::until("every topic's message is in the history", async || {
        let query = "select count(*) from status_event where topic = 'map-' || client_id";
        let count: i64 = sqlx::query_scalar(query)
            .fetch_one(&mut history)
            .await
            .ok()?;
        (count == 500).then_some(())
    })
    .await;
    daemon.kill();
    let killed_at = Timestamp::now();
    daemon.restart().await;
    daemon.ready().await;
    was_down(&daemon, killed_at).await;
    assert!(daemon.stop().await.success());
}

/// Each topic began to be heard, ceased with the last proof before the kill, and began again.
async fn was_down(daemon: &Daemon, killed_at: Timestamp) {
    let options = SqliteConnectOptions::new()
        .filename(daemon.folder().join("journal.db"))
        .read_only(true);
    let mut journal = options.connect().await.expect("open the journal");
    let bodies = wait::until("every topic is heard again", async || {
        let query = "select body from entry where kind = 'coverage' order by position";
        let bodies: Vec<Vec<u8>> = sqlx::query_scalar(query)
            .fetch_all(&mut journal)
            .await
            .ok()?;
        (bodies.len() == 1500).then_some(bodies)
    })
    .await;
    let coverage = |body: &Vec<u8>| serde_json::from_slice::<Coverage>(body).expect("coverage");
    let coverage: Vec<Coverage> = bodies.iter().map(coverage).collect();
    let (last_message, topics): (i64, i64) = sqlx::query_as(
        "select max(received_at), (select count(distinct topic) from entry where kind = 'coverage') \
         from entry where kind = 'status'",
    )
    .fetch_one(&mut journal)
    .await
    .expect("read the journal");
    assert_eq!(topics, 500);
    let last_message = Timestamp::from_microsecond(last_message).expect("a time");
    for down in &coverage[500..1000] {
        assert_eq!(down.cause, Some(CoverageCause::DaemonDown));
        assert!(last_message <= down.at && down.at <= killed_at, "{down:?}");
    }
    let heard = |coverage: &Coverage| coverage.heard && coverage.cause.is_none();
    assert!(coverage[..500].iter().all(heard) && coverage[1000..].iter().all(heard));
    let log = daemon.log();
    let again: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("heard again"))
        .collect();
    assert!(
        again.len() == 1 && again[0].contains("and 495 more") && again[0].contains("daemon_down"),
        "{again:?}"
    );
}
