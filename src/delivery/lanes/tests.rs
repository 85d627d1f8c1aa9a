//! Lanes by their promises, in simulated time: nothing here waits.

use std::collections::BTreeSet;

use futures_util::future::BoxFuture;

use super::*;
use crate::model::Position;
use crate::sinks::Courier;

/// How long the far side takes for an answer.
const SERVED: Duration = Duration::from_millis(10);
/// After so long we give a request up.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The schedule of Standard Webhooks, in seconds.
const SCHEDULE: [u64; 8] = [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 36_000];

struct Nobody;

impl Courier for Nobody {
    fn attempt(&self, _: Vec<Arc<Event>>) -> BoxFuture<'static, Result<(), Trouble>> {
        unreachable!("the simulation makes the attempts")
    }
}

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
    lanes: Lanes,
    began: Instant,
    now: Instant,
    position: i64,
    under_way: Vec<(Instant, Attempt, Result<(), Trouble>)>,
    /// Devices whose events are not taken.
    bad: HashMap<String, Answer>,
    all: Option<Answer>,
    /// When each attempt began, and its events.
    attempts: Vec<(Duration, Vec<i64>)>,
    /// When each event was taken, in order.
    taken: Vec<(Duration, i64)>,
    aside: BTreeMap<i64, String>,
    news: Vec<News>,
    at_once_max: usize,
}

impl World {
    fn new() -> World {
        World::with(8, 1, Duration::ZERO)
    }

    fn with(concurrency: usize, batch_max: usize, batch_wait: Duration) -> World {
        let schedule = SCHEDULE.map(Duration::from_secs).to_vec();
        let terms = sinks::Lanes {
            courier: Arc::new(Nobody),
            concurrency,
            batch_max,
            batch_wait,
            schedule,
        };
        let now = Instant::now();
        World {
            lanes: Lanes::new(terms),
            began: now,
            now,
            position: 0,
            under_way: Vec::new(),
            bad: HashMap::new(),
            all: None,
            attempts: Vec::new(),
            taken: Vec::new(),
            aside: BTreeMap::new(),
            news: Vec::new(),
            at_once_max: 0,
        }
    }

    fn push(&mut self, device: &str) {
        self.push_as(device, Errand::Log);
    }

    fn push_as(&mut self, device: &str, errand: Errand) {
        self.position += 1;
        let event = Arc::new(event(device, self.position));
        self.lanes.push(Item { event, errand }, self.now);
    }

