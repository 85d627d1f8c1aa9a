//! Which kind of server has answered, and what the source asks of that one. What has to be known
//! before CONNECTED is asked of every kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::activemq::{self, ActiveMq};
use super::artemis::Artemis;
use super::facts::{ErrorMeaning, Facts};
use super::guarantee::{DeliveryLimit, Seen};
use super::rabbitmq::{self, RabbitMq};
use super::spring::SpringSimple;
use super::unknown::Unknown;
use super::warning::ConfigurationWarning;
use crate::bilingual::Bilingual;
use crate::journal::WhenFull;
use crate::source::topic::{Topic, names_where};
use crate::stomp::{AckMode, Frame, Message, ServerError, SessionError, Subscribe};

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
pub(super) const ALL: [Broker; 5] = [
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

    /// One line on which messages of a topic are lost, and when, with what makes it better; `seen`:
    /// by what they have shown; `when_full`: by what a full journal does.
    pub fn guarantee(self, topic: &Topic, seen: Seen, when_full: WhenFull) -> Bilingual {
        self.facts().promise(topic, seen).with(when_full).words()
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
            text,
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

    /// Whether messages are lost that it has sent and that we do not read: it keeps nothing for one
    /// of these topics, or takes what it has sent for received.
    pub(in crate::source) fn loses_unread(self, topics: &[Topic]) -> bool {
        let facts = self.facts();
        topics
            .iter()
            .any(|topic| topic.ack == AckMode::Auto || !facts.keeps_messages(topic))
    }

    /// Whether no SUBSCRIBE is answered that is accepted.
    pub(in crate::source) fn confirms_nothing(self) -> bool {
        self.facts().confirms_nothing()
    }

    /// Whether the first SUBSCRIBE that is not confirmed is the one that an ERROR is about.
    pub(in crate::source) fn confirms_in_order(self) -> bool {
        self.facts().confirms_in_order()
    }

    /// Whether the last ACKs before an UNSUBSCRIBE go into one transaction with it.
    pub(in crate::source) fn leaves_in_a_transaction(self) -> bool {
        self.facts().leaves_in_a_transaction()
    }

    /// Whether a DISCONNECT overtakes the ACKs before it.
    pub(in crate::source) fn forgets_acks_at_disconnect(self) -> bool {
        self.facts().forgets_acks_at_disconnect()
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

    pub(super) fn facts(self) -> &'static dyn Facts {
        match self {
            Broker::SpringSimple => &SpringSimple,
            Broker::RabbitMq => &RabbitMq,
            Broker::ActiveMq => &ActiveMq,
            Broker::Artemis => &Artemis,
            Broker::Unknown => &Unknown,
        }
    }
}

/// A guarantee before CONNECTED.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PossibleGuarantee {
    /// The kinds of server that may answer and promise this.
    pub servers: Vec<&'static str>,
    /// The topics that they promise it for.
    pub topics: Vec<Arc<str>>,
    /// The line.
    pub line: Bilingual,
}

/// The guarantees before CONNECTED. Headers of SUBSCRIBE that one kind of server alone understands
/// name that one; else it may be any.
pub fn guarantees(topics: &[Topic], when_full: WhenFull) -> Vec<PossibleGuarantee> {
    let headers = || topics.iter().flat_map(|topic| &topic.headers);
    let named = |broker: &Broker| headers().any(|(name, _)| broker.facts().is_own_header(name));
    let mut kinds: Vec<Broker> = ALL.into_iter().filter(named).collect();
    if kinds.is_empty() {
        kinds = ALL.to_vec();
    }
    let mut all: Vec<PossibleGuarantee> = Vec::new();
    for broker in kinds {
        let mut lines: BTreeMap<Bilingual, Vec<Arc<str>>> = BTreeMap::new();
        for topic in topics {
            let line = broker.guarantee(topic, Seen::default(), when_full);
            lines.entry(line).or_default().push(Arc::clone(&topic.name));
        }
        for (line, topics) in lines {
            let known = all
                .iter_mut()
                .find(|other| other.topics == topics && other.line == line);
            match known {
                Some(other) => other.servers.push(broker.as_str()),
                None => all.push(PossibleGuarantee {
                    servers: vec![broker.as_str()],
                    topics,
                    line,
                }),
            }
        }
    }
    all
}

/// What a message shows, in the headers of any server.
pub(in crate::source) fn seen_in(message: &Message) -> Seen {
    let [count, expiration, expires] = message.headers.pick([
        rabbitmq::DELIVERY_COUNT,
        rabbitmq::EXPIRATION,
        activemq::EXPIRES,
    ]);
    let count = count.and_then(|count| std::str::from_utf8(&count).ok()?.trim().parse().ok());
    Seen {
        delivery_count: count.unwrap_or(0),
        expires: expiration.is_some() || expires.is_some_and(|at| at.trim_ascii() != b"0"),
    }
}

/// Whether two topics read one queue that would be declared alike: what the messages of one have
/// shown holds for the other.
pub(in crate::source) fn reads_the_same(topic: &Topic, other: &Topic) -> bool {
    let windows = || ALL.iter().filter_map(|broker| broker.window_header(1, 1));
    let declares = |(name, _): &&(String, _)| windows().all(|(window, _)| window != name);
    topic.destination == other.destination
        && (topic.headers.iter().filter(declares)).eq(other.headers.iter().filter(declares))
}

