//! A source, its journal, and the time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use stomp_bridge::journal::{self, Journal, NewBatch, NewContent, NewEntry, Passed, Start};
use stomp_bridge::paced::Interval;
use stomp_bridge::pipeline::{Decoder, Mapping, States};
use stomp_bridge::source::{
    Handle, LinkState, Reconnect, Settings, Source, SourceError, Status, Topic,
};
use stomp_bridge::stomp::AckMode;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, pause, resume};
use tokio_util::sync::CancellationToken;

/// Each test keeps a core busy while it lets time pass: they take turns.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The journal of the one test that runs.
static JOURNAL: std::sync::Mutex<Option<Journal>> = std::sync::Mutex::new(None);

/// Of real time: generous, since no test waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running source. With it the time goes on again.
pub(crate) struct Lab {
    pub(crate) status: Arc<Status>,
    pub(crate) stop: CancellationToken,
    pub(crate) source: JoinHandle<Result<(), SourceError>>,
    pub(crate) handle: Handle,
    busy: JoinHandle<()>,
    _alone: MutexGuard<'static, ()>,
    _folder: tempfile::TempDir,
}

/// No other test of supervision runs until it is dropped.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().await
}

/// A topic without ACKs.
pub(crate) fn topic(name: &str) -> Topic {
    Topic {
        name: name.into(),
        destination: "/topic/a".into(),
        ack: AckMode::Auto,
        headers: Vec::new(),
    }
}

/// The daemon's defaults, for these URLs and one topic.
pub(crate) fn settings(urls: &[&str]) -> Settings {
    Settings {
        urls: urls.iter().map(|url| url.parse().unwrap()).collect(),
        signin: None,
        login: None,
        passcode: None,
        host: "/".to_owned(),
        headers: Vec::new(),
        heartbeat: Duration::from_secs(10),
        silence: None,
        silences: Default::default(),
        resyncs: Default::default(),
        backslashes: Default::default(),
        websocket_split: None,
        tls: Default::default(),
        reconnect: Reconnect {
            initial: Duration::from_secs(1),
            max: Some(Duration::from_secs(60)),
            attempts: None,
        },
        topics: vec![topic("map-1")],
        body_bytes_max: 1 << 20,
    }
}

impl Lab {
    /// Starts a source, and stops the time once the first attempt has begun: before it the journal
    /// needs time.
    pub(crate) async fn start(settings: Settings) -> Lab {
        Lab::start_with(settings, 1 << 30).await
    }

    /// The same with a journal of this size.
    pub(crate) async fn start_with(settings: Settings, bytes_max: u64) -> Lab {
        let alone = alone().await;
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(folder.path().join("journal.db"), bytes_max);
        *JOURNAL.lock().unwrap() = Some(journal.clone());
        let decoder = |topic: &Topic| {
            Decoder::new(
                topic.name.clone(),
                Mapping::default(),
                Arc::new(States::default()),
            )
        };
        let decoders: HashMap<_, _> = settings
            .topics
            .iter()
            .map(|topic| (topic.name.clone(), decoder(topic)))
            .collect();
        let (status, stop) = (Status::new(), CancellationToken::new());
        // A pause would wait for the clock.
        let read_interval = Interval::default();
        let source = Source::new(
            settings,
            decoders.into(),
            journal.log,
            status.clone(),
            read_interval,
        );
        let (source, handle) = source.await.unwrap();
        let source = tokio::spawn(source.run(stop.clone()));
        // A runtime without work would run to its next timer by itself, whatever the sockets have
        // still to bring.
        let busy = tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        let lab = Lab {
            status,
            stop,
            source,
            handle,
            busy,
            _alone: alone,
            _folder: folder,
        };
        lab.until(|status| status.counters.attempts.load(Relaxed) > 0)
            .await;
        pause();
        lab
    }

