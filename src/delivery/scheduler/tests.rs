//! The scheduler by its promises, in simulated time: nothing here waits.

use std::collections::{BTreeSet, HashMap};

use super::outcome::REDRIVE_ATTEMPTS_MAX;
use super::*;
use crate::model::StatusEvent;
use crate::sinks::{By, Rate, Trouble, Undelivered};

/// How long the far side takes for an answer.
const SERVED: Duration = Duration::from_millis(10);
/// The timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(15);

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

fn error(text: &str) -> String {
    text.to_owned()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Silence,
    Fails,
    Refuses,
    Busy(Option<Duration>),
}

impl Answer {
    fn outcome(self) -> (Duration, Trouble) {
        match self {
            Answer::Silence => (
                TIMEOUT,
                Trouble::Unclear {
                    error: error("timed out"),
                },
            ),
            Answer::Fails => (
                SERVED,
                Trouble::Unclear {
                    error: error("500"),
                },
            ),
            Answer::Refuses => (
                SERVED,
                Trouble::Refused {
                    index: None,
                    by: By::Them,
                    error: error("422"),
                },
            ),
            Answer::Busy(after) => (
                SERVED,
                Trouble::Retry {
                    error: error("503"),
                    after,
                },
            ),
        }
    }
}

/// A far side in simulated time.
struct World {
    scheduler: Scheduler,
    began: Instant,
    now: Instant,
    position: i64,
    under_way: Vec<(Instant, Attempt, Result<(), Undelivered>)>,
    /// Devices whose events are not taken.
    bad: HashMap<String, Answer>,
    all: Option<Answer>,
    /// When each attempt began, and its events.
    attempts: Vec<(Duration, Vec<i64>)>,
    /// When each event was taken, in order.
    taken: Vec<(Duration, i64)>,
    dead: BTreeMap<i64, String>,
    news: Vec<News>,
    at_once_max: usize,
    up: bool,
}

impl World {
    fn new() -> World {
        World::with(8, 1, Duration::ZERO)
    }

    fn with(concurrency: usize, batch_max: usize, batch_wait: Duration) -> World {
        World::of(Capabilities {
            batch_max,
            ordering: Ordering::PerDevice {
                concurrency,
                batch_wait,
            },
            ..Capabilities::default()
        })
    }

    fn of(capabilities: Capabilities) -> World {
        let now = Instant::now();
        World {
            scheduler: Scheduler::new(capabilities, Retry::default()),
            began: now,
            now,
            position: 0,
            under_way: Vec::new(),
            bad: HashMap::new(),
            all: None,
            attempts: Vec::new(),
            taken: Vec::new(),
            dead: BTreeMap::new(),
            news: Vec::new(),
            at_once_max: 0,
            up: false,
        }
    }

    fn push(&mut self, device: &str) {
        self.push_as(device, Reason::Log);
    }

    fn push_as(&mut self, device: &str, reason: Reason) {
        self.position += 1;
        let events = vec![event(device, self.position)];
        let through = Some(Position(self.position));
        self.scheduler.push(reason, events, through, self.now);
    }

    /// `count` events of ten devices in turn.
    fn push_in_turn(&mut self, count: usize) {
        for n in 0..count {
            self.push(&(n % 10).to_string());
        }
    }

    fn bad(&mut self, device: &str, answer: Answer) {
        self.bad.insert(device.to_owned(), answer);
    }

