//! The journal by its promises: against a model in memory, across restarts, when it is full, and
//! when it is taken.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use proptest::prelude::*;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use stomp_bridge::journal::{
    Bound, DlqWhenFull, Entry, EntryContent, Error, ForgottenDevice, ForgottenSink, Journal,
    NewBatch, NewContent, NewEntry, Passed, Reader, Settings, SinkStatus, Start, Unchanged,
    WhenFull, Which,
};
use stomp_bridge::model::{Position, Via};
use stomp_bridge::pipeline::StatusKey;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A journal with its writer running.
pub(crate) struct Running {
    pub(crate) journal: Journal,
    pub(crate) stop: CancellationToken,
    pub(crate) writer: JoinHandle<Result<(), Error>>,
}

impl Running {
    pub(crate) async fn open(settings: &Settings) -> Running {
        Running::open_and_decode(settings, |_, _, _| None).await
    }

    /// With what a start reads again in the log.
    async fn open_and_decode(
        settings: &Settings,
        key_of: impl Fn(&str, Via, &[u8]) -> Option<(Arc<str>, StatusKey)>,
    ) -> Running {
        let (journal, mut writer) = Journal::open(settings).await.unwrap();
        writer.catch_up(key_of).await.unwrap();
        let stop = CancellationToken::new();
        let writer = tokio::spawn(writer.run(stop.clone()));
        Running {
            journal,
            stop,
            writer,
        }
    }

    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.writer.await.unwrap().unwrap();
    }

    /// The writer vanishes in the middle of whatever it does. What SQLite's thread has begun is
    /// over on return, as it is when a process has died.
    async fn crash(self) {
        self.writer.abort();
        let _ = self.writer.await;
        let is_file = |fd: std::io::Result<std::fs::DirEntry>| {
            fd.and_then(|fd| std::fs::read_link(fd.path()))
                .is_ok_and(|file| file == self.journal.log.path())
        };
        // The handles keep one open, so that SQLite's locks hold.
        let open = || std::fs::read_dir("/proc/self/fd").unwrap();
        while open().filter_map(|fd| is_file(fd).then_some(())).count() > 1 {
            tokio::task::yield_now().await;
        }
    }

    /// A sink has all that lies between its cursor and there.
    pub(crate) fn advance(&self, sink: &str, to: Position) {
        let sinks = self.journal.log.status().sinks;
        let known = sinks.iter().find(|known| *known.name == *sink);
        let from = known.map_or(0, |known| known.cursor.0);
        let passed = Passed {
            delivered: (to.0 - from).unsigned_abs(),
            ..Passed::default()
        };
        self.journal.cursors.pass(sink, to, passed);
    }

    /// Everything after a position.
    pub(crate) async fn read(&self, after: Position) -> Vec<Entry> {
        self.journal
            .log
            .reader()
            .await
            .unwrap()
            .read_after(after, usize::MAX, usize::MAX)
            .await
            .unwrap()
    }

    /// The same as somebody sees it who has only the file.
    async fn read_file(&self, after: Position) -> Vec<Entry> {
        let mut reader = Reader::open(self.journal.log.path()).await.unwrap();
        reader
            .read_after(after, usize::MAX, usize::MAX)
            .await
            .unwrap()
    }

    /// Waits until the writer has gone round often enough for something to have happened.
    async fn until(&self, sink: &str, what: &str, holds: impl Fn(&Journal) -> bool) {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            if holds(&self.journal) {
                return;
            }
            // A round trip through the writer: it has finished what it was doing before.
            let cursor = self.journal.cursors.cursor(sink).unwrap();
            self.journal.cursors.place(sink, cursor).await.unwrap();
        }
        panic!(
            "it never came to pass that {what}: {:?}",
            self.journal.log.status()
        );
    }
}

pub(crate) fn settings(folder: &Path) -> Settings {
    Settings {
        bytes_max: 1 << 30,
        keep: Duration::from_secs(3600),
        ..Settings::new(folder.join("state/journal.db"))
    }
}

pub(crate) fn entry(body: impl Into<Vec<u8>>) -> NewEntry {
    NewEntry {
        topic: "map-1".into(),
        received_at: Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap(),
        body: Bytes::from(body.into()),
        content: NewContent::sample(),
    }
}

pub(crate) fn batch(entries: Vec<NewEntry>) -> NewBatch {
    NewBatch { entries }
}

fn sinks(names: &[&str]) -> Vec<(Arc<str>, Start)> {
    names
        .iter()
        .map(|name| (Arc::from(*name), Start::Oldest))
        .collect()
}

pub(crate) fn as_written(entry: &Entry) -> (Position, &str, Timestamp, &Bytes, &EntryContent) {
    (
        entry.position,
        &entry.topic,
        entry.received_at,
        &entry.body,
        &entry.content,
    )
}

#[derive(Debug, Clone)]
enum Step {
    /// Batches that are queued at the same time, each with this many entries.
    Append(Vec<usize>),
    /// A sink goes forward by this many thousandths of its lag.
    Advance(usize, i64),
    DeadLetter(usize, i64),
    Reopen,
    /// This time passes, in milliseconds.
    Pass(u64),
    /// The writer vanishes with these batches queued, after a while in microseconds.
    Crash(Vec<usize>, u64),
}

const SINKS: [&str; 3] = ["history", "oncall", "site"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sizes = || prop::collection::vec(prop_oneof![4 => 0..4usize, 1 => 60..700usize], 1..4);
    let step = prop_oneof![
        4 => sizes().prop_map(Step::Append),
        4 => (0..SINKS.len(), 0..=1000i64).prop_map(|(sink, share)| Step::Advance(sink, share)),
        2 => (0..SINKS.len(), 0..=1000i64).prop_map(|(sink, share)| Step::DeadLetter(sink, share)),
        1 => Just(Step::Reopen),
        2 => (1..1500u64).prop_map(Step::Pass),
        2 => (sizes(), 0..5000u64).prop_map(|(sizes, after)| Step::Crash(sizes, after)),
    ];
    prop::collection::vec(step, 1..16)
}

