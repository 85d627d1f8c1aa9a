//! RabbitMQ's STOMP and Web-STOMP plugins.

use std::sync::Arc;

use super::facts::{ErrorMeaning, Facts, Warning, count};
use crate::source::names::in_short;
use crate::source::topic::{Topic, names_where};
use crate::stomp::{AckMode, Subscribe};

/// RabbitMQ.
pub(super) struct RabbitMq;

/// Destinations that are queues: the plugin declares the first, and finds the second.
const QUEUES: [&str; 2] = ["/queue/", "/amq/queue/"];

/// The `message` of an ERROR that is not about what we asked for.
const TROUBLES: [&str; 5] = [
    "connection_forced",
    "internal_error",
    "resource_error",
    "AMQP connection died",
    "AMQP channel died",
];

/// In the body of its last ERROR before it stops.
const STOPS: &str = "broker forced connection closure";

/// The header of SUBSCRIBE that bounds the messages sent without an ACK; 0 would be no bound.
const WINDOW: &str = "prefetch-count";

impl Facts for RabbitMq {
    fn name(&self) -> &'static str {
        "rabbitmq"
    }

    fn connected_with(&self, server: Option<&str>, _session: Option<&str>) -> bool {
        server.is_some_and(|name| name.starts_with("RabbitMQ"))
    }

    fn keeps_messages(&self, topic: &Topic) -> bool {
        let header = |name: &str| topic.header(name);
        // Seen on 3.10.8: a queue that is only named (`x-queue-name`) still goes with the
        // connection.
        let durable = header("durable") == Some("true") && header("auto-delete") == Some("false");
        let fleeting = [
            ("durable", "false"),
            ("auto-delete", "true"),
            ("exclusive", "true"),
        ];
        let fleeting = fleeting
            .iter()
            .any(|(name, value)| header(name) == Some(value));
        (queue(topic).is_some() || durable) && !fleeting
    }

    fn warnings(&self, topics: &[Topic]) -> Vec<Warning> {
        // Messages are counted for each connection, not for each subscription.
        let shared = names_where(topics, |topic| {
            topics.len() > 1 && topic.ack == AckMode::Client
        });
        if shared.is_empty() {
            Vec::new()
        } else {
            vec![shared_ack(shared)]
        }
    }

    /// UNSUBSCRIBE is sent without the headers of a durable subscription, with which the queue would
    /// be deleted together with the messages in it.
    fn orphaned(&self, topic: &Topic) -> String {
        let name = queue(topic).or_else(|| topic.header("x-queue-name"));
        match name {
            Some(name) => format!("the queue {name}"),
            None => format!(
                "the queue stomp-subscription-… of {} and the id {}",
                topic.destination, topic.name
            ),
        }
    }

    /// RabbitMQ would fill the window again before it comes to the UNSUBSCRIBE, and what it has sent
    /// then stays unacknowledged until the connection ends. Seen on 3.10.8: 50 of 50 messages were
    /// stuck without the transaction, none with it.
    fn leaves_in_a_transaction(&self) -> bool {
        true
    }

    fn window(&self, topic: &Topic, _message_bytes: u64) -> Option<usize> {
        count(topic.header(WINDOW)?)
    }

    fn window_header(&self, window: usize, _message_bytes: u64) -> Option<(&'static str, String)> {
        Some((WINDOW, window.to_string()))
    }

    fn reads_a_queue(&self, subscription: &Subscribe) -> bool {
        QUEUES
            .iter()
            .any(|prefix| subscription.destination.starts_with(prefix))
    }

    fn confirms_in_order(&self) -> bool {
        true
    }

    /// An ERROR for each message that it had on the way when our UNSUBSCRIBE came: it goes on as if
    /// there were none. Others say that it stops, or that a part of it has died.
    fn reads_error<'a>(&self, message: &str, body: &'a str) -> Option<ErrorMeaning<'a>> {
        let message = message.trim();
        if TROUBLES.contains(&message) || body.contains(STOPS) {
            return Some(ErrorMeaning::Trouble);
        }
        if message != "Subscription not found" {
            return None;
        }
        // "There is no current subscription with tag 'T_map-1'."
        let (_, tag) = body.split_once("subscription with tag 'T_")?;
        let (id, _) = tag.split_once('\'')?;
        Some(ErrorMeaning::Withheld { id })
    }

    /// It unescapes CONNECT, against STOMP 1.2, and closes where it cannot.
    fn advice_before_connected(&self) -> Option<&'static str> {
        Some("if one has a backslash, RabbitMQ wants it doubled")
    }
}

/// The name of the queue, where the destination is one.
fn queue(topic: &Topic) -> Option<&str> {
    let destination = topic.destination.as_str();
    QUEUES
        .iter()
        .find_map(|prefix| destination.strip_prefix(prefix))
}

