//! A real RabbitMQ as the source. It measures how fast a full queue goes to a reader that only
//! acknowledges, and how fast to the daemon with all four sinks on. A ratio of 1 says that the
//! daemon holds nothing back.

use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::Row;
use crate::daemon::Daemon;
use crate::flood::{mebibytes, per_million};
use crate::mosquitto::{Mosquitto, Nagle};
use crate::stomp::{self, Connection, PATIENCE};
use peers::message;
use peers::source::PREFETCH;
use peers::{PASSWORD, Postgres, RabbitMq, Receiver, USER};

const COUNT: usize = 150_000;
const POLL: Duration = Duration::from_millis(20);
/// SENDs between two receipts: RabbitMQ would take them all into its memory.
const SEND_WINDOW: usize = 5_000;

/// Both acknowledgement modes.
pub(crate) fn run() -> Vec<Row> {
    // The receiver of the webhook lives in it.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let rabbitmq = runtime.block_on(RabbitMq::start());
    let (postgres, receiver) =
        runtime.block_on(async { (Postgres::start().await, Receiver::start().await) });
    let mut rows = Vec::new();
    for (ack, reader, daemon, ratio) in [
        (
            "auto",
            "auto: to a bare reader, a second",
            "auto: to the daemon, a second",
            "auto: ratio",
        ),
        (
            "client-individual",
            "client-individual: to a bare reader, a second",
            "client-individual: to the daemon, a second",
            "client-individual: ratio",
        ),
    ] {
        let name = ack.replace('-', "_");
        let port = rabbitmq.stomp_port();
        let queues = [
            format!("/queue/reader-{ack}"),
            format!("/queue/daemon-{ack}"),
        ];
        let bare = fill(port, &queues[0])
            .and_then(|()| read(port, &queues[0], ack))
            .expect("RabbitMQ serves us");
        fill(port, &queues[1]).expect("RabbitMQ serves us");
        let url = runtime.block_on(postgres.create(&name));
        let folder =
            tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target/");
        let mosquitto = Mosquitto::start(folder.path(), Nagle::Off);
        let config = config(
            &rabbitmq.stomp_url(),
            &queues[1],
            ack,
            &url,
            &mosquitto.sink(),
            &receiver.url(),
        );
        let bridged = bridge(folder.path(), &config);
        rows.extend([
            Row::new(reader, format!("{bare:.0}")),
            Row::new(daemon, format!("{:.0}", bridged.rate)),
            Row::new(ratio, format!("{:.2}", bridged.rate / bare)),
            Row::new(
                "CPU seconds per million, until all is read",
                bridged.cpu_per_million,
            ),
            Row::new("peak resident memory", bridged.resident),
        ]);
    }
    rows
}

/// What the daemon did with a full queue.
struct Bridged {
    rate: f64,
    cpu_per_million: String,
    resident: String,
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
        cpu_per_million: per_million(after.cpu - before.cpu, COUNT),
        resident: mebibytes(after.resident_bytes_max),
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