/// What must be so, kept in memory.
#[derive(Default)]
struct Model {
    entries: Vec<(NewEntry, EntryContent)>,
    /// By stream, client and device: the state, and all event keys.
    last_states: BTreeMap<(String, String, String), (String, Vec<u64>)>,
    cursors: BTreeMap<&'static str, i64>,
    dead_lettered: BTreeMap<(&'static str, i64), String>,
    made: usize,
    /// The stream and the key of every status that was made, by its body.
    keys: HashMap<Bytes, (Arc<str>, StatusKey)>,
    /// The state before a change that a snapshot of this process brought, and no message since.
    anticipated: BTreeMap<(String, String, String), String>,
}

impl Model {
    /// A batch unlike any other, with undecodable entries, previous states and odd characters in
    /// it.
    fn batch(&mut self, size: usize) -> NewBatch {
        let mut made = NewBatch::default();
        for _ in 0..size {
            self.made += 1;
            let n = self.made;
            let mut entry = entry(format!("{n}\0\u{1f6f0}").into_bytes().repeat(n % 7 + 1));
            entry.topic = ["map-1", "状态"][n % 2].into();
            let key = |old_state: Option<String>| StatusKey {
                client_id: (n % 3).to_string(),
                device_id: format!("{}\u{1f6f0}", n % 4),
                old_state,
                new_state: format!(" s{}", n % 7 % 3),
                event_key: (n % 4 == 2).then_some(n as u64 % 26),
                shared_hash: None,
            };
            let stream = ["map", "状态"][n % 2].into();
            entry.content = match n % 6 {
                0 => NewContent::Undecodable {
                    reason: format!("no {n}\0").into(),
                },
                1 => NewContent::Coverage,
                2 => NewContent::Resync {
                    stream,
                    key: key((n.is_multiple_of(4)).then(|| "s1".to_owned())),
                    unchanged: match n % 4 {
                        0 | 1 => Unchanged::Confirms,
                        _ => Unchanged::Dropped,
                    },
                },
                _ => NewContent::Status {
                    stream,
                    // A key that only a repeat has said is not known after a crash.
                    key: key((!n.is_multiple_of(3) && n % 4 != 2).then(|| format!("s{}", n % 2))),
                    places: None,
                },
            };
            if let Some((stream, key)) = entry.content.status() {
                let key = (Arc::clone(stream), key.clone());
                self.keys.insert(entry.body.clone(), key);
            }
            made.entries.push(entry);
        }
        made
    }

    async fn open(&self, settings: &Settings) -> Running {
        let key_of = |_: &str, _: Via, body: &[u8]| self.keys.get(body).cloned();
        Running::open_and_decode(settings, key_of).await
    }

    fn wrote(&mut self, batch: &NewBatch) {
        for entry in &batch.entries {
            let content = match &entry.content {
                NewContent::Status { stream, key, .. } => self.status(stream, key),
                NewContent::Undecodable { reason } => EntryContent::Undecodable {
                    reason: reason.clone(),
                },
                NewContent::Coverage => EntryContent::Coverage,
                NewContent::Resync {
                    stream,
                    key,
                    unchanged,
                } => match self.resync(stream, key, *unchanged) {
                    Some(content) => content,
                    None => continue,
                },
            };
            self.entries.push((entry.clone(), content));
        }
    }

    /// A snapshot's status compared with its device's last state.
    fn resync(
        &mut self,
        stream: &str,
        key: &StatusKey,
        unchanged: Unchanged,
    ) -> Option<EntryContent> {
        let device = device(stream, key);
        let new_state = key.new_state.trim().to_owned();
        let known = self.last_states.get(&device);
        let is_same = known.is_some_and(|(state, _)| *state == new_state);
        let has_said = known.is_some_and(|(_, keys)| {
            let newest = &keys[keys.len().saturating_sub(8)..];
            key.event_key.is_some_and(|key| newest.contains(&key))
        });
        let is_news = !is_same && !has_said || is_same && unchanged == Unchanged::Confirms;
        if !is_news {
            return None;
        }
        if let Some((state, _)) = known.filter(|_| !is_same) {
            self.anticipated.insert(device.clone(), state.clone());
        }
        let (state, keys) = self.last_states.entry(device).or_default();
        keys.extend(key.event_key.filter(|_| !has_said));
        let previous = Some(std::mem::replace(state, new_state));
        let previous = previous.filter(|state| !state.is_empty());
        let previous = previous.filter(|state| key.old_state.as_ref() != Some(state));
        Some(EntryContent::Resync {
            previous: previous.map(Into::into),
            confirms: is_same,
        })
    }

    /// A status compared with its device's last state.
    fn status(&mut self, stream: &str, key: &StatusKey) -> EntryContent {
        let device = device(stream, key);
        let new_state = key.new_state.trim().to_owned();
        let known = self.last_states.get_mut(&device);
        let repeat = known.as_ref().is_some_and(|(_, keys)| {
            let newest = &keys[keys.len().saturating_sub(8)..];
            key.event_key.is_some_and(|key| newest.contains(&key))
        });
        let anticipated = self.anticipated.remove(&device);
        let is_anticipated = anticipated.is_some_and(|from| {
            let known = known.as_ref().is_some_and(|(state, _)| *state == new_state);
            known && key.old_state.as_ref() == Some(&from)
        });
        let repeat = repeat || is_anticipated;
        let mut previous = None;
        if !repeat {
            let (state, keys) = self.last_states.entry(device).or_default();
            previous = Some(std::mem::replace(state, new_state));
            keys.extend(key.event_key);
        }
        let previous = previous.filter(|state| !state.is_empty());
        let previous = previous.filter(|state| key.old_state.as_ref() != Some(state));
        EntryContent::Status {
            previous: previous.map(Into::into),
            repeat,
        }
    }

    fn share(&self, from: i64, share: i64) -> i64 {
        from + (self.entries.len() as i64 - from) * share / 1000
    }

