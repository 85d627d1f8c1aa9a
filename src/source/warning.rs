//! Configuration warnings, from the server's answer and the configuration, with what to do. They
//! are reported, never acted on: the operator may have a reason.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Topic;
use super::guarantee::{Broker, keeps_messages};
use super::names::in_short;
use crate::stomp::AckMode;

/// One warning; its text is one line that ends with what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigurationWarning {
    /// The server would keep messages until they are acknowledged, and is told not to wait for it.
    AutoAck(Vec<Arc<str>>),
    /// RabbitMQ sends all that waits at once.
    UnlimitedPrefetch(Vec<Arc<str>>),
    /// RabbitMQ counts messages for each connection, not for each subscription.
    SharedAck(Vec<Arc<str>>),
    /// The server promises no heart-beats, although we ask for them.
    NoHeartbeats(Detection),
    /// We ask for none.
    HeartbeatsOff(Detection),
    /// We send none, and the server waits no longer than a minute for anything.
    CutWhenQuiet,
}

/// What notices a dead link where the server sends no heart-beats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detection {
    /// WebSocket pings, so often.
    Pings(Duration),
    /// TCP keep-alive, and a new connection after so long without a byte (`source.silence`).
    Silence(Duration),
    /// TCP keep-alive.
    KeepAlive,
}

/// Every warning about these topics on that server.
pub(super) fn warnings(broker: Broker, topics: &[Topic]) -> Vec<ConfigurationWarning> {
    let those = |weak: &dyn Fn(&Topic) -> bool| -> Vec<Arc<str>> {
        topics
            .iter()
            .filter(|topic| weak(topic))
            .map(|topic| Arc::clone(&topic.name))
            .collect()
    };
    let limited = |topic: &Topic| {
        topic
            .header("prefetch-count")
            .is_some_and(|count| count.trim() != "0")
    };
    let rabbitmq = broker == Broker::RabbitMq;
    let several = topics.len() > 1;
    let auto = those(&|topic| topic.ack == AckMode::Auto && keeps_messages(broker, topic));
    // With `auto` it is not for the client to slow the server down.
    let unlimited = those(&|topic| rabbitmq && topic.ack != AckMode::Auto && !limited(topic));
    let shared = those(&|topic| rabbitmq && several && topic.ack == AckMode::Client);
    let mut found = Vec::new();
    if !auto.is_empty() {
        found.push(ConfigurationWarning::AutoAck(auto));
    }
    if !unlimited.is_empty() {
        found.push(ConfigurationWarning::UnlimitedPrefetch(unlimited));
    }
    if !shared.is_empty() {
        found.push(ConfigurationWarning::SharedAck(shared));
    }
    found
}

impl fmt::Display for ConfigurationWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigurationWarning::AutoAck(topics) => write!(
                f,
                "{}: the server would keep messages until they are on our disk, but ack is auto: \
                 messages in flight are lost when the connection breaks; \
                 set ack = \"client-individual\"",
                subject(topics)
            ),
            ConfigurationWarning::UnlimitedPrefetch(topics) => write!(
                f,
                "{}: RabbitMQ sends the whole queue at once and keeps it in memory until it is \
                 acknowledged; set headers = {{ \"prefetch-count\" = \"1000\" }}",
                subject(topics)
            ),
            ConfigurationWarning::SharedAck(topics) => write!(
                f,
                "topics with ack = \"client\" ({}): RabbitMQ takes an ACK for all older messages of the connection, \
                 those of other topics included; set ack = \"client-individual\"",
                in_short(topics)
            ),
            ConfigurationWarning::NoHeartbeats(detection) => write!(
                f,
                "the server sends no heart-beats: {detection}; switch them on in the server (Spring: give \
                 enableSimpleBroker a task scheduler and heart-beat values){}",
                detection.advice()
            ),
            ConfigurationWarning::HeartbeatsOff(detection) => {
                write!(f, "heart-beats are off: {detection}; set source.heartbeat = \"10s\"{}", detection.advice())
            }
            ConfigurationWarning::CutWhenQuiet => f.write_str(
                "we send no heart-beats, and Artemis ends a connection on which we say nothing for a minute; set \
                 source.heartbeat = \"10s\"",
            ),
        }
    }
}

/// `topic a`, or `topics a, b`.
fn subject(topics: &[Arc<str>]) -> String {
    format!(
        "{} {}",
        if topics.len() == 1 { "topic" } else { "topics" },
        in_short(topics)
    )
}

impl Detection {
    fn advice(self) -> &'static str {
        match self {
            Detection::KeepAlive => ", or source.silence to the longest pause that is normal",
            Detection::Pings(_) | Detection::Silence(_) => "",
        }
    }
}

