//! A server that refuses some topics, in each of the ways that are known, and connections to it.

use super::*;
use crate::stomp::AckMode;

const SECOND: Duration = Duration::from_secs(1);

fn topic(name: &str) -> Topic {
    Topic::sample(name, &format!("/topic/{name}"), AckMode::Auto, &[])
}

/// `t-001`, `t-002`, …
fn topics(count: usize) -> Vec<Topic> {
    (1..=count)
        .map(|number| topic(&format!("t-{number:03}")))
        .collect()
}

/// How a server refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// An ERROR with the receipt of the SUBSCRIBE.
    Named,
    /// An ERROR that names nothing, after the receipts of all before.
    InOrder,
    /// An ERROR that names nothing, and no receipts: what stands is known by waiting.
    Silent,
    /// It confirms, and closes without a word.
    CloseInOrder,
    /// It closes without a word, and its receipts are lost with that.
    CloseSilent,
}

const ALL: [Refusal; 5] = [
    Refusal::Named,
    Refusal::InOrder,
    Refusal::Silent,
    Refusal::CloseInOrder,
    Refusal::CloseSilent,
];

struct Lab {
    admission: Admission,
    topics: Vec<Topic>,
    bad: BTreeSet<Arc<str>>,
    refusal: Refusal,
    now: Instant,
}

impl Lab {
    fn new(count: usize, bad: &[usize], refusal: Refusal) -> Lab {
        let topics = topics(count);
        let bad = bad.iter().map(|number| Arc::clone(&topics[*number].name));
        Lab {
            bad: bad.collect(),
            topics,
            admission: Admission::default(),
            refusal,
            now: Instant::now(),
        }
    }

    /// One connection: `None`, once all that it asked for stands; else how it ended.
    fn connect(&mut self) -> Option<Verdict> {
        self.admission.begin(&self.topics, self.now);
        self.go_on()
    }

    fn go_on(&mut self) -> Option<Verdict> {
        loop {
            let pending = self.admission.pending();
            let found = pending.iter().position(|name| self.bad.contains(name));
            let Some(found) = found else {
                self.confirm(&pending);
                if !self.admission.next(self.now) {
                    return None;
                }
                continue;
            };
            let error = |about| Evidence::Error { about };
            let (confirmed, evidence, answers) = match self.refusal {
                Refusal::Named => (
                    found,
                    error(Some(Arc::clone(&pending[found]))),
                    Answers::InAnyOrder,
                ),
                Refusal::InOrder => (found, error(None), Answers::InOrder),
                Refusal::Silent => (0, error(None), Answers::InAnyOrder),
                Refusal::CloseInOrder => (found, Evidence::Close, Answers::InOrder),
                Refusal::CloseSilent => (0, Evidence::Close, Answers::InOrder),
            };
            self.confirm(&pending[..confirmed]);
            let verdict = self.admission.ended(&evidence, answers);
            if let Verdict::Refused(name) = &verdict {
                let topic = self.topics.iter().find(|topic| topic.name == *name);
                let now = (self.now, Timestamp::UNIX_EPOCH);
                self.admission.refuse(topic.unwrap(), "no", now, 0.0);
            }
            return Some(verdict);
        }
    }

    fn confirm(&mut self, names: &[Arc<str>]) {
        for name in names {
            self.admission.confirmed(name);
        }
    }

    /// Connects until all but the refused ones stand; gives how many connections that took.
    fn settle(&mut self, limit: usize) -> usize {
        for count in 1..=limit {
            if self.connect().is_none() {
                return count;
            }
            assert!(
                self.admission.is_hopeful(&self.topics),
                "{:?}",
                self.admission
            );
        }
        panic!("not within {limit} connections: {:?}", self.admission);
    }

    fn standing(&self) -> usize {
        self.admission.stand.len()
    }
}

