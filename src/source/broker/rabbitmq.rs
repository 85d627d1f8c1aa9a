//! RabbitMQ's STOMP and Web-STOMP plugins.

mod queue;

use std::collections::BTreeSet;
use std::sync::Arc;

use queue::{
    DELIVERY_LIMIT, DROPPING, DURABLE, FLEETING, QUEUE_TYPE, dropping, fleeting, is_lasting, limit,
    queue, queue_name,
};

use super::facts::{ErrorMeaning, Facts, Warning, count};
use super::guarantee::{Advice, DeliveryLimit, Seen};
use super::warning::subject;
use crate::bilingual::{Bilingual, both};
use crate::source::names::named;
use crate::source::topic::{Topic, names_where};
use crate::stomp::AckMode;

/// RabbitMQ.
pub(super) struct RabbitMq;

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

/// The header of MESSAGE with the deliveries before this one. Quorum queues alone count them.
pub(super) const DELIVERY_COUNT: &str = "x-delivery-count";

/// The header of MESSAGE with the time to live that its sender has set.
pub(super) const EXPIRATION: &str = "expiration";

/// In the body of the ERROR that ends the connection of a consumer which has kept it waiting, as
/// 3.10 and 3.8 have it.
const ACK_TIMEOUTS: [&str; 2] = [
    "delivery acknowledgement on channel",
    "consumer ack timed out",
];

/// In the body of the ERROR about a queue that is there and is another than the headers of
/// SUBSCRIBE would declare.
const OTHER_QUEUE: &str = "inequivalent arg";