fn shared_ack(topics: Vec<Arc<str>>) -> Warning {
    let text = format!(
        "topics with ack = \"client\" ({}): RabbitMQ takes an ACK for all older messages of the connection, \
         those of other topics included; set ack = \"client-individual\"",
        in_short(&topics)
    );
    Warning { topics, text }
}

#[cfg(test)]
mod tests {
    use super::AckMode::{Auto, Client, ClientIndividual};
    use super::*;

    const DURABLE: [(&str, &str); 2] = [("durable", "true"), ("auto-delete", "false")];

    #[test]
    fn durable_queues_keep_messages_and_fleeting_ones_do_not() {
        let check = |destination: &str, headers: &[(&str, &str)], expected| {
            let topic = Topic::sample("t", destination, Client, headers);
            assert_eq!(RabbitMq.keeps_messages(&topic), expected, "{topic:?}");
        };
        check("/topic/a", &[], false);
        check("/topic/a", &DURABLE, true);
        check("/queue/a", &[], true);
        check("/amq/queue/a", &[], true);
        check("/queue/a", &[("auto-delete", "true")], false);
        check("/queue/a", &[("exclusive", "true")], false);
        check("/topic/a", &[("x-queue-name", "q")], false);
    }

    #[test]
    fn each_warning_is_one_line_that_says_what_to_do() {
        let check = |topics: &[Topic], expected: &[&str]| {
            let found = RabbitMq.warnings(topics);
            assert_eq!(found.len(), expected.len(), "{topics:?}");
            for (Warning { text, .. }, expected) in found.iter().zip(expected) {
                let (begins, advises) = expected.split_once(" … ").unwrap();
                assert!(
                    text.starts_with(begins) && text.ends_with(advises) && !text.contains('\n'),
                    "{text}"
                );
            }
        };
        check(&[Topic::sample("a", "/topic/a", Auto, &[])], &[]);
        check(
            &[Topic::sample("a", "/queue/a", ClientIndividual, &[])],
            &[],
        );
        let two = [
            Topic::sample("a", "/queue/a", Client, &[]),
            Topic::sample("b", "/queue/b", ClientIndividual, &[]),
        ];
        let shared = "topics with ack = \"client\" (a): … set ack = \"client-individual\"";
        check(&two, &[shared]);
        check(&two[..1], &[]);
    }

    #[test]
    fn an_orphaned_queue_is_named_as_the_server_names_it() {
        let check = |destination: &str, headers: &[(&str, &str)], expected: &str| {
            let topic = Topic::sample("t", destination, ClientIndividual, headers);
            assert_eq!(RabbitMq.orphaned(&topic), expected);
        };
        let [durable, auto_delete] = DURABLE;
        let named = [durable, auto_delete, ("x-queue-name", "q")];
        check(
            "/topic/a",
            &DURABLE,
            "the queue stomp-subscription-… of /topic/a and the id t",
        );
        check("/topic/a", &named, "the queue q");
        check("/queue/a", &named, "the queue a");
        check("/amq/queue/a", &[], "the queue a");
    }

    #[test]
    fn the_window_is_a_count_above_zero() {
        let check = |count: &str, expected| {
            let topic = Topic::sample("t", "/queue/a", Client, &[(WINDOW, count)]);
            assert_eq!(RabbitMq.window(&topic, 4096), expected, "{count}");
        };
        check("256", Some(256));
        check(" 1000", Some(1000));
        check("0", None);
        check("many", None);
    }

    #[test]
    fn a_server_that_stops_refuses_nothing() {
        let check = |message: &str, body: &str, expected: Option<ErrorMeaning<'_>>| {
            assert_eq!(RabbitMq.reads_error(message, body), expected, "{message}");
        };
        let stops = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
        check("connection_forced", stops, Some(ErrorMeaning::Trouble));
        check("Processing error", stops, Some(ErrorMeaning::Trouble));
        check("AMQP channel died", "", Some(ErrorMeaning::Trouble));
        check("not_found", "NOT_FOUND - no exchange 'nope'", None);
        check("Bad CONNECT", "Access refused for user 'lab'\n", None);
    }

    #[test]
    fn an_error_about_a_subscription_that_was_left_names_it() {
        let check = |message: &str, body: &str, expected: Option<&str>| {
            let expected = expected.map(|id| ErrorMeaning::Withheld { id });
            assert_eq!(RabbitMq.reads_error(message, body), expected);
        };
        let body = "There is no current subscription with tag 'T_map-1'.";
        check("Subscription not found", body, Some("map-1"));
        check("Bad CONNECT", body, None);
        check("Subscription not found", "Access refused", None);
    }
}