    async fn check(&self, running: &Running) {
        // From memory as far as that goes, and from the file.
        for found in [
            running.read(Position::START).await,
            running.read_file(Position::START).await,
        ] {
            assert_eq!(found.len(), self.entries.len());
            for (at, (found, (written, content))) in found.iter().zip(&self.entries).enumerate() {
                let NewEntry {
                    topic,
                    received_at,
                    body,
                    ..
                } = written;
                assert_eq!(
                    as_written(found),
                    (
                        Position(at as i64 + 1),
                        &**topic,
                        *received_at,
                        body,
                        content
                    )
                );
            }
        }
        let head = Position(self.entries.len() as i64);
        let status = running.journal.log.status();
        assert_eq!(
            (status.head, *running.journal.log.head().borrow()),
            (head, head)
        );
        let dlq_bytes = |sink: &str| {
            let of_sink = status.sinks.iter().find(|status| &*status.name == sink);
            of_sink.map_or(0, |status| status.dlq_bytes)
        };
        let expected = self.cursors.iter().map(|(sink, cursor)| SinkStatus {
            dlq_bytes: dlq_bytes(sink),
            name: (*sink).into(),
            cursor: Position(*cursor),
            dead_lettered: self
                .dead_lettered
                .keys()
                .filter(|(name, _)| name == sink)
                .count() as u64,
            configured: true,
        });
        assert_eq!(status.sinks, expected.collect::<Vec<_>>());
        let dead_letters = running
            .journal
            .log
            .reader()
            .await
            .unwrap()
            .dead_letters()
            .await
            .unwrap();
        let dead_letters = dead_letters
            .into_iter()
            .map(|letter| (letter.sink, letter.position.0, letter.error))
            .collect::<Vec<_>>();
        let expected = self
            .dead_lettered
            .iter()
            .map(|((sink, at), error)| (sink.to_string(), *at, error.clone()));
        assert_eq!(dead_letters, expected.collect::<Vec<_>>());
    }
}

/// A device of the model.
fn device(stream: &str, key: &StatusKey) -> (String, String, String) {
    let (client, device) = (key.client_id.clone(), key.device_id.clone());
    (stream.to_owned(), client, device)
}

async fn play(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let mut running = Running::open(&settings).await;
    running
        .journal
        .cursors
        .register_sinks(&sinks(&SINKS))
        .await
        .unwrap();
    let cursors = SINKS.iter().map(|sink| (*sink, 0)).collect();
    let mut model = Model {
        cursors,
        ..Model::default()
    };
    for step in steps {
        match step {
            Step::Append(sizes) => {
                let batches: Vec<_> = sizes.iter().map(|size| model.batch(*size)).collect();
                let appends = batches
                    .iter()
                    .map(|batch| running.journal.log.append(batch.clone()));
                let positions = futures_util::future::try_join_all(appends).await.unwrap();
                for (batch, position) in batches.iter().zip(positions) {
                    model.wrote(batch);
                    assert_eq!(
                        position,
                        Position(model.entries.len() as i64),
                        "in the order of the calls"
                    );
                }
            }
            Step::Advance(sink, share) => {
                let sink = SINKS[sink];
                let to = model.share(model.cursors[sink], share);
                running.advance(sink, Position(to));
                model.cursors.insert(sink, to);
            }
            Step::DeadLetter(sink, share) => {
                let (sink, at) = (SINKS[sink], model.share(0, share));
                running
                    .journal
                    .cursors
                    .dead_letter(sink, Position(at), &format!("first {at}"))
                    .await
                    .unwrap();
                running
                    .journal
                    .cursors
                    .dead_letter(sink, Position(at), "again")
                    .await
                    .unwrap();
                let gone = if at > 0 {
                    ""
                } else {
                    " (its entry was evicted before: nothing is left to redrive; drop it)"
                };
                let error = format!("first {at}{gone}");
                model.dead_lettered.entry((sink, at)).or_insert(error);
            }
            Step::Reopen => {
                let uuid = running.journal.log.uuid();
                running.close().await;
                running = model.open(&settings).await;
                model.anticipated.clear();
                assert_eq!(running.journal.log.uuid(), uuid);
                running
                    .journal
                    .cursors
                    .register_sinks(&sinks(&SINKS))
                    .await
                    .unwrap();
            }
            Step::Pass(ms) => tokio::time::advance(Duration::from_millis(ms)).await,
            Step::Crash(sizes, after) => {
                let batches: Vec<_> = sizes.iter().map(|size| model.batch(*size)).collect();
                // One task, so that the calls are made in their order.
                let (journal, calls) = (running.journal.clone(), batches.clone());
                let appends = tokio::spawn(async move {
                    futures_util::future::join_all(
                        calls.into_iter().map(|batch| journal.log.append(batch)),
                    )
                    .await
                });
                let (after, began) = (Duration::from_micros(after), Instant::now());
                while began.elapsed() < after {
                    tokio::task::yield_now().await;
                }
                running.crash().await;
                running = model.open(&settings).await;
                // Unacknowledged batches may be there, whole and in order; acknowledged ones must.
                for append in appends.await.unwrap() {
                    let acknowledged = append.unwrap_or(Position::START);
                    assert!(
                        acknowledged <= running.journal.log.status().head,
                        "{acknowledged} is lost"
                    );
                }
                for batch in &batches {
                    if running.journal.log.status().head.0 > model.entries.len() as i64 {
                        model.wrote(batch);
                    }
                }
                model.anticipated.clear();
                // A cursor may be older than it was, never newer.
                for (sink, cursor) in &mut model.cursors {
                    let found = running.journal.cursors.cursor(sink).unwrap().0;
                    assert!(found <= *cursor, "{found} > {cursor}");
                    *cursor = found;
                }
                running
                    .journal
                    .cursors
                    .register_sinks(&sinks(&SINKS))
                    .await
                    .unwrap();
            }
        }
        model.check(&running).await;
    }
    running.close().await;
}

/// Time passes only when a test says so, also while SQLite works.
pub(crate) fn on_a_given_clock<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let (done, finished) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        // The clock does not go on by itself while a blocking task runs.
        runtime.spawn_blocking(move || ended.recv());
        runtime.block_on(async move {
            // Dropped with it, a panic included.
            let _end = end;
            work().await;
        });
        let _ = done.send(());
    });
    finished
        .recv_timeout(Duration::from_secs(120))
        .expect("it ends in time, and well")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_time: 60_000, ..ProptestConfig::default() })]

    #[test]
    fn journal_is_what_the_model_says(steps in steps()) {
        on_a_given_clock(|| play(steps));
    }
}

/// A status of one of twenty devices, with an event key of its own.
fn keyed(number: u64) -> NewEntry {
    let key = StatusKey {
        client_id: String::new(),
        device_id: (number % 20).to_string(),
        old_state: None,
        new_state: "ok".to_owned(),
        event_key: Some(number),
        shared_hash: None,
    };
    NewEntry {
        content: NewContent::Status {
            stream: "map-1".into(),
            key,
            places: None,
        },
        ..entry(number.to_string())
    }
}

/// As a decoder reads a body of [`keyed`].
fn key_of(_: &str, _: Via, body: &[u8]) -> Option<(Arc<str>, StatusKey)> {
    let number = std::str::from_utf8(body).ok()?.parse().ok()?;
    match keyed(number).content {
        NewContent::Status { stream, key, .. } => Some((stream, key)),
        _ => None,
    }
}

/// Whether a status is a repeat when it comes again.
async fn is_repeat(running: &Running, number: u64) -> bool {
    let append = running.journal.log.append(batch(vec![keyed(number)]));
    let Position(at) = append.await.unwrap();
    let entries = running.read(Position(at - 1)).await;
    matches!(&entries[0].content, EntryContent::Status { repeat, .. } if *repeat)
}

#[tokio::test]
async fn entries_are_removed_with_their_last_states_written() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        keep: Duration::ZERO,
        ..settings(folder.path())
    };
    let running = Running::open(&settings).await;
    let cursors = &running.journal.cursors;
    cursors.register_sinks(&sinks(&["site"])).await.unwrap();
    let log = &running.journal.log;
    let last = log.append(batch((0..1500).map(keyed).collect())).await;
    running.advance("site", last.unwrap());
    // The next look removes a whole piece, and another at once.
    let began = Instant::now();
    while log.status().oldest == Some(Position(1)) {
        assert!(began.elapsed() < Duration::from_secs(60));
        log.append(batch(vec![entry("x")])).await.unwrap();
    }
    running.crash().await;
    let running = Running::open_and_decode(&settings, key_of).await;
    for (number, expected) in [(1380, true), (1499, true), (1500, false)] {
        assert_eq!(is_repeat(&running, number).await, expected, "{number}");
    }
    running.close().await;
}

#[tokio::test]
async fn process_that_cannot_decode_leaves_the_last_states_to_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        keep: Duration::ZERO,
        ..settings(folder.path())
    };
    let running = Running::open(&settings).await;
    let statuses = (0..30).map(keyed).collect();
    let last = running.journal.log.append(batch(statuses)).await.unwrap();
    running.crash().await;
    // As an admin command does.
    let (journal, writer) = Journal::open(&settings).await.unwrap();
    let stop = CancellationToken::new();
    let writer = tokio::spawn(writer.run(stop.clone()));
    let cursors = &journal.cursors;
    cursors.register_sinks(&sinks(&["site"])).await.unwrap();
    cursors.place("site", last).await.unwrap();
    stop.cancel();
    writer.await.unwrap().unwrap();

    let running = Running::open_and_decode(&settings, key_of).await;
    assert_eq!(running.read(Position::START).await.len(), 30);
    for (number, expected) in [(0, true), (29, true), (30, false)] {
        assert_eq!(is_repeat(&running, number).await, expected, "{number}");
    }
    running.close().await;
}