impl Facts for RabbitMq {
    fn name(&self) -> &'static str {
        "rabbitmq"
    }

    fn connected_with(&self, server: Option<&str>, _session: Option<&str>) -> bool {
        server.is_some_and(|name| name.starts_with("RabbitMQ"))
    }

    fn keeps_messages(&self, topic: &Topic) -> bool {
        let durable = DURABLE
            .iter()
            .all(|(name, value)| topic.header(name) == Some(value));
        (queue(topic).is_some() || durable) && fleeting(topic).is_empty()
    }

    fn keeps_nothing(&self, topic: &Topic) -> Bilingual {
        let reason = FLEETING
            .iter()
            .find(|(name, value, _)| topic.header(name) == Some(value));
        let plain = [
            "RabbitMQ keeps nothing of a plain topic while we are away",
            "断线期间 RabbitMQ 不保留普通主题的消息",
        ];
        let [en, zh] = reason.map_or(plain, |(.., reason)| *reason);
        both(en, zh)
    }

    fn advice_to_keep(&self, topic: &Topic) -> Advice {
        let add = match queue(topic) {
            Some(_) => Vec::new(),
            None => DURABLE.map(|(name, value)| (name, value.to_owned())).into(),
        };
        let mut remove = fleeting(topic);
        remove.retain(|name| !add.iter().any(|(added, _)| added == name));
        Advice {
            delete_queue: remove.iter().any(|name| is_lasting(name)),
            remove,
            add,
            ..Advice::acknowledge(topic)
        }
    }

    fn limits(&self, topic: &Topic, seen: Seen) -> Vec<Bilingual> {
        let dropping = DROPPING
            .iter()
            .filter_map(|(name, words)| Some(words(topic.header(name)?)));
        let expires = seen.expires.then(|| {
            both(
                "it expires, as its sender has set it (expiration)",
                "消息过期（由发送方设定：expiration）",
            )
        });
        let kind = topic.header(QUEUE_TYPE);
        let counts = kind == Some("quorum") || seen.delivery_count > 0;
        let counted = match limit(topic) {
            DeliveryLimit::Configured(most) if counts || kind.is_none() => Some(both(
                format!(
                    "more than {most} connections end before it is on our disk ({DELIVERY_LIMIT})"
                ),
                format!("写入本机磁盘之前，连接中断超过 {most} 次（{DELIVERY_LIMIT}）"),
            )),
            DeliveryLimit::Assumed(most) if counts => Some(both(
                format!(
                    "more connections end before it is on our disk than delivery-limit allows ({most} \
                     by default from RabbitMQ 4 on)"
                ),
                format!(
                    "写入本机磁盘之前，连接中断的次数超过 delivery-limit（RabbitMQ 4 起默认 {most}）"
                ),
            )),
            _ => None,
        };
        dropping.chain(expires).chain(counted).collect()
    }

    fn advice_on_limits(&self, topic: &Topic) -> Advice {
        let remove = dropping(topic);
        Advice {
            delete_queue: !remove.is_empty(),
            remove,
            ..Advice::default()
        }
    }

    fn condition(&self, topic: &Topic) -> Bilingual {
        let is_classic = topic.header(QUEUE_TYPE) == Some("classic");
        if is_classic || limit(topic) == DeliveryLimit::Unlimited {
            both(
                "unless a policy that cannot be seen here limits the queue: TTL, max-length or expires",
                "除非有这里看不到的策略限制队列：TTL、max-length 或 expires",
            )
        } else {
            both(
                "unless the queue has a limit that cannot be seen here: delivery-limit (20 by default on \
                 quorum queues from RabbitMQ 4 on), TTL, max-length or expires",
                "除非队列有这里看不到的限制：delivery-limit（RabbitMQ 4 起 quorum 队列默认 20）、TTL、\
                 max-length 或 expires",
            )
        }
    }

    fn delivery_limit(&self, topic: &Topic) -> Option<DeliveryLimit> {
        Some(limit(topic))
    }

    fn is_own_header(&self, name: &str) -> bool {
        let fleeting = FLEETING.iter().any(|(own, ..)| *own == name);
        let dropping = DROPPING.iter().any(|(own, _)| *own == name);
        let others = [WINDOW, DELIVERY_LIMIT, "x-queue-name"].contains(&name);
        fleeting || dropping || others
    }

    fn warnings(&self, topics: &[Topic]) -> Vec<Warning> {
        // Messages are counted for each connection, not for each subscription.
        let shared = names_where(topics, |topic| {
            topics.len() > 1 && topic.ack == AckMode::Client
        });
        let mut found = Vec::new();
        if !shared.is_empty() {
            found.push(shared_ack(shared));
        }
        found.extend(ends_with_us(topics));
        found.extend(drops(topics));
        found
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

    /// Its channel takes ACKs up later, and is ended by a DISCONNECT at once; an UNSUBSCRIBE waits
    /// until the channel has come to it. Seen on 3.10.8, with a quorum queue and busy processors: in
    /// one stop of seven up to 92 ACKs were forgotten, though the DISCONNECT had its receipt.
    fn forgets_acks_at_disconnect(&self) -> bool {
        true
    }

    fn window(&self, topic: &Topic, _message_bytes: u64) -> Option<usize> {
        count(topic.header(WINDOW)?)
    }

    fn window_header(&self, window: usize, _message_bytes: u64) -> Option<(&'static str, String)> {
        Some((WINDOW, window.to_string()))
    }

    fn is_queue<'a>(&self, destination: &str, header: &dyn Fn(&str) -> Option<&'a str>) -> bool {
        // Artemis is asked so for a name, and it may be a topic's.
        queue_name(destination).is_some() && header("subscription-type").is_none()
    }

    fn confirms_in_order(&self) -> bool {
        true
    }

    /// An ERROR for each message that it had on the way when our UNSUBSCRIBE came: it goes on as if
    /// there were none. Others say that it stops, or that a part of it has died.
    fn reads_error<'a>(&self, message: &str, body: &'a str) -> Option<ErrorMeaning<'a>> {
        let message = message.trim();
        if TROUBLES.contains(&message) || body.contains(STOPS) || is_ack_timeout(body) {
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

    fn advice_on_error(&self, said: &str) -> Option<&'static str> {
        if is_ack_timeout(said) {
            Some(
                "RabbitMQ waits no longer for an ACK than its consumer_timeout (30 minutes) and sends \
                 the messages again: see in `stomp-bridge status` why the journal accepts nothing",
            )
        } else if said.contains(OTHER_QUEUE) {
            Some(
                "the queue is there with other arguments than headers has: set it there as the server \
                 says, or read the queue as it is, by destination = \"/amq/queue/NAME\"",
            )
        } else {
            None
        }
    }

    /// It unescapes CONNECT, against STOMP 1.2, and closes where it cannot.
    fn advice_before_connected(&self) -> Option<&'static str> {
        Some("if one has a backslash, RabbitMQ wants it doubled")
    }
}

