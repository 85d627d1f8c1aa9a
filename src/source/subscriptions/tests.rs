use std::time::Duration;

use super::slot::{DRAIN_MAX, QUIET};
use super::*;
use crate::stomp::{Event, Options, Session, Subscribe};

fn ack(name: &str) -> AckId {
    let now = Instant::now();
    let mut session = Session::new(Options::new("/"), now);
    let (id, ack) = (name.into(), AckMode::ClientIndividual);
    session.subscribe(
        Subscribe {
            id,
            destination: "/a".to_owned(),
            ack,
            headers: Vec::new(),
        },
        now,
    );
    let message = format!("MESSAGE\nsubscription:{name}\nmessage-id:1\nack:1\n\n\0");
    session.receive(format!("CONNECTED\nversion:1.2\n\n\0{message}").into(), now);
    loop {
        if let Event::Message(message) = session.poll().unwrap().unwrap() {
            return message.ack.unwrap();
        }
    }
}

fn topic(name: &str, destination: &str, ack: AckMode) -> Topic {
    Topic::sample(name, destination, ack, &[])
}

fn being_subscribed(topics: &[Topic]) -> Subscriptions {
    let mut subscriptions = Subscriptions::new();
    let change = subscriptions.assign(topics, 0, Instant::now());
    assert_eq!(change.subscribe, topics);
    subscriptions
}

fn standing(topics: &[Topic]) -> Subscriptions {
    let (mut subscriptions, now) = (being_subscribed(topics), Instant::now());
    for topic in topics {
        assert!(
            subscriptions.confirm(&topic.name, now) && !subscriptions.confirm(&topic.name, now)
        );
    }
    assert_eq!(subscriptions.complete_without(None), Some(topics.len()));
    subscriptions
}

fn left(leaving: &[Leave]) -> Vec<(&str, usize)> {
    leaving
        .iter()
        .map(|leave| (&*leave.topic.name, leave.acks.len()))
        .collect()
}

#[test]
fn a_topic_is_left_once_nothing_comes_and_all_is_on_disk() {
    let start = Instant::now();
    let individual = topic("i", "/queue/i", AckMode::ClientIndividual);
    let auto = topic("a", "/topic/a", AckMode::Auto);
    let mut subscriptions = standing(&[individual, auto.clone()]);
    assert!(!subscriptions.hold(&ack("i")) && subscriptions.leave(|_| true, start).is_empty());
    subscriptions.assign(&[], 0, start);
    assert_eq!(
        subscriptions.complete_without(None),
        Some(0),
        "what goes is not waited for"
    );
    assert_eq!(
        left(&subscriptions.leave(|_| true, start)),
        [("a", 0)],
        "nothing of it is acknowledged"
    );
    assert_eq!(subscriptions.due(start), Some(start + QUIET));

    let later = start + QUIET / 2;
    subscriptions.heard("i", 7, later);
    assert!(subscriptions.hold(&ack("i")));
    assert_eq!(subscriptions.due(later), Some(later + QUIET));
    let quiet = later + QUIET;
    assert!(
        subscriptions.leave(|entry| entry < 7, quiet).is_empty(),
        "the last one is not on disk yet"
    );
    assert_eq!(
        left(&subscriptions.leave(|entry| entry <= 7, quiet)),
        [("i", 1)]
    );
    assert!(!subscriptions.hold(&ack("i")), "there is no ACK after it");
    assert_eq!(
        (subscriptions.due(quiet), subscriptions.wants_a_pause(quiet)),
        (None, false)
    );

    subscriptions.late("i");
    let gone = subscriptions.gone("i").unwrap();
    assert_eq!((gone.late, gone.next), (1, None));
    assert!(subscriptions.gone("i").is_none() && subscriptions.gone("nobody").is_none());
}

#[test]
fn a_topic_that_is_not_subscribed_yet_is_not_quiet() {
    let start = Instant::now();
    let mut subscriptions = being_subscribed(&[topic("i", "/queue/i", AckMode::ClientIndividual)]);
    subscriptions.assign(&[], 0, start);
    let late = start + DRAIN_MAX;
    assert!(subscriptions.leave(|_| true, late).is_empty());
    subscriptions.confirm("i", start + QUIET);
    assert!(subscriptions.leave(|_| true, start + QUIET).is_empty());
    assert_eq!(left(&subscriptions.leave(|_| true, late)), [("i", 0)]);
}

#[test]
fn a_topic_of_which_nothing_is_kept_is_left_at_once() {
    let start = Instant::now();
    let mut subscriptions = standing(&[topic("t", "/topic/t", AckMode::Client)]);
    let grant = Grant {
        fleeting: true,
        ..Grant::default()
    };
    subscriptions.grant("t", grant);
    subscriptions.assign(&[], 0, start);
    subscriptions.hold(&ack("t"));
    assert_eq!(left(&subscriptions.leave(|_| false, start)), [("t", 1)]);
}

#[test]
fn a_full_window_has_nothing_more_under_way() {
    let start = Instant::now();
    let mut subscriptions = standing(&[topic("i", "/queue/i", AckMode::ClientIndividual)]);
    let grant = Grant {
        window: Some(2),
        keeps: true,
        fleeting: false,
        careful: false,
    };
    subscriptions.grant("i", grant);
    let open: Vec<_> = subscriptions.open().collect();
    assert_eq!(open, [(&"i".into(), Some(2))]);
    subscriptions.assign(&[], 0, start);
    subscriptions.hold(&ack("i"));
    assert!(
        subscriptions.leave(|_| true, start + QUIET).is_empty(),
        "it is worth waiting for"
    );
    subscriptions.hold(&ack("i"));
    assert_eq!(left(&subscriptions.leave(|_| true, start)), [("i", 2)]);
    assert!(subscriptions.open().next().is_none() && subscriptions.any_kept());
    subscriptions.gone("i");
    assert!(!subscriptions.any_kept(), "nothing more comes of it");
}

