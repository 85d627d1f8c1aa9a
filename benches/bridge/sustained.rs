//! One sink at a time and sustained, through the daemon. It measures from the server's first write
//! until the sink has confirmed the last message. Everything is journaled, synced and acknowledged
//! on the way. The server keeps ahead of the sink, but does not run away from it: what may come for
//! hours is what the sink takes.

use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::Usage;
use crate::flood::{mebibytes, per_million, per_second, subscribed};
use crate::mosquitto::{Mosquitto, Nagle};
use crate::{Row, runtime};
use peers::Postgres;

/// Several seconds at any speed that is hoped for, and far more than fits in memory on the way.
const COUNT: usize = 500_000;
const PATIENCE: Duration = Duration::from_secs(180);
/// How far the sink is, is asked so often in the end.
const POLL: Duration = Duration::from_millis(100);
/// So far ahead of what the sink has confirmed: a batch that it works on, and one to follow.
const AHEAD: usize = 16_000;

pub(crate) fn sqlite() -> Vec<Row> {
    sustained("type = \"sqlite\"\npath = \"history.db\"")
}

pub(crate) fn postgres() -> Vec<Row> {
    let runtime = runtime();
    let (_server, url) = runtime.block_on(async {
        let server = Postgres::start().await;
        let url = server.create("bench").await;
        (server, url)
    });
    sustained(&format!("type = \"postgres\"\nurl = \"{url}\""))
}

/// A broker that says `set_tcp_nodelay true`.
pub(crate) fn mqtt() -> Vec<Row> {
    through_mosquitto(Nagle::Off)
}

/// mosquitto's own default.
pub(crate) fn mqtt_default() -> Vec<Row> {
    through_mosquitto(Nagle::On)
}

fn through_mosquitto(nagle: Nagle) -> Vec<Row> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target/");
    let mosquitto = Mosquitto::start(folder.path(), nagle);
    sustained(&mosquitto.sink())
}

fn sustained(sink: &str) -> Vec<Row> {
    let through = through(sink);
    vec![
        Row::new("messages", through.count.to_string()),
        Row::new(
            "a second, journaled, acknowledged, delivered",
            per_second(through.count, through.elapsed),
        ),
        Row::new(
            "CPU seconds per million",
            per_million(through.usage.cpu, through.count),
        ),
        Row::new(
            "peak resident memory",
            mebibytes(through.usage.resident_bytes_max),
        ),
    ]
}

/// Messages that have arrived, and what that took.
pub(crate) struct Sustained {
    pub(crate) count: usize,
    /// From the first write to the last confirmation.
    pub(crate) elapsed: Duration,
    pub(crate) usage: Usage,
}

impl Sustained {
    /// Messages a second.
    pub(crate) fn rate(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }

    /// In seconds.
    pub(crate) fn cpu_per_million(&self) -> f64 {
        self.usage.cpu.as_secs_f64() * 1e6 / self.count as f64
    }
}

/// Through the daemon with this sink alone.
pub(crate) fn through(sink: &str) -> Sustained {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target/");
    let source = peers::source::Source::bind();
    let (daemon, mut client) = subscribed(
        folder.path(),
        &source,
        &format!("\n[sinks.bench]\n{sink}\n"),
    );
    let before = daemon.usage();
    let start = Instant::now();
    let sent = client.send(COUNT, || {
        let confirmed = daemon.confirmed();
        assert!(
            start.elapsed() < PATIENCE,
            "{confirmed} of {COUNT} are there\n{}",
            daemon.log()
        );
        confirmed + AHEAD
    });
    sent.unwrap_or_else(|error| panic!("the flood failed: {error}\n{}", daemon.log()));
    while daemon.confirmed() < COUNT {
        assert!(
            start.elapsed() < PATIENCE,
            "{} of {COUNT} are there\n{}",
            daemon.confirmed(),
            daemon.log()
        );
        thread::sleep(POLL);
    }
    let elapsed = start.elapsed();
    let after = daemon.usage();
    daemon.stop();
    Sustained {
        count: COUNT,
        elapsed,
        usage: Usage {
            cpu: after.cpu - before.cpu,
            ..after
        },
    }
}
