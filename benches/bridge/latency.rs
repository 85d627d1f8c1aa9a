//! How long a message takes from the STOMP server's write to an MQTT subscriber, with the disk in
//! between.

use std::thread;
use std::time::Duration;

use crate::Row;
use crate::flood;
use crate::mosquitto::{Mosquitto, Nagle};
use crate::subscriber::Subscriber;
use peers::source::Source;

const RATE_PER_SECOND: u32 = 1_000;
const SECONDS: u32 = 10;
/// Not counted: the first connections, the first pages of the journal.
const WARM_UP_SECONDS: u32 = 1;
/// How many runs the median is of: a busy machine spoils one now and then.
const RUNS: usize = 5;

/// Through the daemon and a private mosquitto.
pub(crate) fn run() -> Vec<Row> {
    let runs: Vec<Run> = (0..RUNS).map(|_| once()).collect();
    let median = |of: fn(&Run) -> Duration| {
        let mut values: Vec<Duration> = runs.iter().map(of).collect();
        values.sort_unstable();
        values[RUNS / 2]
    };
    let ms = |latency: Duration| format!("{:.2} ms", latency.as_secs_f64() * 1_000.0);
    vec![
        Row::new(
            "median of runs at 1,000 messages a second",
            format!("{RUNS} of {SECONDS} s"),
        ),
        Row::new("p50", ms(median(|run| run.p50))),
        Row::new("p99", ms(median(|run| run.p99))),
        Row::new("max", ms(median(|run| run.max))),
        Row::new(
            "CPU seconds per million",
            format!("{:.0} s", median(|run| run.cpu_per_million).as_secs_f64()),
        ),
    ]
}

struct Run {
    p50: Duration,
    p99: Duration,
    max: Duration,
    cpu_per_million: Duration,
}

fn once() -> Run {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target/");
    // With Nagle's algorithm mosquitto holds a small message back until the subscriber's kernel has
    // acknowledged the one before, up to 40 ms. The benchmark would measure that, and not the
    // daemon.
    let mosquitto = Mosquitto::start(folder.path(), Nagle::Off);
    let mut subscriber =
        Subscriber::connect(mosquitto.address()).expect("mosquitto takes a subscriber");
    let source = Source::bind();
    let (daemon, mut client) = flood::subscribed(
        folder.path(),
        &source,
        &format!("\n[sinks.site]\n{}", mosquitto.sink()),
    );

    let count = (RATE_PER_SECOND * (WARM_UP_SECONDS + SECONDS)) as usize;
    let receiving = thread::spawn(move || subscriber.receive(count));
    let before = daemon.usage();
    let written = client.pace(Duration::from_secs(1) / RATE_PER_SECOND, count);
    let written =
        written.unwrap_or_else(|error| panic!("pacing failed: {error}\n{}", daemon.log()));
    let received = receiving.join().expect("the subscriber does not panic");
    let received =
        received.unwrap_or_else(|error| panic!("receiving failed: {error}\n{}", daemon.log()));
    let after = daemon.usage();
    daemon.stop();

    let warm = (RATE_PER_SECOND * WARM_UP_SECONDS) as usize;
    let pairs = written.iter().zip(&received).skip(warm);
    let mut latencies: Vec<Duration> = pairs
        .map(|(written, received)| received.saturating_duration_since(*written))
        .collect();
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)];
    let cpu_per_million = (after.cpu - before.cpu).mul_f64(1e6 / count as f64);
    Run {
        p50: at(50),
        p99: at(99),
        max: at(100),
        cpu_per_million,
    }
}
