//! ActiveMQ Artemis.

use super::facts::Facts;
use crate::stomp::Subscribe;

/// ActiveMQ Artemis.
pub(super) struct Artemis;

impl Facts for Artemis {
    fn name(&self) -> &'static str {
        "artemis"
    }

    fn connected_with(&self, server: Option<&str>, _session: Option<&str>) -> bool {
        server.is_some_and(|name| name.contains("Artemis"))
    }

    fn durable_header(&self) -> Option<&'static str> {
        Some("durable-subscription-name")
    }

    /// Its time to live for a connection is a minute, though no heart-beat was agreed.
    fn warning_without_heartbeats(&self) -> Option<&'static str> {
        Some(
            "we send no heart-beats, and Artemis ends a connection on which we say nothing for a minute; set \
             source.heartbeat = \"10s\"",
        )
    }

    fn reads_a_queue(&self, subscription: &Subscribe) -> bool {
        let any_cast = ("subscription-type", "ANYCAST");
        let prefixed = ["/queue/", "jms.queue."]
            .iter()
            .any(|prefix| subscription.destination.starts_with(prefix));
        let mut headers = subscription.headers.iter();
        prefixed || headers.any(|(name, value)| (name.as_str(), value.as_str()) == any_cast)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::topic::Topic;
    use crate::stomp::AckMode;

    #[test]
    fn a_durable_subscription_keeps_messages() {
        let named = [("durable-subscription-name", "bridge")];
        for (headers, expected) in [(&named[..], true), (&[], false)] {
            let topic = Topic::sample("t", "/topic/a", AckMode::Client, headers);
            assert_eq!(Artemis.keeps_messages(&topic), expected, "{topic:?}");
        }
    }

    #[test]
    fn without_our_heartbeats_it_is_said_that_the_connection_ends() {
        let said = Artemis.warning_without_heartbeats().unwrap();
        assert!(
            said.contains("Artemis ends") && said.ends_with("source.heartbeat = \"10s\""),
            "{said}"
        );
    }
}
