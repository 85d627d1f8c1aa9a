//! Each device's order with a journal on disk, and a far side that follows a script: the cursor and
//! the accounting. How long anything takes is the business of the scheduler's tests: paused time
//! runs ahead whenever the disk is waited for.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use proptest::prelude::*;
use tokio::sync::Notify;
use uuid::Uuid;

use super::*;
use crate::delivery::engine::AHEAD_ENTRIES_MAX;
use crate::sinks::Ordering as SinkOrdering;

#[derive(Debug, Clone)]
enum Answer {
    Taken,
    /// None comes until it is released.
    Held,
    Trouble(Trouble),
}

/// The far side, and what it has seen.
struct World {
    /// By device, what happens next; then `always`.
    script: HashMap<String, VecDeque<Answer>>,
    always: HashMap<String, Answer>,
    /// Whatever it is.
    all: Option<Answer>,
    attempts: usize,
    /// The accepted events, by device, in order.
    taken: BTreeMap<String, Vec<i64>>,
    held: usize,
    release: Arc<Notify>,
    /// What a look at it finds.
    unreachable: Option<Trouble>,
}

#[derive(Clone)]
struct Road {
    world: Arc<Mutex<World>>,
    terms: (usize, usize, Duration),
}

impl Road {
    fn new() -> Road {
        Road::with(8, 1, Duration::ZERO)
    }

    fn with(concurrency: usize, batch_max: usize, batch_wait: Duration) -> Road {
        let world = World {
            script: HashMap::new(),
            always: HashMap::new(),
            all: None,
            attempts: 0,
            taken: BTreeMap::new(),
            held: 0,
            release: Arc::default(),
            unreachable: None,
        };
        Road {
            world: Arc::new(Mutex::new(world)),
            terms: (concurrency, batch_max, batch_wait),
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// From now on one device's events meet this; `None`: they are taken.
    fn always(&self, device: &str, answer: Option<Answer>) {
        match answer {
            Some(answer) => self.world().always.insert(device.to_owned(), answer),
            None => self.world().always.remove(device),
        };
    }

    fn taken(&self, device: &str) -> Vec<i64> {
        self.world().taken.get(device).cloned().unwrap_or_default()
    }

    fn taken_in_all(&self) -> usize {
        self.world().taken.values().map(Vec::len).sum()
    }

    /// Accepts the held events and the following ones.
    fn release(&self, device: &str) {
        self.always(device, None);
        self.world().release.notify_waiters();
    }

    fn sink(&self) -> Box<dyn Sink> {
        Box::new(self.clone())
    }
}

impl Sink for Road {
    fn capabilities(&self) -> Capabilities {
        let (concurrency, batch_max, batch_wait) = self.terms;
        Capabilities {
            batch_max,
            ordering: SinkOrdering::PerDevice {
                concurrency,
                batch_wait,
            },
            ..Capabilities::default()
        }
    }

    fn open(&mut self, _: Uuid) -> BoxFuture<'_, Result<Option<Position>, Trouble>> {
        Box::pin(async { Ok(None) })
    }

    fn attempt<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), Undelivered>> {
        let attempted = self.make(batch.events.to_vec());
        Box::pin(async move {
            attempted.await.map_err(|trouble| Undelivered {
                confirmed: 0,
                trouble,
            })
        })
    }

