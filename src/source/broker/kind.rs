//! Which kind of server has answered, and what the source asks of that one. What has to be known
//! before CONNECTED is asked of every kind.

use super::activemq::ActiveMq;
use super::artemis::Artemis;
use super::facts::{ErrorMeaning, Facts};
use super::rabbitmq::RabbitMq;
use super::spring::SpringSimple;
use super::unknown::Unknown;
use super::warning::ConfigurationWarning;
use crate::source::topic::{Topic, names_where};
use crate::stomp::{AckMode, Frame, ServerError, SessionError, Subscribe};

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

/// Every kind, in the order in which CONNECTED is held against them: Artemis names itself
/// `ActiveMQ-Artemis`, and any answer is that of an unknown server.
const ALL: [Broker; 5] = [
    Broker::SpringSimple,
    Broker::RabbitMq,
    Broker::Artemis,
    Broker::ActiveMq,
    Broker::Unknown,
];

impl Broker {
    /// From CONNECTED's `server` and `session` headers. A Spring application that relays to a real
    /// broker hands that one's CONNECTED on, and is taken for it.
    pub fn of(server: Option<&str>, session: Option<&str>) -> Broker {
        ALL.into_iter()
            .find(|broker| broker.facts().connected_with(server, session))
            .unwrap_or(Broker::Unknown)
    }

    /// The name used in status and log.
    pub fn as_str(self) -> &'static str {
        self.facts().name()
    }

    /// One sentence on which messages of a topic are lost, and when.
    pub fn guarantee(self, topic: &Topic) -> &'static str {
        self.facts().guarantee(topic)
    }

    /// Every warning about these topics on that server.
    pub(in crate::source) fn warnings(self, topics: &[Topic]) -> Vec<ConfigurationWarning> {
        let facts = self.facts();
        let auto = names_where(topics, |topic| {
            topic.ack == AckMode::Auto && facts.keeps_messages(topic)
        });
        let auto = (!auto.is_empty()).then_some(ConfigurationWarning::AutoAck(auto));
        let own = facts.warnings(topics).into_iter();
        auto.into_iter().chain(own.map(Into::into)).collect()
    }

    /// The warnings where we send no heart-beats.
    pub(in crate::source) fn warning_without_heartbeats(self) -> Option<ConfigurationWarning> {
        let text = self.facts().warning_without_heartbeats()?;
        Some(ConfigurationWarning::OfServer {
            topics: Vec::new(),
            text: text.to_owned(),
        })
    }

    /// The queue or subscription that the server keeps and fills for a topic that is no longer
    /// subscribed. Somebody can delete it there by this name. `None`: nothing stays.
    pub(in crate::source) fn orphaned(self, topic: &Topic) -> Option<String> {
        let facts = self.facts();
        facts.keeps_messages(topic).then(|| facts.orphaned(topic))
    }

    /// Whether the server keeps what is sent to each of these topics while we are away.
    pub(in crate::source) fn keeps_all(self, topics: &[Topic]) -> bool {
        let facts = self.facts();
        topics.iter().all(|topic| facts.keeps_messages(topic))
    }

    /// Whether the first SUBSCRIBE that is not confirmed is the one that an ERROR is about.
    pub(in crate::source) fn confirms_in_order(self) -> bool {
        self.facts().confirms_in_order()
    }

    /// Whether the last ACKs before an UNSUBSCRIBE go into one transaction with it.
    pub(in crate::source) fn leaves_in_a_transaction(self) -> bool {
        self.facts().leaves_in_a_transaction()
    }

    /// Whether the server keeps a topic's messages until we acknowledge them, also while nobody is
    /// subscribed.
    pub(in crate::source) fn keeps_until_acknowledged(self, topic: &Topic) -> bool {
        topic.ack != AckMode::Auto && self.facts().keeps_messages(topic)
    }

    /// The most messages of a topic that the configuration lets the server send without an ACK,
    /// where one has so many bytes.
    pub(in crate::source) fn window(self, topic: &Topic, message_bytes: u64) -> Option<usize> {
        self.facts().window(topic, message_bytes)
    }

    /// The header of SUBSCRIBE that asks for such a window. `None`: the server knows none.
    pub(in crate::source) fn window_header(
        self,
        window: usize,
        message_bytes: u64,
    ) -> Option<(&'static str, String)> {
        self.facts().window_header(window, message_bytes)
    }

    fn facts(self) -> &'static dyn Facts {
        match self {
            Broker::SpringSimple => &SpringSimple,
            Broker::RabbitMq => &RabbitMq,
            Broker::ActiveMq => &ActiveMq,
            Broker::Artemis => &Artemis,
            Broker::Unknown => &Unknown,
        }
    }
}

