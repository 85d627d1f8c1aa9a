//! How fast the journal takes entries: `cargo bench --bench journal`.
//!
//! For each batch size and number of callers: entries and synced appends a second, and the time and
//! CPU cost of one append. A reader follows. What the disk's sync costs is part of all of it.
//!
//! The floor is what storing the same batches costs at least: a plain file, to which each is
//! appended in one write, and which is synced. `writer / floor` compares it with the CPU of the
//! thread that writes the journal.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use stomp_bridge::journal::{
    Journal, NewBatch, NewContent, NewEntry, Passed, Reader, Settings, Start,
};
use stomp_bridge::model::Position;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const BODY_BYTES: usize = 400;

/// How long each row of the table takes, and the floor's part of it.
const RUN: Duration = Duration::from_secs(4);
const FLOOR: Duration = Duration::from_secs(1);

/// The name of the thread that writes the journal.
const WRITER: &str = "journal-writer";

fn main() {
    // `cargo test` runs benches too: it is enough that this one compiles.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("bodies of {BODY_BYTES} bytes, a reader that follows\n");
    println!(
        "| batch | callers | entries/s |  read/s | appends/s | p50 ms | p99 ms | CPU µs/entry | cores | RSS MiB | writer / floor µs |"
    );
    println!(
        "|------:|--------:|----------:|--------:|----------:|-------:|-------:|-------------:|------:|--------:|------------------:|"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    for (batch, callers) in [
        (1, 1),
        (1, 100),
        // As the source paces 1,000 messages a second.
        (5, 1),
        (100, 1),
        (100, 4),
        (500, 1),
        (1000, 1),
        (1000, 2),
        (1000, 4),
    ] {
        runtime.block_on(row(batch, callers));
    }
}

async fn row(batch: usize, callers: usize) {
    let folder = tempfile::tempdir_in(".").expect("a folder on the disk, not in memory");
    let settings = Settings {
        bytes_max: 256 << 20,
        keep: Duration::ZERO,
        ..Settings::new(folder.path().join("journal.db"))
    };
    let (journal, writer) = Journal::open(&settings).await.expect("a journal");
    let stop = CancellationToken::new();
    let writer = tokio::spawn(writer.run(stop.clone()));
    journal
        .cursors
        .register_sinks(&[("bench".into(), Start::Oldest)])
        .await
        .expect("a sink");
    let reader = tokio::spawn(follow(
        journal.log.reader().await.expect("a reader"),
        journal.clone(),
        stop.clone(),
    ));

    let (began, cpu, writer_cpu) = (Instant::now(), cpu(), writer_cpu());
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        tasks.spawn(append(journal.clone(), batch, began + RUN));
    }
    let mut times: Vec<Duration> = tasks.join_all().await.concat();
    let (elapsed, cpu) = (began.elapsed(), self::cpu() - cpu);
    let writer_cpu = self::writer_cpu().saturating_sub(writer_cpu);
    stop.cancel();
    let read = reader.await.expect("the reader");
    writer
        .await
        .expect("the writer")
        .expect("no failure of the disk");

    times.sort_unstable();
    let entries = times.len() * batch;
    assert!(read <= entries as i64);
    let ms = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!(
        "| {batch:5} | {callers:7} | {:9.0} | {:7.0} | {:9.0} | {:6.2} | {:6.2} | {:12.2} | {:5.2} | {:7.1} | {:>17} |",
        entries as f64 / elapsed.as_secs_f64(),
        read as f64 / elapsed.as_secs_f64(),
        times.len() as f64 / elapsed.as_secs_f64(),
        ms(50),
        ms(99),
        cpu.as_secs_f64() * 1e6 / entries as f64,
        cpu.as_secs_f64() / elapsed.as_secs_f64(),
        rss_mib(),
        match callers {
            1 => against_floor(writer_cpu.as_secs_f64() * 1e6 / entries as f64, batch),
            // The batches of several callers are written together.
            _ => "-".to_owned(),
        },
    );
}

/// The writer's CPU for an entry, and that of the floor.
fn against_floor(writer: f64, batch: usize) -> String {
    let file = tempfile::tempfile_in(".").expect("a file on the disk, not in memory");
    let (bytes, began) = (vec![b'x'; batch * BODY_BYTES], Instant::now());
    let (before, mut batches) = (cpu_of(Path::new("/proc/thread-self")), 0);
    while began.elapsed() < FLOOR {
        (&file).write_all(&bytes).expect("room on the disk");
        file.sync_data().expect("no failure of the disk");
        batches += 1;
    }
    let used = cpu_of(Path::new("/proc/thread-self")) - before;
    let floor = used.as_secs_f64() * 1e6 / (batches * batch) as f64;
    format!("{writer:.2} / {floor:.2} = {:.1}", writer / floor)
}

/// Of the thread that writes the journal, so far.
fn writer_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let threads = tasks.flatten().map(|task| task.path());
    let named = threads.filter(|thread| {
        std::fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.trim() == WRITER)
    });
    named.map(|thread| cpu_of(&thread)).sum()
}

/// Of one thread, exactly.
fn cpu_of(thread: &Path) -> Duration {
    let schedule = std::fs::read_to_string(thread.join("schedstat")).expect("Linux");
    let ran = schedule.split_whitespace().next().expect("three numbers");
    Duration::from_nanos(ran.parse().expect("nanoseconds"))
}

/// One caller: the time of each append.
async fn append(journal: Journal, batch: usize, until: Instant) -> Vec<Duration> {
    let topic: Arc<str> = "map-1".into();
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let mut times = Vec::new();
    while Instant::now() < until {
        let entry = || NewEntry {
            topic: Arc::clone(&topic),
            received_at: Timestamp::now(),
            body: body.clone(),
            content: NewContent::sample(),
        };
        let entries = std::iter::repeat_with(entry).take(batch).collect();
        let began = Instant::now();
        journal
            .log
            .append(NewBatch { entries })
            .await
            .expect("an append");
        times.push(began.elapsed());
    }
    times
}

/// As a sink does; gives how many entries it has read.
async fn follow(mut reader: Reader, journal: Journal, stop: CancellationToken) -> i64 {
    let mut head = journal.log.head();
    let mut at = Position::START;
    loop {
        tokio::select! {
            () = stop.cancelled() => return at.0,
            _ = head.wait_for(|head| *head > at) => {}
        }
        let entries = reader.read_after(at, 1000, 1 << 20).await.expect("entries");
        at = entries.last().map_or(at, |entry| entry.position);
        let passed = Passed {
            delivered: entries.len() as u64,
            ..Passed::default()
        };
        journal.cursors.pass("bench", at, passed);
    }
}

/// User and system time of this process so far.
fn cpu() -> Duration {
    const TICKS_PER_SECOND: u64 = 100;
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .expect("a name in brackets")
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|ticks| ticks.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

fn rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .expect("a resident size");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<f64>().ok())
        .expect("a number")
        / 1024.0
}