    /// So many events of ten devices in turn.
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
            while let Some(attempt) = self.lanes.next(self.now) {
                self.begin(attempt);
            }
            let ends = self.under_way.iter().map(|(at, ..)| *at).min();
            let next = [ends, self.lanes.due()].into_iter().flatten().min();
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
        let events = attempt.events();
        let positions: Vec<i64> = events.iter().map(|event| event.position.0).collect();
        let devices: BTreeSet<&str> = events
            .iter()
            .map(|event| event.device_id.as_str())
            .collect();
        for (_, other, _) in &self.under_way {
            assert!(
                other
                    .events()
                    .iter()
                    .all(|event| !devices.contains(event.device_id.as_str())),
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
                (takes, Err(trouble))
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
        let Finished { settled, news } = self.lanes.finished(attempt, outcome, self.now, 0.5);
        for (item, fate) in settled {
            let position = item.position().0;
            match fate {
                Fate::Delivered => self.taken.push((self.now - self.began, position)),
                Fate::Refused(error) => assert_eq!(self.aside.insert(position, error), None),
            }
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

fn event(device: &str, position: i64) -> Event {
    Event {
        event_id: position.to_string(),
        device_id: device.to_owned(),
        origin: position.to_string(),
        position: Position(position),
        ..Event::sample()
    }
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
    world.run(Duration::from_secs(16));
    world.push_in_turn(200);
    world.run(Duration::from_secs(1));
    assert_eq!((world.taken.len(), world.lanes.waiting()), (360, 1));
    assert!(!world.lanes.is_stuck());
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
    assert_eq!((world.lanes.ready(), world.lanes.bytes()), (0, 0));
}

#[test]
fn event_that_has_used_up_the_schedule_is_dead_lettered_and_its_lane_goes_on() {
    let mut world = World::new();
    world.bad("3", Answer::Fails);
    world.push("3");
    world.push("3");
    // The others report now and then.
    while world.aside.is_empty() {
        world.push("1");
        world.run(Duration::from_secs(60));
        assert!(world.now - world.began < hours(40));
    }
    let times = world.times(1);
    assert_eq!(times.len(), 8);
    for (number, pair) in times.windows(2).enumerate() {
        let wait = Duration::from_secs(SCHEDULE[number + 1]).mul_f64(1.05) + SERVED;
        assert_eq!(pair[1] - pair[0], wait, "{number}");
    }
    assert_eq!(world.aside[&1], "after 8 attempts: 500");
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
    assert!(world.aside.is_empty() && world.lanes.is_stuck());
    assert!(
        (20..30).contains(&world.attempts.len()),
        "{}",
        world.attempts.len()
    );
    // One that is taken proves nothing of the time before it.
    world.push("1");
    world.run(hours(11));
    assert_eq!(
        world.aside.len(),
        1,
        "but of the time since: it has had its attempts"
    );
}

#[test]
fn sink_that_says_when_is_left_alone_until_then_and_tried_with_one_event() {
    for (asked, seconds) in [(Some(Duration::from_secs(900)), 900.0), (None, 5.25)] {
        let mut world = World::new();
        world.all = Some(Answer::Busy(asked));
        world.push_in_turn(50);
        world.run(Duration::from_secs(1));
        assert_eq!(world.attempts.len(), 8, "those that were under way");
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
        assert_eq!((world.taken.len(), world.aside.len()), (51, 0));
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
    assert!(world.aside.is_empty() && world.lanes.is_stuck());
    let tried = world.attempts.len();
    assert!(
        (1_100..4_000).contains(&tried),
        "one to three requests in five minutes: {tried} in 100 hours"
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
        "one in a minute, and the schedule's: {tried} in ten minutes"
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
        (110..140).contains(&tried),
        "one request in five minutes: {tried} in ten hours"
    );
    world.all = None;
    world.run(PAUSE_MAX + PAUSE_MAX / 10);
    assert_eq!(
        world.taken.len(),
        2,
        "by the schedule it would be ten hours"
    );
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
        if let Some(error) = world.aside.get(&1) {
            assert!(hour > 27, "in hour {hour}: {error}");
            return;
        }
    }
    panic!("it is tried for ever: {:?}", world.times(1));
}

#[test]
fn refused_events_are_dead_lettered_unless_the_sink_refuses_more_than_a_fifth() {
    let mut world = World::new();
    world.bad("3", Answer::Refuses);
    world.push_in_turn(300);
    world.run(Duration::from_secs(10));
    assert_eq!(
        (world.aside.len(), world.taken.len()),
        (30, 270),
        "a tenth is"
    );
    assert!(!world.lanes.is_stuck());

    world.all = Some(Answer::Refuses);
    world.push_in_turn(300);
    world.run(Duration::from_millis(900));
    let aside = world.aside.len() - 30;
    assert!(
        (10..=20).contains(&aside) && world.lanes.is_stuck(),
        "{aside}"
    );
    let said = world.news.iter().any(
        |news| matches!(news, News::Distrusted { error, .. } if error.starts_with("21 of the last 100 events were refused")),
    );
    assert!(said, "{:?}", world.news);
    world.run(Duration::from_secs(100));
    assert_eq!(
        world.aside.len() - 30,
        aside,
        "the other lanes are tried before one of them is again"
    );
    world.run(hours(48));
    let later = world.aside.len() - 30;
    assert!(
        (aside + 20..aside + 60).contains(&later),
        "{aside}, after two days {later}"
    );
    world.all = None;
    world.run(hours(2));
    assert_eq!(world.taken.len() + world.aside.len(), 600);
}

#[test]
fn what_an_operator_wants_again_is_given_up_sooner_and_says_nothing_of_the_sink() {
    let mut world = World::new();
    world.bad("3", Answer::Fails);
    world.bad("4", Answer::Refuses);
    for errand in [Errand::Redrive, Errand::Replay] {
        for _ in 0..100 {
            world.push_as("4", errand);
        }
        world.push_as("3", errand);
    }
    for _ in 0..60 {
        world.push("1");
        world.run(Duration::from_secs(60));
    }
    assert_eq!((world.aside.len(), world.taken.len()), (202, 60));
    assert_eq!(world.times(101).len(), AGAIN_ATTEMPTS_MAX);
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
            world.aside.keys().collect::<Vec<_>>(),
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