    /// Time passes.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            while let Some(action) = self.scheduler.next(self.now) {
                match action {
                    Action::Attempt(attempt) => self.begin(*attempt),
                    Action::Open => self.up = self.scheduler.opened(),
                }
            }
            let ends = self.under_way.iter().map(|(at, ..)| *at).min();
            let next = [ends, self.scheduler.due()].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            assert!(
                next > self.now || ends == Some(next),
                "what is due now can begin now"
            );
            self.now = next;
            if ends == Some(next) {
                self.end_one();
            }
        }
        self.now = end;
    }

    fn begin(&mut self, attempt: Attempt) {
        let events = given(&attempt);
        let positions: Vec<i64> = events.iter().map(|event| event.position().0).collect();
        let devices: BTreeSet<&str> = events.iter().map(device_of).collect();
        // What is redriven is old by itself, and waits for no lane.
        let in_lanes = |attempt: &Attempt| attempt.reason != Reason::Redrive;
        let others = self.under_way.iter().map(|(_, other, _)| other);
        for other in others.filter(|other| in_lanes(other) && in_lanes(&attempt)) {
            assert!(
                given(other)
                    .iter()
                    .all(|event| !devices.contains(device_of(event))),
                "one at a time"
            );
        }
        self.attempts.push((self.now - self.began, positions));
        let bad = devices
            .iter()
            .find_map(|device| self.bad.get(*device).copied());
        let (takes, outcome) = match self.all.or(bad) {
            None => (SERVED, Ok(())),
            Some(answer) => {
                let (takes, trouble) = answer.outcome();
                let confirmed = 0;
                (takes, Err(Undelivered { confirmed, trouble }))
            }
        };
        self.under_way.push((self.now + takes, attempt, outcome));
        self.at_once_max = self.at_once_max.max(self.under_way.len());
    }

    fn end_one(&mut self) {
        let (index, _) = self
            .under_way
            .iter()
            .enumerate()
            .min_by_key(|(_, (at, ..))| *at)
            .unwrap();
        let (_, attempt, outcome) = self.under_way.remove(index);
        let Finished {
            delivered,
            rejected,
            news,
            ..
        } = self.scheduler.finished(attempt, outcome, self.now, 0.5);
        let at = self.now - self.began;
        let taken = delivered.into_iter().map(|position| (at, position.0));
        self.taken.extend(taken);
        if let Some((position, error)) = rejected {
            assert_eq!(self.dead.insert(position.0, error), None);
        }
        self.news.extend(news);
    }

    /// When the attempts at one event began.
    fn times(&self, position: i64) -> Vec<Duration> {
        self.attempts
            .iter()
            .filter(|(_, events)| events.contains(&position))
            .map(|(at, _)| *at)
            .collect()
    }

    fn taken(&self) -> Vec<i64> {
        self.taken.iter().map(|(_, position)| *position).collect()
    }
}

fn given(attempt: &Attempt) -> &[Event] {
    &attempt.waiting()[..attempt.count]
}

fn event(device: &str, position: i64) -> Event {
    Event::from(StatusEvent {
        event_id: position.to_string(),
        device_id: device.to_owned(),
        origin: position.to_string(),
        position: Position(position),
        ..StatusEvent::sample()
    })
}

fn device_of(event: &Event) -> &str {
    event.device_id().unwrap_or_default()
}

#[test]
fn stuck_lane_delays_no_other() {
    let mut world = World::new();
    world.bad("3", Answer::Silence);
    world.push_in_turn(200);
    world.run(Duration::from_secs(1));
    assert_eq!((world.taken.len(), world.at_once_max), (180, 8));
    assert!(
        world.taken.last().unwrap().0 < Duration::from_millis(300),
        "{:?}",
        world.taken.last()
    );
    // Its own wait passes while the others get on.
    world.run(Duration::from_millis(45_600));
    world.push_in_turn(200);
    world.run(Duration::from_secs(1));
    assert_eq!(world.taken.len(), 360);
    assert!(!world.scheduler.is_stuck());
    world.bad.clear();
    world.run(hours(1));
    let own = world
        .taken()
        .into_iter()
        .filter(|position| position % 10 == 4)
        .collect::<Vec<_>>();
    assert_eq!(
        own,
        (0..40).map(|n| 4 + n * 10).collect::<Vec<_>>(),
        "in order"
    );
    assert_eq!((world.scheduler.ready(), world.scheduler.bytes()), (0, 0));
}