#[test]
fn one_refused_topic_of_hundreds_is_found_and_the_others_stand() {
    let check = |refusal, bad: usize, limit: usize| {
        let mut lab = Lab::new(500, &[bad], refusal);
        let connections = lab.settle(limit);
        let refused: Vec<_> = lab.admission.refused().into_keys().collect();
        assert_eq!(refused, [Arc::clone(&lab.topics[bad].name)], "{refusal:?}");
        assert_eq!(lab.standing(), 499, "{refusal:?}");
        println!("{refusal:?} {bad}: {connections} connections");
    };
    for bad in [0, 1, 249, 250, 499] {
        check(Refusal::Named, bad, 2);
        check(Refusal::InOrder, bad, 2);
        check(Refusal::Silent, bad, 12);
        check(Refusal::CloseInOrder, bad, 13);
        check(Refusal::CloseSilent, bad, 13);
    }
}

#[test]
fn many_refused_topics_before_all_others_keep_nobody_waiting() {
    for refusal in [Refusal::Named, Refusal::InOrder, Refusal::Silent] {
        for bad in [17, 100] {
            let all: Vec<usize> = (0..bad).collect();
            let mut lab = Lab::new(500, &all, refusal);
            // The others stand long before all of these are found.
            let early = (1..=16).find(|_| {
                lab.connect();
                lab.standing() >= 200
            });
            assert!(early.is_some(), "{refusal:?} {bad}");
            lab.settle(bad * 12);
            assert_eq!(lab.standing(), 500 - bad, "{refusal:?} {bad}");
        }
    }
}

#[test]
fn hundreds_of_refused_topics_behind_good_ones_are_found_and_keep_nobody_waiting() {
    let alternate = (0..300).filter(|number| number % 2 == 1).collect();
    for (name, bad) in [
        ("the last 240", (60..300).collect()),
        ("the last 150", (150..300).collect()),
        ("in the middle", (30..270).collect()),
        ("each other one", alternate),
    ] {
        let bad: Vec<usize> = bad;
        for refusal in [Refusal::Named, Refusal::InOrder, Refusal::Silent] {
            let mut lab = Lab::new(300, &bad, refusal);
            let early = (1..=32).find(|_| {
                lab.connect();
                lab.standing() > 0
            });
            assert!(early.is_some(), "{refusal:?}, {name}: none stands");
            let connections = lab.settle(bad.len() * 3);
            println!("{refusal:?}, {name}: {early:?}, {connections} connections");
            assert_eq!(lab.standing(), 300 - bad.len(), "{refusal:?}, {name}");
            assert_eq!(lab.admission.refused().len(), bad.len());
        }
    }
}

/// A server whose receipts never come, so that topics stand by silence, accepts most of what it has
/// refused.
#[test]
fn once_one_is_accepted_hundreds_of_others_follow_and_the_refused_ones_are_found() {
    let all: Vec<usize> = (60..310).collect();
    let mut lab = Lab::new(310, &all, Refusal::Silent);
    lab.settle(1_000);
    lab.bad.clear();
    lab.bad
        .extend([70, 71, 250].map(|number| Arc::clone(&lab.topics[number].name)));
    lab.now = lab.admission.due().unwrap();
    assert!(lab.admission.next(lab.now));
    let first = lab.admission.retried().unwrap().into();
    lab.admission.confirmed(&first);
    let (mut connections, mut rounds) = (0, 0);
    loop {
        while lab.admission.next(lab.now) {
            rounds += 1;
            let pending = lab.admission.pending();
            if pending.iter().any(|name| lab.bad.contains(name)) {
                break;
            }
            for name in &pending {
                lab.admission.unanswered(name, lab.now);
            }
        }
        if lab.admission.pending().is_empty() {
            break;
        }
        let verdict = lab
            .admission
            .ended(&Evidence::Error { about: None }, Answers::InAnyOrder);
        if let Verdict::Refused(name) = verdict {
            let topic = lab.topics.iter().find(|topic| topic.name == name);
            let now = (lab.now, Timestamp::UNIX_EPOCH);
            lab.admission.refuse(topic.unwrap(), "no", now, 0.0);
        }
        connections += 1;
        assert!(connections < 40, "{:?}", lab.admission);
        lab.admission.begin(&lab.topics, lab.now);
        for name in lab.admission.pending() {
            lab.admission.unanswered(&name, lab.now);
        }
    }
    assert!(rounds < 60, "{rounds} rounds");
    while let Some(name) = lab.admission.quiet_for_good(lab.now + LATE_MAX) {
        lab.admission.confirmed(&name);
    }
    let refused: BTreeSet<_> = lab.admission.refused().into_keys().collect();
    assert_eq!(refused, lab.bad);
    assert_eq!(lab.standing(), 307);
}

