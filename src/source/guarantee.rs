//! What can honestly be promised between the server and the journal, from the server's answer and
//! the configuration.

use super::Topic;
use crate::stomp::AckMode;

/// What kind of server answered CONNECTED.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broker {
    /// Spring's simple broker, or what says as little: its CONNECTED names neither a server nor a
    /// session.
    SpringSimple,
    /// RabbitMQ's STOMP or Web-STOMP plugin.
    RabbitMq,
    /// ActiveMQ Classic.
    ActiveMq,
    /// ActiveMQ Artemis.
    Artemis,
    /// Another one.
    Unknown,
}

impl Broker {
    /// From CONNECTED's `server` and `session` headers. A Spring application that relays to a real
    /// broker hands that one's CONNECTED on, and is taken for it.
    pub fn of(server: Option<&str>, session: Option<&str>) -> Broker {
        match (server, session) {
            (None, None) => Broker::SpringSimple,
            (Some(name), _) if name.starts_with("RabbitMQ") => Broker::RabbitMq,
            (Some(name), _) if name.contains("Artemis") => Broker::Artemis,
            (Some(name), _) if name.starts_with("ActiveMQ") => Broker::ActiveMq,
            (Some(_), _) | (None, Some(_)) => Broker::Unknown,
        }
    }

    /// The name used in status and log.
    pub fn as_str(self) -> &'static str {
        match self {
            Broker::SpringSimple => "spring-simple",
            Broker::RabbitMq => "rabbitmq",
            Broker::ActiveMq => "activemq",
            Broker::Artemis => "artemis",
            Broker::Unknown => "unknown",
        }
    }
}

/// One sentence on what is lost, and when, of one topic.
pub fn guarantee(broker: Broker, topic: &Topic) -> &'static str {
    if broker == Broker::SpringSimple {
        return "at most once before receipt: a server without a name is taken for Spring's simple broker, which keeps \
                nothing while we are away";
    }
    if topic.ack == AckMode::Auto {
        return "at most once before receipt: ack is auto, so messages in flight are lost when the \
         connection breaks; use ack = \"client-individual\"";
    }
    if keeps_messages(broker, topic) {
        "nothing is lost: the server keeps messages until they are on our disk"
    } else {
        "at most once while we are away: the destination is not a durable queue or subscription"
    }
}

/// Whether the server keeps what comes while nobody is subscribed, and what is not acknowledged.
pub(super) fn keeps_messages(broker: Broker, topic: &Topic) -> bool {
    let header = |name: &str| topic.header(name);
    let destination = topic.destination.as_str();
    match broker {
        Broker::RabbitMq => {
            // Seen on 3.10.8: a queue that is only named (`x-queue-name`) goes with the connection
            // all the same.
            let durable =
                header("durable") == Some("true") && header("auto-delete") == Some("false");
            let queue =
                destination.starts_with("/queue/") || destination.starts_with("/amq/queue/");
            let fleeting = [
                ("durable", "false"),
                ("auto-delete", "true"),
                ("exclusive", "true"),
            ];
            let fleeting = fleeting
                .iter()
                .any(|(name, value)| header(name) == Some(value));
            (queue || durable) && !fleeting
        }
        Broker::ActiveMq => {
            destination.starts_with("/queue/") || header("activemq.subscriptionName").is_some()
        }
        Broker::Artemis => {
            destination.starts_with("/queue/") || header("durable-subscription-name").is_some()
        }
        Broker::SpringSimple => false,
        Broker::Unknown => destination.starts_with("/queue/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RABBITMQ: (Option<&str>, Option<&str>) = (Some("RabbitMQ/3.10.8"), Some("session-AqLbz"));
    const ACTIVEMQ: (Option<&str>, Option<&str>) =
        (Some("ActiveMQ/5.17.2"), Some("ID:vm-39257-x-3:2"));
    const ARTEMIS: (Option<&str>, Option<&str>) =
        (Some("ActiveMQ-Artemis/2.31.2 ActiveMQ"), Some("5a"));
    const SPRING: (Option<&str>, Option<&str>) = (None, None);

    #[test]
    fn a_broker_is_what_connected_says_and_no_more() {
        let check = |(server, session), expected| {
            assert_eq!(Broker::of(server, session), expected, "{server:?}")
        };
        check(SPRING, Broker::SpringSimple);
        check(RABBITMQ, Broker::RabbitMq);
        check(ACTIVEMQ, Broker::ActiveMq);
        check(ARTEMIS, Broker::Artemis);
        check((Some("RabbitMQ/3.10.8"), None), Broker::RabbitMq);
        check((Some("apache-apollo/1.7.1"), Some("x")), Broker::Unknown);
        // coilmq names a session and no server: whatever it is, it is not Spring's simple broker.
        check((None, Some("1606300000.1")), Broker::Unknown);
    }

    #[test]
    fn the_promise_is_as_strong_as_the_server_and_the_subscription() {
        type Headers<'a> = &'a [(&'a str, &'a str)];
        let check =
            |(server, session), destination: &str, ack, headers: Headers<'_>, expected: &str| {
                let headers = headers
                    .iter()
                    .map(|(key, value)| (key.to_string(), (*value).into()))
                    .collect();
                let topic = Topic {
                    name: "t".into(),
                    destination: destination.into(),
                    ack,
                    headers,
                };
                let said = guarantee(Broker::of(server, session), &topic);
                assert!(
                    said.starts_with(expected),
                    "{server:?} {destination} {ack:?}: {said}"
                );
            };
        let durable = [("durable", "true"), ("auto-delete", "false")];
        check(
            SPRING,
            "/topic/state/1",
            AckMode::ClientIndividual,
            &[],
            "at most once before receipt: a server without",
        );
        check(
            RABBITMQ,
            "/topic/a",
            AckMode::ClientIndividual,
            &[],
            "at most once while",
        );
        check(
            RABBITMQ,
            "/topic/a",
            AckMode::ClientIndividual,
            &durable,
            "nothing is lost",
        );
        check(
            RABBITMQ,
            "/queue/a",
            AckMode::Client,
            &[],
            "nothing is lost",
        );
        check(
            RABBITMQ,
            "/queue/a",
            AckMode::Client,
            &[("auto-delete", "true")],
            "at most once while",
        );
        check(
            RABBITMQ,
            "/queue/a",
            AckMode::Auto,
            &[],
            "at most once before receipt: ack is auto",
        );
        check(
            RABBITMQ,
            "/queue/a",
            AckMode::Client,
            &[("exclusive", "true")],
            "at most once while",
        );
        check(
            RABBITMQ,
            "/topic/a",
            AckMode::Client,
            &[("x-queue-name", "q")],
            "at most once while",
        );
        check(
            RABBITMQ,
            "/topic/a",
            AckMode::Client,
            &[("x-queue-name", "q"), durable[0], durable[1]],
            "nothing is lost",
        );
        check(
            ACTIVEMQ,
            "/queue/a",
            AckMode::Client,
            &[],
            "nothing is lost",
        );
        check(
            ACTIVEMQ,
            "/topic/a",
            AckMode::Client,
            &[],
            "at most once while",
        );
        check(
            ARTEMIS,
            "a",
            AckMode::Client,
            &[("durable-subscription-name", "bridge")],
            "nothing is lost",
        );
    }
}