#[tokio::test]
async fn forgotten_device_counts_as_never_seen_also_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let running = Running::open(&settings).await;
    let statuses = (0..30).map(keyed).collect();
    running.journal.log.append(batch(statuses)).await.unwrap();
    assert!(is_repeat(&running, 29).await);
    let (stream, key) = key_of("", Via::Live, b"29").unwrap();
    let device = |device_id: &str| ForgottenDevice {
        stream: stream.to_string(),
        client_id: key.client_id.clone(),
        device_id: device_id.to_owned(),
    };
    let devices = vec![device(&key.device_id), device("never seen")];
    let forgotten = running.journal.admin.forget_devices(devices).await;
    assert_eq!(forgotten.unwrap(), 1);
    // What the log has of it is not read again.
    running.crash().await;
    let running = Running::open_and_decode(&settings, key_of).await;
    assert!(!is_repeat(&running, 29).await, "it was brought back");
    assert!(is_repeat(&running, 29).await, "it is known from now on");
    running.close().await;
}

/// The position that the last states have on disk.
async fn last_states_position(journal: &Path) -> i64 {
    let options = SqliteConnectOptions::new()
        .filename(journal)
        .read_only(true);
    let mut file = options.connect().await.unwrap();
    let position = sqlx::query_scalar("SELECT last_states_position FROM journal");
    let position = position.fetch_one(&mut file).await.unwrap();
    file.close().await.unwrap();
    position
}

#[test]
fn start_writes_no_last_states_before_the_writer_runs_which_waits_for_a_full_disk() {
    // More than may wait while it runs: now each message is of a device of its own.
    const STATUSES: u64 = 5000;
    let key_of_now = |topic: &str, via: Via, body: &[u8]| {
        let (stream, mut key) = key_of(topic, via, body)?;
        key.device_id = format!("{:?}", key.event_key);
        Some((stream, key))
    };
    on_a_given_clock(move || async move {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let running = Running::open(&settings).await;
        let statuses = batch((0..STATUSES).map(keyed).collect());
        running.journal.log.append(statuses).await.unwrap();
        running.crash().await;

        let (journal, mut writer) = Journal::open(&settings).await.unwrap();
        writer.catch_up(key_of_now).await.unwrap();
        assert_eq!(last_states_position(&settings.path).await, 0);
        let stop = CancellationToken::new();
        let writer = tokio::spawn(writer.run(stop.clone()));
        let head = journal.log.append(batch(vec![entry("a")])).await.unwrap();
        assert_eq!(head.0 as u64, STATUSES + 1);
        assert_eq!(last_states_position(&settings.path).await, head.0);
        stop.cancel();
        writer.await.unwrap().unwrap();
    });
}

#[tokio::test]
async fn positions_go_on_after_every_entry_was_removed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        keep: Duration::ZERO,
        ..settings(folder.path())
    };
    let running = Running::open(&settings).await;
    running
        .journal
        .cursors
        .register_sinks(&sinks(&["site"]))
        .await
        .unwrap();
    let last = running
        .journal
        .log
        .append(batch(vec![entry("a"), entry("b"), entry("c")]))
        .await
        .unwrap();
    running.advance("site", last);
    running
        .until("site", "everything is removed", |journal| {
            journal.log.status().oldest.is_none()
        })
        .await;
    assert!(running.read(Position::START).await.is_empty());
    running.close().await;

    let running = Running::open(&settings).await;
    assert_eq!(running.journal.log.status().head, Position(3));
    assert_eq!(running.journal.cursors.cursor("site"), Some(Position(3)));
    assert_eq!(
        running
            .journal
            .log
            .append(batch(vec![entry("d")]))
            .await
            .unwrap(),
        Position(4)
    );
    running.close().await;
}

#[tokio::test]
async fn second_instance_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let running = Running::open(&settings).await;
    let refused = Journal::open(&settings).await.map(drop).unwrap_err();
    assert!(matches!(refused, Error::InUse { .. }), "{refused}");
    assert!(
        refused
            .to_string()
            .contains(settings.path.to_str().unwrap()),
        "{refused}"
    );
    running.close().await;
    Running::open(&settings).await.close().await;
}

#[tokio::test]
async fn database_of_something_else_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    std::fs::create_dir_all(settings.path.parent().unwrap()).unwrap();
    let options = SqliteConnectOptions::new()
        .filename(&settings.path)
        .create_if_missing(true);
    let mut other = options.connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE device (id)")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    let refused = Journal::open(&settings).await.map(drop).unwrap_err();
    assert!(matches!(refused, Error::Foreign { .. }), "{refused}");
    let mut other = SqliteConnectOptions::new()
        .filename(&settings.path)
        .connect()
        .await
        .unwrap();
    let tables: Vec<(String,)> = sqlx::query_as("SELECT name FROM sqlite_schema")
        .fetch_all(&mut other)
        .await
        .unwrap();
    assert_eq!(tables, [("device".to_owned(),)]);
}

#[tokio::test]
async fn journal_of_another_layout_is_refused_in_one_sentence() {
    for (version, of) in [
        (0, "stomp-bridge 0.1"),
        (2, "an older stomp-bridge"),
        (99, "a newer stomp-bridge"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        Running::open(&settings).await.close().await;
        let options = SqliteConnectOptions::new().filename(&settings.path);
        let mut file = options.connect().await.unwrap();
        let text = format!("PRAGMA user_version = {version}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(text))
            .execute(&mut file)
            .await
            .unwrap();
        file.close().await.unwrap();
        for refused in [
            Journal::open(&settings).await.map(drop).unwrap_err(),
            Reader::open(&settings.path).await.map(drop).unwrap_err(),
        ] {
            let text = refused.to_string();
            assert!(
                text.contains(of) && text.contains("to begin a new"),
                "{text}"
            );
        }
    }
}

/// Makes of a journal that was closed one whose process has ended in the middle.
pub(crate) fn leave_open(settings: &Settings) {
    let lock = settings.path.with_extension("db-lock");
    let mark = std::fs::read_to_string(&lock).unwrap();
    std::fs::write(&lock, mark.replace("closed", "open  ")).unwrap();
}

#[tokio::test]
async fn older_copy_of_the_journal_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let backup = folder.path().join("backup.db");
    for leave in ["cleanly", "in the middle"] {
        let running = Running::open(&settings).await;
        let before = running
            .journal
            .log
            .append(batch(vec![entry("a")]))
            .await
            .unwrap();
        running.close().await;
        std::fs::copy(&settings.path, &backup).unwrap();
        let running = Running::open(&settings).await;
        let known = running
            .journal
            .log
            .append(batch(vec![entry("b"), entry("c")]))
            .await
            .unwrap();
        running.close().await;
        match leave {
            "cleanly" => {}
            _ => leave_open(&settings),
        }
        let newer = folder.path().join("newer.db");
        std::fs::copy(&settings.path, &newer).unwrap();
        std::fs::copy(&backup, &settings.path).unwrap();
        match Journal::open(&settings).await {
            Err(Error::OlderCopy {
                head,
                known: marked,
                ..
            }) => {
                assert_eq!((head, marked), (before, known), "{leave}")
            }
            other => panic!("left {leave}: {other:?}"),
        }
        std::fs::copy(&newer, &settings.path).unwrap();
        Running::open(&settings).await.close().await;
    }
}

#[tokio::test]
async fn damaged_journal_is_refused_after_an_unclean_stop() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let running = Running::open(&settings).await;
    for _ in 0..50 {
        running
            .journal
            .log
            .append(batch(vec![entry("x".repeat(8000))]))
            .await
            .unwrap();
    }
    running.close().await;
    leave_open(&settings);
    let mut file = std::fs::read(&settings.path).unwrap();
    // As the file's header says.
    let page_bytes = usize::from(u16::from_be_bytes([file[16], file[17]]));
    let middle = file.len() / 2 / page_bytes * page_bytes;
    file[middle..middle + 100].fill(0x55);
    std::fs::write(&settings.path, file).unwrap();
    let refused = Journal::open(&settings).await;
    assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
}

