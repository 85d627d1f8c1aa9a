//! A real RabbitMQ as the source. It measures how fast a full queue goes to a reader that only
//! acknowledges, and how fast to the daemon with all four sinks on. A ratio of 1 says that the
//! daemon holds nothing back.

use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::Row;
use crate::daemon::Daemon;
use crate::flood::mebibytes;
use crate::mosquitto::{Mosquitto, Nagle};
use crate::stomp::{self, Connection, PATIENCE};
use peers::message;
use peers::source::PREFETCH;
use peers::{PASSWORD, Postgres, RabbitMq, Receiver, USER};

const COUNT: usize = 150_000;
const POLL: Duration = Duration::from_millis(20);
/// SENDs between two receipts: RabbitMQ would take them all into its memory.
const SEND_WINDOW: usize = 5_000;

/// What is measured in turn, each the same number of times: neighbours of the machine disturb both.
const ROUNDS: usize = 3;

/// Both acknowledgement modes.
pub(crate) fn run() -> Vec<Row> {
    // The receiver of the webhook lives in it.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let peers = runtime.block_on(async {
        Peers {
            rabbitmq: RabbitMq::start().await,
            postgres: Postgres::start().await,
            receiver: Receiver::start().await,
        }
    });
    let mut rows = Vec::new();
    for ack in ["auto", "client-individual"] {
        let rounds: Vec<Round> = (0..ROUNDS)
            .map(|round| measure(&runtime, &peers, ack, round))
            .collect();
        let median = |of: fn(&Round) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let row = |what: &str, value: String| Row::new(format!("{ack}: {what}"), value);
        rows.extend([
            row(
                "to a bare reader, a second",
                format!("{:.0}", median(|round| round.bare)),
            ),
            row(
                "to the daemon, a second",
                format!("{:.0}", median(|round| round.bridged.rate)),
            ),
            row(
                "ratio",
                format!("{:.2}", median(|round| round.bridged.rate / round.bare)),
            ),
            row(
                "CPU seconds per million, until all is read",
                format!("{:.1}", median(|round| round.bridged.cpu_per_million)),
            ),
            row(
                "peak resident memory",
                mebibytes(median(|round| round.bridged.resident as f64) as u64),
            ),
        ]);
    }
    rows
}

/// Everything that runs for all rounds.
struct Peers {
    rabbitmq: RabbitMq,
    postgres: Postgres,
    receiver: Receiver,
}

/// One round.
struct Round {
    /// To a reader that does nothing, messages a second.
    bare: f64,
    bridged: Bridged,
}

fn measure(runtime: &tokio::runtime::Runtime, peers: &Peers, ack: &str, round: usize) -> Round {
    let name = format!("{}_{round}", ack.replace('-', "_"));
    let port = peers.rabbitmq.stomp_port();
    let queues = [
        format!("/queue/reader-{ack}-{round}"),
        format!("/queue/daemon-{ack}-{round}"),
    ];
    let bare = fill(port, &queues[0])
        .and_then(|()| read(port, &queues[0], ack))
        .expect("RabbitMQ serves us");
    fill(port, &queues[1]).expect("RabbitMQ serves us");
    let url = runtime.block_on(peers.postgres.create(&name));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target/");
    let mosquitto = Mosquitto::start(folder.path(), Nagle::Off);
    let config = config(
        &peers.rabbitmq.stomp_url(),
        &queues[1],
        ack,
        &url,
        &mosquitto.sink(),
        &peers.receiver.url(),
    );
    Round {
        bare,
        bridged: bridge(folder.path(), &config),
    }
}

/// What the daemon did with a full queue.
struct Bridged {
    rate: f64,
    /// In seconds.
    cpu_per_million: f64,
    /// At its peak, in bytes.
    resident: u64,
}

/// A daemon that empties the queue, until all of it is journaled.
fn bridge(folder: &Path, config: &str) -> Bridged {
    let daemon = Daemon::start(folder, config);
    let patience = Instant::now() + PATIENCE;
    while !folder.join("journal.db").exists() || !daemon.log().contains("subscribed") {
        assert!(
            Instant::now() < patience,
            "no subscription\n{}",
            daemon.log()
        );
        thread::sleep(POLL);
    }
    let before = daemon.usage();
    let start = Instant::now();
    while daemon.head() < COUNT {
        assert!(
            Instant::now() < patience,
            "{} of {COUNT}\n{}",
            daemon.head(),
            daemon.log()
        );
        thread::sleep(POLL);
    }
    let elapsed = start.elapsed();
    let after = daemon.usage();
    daemon.stop();
    Bridged {
        rate: COUNT as f64 / elapsed.as_secs_f64(),
        cpu_per_million: (after.cpu - before.cpu).as_secs_f64() * 1e6 / COUNT as f64,
        resident: after.resident_bytes_max,
    }
}

/// All four kinds of sinks; the webhook gets one message of a thousand.
fn config(
    source: &str,
    queue: &str,
    ack: &str,
    postgres: &str,
    mqtt: &str,
    webhook: &str,
) -> String {
    format!(
        r#"[source]
url = "{source}"
login = "{USER}"
passcode = "{PASSWORD}"
host = "/"

[topics.bench]
destination = "{queue}"
ack = "{ack}"
headers = {{ "prefetch-count" = "{PREFETCH}" }}

[journal]
path = "journal.db"

[sinks.history]
type = "sqlite"
path = "history.db"

[sinks.warehouse]
type = "postgres"
url = "{postgres}"

[sinks.site]
{mqtt}
[sinks.oncall]
type = "webhook"
url = "{webhook}"
when = "device_id == '1000'"
"#
    )
}

/// Puts the messages into a queue, and returns once RabbitMQ has confirmed them.
fn fill(port: u16, queue: &str) -> io::Result<()> {
    let mut connection = Connection::open(port)?;
    for sent in (0..COUNT).step_by(SEND_WINDOW) {
        let mut frames = Vec::new();
        for n in sent..(sent + SEND_WINDOW).min(COUNT) {
            let body = message::body(n);
            let receipt = if (n + 1) % SEND_WINDOW == 0 || n + 1 == COUNT {
                "receipt:all\n"
            } else {
                ""
            };
            write!(
                frames,
                "SEND\ndestination:{queue}\npersistent:true\ncontent-type:application/json\n{receipt}content-length:{}\n\n{body}\0",
                body.len()
            )?;
        }
        connection.send(&frames)?;
        connection.frame(b"RECEIPT")?;
    }
    Ok(())
}

/// Takes all of a queue, acknowledging where that is asked for, and doing nothing else. Gives
/// messages a second.
fn read(port: u16, queue: &str, ack: &str) -> io::Result<f64> {
    let mut connection = Connection::open(port)?;
    let start = Instant::now();
    connection.subscribe(queue, ack)?;
    let (mut count, mut acks) = (0, Vec::new());
    while count < COUNT {
        connection.frames(|frame| {
            count += 1;
            match ack {
                "auto" => stomp::expect(frame, b"MESSAGE"),
                _ => stomp::acknowledge(frame, &mut acks),
            }
        })?;
        connection.send(&acks)?;
        acks.clear();
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}
