//! One sink at a time and sustained, through the daemon: from the server's first write until the sink has confirmed the
//! last message, everything journaled, synced and acknowledged on the way.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::runtime::Runtime;

use crate::daemon::Usage;
use crate::flood::{mebibytes, per_million, per_second, subscribed};
use crate::mosquitto::{Mosquitto, Nagle};
use crate::peers::Postgres;
use crate::{Row, runtime};

/// Several seconds at any speed that is hoped for, and far more than fits in memory on the way.
const COUNT: usize = 500_000;
const PATIENCE: Duration = Duration::from_secs(180);
/// How far the sink is, is asked so often: a query of one row. The journal notes it 200 ms late at most.
const POLL: Duration = Duration::from_millis(100);

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
        Row::new("a second, journaled, acknowledged, delivered", per_second(through.count, through.elapsed)),
        Row::new("CPU seconds per million", per_million(through.usage.cpu, through.count)),
        Row::new("peak resident memory", mebibytes(through.usage.resident_bytes_max)),
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
    let source = crate::source::Source::bind();
    let (daemon, mut client) = subscribed(folder.path(), &source, &format!("\n[sinks.bench]\n{sink}\n"));
    let before = daemon.usage();
    let start = Instant::now();
    client.send(COUNT).unwrap_or_else(|error| panic!("the flood failed: {error}\n{}", daemon.log()));
    let mut cursor = Cursor::of(folder.path());
    while cursor.position() < COUNT {
        assert!(start.elapsed() < PATIENCE, "{} of {COUNT} are there\n{}", cursor.position(), daemon.log());
        thread::sleep(POLL);
    }
    let elapsed = start.elapsed();
    let after = daemon.usage();
    daemon.stop();
    Sustained { count: COUNT, elapsed, usage: Usage { cpu: after.cpu - before.cpu, ..after } }
}

/// Where the daemon's only sink stands, by its journal.
pub(crate) struct Cursor {
    runtime: Runtime,
    journal: SqliteConnection,
}

impl Cursor {
    /// The daemon in this folder.
    pub(crate) fn of(folder: &Path) -> Cursor {
        let runtime = runtime();
        let options = SqliteConnectOptions::new().filename(folder.join("journal.db")).read_only(true);
        let journal = runtime.block_on(options.connect()).expect("the daemon has made its journal");
        Cursor { runtime, journal }
    }

    /// The last message that every sink has confirmed.
    pub(crate) fn position(&mut self) -> usize {
        self.ask("SELECT coalesce(min(position), 0) FROM cursor")
    }

    /// The last message in the journal.
    pub(crate) fn head(&mut self) -> usize {
        self.ask("SELECT coalesce(max(position), 0) FROM entry")
    }

    fn ask(&mut self, question: &'static str) -> usize {
        let answer: i64 = self
            .runtime
            .block_on(sqlx::query_scalar(question).fetch_one(&mut self.journal))
            .expect("a table of the journal");
        usize::try_from(answer).expect("a position")
    }
}