    fn idle(&mut self) -> BoxFuture<'_, Result<(), Trouble>> {
        let unreachable = self.world().unreachable.clone();
        Box::pin(async { unreachable.map_or(Ok(()), Err) })
    }

    fn another(&self) -> Option<Box<dyn Sink>> {
        Some(self.sink())
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

fn device_of(event: &Event) -> &str {
    event.device_id().unwrap_or_default()
}

impl Road {
    fn make(&self, events: Vec<Event>) -> BoxFuture<'static, Result<(), Trouble>> {
        let mut world = self.world();
        world.attempts += 1;
        let answers = events.iter().map(|event| {
            let scripted = world
                .script
                .get_mut(device_of(event))
                .and_then(VecDeque::pop_front);
            scripted
                .or_else(|| world.always.get(device_of(event)).cloned())
                .unwrap_or(Answer::Taken)
        });
        let answers: Vec<Answer> = answers.collect();
        let bad = answers
            .into_iter()
            .find(|answer| !matches!(answer, Answer::Taken));
        let answer = world.all.clone().or(bad).unwrap_or(Answer::Taken);
        if matches!(answer, Answer::Held) {
            world.held += 1;
        }
        let (shared, release) = (Arc::clone(&self.world), Arc::clone(&world.release));
        let released = release.notified_owned();
        Box::pin(async move {
            match answer {
                Answer::Taken => {}
                Answer::Held => released.await,
                Answer::Trouble(trouble) => return Err(trouble),
            }
            let mut world = shared.lock().unwrap();
            for event in events {
                world
                    .taken
                    .entry(device_of(&event).to_owned())
                    .or_default()
                    .push(event.position().0);
            }
            Ok(())
        })
    }
}

fn fails() -> Option<Answer> {
    Some(Answer::Trouble(Trouble::Unclear {
        error: "500".to_owned(),
    }))
}

fn refuses() -> Option<Answer> {
    Some(Answer::Trouble(Trouble::Refused {
        index: None,
        by: By::Them,
        error: "422".to_owned(),
    }))
}

fn busy() -> Option<Answer> {
    Some(Answer::Trouble(Trouble::Retry {
        error: "503".to_owned(),
        after: None,
    }))
}

/// Statuses of these devices.
const DEVICES: [&str; 10] = ["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9"];

fn in_turn(count: usize) -> impl Iterator<Item = &'static str> {
    DEVICES.into_iter().cycle().take(count)
}

fn cursor(rig: &Rig) -> i64 {
    rig.journal.cursors.cursor("site").unwrap().0
}

#[tokio::test(start_paused = true)]
async fn cursor_waits_for_the_lane_that_is_stuck_and_the_others_do_not() {
    let (mut rig, road) = (Rig::new(Far::default()).await, Road::new());
    road.always("3", Some(Answer::Held));
    rig.append(in_turn(200)).await;
    rig.start_with(road.sink());
    rig.until("the others are served", |_| road.taken_in_all() == 180)
        .await;
    assert_eq!(cursor(&rig), 3, "the first event of device 3 is at 4");
    assert!(rig.health.report().up);
    rig.append(in_turn(200)).await;
    rig.until("the others are served", |_| road.taken_in_all() == 360)
        .await;
    assert_eq!((cursor(&rig), road.world().held), (3, 1));
    road.release("3");
    rig.until_done().await;
    assert_eq!(
        road.taken("3"),
        (0..40).map(|n| 4 + n * 10).collect::<Vec<_>>()
    );
    rig.stop().await;
    assert_eq!(rig.account().await.accounting.passed.delivered, 400);
}

