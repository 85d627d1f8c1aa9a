//! A server that nobody has told us about.

use super::facts::Facts;

/// Any other server: nothing is claimed of it but what STOMP says.
pub(super) struct Unknown;

impl Facts for Unknown {
    fn name(&self) -> &'static str {
        "unknown"
    }

    fn connected_with(&self, _server: Option<&str>, _session: Option<&str>) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::topic::Topic;
    use crate::stomp::AckMode;

    #[test]
    fn only_queues_are_believed_to_keep_messages() {
        let check = |destination: &str, ack, expected: &str| {
            let topic = Topic::sample("t", destination, ack, &[]);
            let said = Unknown.promise(&topic, Default::default()).words().en;
            assert!(said.starts_with(expected), "{destination} {ack:?}: {said}");
        };
        check(
            "/queue/a",
            AckMode::Client,
            "nothing is lost if this server keeps",
        );
        check(
            "/topic/a",
            AckMode::Client,
            "at most once: the server keeps nothing",
        );
        check(
            "/queue/a",
            AckMode::Auto,
            "at most once before receipt: ack is auto",
        );
        let queue = Topic::sample("t", "/queue/a", AckMode::Client, &[]);
        assert_eq!(Unknown.orphaned(&queue), "the queue a");
        assert!(Unknown.warnings(&[queue]).is_empty());
    }
}