#[tokio::test]
async fn journal_that_took_the_place_of_another_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let log = folder.path().join("log");
    let writer = Arc::new(std::fs::File::create(&log).unwrap());
    let subscriber = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_ansi(false)
        .finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let running = Running::open(&settings).await;
    let before = running.journal.log.uuid();
    running.close().await;
    assert!(
        !std::fs::read_to_string(&log)
            .unwrap()
            .contains("journal replaced")
    );
    std::fs::remove_file(&settings.path).unwrap();
    let running = Running::open(&settings).await;
    assert_ne!(running.journal.log.uuid(), before);
    running.close().await;
    let said = std::fs::read_to_string(&log).unwrap();
    let line = said
        .lines()
        .find(|line| line.contains("journal replaced: another one was here before"));
    assert!(
        line.is_some_and(|line| line.contains(&before.simple().to_string())),
        "{said}"
    );
}

#[tokio::test]
async fn journal_is_readable_by_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let running = Running::open(&settings).await;
    running
        .journal
        .log
        .append(batch(vec![entry("a")]))
        .await
        .unwrap();
    let folder = settings.path.parent().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o700);
    let files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(files.len(), 4, "database, wal, shm and lock: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
    running.close().await;
}

#[tokio::test]
async fn entries_stay_until_every_registered_sink_is_past_them() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        keep: Duration::ZERO,
        ..settings(folder.path())
    };
    let running = Running::open(&settings).await;
    let written = running
        .journal
        .log
        .append(batch((0..10).map(|n| entry(format!("{n}"))).collect()))
        .await
        .unwrap();
    // Not known yet who needs them.
    running
        .journal
        .log
        .append(NewBatch::default())
        .await
        .unwrap();
    assert_eq!(running.read(Position::START).await.len(), 10);

    running
        .journal
        .cursors
        .register_sinks(&sinks(&["fast", "slow"]))
        .await
        .unwrap();
    running.advance("fast", written);
    running.advance("slow", Position(4));
    running
        .until("slow", "what both are past is gone", |journal| {
            journal.log.status().oldest == Some(Position(5))
        })
        .await;
    assert_eq!(running.read(Position::START).await.len(), 6);

    running
        .journal
        .cursors
        .dead_letter("slow", Position(7), "refused")
        .await
        .unwrap();
    // No longer in the configuration: entries are kept for it until it is forgotten.
    assert_eq!(
        running
            .journal
            .cursors
            .register_sinks(&sinks(&["fast"]))
            .await
            .unwrap(),
        ["slow".into()]
    );
    running
        .journal
        .cursors
        .dead_letter("fast", Position(8), "refused")
        .await
        .unwrap();
    running
        .journal
        .log
        .append(batch(vec![entry("x")]))
        .await
        .unwrap();
    assert_eq!(running.journal.log.status().oldest, Some(Position(5)));
    let forget = async |sink| running.journal.admin.forget(sink).await.unwrap();
    assert_eq!(forget("slow").await, ForgottenSink::Forgotten);
    assert_eq!(forget("slow").await, ForgottenSink::Unknown);
    running
        .until("fast", "a dead letter does not hold the log", |journal| {
            journal.log.status().oldest == Some(Position(11))
        })
        .await;
    running.advance("fast", Position(11));
    assert_eq!(running.journal.cursors.cursor("slow"), None);
    running
        .until("fast", "nothing is left", |journal| {
            journal.log.status().oldest.is_none()
        })
        .await;
    let mut reader = running.journal.log.reader().await.unwrap();
    for (after, through, expected) in [(7, 8, vec![8]), (8, 20, vec![]), (0, 7, vec![])] {
        let listed = reader.listed_between("fast", Position(after), Position(through));
        let listed = listed.await.unwrap().into_iter().map(|at| at.0);
        assert_eq!(listed.collect::<Vec<_>>(), expected, "{after} to {through}");
    }
    let copy = reader.dead_letter("fast", Position(8)).await.unwrap();
    assert_eq!(&copy.unwrap().body[..], b"7");
    running
        .journal
        .admin
        .redrive("fast", Which::All)
        .await
        .unwrap();
    let redriven = reader.to_redrive("fast", 10).await.unwrap();
    assert_eq!(&redriven[0].body[..], b"7");
    assert_eq!(
        running
            .journal
            .admin
            .discard("fast", Which::All)
            .await
            .unwrap(),
        1
    );
    running.close().await;
}

#[tokio::test]
async fn delivered_entries_stay_for_replay_while_they_are_young() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::open(&settings(folder.path())).await;
    running
        .journal
        .cursors
        .register_sinks(&sinks(&["site"]))
        .await
        .unwrap();
    let day = jiff::SignedDuration::from_hours(24);
    let old = NewEntry {
        received_at: Timestamp::now() - day,
        ..entry("old")
    };
    let last = running
        .journal
        .log
        .append(batch(vec![old, entry("young")]))
        .await
        .unwrap();
    running.advance("site", last);
    running
        .until("site", "the old one is gone", |journal| {
            journal.log.status().oldest == Some(Position(2))
        })
        .await;
    running
        .journal
        .cursors
        .place("site", Position::START)
        .await
        .unwrap();
    assert_eq!(running.read(Position::START).await.len(), 1);
    running.close().await;
}

#[tokio::test]
async fn new_sink_starts_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::open(&settings(folder.path())).await;
    running
        .journal
        .log
        .append(batch(vec![entry("a"), entry("b")]))
        .await
        .unwrap();
    let starts = [
        ("history".into(), Start::Oldest),
        ("site".into(), Start::Newest),
    ];
    running
        .journal
        .cursors
        .register_sinks(&starts)
        .await
        .unwrap();
    assert_eq!(
        running.journal.cursors.cursor("history"),
        Some(Position::START)
    );
    assert_eq!(running.journal.cursors.cursor("site"), Some(Position(2)));
    assert_eq!(running.journal.cursors.cursor("nobody"), None);
    running.close().await;
}

