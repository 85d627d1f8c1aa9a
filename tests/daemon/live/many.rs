//! Hundreds of topics of one table on one connection.

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::lab::lab;
use peers::{Configuration, Daemon, Stomp, wait};

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
    assert!(daemon.stop().await.success());
}