impl fmt::Display for Detection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Detection::Pings(every) => write!(f, "a dead link is noticed by WebSocket pings, every {every:?}"),
            Detection::Silence(after) => write!(
                f,
                "a dead link is noticed by TCP keep-alive, and after {after:?} without a byte by \
                 reconnecting"
            ),
            Detection::KeepAlive => f.write_str(
                "a dead link is noticed by TCP keep-alive alone, which does not see a server that hangs, or one \
                 behind a proxy",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, destination: &str, ack: AckMode, headers: &[(&str, &str)]) -> Topic {
        let headers = headers
            .iter()
            .map(|(key, value)| (key.to_string(), (*value).into()))
            .collect();
        Topic {
            name: name.into(),
            destination: destination.into(),
            ack,
            headers,
        }
    }

    fn check(broker: Broker, topics: &[Topic], expected: &[&str]) {
        let found: Vec<String> = warnings(broker, topics)
            .iter()
            .map(ConfigurationWarning::to_string)
            .collect();
        assert_eq!(
            found.len(),
            expected.len(),
            "{broker:?} {topics:?}: {found:?}"
        );
        for (found, expected) in found.iter().zip(expected) {
            let (begins, advises) = expected.split_once(" … ").unwrap();
            assert!(
                found.starts_with(begins) && found.ends_with(advises) && !found.contains('\n'),
                "{found}"
            );
        }
    }

    #[test]
    fn each_weak_point_is_one_line_that_says_what_to_do() {
        use AckMode::{Auto, Client, ClientIndividual};
        let limit = [("prefetch-count", "256")];
        let auto = "topic a: the server would keep … set ack = \"client-individual\"";
        let prefetch =
            "topic a: RabbitMQ sends the … set headers = { \"prefetch-count\" = \"1000\" }";
        check(
            Broker::RabbitMq,
            &[topic("a", "/queue/a", Auto, &[])],
            &[auto],
        );
        check(
            Broker::ActiveMq,
            &[topic("a", "/queue/a", Auto, &[])],
            &[auto],
        );
        let many: Vec<Topic> = (0..500)
            .map(|n| topic(&format!("a-{n}"), "/queue/a", Auto, &[]))
            .collect();
        let said = "topics a-0, a-1, a-2, a-3, a-4 and 495 more: the server … set ack = \"client-individual\"";
        check(Broker::ActiveMq, &many, &[said]);
        check(Broker::RabbitMq, &[topic("a", "/topic/a", Auto, &[])], &[]);
        check(
            Broker::SpringSimple,
            &[topic("a", "/queue/a", Auto, &[])],
            &[],
        );
        check(
            Broker::RabbitMq,
            &[topic("a", "/queue/a", ClientIndividual, &[])],
            &[prefetch],
        );
        check(
            Broker::RabbitMq,
            &[topic("a", "/queue/a", Client, &[("prefetch-count", "0")])],
            &[prefetch],
        );
        check(
            Broker::RabbitMq,
            &[topic("a", "/queue/a", ClientIndividual, &limit)],
            &[],
        );
        check(
            Broker::ActiveMq,
            &[topic("a", "/queue/a", ClientIndividual, &[])],
            &[],
        );
        let two = [
            topic("a", "/queue/a", Client, &limit),
            topic("b", "/queue/b", ClientIndividual, &limit),
        ];
        check(
            Broker::RabbitMq,
            &two,
            &["topics with ack = \"client\" (a): … set ack = \"client-individual\""],
        );
        check(Broker::RabbitMq, &two[..1], &[]);
        check(Broker::ActiveMq, &two, &[]);
    }

    #[test]
    fn without_heartbeats_it_is_said_what_notices_a_dead_link() {
        let check = |warning: ConfigurationWarning, expected: &[&str]| {
            let said = warning.to_string();
            assert!(expected.iter().all(|part| said.contains(part)), "{said}");
        };
        let ten = Duration::from_secs(10);
        check(
            ConfigurationWarning::NoHeartbeats(Detection::Pings(ten)),
            &["by WebSocket pings, every 10s; switch them on"],
        );
        check(
            ConfigurationWarning::NoHeartbeats(Detection::KeepAlive),
            &["TCP keep-alive alone", "or source.silence"],
        );
        check(
            ConfigurationWarning::NoHeartbeats(Detection::Silence(ten)),
            &["after 10s without a byte by reconnecting"],
        );
        check(
            ConfigurationWarning::HeartbeatsOff(Detection::KeepAlive),
            &["heart-beats are off", "source.heartbeat = \"10s\""],
        );
        check(
            ConfigurationWarning::CutWhenQuiet,
            &["Artemis ends", "source.heartbeat = \"10s\""],
        );
    }
}