#[test]
fn whatever_a_server_refuses_and_how_no_good_topic_is_left_out() {
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..1_000 {
        let count = random.usize(2..if round % 100 == 0 { 600 } else { 40 });
        let bad: BTreeSet<usize> = (0..random.usize(0..7))
            .map(|_| random.usize(0..count))
            .collect();
        let bad: Vec<usize> = bad.into_iter().filter(|bad| bad + 1 < count).collect();
        for refusal in ALL {
            let mut lab = Lab::new(count, &bad, refusal);
            lab.settle(12 * (bad.len() + 1));
            let refused: BTreeSet<_> = lab.admission.refused().into_keys().collect();
            assert_eq!(refused, lab.bad, "{refusal:?}");
            assert_eq!(lab.standing(), count - bad.len(), "{refusal:?}");
        }
    }
}

#[test]
fn a_refused_topic_is_asked_for_again_while_the_others_stand() {
    let mut lab = Lab::new(3, &[1], Refusal::InOrder);
    lab.settle(2);
    let due = lab.admission.due().unwrap();
    assert_eq!(due, lab.now + 30 * SECOND);
    assert!(!lab.admission.next(lab.now + 29 * SECOND));
    lab.now = due;
    assert!(lab.admission.next(lab.now));
    assert_eq!(lab.admission.retried(), Some("t-002"));
    // It is refused again: the next connection has the others at once, and it waits longer.
    assert_eq!(lab.go_on(), Some(Verdict::Refused("t-002".into())));
    assert_eq!(lab.connect(), None);
    assert_eq!(lab.admission.due(), Some(due + 60 * SECOND));
    lab.now = due + 60 * SECOND;
    lab.bad.clear();
    assert!(lab.admission.next(lab.now));
    assert_eq!(lab.go_on(), None);
    assert_eq!((lab.standing(), lab.admission.refused().len()), (3, 0));
    assert_eq!(lab.admission.due(), None);
}

#[test]
fn a_close_while_a_refused_topic_is_asked_for_again_is_another_refusal() {
    let mut lab = Lab::new(3, &[1], Refusal::CloseInOrder);
    lab.settle(5);
    lab.now = lab.admission.due().unwrap();
    assert!(lab.admission.next(lab.now));
    assert_eq!(lab.go_on(), Some(Verdict::Refused("t-002".into())));
}

#[test]
fn one_close_is_no_refusal_nor_is_any_of_a_single_topic() {
    let mut lab = Lab::new(3, &[1], Refusal::CloseInOrder);
    assert_eq!(lab.connect(), Some(Verdict::NoTopic));
    // It has mended itself.
    lab.bad.clear();
    assert_eq!(lab.connect(), None);
    lab.bad.insert("t-002".into());
    assert_eq!(lab.connect(), Some(Verdict::NoTopic));
    let mut lab = Lab::new(1, &[0], Refusal::CloseInOrder);
    for _ in 0..100 {
        assert_eq!(lab.connect(), Some(Verdict::NoTopic));
    }
}

#[test]
fn a_server_that_always_closes_refuses_no_topic() {
    for refusal in [Refusal::CloseInOrder, Refusal::CloseSilent] {
        let all: Vec<usize> = (0..20).collect();
        let mut lab = Lab::new(20, &all, refusal);
        for _ in 0..100 {
            lab.connect();
        }
        assert_eq!(lab.admission.refused().len(), 0, "{refusal:?}");
        assert_eq!(lab.connect(), Some(Verdict::NoTopic), "{refusal:?}");
        lab.bad.clear();
        lab.settle(2);
        assert_eq!(lab.standing(), 20, "{refusal:?}");
    }
}