/// Whether each message of a subscription goes to one consumer alone, on any server: a second
/// subscriber takes them away from the first.
pub fn reads_a_queue(subscription: &Subscribe) -> bool {
    ALL.iter()
        .any(|broker| broker.facts().reads_a_queue(subscription))
}

/// What a session asks about an ERROR: see [`Options::withheld`](crate::stomp::Options::withheld).
pub(in crate::source) fn withheld(error: &Frame) -> Option<&str> {
    let message = error.headers.get("message")?;
    match meaning(&message, std::str::from_utf8(&error.body).ok()?)? {
        ErrorMeaning::Withheld { id } => Some(id),
        ErrorMeaning::StillConnected | ErrorMeaning::Trouble => None,
    }
}

/// Whether what the server has refused will be granted without anybody's doing: its words are not
/// about us.
pub(in crate::source) fn mends_itself(error: &ServerError) -> bool {
    matches!(
        meaning(&error.message, &error.detail),
        Some(ErrorMeaning::StillConnected | ErrorMeaning::Trouble)
    )
}

/// What an ERROR means to the server whose words it has.
fn meaning<'a>(message: &str, body: &'a str) -> Option<ErrorMeaning<'a>> {
    ALL.iter()
        .find_map(|broker| broker.facts().reads_error(message, body))
}

