//! Spring's simple broker, or what says as little.

use super::facts::Facts;
use crate::source::topic::Topic;

/// Spring's simple broker: its CONNECTED names neither a server nor a session.
pub(super) struct SpringSimple;

/// How heart-beats are switched on in it.
pub(super) const HEARTBEATS: &str =
    "Spring: give enableSimpleBroker a task scheduler and heart-beat values";

impl Facts for SpringSimple {
    fn name(&self) -> &'static str {
        "spring-simple"
    }

    fn connected_with(&self, server: Option<&str>, session: Option<&str>) -> bool {
        server.is_none() && session.is_none()
    }

    fn keeps_messages(&self, _topic: &Topic) -> bool {
        false
    }

    fn guarantee(&self, _topic: &Topic) -> &'static str {
        "at most once before receipt: a server without a name is taken for Spring's simple broker, which keeps \
         nothing while we are away"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stomp::AckMode;

    #[test]
    fn it_keeps_nothing_whatever_the_destination_is_called() {
        let topic = Topic::sample("t", "/queue/a", AckMode::ClientIndividual, &[]);
        assert!(!SpringSimple.keeps_messages(&topic));
        let said = SpringSimple.guarantee(&topic);
        assert!(
            said.starts_with("at most once before receipt: a server without"),
            "{said}"
        );
    }
}