#[tokio::test]
async fn sink_that_is_configured_again_is_not_forgotten_and_a_forgotten_one_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::open(&settings(folder.path())).await;
    let Journal { log, cursors, .. } = &running.journal;
    let (both, one) = (sinks(&["site", "slow"]), sinks(&["site"]));
    cursors.register_sinks(&both).await.unwrap();
    let head = log.append(batch(vec![entry("a"), entry("b")])).await;
    let head = head.unwrap();
    running.advance("slow", Position(1));
    let listed = cursors.dead_letter("slow", Position(2), "refused");
    listed.await.unwrap();
    let admin = &running.journal.admin;
    let left = cursors.register_sinks(&one).await.unwrap();
    assert_eq!(left, ["slow".into()]);

    // A reload brings it back just before it is forgotten.
    let (registered, forgotten) = tokio::join!(cursors.register_sinks(&both), admin.forget("slow"));
    assert!(registered.unwrap().is_empty());
    assert_eq!(forgotten.unwrap(), ForgottenSink::Configured);
    assert_eq!(cursors.cursor("slow"), Some(Position(1)));
    assert_eq!(cursors.dead_letters("slow"), 1);

    // And just after that.
    cursors.register_sinks(&one).await.unwrap();
    let newest = [one[0].clone(), ("slow".into(), Start::Newest)];
    let (forgotten, registered) =
        tokio::join!(admin.forget("slow"), cursors.register_sinks(&newest));
    assert_eq!(forgotten.unwrap(), ForgottenSink::Forgotten);
    assert!(registered.unwrap().is_empty());
    assert!(cursors.is_configured("slow"));
    assert_eq!(cursors.cursor("slow"), Some(head));
    assert_eq!(cursors.dead_letters("slow"), 0);
    let accounts = log.reader().await.unwrap().accounts().await.unwrap();
    assert_eq!(accounts.len(), 2);
    accounts
        .iter()
        .for_each(|it| assert_eq!(it.check(), Ok(())));
    running.close().await;
}

#[tokio::test]
async fn sink_registered_while_entries_are_removed_begins_behind_them() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        bytes_max: SMALL,
        ..settings(folder.path())
    };
    let running = Running::open(&settings).await;
    let Journal { log, cursors, .. } = &running.journal;
    cursors.register_sinks(&sinks(&["site"])).await.unwrap();
    // What every sink is past makes room from here on.
    while log.status().bytes < SMALL - SMALL / 10 {
        let one = batch(vec![entry(vec![7; BODY_BYTES])]);
        log.append(one).await.unwrap();
    }
    let head = log.status().head;
    // The writer waits for its lock once it has decided what goes.
    let options = SqliteConnectOptions::new().filename(log.path());
    let mut other = options.connect().await.unwrap();
    let lock = sqlx::query("BEGIN IMMEDIATE").execute(&mut other);
    lock.await.unwrap();
    running.advance("site", head);
    let both = sinks(&["site", "new"]);
    let registered = async {
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        let released = async {
            for _ in 0..10_000 {
                tokio::task::yield_now().await;
            }
            other.close().await.unwrap();
        };
        tokio::join!(cursors.register_sinks(&both), released).0
    };
    let (saved, registered) = tokio::join!(cursors.save(), registered);
    saved.unwrap();
    assert!(registered.unwrap().is_empty());
    assert_eq!(log.status().oldest, None, "all of it is removed");
    assert_eq!(cursors.cursor("new"), Some(head));
    running.close().await;
}

/// Four megabytes of bodies against a limit of one.
const SMALL: u64 = 1 << 20;
const BODY_BYTES: usize = 3000;
const ENTRIES: usize = 1400;

#[tokio::test]
async fn full_journal_pauses_until_the_sinks_have_caught_up() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        bytes_max: SMALL,
        ..settings(folder.path())
    };
    let running = Running::open(&settings).await;
    running
        .journal
        .cursors
        .register_sinks(&sinks(&["site"]))
        .await
        .unwrap();
    let journal = running.journal.clone();
    let source = tokio::spawn(async move {
        for n in 0..ENTRIES {
            let position = journal
                .log
                .append(batch(vec![entry(vec![n as u8; BODY_BYTES])]))
                .await
                .unwrap();
            assert_eq!(position, Position(n as i64 + 1));
        }
    });
    let mut read = Vec::new();
    while read.len() < ENTRIES {
        running
            .until("site", "it is full or all is written", |journal| {
                let status = journal.log.status();
                status.full || status.head == Position(ENTRIES as i64)
            })
            .await;
        let full = running.journal.log.status();
        assert!(full.bytes < SMALL + SMALL / 10, "{full:?}");
        // The last entry may be the one that fills it.
        let all = full.head == Position(ENTRIES as i64);
        assert!(all || (full.full && !source.is_finished()), "{full:?}");
        read.extend(running.read(Position(read.len() as i64)).await);
        running.advance("site", Position(read.len() as i64));
        running
            .until("site", "there is room again", |journal| {
                !journal.log.status().full
            })
            .await;
    }
    source.await.unwrap();
    for (n, entry) in read.iter().enumerate() {
        assert_eq!(
            (entry.position, entry.body[0]),
            (Position(n as i64 + 1), n as u8)
        );
    }
    assert_eq!(running.journal.log.status().evicted, 0);
    running.close().await;
}

#[tokio::test]
async fn room_is_what_the_sinks_leave_and_what_was_promised_is_taken_beyond_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        bytes_max: SMALL,
        ..settings(folder.path())
    };
    let running = Running::open(&settings).await;
    let Journal { log, cursors, .. } = &running.journal;
    cursors.register_sinks(&sinks(&["site"])).await.unwrap();
    let room = || log.room();
    assert_eq!((room().bytes, room().bytes_max), (SMALL, SMALL));
    // Whether it is accepted. One that waits is taken later: the journal is full meanwhile.
    let append = async || {
        let appended = log.append(batch(vec![entry(vec![7; BODY_BYTES])]));
        let waits = async {
            while !log.status().full {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        };
        tokio::select! {
            biased;
            appended = appended => appended.is_ok(),
            () = waits => false,
        }
    };
    let mut before = room().bytes;
    while append().await {
        // Known with the answer, also where nothing was measured.
        let after = room().bytes;
        assert!(after < before || after == 0, "{before}, {after}");
        before = after;
    }
    assert_eq!(room().bytes, 0);
    // What the sinks are past makes room, though it is still there.
    running.advance("site", *log.head().borrow());
    running
        .until("site", "there is room again", |journal| {
            journal.log.room().bytes > SMALL / 2
        })
        .await;

    while append().await {}
    log.bound_by(Bound::Disk);
    for _ in 0..200 {
        assert!(append().await, "it is bound by its disk alone");
    }
    assert!(log.status().bytes > SMALL + 200 * BODY_BYTES as u64 / 2);
    log.bound_by(Bound::Size);
    // The writer may wait for one more by the bound before.
    assert!(!append().await || !append().await);
    running.close().await;
}

