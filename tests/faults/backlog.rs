//! Every sink is down for a day: the journal takes all messages and the memory does not grow. Once
//! the sinks are back they get the entries far faster than they came.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use crate::plan::long;
use crate::tally::Tally;
use peers::message;
use peers::source::Source;
use peers::{Configuration, Daemon, Mosquitto, Postgres, Receiver, accounts, port};

/// A day of 100 messages a second.
const DAY_MESSAGES: usize = 8_640_000;
const DAY_RATE: f64 = 100.0;

/// The quick form: some minutes of them would show a leak as well.
const QUICK_MESSAGES: usize = 60_000;

const MEMORY_BYTES_MAX: u64 = 128 << 20;

/// Between a quarter of the day and its end.
const GROWTH_BYTES_MAX: u64 = 16 << 20;

/// A sink must get what has waited so much faster than it came. That is the long form's: a machine
/// which compiles beside it leaves the deliveries, which give way to others, too little.
const DRAIN_RATIO_MIN: f64 = 3.0;

/// One request for each event would take the test's time: the webhook wants a fiftieth of the
/// devices.
const WANTED: &str = "device_id in ['1000', '1050', '1100', '1150', '1200', '1250', '1300', '1350', '1400', '1450', \
     '1500', '1550', '1600', '1650', '1700', '1750', '1800', '1850', '1900', '1950']";
const WANTED_SHARE: usize = 50;

/// A sink that gets nothing for this long is stuck.
const PATIENCE: Duration = Duration::from_secs(180);

/// Between two looks at `/status`.
const LOOK: Duration = Duration::from_millis(100);

/// When a sink was last seen without anything, where it was, and when it had everything.
#[derive(Debug, Default, Clone, Copy)]
struct Drain {
    cursor: i64,
    still: Option<Instant>,
    done: Option<Instant>,
}

#[tokio::test(flavor = "multi_thread")]
async fn day_without_sinks_costs_no_memory_and_is_made_up_for() {
    let count = if long() { DAY_MESSAGES } else { QUICK_MESSAGES };
    // On a real disk: the long form's gigabytes have no place in a tmpfs.
    let files = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target/");
    let (mqtt, webhook) = (port::free(), port::free());
    let mut postgres = Postgres::start().await;
    let database = postgres.create("backlog").await;
    postgres.kill();
    let source = Source::bind();
    let file = |name: &str| files.path().join(name).display().to_string();
    // A folder that is simply missing would be made.
    std::os::unix::fs::symlink("disk", files.path().join("missing")).expect("link in a new folder");
    let configuration = Configuration::new(&format!("stomp://{}", source.address()))
        .table(
            "topics.bench",
            "destination = \"/topic/state/1\"\nack = \"client-individual\"\nheaders = { \"prefetch-count\" = \"1000\" }\n",
        )
        .table("journal", &format!("path = \"{}\"\nmax_bytes = \"64GiB\"\n", file("journal.db")))
        .table("sinks.history", &format!("type = \"sqlite\"\npath = \"{}\"\n", file("missing/history.db")))
        .postgres(&database)
        .mqtt(&format!("mqtt://127.0.0.1:{mqtt}"), "backlog")
        .webhook_with(&format!("http://127.0.0.1:{webhook}/events"), &format!("when = \"{WANTED}\"\n"));
    let daemon = Daemon::start(&configuration).await;

    // A day passes.
    let accepting = tokio::task::spawn_blocking(move || {
        let mut client = source.accept().expect("the daemon subscribes");
        client
            .flood(Duration::MAX, count / 4)
            .expect("a first quarter is acknowledged");
        client
    });
    let mut client = accepting.await.expect("no panic");
    let quarter = daemon.memory_bytes_max();
    let rest = tokio::task::spawn_blocking(move || {
        let (_, elapsed) = client
            .flood(Duration::MAX, count - count / 4)
            .expect("the rest is acknowledged");
        client.check_acknowledged().expect("the last one too");
        (client, elapsed)
    });
    let (_client, elapsed) = rest.await.expect("no panic");
    let intake = (count - count / 4) as f64 / elapsed.as_secs_f64();
    let whole = daemon.memory_bytes_max();
    eprintln!(
        "{count} messages taken in at {intake:.0} a second; memory {:.1} MiB after a quarter, {:.1} MiB after all",
        mebibytes(quarter),
        mebibytes(whole)
    );
    assert!(
        whole < MEMORY_BYTES_MAX && whole < quarter + GROWTH_BYTES_MAX,
        "{whole} bytes after {quarter}"
    );
    let report = accounts::report(&daemon).await.expect("the daemon answers");
    for sink in report["sinks"].as_array().expect("there are sinks") {
        // The first entry says that the topic is heard.
        let pending = sink["pending"].as_u64().expect("a number") as usize;
        assert!(
            sink["up"] == false && (count..=count + 1).contains(&pending),
            "{sink:#}"
        );
    }

    // The sinks are back.
    let back = Instant::now();
    std::fs::create_dir(files.path().join("disk")).expect("create a folder in a new one");
    let _mosquitto = Mosquitto::start_forgetful_on(mqtt).await;
    let tally = Tally::start(mqtt);
    let receiver = Receiver::start_on(webhook).await;
    postgres.restart().await;
    for (sink, Drain { still, done, .. }) in drained(&daemon, count).await {
        let took = done
            .expect("it is drained")
            .duration_since(still.unwrap_or(back))
            .as_secs_f64();
        let rate = count as f64 / took;
        eprintln!(
            "{sink}: {took:.1} s, {rate:.0} a second: {:.0} times a day's rate, {:.1} times the rate of the flood",
            rate / DAY_RATE,
            rate / intake
        );
        assert!(
            !long() || rate >= DRAIN_RATIO_MIN * DAY_RATE,
            "{sink} is drained at {rate} a second"
        );
    }
    let most = daemon.memory_bytes_max();
    eprintln!("memory {:.1} MiB after the drain", mebibytes(most));
    assert!(most < MEMORY_BYTES_MAX, "{most} bytes");

    accounts::balance(&daemon).await;
    check_rows(
        &files.path().join("missing/history.db"),
        &mut postgres,
        count,
    )
    .await;
    let bodies = receiver.bodies();
    let numbers = bodies
        .iter()
        .map(|body| message::read_number(body).expect("a message of the source's"));
    let numbers: std::collections::BTreeSet<usize> = numbers.collect();
    assert_eq!(numbers, (0..count).step_by(WANTED_SHARE).collect());
    assert_eq!(
        bodies.len(),
        numbers.len(),
        "the webhook has some of them again"
    );
    // mosquitto acknowledges before its subscribers have everything.
    let begin = Instant::now();
    while tally.counts().0 < count && begin.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        tally.counts(),
        (count, count),
        "different messages at MQTT, and all"
    );
}

