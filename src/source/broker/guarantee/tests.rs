//! Its words, and where they lead: the advice of each line is followed as somebody reads it.

use super::*;
use crate::source::broker::Broker;
use crate::source::broker::kind::ALL;

#[test]
fn a_list_reads_as_a_sentence() {
    let check = |items: &[&str], expected: &str| {
        assert_eq!(listed(items, "or"), expected);
    };
    check(&[], "");
    check(&["a"], "a");
    check(&["a", "b"], "a or b");
    check(&["a", "b", "c"], "a, b or c");
}

#[test]
fn a_limit_is_near_from_its_half_and_reached_with_its_last_delivery() {
    let check = |limit: DeliveryLimit, near: u64, reached: u64| {
        assert!(!limit.is_near(near - 1) && limit.is_near(near), "{limit}");
        assert!(
            !limit.is_reached(reached - 1) && limit.is_reached(reached),
            "{limit}"
        );
    };
    check(DeliveryLimit::Assumed(20), 10, 20);
    check(DeliveryLimit::Configured(3), 2, 3);
    check(DeliveryLimit::Configured(1), 1, 1);
    // The first delivery of all is near nothing.
    assert!(!DeliveryLimit::Configured(0).is_near(0));
    let none = DeliveryLimit::Unlimited;
    assert!(!none.is_near(u64::MAX) && !none.is_reached(u64::MAX));
}

/// The topic as somebody configures it who does what the line says.
fn followed(line: &str, topic: &Topic) -> Option<Topic> {
    let (_, advice) = line.split_once("; ")?;
    let between = |before: &str, after: &str| {
        let (_, rest) = advice.split_once(before)?;
        Some(rest.split_once(after)?.0.to_owned())
    };
    let mut topic = topic.clone();
    if advice.contains("read a queue") {
        topic.destination = "/queue/a".into();
    }
    let removed = between("remove ", " from headers").unwrap_or_default();
    let added = between("add headers = { ", " }").unwrap_or_default();
    let added = added.split(", ").filter_map(|pair| {
        let (name, value) = pair.split_once(" = ")?;
        Some((
            name.trim_matches('"').to_owned(),
            value.trim_matches('"').into(),
        ))
    });
    let added: Vec<(String, _)> = added.collect();
    topic.headers.retain(|(name, _)| {
        let replaced = added.iter().any(|(other, _)| other == name);
        !replaced && !removed.split(", ").any(|other| other == name)
    });
    topic.headers.extend(added);
    if advice.contains("set ack = \"client-individual\"") {
        topic.ack = AckMode::ClientIndividual;
    }
    Some(topic)
}

/// Every list of one item of each of these.
fn combined(
    parts: &[&[&[(&'static str, &'static str)]]],
) -> Vec<Vec<(&'static str, &'static str)>> {
    parts.iter().fold(vec![Vec::new()], |before, part| {
        let extended = before
            .iter()
            .flat_map(|list| part.iter().map(move |more| [list, *more].concat()));
        extended.collect()
    })
}

#[test]
fn advice_that_is_followed_leads_to_a_better_line_until_there_is_none() {
    let headers = combined(&[
        &[&[], &[("durable", "true")], &[("durable", "false")]],
        &[&[], &[("auto-delete", "true")], &[("auto-delete", "false")]],
        &[&[], &[("exclusive", "true")]],
        &[
            &[],
            &[
                ("x-message-ttl", "60000"),
                ("x-max-length", "9"),
                ("x-max-length-bytes", "9"),
                ("x-expires", "60000"),
            ],
        ],
        &[
            &[],
            &[("x-queue-type", "quorum")],
            &[("x-queue-type", "stream")],
        ],
        &[&[], &[("x-delivery-limit", "3")]],
        &[
            &[],
            &[
                ("activemq.subscriptionName", "b"),
                ("subscription-type", "ANYCAST"),
            ],
        ],
    ]);
    let destinations = [
        "/topic/a",
        "/queue/a",
        "/amq/queue/a",
        "/exchange/amq.topic/a",
        "queue://a",
        "jms.queue.a",
    ];
    let acks = [AckMode::Auto, AckMode::Client, AckMode::ClientIndividual];
    let shown = Seen {
        delivery_count: 2,
        expires: true,
    };
    let mut steps_max = 0;
    for broker in ALL {
        for destination in destinations {
            for headers in &headers {
                for ack in acks {
                    for seen in [Seen::default(), shown] {
                        let topic = Topic::sample("t", destination, ack, headers);
                        steps_max = steps_max.max(steps(broker, topic, seen));
                    }
                }
            }
        }
    }
    assert_eq!(steps_max, 2, "the longest way");
}

/// How often there is advice to follow. Each time the line becomes better; at last there is none.
fn steps(broker: Broker, mut topic: Topic, seen: Seen) -> usize {
    for step in 0..=3 {
        let promise = broker.facts().promise(&topic, seen);
        let said = broker.guarantee(&topic, seen, WhenFull::Pause);
        let line = said.to_string();
        assert!(
            !said.zh.is_ascii() && said.zh.contains("；请") == line.contains("; "),
            "{said:?}"
        );
        let dropping = ["x-message-ttl", "x-max-length", "x-expires"];
        let shown = seen != Seen::default()
            || broker == Broker::RabbitMq
                && (dropping.iter().any(|name| topic.header(name).is_some())
                    || topic.header("x-queue-type") == Some("quorum"));
        assert!(
            !(shown && line.starts_with("nothing is lost")),
            "{broker:?} {topic:?}: {line}"
        );
        let Some(next) = followed(&line, &topic) else {
            let left = broker.warnings(std::slice::from_ref(&topic));
            let others = left
                .iter()
                .find(|warning| !warning.to_string().contains("prefetch-count"));
            assert_eq!(others, None, "{broker:?} {topic:?}: {line}");
            return step;
        };
        let better = broker.facts().promise(&next, seen);
        assert!(
            better.strength() > promise.strength(),
            "{broker:?} {topic:?}: {line}, and then: {:?}",
            better.words()
        );
        topic = next;
    }
    panic!("{broker:?} {topic:?}: advice without end");
}

#[test]
fn a_journal_that_evicts_leaves_no_topic_the_promise_that_nothing_is_lost() {
    let queue = |ack| Topic::sample("t", "/queue/a", ack, &[]);
    let lines = |topic: &Topic, seen| {
        [WhenFull::Pause, WhenFull::DropOldest].map(|when_full| {
            Broker::RabbitMq
                .guarantee(topic, seen, when_full)
                .to_string()
        })
    };
    let counted = Seen {
        delivery_count: 2,
        expires: false,
    };
    let kept = queue(AckMode::ClientIndividual);
    for seen in [Seen::default(), counted] {
        let [pause, drop_oldest] = lines(&kept, seen);
        assert!(!pause.contains("drop_oldest"), "{pause}");
        assert!(
            drop_oldest.starts_with("a message is lost if ")
                && drop_oldest.contains("the journal is full before every sink has it")
                && drop_oldest.ends_with("set journal.when_full = \"pause\""),
            "{drop_oldest}"
        );
    }
    // What the server does not keep for us is lost before.
    for topic in [
        queue(AckMode::Auto),
        Topic::sample("t", "/topic/a", AckMode::Client, &[]),
    ] {
        let [pause, drop_oldest] = lines(&topic, Seen::default());
        assert_eq!(pause, drop_oldest);
    }
}