#[test]
fn event_that_has_failed_for_give_up_is_dead_lettered_and_its_lane_goes_on() {
    let mut world = World::new();
    world.bad("3", Answer::Fails);
    world.push("3");
    world.push("3");
    // The others report now and then.
    while world.dead.is_empty() {
        world.push("1");
        world.run(Duration::from_secs(60));
        assert!(world.now - world.began < hours(25));
    }
    assert!(world.now - world.began >= hours(24));
    let times = world.times(1);
    let waits = times.windows(2).map(|pair| pair[1] - pair[0] - SERVED);
    let waits: Vec<u128> = waits.map(|wait| wait.as_millis()).collect();
    // Half of the bounds, as chance is half here.
    let expected = [
        500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 150_000, 150_000,
    ];
    assert_eq!(waits[..11], expected);
    assert_eq!(
        world.dead[&1],
        format!("after {} attempts: 500", times.len())
    );
    world.bad.clear();
    world.run(hours(1));
    assert!(world.taken().contains(&2));
}

#[test]
fn nothing_is_dead_lettered_for_a_failure_while_the_sink_takes_nothing_else() {
    let mut world = World::new();
    world.bad("3", Answer::Fails);
    world.push("3");
    world.run(hours(200));
    assert!(world.dead.is_empty() && world.scheduler.is_stuck());
    assert!(
        (4_700..4_900).contains(&world.attempts.len()),
        "{}",
        world.attempts.len()
    );
    // One that is taken proves nothing of the time before it, but of the time since.
    for hour in 0..30 {
        world.push("1");
        world.run(hours(1));
        if !world.dead.is_empty() {
            assert!((23..26).contains(&hour), "after {hour} hours");
            return;
        }
    }
    panic!("it is tried without end");
}

#[test]
fn sink_that_says_when_is_left_alone_until_then_and_tried_with_one_event() {
    for (asked, seconds) in [(Some(Duration::from_secs(900)), 900.0), (None, 0.5)] {
        let mut world = World::new();
        world.all = Some(Answer::Busy(asked));
        world.push_in_turn(50);
        world.run(Duration::from_millis(100));
        assert_eq!(world.attempts.len(), 8, "those that were in flight");
        world.all = None;
        world.run(Duration::from_secs(200));
        world.push("new");
        world.run(Duration::from_secs(1000));
        let resumed = SERVED + Duration::from_secs_f64(seconds);
        assert_eq!(world.attempts[8].0, resumed);
        assert_eq!(
            world.attempts[9].0,
            resumed + SERVED,
            "one alone, then the others"
        );
        assert_eq!(world.attempts[16].0, resumed + SERVED);
        assert_eq!((world.taken.len(), world.dead.len()), (51, 0));
    }
}

#[test]
fn some_lanes_that_fail_in_a_row_are_the_sinks_trouble_and_a_new_event_may_try_it() {
    let mut world = World::new();
    world.all = Some(Answer::Silence);
    ["1", "2", "3", "4"]
        .into_iter()
        .for_each(|device| world.push(device));
    world.run(hours(100));
    assert!(world.dead.is_empty() && world.scheduler.is_stuck());
    let tried = world.attempts.len();
    assert!(
        (5_000..5_600).contains(&tried),
        "three requests, then a wait of half of five minutes: {tried} in 100 hours"
    );
    // New ones are tried, but not in a flood.
    let before = world.attempts.len();
    for n in 0..600 {
        world.push(&format!("new-{n}"));
        world.run(Duration::from_secs(1));
    }
    let tried = world.attempts.len() - before;
    assert!(
        (8..=11 + 2).contains(&tried),
        "one in a minute, and the backoff's: {tried} in ten minutes"
    );
    world.all = None;
    world.run(Duration::from_secs(120));
    assert_eq!(world.taken.len(), 604);
    assert_eq!(world.news.last(), Some(&News::Up));
}