/// The last part of an error: advice besides the server's own text.
pub(in crate::source) fn advice(error: &SessionError) -> String {
    match error {
        SessionError::ClosedBeforeConnected => ALL
            .iter()
            .filter_map(|broker| broker.facts().advice_before_connected())
            .map(|advice| format!("; {advice}"))
            .collect(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_what_connected_says_and_no_more() {
        let check = |server, session, expected: Broker, name: &str| {
            let broker = Broker::of(server, session);
            assert_eq!((broker, broker.as_str()), (expected, name), "{server:?}");
        };
        let rabbitmq = Some("RabbitMQ/3.10.8");
        let activemq = Some("ActiveMQ/5.17.2");
        let artemis = Some("ActiveMQ-Artemis/2.31.2 ActiveMQ");
        let session = Some("5a");
        check(None, None, Broker::SpringSimple, "spring-simple");
        check(rabbitmq, session, Broker::RabbitMq, "rabbitmq");
        check(rabbitmq, None, Broker::RabbitMq, "rabbitmq");
        check(activemq, session, Broker::ActiveMq, "activemq");
        check(artemis, session, Broker::Artemis, "artemis");
        let apollo = Some("apache-apollo/1.7.1");
        check(apollo, session, Broker::Unknown, "unknown");
        // coilmq names a session and no server: whatever it is, it is not Spring's simple broker.
        check(None, Some("1606300000.1"), Broker::Unknown, "unknown");
    }

    #[test]
    fn auto_is_warned_of_where_the_server_would_keep_messages() {
        let check = |broker: Broker, destination: &str, expected: bool| {
            let topic = Topic::sample("a", destination, AckMode::Auto, &[]);
            let found = broker.warnings(&[topic]);
            let auto = [ConfigurationWarning::AutoAck(vec!["a".into()])];
            assert_eq!(found, &auto[..usize::from(expected)], "{broker:?}");
        };
        check(Broker::RabbitMq, "/queue/a", true);
        check(Broker::RabbitMq, "/topic/a", false);
        check(Broker::ActiveMq, "/queue/a", true);
        check(Broker::SpringSimple, "/queue/a", false);
    }

    #[test]
    fn warnings_of_one_server_are_not_given_to_another() {
        let topic = |name: &str| Topic::sample(name, "/queue/a", AckMode::Client, &[]);
        let two = [topic("a"), topic("b")];
        assert_eq!(Broker::RabbitMq.warnings(&two).len(), 1);
        assert_eq!(Broker::ActiveMq.warnings(&two), []);
        assert!(Broker::Artemis.warning_without_heartbeats().is_some());
        assert_eq!(Broker::RabbitMq.warning_without_heartbeats(), None);
    }

    #[test]
    fn one_topic_that_the_server_does_not_keep_is_enough_for_haste() {
        let check = |broker: Broker, destinations: &[&str], expected: bool| {
            let topic = |to: &&str| Topic::sample("t", to, AckMode::ClientIndividual, &[]);
            let topics: Vec<Topic> = destinations.iter().map(topic).collect();
            assert_eq!(broker.keeps_all(&topics), expected, "{broker:?}");
        };
        check(Broker::RabbitMq, &["/queue/a", "/amq/queue/b"], true);
        check(Broker::RabbitMq, &["/queue/a", "/topic/b"], false);
        check(Broker::SpringSimple, &["/queue/a"], false);
        check(Broker::Unknown, &["/queue/a"], true);
    }

    #[test]
    fn only_what_the_server_keeps_is_orphaned() {
        let check = |broker: Broker, destination: &str, expected: Option<&str>| {
            let topic = Topic::sample("t", destination, AckMode::ClientIndividual, &[]);
            let orphaned = broker.orphaned(&topic);
            assert_eq!(orphaned.as_deref(), expected, "{broker:?} {destination}");
        };
        check(Broker::RabbitMq, "/topic/a", None);
        check(Broker::RabbitMq, "/queue/a", Some("the queue a"));
        check(Broker::ActiveMq, "/topic/a", None);
        check(Broker::Unknown, "/topic/a", None);
        check(Broker::Unknown, "/queue/a", Some("the queue a"));
        check(Broker::SpringSimple, "/queue/a", None);
    }

    #[test]
    fn every_server_is_asked_what_an_error_means() {
        let error = |message: &str, body: &str| {
            Frame::new(crate::stomp::Command::Error, [("message", message)])
                .with_body(body.to_owned())
        };
        let body = "There is no current subscription with tag 'T_map-1'.";
        assert_eq!(
            withheld(&error("Subscription not found", body)),
            Some("map-1")
        );
        assert_eq!(withheld(&error("Bad CONNECT", body)), None);
        let refused = |message: &str| ServerError {
            message: message.to_owned(),
            detail: String::new(),
            receipt: None,
            unconfirmed: Vec::new(),
        };
        assert!(mends_itself(&refused(
            "Broker: lab - Client: c1 already connected from tcp://127.0.0.1:32914"
        )));
        assert!(mends_itself(&refused("Broker not available.")));
        assert!(!mends_itself(&refused("User name is invalid")));
    }

    #[test]
    fn a_close_before_connected_says_what_to_look_at() {
        let error = SessionError::ClosedBeforeConnected;
        assert_eq!(
            format!("{error}{}", advice(&error)),
            "the server closed the connection before CONNECTED; check login, passcode and host; if one has a \
             backslash, RabbitMQ wants it doubled"
        );
        let other = SessionError::Closed {
            unfinished_bytes: 0,
        };
        assert_eq!(advice(&other), "");
    }

    #[test]
    fn a_queue_is_told_from_a_topic_by_any_servers_name_for_it() {
        for (destination, headers, expected) in [
            ("/topic/state/1", &[][..], false),
            ("/exchange/amq.topic/a", &[], false),
            ("/queue/a", &[], true),
            ("/amq/queue/a", &[], true),
            ("queue://a", &[], true),
            ("jms.queue.a", &[], true),
            ("a", &[("subscription-type", "ANYCAST")], true),
            ("a", &[("subscription-type", "MULTICAST")], false),
        ] {
            let topic = Topic::sample("t", destination, AckMode::Auto, headers);
            let subscription = topic.subscribe(&Default::default()).unwrap();
            assert_eq!(
                reads_a_queue(&subscription),
                expected,
                "{destination} {headers:?}"
            );
        }
    }
}
