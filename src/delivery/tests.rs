//! Delivery by its promises, with a sink that follows a script and a journal on disk. Time is
//! paused.

mod gathering;
mod per_device;
mod replays;
mod stopping;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::decode::{Decode, Decoded};
use super::engine::Engine;
use super::report::Report;
use super::{Confirmations, Counters, Settings};
use crate::journal::{
    self, Entry, Journal, NewBatch, NewContent, NewEntry, Replay, SinkAccounting, Start, WhenFull,
    Which, Writer,
};
use crate::model::{Event, EventKind, Omit, Origin, Position, StatusEvent};
use crate::retry::Retry;
use crate::sinks::{
    Batch, By, Capabilities, Health, Newest, Rate, Reason, Sink, Trouble, Undelivered,
};

/// How long a test waits, in real time.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the other side does, and what it has seen.
#[derive(Debug)]
pub(super) struct Far {
    /// Rejected permanently.
    bad: BTreeSet<i64>,
    refuses: Refuses,
    /// What happens at the next attempts: how many events are confirmed before which trouble.
    script: VecDeque<Option<(usize, Trouble)>>,
    /// What happens at the next openings.
    openings: VecDeque<Trouble>,
    /// The destination's own cursor, where it keeps one.
    own: Option<Option<Position>>,
    /// The newest status that it has, where it says.
    newest: Option<Newest>,
    /// The events of each attempt.
    attempts: Vec<Vec<i64>>,
    /// Whether the sink was held to be up at each attempt.
    up: Vec<bool>,
    confirmed: Vec<i64>,
    /// The events of each attempt that is not in its turn.
    again: Vec<i64>,
    opened: usize,
    closed: usize,
    tended: usize,
    /// What is to be done beside the deliveries.
    pieces: usize,
    /// What happens at the next looks at an idle sink.
    probes: VecDeque<Trouble>,
    /// What an operator should mend.
    warning: Option<String>,
    by: By,
    attempt_interval: Duration,
    batch_max: usize,
    rate: Option<Rate>,
}

impl Default for Far {
    fn default() -> Far {
        Far {
            bad: BTreeSet::new(),
            refuses: Refuses::default(),
            script: VecDeque::new(),
            openings: VecDeque::new(),
            own: None,
            newest: None,
            attempts: Vec::new(),
            up: Vec::new(),
            confirmed: Vec::new(),
            again: Vec::new(),
            opened: 0,
            closed: 0,
            tended: 0,
            pieces: 0,
            probes: VecDeque::new(),
            warning: None,
            by: By::Them,
            attempt_interval: Duration::ZERO,
            batch_max: Capabilities::default().batch_max,
            rate: None,
        }
    }
}

#[derive(Debug, Default, Clone, Copy)]
enum Refuses {
    /// Says which event it is, after it has taken those before it (a webhook).
    #[default]
    ByIndex,
    /// Says which event it is, and takes none (a database that names the row).
    ByIndexWhole,
    /// Only says that something in the batch is wrong (a transaction).
    Whole,
}

#[derive(Clone)]
pub(super) struct Fake {
    far: Arc<Mutex<Far>>,
    journal: Journal,
    health: Health,
    /// It notices that it has lost the other side.
    lost: Arc<Notify>,
}

impl Fake {
    fn far(&self) -> MutexGuard<'_, Far> {
        self.far.lock().unwrap()
    }

    fn refuse(&self, batch: Batch<'_>) -> Option<(usize, Trouble)> {
        let far = self.far();
        let index = batch
            .events
            .iter()
            .position(|event| far.bad.contains(&event.position().0))?;
        let error = format!("refused {}", batch.events[index].position());
        Some(match far.refuses {
            Refuses::ByIndex => (
                index,
                Trouble::Refused {
                    index: Some(index),
                    by: far.by,
                    error,
                },
            ),
            Refuses::ByIndexWhole => (
                0,
                Trouble::Refused {
                    index: Some(index),
                    by: far.by,
                    error,
                },
            ),
            Refuses::Whole => (
                0,
                Trouble::Refused {
                    index: None,
                    by: far.by,
                    error,
                },
            ),
        })
    }
}

impl Sink for Fake {
    fn capabilities(&self) -> Capabilities {
        let far = self.far();
        Capabilities {
            keeps_cursor: far.own.is_some(),
            attempt_interval: far.attempt_interval,
            batch_max: far.batch_max,
            rate: far.rate,
            ..Capabilities::default()
        }
    }

    fn warning(&self) -> Option<String> {
        self.far().warning.clone()
    }

    fn open(&mut self, _: Uuid) -> BoxFuture<'_, Result<Option<Position>, Trouble>> {
        Box::pin(async {
            let mut far = self.far();
            far.opened += 1;
            match far.openings.pop_front() {
                Some(trouble) => Err(trouble),
                None => Ok(far.own.flatten()),
            }
        })
    }

    fn attempt<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), Undelivered>> {
        Box::pin(async move {
            let positions: Vec<i64> = batch
                .events
                .iter()
                .map(|event| event.position().0)
                .collect();
            let cursor = self.journal.cursors.cursor("site").unwrap().0;
            if batch.reason != Reason::Log {
                assert_eq!(batch.through.0, cursor, "the cursor stays where it is");
                self.far().again.extend(&positions);
                return match self.refuse(batch) {
                    None => Ok(()),
                    Some((confirmed, trouble)) => Err(Undelivered { confirmed, trouble }),
                };
            }
            assert!(
                cursor < positions[0],
                "the cursor {cursor} is past {}, which is not confirmed",
                positions[0]
            );
            assert!(batch.through.0 >= positions[positions.len() - 1]);
            let scripted = self.far().script.pop_front().flatten();
            let refused = self.refuse(batch);
            let mut far = self.far();
            let good = positions
                .iter()
                .take_while(|position| !far.bad.contains(position))
                .count();
            let outcome = scripted
                .map(|(confirmed, trouble)| (confirmed.min(good), trouble))
                .or(refused);
            far.attempts.push(positions.clone());
            far.up.push(self.health.report().up);
            let count = outcome
                .as_ref()
                .map_or(positions.len(), |(confirmed, _)| *confirmed);
            far.confirmed.extend(&positions[..count]);
            if let Some(own) = &mut far.own
                && outcome.is_none()
            {
                *own = Some(batch.through);
            }
            match outcome {
                None => Ok(()),
                Some((confirmed, trouble)) => Err(Undelivered { confirmed, trouble }),
            }
        })
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        self.far().closed += 1;
        Box::pin(async {})
    }

    fn newest(&self) -> Option<Newest> {
        self.far().newest
    }

    fn may_be_lost(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.lost.notified())
    }

    fn goes_on(&self) -> bool {
        self.far().pieces > 0
    }

    fn idle(&mut self) -> BoxFuture<'_, Result<(), Trouble>> {
        let mut far = self.far();
        far.tended += 1;
        far.pieces = far.pieces.saturating_sub(1);
        let lost = far.probes.pop_front();
        Box::pin(async { lost.map_or(Ok(()), Err) })
    }
}