#[test]
fn a_server_that_refuses_every_topic_is_not_asked_in_haste() {
    for refusal in [Refusal::Named, Refusal::InOrder, Refusal::Silent] {
        let all: Vec<usize> = (0..200).collect();
        let mut lab = Lab::new(200, &all, refusal);
        let hasty = (0..1_000).filter(|_| {
            lab.connect();
            lab.admission.is_hopeful(&lab.topics)
        });
        let hasty = hasty.count();
        assert!(hasty <= 40, "{refusal:?}: {hasty} attempts in haste");
        lab.bad.clear();
        lab.now += 3_600 * SECOND;
        for _ in 0..25 {
            lab.connect();
        }
        assert_eq!(lab.standing(), 200, "{refusal:?}");
    }
}

#[test]
fn a_reload_that_is_refused_falls_back_to_what_stood() {
    let mut lab = Lab::new(2, &[], Refusal::Named);
    assert_eq!(lab.connect(), None);
    let before = lab.topics.clone();
    let other = Topic::sample("t-002", "/topic/other", AckMode::Auto, &[]);
    lab.topics[1] = other.clone();
    lab.topics.push(topic("t-003"));
    lab.bad.extend(["t-002".into(), "t-003".into()]);
    lab.admission.reload(&before, &lab.topics);
    assert_eq!(lab.admission.pending(), ["t-002".into(), "t-003".into()]);
    assert_eq!(lab.go_on(), Some(Verdict::Refused("t-002".into())));
    lab.bad.remove("t-002");
    lab.admission.begin(&lab.topics, lab.now);
    let admitted = lab.admission.admitted(&lab.topics);
    assert_eq!(admitted, [before.clone(), vec![topic("t-003")]].concat());
    assert_eq!(lab.go_on(), Some(Verdict::Refused("t-003".into())));
    assert_eq!(lab.connect(), None);
    assert_eq!(lab.admission.admitted(&lab.topics), before);
    // What the reload asked for is asked for again, in the place of what stands.
    lab.now += 30 * SECOND;
    assert!(lab.admission.next(lab.now));
    assert_eq!(
        lab.admission.admitted(&lab.topics),
        [before[0].clone(), other]
    );
    assert_eq!(lab.go_on(), Some(Verdict::Refused("t-003".into())));
    let refused: Vec<_> = lab.admission.refused().into_keys().collect();
    assert_eq!(refused, ["t-003".into()]);
}

#[test]
fn a_reload_leaves_what_is_refused_alone_and_forgets_what_it_removes() {
    let mut lab = Lab::new(4, &[1, 2], Refusal::Named);
    lab.settle(3);
    let before = lab.topics.clone();
    lab.topics.remove(1);
    lab.topics.push(topic("t-005"));
    lab.admission.reload(&before, &lab.topics);
    assert_eq!(lab.admission.pending(), ["t-005".into()]);
    assert_eq!(lab.go_on(), None);
    let refused: Vec<_> = lab.admission.refused().into_keys().collect();
    assert_eq!(refused, ["t-003".into()]);
}

#[test]
fn hundreds_of_refused_topics_cost_few_connections_an_hour() {
    let all: Vec<usize> = (0..40).collect();
    let mut lab = Lab::new(50, &all, Refusal::Named);
    lab.settle(40 * 12);
    let end = lab.now + 3_600 * SECOND;
    let mut drops = 0;
    while let Some(due) = lab.admission.due().filter(|due| *due < end) {
        lab.now = due;
        assert!(lab.admission.next(due));
        assert!(matches!(lab.go_on(), Some(Verdict::Refused(_))));
        assert_eq!(lab.connect(), None);
        drops += 1;
    }
    assert!((5..=9).contains(&drops), "{drops} drops in an hour");
    // Once they are accepted, they all come in one go.
    lab.bad.clear();
    lab.now += 900 * SECOND;
    assert!(lab.admission.next(lab.now));
    assert_eq!((lab.go_on(), lab.standing()), (None, 50));
}

