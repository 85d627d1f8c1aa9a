//! What can honestly be promised between the server and the journal, from the server's answer and the configuration.

use super::Topic;
use crate::stomp::AckMode;

/// What kind of server answered CONNECTED.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broker {
    /// Spring's simple broker, which names no server.
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
    /// From CONNECTED's `server` header.
    pub fn from_server(server: Option<&str>) -> Broker {
        match server {
            None => Broker::SpringSimple,
            Some(name) if name.starts_with("RabbitMQ") => Broker::RabbitMq,
            Some(name) if name.contains("Artemis") => Broker::Artemis,
            Some(name) if name.starts_with("ActiveMQ") => Broker::ActiveMq,
            Some(_) => Broker::Unknown,
        }
    }
}

/// One sentence on what is lost, and when, of one topic.
pub fn guarantee(broker: Broker, topic: &Topic) -> &'static str {
    if broker == Broker::SpringSimple {
        return "at most once before receipt: this server keeps nothing while we are away";
    }
    if topic.ack == AckMode::Auto {
        return "at most once before receipt: ack is auto, so what is under way when the connection breaks is gone; \
                use ack = \"client-individual\"";
    }
    if keeps_messages(broker, topic) {
        "nothing is lost: the server keeps messages until they are on our disk"
    } else {
        "at most once while we are away: the destination is not a durable queue or subscription"
    }
}

fn keeps_messages(broker: Broker, topic: &Topic) -> bool {
    let header = |name: &str| topic.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let destination = topic.destination.as_str();
    match broker {
        Broker::RabbitMq => {
            let durable = header("durable") == Some("true") && header("auto-delete") == Some("false");
            let queue = destination.starts_with("/queue/") || destination.starts_with("/amq/queue/");
            queue || durable || header("x-queue-name").is_some()
        }
        Broker::ActiveMq => destination.starts_with("/queue/") || header("activemq.subscriptionName").is_some(),
        Broker::Artemis => destination.starts_with("/queue/") || header("durable-subscription-name").is_some(),
        Broker::SpringSimple => false,
        Broker::Unknown => destination.starts_with("/queue/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(server: Option<&str>, destination: &str, ack: AckMode, headers: &[(&str, &str)], expected: &str) {
        let headers = headers.iter().map(|(key, value)| (key.to_string(), (*value).into())).collect();
        let topic = Topic { name: "t".into(), destination: destination.into(), ack, headers };
        let said = guarantee(Broker::from_server(server), &topic);
        assert!(said.starts_with(expected), "{server:?} {destination} {ack:?}: {said}");
    }

    #[test]
    fn the_promise_is_as_strong_as_the_server_and_the_subscription() {
        let durable = [("durable", "true"), ("auto-delete", "false")];
        check(None, "/topic/state/1", AckMode::ClientIndividual, &[], "at most once before receipt: this server");
        check(Some("RabbitMQ/3.10.8"), "/topic/a", AckMode::ClientIndividual, &[], "at most once while");
        check(Some("RabbitMQ/3.10.8"), "/topic/a", AckMode::ClientIndividual, &durable, "nothing is lost");
        check(Some("RabbitMQ/3.10.8"), "/queue/a", AckMode::Client, &[], "nothing is lost");
        check(Some("RabbitMQ/3.10.8"), "/queue/a", AckMode::Auto, &[], "at most once before receipt: ack is auto");
        check(Some("ActiveMQ/5.17.2"), "/queue/a", AckMode::Client, &[], "nothing is lost");
        check(Some("ActiveMQ/5.17.2"), "/topic/a", AckMode::Client, &[], "at most once while");
        let named = [("durable-subscription-name", "bridge")];
        check(Some("ActiveMQ-Artemis/2.31.2 ActiveMQ"), "a", AckMode::Client, &named, "nothing is lost");
    }
}