/// How many earlier deliveries of a topic's messages the server allows, where it counts them.
pub(in crate::source) fn delivery_limit(topic: &Topic) -> DeliveryLimit {
    ALL.iter()
        .find_map(|broker| broker.facts().delivery_limit(topic))
        .unwrap_or(DeliveryLimit::Unlimited)
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

/// What to do about a topic that a server refuses with these words.
pub(in crate::source) fn advice_on_refusal(said: &str) -> &'static str {
    advice_on(said).unwrap_or("check that it exists and that this login may read it")
}

/// What to do about an ERROR with these words, where they do not say it.
fn advice_on(said: &str) -> Option<&'static str> {
    ALL.iter()
        .find_map(|broker| broker.facts().advice_on_error(said))
}

/// The last part of an error: advice besides the server's own text.
pub(in crate::source) fn advice(error: &SessionError) -> String {
    match error {
        SessionError::ClosedBeforeConnected => ALL
            .iter()
            .filter_map(|broker| broker.facts().advice_before_connected())
            .map(|advice| format!("; {advice}"))
            .collect(),
        SessionError::SubscribeRefused { error, .. } if !mends_itself(error) => {
            format!("; {}", advice_on_refusal(&error.detail))
        }
        SessionError::Server(said) => advice_on(&said.detail)
            .map(|advice| format!("; {advice}"))
            .unwrap_or_default(),
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
    fn before_connected_the_headers_name_the_server() {
        let check = |headers: &[(&str, &str)], expected: &[&str]| {
            let topics = [Topic::sample("t", "/queue/a", AckMode::Client, headers)];
            let found = guarantees(&topics, WhenFull::Pause);
            let servers = found.iter().flat_map(|each| each.servers.clone());
            let servers: Vec<&str> = servers.collect();
            assert_eq!(servers, expected, "{found:?}");
        };
        let all = [
            "spring-simple",
            "rabbitmq",
            "artemis",
            "activemq",
            "unknown",
        ];
        check(&[], &all);
        check(&[("selector", "a = 1")], &all);
        check(&[("prefetch-count", "9")], &["rabbitmq"]);
        check(&[("activemq.prefetchSize", "9")], &["activemq"]);
        check(&[("durable-subscription-name", "b")], &["artemis"]);
    }

    #[test]
    fn servers_and_topics_with_the_same_line_are_said_together() {
        let topic = |name: &str| Topic::sample(name, "/queue/a", AckMode::Auto, &[]);
        let found = guarantees(&[topic("a"), topic("b")], WhenFull::Pause);
        let expected = PossibleGuarantee {
            servers: vec!["rabbitmq", "artemis", "activemq", "unknown"],
            topics: vec!["a".into(), "b".into()],
            line: Broker::RabbitMq.guarantee(&topic("a"), Seen::default(), WhenFull::Pause),
        };
        assert_eq!(
            (found.len(), found.contains(&expected)),
            (2, true),
            "{found:?}"
        );
    }

    #[test]
    fn a_message_shows_counts_and_an_end_in_any_servers_header() {
        let check = |headers: &[(&str, &str)], delivery_count: u64, expires: bool| {
            let seen = seen_in(&message(headers));
            let expected = Seen {
                delivery_count,
                expires,
            };
            assert_eq!(seen, expected, "{headers:?}");
        };
        check(&[], 0, false);
        check(
            &[("x-delivery-count", "12"), ("redelivered", "true")],
            12,
            false,
        );
        check(&[("x-delivery-count", "many")], 0, false);
        check(&[("expiration", "60000")], 0, true);
        check(&[("expires", "0")], 0, false);
        check(&[("expires", "1795402664499")], 0, true);
    }

    /// As a server sends it, with these headers.
    fn message(headers: &[(&str, &str)]) -> Message {
        let headers: String = headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let frames = format!(
            "CONNECTED\nversion:1.2\n\n\0MESSAGE\nsubscription:t\nmessage-id:1\nack:1\n{headers}\n\0"
        );
        let now = std::time::Instant::now();
        let mut session = crate::stomp::Session::new(crate::stomp::Options::new("/"), now);
        let topic = Topic::sample("t", "/queue/a", AckMode::Client, &[]);
        session.subscribe(topic.subscribe(&Default::default()).unwrap(), now);
        session.receive(frames.into(), now);
        loop {
            match session.poll().unwrap().expect("a message") {
                crate::stomp::Event::Message(message) => return message,
                _ => continue,
            }
        }
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
    fn what_is_not_read_comes_again_only_where_it_is_kept_until_its_ack() {
        let check = |broker: Broker, destination: &str, ack, expected: bool| {
            let kept = Topic::sample("k", "/queue/k", AckMode::Client, &[]);
            let topics = [kept, Topic::sample("t", destination, ack, &[])];
            assert_eq!(broker.loses_unread(&topics), expected, "{broker:?}");
        };
        check(Broker::RabbitMq, "/queue/a", AckMode::Client, false);
        check(Broker::RabbitMq, "/queue/a", AckMode::Auto, true);
        check(Broker::RabbitMq, "/topic/a", AckMode::Client, true);
        check(Broker::SpringSimple, "/queue/a", AckMode::Client, true);
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
    fn an_end_says_what_to_look_at() {
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
        let said = |detail: &str| {
            advice(&SessionError::Server(Box::new(ServerError {
                message: "precondition_failed".to_owned(),
                detail: detail.to_owned(),
                receipt: None,
                unconfirmed: Vec::new(),
            })))
        };
        assert!(said("delivery acknowledgement on channel 1 timed out").starts_with("; RabbitMQ"));
        assert_eq!(said("no queue 'a'"), "");
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