#[test]
fn a_topic_that_was_subscribed_carefully_is_renewed_after_one_message() {
    let start = Instant::now();
    for ack_mode in [AckMode::ClientIndividual, AckMode::Client] {
        let topic = topic("i", "/queue/i", ack_mode);
        let mut subscriptions = standing(std::slice::from_ref(&topic));
        subscriptions.renew("i", 0, start);
        assert!(subscriptions.stands(&topic), "it was not subscribed so");
        let grant = Grant {
            window: Some(1),
            keeps: true,
            fleeting: false,
            careful: true,
        };
        subscriptions.grant("i", grant);
        subscriptions.renew("i", 0, start);
        assert!(subscriptions.hold(&ack("i")));
        let leaving = subscriptions.leave(|_| true, start);
        assert_eq!(left(&leaving), [("i", 1)]);
        assert!(leaving[0].renewed);
        let gone = subscriptions.gone("i").unwrap();
        assert_eq!(gone.next, Some(topic));
        assert!(!subscriptions.any_careful());
    }
}

#[test]
fn a_topic_that_never_falls_quiet_is_left_after_a_pause() {
    let start = Instant::now();
    let mut subscriptions = standing(&[topic("c", "/queue/c", AckMode::Client)]);
    subscriptions.assign(&[], 0, start);
    let end = start + DRAIN_MAX;
    for step in 0..=DRAIN_MAX.as_millis() as u64 / 50 {
        let now = start + Duration::from_millis(50 * step);
        assert_eq!(subscriptions.wants_a_pause(now), now >= end);
        subscriptions.heard("c", step, now);
    }
    assert_eq!(left(&subscriptions.leave(|_| true, end)), [("c", 0)]);
}

#[test]
fn another_topic_of_the_name_waits_until_the_first_is_gone() {
    let start = Instant::now();
    let (old, new) = (
        topic("t", "/a", AckMode::Auto),
        topic("t", "/b", AckMode::Client),
    );
    let mut subscriptions = standing(std::slice::from_ref(&old));
    assert!(
        subscriptions
            .assign(std::slice::from_ref(&new), 0, start)
            .subscribe
            .is_empty()
    );
    assert!(
        !subscriptions.stands(&old)
            && !subscriptions.stands(&new)
            && subscriptions.complete_without(None).is_none()
    );
    assert_eq!(left(&subscriptions.leave(|_| true, start)), [("t", 0)]);
    assert_eq!(subscriptions.gone("t").unwrap().next, Some(new.clone()));
    assert!(subscriptions.stands(&new) && subscriptions.complete_without(None).is_none());
    assert!(subscriptions.confirm("t", start) && subscriptions.complete_without(None) == Some(1));
}

#[test]
fn a_topic_that_is_wanted_again_stays_or_comes_back() {
    let start = Instant::now();
    let (a, b) = (
        topic("a", "/a", AckMode::Client),
        topic("b", "/b", AckMode::Auto),
    );
    let mut subscriptions = standing(&[a.clone(), b.clone()]);
    subscriptions.assign(&[], 0, start);
    subscriptions.hold(&ack("a"));
    subscriptions.leave(|_| false, start);
    let change = subscriptions.assign(&[a.clone(), b.clone()], 0, start);
    assert_eq!(
        (change.release.len(), change.subscribe),
        (1, vec![]),
        "the one was not unsubscribed yet"
    );
    assert!(
        subscriptions.is_confirmed(&a)
            && !subscriptions.stands(&b)
            && subscriptions.complete_without(None).is_none()
    );
    assert_eq!(subscriptions.gone("b").unwrap().next, Some(b));
}

#[test]
fn what_is_withheld_can_be_done_without_unless_it_is_wanted_or_might_be_acknowledged() {
    let start = Instant::now();
    let check = |ack, stays: Option<AckMode>, again: bool, expected| {
        let goes = topic("goes", "/a", ack);
        let stays = stays.map(|ack| topic("stays", "/b", ack));
        let all: Vec<Topic> = stays.iter().cloned().chain([goes.clone()]).collect();
        let mut subscriptions = standing(&all);
        let rest: Vec<Topic> = stays.into_iter().collect();
        subscriptions.assign(&rest, 0, start);
        subscriptions.leave(|_| true, start + DRAIN_MAX);
        subscriptions.gone("goes");
        if again {
            subscriptions.assign(&all, 0, start);
        }
        assert_eq!(
            subscriptions.can_do_without("goes"),
            expected,
            "{ack:?} {rest:?} {again}"
        );
    };
    check(AckMode::Auto, None, true, true);
    check(AckMode::ClientIndividual, None, false, true);
    check(
        AckMode::ClientIndividual,
        Some(AckMode::ClientIndividual),
        false,
        true,
    );
    check(
        AckMode::ClientIndividual,
        Some(AckMode::Client),
        false,
        false,
    );
    check(AckMode::ClientIndividual, None, true, false);
}
