//! How late the daemon's heart-beats come, seen from the server. First its sinks are stuck and
//! messages flood in; then its journal is full, so that nothing is read.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Row;
use crate::daemon::Daemon;
use peers::message::Ring;
use peers::source::{PATIENCE, PREFETCH, Source, expect_command, header, read_frame};

/// What both sides offer; RabbitMQ takes no shorter one.
const INTERVAL: Duration = Duration::from_secs(1);
const DURATION: Duration = Duration::from_secs(15);

/// Room for the flood, and next to none.
const ROOMY: &str = "4GiB";
const TIGHT: &str = "4MiB";

/// Each with both sinks stuck.
pub(crate) fn run() -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, journal) in [
        ("a flood", Some(ROOMY)),
        ("a full journal", Some(TIGHT)),
        ("no message", None),
    ] {
        rows.push(Row::new(what, ""));
        rows.extend(measure(journal));
    }
    rows
}

/// With a flood into a journal of that size, or without one.
fn measure(flood_into: Option<&str>) -> Vec<Row> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target/");
    let webhook = deaf_webhook();
    let source = Source::bind();
    let config = config(&source, &webhook.url, flood_into.unwrap_or(ROOMY));
    let daemon = Daemon::start(folder.path(), &config);
    let outcome = session(&source, folder.path(), flood_into.is_some());
    let (sent, arrivals) = outcome.unwrap_or_else(|error| panic!("{error}\n{}", daemon.log()));
    assert!(
        flood_into.is_none() || webhook.asked.load(Ordering::Relaxed) > 0,
        "the webhook was never asked"
    );
    let mut rows = vec![Row::new("  messages sent", sent.to_string())];
    rows.extend(lateness(&arrivals, INTERVAL).rows());
    rows
}

/// One connection, from CONNECT until enough was seen: how many messages went out, and when
/// something came.
fn session(source: &Source, folder: &Path, flood: bool) -> io::Result<(usize, Vec<Instant>)> {
    let mut stream = source.accept_within(PATIENCE)?;
    stream.set_nodelay(true)?;
    expect_command(&read_frame(&mut stream)?, &["CONNECT"])?;
    let interval_ms = INTERVAL.as_millis();
    write!(
        stream,
        "CONNECTED\nversion:1.2\nheart-beat:{interval_ms},{interval_ms}\nserver:bench\n\n\0\n"
    )?;
    let subscribe = read_frame(&mut stream)?;
    expect_command(&subscribe, &["SUBSCRIBE"])?;
    let value = |name| {
        header(&subscribe, name)
            .ok_or_else(|| io::Error::other(format!("SUBSCRIBE without {name}")))
    };
    write!(stream, "RECEIPT\nreceipt-id:{}\n\n\0\n", value("receipt")?)?;
    let _lock = lock(&folder.join("history.db"));

    let mut ring = Ring::new(&value("id")?, &value("destination")?, PREFETCH);
    let mut writing = stream.try_clone()?;
    let over = Arc::new(AtomicBool::new(false));
    let seen = over.clone();
    let writer = thread::spawn(move || {
        let mut sent = 0;
        while !seen.load(Ordering::Relaxed) {
            let written = if flood {
                let (frames, count) = ring.render(sent, sent + PREFETCH);
                sent += count;
                writing.write_all(frames)
            } else {
                thread::sleep(INTERVAL / 2);
                writing.write_all(b"\n")
            };
            if written.is_err() {
                // Shut down below.
                break;
            }
        }
        sent
    });
    let arrivals = arrivals(&mut stream, DURATION);
    over.store(true, Ordering::Relaxed);
    stream.shutdown(Shutdown::Both).ok();
    let sent = writer
        .join()
        .map_err(|_| io::Error::other("the writer panicked"))?;
    Ok((sent, arrivals?))
}