#[tokio::test]
async fn full_journal_that_may_drop_drops_the_oldest_and_records_the_gap() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        bytes_max: SMALL,
        when_full: WhenFull::DropOldest,
        ..settings(folder.path())
    };
    let running = Running::open(&settings).await;
    running
        .journal
        .cursors
        .register_sinks(&sinks(&["site"]))
        .await
        .unwrap();
    running
        .journal
        .log
        .append(batch(vec![entry("first")]))
        .await
        .unwrap();
    running
        .journal
        .cursors
        .dead_letter("site", Position(1), "refused")
        .await
        .unwrap();
    for _ in 1..ENTRIES {
        running
            .journal
            .log
            .append(batch(vec![entry(vec![7; BODY_BYTES])]))
            .await
            .unwrap();
        assert!(running.journal.log.status().bytes < 2 * SMALL);
    }
    let status = running.journal.log.status();
    let gaps = running
        .journal
        .log
        .reader()
        .await
        .unwrap()
        .evictions()
        .await
        .unwrap();
    let [gap] = gaps.as_slice() else {
        panic!("one run of losses is one gap: {gaps:?}")
    };
    let left = running.read(Position::START).await;
    assert!(status.evicted > 0 && !status.full);
    assert_eq!(gap.from, Position(1));
    assert_eq!(
        (gap.entries, gap.to.0 as u64),
        (status.evicted, status.evicted)
    );
    assert_eq!(left.first().unwrap().position.0, gap.to.0 + 1);
    assert_eq!(left.len() as u64 + status.evicted, ENTRIES as u64);
    assert_eq!(
        status.sinks[0].dead_lettered, 1,
        "a dead letter is a copy of its own"
    );
    running.close().await;
}

/// What is left of a run, such as when topics were heard, does not begin another one.
#[tokio::test]
async fn a_restart_goes_on_with_the_run_of_evictions() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        bytes_max: SMALL,
        when_full: WhenFull::DropOldest,
        ..settings(folder.path())
    };
    let mut evicted = 0;
    for start in 0..3 {
        let running = Running::open(&settings).await;
        let journal = &running.journal;
        let known = sinks(&["site"]);
        journal.cursors.register_sinks(&known).await.unwrap();
        let heard = NewEntry {
            content: NewContent::Coverage,
            ..entry("heard")
        };
        journal.log.append(batch(vec![heard])).await.unwrap();
        for _ in 0..ENTRIES {
            let body = entry(vec![7; BODY_BYTES]);
            journal.log.append(batch(vec![body])).await.unwrap();
        }
        evicted += journal.log.status().evicted;
        let head = journal.log.status().head;
        let runs = journal.log.reader().await.unwrap().evictions().await;
        let runs = runs.unwrap();
        let [run] = runs.as_slice() else {
            panic!("{start}: one run of losses is one gap: {runs:?}")
        };
        let left = running.read(Position::START).await;
        let left: Vec<i64> = left.iter().map(|entry| entry.position.0).collect();
        let gone = (1..=head.0).filter(|position| !left.contains(position));
        assert!(
            gone.clone()
                .all(|position| (run.from.0..=run.to.0).contains(&position)),
            "{start}: {run:?}"
        );
        assert_eq!(
            (run.entries, gone.count() as u64),
            (evicted, evicted),
            "{start}"
        );
        running.close().await;
    }
    assert!(evicted > 0);
}

#[tokio::test]
async fn dead_letters_of_each_sink_have_a_bound_of_their_own() {
    const LETTERS: i64 = 100;
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        dlq_bytes_max: 1 << 20,
        ..settings(folder.path())
    };
    let running = Running::open(&settings).await;
    let journal = &running.journal;
    let known = sinks(&["bad", "good"]);
    journal.cursors.register_sinks(&known).await.unwrap();
    let bodies = (0..LETTERS).map(|_| entry(vec![b'x'; 20 << 10]));
    journal.log.append(batch(bodies.collect())).await.unwrap();
    let mut listed = 0;
    for position in 1..=LETTERS {
        let position = Position(position);
        let list = journal
            .cursors
            .dead_letter_if_room("bad", position, "refused");
        listed += u64::from(list.await.unwrap());
    }
    let bad = journal.log.status().sinks[0].clone();
    assert_eq!(bad.dead_lettered, listed);
    assert!(
        bad.dlq_bytes <= 1 << 20 && bad.dlq_bytes > 1000 << 10,
        "{bad:?}"
    );
    assert!(
        !journal.cursors.has_dlq_room("bad", 1, 20 << 10)
            && journal.cursors.has_dlq_room("good", 1, 20 << 10)
    );
    // A listed dead letter stays listed, and a sink that cannot wait need not.
    assert!(
        journal
            .cursors
            .dead_letter_if_room("bad", Position(1), "again")
            .await
            .unwrap()
    );
    assert!(
        !journal
            .cursors
            .dead_letter_if_room("bad", Position(99), "refused")
            .await
            .unwrap()
    );
    journal
        .cursors
        .dead_letter("bad", Position(99), "refused")
        .await
        .unwrap();
    // Only what the cursor has passed can be dropped.
    assert_eq!(journal.admin.discard("bad", Which::All).await.unwrap(), 0);
    running.advance("bad", Position(10));
    assert_eq!(journal.admin.discard("bad", Which::All).await.unwrap(), 10);
    assert!(journal.cursors.has_dlq_room("bad", 1, 20 << 10));
    let bytes = journal.log.status().sinks[0].dlq_bytes;
    running.close().await;
    let running = Running::open(&settings).await;
    assert_eq!(running.journal.log.status().sinks[0].dlq_bytes, bytes);
    running.close().await;
}

#[tokio::test]
async fn oldest_dead_letters_make_room_where_they_may_and_old_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        dlq_bytes_max: 1 << 20,
        dlq_when_full: DlqWhenFull::DropOldest,
        dlq_keep: Some(Duration::from_millis(1)),
        ..settings(folder.path())
    };
    let running = Running::open(&settings).await;
    let journal = &running.journal;
    journal
        .cursors
        .register_sinks(&sinks(&["bad"]))
        .await
        .unwrap();
    for position in 1..=100 {
        let body = entry(vec![b'x'; 20 << 10]);
        journal.log.append(batch(vec![body])).await.unwrap();
        let position = Position(position);
        journal
            .cursors
            .dead_letter("bad", position, "refused")
            .await
            .unwrap();
        let passed = Passed {
            dead_lettered: 1,
            ..Passed::default()
        };
        journal.cursors.pass("bad", position, passed);
        assert!(journal.cursors.has_dlq_room("bad", 1, usize::MAX / 2));
        let bytes = journal.log.status().sinks[0].dlq_bytes;
        assert!(bytes <= 1 << 20, "{bytes} at {position}");
    }
    running
        .journal
        .cursors
        .register_sinks(&sinks(&["bad"]))
        .await
        .unwrap();
    let mut reader = running.journal.log.reader().await.unwrap();
    let account = reader.accounts().await.unwrap().remove(0);
    assert_eq!(account.check(), Ok(()));
    assert!(account.accounting.discarded > 40, "{account:?}");
    running.close().await;
    // The first look for expired dead letters comes with the start.
    let running = Running::open(&settings).await;
    running
        .until("bad", "all are older than they may be", |journal| {
            journal.log.status().sinks[0].dead_lettered == 0
        })
        .await;
    let mut reader = running.journal.log.reader().await.unwrap();
    assert_eq!(reader.accounts().await.unwrap()[0].check(), Ok(()));
    running.close().await;
}

