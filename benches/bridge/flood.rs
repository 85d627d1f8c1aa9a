//! How many messages a second the daemon journals and acknowledges, and what that costs it.

use std::path::Path;
use std::time::Duration;

use crate::Row;
use crate::daemon::Daemon;
use peers::source::{PREFETCH, Source, Subscribed};

const DURATION: Duration = Duration::from_secs(12);

/// A sink that wants nothing: it reads and filters the journal, and that is all.
const NO_SINK: &str = r#"
[sinks.none]
type = "webhook"
url = "http://127.0.0.1:9/"
when = "false"
"#;

/// With one sink that wants none of the messages.
pub(crate) fn journal() -> Vec<Row> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target/");
    flood(folder.path(), NO_SINK)
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
{sinks}"#,
        source.address()
    )
}

/// The daemon, once it has subscribed.
pub(crate) fn subscribed(folder: &Path, source: &Source, sinks: &str) -> (Daemon, Subscribed) {
    let daemon = Daemon::start(folder, &config(source, sinks));
    let subscribed = source
        .accept()
        .unwrap_or_else(|error| panic!("no subscription: {error}\n{}", daemon.log()));
    (daemon, subscribed)
}

fn flood(folder: &Path, sinks: &str) -> Vec<Row> {
    let source = Source::bind();
    let (daemon, mut client) = subscribed(folder, &source, sinks);
    let before = daemon.usage();
    let flooded = client.flood(DURATION, usize::MAX);
    let (count, elapsed) =
        flooded.unwrap_or_else(|error| panic!("the flood failed: {error}\n{}", daemon.log()));
    let after = daemon.usage();
    client
        .check_acknowledged()
        .unwrap_or_else(|error| panic!("{error}\n{}", daemon.log()));
    daemon.stop();
    vec![
        Row::new("messages journaled and acknowledged", count.to_string()),
        Row::new("a second", per_second(count, elapsed)),
        Row::new(
            "CPU seconds per million",
            per_million(after.cpu - before.cpu, count),
        ),
        Row::new("peak resident memory", mebibytes(after.resident_bytes_max)),
    ]
}

pub(crate) fn per_second(count: usize, elapsed: Duration) -> String {
    format!("{:.0}", count as f64 / elapsed.as_secs_f64())
}

pub(crate) fn per_million(cpu: Duration, count: usize) -> String {
    format!("{:.2} s", cpu.as_secs_f64() * 1e6 / count as f64)
}

pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
