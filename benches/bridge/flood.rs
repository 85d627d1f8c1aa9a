//! How many messages a second the daemon journals and acknowledges, and what that costs it.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Row;
use crate::daemon::Daemon;
use crate::source::{PREFETCH, Source, Subscribed};

const DURATION: Duration = Duration::from_secs(12);
/// The history is given so long to have everything after the last ACK.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(120);

/// A sink that wants nothing: it reads and filters the journal, and that is all.
const NO_SINK: &str = r#"
[sinks.none]
type = "webhook"
url = "http://127.0.0.1:9/"
when = "false"
"#;

const HISTORY: &str = r#"
[sinks.history]
type = "sqlite"
path = "history.db"
"#;

/// A daemon that has acknowledged everything, and what that took.
struct Flooded {
    daemon: Daemon,
    count: usize,
    elapsed: Duration,
    rows: Vec<Row>,
}

/// With one sink that wants none of the messages.
pub(crate) fn journal() -> Vec<Row> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target/");
    let flooded = flood(folder.path(), NO_SINK);
    flooded.daemon.stop();
    flooded.rows
}

/// With a SQLite history.
pub(crate) fn history() -> Vec<Row> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target/");
    let Flooded { daemon, count, elapsed, mut rows } = flood(folder.path(), HISTORY);
    let late = wait_for_history(&folder.path().join("history.db"), count);
    let usage = daemon.usage();
    daemon.stop();
    rows.push(Row::new("last ACK to last row in the history", format!("{:.1} s", late.as_secs_f64())));
    rows.push(Row::new("rows a second in the history", per_second(count, elapsed + late)));
    rows.push(Row::new("CPU seconds per million, history and all", per_million(usage.cpu, count)));
    rows.push(Row::new("peak resident memory, history and all", mebibytes(usage.resident_bytes_max)));
    rows
}

/// The daemon's configuration for a source in here, with these sinks.
fn config(source: &Source, sinks: &str) -> String {
    format!(
        r#"[source]
url = "stomp://{}"

[topics.bench]
destination = "/topic/state/1"
ack = "client-individual"
headers = {{ "prefetch-count" = "{PREFETCH}" }}

[journal]
path = "journal.db"

[http]
listen = "127.0.0.1:0"
{sinks}"#,
        source.address()
    )
}

/// The daemon, once it has subscribed.
pub(crate) fn subscribed(folder: &Path, source: &Source, sinks: &str) -> (Daemon, Subscribed) {
    let daemon = Daemon::start(folder, &config(source, sinks));
    let subscribed = source.accept().unwrap_or_else(|error| panic!("no subscription: {error}\n{}", daemon.log()));
    (daemon, subscribed)
}

fn flood(folder: &Path, sinks: &str) -> Flooded {
    let source = Source::bind();
    let (daemon, mut client) = subscribed(folder, &source, sinks);
    let before = daemon.usage();
    let flooded = client.flood(DURATION, usize::MAX);
    let (count, elapsed) = flooded.unwrap_or_else(|error| panic!("the flood failed: {error}\n{}", daemon.log()));
    let after = daemon.usage();
    client.check_acknowledged().unwrap_or_else(|error| panic!("{error}\n{}", daemon.log()));
    let rows = vec![
        Row::new("messages journaled and acknowledged", count.to_string()),
        Row::new("a second", per_second(count, elapsed)),
        Row::new("CPU seconds per million", per_million(after.cpu - before.cpu, count)),
        Row::new("peak resident memory", mebibytes(after.resident_bytes_max)),
    ];
    Flooded { daemon, count, elapsed, rows }
}

/// From now until the history has every message.
fn wait_for_history(path: &Path, count: usize) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let start = Instant::now();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
        let mut history = sqlx::ConnectOptions::connect(&options).await.expect("the daemon has made its history");
        loop {
            let rows: i64 = sqlx::query_scalar("select coalesce(max(rowid), 0) from status_event")
                .fetch_one(&mut history)
                .await
                .expect("status_event is a table of the history");
            if usize::try_from(rows).expect("a count") >= count {
                return start.elapsed();
            }
            assert!(start.elapsed() < CATCH_UP_TIMEOUT, "the history has {rows} of {count} rows");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
}

fn per_second(count: usize, elapsed: Duration) -> String {
    format!("{:.0}", count as f64 / elapsed.as_secs_f64())
}

fn per_million(cpu: Duration, count: usize) -> String {
    format!("{:.2} s", cpu.as_secs_f64() * 1e6 / count as f64)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