fn is_ack_timeout(body: &str) -> bool {
    ACK_TIMEOUTS.iter().any(|words| body.contains(words))
}

/// The headers that some of these topics have, and those topics.
fn with_any(
    topics: &[Topic],
    headers: impl Fn(&Topic) -> Vec<&'static str>,
) -> Option<(Vec<Arc<str>>, String)> {
    let names = names_where(topics, |topic| !headers(topic).is_empty());
    let found: BTreeSet<&str> = topics.iter().flat_map(&headers).collect();
    let found: Vec<&str> = found.into_iter().collect();
    (!names.is_empty()).then(|| (names, found.join(", ")))
}

/// The queue is one by its name, and is not kept.
fn ends_with_us(topics: &[Topic]) -> Option<Warning> {
    let (topics, headers) = with_any(topics, |topic| match queue(topic) {
        Some(_) => fleeting(topic),
        None => Vec::new(),
    })?;
    let of = subject(&topics);
    let text = both(
        format!(
            "{}: RabbitMQ does not keep such a queue ({headers}) for us; delete the queue once it is \
             empty and remove {headers} from headers",
            of.en
        ),
        format!(
            "{}：RabbitMQ 不会为本机保留这样的队列（{headers}）；请在队列清空后删除它，并从 headers 中移除 \
             {headers}",
            of.zh
        ),
    );
    Some(Warning { topics, text })
}

fn drops(topics: &[Topic]) -> Option<Warning> {
    let (topics, headers) = with_any(topics, |topic| match RabbitMq.keeps_messages(topic) {
        true => dropping(topic),
        false => Vec::new(),
    })?;
    let of = subject(&topics);
    let text = both(
        format!(
            "{}: RabbitMQ drops messages that wait ({headers}); where none may be lost, delete the \
             queue once it is empty and remove {headers} from headers",
            of.en
        ),
        format!(
            "{}：RabbitMQ 会丢弃等待的消息（{headers}）；若一条都不能丢，请在队列清空后删除它，并从 headers 中移除 \
             {headers}",
            of.zh
        ),
    );
    Some(Warning { topics, text })
}

fn shared_ack(topics: Vec<Arc<str>>) -> Warning {
    let names = named(&topics);
    let text = both(
        format!(
            "topics with ack = \"client\" ({}): RabbitMQ takes an ACK for all older messages of the \
             connection, those of other topics included; set ack = \"client-individual\"",
            names.en
        ),
        format!(
            "ack = \"client\" 的主题（{}）：RabbitMQ 把一个 ACK 当作该连接上所有更早消息的确认，包括其他主题的；\
             请设置 ack = \"client-individual\"",
            names.zh
        ),
    );
    Warning { topics, text }
}

#[cfg(test)]
mod tests {
    use super::AckMode::{Auto, Client, ClientIndividual};
    use super::*;