/// A journal, a sink that follows a script, and perhaps a delivery between them.
pub(super) struct Rig {
    _folder: tempfile::TempDir,
    pub(super) journal: Journal,
    _writer: JoinHandle<Result<(), journal::Error>>,
    fake: Fake,
    pub(super) health: Health,
    pub(super) counters: Arc<Counters>,
    running: Option<(CancellationToken, JoinHandle<Result<(), journal::Error>>)>,
}

impl Rig {
    pub(super) async fn new(far: Far) -> Rig {
        Rig::with(far, 1 << 30, WhenFull::Pause).await
    }

    async fn with(far: Far, bytes_max: u64, when_full: WhenFull) -> Rig {
        let settings = journal::Settings {
            bytes_max,
            when_full,
            ..journal::Settings::new(PathBuf::new())
        };
        Rig::of(far, settings).await
    }

    pub(super) async fn of(far: Far, settings: journal::Settings) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let settings = journal::Settings {
            path: folder.path().join("journal.db"),
            keep: Duration::from_secs(3600),
            ..settings
        };
        let (journal, writer): (Journal, Writer) = Journal::open(&settings).await.unwrap();
        let writer = tokio::spawn(writer.run(CancellationToken::new()));
        journal
            .cursors
            .register_sinks(&[("site".into(), Start::Newest)])
            .await
            .unwrap();
        let health = Health::default();
        Rig {
            _folder: folder,
            fake: Fake {
                far: Arc::new(Mutex::new(far)),
                journal: journal.clone(),
                health: health.clone(),
                lost: Arc::default(),
            },
            journal,
            _writer: writer,
            health,
            counters: Arc::default(),
            running: None,
        }
    }

    /// Entries of these bodies; see [`fake_decode`].
    pub(super) async fn append(&self, bodies: impl IntoIterator<Item = &'static str>) {
        let entries = bodies.into_iter().map(|body| NewEntry {
            topic: "map-1".into(),
            received_at: Timestamp::now(),
            body: Bytes::from_static(body.as_bytes()),
            content: NewContent::sample(),
        });
        let batch = NewBatch {
            entries: entries.collect(),
        };
        self.journal.log.append(batch).await.unwrap();
    }

    fn start(&mut self) {
        self.start_with(Box::new(self.fake.clone()));
    }

    pub(super) fn start_with(&mut self, sink: Box<dyn Sink>) {
        self.start_as(sink, Box::new(fake_decode));
    }

    fn start_as(&mut self, sink: Box<dyn Sink>, decode: Decode) {
        let settings = Settings {
            name: "site".into(),
            kinds: [EventKind::Status, EventKind::Coverage].into(),
            topics: None,
            when: None,
            omit: Omit::default(),
            start: Start::Oldest,
            retry: Retry::default(),
            confirmations: Confirmations::Filtered,
        };
        let (health, counters) = (self.health.clone(), Arc::clone(&self.counters));
        let report = Report::new("site".into(), health, counters);
        let journal = self.journal.clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let running = tokio::spawn(async move {
            let engine = Engine::new(&settings, sink, report, journal, decode).await?;
            engine.run(&stopped).await
        });
        self.running = Some((stop, running));
    }

    pub(super) async fn stop(&mut self) {
        let (stop, running) = self.running.take().unwrap();
        stop.cancel();
        running.await.unwrap().unwrap();
        self.account().await;
    }

    /// What the disk says of the sink; it balances at every moment.
    pub(super) async fn account(&self) -> SinkAccounting {
        // A command is written with the cursors as they stand.
        let proven = self.journal.log.link_proven(Timestamp::now());
        proven.await.unwrap();
        let account = self
            .journal
            .log
            .reader()
            .await
            .unwrap()
            .accounts()
            .await
            .unwrap()
            .remove(0);
        assert_eq!(account.check(), Ok(()), "{account:?}");
        account
    }

    pub(super) async fn until_settled(&self) {
        let began = std::time::Instant::now();
        while began.elapsed() < PATIENCE {
            let mut reader = self.journal.log.reader().await.unwrap();
            if reader.to_redrive("site", 1).await.unwrap().is_empty()
                && self.journal.cursors.replay("site").is_none()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!(
            "what is to be delivered again never was: {:?}",
            self.fake.far()
        );
    }

    /// Paused time passes while nothing else can go on, and while the disk is asked: how long a
    /// test waits is measured in real time.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Rig) -> bool) {
        let began = std::time::Instant::now();
        while began.elapsed() < PATIENCE {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!(
            "it never came to pass that {what}: {:?} {:?}",
            self.counters,
            self.fake.far()
        );
    }

    /// Waits while no paused time passes: what comes to pass waits for no timer.
    async fn at_once(&self, what: &str, holds: impl Fn(&Rig) -> bool) {
        let (began, paused) = (std::time::Instant::now(), Instant::now());
        while !holds(self) {
            assert!(began.elapsed() < PATIENCE, "not at once: {what}");
            tokio::task::yield_now().await;
        }
        assert_eq!(paused.elapsed(), Duration::ZERO, "{what}");
    }

    pub(super) async fn until_done(&self) {
        let head = self.journal.log.status().head;
        self.until("the cursor is at the head", |rig| {
            rig.journal.log.status().sinks[0].cursor == head
        })
        .await;
    }

    pub(super) async fn dead_letters(&self) -> BTreeMap<i64, String> {
        let dead = self
            .journal
            .log
            .reader()
            .await
            .unwrap()
            .dead_letters()
            .await
            .unwrap();
        dead.into_iter()
            .map(|dead| (dead.position.0, dead.error))
            .collect()
    }

    /// Delivered, filtered and dead-lettered.
    pub(super) fn counted(&self) -> [u64; 3] {
        let Counters {
            delivered,
            filtered,
            dead_lettered,
            ..
        } = &*self.counters;
        [delivered, filtered, dead_lettered].map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// A body such as `d7` is a status of device 7; others of device 1.
fn fake_decode(entry: &Entry) -> Decoded {
    match &*entry.body {
        b"filtered" => Decoded::Filtered,
        b"unreadable" => Decoded::Unreadable("no such field".to_owned()),
        body => Decoded::Event(Event::from(StatusEvent {
            event_id: entry.position.to_string(),
            topic: Arc::clone(&entry.topic),
            client_id: String::new(),
            device_id: String::from_utf8(body.strip_prefix(b"d").unwrap_or(b"1").to_vec()).unwrap(),
            received_at: entry.received_at,
            origin: entry.position.to_string(),
            position: entry.position,
            ..StatusEvent::sample()
        })),
    }
}

fn retry(error: &str) -> Trouble {
    Trouble::Retry {
        error: error.to_owned(),
        after: None,
    }
}

fn far(bad: &[i64], refuses: Refuses) -> Far {
    Far {
        bad: bad.iter().copied().collect(),
        refuses,
        ..Far::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_whose_other_side_is_down_waits_and_does_not_hang() {
    let script = vec![Some((0, retry("down"))); 10].into();
    let mut rig = Rig::new(Far {
        script,
        ..Far::default()
    })
    .await;
    rig.append(["ok"; 3]).await;
    rig.start();
    rig.until("it was tried", |rig| rig.fake.far().attempts.len() > 1)
        .await;
    let is_overdue = |rig: &Rig| rig.counters.next_turn.is_overdue(Instant::now().into_std());
    for _ in 0..1000 {
        assert!(!is_overdue(&rig), "{:?}", rig.fake.far());
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    {
        let far = rig.fake.far();
        assert_eq!((far.attempts.len(), far.confirmed.len()), (11, 3));
        assert!(far.tended > 2, "it was idle, too: {far:?}");
    }
    // Nobody turns now, and nobody has said that it ends.
    let (_stop, running) = rig.running.take().unwrap();
    running.abort();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(is_overdue(&rig));
}

#[tokio::test(start_paused = true)]
async fn only_what_is_refused_is_dead_lettered() {
    for refuses in [Refuses::ByIndex, Refuses::ByIndexWhole, Refuses::Whole] {
        for bad in [
            &[][..],
            &[1],
            &[100],
            &[50],
            &[49, 50, 51],
            &[1, 2, 99, 100],
            &[7, 63, 64, 65],
        ] {
            let mut rig = Rig::new(far(bad, refuses)).await;
            rig.append(["ok"; 100]).await;
            rig.start();
            rig.until_done().await;
            let expected: Vec<i64> = (1..=100)
                .filter(|position| !bad.contains(position))
                .collect();
            assert_eq!(rig.fake.far().confirmed, expected, "{refuses:?} {bad:?}");
            let dead = rig.dead_letters().await;
            let named: BTreeMap<i64, String> = bad
                .iter()
                .map(|bad| (*bad, format!("refused {bad}")))
                .collect();
            assert_eq!(dead, named, "{refuses:?}");
            assert_eq!(rig.counted(), [100 - bad.len() as u64, 0, bad.len() as u64]);
            let attempts = rig.fake.far().attempts.len();
            assert!(
                attempts <= 1 + bad.len() * 9,
                "{attempts} attempts for {bad:?}: halves, not one by one"
            );
            rig.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unreadable_entries_are_dead_lettered_and_filtered_ones_passed() {
    let mut rig = Rig::new(Far::default()).await;
    rig.append([
        "filtered",
        "ok",
        "unreadable",
        "ok",
        "filtered",
        "unreadable",
    ])
    .await;
    rig.start();
    rig.until_done().await;
    assert_eq!(rig.fake.far().attempts, [[2, 4]]);
    assert_eq!(
        rig.dead_letters().await,
        BTreeMap::from([3, 6].map(|position| (position, "no such field".to_owned())))
    );
    assert_eq!(rig.counted(), [2, 2, 2]);
    rig.append(["filtered"; 10]).await;
    rig.until_done().await;
    assert_eq!(
        rig.fake.far().attempts.len(),
        1,
        "the sink hears nothing of what it does not want"
    );
    assert_eq!(rig.counted(), [2, 12, 2]);
    rig.stop().await;
    assert_eq!(rig.fake.far().closed, 1);
}

#[tokio::test(start_paused = true)]
async fn trouble_is_retried_from_the_first_unconfirmed_event() {
    let script = [
        Some((0, retry("down"))),
        Some((2, retry("half"))),
        Some((0, retry("down"))),
        None,
    ];
    let mut rig = Rig::new(Far {
        script: script.into(),
        ..Far::default()
    })
    .await;
    rig.append(["ok"; 4]).await;
    rig.start();
    rig.until_done().await;
    let far = rig.fake.far();
    assert_eq!(
        far.attempts,
        [vec![1, 2, 3, 4], vec![1, 2, 3, 4], vec![3, 4], vec![3, 4]]
    );
    assert_eq!(
        (&far.confirmed, far.opened),
        (&vec![1, 2, 3, 4], 4),
        "it connects again after each trouble"
    );
    assert_eq!(rig.counters.retries.load(Ordering::Relaxed), 3);
    let report = rig.health.report();
    assert_eq!(
        (report.up, report.last_error.as_deref()),
        (true, Some("down"))
    );
}

#[tokio::test(start_paused = true)]
async fn sink_is_left_alone_for_as_long_as_it_asked() {
    let after = Duration::from_secs(900);
    let busy = || Trouble::Retry {
        error: "429".to_owned(),
        after: Some(after),
    };
    let mut rig = Rig::new(Far {
        script: [Some((0, busy())), None].into(),
        openings: [busy()].into(),
        ..Far::default()
    })
    .await;
    rig.append(["ok"]).await;
    let began = Instant::now();
    rig.start();
    rig.until_done().await;
    assert!(
        began.elapsed() >= 2 * after && began.elapsed() < 3 * after,
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn disabled_sink_is_left_alone_and_holds_its_entries() {
    let gone = || Trouble::Disabled {
        error: "410".to_owned(),
    };
    for scripted in [
        Far {
            script: [Some((1, gone()))].into(),
            ..Far::default()
        },
        Far {
            openings: [retry("down"), gone()].into(),
            ..Far::default()
        },
    ] {
        let confirmed = scripted.script.len();
        let mut rig = Rig::new(scripted).await;
        rig.append(["ok"; 3]).await;
        rig.start();
        let error = Some("410".to_owned());
        rig.until("it is disabled", |rig| {
            rig.health.report().last_error == error
        })
        .await;
        rig.append(["ok"]).await;
        tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
        assert_eq!(rig.fake.far().attempts.len(), confirmed);
        assert_eq!(
            rig.journal.cursors.cursor("site"),
            Some(Position(confirmed as i64))
        );
        assert!(!rig.health.report().up);
        rig.stop().await;
        // After a restart it is tried again.
        rig.start();
        rig.until_done().await;
        assert_eq!(rig.fake.far().confirmed, [1, 2, 3, 4]);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_opens_a_disabled_sink_and_ends_the_wait_of_one_in_trouble() {
    let gone = Trouble::Disabled {
        error: "410".to_owned(),
    };
    let asked = Duration::from_secs(6 * 3600);
    let busy = Trouble::Retry {
        error: "503".to_owned(),
        after: Some(asked),
    };
    let mut rig = Rig::new(Far {
        script: [Some((1, gone)), Some((0, busy))].into(),
        ..Far::default()
    })
    .await;
    rig.append(["ok"; 3]).await;
    rig.start();
    rig.until("it is disabled", |rig| rig.health.report().disabled)
        .await;
    assert_eq!(rig.health.report().next_attempt, None);
    rig.health.ask_retry();
    rig.until("it waits for the other side", |rig| {
        rig.health.report().next_attempt.is_some()
    })
    .await;
    assert!(!rig.health.report().disabled);
    let begins = tokio::time::Instant::now();
    rig.health.ask_retry();
    rig.until_done().await;
    assert!(begins.elapsed() < asked / 2, "{:?}", begins.elapsed());
    assert_eq!(rig.fake.far().confirmed, [1, 2, 3]);
    let report = rig.health.report();
    assert!(report.up && report.next_attempt.is_none(), "{report:?}");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn restart_goes_on_after_what_was_confirmed() {
    // Down for long enough to be seen.
    let down = Trouble::Retry {
        error: "down".to_owned(),
        after: Some(Duration::from_secs(60)),
    };
    let mut rig = Rig::new(Far {
        script: [Some((3, down))].into(),
        ..Far::default()
    })
    .await;
    rig.append(["ok"; 5]).await;
    rig.start();
    rig.until("some are confirmed", |rig| rig.counted()[0] == 3)
        .await;
    rig.stop().await;
    rig.append(["ok"; 2]).await;
    rig.start();
    rig.until_done().await;
    assert_eq!(rig.fake.far().confirmed, [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test(start_paused = true)]
async fn stop_ends_a_long_wait_at_once() {
    // Paused time passes while a file is closed: not that much of it.
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    let after = Some(YEAR);
    let down = Trouble::Retry {
        error: "down".to_owned(),
        after,
    };
    let mut rig = Rig::new(Far {
        openings: [down].into(),
        ..Far::default()
    })
    .await;
    let began = Instant::now();
    rig.start();
    rig.until("it waits", |rig| {
        rig.counters.retries.load(Ordering::Relaxed) == 1
    })
    .await;
    rig.stop().await;
    assert!(began.elapsed() < YEAR);
    assert_eq!(rig.fake.far().closed, 1);
}

/// The sink's own cursor, the journal's, the first attempt.
async fn check_start(own: Option<Option<i64>>, known: i64, expected: i64) {
    let own = own.map(|own| own.map(Position));
    let mut rig = Rig::new(Far {
        own,
        ..Far::default()
    })
    .await;
    rig.append(["ok"; 10]).await;
    rig.journal
        .cursors
        .place("site", Position(known))
        .await
        .unwrap();
    rig.start();
    rig.until_done().await;
    assert_eq!(rig.fake.far().attempts[0][0], expected, "{own:?} {known}");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sinks_own_cursor_comes_before_the_journals() {
    check_start(None, 4, 5).await;
    check_start(Some(None), 4, 1).await;
    check_start(Some(Some(7)), 4, 8).await;
    check_start(Some(Some(2)), 4, 3).await;
}

/// The sink's own cursor, and the position of its newest status with how much later the journal
/// received its entry there. The last value is a position of another copy of the journal.
async fn check_copy(own: i64, newest: Option<(i64, SignedDuration)>, expected: Option<i64>) {
    let mut rig = Rig::new(Far {
        own: Some(Some(Position(own))),
        ..Far::default()
    })
    .await;
    rig.append(["ok"; 10]).await;
    rig.journal
        .cursors
        .place("site", Position(4))
        .await
        .unwrap();
    let entries = rig
        .journal
        .log
        .reader()
        .await
        .unwrap()
        .read_after(Position::START, 10, 1 << 20)
        .await
        .unwrap();
    rig.fake.far().newest = newest.map(|(position, later)| Newest {
        origin: Origin {
            journal: rig.journal.log.uuid(),
            position: Position(position),
        },
        received_at: entries
            .get(position as usize - 1)
            .map_or(Timestamp::now(), |entry| entry.received_at)
            - later,
    });
    rig.start();
    let Some(expected) = expected else {
        rig.until_done().await;
        return rig.stop().await;
    };
    let (_, running) = rig.running.take().unwrap();
    let error = running.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, journal::Error::OtherCopy { position: Position(p), .. } if *p == expected),
        "{error:?}"
    );
    assert_eq!(rig.health.report().last_error, Some(error.to_string()));
    assert!(rig.fake.far().attempts.is_empty(), "{own} {newest:?}");
}

#[tokio::test(start_paused = true)]
async fn sink_that_accepts_connections_and_no_rows_is_not_up() {
    let locked = || Some((0, retry("locked")));
    let mut rig = Rig::new(Far {
        script: [None, locked(), locked(), None].into(),
        ..Far::default()
    })
    .await;
    rig.append(["ok"]).await;
    rig.start();
    rig.until_done().await;
    rig.append(["ok"]).await;
    rig.until_done().await;
    rig.append(["ok"]).await;
    rig.until_done().await;
    assert_eq!(rig.fake.far().up, [true, true, false, false, true]);
    assert_eq!(rig.fake.far().opened, 3);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sink_that_refuses_after_trouble_is_up() {
    let script = [Some((0, retry("connection lost")))].into();
    let mut rig = Rig::new(Far {
        script,
        ..far(&[1], Refuses::Whole)
    })
    .await;
    rig.append(["ok"]).await;
    rig.start();
    rig.until_done().await;
    assert_eq!(rig.dead_letters().await.len(), 1);
    rig.until("it is up", |rig| rig.health.report().up).await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sink_that_is_too_slow_for_a_batch_is_given_less() {
    let slow = || Some((0, retry("no answer within 45 s")));
    let script = [slow(), slow(), slow(), slow(), None, None].into();
    let mut rig = Rig::new(Far {
        script,
        ..Far::default()
    })
    .await;
    rig.append(["ok"; 400]).await;
    rig.start();
    rig.until_done().await;
    let sizes: Vec<usize> = rig.fake.far().attempts.iter().map(Vec::len).collect();
    assert_eq!(sizes, [400, 200, 100, 64, 64, 128, 208]);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn older_copy_of_the_journal_is_told_by_what_the_sink_has() {
    let (same, almost, later) = (
        SignedDuration::ZERO,
        SignedDuration::from_micros(900),
        SignedDuration::from_secs(60),
    );
    check_copy(7, None, None).await;
    check_copy(7, Some((7, same)), None).await;
    check_copy(7, Some((6, almost)), None).await;
    // Its next positions were given before.
    check_copy(11, None, Some(11)).await;
    check_copy(7, Some((11, same)), Some(11)).await;
    // Some of them have been given again since.
    check_copy(7, Some((7, later)), Some(7)).await;
    check_copy(7, Some((6, -later)), Some(6)).await;
}

#[tokio::test(start_paused = true)]
async fn confirmation_that_was_lost_on_the_way_is_not_delivered_twice() {
    // Long enough for the test to see it.
    let after = Some(Duration::from_secs(1));
    let lost = Trouble::Retry {
        error: "connection lost after the commit".to_owned(),
        after,
    };
    let mut rig = Rig::new(Far {
        own: Some(Some(Position::START)),
        script: [None, Some((0, lost))].into(),
        ..Far::default()
    })
    .await;
    rig.append(["ok", "ok"]).await;
    rig.start();
    rig.until_done().await;
    rig.append(["ok", "filtered", "ok", "ok"]).await;
    rig.until("the answer was lost", |rig| {
        rig.fake.far().attempts.len() == 2
    })
    .await;
    rig.fake.far().own = Some(Some(Position(5)));
    rig.until_done().await;
    assert_eq!(
        rig.fake.far().attempts,
        [vec![1, 2], vec![3, 5, 6], vec![6]]
    );
    assert_eq!(rig.counted(), [5, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn filtered_entries_are_not_read_again_after_trouble() {
    let mut rig = Rig::new(Far {
        own: Some(Some(Position::START)),
        script: [None, Some((0, retry("down")))].into(),
        ..Far::default()
    })
    .await;
    rig.append(["ok"]).await;
    rig.start();
    rig.until_done().await;
    rig.append(["filtered"; 5]).await;
    rig.until_done().await;
    rig.append(["ok"]).await;
    rig.until_done().await;
    assert_eq!(rig.counted(), [2, 5, 0]);
    assert_eq!(rig.fake.far().attempts, [vec![1], vec![7], vec![7]]);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_ahead_is_dropped_where_the_sink_goes_back() {
    // Long enough for the test to see it.
    let lost = Trouble::Retry {
        error: "restored from a backup".to_owned(),
        after: Some(Duration::from_secs(60)),
    };
    let mut rig = Rig::new(Far {
        own: Some(Some(Position::START)),
        script: [None, Some((0, lost))].into(),
        ..Far::default()
    })
    .await;
    rig.append(["ok"; 2500]).await;
    rig.start();
    rig.until("it is in trouble", |rig| rig.fake.far().attempts.len() == 2)
        .await;
    rig.fake.far().own = Some(Some(Position(500)));
    rig.until_done().await;
    let attempts: Vec<_> = rig
        .fake
        .far()
        .attempts
        .iter()
        .map(|batch| (batch[0], batch.len()))
        .collect();
    // After the failure half as many at first.
    assert_eq!(
        attempts,
        [
            (1, 1000),
            (1001, 1000),
            (501, 500),
            (1001, 500),
            (1501, 1000)
        ]
    );
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn batches_follow_each_other_whatever_becomes_of_them() {
    let script = [
        None,
        Some((300, retry("down"))),
        None,
        Some((0, retry("down"))),
        Some((1, retry("down"))),
    ];
    let mut rig = Rig::new(Far {
        script: script.into(),
        ..far(&[1001, 3999], Refuses::Whole)
    })
    .await;
    rig.append(["ok", "ok", "filtered", "ok", "unreadable"].repeat(800))
        .await;
    rig.start();
    rig.until_done().await;
    let good =
        |position: &i64| ![1001, 3999].contains(position) && ![3, 0].contains(&(position % 5));
    assert_eq!(
        rig.fake.far().confirmed,
        (1..=4000).filter(good).collect::<Vec<_>>()
    );
    assert_eq!(rig.counted(), [2398, 800, 802]);
    rig.stop().await;
}

fn positions(positions: &[i64]) -> Which {
    Which::Positions(positions.iter().copied().map(Position).collect())
}

#[tokio::test(start_paused = true)]
async fn sink_whose_dead_letters_are_full_waits_and_goes_on_once_there_is_room() {
    // Room for nine or so, as the reason of the next one may be long.
    let settings = journal::Settings {
        dlq_bytes_max: 5000,
        ..journal::Settings::new(PathBuf::new())
    };
    let mut rig = Rig::of(
        far(&(1..=20).collect::<Vec<i64>>(), Refuses::ByIndex),
        settings,
    )
    .await;
    rig.fake.far().by = By::Us;
    rig.append(["ok", "ok", "ok", "ok", "ok", "unreadable"])
        .await;
    rig.append(["ok"; 14]).await;
    rig.start();
    let full = |rig: &Rig| {
        let down = rig.health.report().last_error;
        down.is_some_and(|error| error.contains("dlq_max_bytes"))
    };
    rig.until("the dead letters are full", full).await;
    let listed = rig.dead_letters().await.len();
    let attempts = rig.fake.far().attempts.len();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(rig.fake.far().attempts.len(), attempts, "it waits");
    assert!(
        rig.journal.log.status().sinks[0].dlq_bytes <= 5000,
        "within its bound"
    );
    // The receiver was mended: the redrive makes room, and the log goes on.
    rig.fake.far().bad = [2].into();
    rig.journal.admin.redrive("site", Which::All).await.unwrap();
    rig.until_done().await;
    rig.until_settled().await;
    let mut kept: Vec<i64> = rig.dead_letters().await.into_keys().collect();
    kept.retain(|position| *position != 6);
    assert_eq!(kept, [2]);
    let passed = rig.account().await.accounting.passed;
    assert_eq!(
        (listed, passed.dead_lettered, passed.delivered),
        (11, 11, 9)
    );
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn unreadable_entry_waits_for_room_as_an_attempt_does() {
    let settings = journal::Settings {
        dlq_bytes_max: 3000,
        ..journal::Settings::new(PathBuf::new())
    };
    let mut rig = Rig::of(Far::default(), settings).await;
    rig.append(["unreadable"; 5]).await;
    rig.append(["ok"]).await;
    rig.start();
    for listed in [3, 2] {
        rig.until("the dead letters are as many as fit", |rig| {
            rig.journal.log.status().sinks[0].dead_lettered == listed
        })
        .await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        rig.until("the sink is up only where all of them fit", |rig| {
            rig.health.report().up == (listed == 2)
        })
        .await;
        rig.journal.admin.discard("site", Which::All).await.unwrap();
    }
    rig.until_done().await;
    assert_eq!(rig.account().await.accounting.passed.delivered, 1);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn redriven_entry_is_delivered_and_moves_no_cursor() {
    for own in [None, Some(Some(Position::START))] {
        let mut rig = Rig::new(Far {
            own,
            ..far(&[2, 4, 5], Refuses::Whole)
        })
        .await;
        rig.append(["ok", "ok", "ok", "ok", "ok", "unreadable"])
            .await;
        rig.start();
        rig.until_done().await;
        assert_eq!(rig.account().await.waiting, 4);
        // 2 and 5 are taken by now, 4 is not.
        rig.fake.far().bad = [4].into();
        rig.journal
            .admin
            .redrive("site", positions(&[2, 4]))
            .await
            .unwrap();
        rig.until_settled().await;
        assert_eq!(rig.fake.far().again, [2, 4]);
        assert_eq!(
            rig.dead_letters().await.into_keys().collect::<Vec<_>>(),
            [4, 5, 6]
        );
        rig.stop().await;
        // A redrive that was asked for while nothing runs waits for the start.
        assert_eq!(
            rig.journal.admin.redrive("site", Which::All).await.unwrap(),
            3
        );
        rig.start();
        rig.until_settled().await;
        assert_eq!(rig.fake.far().again, [2, 4, 4, 5]);
        assert_eq!(
            rig.dead_letters().await.into_keys().collect::<Vec<_>>(),
            [4, 6]
        );
        assert_eq!(
            rig.journal.admin.discard("site", Which::All).await.unwrap(),
            2
        );
        let account = rig.account().await;
        assert_eq!(
            (
                account.accounting.redriven,
                account.accounting.discarded,
                account.waiting
            ),
            (2, 2, 0)
        );
        assert_eq!(
            (account.cursor, account.accounting.passed.delivered),
            (Position(6), 2)
        );
        rig.append(["ok"]).await;
        rig.until_done().await;
        rig.stop().await;
        assert_eq!(rig.fake.far().confirmed, [1, 3, 7]);
    }
}

#[tokio::test(start_paused = true)]
async fn replay_gives_the_slice_again_and_only_that() {
    let mut rig = Rig::new(far(&[3], Refuses::Whole)).await;
    rig.append(["ok", "filtered", "ok", "ok", "ok", "ok"]).await;
    rig.start();
    rig.until_done().await;
    let replay = Replay {
        done: Position(1),
        through: Position(5),
        since: None,
        until: None,
        device_id: None,
    };
    rig.journal
        .admin
        .begin_replay("site", replay.clone())
        .await
        .unwrap();
    rig.until_settled().await;
    assert_eq!(
        rig.fake.far().again,
        [4, 5],
        "3 is dead-lettered, and stays so"
    );
    rig.journal
        .admin
        .begin_replay(
            "site",
            Replay {
                device_id: Some("2".to_owned()),
                ..replay.clone()
            },
        )
        .await
        .unwrap();
    rig.until_settled().await;
    let since = Some(Timestamp::MAX);
    rig.journal
        .admin
        .begin_replay(
            "site",
            Replay {
                since,
                ..replay.clone()
            },
        )
        .await
        .unwrap();
    rig.until_settled().await;
    assert_eq!(rig.fake.far().again, [4, 5]);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_rejected_in_a_replay_is_listed_and_counted_once() {
    let mut rig = Rig::new(far(&[3], Refuses::Whole)).await;
    rig.append(["ok", "filtered", "ok", "ok", "ok", "ok"]).await;
    rig.start();
    rig.until_done().await;
    let replay = Replay {
        done: Position(1),
        through: Position(5),
        since: None,
        until: None,
        device_id: None,
    };
    rig.fake.far().bad = [4].into();
    let admin = rig.journal.admin.clone();
    admin.begin_replay("site", replay.clone()).await.unwrap();
    rig.until_settled().await;
    let listed = rig.dead_letters().await;
    assert_eq!(listed.keys().collect::<Vec<_>>(), [&3, &4]);
    assert_eq!(listed[&4], "rejected in a replay: refused 4");
    // As every dead letter it is left to a redrive from now on.
    rig.fake.far().bad.clear();
    rig.fake.far().again.clear();
    admin.begin_replay("site", replay).await.unwrap();
    rig.until_settled().await;
    assert_eq!(rig.fake.far().again, [5]);
    // The log that brings it again, since the sink has lost it, counts it.
    rig.fake.far().bad = [4].into();
    rig.fake.far().own = Some(Some(Position(3)));
    rig.fake.far().confirmed.clear();
    rig.stop().await;
    rig.start();
    rig.until("what is behind it comes again", |rig| {
        rig.fake.far().confirmed.contains(&6)
    })
    .await;
    rig.until_done().await;
    assert_eq!(rig.dead_letters().await[&4], "refused 4");
    rig.fake.far().bad.clear();
    let redriven = admin.redrive("site", positions(&[4]));
    assert_eq!(redriven.await.unwrap(), 1);
    rig.until_settled().await;
    assert_eq!(
        rig.dead_letters().await.into_keys().collect::<Vec<_>>(),
        [3]
    );
    // It checks the accounting.
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_whose_entry_was_evicted_stays_with_its_reason() {
    let mut rig = Rig::new(Far::default()).await;
    rig.append(["ok"]).await;
    rig.start();
    rig.until_done().await;
    // No log has this position.
    let gone = Position::START;
    let listed = rig.journal.cursors.replay_rejected("site", gone, "refused");
    assert!(listed.await.unwrap());
    let reason = rig.dead_letters().await.remove(&gone.0).unwrap();
    assert!(
        reason.contains("refused (its entry was evicted"),
        "{reason}"
    );
    let redriven = rig.journal.admin.redrive("site", Which::All);
    assert_eq!(redriven.await.unwrap(), 1);
    rig.until_settled().await;
    assert_eq!(rig.dead_letters().await, [(gone.0, reason)].into());
    assert!(rig.fake.far().again.is_empty());
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn redriven_undecodable_entry_goes_to_the_sinks_that_exist() {
    let mut rig = Rig::new(Far::default()).await;
    let undecodable = NewEntry {
        topic: "map-1".into(),
        received_at: Timestamp::now(),
        body: Bytes::from_static(b"ok"),
        content: NewContent::Undecodable {
            reason: "no such field".into(),
        },
    };
    let batch = NewBatch {
        entries: vec![undecodable.clone(), undecodable],
    };
    rig.journal.log.append(batch).await.unwrap();
    rig.start();
    rig.until_done().await;
    let mut reader = rig.journal.log.reader().await.unwrap();
    assert_eq!(reader.undecodable_count().await.unwrap(), 2);
    rig.journal
        .admin
        .redrive_undecodable(vec![(Position(1), Vec::new())])
        .await
        .unwrap();
    rig.until_settled().await;
    assert_eq!(rig.fake.far().again, [1]);
    assert_eq!(reader.undecodable_count().await.unwrap(), 1);
    assert_eq!(
        rig.journal
            .admin
            .discard_undecodable(Which::All)
            .await
            .unwrap(),
        1
    );
    assert_eq!(reader.undecodable_count().await.unwrap(), 0);
    assert!(rig.dead_letters().await.is_empty());
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn account_balances_where_the_sinks_own_cursor_goes_back() {
    let mut rig = Rig::new(Far {
        own: Some(Some(Position::START)),
        ..far(&[3, 5], Refuses::Whole)
    })
    .await;
    rig.append(["ok", "ok", "ok", "filtered", "ok", "ok"]).await;
    rig.start();
    rig.until_done().await;
    rig.stop().await;
    rig.journal
        .admin
        .redrive("site", positions(&[3]))
        .await
        .unwrap();
    rig.fake.far().bad = [5].into();
    rig.start();
    rig.until_settled().await;
    rig.stop().await;
    for own in [2, 4, 0] {
        rig.fake.far().own = Some(Some(Position(own)));
        rig.start();
        rig.until("it has read again", |rig| {
            rig.fake.far().own == Some(Some(Position(6)))
        })
        .await;
        rig.until_done().await;
        rig.stop().await;
    }
    assert_eq!(rig.account().await.waiting, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_evicted_before_it_was_read_is_accounted_for() {
    let long: &str = "x".repeat(3000).leak();
    let mut rig = Rig::with(far(&[], Refuses::Whole), 1 << 20, WhenFull::DropOldest).await;
    for _ in 0..14 {
        rig.append([long; 100]).await;
    }
    rig.until("some are dropped", |rig| {
        rig.journal.log.status().oldest > Some(Position(1))
    })
    .await;
    rig.start();
    rig.until_done().await;
    rig.stop().await;
    let passed = rig.account().await.accounting.passed;
    assert!(passed.evicted > 0 && passed.delivered > 0, "{passed:?}");
    assert_eq!(passed.evicted + passed.delivered, 1400);
    assert_eq!(passed.delivered, rig.fake.far().confirmed.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn sink_that_refuses_more_than_a_fifth_is_waited_for_and_not_stripped_of_its_events() {
    for refuses in [Refuses::ByIndex, Refuses::ByIndexWhole, Refuses::Whole] {
        let all: Vec<i64> = (1..=300).collect();
        let mut rig = Rig::new(far(&all, refuses)).await;
        rig.append(["ok"; 300]).await;
        rig.start();
        rig.until("the circuit breaker opens", |rig| {
            rig.counters.retries.load(Ordering::Relaxed) > 0
        })
        .await;
        // Not from the disk: time would run on while it is asked.
        let dead = rig.journal.cursors.dead_letters("site");
        assert!((19..30).contains(&dead), "{refuses:?}: {dead}");
        let report = rig.health.report();
        assert!(!report.up);
        assert!(
            report
                .last_error
                .unwrap()
                .contains("events were rejected: refused 2"),
            "{refuses:?}"
        );
        // Refused a second time it is the event's fault, as far as that can be known.
        rig.until("one more is dead-lettered", |rig| rig.counted()[2] >= 20)
            .await;
        assert!(rig.counters.retries.load(Ordering::Relaxed) >= 2);
        // Somebody has mended it.
        rig.fake.far().bad.clear();
        rig.until_done().await;
        let dead = rig.dead_letters().await.len() as u64;
        assert_eq!(rig.counted(), [300 - dead, 0, dead]);
        assert!(rig.health.report().up);
        rig.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_bad_event_in_a_hundred_costs_the_others_little() {
    let bad: Vec<i64> = (0..4000).filter(|position| position % 97 == 13).collect();
    for refuses in [Refuses::ByIndexWhole, Refuses::Whole] {
        let mut rig = Rig::new(far(&bad, refuses)).await;
        rig.append(["ok"; 4000]).await;
        rig.start();
        rig.until_done().await;
        assert_eq!(
            rig.dead_letters().await.into_keys().collect::<Vec<_>>(),
            bad
        );
        let given: usize = rig.fake.far().attempts.iter().map(Vec::len).sum();
        assert!(
            given < 6 * 4000,
            "{refuses:?}: 4000 events were given as {given}"
        );
        // Events that are accepted again go in whole batches again.
        rig.append(["ok"; 4000]).await;
        rig.until_done().await;
        assert_eq!(rig.fake.far().attempts.last().map(Vec::len), Some(1000));
        rig.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_we_refuse_ourselves_says_nothing_of_the_sink() {
    let mut rig = Rig::new(Far {
        by: By::Us,
        ..far(&(1..=60).collect::<Vec<_>>(), Refuses::ByIndex)
    })
    .await;
    rig.append(["ok"; 60]).await;
    rig.start();
    rig.until_done().await;
    assert_eq!(
        (rig.counted(), rig.counters.retries.load(Ordering::Relaxed)),
        ([0, 0, 60], 0)
    );
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn idle_sink_may_look_after_itself() {
    let mut rig = Rig::new(Far::default()).await;
    rig.start();
    rig.until("it has, twice", |rig| rig.fake.far().tended == 2)
        .await;
    rig.append(["ok"]).await;
    rig.until_done().await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn idle_sink_that_goes_on_is_called_again_at_once_and_deliveries_go_first() {
    let mut rig = Rig::new(Far {
        pieces: 100,
        ..Far::default()
    })
    .await;
    rig.append(["ok"]).await;
    rig.start();
    rig.at_once("all of it is done", |rig| rig.fake.far().pieces == 0)
        .await;
    rig.until_done().await;
    // What begins behind an attempt does not wait either.
    rig.fake.far().pieces = 100;
    rig.append(["ok"]).await;
    rig.at_once("all of it is done", |rig| rig.fake.far().pieces == 0)
        .await;
    let tended = rig.fake.far().tended;
    rig.until("the interval counts again", |rig| {
        rig.fake.far().tended > tended
    })
    .await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_sink_warns_of_is_shown_while_it_delivers_and_until_it_is_over() {
    let mut rig = Rig::new(Far {
        warning: Some("no right".to_owned()),
        ..Far::default()
    })
    .await;
    rig.append(["ok"]).await;
    rig.start();
    let shown = |rig: &Rig| {
        let report = rig.health.report();
        (report.up, report.warning)
    };
    rig.until("it is shown", |rig| {
        shown(rig) == (true, Some("no right".to_owned()))
    })
    .await;
    rig.until_done().await;
    rig.fake.far().warning = None;
    rig.until("it is over", |rig| shown(rig) == (true, None))
        .await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn idle_sink_that_no_longer_answers_is_not_up_and_is_opened_again() {
    let mut rig = Rig::new(Far {
        probes: [retry("no PINGRESP")].into(),
        openings: VecDeque::new(),
        ..Far::default()
    })
    .await;
    rig.start();
    rig.until("it is up", |rig| rig.health.report().up).await;
    // Long enough for the test to see it.
    let after = Some(Duration::from_secs(60));
    let error = "refused".to_owned();
    rig.fake.far().openings = [Trouble::Retry { error, after }].into();
    rig.until("it is not", |rig| {
        let report = rig.health.report();
        !report.up && report.last_error.as_deref() == Some("refused")
    })
    .await;
    rig.until("it is up again", |rig| rig.health.report().up)
        .await;
    assert_eq!(rig.fake.far().opened, 3);
    rig.append(["ok"]).await;
    rig.until_done().await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn idle_sink_that_notices_its_loss_is_asked_at_once() {
    let mut rig = Rig::new(Far::default()).await;
    rig.start();
    rig.until("it is up", |rig| rig.health.report().up).await;
    let error = "the broker is gone".to_owned();
    let after = Some(Duration::from_secs(60));
    rig.fake.far().probes = [Trouble::Retry { error, after }].into();
    rig.fake.lost.notify_one();
    rig.at_once("it is not", |rig| !rig.health.report().up)
        .await;
    rig.stop().await;
}

fn scripts() -> impl Strategy<Value = VecDeque<Option<(usize, Trouble)>>> {
    let step = prop_oneof![
        2 => Just(None),
        1 => (0..700usize).prop_map(|confirmed| Some((confirmed, retry("down")))),
    ];
    prop::collection::vec(step, 0..20).prop_map(VecDeque::from)
}

fn bodies() -> impl Strategy<Value = Vec<&'static str>> {
    let body = prop_oneof![6 => Just("ok"), 2 => Just("filtered"), 1 => Just("unreadable")];
    prop::collection::vec(body, 1..60)
        .prop_flat_map(|bodies| (Just(bodies), 1..40usize))
        .prop_map(|(bodies, times)| bodies.repeat(times))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_skipped_and_nothing_out_of_order(
        bodies in bodies(),
        bad in prop::collection::btree_set(1..2400i64, 0..6),
        refuses in prop_oneof![Just(Refuses::ByIndex), Just(Refuses::ByIndexWhole), Just(Refuses::Whole)],
        script in scripts(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut rig = Rig::new(Far { bad: bad.clone(), refuses, script, ..Far::default() }).await;
            rig.append(bodies.clone()).await;
            rig.start();
            rig.until_done().await;
            rig.stop().await;
            let of = |wanted: &str| -> Vec<i64> {
                (1..).zip(&bodies).filter(|(_, body)| **body == wanted).map(|(position, _)| position).collect()
            };
            let (bad, good): (Vec<i64>, Vec<i64>) =
                of("ok").into_iter().partition(|position| bad.contains(position));
            assert!(rig.fake.far().confirmed == good, "confirmed is what is good, in order");
            let mut dead = [bad, of("unreadable")].concat();
            dead.sort_unstable();
            assert!(rig.dead_letters().await.into_keys().eq(dead.iter().copied()), "dead-lettered is what is not");
            assert_eq!(rig.counted(), [good.len() as u64, of("filtered").len() as u64, dead.len() as u64]);
        });
    }
}