#[tokio::test(start_paused = true)]
async fn what_is_beyond_the_cursor_at_a_stop_comes_again_with_its_id() {
    let (mut rig, road) = (Rig::new(Far::default()).await, Road::new());
    road.always("1", Some(Answer::Held));
    rig.append(in_turn(100)).await;
    rig.start_with(road.sink());
    rig.until("the others are served", |_| road.taken_in_all() == 90)
        .await;
    // It does not wait for an answer that never comes.
    rig.stop().await;
    assert_eq!((cursor(&rig), rig.counted()), (1, [1, 0, 0]));
    road.always("1", None);
    rig.start_with(road.sink());
    rig.until_done().await;
    let again = (0..9).map(|n| 11 + n * 10).cycle().take(18);
    assert_eq!(
        road.taken("0"),
        [1].into_iter().chain(again).collect::<Vec<_>>()
    );
    assert_eq!(
        road.taken("1"),
        (0..10).map(|n| 2 + n * 10).collect::<Vec<_>>()
    );
    rig.stop().await;
    assert_eq!(rig.account().await.accounting.passed.delivered, 100);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_at_a_stop_is_waited_for() {
    let (mut rig, road) = (Rig::new(Far::default()).await, Road::new());
    road.always("1", Some(Answer::Held));
    rig.append(["d1", "d1", "d2"]).await;
    rig.start_with(road.sink());
    rig.until("one is in flight", |_| {
        road.world().held == 1 && road.taken("2") == [3]
    })
    .await;
    let world = Arc::clone(&road.world);
    let released = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.lock().unwrap().release.notify_waiters();
    });
    rig.stop().await;
    released.await.unwrap();
    // And no further attempt begins.
    assert_eq!((cursor(&rig), road.taken("1")), (1, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn disabled_sink_is_left_alone() {
    let (mut rig, road) = (
        Rig::new(Far::default()).await,
        Road::with(1, 1, Duration::ZERO),
    );
    let gone = Answer::Trouble(Trouble::Disabled {
        error: "410".to_owned(),
    });
    road.world().script.insert("2".to_owned(), [gone].into());
    rig.append(["d1", "d2"]).await;
    rig.start_with(road.sink());
    rig.until("it is disabled", |rig| {
        rig.health.report().last_error.as_deref() == Some("410")
    })
    .await;
    rig.append(["d1", "d3"]).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(cursor(&rig), 1);
    assert_eq!(road.world().attempts, 2);
    assert!(!rig.health.report().up);
    // As after a restart, or on demand.
    rig.health.ask_retry();
    rig.until_done().await;
    assert_eq!(
        (road.taken("1"), road.taken("2"), road.taken("3")),
        (vec![1, 3], vec![2], vec![4])
    );
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sink_that_rejects_too_much_is_not_up_until_it_accepts_something() {
    let (mut rig, road) = (Rig::new(Far::default()).await, Road::new());
    road.world().all = refuses();
    rig.append(in_turn(100)).await;
    rig.start_with(road.sink());
    rig.until("the circuit breaker opens", |rig| {
        rig.health.report().paused
    })
    .await;
    let report = rig.health.report();
    assert!(
        !report.up
            && report
                .last_error
                .unwrap()
                .starts_with("20 of the last 20 events were rejected")
    );
    assert!(rig.dead_letters().await.len() >= 19);
    road.world().all = None;
    rig.until_done().await;
    assert!(rig.health.report().up);
    let dead = rig.dead_letters().await.len();
    assert_eq!(
        (road.taken_in_all() + dead, rig.counted()[2]),
        (100, dead as u64)
    );
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn redrives_pass_everything_that_waits_for_room() {
    let settings = journal::Settings {
        dlq_bytes_max: 5000,
        ..journal::Settings::new(PathBuf::new())
    };
    // Batches, so that one rejection holds the lanes of others.
    let road = Road::with(2, 4, Duration::ZERO);
    let mut rig = Rig::of(Far::default(), settings).await;
    let devices = ["d1", "d2", "d3", "d4", "d5", "d6"];
    // By our own rules, so that no circuit breaker opens.
    road.world().all = Some(Answer::Trouble(Trouble::Refused {
        index: None,
        by: By::Us,
        error: "too long".to_owned(),
    }));
    for _ in 0..300 {
        rig.append(devices).await;
    }
    rig.start_with(road.sink());
    rig.until("the dead letters are full", |rig| {
        let error = rig.health.report().last_error;
        error.is_some_and(|error| error.contains("dlq_max_bytes"))
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!rig.health.report().up);
    road.world().all = None;
    rig.journal.admin.redrive("site", Which::All).await.unwrap();
    rig.until_done().await;
    rig.until_settled().await;
    assert!(rig.health.report().up);
    let passed = rig.account().await.accounting;
    assert_eq!(
        passed.passed.dead_lettered,
        passed.redriven + rig.dead_letters().await.len() as u64
    );
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn event_that_holds_the_cursor_before_full_dead_letters_may_still_go() {
    let settings = journal::Settings {
        dlq_bytes_max: 5000,
        ..journal::Settings::new(PathBuf::new())
    };
    let road = Road::new();
    let mut rig = Rig::of(Far::default(), settings).await;
    let too_long = Answer::Trouble(Trouble::Refused {
        index: None,
        by: By::Us,
        error: "too long".to_owned(),
    });
    road.always("1", fails());
    (2..=6).for_each(|device| road.always(&device.to_string(), Some(too_long.clone())));
    for _ in 0..20 {
        rig.append(["d1", "d2", "d3", "d4", "d5", "d6"]).await;
    }
    rig.start_with(road.sink());
    rig.until("the dead letters are full", |rig| {
        let error = rig.health.report().last_error;
        error.is_some_and(|error| error.contains("dlq_max_bytes"))
    })
    .await;
    assert_eq!(cursor(&rig), 0, "all of them are behind the cursor");
    road.always("1", None);
    rig.until("the event that holds the cursor is delivered", |_| {
        road.taken("1").starts_with(&[1])
    })
    .await;
    rig.until("an operator's command frees the sink", |rig| {
        rig.journal.log.status().sinks[0].cursor > Position(1)
    })
    .await;
    (2..=6).for_each(|device| road.always(&device.to_string(), None));
    rig.journal.admin.redrive("site", Which::All).await.unwrap();
    rig.until_done().await;
    rig.until_settled().await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn redrives_and_replays_pass_a_stuck_lane_and_move_no_cursor() {
    let (mut rig, road) = (Rig::new(Far::default()).await, Road::new());
    road.always("2", refuses());
    rig.append(["d1", "d2", "d3", "d1", "d3"]).await;
    rig.start_with(road.sink());
    rig.until_done().await;
    road.always("2", None);
    road.always("3", Some(Answer::Held));
    rig.append(["d3", "d1"]).await;
    rig.journal
        .admin
        .redrive("site", Which::Positions(vec![Position(2)]))
        .await
        .unwrap();
    let replay = Replay {
        done: Position(0),
        through: Position(5),
        since: None,
        until: None,
        device_id: None,
    };
    rig.journal
        .admin
        .begin_replay("site", replay)
        .await
        .unwrap();
    rig.until("what can be delivered is", |_| {
        road.taken("1").len() == 5 && road.taken("2").starts_with(&[2])
    })
    .await;
    assert_eq!(cursor(&rig), 5);
    road.release("3");
    rig.until_settled().await;
    rig.until_done().await;
    assert_eq!(road.taken("1"), [1, 4, 7, 1, 4]);
    let mut third = road.taken("3");
    third.sort_unstable();
    assert_eq!(third, [3, 3, 5, 5, 6]);
    assert!(rig.dead_letters().await.is_empty());
    rig.stop().await;
    let account = rig.account().await;
    assert_eq!(
        (
            account.accounting.redriven,
            account.accounting.passed.dead_lettered,
            account.accounting.passed.delivered
        ),
        (1, 1, 6)
    );
}

#[tokio::test(start_paused = true)]
async fn redriven_event_that_is_refused_again_is_listed_again() {
    let (mut rig, road) = (Rig::new(Far::default()).await, Road::new());
    road.always("2", refuses());
    rig.append(["d2", "d1", "unreadable"]).await;
    rig.start_with(road.sink());
    rig.until_done().await;
    let gone = || {
        Some(Answer::Trouble(Trouble::Refused {
            index: None,
            by: By::Them,
            error: "413".to_owned(),
        }))
    };
    road.always("2", gone());
    assert_eq!(
        rig.journal.admin.redrive("site", Which::All).await.unwrap(),
        2
    );
    rig.until_settled().await;
    let dead: Vec<(i64, String)> = rig.dead_letters().await.into_iter().collect();
    assert_eq!(
        dead,
        [(1, "413".to_owned()), (3, "no such field".to_owned())]
    );
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn window_ahead_of_the_cursor_is_bounded() {
    let (mut rig, road) = (
        Rig::new(Far::default()).await,
        Road::with(64, 100, Duration::ZERO),
    );
    rig.append(["d1"]).await;
    road.always("1", Some(Answer::Held));
    rig.start_with(road.sink());
    rig.until("it is on its way", |_| road.world().held == 1)
        .await;
    for _ in 0..12 {
        rig.append(["filtered", "d2"].into_iter().cycle().take(2000))
            .await;
    }
    // Every other run of the window is one event.
    let most = AHEAD_ENTRIES_MAX / 2;
    rig.until("as many as may are served", |_| {
        road.taken("2").len() >= most
    })
    .await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(
        road.taken("2").len() <= most + 1000,
        "{}",
        road.taken("2").len()
    );
    assert_eq!(cursor(&rig), 0);
    road.release("1");
    rig.until_done().await;
    assert_eq!(rig.counted(), [12_001, 12_000, 0]);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sink_that_was_never_reached_is_not_up_until_it_is() {
    let (mut rig, road) = (Rig::new(Far::default()).await, Road::new());
    road.world().unreachable = Some(Trouble::Retry {
        error: "connection refused".to_owned(),
        after: None,
    });
    rig.start_with(road.sink());
    rig.until("it was looked at", |rig| {
        rig.health.report().last_error.is_some()
    })
    .await;
    assert!(!rig.health.report().up);
    road.world().unreachable = None;
    rig.until("it is up", |rig| rig.health.report().up).await;
    // An event is as good as a look.
    road.world().unreachable = Some(Trouble::Retry {
        error: "connection refused".to_owned(),
        after: None,
    });
    rig.until("it is not up", |rig| !rig.health.report().up)
        .await;
    rig.append(["d1"]).await;
    rig.until_done().await;
    rig.until("it is up", |rig| rig.health.report().up).await;
    rig.stop().await;
}

/// What the far side answers to one event after the other.
fn answers() -> impl Strategy<Value = Vec<(u8, Option<Answer>)>> {
    let answer = prop_oneof![
        6 => Just(None),
        2 => Just(fails()),
        1 => Just(refuses()),
        1 => Just(busy()),
    ];
    prop::collection::vec((0..10_u8, answer), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_skipped_and_each_device_is_in_order(
        count in 1..400_usize,
        answers in answers(),
        terms in prop_oneof![Just((1, 1)), Just((8, 1)), Just((3, 7)), Just((8, 100))],
        stops in prop::collection::vec(0..5_000_u64, 0..3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (mut rig, road) = (Rig::new(Far::default()).await, Road::with(terms.0, terms.1, Duration::from_millis(5)));
            for (device, answer) in answers {
                let script = &mut road.world().script;
                script.entry(device.to_string()).or_default().push_back(answer.unwrap_or(Answer::Taken));
            }
            rig.append(in_turn(count)).await;
            rig.start_with(road.sink());
            for ms in stops {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                rig.stop().await;
                rig.start_with(road.sink());
            }
            rig.until_done().await;
            rig.stop().await;
            let dead = rig.dead_letters().await;
            let (mut arrived, world) = (dead.len(), road.world());
            for taken in world.taken.values() {
                let mut first: Vec<i64> = Vec::new();
                for position in taken {
                    if !first.contains(position) {
                        assert!(first.last().is_none_or(|last| last < position), "in order: {taken:?}");
                        first.push(*position);
                    }
                }
                arrived += first.iter().filter(|position| !dead.contains_key(position)).count();
            }
            assert_eq!(arrived, count, "dead-lettered: {dead:?}");
        });
    }
}
