//! Reloads under load, with RabbitMQ: topics come and go on one connection, and every message of
//! every topic arrives.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::task::JoinSet;

use super::lab::lab;
use peers::configuration::EventKey;
use peers::stomp::assert_drained;
use peers::{Configuration, Daemon, Stomp, history, platform, wait};

/// Topics that stay, and topics that come and go.
const STAY: [&str; 5] = ["reload_1", "reload_2", "reload_3", "reload_4", "reload_5"];
const COME_AND_GO: [&str; 3] = ["reload_6", "reload_7", "reload_8"];

const RELOADS: usize = 50;

/// Once its window is full, a removed topic is known to have nothing more in flight.
const WINDOW: usize = 20;

/// How many messages wait for each topic that comes and goes, so that its window is always filled
/// again.
const BACKLOG: usize = 4000;

/// Messages that a publisher sends before it looks whether it may end.
const BURST: usize = 40;

/// All queues' messages in one: each publisher has every so manieth number.
const QUEUES: usize = STAY.len() + COME_AND_GO.len();

fn configuration(url: &str, visitors: impl IntoIterator<Item = &'static str>) -> Configuration {
    let stays =
        |configuration: Configuration, name| configuration.queue(name, name, EventKey::None);
    let visits = |configuration: Configuration, name| {
        let topic = format!(
            "destination = \"/queue/{name}\"\nack = \"client-individual\"\n\
             headers = {{ \"prefetch-count\" = \"{WINDOW}\" }}\n"
        );
        configuration.table(&format!("topics.{name}"), &topic)
    };
    let configuration = STAY.into_iter().fold(Configuration::new(url), stays);
    visitors.into_iter().fold(configuration, visits).sqlite()
}

/// The messages of these numbers of one queue.
async fn burst(publisher: &mut Stomp, index: usize, queue: &str, numbers: Range<usize>) {
    let bodies = numbers.map(|n| platform::message("reload", n * QUEUES + index, QUEUES));
    publisher.publish(&format!("/queue/{queue}"), bodies).await;
}

/// Publishes to a queue until told to end; gives the number of messages, with those that were sent
/// before.
async fn publish(
    port: u16,
    index: usize,
    queue: &'static str,
    mut sent: usize,
    end: Arc<AtomicBool>,
) -> usize {
    let mut publisher = Stomp::connect(port).await;
    while !end.load(Ordering::Relaxed) {
        burst(&mut publisher, index, queue, sent..sent + BURST).await;
        sent += BURST;
    }
    sent
}

/// The newest entry of the journal.
async fn newest(daemon: &Daemon) -> i64 {
    let newest = "SELECT coalesce(max(position), 0) FROM entry WHERE position > ?";
    of_journal(daemon, newest, 0).await
}

/// How many topics were left behind that entry.
async fn left(daemon: &Daemon, position: i64) -> i64 {
    let left = "SELECT count(*) FROM entry WHERE position > ? AND kind = 'coverage' \
        AND instr(CAST(body AS TEXT), 'unsubscribed') > 0";
    of_journal(daemon, left, position).await
}

async fn of_journal(daemon: &Daemon, query: &'static str, position: i64) -> i64 {
    let journal = SqliteConnectOptions::new()
        .filename(daemon.folder().join("journal.db"))
        .read_only(true);
    let mut journal = journal.connect().await.unwrap();
    let count = sqlx::query_scalar(query).bind(position);
    count.fetch_one(&mut journal).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_reloads_under_load_lose_nothing_and_never_reconnect() {
    let rabbitmq = &lab().await.rabbitmq;
    let url = rabbitmq.stomp_url();
    let mut daemon = Daemon::start(&configuration(&url, [])).await;
    daemon.ready().await;
    let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
    for (index, queue) in COME_AND_GO.into_iter().enumerate() {
        burst(&mut publisher, STAY.len() + index, queue, 0..BACKLOG).await;
    }

    let end = Arc::new(AtomicBool::new(false));
    let mut publishers = JoinSet::new();
    for (index, queue) in STAY.into_iter().chain(COME_AND_GO).enumerate() {
        let waiting = if index < STAY.len() { 0 } else { BACKLOG };
        publishers.spawn(publish(
            rabbitmq.stomp_port(),
            index,
            queue,
            waiting,
            Arc::clone(&end),
        ));
    }
    for reload in 0..RELOADS {
        // Each comes and goes in its own rhythm, sometimes before it has quite come or gone.
        let here = COME_AND_GO
            .into_iter()
            .enumerate()
            .filter(|(n, _)| (reload / (n + 1)) % 2 == 0);
        configuration(&url, here.map(|(_, queue)| queue)).write(daemon.folder());
        let before = newest(&daemon).await;
        daemon.hang_up();
        let done = format!(
            "\nstomp_bridge_config_reloads_total{{result=\"success\"}} {}\n",
            reload + 1
        );
        wait::until("a reload", async || {
            let (_, metrics) = daemon.get("/metrics").await?;
            metrics.contains(&done).then_some(())
        })
        .await;
        if reload % 2 == 0 {
            daemon.ready().await;
        }
        // The first one goes with every second reload. Where it comes back before it is left it
        // stays, so now and then it is given the time.
        if reload % 4 == 1 {
            let more = async || (left(&daemon, before).await > 0).then_some(());
            wait::until("a topic that is left", more).await;
        }
    }
    // What waits in the queues of those that are away is to come, too.
    configuration(&url, COME_AND_GO).write(daemon.folder());
    daemon.hang_up();
    end.store(true, Ordering::Relaxed);
    let mut sent = 0;
    while let Some(published) = publishers.join_next().await {
        sent += published.unwrap();
    }
    assert!(
        sent > COME_AND_GO.len() * BACKLOG + RELOADS * BURST,
        "{sent} messages are no load"
    );

    let all = wait::reached(sent, async || history::count(daemon.folder()).await).await;
    let rows = history::rows(daemon.folder()).await;
    let distinct = platform::numbers(&rows).len();
    assert_eq!(
        (all, distinct),
        (true, sent),
        "messages in the history, of {sent}"
    );
    // Nobody's key would have hidden it.
    assert_eq!(rows.len(), sent, "some were sent again");
    platform::assert_ordered("sqlite", &rows);
    let (_, metrics) = daemon.get("/metrics").await.unwrap();
    assert!(
        metrics.contains("\nstomp_bridge_connections_total 1\n"),
        "more than one connection:\n{metrics}"
    );
    let left = left(&daemon, 0).await;
    assert!(left >= RELOADS as i64 / 5, "topics were left {left} times");
    eprintln!("{sent} messages, {RELOADS} reloads, topics left {left} times");
    assert!(daemon.stop().await.success());
    for queue in STAY.into_iter().chain(COME_AND_GO) {
        assert_drained(rabbitmq.stomp_port(), queue).await;
    }
}