#[test]
fn sink_of_few_devices_is_tried_within_minutes_of_its_return() {
    let mut world = World::new();
    world.all = Some(Answer::Busy(None));
    ["1", "2"].into_iter().for_each(|device| world.push(device));
    world.run(hours(10));
    let tried = world.attempts.len();
    assert!(
        (230..260).contains(&tried),
        "one request in five minutes at least: {tried} in ten hours"
    );
    world.all = None;
    world.run(Retry::default().max);
    assert_eq!(world.taken.len(), 2, "five minutes are the longest wait");
}

/// Two lanes are too few to tell a sink's failure from theirs, and their waits have grown.
#[test]
fn what_waits_is_tried_with_the_first_event_that_is_taken_again() {
    for answer in [Answer::Silence, Answer::Fails, Answer::Busy(None)] {
        let mut world = World::new();
        world.all = Some(answer);
        ["1", "2"].into_iter().for_each(|device| world.push(device));
        world.run(hours(2));
        world.all = None;
        let back = world.now;
        world.push("3");
        world.run(Duration::from_secs(1));
        if answer != Answer::Busy(None) {
            assert_eq!(world.taken()[0], 3, "{answer:?}");
        }
        world.run(Retry::default().max);
        let first = world.taken[0].0;
        let behind = world.taken.iter().map(|(at, _)| *at - first);
        let behind: Vec<Duration> = behind.collect();
        assert_eq!(behind.len(), 3, "{answer:?}");
        assert!(behind[2] <= SERVED * 2, "{answer:?} {behind:?}");
        assert!(world.began + first >= back);
    }
}

#[test]
fn a_sink_with_a_rate_is_given_no_more_in_any_minute_and_nothing_is_lost() {
    let minute = Duration::from_secs(60);
    let limits = |batch_max| {
        World::of(Capabilities {
            batch_max,
            ordering: Ordering::PerDevice {
                concurrency: 8,
                batch_wait: Duration::ZERO,
            },
            rate: Some(Rate {
                attempts: 20,
                per: minute,
            }),
            ..Capabilities::default()
        })
    };
    let mut world = limits(1);
    world.push_in_turn(100);
    world.bad("3", Answer::Fails);
    world.run(Duration::from_secs(30));
    assert_eq!(world.attempts.len(), 20, "at once, and then none");
    assert!(world.scheduler.is_quiet());
    let (at, waits) = world.scheduler.rate(world.now).unwrap();
    assert!(waits && at > world.began + minute, "{:?}", at - world.began);
    world.run(minute * 8);
    for stretch in world.attempts.windows(21) {
        assert!(stretch[20].0 - stretch[0].0 > minute);
    }
    world.bad.clear();
    world.run(minute * 20);
    assert_eq!(world.taken.len(), 100);
    assert_eq!(world.scheduler.rate(world.now), None);
    world.push_in_turn(20);
    world.run(Duration::from_secs(1));
    let (_, waits) = world.scheduler.rate(world.now).unwrap();
    assert!(!waits, "nothing is left for it");
    // What waits for a token goes together.
    let mut world = limits(10);
    world.push_in_turn(200);
    world.run(Duration::from_millis(200));
    (0..100).for_each(|_| world.push("9"));
    world.run(minute * 3);
    assert_eq!(world.taken.len(), 300);
    assert!(world.attempts.len() <= 40, "{}", world.attempts.len());
}

#[test]
fn a_lane_that_fails_by_itself_is_not_hurried_by_what_others_deliver() {
    let mut world = World::new();
    world.bad("3", Answer::Fails);
    world.push("3");
    for _ in 0..3_600 {
        world.push("1");
        world.run(Duration::from_secs(1));
    }
    let tried = world.times(1).len();
    assert!((28..=32).contains(&tried), "{tried} in an hour");
}