    /// Fills the journal for a sink that does not move.
    pub(crate) async fn fill(&self) {
        let journal = running_journal();
        let sink = [("stuck".into(), Start::Oldest)];
        journal.cursors.register_sinks(&sink).await.unwrap();
        while !journal.log.status().full {
            let entry = NewEntry {
                topic: "map-1".into(),
                received_at: Timestamp::UNIX_EPOCH,
                body: vec![b'x'; 16 << 10].into(),
                content: NewContent::sample(),
            };
            let log = journal.log.clone();
            // The last one waits.
            tokio::spawn(async move {
                let entries = vec![entry];
                log.append(NewBatch { entries }).await.ok()
            });
            turns().await;
        }
    }

    /// The sink of [`Lab::fill`] is done with all of it.
    pub(crate) fn unstick(&self) {
        let journal = running_journal();
        let head = *journal.log.head().borrow();
        journal.cursors.pass("stuck", head, Passed::default());
    }

    /// When the link was last known to live, as the journal says.
    pub(crate) async fn proven_at(&self) -> Option<Timestamp> {
        let journal = running_journal();
        // Reading waits for a thread, and the time stands still meanwhile.
        let read = journal.log.heard().await;
        read.unwrap().proven_at
    }

    pub(crate) fn attempts(&self) -> u64 {
        self.status.counters.attempts.load(Relaxed)
    }

    pub(crate) fn state(&self) -> LinkState {
        self.status.link().state
    }

    /// Waits for what takes no time that a test lets pass: the sockets, the journal.
    pub(crate) async fn until(&self, wanted: impl Fn(&Status) -> bool) {
        let began = std::time::Instant::now();
        while !wanted(&self.status) {
            assert!(
                began.elapsed() < PATIENCE,
                "not within {PATIENCE:?}: {:?}",
                self.status.link()
            );
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.source.abort();
        self.busy.abort();
        if let Ok(mut journal) = JOURNAL.lock() {
            *journal = None;
        }
        if !thread::panicking() {
            resume();
        }
    }
}

fn running_journal() -> Journal {
    JOURNAL.lock().unwrap().clone().expect("a lab runs")
}

/// On a runtime of its own: its time goes on.
fn journal(path: std::path::PathBuf, bytes_max: u64) -> Journal {
    let (give, take) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let settings = journal::Settings {
                bytes_max,
                keep: Duration::from_secs(3600),
                ..journal::Settings::new(path)
            };
            let (journal, writer) = Journal::open(&settings).await.unwrap();
            give.send(journal).unwrap();
            // Ends with the last handle, or with the process.
            writer.run(CancellationToken::new()).await.ok();
        });
    });
    take.recv().unwrap()
}

/// So fine is the time that passes, unless a test says otherwise.
const STEP: Duration = Duration::from_millis(200);

/// How many turns everybody gets in each step: the sockets are looked at every 61 of them.
const TURNS: usize = 150;

/// Lets time pass.
pub(crate) async fn pass(duration: Duration) {
    pass_in_steps(STEP, duration, || false).await;
}

/// Lets time pass until a condition holds, up to a limit; says how long it took.
pub(crate) async fn pass_until(limit: Duration, done: impl Fn() -> bool) -> Duration {
    let passed = pass_in_steps(STEP, limit, &done).await;
    assert!(done(), "not within {limit:?}");
    passed
}

/// The same, in coarser steps.
pub(crate) async fn pass_in_steps(
    step: Duration,
    limit: Duration,
    done: impl Fn() -> bool,
) -> Duration {
    let start = Instant::now();
    turns().await;
    while !done() && start.elapsed() < limit {
        advance(step).await;
        turns().await;
    }
    start.elapsed()
}

/// Gives every task the time to do its work, the journal too: it has its own thread, where the time
/// goes on.
pub(crate) async fn turns() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
    let journal = JOURNAL.lock().unwrap().clone();
    if let Some(journal) = journal {
        journal.cursors.register_sinks(&[]).await.unwrap();
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }
}
