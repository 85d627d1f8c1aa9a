//! ActiveMQ Artemis.

use super::facts::{Facts, count};
use super::guarantee::Seen;
use crate::bilingual::{Bilingual, both};
use crate::source::topic::Topic;

/// The header of SUBSCRIBE that makes a queue of any destination.
const TYPE: &str = "subscription-type";

/// The header of SUBSCRIBE that bounds the bytes sent without an ACK.
const WINDOW: &str = "consumer-window-size";

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
    fn warning_without_heartbeats(&self) -> Option<Bilingual> {
        Some(both(
            "we send no heart-beats, and Artemis ends a connection on which we say nothing for a minute; set \
             source.heartbeat = \"10s\"",
            "本机不发送心跳，而 Artemis 会结束一分钟内没有内容的连接；请设置 source.heartbeat = \"10s\"",
        ))
    }

    /// It counts bytes: the window is the messages that fit.
    fn window(&self, topic: &Topic, message_bytes: u64) -> Option<usize> {
        let bytes = count(topic.header(WINDOW)?)?;
        let message_bytes = usize::try_from(message_bytes).unwrap_or(usize::MAX).max(1);
        Some((bytes / message_bytes).max(1))
    }

    fn window_header(&self, window: usize, message_bytes: u64) -> Option<(&'static str, String)> {
        let bytes = message_bytes.saturating_mul(window as u64);
        Some((WINDOW, bytes.min(i32::MAX as u64).to_string()))
    }

    fn is_queue<'a>(&self, destination: &str, header: &dyn Fn(&str) -> Option<&'a str>) -> bool {
        let prefixed = ["/queue/", "jms.queue."]
            .iter()
            .any(|prefix| destination.starts_with(prefix));
        prefixed || header(TYPE) == Some("ANYCAST")
    }

    /// Its address settings have a limit by default, and a connection that breaks counts.
    fn limits(&self, _topic: &Topic, _seen: Seen) -> Vec<Bilingual> {
        vec![
            both("it expires", "消息过期"),
            both(
                "its delivery fails as often as max-delivery-attempts says (10 by default)",
                "投递失败的次数达到 max-delivery-attempts（默认 10）",
            ),
        ]
    }

    fn is_own_header(&self, name: &str) -> bool {
        [TYPE, "durable-subscription-name", WINDOW].contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_queue_keeps_messages_by_any_of_its_names() {
        let check = |destination: &str, headers: &[(&str, &str)], expected: bool| {
            let topic = Topic::sample("t", destination, AckMode::Client, headers);
            assert_eq!(Artemis.keeps_messages(&topic), expected, "{topic:?}");
        };
        check("jms.queue.a", &[], true);
        check("a", &[(TYPE, "ANYCAST")], true);
        check("a", &[(TYPE, "MULTICAST")], false);
    }

    #[test]
    fn the_window_is_counted_in_bytes() {
        let check = |bytes: &str, expected| {
            let topic = Topic::sample("t", "/queue/a", AckMode::Client, &[(WINDOW, bytes)]);
            assert_eq!(Artemis.window(&topic, 4096), expected, "{bytes}");
        };
        check("1048576", Some(256));
        check("100", Some(1));
        check("-1", None);
        let header = Some((WINDOW, "1048576".to_owned()));
        assert_eq!(Artemis.window_header(256, 4096), header);
    }

    #[test]
    fn without_our_heartbeats_it_is_said_that_the_connection_ends() {
        let said = Artemis.warning_without_heartbeats().unwrap().en;
        assert!(
            said.contains("Artemis ends") && said.ends_with("source.heartbeat = \"10s\""),
            "{said}"
        );
    }
}