#[test]
fn attempts_while_the_sink_was_in_trouble_do_not_count() {
    let mut world = World::new();
    world.bad("3", Answer::Fails);
    world.push("3");
    // An hour well, an hour in trouble.
    for hour in 0..120 {
        world.all = (hour % 2 == 1).then_some(Answer::Busy(None));
        for _ in 0..60 {
            world.push("1");
            world.run(Duration::from_secs(60));
        }
        if let Some(error) = world.dead.get(&1) {
            assert!((46..60).contains(&hour), "in hour {hour}: {error}");
            return;
        }
    }
    panic!("it is tried without end: {:?}", world.times(1));
}

#[test]
fn refused_events_are_dead_lettered_unless_the_sink_refuses_more_than_a_fifth() {
    let mut world = World::new();
    world.bad("3", Answer::Refuses);
    world.push_in_turn(300);
    world.run(Duration::from_secs(10));
    assert_eq!(
        (world.dead.len(), world.taken.len()),
        (30, 270),
        "a tenth is"
    );
    assert!(!world.scheduler.is_stuck());

    world.all = Some(Answer::Refuses);
    world.push_in_turn(300);
    world.run(Duration::from_millis(900));
    let dead = world.dead.len() - 30;
    assert!(
        (10..=20).contains(&dead) && world.scheduler.is_stuck(),
        "{dead}"
    );
    let said = world.news.iter().any(
        |news| matches!(news, News::BreakerOpen { error, .. } if error.starts_with("21 of the last 100 events were rejected")),
    );
    assert!(said, "{:?}", world.news);
    world.run(Duration::from_secs(100));
    assert_eq!(
        world.dead.len() - 30,
        dead,
        "the other lanes are tried before one of them is again"
    );
    world.run(hours(48));
    let later = world.dead.len() - 30;
    assert!(
        (dead + 20..dead + 60).contains(&later),
        "{dead}, after two days {later}"
    );
    world.all = None;
    world.run(hours(2));
    assert_eq!(world.taken.len() + world.dead.len(), 600);
}

#[test]
fn what_an_operator_wants_again_is_given_up_sooner_and_says_nothing_of_the_sink() {
    let mut world = World::new();
    world.bad("3", Answer::Fails);
    world.bad("4", Answer::Refuses);
    for reason in [Reason::Redrive, Reason::Replay] {
        for _ in 0..100 {
            world.push_as("4", reason);
        }
        world.push_as("3", reason);
    }
    for _ in 0..60 {
        world.push("1");
        world.run(Duration::from_secs(60));
    }
    assert_eq!((world.dead.len(), world.taken.len()), (202, 60));
    assert_eq!(world.times(101).len(), REDRIVE_ATTEMPTS_MAX as usize);
}

#[test]
fn batches_go_when_they_are_full_or_have_waited() {
    let wait = Duration::from_secs(1);
    let mut world = World::with(2, 4, wait);
    ["1", "2", "1", "3", "1", "2"]
        .into_iter()
        .for_each(|device| world.push(device));
    world.run(Duration::from_secs(3));
    // Device 1 first, whole; of device 2 what there is room for, then the rest of it, in order.
    let expected = [
        (Duration::ZERO, vec![1, 2, 3, 5]),
        (wait, vec![4]),
        (wait + SERVED, vec![6]),
    ];
    assert_eq!(world.attempts[0], expected[0]);
    assert_eq!(
        world.attempts[1..]
            .iter()
            .map(|(_, events)| events.clone())
            .collect::<Vec<_>>()
            .concat(),
        [4, 6]
    );
    assert!(
        world.attempts[1].0 >= wait && world.attempts[1].0 < wait * 2,
        "{:?}",
        world.attempts
    );
    assert_eq!(world.taken.len(), 6);
}