/// When something came, the beginning and the end included: a heart-beat that never comes is late
/// as well.
fn arrivals(stream: &mut TcpStream, duration: Duration) -> io::Result<Vec<Instant>> {
    let start = Instant::now();
    let mut arrivals = vec![start];
    loop {
        let left = duration.saturating_sub(start.elapsed());
        if left.is_zero() {
            arrivals.push(Instant::now());
            return Ok(arrivals);
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut [0; 4096]) {
            Ok(0) => return Err(io::Error::other("the daemon has left")),
            Ok(_) => arrivals.push(Instant::now()),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) => {}
            Err(error) => return Err(error),
        }
    }
}

/// What the pauses between arrivals were.
pub(crate) struct Lateness {
    gaps: Vec<Duration>,
    late: usize,
}

/// The pauses between these, ascending, and how many of them were a tenth longer than the interval.
pub(crate) fn lateness(arrivals: &[Instant], interval: Duration) -> Lateness {
    let mut gaps: Vec<Duration> = arrivals.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_unstable();
    let late = gaps.iter().filter(|gap| **gap > interval * 11 / 10).count();
    Lateness { gaps, late }
}

impl Lateness {
    pub(crate) fn late(&self) -> usize {
        self.late
    }

    pub(crate) fn longest(&self) -> Duration {
        self.gaps.last().copied().unwrap_or_default()
    }

    fn rows(&self) -> Vec<Row> {
        let ms = |gap: Duration| format!("{:.0} ms", gap.as_secs_f64() * 1_000.0);
        let median = self
            .gaps
            .get(self.gaps.len() / 2)
            .copied()
            .unwrap_or_default();
        vec![
            Row::new(
                "  heart-beats, of 1 s",
                self.gaps.len().saturating_sub(1).to_string(),
            ),
            Row::new("  pause between them, median", ms(median)),
            Row::new("  pause between them, longest", ms(self.longest())),
            Row::new("  late by more than 10%", self.late.to_string()),
        ]
    }
}

fn config(source: &Source, webhook: &str, journal_max: &str) -> String {
    format!(
        r#"[source]
url = "stomp://{}"
heartbeat = "{}ms"

[topics.bench]
destination = "/topic/state/1"

[journal]
path = "journal.db"
max_bytes = "{journal_max}"

[sinks.history]
type = "sqlite"
path = "history.db"

[sinks.oncall]
type = "webhook"
url = "{webhook}"
start = "oldest"
"#,
        source.address(),
        INTERVAL.as_millis(),
    )
}

/// An HTTP server that takes requests and never answers.
struct DeafWebhook {
    url: String,
    asked: Arc<AtomicUsize>,
}

fn deaf_webhook() -> DeafWebhook {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
    let url = format!(
        "http://{}/",
        listener
            .local_addr()
            .expect("a bound listener has an address")
    );
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    thread::spawn(move || {
        // They stay open until the benchmark ends.
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            counted.fetch_add(1, Ordering::Relaxed);
            open.push(stream);
        }
    });
    DeafWebhook { url, asked }
}

/// Takes the history's write lock, as a backup or somebody's open transaction does; it is held
/// until it is dropped.
fn lock(path: &Path) -> (tokio::runtime::Runtime, sqlx::SqliteConnection) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(PATIENCE);
    let connection = runtime.block_on(async {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match take_lock(&options).await {
                Ok(history) => break history,
                Err(error) => assert!(Instant::now() < deadline, "no lock on the history: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    (runtime, connection)
}

/// Fails while the daemon has not made its history yet.
async fn take_lock(
    options: &sqlx::sqlite::SqliteConnectOptions,
) -> sqlx::Result<sqlx::SqliteConnection> {
    let mut history = sqlx::ConnectOptions::connect(options).await?;
    sqlx::query("select max(sequence) from status_event")
        .execute(&mut history)
        .await?;
    sqlx::query("begin immediate").execute(&mut history).await?;
    Ok(history)
}