    #[test]
    fn a_name_without_a_slash_is_a_queue() {
        for (destination, name) in [
            ("/queue/a", Some("a")),
            ("/amq/queue/a/b", Some("a/b")),
            ("a", Some("a")),
            ("queue/a", None),
            ("/topic/a", None),
        ] {
            assert_eq!(queue_name(destination), name, "{destination}");
        }
    }

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
        check("/queue/a", &[(QUEUE_TYPE, "quorum")], true);
        check("/queue/a", &[(QUEUE_TYPE, "stream")], false);
        let [durable, kept] = DURABLE;
        check("/topic/a", &[durable, kept, ("exclusive", "true")], false);
    }

    fn promised(destination: &str, headers: &[(&str, &str)], seen: Seen) -> String {
        let topic = Topic::sample("t", destination, ClientIndividual, headers);
        RabbitMq.promise(&topic, seen).words().to_string()
    }

    #[test]
    fn whatever_can_lose_a_message_stands_in_the_line() {
        let check = |headers: &[(&str, &str)], expected: &str| {
            let said = promised("/queue/a", headers, Seen::default());
            assert!(said.starts_with(expected), "{said}");
        };
        check(
            &[],
            "nothing is lost unless the queue has a limit that cannot be seen here: delivery-limit (20",
        );
        check(
            &[("x-message-ttl", "60000"), ("x-max-length", "5")],
            "a message is lost if it waits for more than 1m (x-message-ttl) or more than 5 messages wait \
             (x-max-length); delete the queue once it is empty and remove x-message-ttl, x-max-length from headers",
        );
        check(
            &[("x-expires", "soon"), ("x-max-length-bytes", "9")],
            "a message is lost if more than 9 bytes wait (x-max-length-bytes) or nobody reads the queue for soon",
        );
        check(
            &[(QUEUE_TYPE, "quorum")],
            "a message is lost if more connections end before it is on our disk than delivery-limit allows (20",
        );
        check(
            &[(DELIVERY_LIMIT, "3")],
            "a message is lost if more than 3 connections end before it is on our disk (x-delivery-limit)",
        );
        let unlimited =
            "nothing is lost unless a policy that cannot be seen here limits the queue: TTL";
        check(&[(QUEUE_TYPE, "quorum"), (DELIVERY_LIMIT, "-1")], unlimited);
        check(&[(QUEUE_TYPE, "classic")], unlimited);
        check(
            &[("auto-delete", "true"), ("exclusive", "true")],
            "at most once: RabbitMQ deletes an exclusive queue, with its messages, when our connection ends; \
             remove exclusive, auto-delete from headers",
        );
        check(
            &[("durable", "false")],
            "at most once: RabbitMQ loses a queue with durable = \"false\" when it stops; \
             delete the queue once it is empty and remove durable from headers",
        );
    }

    #[test]
    fn what_messages_have_shown_stands_in_the_line() {
        let counted = Seen {
            delivery_count: 1,
            ..Seen::default()
        };
        let said = promised("/amq/queue/a", &[], counted);
        assert!(said.contains("than delivery-limit allows (20"), "{said}");
        let said = promised("/queue/a", &[(DELIVERY_LIMIT, "-1")], counted);
        assert!(
            said.starts_with("nothing is lost unless a policy"),
            "{said}"
        );
        let expires = Seen {
            expires: true,
            ..Seen::default()
        };
        let said = promised("/queue/a", &[], expires);
        assert!(
            said.starts_with("a message is lost if it expires"),
            "{said}"
        );
    }

    #[test]
    fn errors_whose_words_do_not_help_have_advice() {
        // As 3.10.8 says both.
        let body = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout \
                    value used: 1800000 ms.";
        let meaning = RabbitMq.reads_error("precondition_failed", body);
        assert_eq!(meaning, Some(ErrorMeaning::Trouble));
        assert!(
            RabbitMq
                .advice_on_error(body)
                .unwrap()
                .contains("consumer_timeout")
        );
        let other = "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'a'";
        assert_eq!(RabbitMq.reads_error("precondition_failed", other), None);
        let advice = RabbitMq.advice_on_error(other).unwrap();
        assert!(advice.contains("\"/amq/queue/NAME\""), "{advice}");
        assert_eq!(RabbitMq.advice_on_error("NOT_FOUND - no queue 'a'"), None);
    }

    #[test]
    fn each_warning_is_one_line_that_says_what_to_do() {
        let check = |topics: &[Topic], expected: &[&str]| {
            let found = RabbitMq.warnings(topics);
            assert_eq!(found.len(), expected.len(), "{topics:?}");
            for (Warning { text, .. }, expected) in found.iter().zip(expected) {
                assert!(!text.zh.is_ascii(), "{text:?}");
                let text = &text.en;
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
        let count = (WINDOW, "256");
        let ttl = [count, ("x-message-ttl", "1")];
        let fleeting = [count, ("exclusive", "true")];
        check(
            &[
                Topic::sample("a", "/queue/a", ClientIndividual, &ttl),
                Topic::sample("b", "/queue/b", ClientIndividual, &fleeting),
                Topic::sample("c", "/topic/c", ClientIndividual, &fleeting),
            ],
            &[
                "topic b: RabbitMQ does not keep such a queue (exclusive) … remove exclusive from headers",
                "topic a: RabbitMQ drops messages that wait (x-message-ttl) … remove x-message-ttl from headers",
            ],
        );
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