#[test]
fn doubtful_topics_that_were_asked_for_are_not_asked_for_again() {
    let mut lab = Lab::new(4, &[0], Refusal::Silent);
    assert!(matches!(lab.connect(), Some(Verdict::OneOf(_))));
    lab.admission.begin(&lab.topics, lab.now);
    while lab
        .admission
        .pending()
        .iter()
        .all(|name| !lab.bad.contains(name))
    {
        lab.confirm(&lab.admission.pending());
        assert!(lab.admission.next(lab.now));
    }
    let asked = lab.admission.asked.clone();
    assert!(!lab.admission.next(lab.now), "they are waited for");
    assert_eq!(lab.admission.asked, asked);
}

#[test]
fn a_doubtful_topic_that_a_reload_changes_is_asked_for_as_it_is_now() {
    let mut lab = Lab::new(4, &[0], Refusal::Silent);
    assert!(matches!(lab.connect(), Some(Verdict::OneOf(_))));
    lab.admission.begin(&lab.topics, lab.now);
    let tried = lab.admission.pending();
    assert_eq!(tried, ["t-003".into(), "t-004".into()]);
    let before = lab.topics.clone();
    let other = Topic::sample("t-004", "/topic/other", AckMode::Auto, &[]);
    lab.topics[3] = other.clone();
    lab.admission.reload(&before, &lab.topics);
    assert_eq!(lab.admission.pending(), ["t-003".into()]);
    assert!(lab.admission.next(lab.now));
    assert_eq!(lab.admission.admitted(&lab.topics)[1], other);
    lab.confirm(&tried);
    assert!(lab.admission.next(lab.now), "and then the others");
}

#[test]
fn a_refusal_that_comes_late_is_found_among_those_that_were_never_answered() {
    let mut lab = Lab::new(4, &[], Refusal::Silent);
    lab.admission.begin(&lab.topics, lab.now);
    let names = lab.admission.pending();
    lab.confirm(&names[..2]);
    for name in &names[2..] {
        lab.admission.unanswered(name, lab.now);
    }
    assert!(lab.admission.pending().is_empty());
    let error = Evidence::Error { about: None };
    let verdict = lab.admission.ended(&error, Answers::InOrder);
    assert_eq!(verdict, Verdict::OneOf(names[2..].to_vec()));
    // Each half has its time from now on: its refusal may come as late.
    lab.admission.begin(&lab.topics, lab.now);
    lab.confirm(&names[..2]);
    assert!(lab.admission.next(lab.now));
    let tried = lab.admission.pending();
    assert_eq!(tried.len(), 1);
    lab.admission.unanswered(&tried[0], lab.now);
    assert!(!lab.admission.next(lab.now));
    assert_eq!(lab.admission.quiet_for_good(lab.now + 29 * SECOND), None);
    let until = lab.now + LATE_MAX;
    assert_eq!(lab.admission.quiet_for_good(until), Some(tried[0].clone()));
    lab.confirm(&tried);
    assert_eq!(lab.admission.quiet_for_good(until), None);
    assert!(lab.admission.next(until));
}

#[test]
fn a_refusal_is_not_taken_back_for_want_of_an_answer() {
    let mut lab = Lab::new(2, &[1], Refusal::Named);
    lab.settle(2);
    for _ in 0..3 {
        lab.now = lab.admission.due().unwrap();
        assert!(lab.admission.next(lab.now));
        lab.admission.unanswered(&"t-002".into(), lab.now);
        assert_eq!(lab.admission.refused().len(), 1);
        let error = Evidence::Error { about: None };
        let verdict = lab.admission.ended(&error, Answers::InAnyOrder);
        assert_eq!(verdict, Verdict::Refused("t-002".into()));
        let now = (lab.now, Timestamp::UNIX_EPOCH);
        lab.admission.refuse(&lab.topics[1], "no", now, 0.0);
        assert_eq!(lab.connect(), None);
    }
    assert_eq!(lab.admission.refused()["t-002"].refusals, 4);
    lab.now = lab.admission.due().unwrap();
    assert!(lab.admission.next(lab.now));
    lab.admission.unanswered(&"t-002".into(), lab.now);
    assert!(lab.admission.confirmed(&"t-002".into()).is_some());
}