/// To the code, entries of five years ago are what those of now are to a clock that is five years
/// ahead.
#[tokio::test]
async fn a_clock_five_years_ahead_removes_a_tenth_of_what_is_old_by_the_time_believed_last() {
    const HOUR: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        keep: Duration::from_secs(3600),
        dlq_keep: Some(Duration::from_secs(3600)),
        ..settings(folder.path())
    };
    let then = Timestamp::now() - 5 * 365 * 24 * HOUR;
    let endless = Settings {
        keep: Duration::MAX,
        dlq_keep: None,
        ..settings.clone()
    };
    let running = Running::open(&endless).await;
    let site = sinks(&["site"]);
    running.journal.cursors.register_sinks(&site).await.unwrap();
    let old = |age: jiff::SignedDuration| NewEntry {
        received_at: Timestamp::from_microsecond((then - age).as_microsecond()).unwrap(),
        ..entry("x")
    };
    let entries = (0..40).map(|number| old(if number < 30 { 2 * HOUR } else { HOUR / 2 }));
    let entries = running.journal.log.append(batch(entries.collect())).await;
    let head = entries.unwrap();
    for position in 1..=30 {
        let position = Position(position);
        let listed = running.journal.cursors.dead_letter("site", position, "no");
        listed.await.unwrap();
    }
    running.advance("site", head);
    running.close().await;
    // So it was when the clock was still right.
    let mut file = SqliteConnectOptions::new()
        .filename(&settings.path)
        .connect()
        .await
        .unwrap();
    for sql in [
        "UPDATE clock SET believed_at = ?1",
        "UPDATE dead_letter SET at = ?1 - 7200000000",
    ] {
        let update = sqlx::query(sql).bind(then.as_microsecond());
        update.execute(&mut file).await.unwrap();
    }
    file.close().await.unwrap();

    for left in [(36, 27), (33, 25)] {
        let running = Running::open(&settings).await;
        running.journal.cursors.register_sinks(&site).await.unwrap();
        let began = Instant::now();
        loop {
            let entries = running.read(Position::START).await.len();
            let letters = running.journal.log.status().sinks[0].dead_lettered;
            if (entries, letters) == left {
                break;
            }
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "{entries} {letters}"
            );
            assert!(
                entries >= left.0 && letters >= left.1,
                "{entries} {letters}"
            );
        }
        running.close().await;
    }
}

#[tokio::test]
async fn what_is_past_makes_room_before_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        bytes_max: SMALL,
        ..settings(folder.path())
    };
    let running = Running::open(&settings).await;
    running
        .journal
        .cursors
        .register_sinks(&sinks(&["site"]))
        .await
        .unwrap();
    let mut kept_max = 0;
    for number in 0..ENTRIES {
        let position = running
            .journal
            .log
            .append(batch(vec![entry(vec![7; BODY_BYTES])]))
            .await
            .unwrap();
        running.advance("site", position);
        // A piece that is removed may be nearly all there is.
        if number % 50 == 0 {
            kept_max = kept_max.max(running.read(Position::START).await.len());
        }
    }
    assert!(running.journal.log.status().bytes < SMALL);
    assert!(kept_max > 10, "what there is room for stays for replay");
    running.close().await;
}

#[tokio::test]
async fn external_reader_who_holds_the_wal_stops_nothing_and_it_shrinks_again() {
    const MIB: usize = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let running = Running::open(&settings).await;
    running
        .journal
        .cursors
        .register_sinks(&sinks(&["site"]))
        .await
        .unwrap();
    let mut external = SqliteConnectOptions::new()
        .filename(&settings.path)
        .read_only(true)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM entry")
        .execute(&mut external)
        .await
        .unwrap();
    let wal_bytes = || {
        std::fs::metadata(settings.path.with_extension("db-wal"))
            .unwrap()
            .len()
    };
    for _ in 0..80 {
        running
            .journal
            .log
            .append(batch(vec![entry(vec![7; MIB])]))
            .await
            .unwrap();
    }
    assert!(
        wal_bytes() > 70 * MIB as u64,
        "the external reader still sees the journal as it was"
    );
    external.close().await.unwrap();
    // It begins at its start again, and what is too much goes with the next commit.
    let began = Instant::now();
    while wal_bytes() >= 20 * MIB as u64 {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", wal_bytes());
        let append = running.journal.log.append(batch(vec![entry("a")]));
        append.await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        running
            .journal
            .log
            .reader()
            .await
            .unwrap()
            .read_after(Position(79), 9, 1)
            .await
            .unwrap()
            .len(),
        1
    );
    running.close().await;
}

#[tokio::test]
async fn batch_that_was_queued_is_written_although_its_caller_went_away() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let (journal, writer) = Journal::open(&settings).await.unwrap();
    {
        let append = journal.log.append(batch(vec![entry("a")]));
        tokio::pin!(append);
        assert!(futures_util::poll!(append).is_pending());
    }
    let stop = CancellationToken::new();
    stop.cancel();
    writer.run(stop).await.unwrap();
    assert!(matches!(
        journal.log.append(batch(vec![entry("b")])).await,
        Err(Error::Closed)
    ));
    let entries = journal
        .log
        .reader()
        .await
        .unwrap()
        .read_after(Position::START, 10, usize::MAX)
        .await
        .unwrap();
    assert_eq!(entries.len(), 1);
}

#[tokio::test]
async fn reads_are_bounded_by_entries_and_by_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::open(&settings(folder.path())).await;
    running
        .journal
        .log
        .append(batch((0..300).map(|_| entry([0; 100])).collect()))
        .await
        .unwrap();
    let mut readers = [
        running.journal.log.reader().await.unwrap(),
        Reader::open(running.journal.log.path()).await.unwrap(),
    ];
    for (after, entries_max, bytes_max, expected) in [
        (0, 10, usize::MAX, 10),
        (0, usize::MAX, 1000, 10),
        (0, usize::MAX, 1001, 11),
        (0, usize::MAX, 1, 1),
        (295, 10, usize::MAX, 5),
        (300, 10, usize::MAX, 0),
    ] {
        for reader in &mut readers {
            let entries = reader
                .read_after(Position(after), entries_max, bytes_max)
                .await
                .unwrap();
            assert_eq!(
                entries.len(),
                expected,
                "after {after}, at most {entries_max} and {bytes_max} bytes"
            );
            assert!(
                entries
                    .iter()
                    .zip(after + 1..)
                    .all(|(entry, position)| entry.position == Position(position))
            );
        }
    }
    running.close().await;
}

#[tokio::test]
#[should_panic(expected = "may not go back")]
async fn cursor_that_would_go_back_is_a_bug() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::open(&settings(folder.path())).await;
    running
        .journal
        .log
        .append(batch(vec![entry("a"), entry("b")]))
        .await
        .unwrap();
    running.advance("site", Position(2));
    running.advance("site", Position(1));
}
