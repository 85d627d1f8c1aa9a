//! ActiveMQ Classic.

use super::facts::{ErrorMeaning, Facts, count};
use crate::bilingual::{Bilingual, both};
use crate::source::topic::Topic;

/// In the `message` of an ERROR that is not about what we asked for.
const TROUBLES: [&str; 3] = [
    "BrokerStoppedException",
    "has been stopped",
    "maximum number of allowed client connections",
];

/// The header of MESSAGE that says when it ends; 0: never. Artemis has it, too.
pub(super) const EXPIRES: &str = "expires";

/// The header of SUBSCRIBE that bounds the messages sent without an ACK.
const WINDOW: &str = "activemq.prefetchSize";

/// ActiveMQ Classic.
pub(super) struct ActiveMq;

impl Facts for ActiveMq {
    fn name(&self) -> &'static str {
        "activemq"
    }

    fn connected_with(&self, server: Option<&str>, _session: Option<&str>) -> bool {
        server.is_some_and(|name| name.starts_with("ActiveMQ"))
    }

    fn durable_header(&self) -> Option<&'static str> {
        Some("activemq.subscriptionName")
    }

    fn window(&self, topic: &Topic, _message_bytes: u64) -> Option<usize> {
        count(topic.header(WINDOW)?)
    }

    fn window_header(&self, window: usize, _message_bytes: u64) -> Option<(&'static str, String)> {
        Some((WINDOW, window.to_string()))
    }

    fn is_queue<'a>(&self, destination: &str, _: &dyn Fn(&str) -> Option<&'a str>) -> bool {
        ["/queue/", "queue://"]
            .iter()
            .any(|prefix| destination.starts_with(prefix))
    }

    fn condition(&self, _topic: &Topic) -> Bilingual {
        both(
            "unless a message expires or a policy of the server discards it: neither can be seen here",
            "除非消息过期，或被服务器的策略丢弃：两者在这里都看不到",
        )
    }

    fn is_own_header(&self, name: &str) -> bool {
        name.starts_with("activemq.")
    }

    /// A `client-id` is refused while the connection before still has it; everything is while the
    /// broker stops, or has as many connections as it allows.
    fn reads_error<'a>(&self, message: &str, _body: &'a str) -> Option<ErrorMeaning<'a>> {
        let says = |words: &&str| message.contains(words);
        if says(&"already connected from") {
            Some(ErrorMeaning::StillConnected)
        } else {
            TROUBLES.iter().any(says).then_some(ErrorMeaning::Trouble)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stomp::AckMode;

    #[test]
    fn durable_subscriptions_keep_messages_and_stay() {
        let check = |destination: &str, headers: &[(&str, &str)], expected: Option<&str>| {
            let topic = Topic::sample("t", destination, AckMode::ClientIndividual, headers);
            let orphaned = ActiveMq
                .keeps_messages(&topic)
                .then(|| ActiveMq.orphaned(&topic));
            assert_eq!(orphaned.as_deref(), expected, "{topic:?}");
        };
        let named = [("activemq.subscriptionName", "bridge")];
        check("/topic/a", &[], None);
        check("/queue/a", &[], Some("the queue a"));
        check("queue://a", &[], Some("queue://a"));
        check(
            "/topic/a",
            &named,
            Some("the durable subscription bridge of /topic/a"),
        );
    }

    #[test]
    fn the_window_is_a_count_above_zero() {
        let check = |count: &str, expected| {
            let topic = Topic::sample("t", "/queue/a", AckMode::Client, &[(WINDOW, count)]);
            assert_eq!(ActiveMq.window(&topic, 4096), expected, "{count}");
        };
        check("50", Some(50));
        check("0", None);
        let header = Some((WINDOW, "50".to_owned()));
        assert_eq!(ActiveMq.window_header(50, 4096), header);
    }

    #[test]
    fn a_client_id_that_is_still_connected_is_known_by_its_error() {
        let message = "Broker: lab - Client: bridge already connected from tcp://127.0.0.1:32914";
        assert_eq!(
            ActiveMq.reads_error(message, ""),
            Some(ErrorMeaning::StillConnected)
        );
        assert_eq!(
            ActiveMq.reads_error("Broker lab has been stopped", ""),
            Some(ErrorMeaning::Trouble)
        );
        assert_eq!(ActiveMq.reads_error("User name is invalid", ""), None);
    }
}