#[test]
fn failing_batch_is_bisected_and_what_is_good_arrives() {
    for answer in [Answer::Refuses, Answer::Fails] {
        let mut world = World::with(4, 20, Duration::from_secs(1));
        world.bad("3", answer);
        world.push_in_turn(20);
        for minute in 0..hours(40).as_secs() / 60 {
            world.push("0");
            world.run(Duration::from_secs(60));
            assert!(
                minute < 10 || world.taken().contains(&20),
                "the others do not wait for what is bad"
            );
        }
        assert_eq!(
            world.dead.keys().collect::<Vec<_>>(),
            if answer == Answer::Refuses {
                vec![&4, &14]
            } else {
                vec![&4]
            }
        );
        let own = world
            .taken()
            .into_iter()
            .filter(|position| *position <= 20 && position % 10 == 6);
        assert_eq!(own.collect::<Vec<_>>(), [6, 16]);
    }
}

#[test]
fn batch_that_fails_once_is_sent_again_as_it_was() {
    let mut world = World::with(4, 20, Duration::from_secs(1));
    world.push_in_turn(20);
    world.all = Some(Answer::Fails);
    world.run(Duration::from_millis(5));
    world.push("0");
    world.all = None;
    world.run(Duration::from_secs(60));
    let events: Vec<&[i64]> = world
        .attempts
        .iter()
        .map(|(_, events)| events.as_slice())
        .collect();
    let whole: Vec<i64> = (1..=20).collect();
    assert_eq!(events, [&whole[..], &whole[..], &[21]]);
}

/// A far side for the log's order: the events are given by their positions.
struct Line {
    scheduler: Scheduler,
    now: Instant,
    opened: usize,
    /// What each attempt held, and why it was made.
    attempts: Vec<(Reason, Vec<i64>)>,
    taken: Vec<i64>,
    dead: Vec<i64>,
}

impl Line {
    fn new() -> Line {
        Line {
            scheduler: Scheduler::new(Capabilities::default(), Retry::default()),
            now: Instant::now(),
            opened: 0,
            attempts: Vec::new(),
            taken: Vec::new(),
            dead: Vec::new(),
        }
    }

    fn push(&mut self, reason: Reason, positions: std::ops::RangeInclusive<i64>) {
        let through = (reason == Reason::Log).then_some(Position(*positions.end()));
        let events = positions.map(|position| event("1", position)).collect();
        self.scheduler.push(reason, events, through, self.now);
    }

    /// Attempts until nothing is left, each answered by `answer`.
    fn run(&mut self, mut answer: impl FnMut(&[i64]) -> Result<(), Undelivered>) {
        loop {
            match self.scheduler.next(self.now) {
                Some(Action::Open) => {
                    self.opened += 1;
                    self.scheduler.opened();
                }
                Some(Action::Attempt(attempt)) => {
                    assert!(
                        self.scheduler.next(self.now).is_none(),
                        "one attempt at a time"
                    );
                    let given: Vec<i64> = given(&attempt).iter().map(|e| e.position().0).collect();
                    let outcome = answer(&given);
                    self.attempts.push((attempt.reason, given));
                    let finished = self.scheduler.finished(*attempt, outcome, self.now, 0.5);
                    self.taken.extend(finished.delivered.iter().map(|at| at.0));
                    self.dead.extend(finished.rejected.map(|(at, _)| at.0));
                }
                None => match self.scheduler.due() {
                    Some(due) => self.now = due,
                    None => return,
                },
            }
        }
    }
}

fn undelivered(confirmed: usize, trouble: Trouble) -> Result<(), Undelivered> {
    Err(Undelivered { confirmed, trouble })
}

fn refused(index: Option<usize>) -> Trouble {
    Trouble::Refused {
        index,
        by: By::Them,
        error: error("22P02"),
    }
}

fn down() -> Trouble {
    Trouble::Retry {
        error: error("down"),
        after: None,
    }
}

