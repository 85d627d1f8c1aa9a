//! Spring's simple broker, or what says as little.

use super::facts::{ErrorMeaning, Facts};
use super::guarantee::Advice;
use crate::bilingual::{Bilingual, both};
use crate::source::topic::Topic;

/// Spring's simple broker: its CONNECTED names neither a server nor a session.
pub(super) struct SpringSimple;

/// How the `message` of an ERROR begins with which Spring's relay (`enableStompBrokerRelay`) says
/// that the broker behind it is away. The relay sends them in the place of the broker's own words.
const RELAY_TROUBLES: [&str; 7] = [
    "Broker not available",
    "Connection to broker closed",
    "Failed to connect",
    "Failed to forward",
    "No CONNECTED frame received in",
    "No messages received in",
    "Transport failure",
];

/// How heart-beats are switched on in it.
pub(super) fn heartbeats() -> Bilingual {
    both(
        "Spring: give enableSimpleBroker a task scheduler and heart-beat values",
        "Spring：给 enableSimpleBroker 设置任务调度器和心跳值",
    )
}

impl Facts for SpringSimple {
    fn name(&self) -> &'static str {
        "spring-simple"
    }

    fn confirms_nothing(&self) -> bool {
        true
    }

    fn connected_with(&self, server: Option<&str>, session: Option<&str>) -> bool {
        server.is_none() && session.is_none()
    }

    fn keeps_messages(&self, _topic: &Topic) -> bool {
        false
    }

    fn reads_error<'a>(&self, message: &str, _body: &'a str) -> Option<ErrorMeaning<'a>> {
        RELAY_TROUBLES
            .iter()
            .any(|trouble| message.trim().starts_with(trouble))
            .then_some(ErrorMeaning::Trouble)
    }

    fn keeps_nothing(&self, _topic: &Topic) -> Bilingual {
        both(
            "a server without a name is taken for Spring's simple broker, which keeps nothing while we \
             are away",
            "没有名称的服务器视为 Spring 的简单代理，它在断线期间不保留任何消息",
        )
    }

    /// No configuration of ours makes it keep anything.
    fn advice_to_keep(&self, _topic: &Topic) -> Advice {
        Advice::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stomp::AckMode;

    #[test]
    fn a_relay_whose_broker_is_away_refuses_nothing() {
        let check = |message: &str, expected: Option<ErrorMeaning<'_>>| {
            assert_eq!(SpringSimple.reads_error(message, ""), expected, "{message}");
        };
        check("Broker not available.", Some(ErrorMeaning::Trouble));
        check("Connection to broker closed.", Some(ErrorMeaning::Trouble));
        check(
            "Failed to connect: Connection refused: /127.0.0.1:61613",
            Some(ErrorMeaning::Trouble),
        );
        check(
            "Failed to send message to ExecutorSubscribableChannel",
            None,
        );
        check("token 无效或已过期", None);
    }

    #[test]
    fn it_keeps_nothing_whatever_the_destination_is_called() {
        let topic = Topic::sample("t", "/queue/a", AckMode::ClientIndividual, &[]);
        assert!(!SpringSimple.keeps_messages(&topic));
        let said = SpringSimple.promise(&topic, Default::default()).words().en;
        assert!(
            said.starts_with("at most once: a server without") && said.ends_with("are away"),
            "{said}"
        );
    }
}
