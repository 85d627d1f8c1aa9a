//! What a server keeps of a topic that is not subscribed any more, and goes on filling.

use super::Topic;
use super::guarantee::{Broker, keeps_messages};

/// Names it so that somebody can delete it there; `None`: nothing stays. UNSUBSCRIBE is sent
/// without the headers of a durable subscription, with which RabbitMQ and ActiveMQ would delete it
/// together with the messages in it.
pub(super) fn orphaned(broker: Broker, topic: &Topic) -> Option<String> {
    if !keeps_messages(broker, topic) {
        return None;
    }
    let destination = topic.destination.as_str();
    let queue = ["/queue/", "/amq/queue/"]
        .iter()
        .find_map(|prefix| destination.strip_prefix(prefix));
    let subscription = match broker {
        Broker::RabbitMq if queue.is_none() => {
            let named = topic
                .header("x-queue-name")
                .map(|name| format!("the queue {name}"));
            let id = &topic.name;
            return Some(named.unwrap_or_else(|| {
                format!("the queue stomp-subscription-… of {destination} and the id {id}")
            }));
        }
        Broker::ActiveMq => topic.header("activemq.subscriptionName"),
        Broker::Artemis => topic.header("durable-subscription-name"),
        Broker::RabbitMq | Broker::SpringSimple | Broker::Unknown => None,
    };
    Some(match (subscription, queue) {
        (Some(name), _) => format!("the durable subscription {name} of {destination}"),
        (None, Some(name)) => format!("the queue {name}"),
        (None, None) => destination.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stomp::AckMode;

    fn check(
        server: Option<&str>,
        destination: &str,
        headers: &[(&str, &str)],
        expected: Option<&str>,
    ) {
        let headers = headers
            .iter()
            .map(|(key, value)| (key.to_string(), (*value).into()))
            .collect();
        let ack = AckMode::ClientIndividual;
        let topic = Topic {
            name: "t".into(),
            destination: destination.into(),
            ack,
            headers,
        };
        assert_eq!(
            orphaned(Broker::of(server, Some("s")), &topic).as_deref(),
            expected,
            "{server:?} {destination}"
        );
    }

    #[test]
    fn queues_and_durable_subscriptions_stay() {
        let rabbitmq = Some("RabbitMQ/3.10.8");
        let durable = [("durable", "true"), ("auto-delete", "false")];
        check(Some("Another/1"), "/topic/a", &[], None);
        check(rabbitmq, "/topic/a", &[], None);
        check(
            rabbitmq,
            "/topic/a",
            &durable,
            Some("the queue stomp-subscription-… of /topic/a and the id t"),
        );
        let named = [
            ("durable", "true"),
            ("auto-delete", "false"),
            ("x-queue-name", "q"),
        ];
        check(rabbitmq, "/topic/a", &named, Some("the queue q"));
        check(rabbitmq, "/queue/a", &durable, Some("the queue a"));
        let named = [("activemq.subscriptionName", "bridge")];
        check(
            Some("ActiveMQ/5.17.2"),
            "/topic/a",
            &named,
            Some("the durable subscription bridge of /topic/a"),
        );
        check(Some("ActiveMQ/5.17.2"), "/topic/a", &[], None);
        check(Some("Another/1"), "/queue/a", &[], Some("the queue a"));
    }
}