/// Waits until every sink has everything.
async fn drained(daemon: &Daemon, count: usize) -> HashMap<String, Drain> {
    let mut drains: HashMap<String, Drain> = HashMap::new();
    let mut news = Instant::now();
    loop {
        let asked = Instant::now();
        let report = accounts::report(daemon).await.unwrap_or(Value::Null);
        for sink in report["sinks"].as_array().into_iter().flatten() {
            let drain = drains
                .entry(sink["name"].as_str().unwrap_or_default().to_owned())
                .or_default();
            let cursor = sink["cursor"].as_i64().unwrap_or(0);
            if cursor > drain.cursor {
                news = Instant::now();
                drain.cursor = cursor;
            }
            if cursor <= 1 {
                drain.still = Some(asked);
            }
            if sink["pending"] == 0 {
                drain.done.get_or_insert_with(Instant::now);
            }
        }
        if drains.len() == 4 && drains.values().all(|drain| drain.done.is_some()) {
            return drains;
        }
        assert!(
            news.elapsed() < PATIENCE,
            "of {count}, {drains:?}\n{report:#}"
        );
        tokio::time::sleep(LOOK).await;
    }
}

/// Each message once, in both histories: its number stands in the payload.
async fn check_rows(history: &Path, postgres: &mut Postgres, count: usize) {
    const COUNTS: &str = "SELECT count(*), count(DISTINCT CAST(payload AS text)) FROM status_event";
    let options = SqliteConnectOptions::new()
        .filename(history)
        .read_only(true);
    let mut connection = options.connect().await.expect("open the history");
    let sqlite: (i64, i64) = sqlx::query_as(COUNTS)
        .fetch_one(&mut connection)
        .await
        .expect("count in SQLite");
    let mut connection = postgres.connect("backlog").await;
    let warehouse: (i64, i64) = sqlx::query_as(COUNTS)
        .fetch_one(&mut connection)
        .await
        .expect("count in Postgres");
    let count = count as i64;
    assert_eq!(
        (sqlite, warehouse),
        ((count, count), (count, count)),
        "rows, and different messages"
    );
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
