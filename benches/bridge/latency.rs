//! How long a message takes from the STOMP server's write to an MQTT subscriber, with the disk in between.

use std::thread;
use std::time::Duration;

use crate::Row;
use crate::flood;
use crate::mosquitto::Mosquitto;
use crate::source::Source;
use crate::subscriber::Subscriber;

const RATE_PER_SECOND: u32 = 1_000;
const SECONDS: u32 = 20;
/// Not counted: the first connections, the first pages of the journal.
const WARM_UP_SECONDS: u32 = 1;

/// Through the daemon and a private mosquitto.
pub(crate) fn run() -> Vec<Row> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target/");
    let mosquitto = Mosquitto::start(folder.path());
    let mut subscriber = Subscriber::connect(mosquitto.address()).expect("mosquitto takes a subscriber");
    let sink = format!(
        "\n[sinks.site]\ntype = \"mqtt\"\nurl = \"mqtt://{}\"\n\
         topic = \"devices/{{{{ client_id }}}}/{{{{ device_id }}}}/status\"\nqos = 1\nretain = true\nstatus_topic = \"\"\n",
        mosquitto.address()
    );
    let source = Source::bind();
    let (daemon, mut client) = flood::subscribed(folder.path(), &source, &sink);

    let count = (RATE_PER_SECOND * (WARM_UP_SECONDS + SECONDS)) as usize;
    let receiving = thread::spawn(move || subscriber.receive(count));
    let before = daemon.usage();
    let written = client.pace(Duration::from_secs(1) / RATE_PER_SECOND, count);
    let written = written.unwrap_or_else(|error| panic!("pacing failed: {error}\n{}", daemon.log()));
    let received = receiving.join().expect("the subscriber does not panic");
    let received = received.unwrap_or_else(|error| panic!("receiving failed: {error}\n{}", daemon.log()));
    let after = daemon.usage();
    daemon.stop();

    let warm = (RATE_PER_SECOND * WARM_UP_SECONDS) as usize;
    let pairs = written.iter().zip(&received).skip(warm);
    let latencies = pairs.map(|(written, received)| received.saturating_duration_since(*written)).collect();
    let mut rows = percentiles(latencies);
    let share = (after.cpu - before.cpu).as_secs_f64() / f64::from(WARM_UP_SECONDS + SECONDS);
    rows.push(Row::new("CPU, of one core", format!("{:.0} %", share * 100.0)));
    rows
}

/// The table of a set of latencies.
pub(crate) fn percentiles(mut latencies: Vec<Duration>) -> Vec<Row> {
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)];
    let ms = |latency: Duration| format!("{:.2} ms", latency.as_secs_f64() * 1_000.0);
    vec![
        Row::new("messages, at 1,000 a second", latencies.len().to_string()),
        Row::new("p50", ms(at(50))),
        Row::new("p99", ms(at(99))),
        Row::new("max", ms(at(100))),
    ]
}