#[test]
fn log_and_what_is_delivered_again_take_turns() {
    let mut line = Line::new();
    line.push(Reason::Log, 101..=300);
    line.push(Reason::Redrive, 1..=1);
    line.push(Reason::Replay, 5..=9);
    let mut first = true;
    line.run(|_| match std::mem::take(&mut first) {
        // Half of it, and then only a few.
        true => undelivered(36, down()),
        false => Ok(()),
    });
    let reasons: Vec<(Reason, usize)> = line
        .attempts
        .iter()
        .map(|(reason, given)| (*reason, given.len()))
        .collect();
    let expected = [
        (Reason::Log, 200),
        (Reason::Redrive, 1),
        (Reason::Replay, 5),
        (Reason::Log, 82),
        (Reason::Log, 82),
    ];
    assert_eq!((reasons.as_slice(), line.opened), (&expected[..], 2));
    assert_eq!(line.taken.len(), 206);
}

#[test]
fn an_idle_sink_with_lanes_that_is_lost_is_tried_by_the_next_probe() {
    let mut world = World::new();
    world.scheduler.opened();
    for _ in 0..5 {
        let news = world.scheduler.lost(down(), world.now, 1.0);
        let wait = Capabilities::default().idle_interval;
        assert!(matches!(news, News::SinkWaits { wait: said, .. } if said == wait));
        assert_eq!(world.scheduler.due(), None, "an event is tried at once");
    }
}

#[test]
fn paused_sink_is_opened_again_before_its_next_attempt() {
    let mut line = Line::new();
    line.push(Reason::Log, 1..=10);
    let mut failures = 3;
    line.run(|_| {
        failures -= i32::from(failures > 0);
        match failures {
            0 => Ok(()),
            1 => undelivered(
                0,
                Trouble::Unclear {
                    error: error("timed out"),
                },
            ),
            _ => undelivered(4, down()),
        }
    });
    let firsts: Vec<i64> = line.attempts.iter().map(|(_, given)| given[0]).collect();
    assert_eq!((firsts, line.opened), (vec![1, 5, 5], 3));
    assert_eq!(line.taken, (1..=10).collect::<Vec<_>>());
}

#[test]
fn disabled_sink_is_given_nothing_more() {
    let mut line = Line::new();
    line.push(Reason::Log, 1..=10);
    line.run(|_| {
        undelivered(
            3,
            Trouble::Disabled {
                error: error("410"),
            },
        )
    });
    assert_eq!((line.attempts.len(), line.taken.len()), (1, 3));
    assert!(!line.scheduler.is_open() && line.scheduler.due().is_none());
}

proptest::proptest! {
    /// Whatever the far side answers, each event is taken or given up exactly once, and the log's
    /// in their order.
    #[test]
    fn log_is_taken_in_order_and_only_what_is_bad_is_given_up(
        sizes in proptest::collection::vec(1..300_i64, 1..5),
        bad in proptest::collection::btree_set(1..600_i64, 0..12),
        knows in proptest::prelude::any::<bool>(),
        troubles in proptest::collection::vec((0..4_u8, 0..200_usize), 0..12),
    ) {
        let mut line = Line::new();
        let (mut end, mut troubles) = (0, troubles.into_iter());
        for size in sizes {
            line.push(Reason::Log, end + 1..=end + size);
            end += size;
            line.run(|given| {
                let rejected = given.iter().position(|position| bad.contains(position));
                let good = rejected.unwrap_or(given.len());
                match troubles.next() {
                    Some((0, confirmed)) => undelivered(confirmed.min(good), down()),
                    Some((1, _)) => undelivered(0, Trouble::Unclear { error: error("timed out") }),
                    _ => match rejected {
                        None => Ok(()),
                        Some(index) if knows => undelivered(index, refused(Some(index))),
                        Some(_) => undelivered(0, refused(None)),
                    },
                }
            });
        }
        let (dead, good): (Vec<i64>, Vec<i64>) = (1..=end).partition(|at| bad.contains(at));
        line.dead.sort_unstable();
        proptest::prop_assert_eq!(&line.dead, &dead);
        proptest::prop_assert_eq!(&line.taken, &good);
        proptest::prop_assert_eq!(line.scheduler.bytes(), 0);
    }
}
