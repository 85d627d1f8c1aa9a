//! What a topic's destination and headers say of its queue: whether it is kept for us, and what it
//! drops.

use std::time::Duration;

use crate::bilingual::{Bilingual, both};
use crate::duration::InWords;
use crate::source::broker::guarantee::DeliveryLimit;
use crate::source::topic::Topic;

/// Destinations that are queues: the plugin declares the first, and finds the second.
const QUEUES: [&str; 2] = ["/queue/", "/amq/queue/"];

/// Headers by which a queue is not kept for us, with the reason.
pub(super) const FLEETING: [(&str, &str, [&str; 2]); 4] = [
    (
        "exclusive",
        "true",
        [
            "RabbitMQ deletes an exclusive queue, with its messages, when our connection ends",
            "RabbitMQ 在连接结束时删除 exclusive 队列及其中的消息",
        ],
    ),
    (
        "auto-delete",
        "true",
        [
            "RabbitMQ deletes an auto-delete queue, with its messages, when our connection ends",
            "RabbitMQ 在连接结束时删除 auto-delete 队列及其中的消息",
        ],
    ),
    (
        "durable",
        "false",
        [
            "RabbitMQ loses a queue with durable = \"false\" when it stops",
            "RabbitMQ 停止时会丢失 durable = \"false\" 的队列",
        ],
    ),
    (
        QUEUE_TYPE,
        "stream",
        [
            "RabbitMQ gives each connection only what comes to a stream from then on",
            "RabbitMQ 只向每个连接提供此后进入 stream 的消息",
        ],
    ),
];

/// With both a subscription to a topic keeps its messages. Seen on 3.10.8: a queue that is only
/// named (`x-queue-name`) still goes with the connection.
pub(super) const DURABLE: [(&str, &str); 2] = [("durable", "true"), ("auto-delete", "false")];

/// Says an argument of a queue, given its value.
pub(super) type Words = fn(&str) -> Bilingual;

/// Arguments of a queue by which it drops messages that wait, each with its words. The plugin hands
/// them on from SUBSCRIBE, and refuses what differs from the queue that is there.
pub(super) const DROPPING: [(&str, Words); 4] = [
    ("x-message-ttl", |ttl| {
        both(
            format!("it waits for more than {} (x-message-ttl)", time(ttl)),
            format!("消息等待超过 {}（x-message-ttl）", time(ttl)),
        )
    }),
    ("x-max-length", |most| {
        both(
            format!("more than {most} messages wait (x-max-length)"),
            format!("等待的消息超过 {most} 条（x-max-length）"),
        )
    }),
    ("x-max-length-bytes", |most| {
        both(
            format!("more than {most} bytes wait (x-max-length-bytes)"),
            format!("等待的消息超过 {most} 字节（x-max-length-bytes）"),
        )
    }),
    ("x-expires", |after| {
        both(
            format!("nobody reads the queue for {} (x-expires)", time(after)),
            format!("{} 内无人读取队列（x-expires）", time(after)),
        )
    }),
];

pub(super) const QUEUE_TYPE: &str = "x-queue-type";

/// What a policy of the server says: the plugin does not hand this header on, so it is for us.
pub(super) const DELIVERY_LIMIT: &str = "x-delivery-limit";

/// The `delivery-limit` of quorum queues from RabbitMQ 4.0 on; before, there is none by default.
const DELIVERY_LIMIT_DEFAULT: u64 = 20;

/// The name of the queue, where the destination is one.
pub(super) fn queue(topic: &Topic) -> Option<&str> {
    queue_name(topic.destination.as_str())
}

/// A destination without any slash is a queue of that name.
pub(super) fn queue_name(destination: &str) -> Option<&str> {
    QUEUES
        .iter()
        .find_map(|prefix| destination.strip_prefix(prefix))
        .or_else(|| (!destination.contains('/')).then_some(destination))
}

/// The headers of FLEETING that a topic has.
pub(super) fn fleeting(topic: &Topic) -> Vec<&'static str> {
    let found = FLEETING
        .iter()
        .filter(|(name, value, _)| topic.header(name) == Some(value));
    found.map(|(name, ..)| *name).collect()
}

/// The headers of DROPPING that a topic has.
pub(super) fn dropping(topic: &Topic) -> Vec<&'static str> {
    let names = DROPPING.iter().map(|(name, _)| *name);
    names.filter(|name| topic.header(name).is_some()).collect()
}

/// Whether a queue with this header is there after the connection.
pub(super) fn is_lasting(name: &str) -> bool {
    !["auto-delete", "exclusive"].contains(&name)
}

pub(super) fn limit(topic: &Topic) -> DeliveryLimit {
    match topic
        .header(DELIVERY_LIMIT)
        .map(|most| most.trim().parse::<i64>())
    {
        // A negative one means that there is none.
        Some(Ok(most)) => {
            u64::try_from(most).map_or(DeliveryLimit::Unlimited, DeliveryLimit::Configured)
        }
        Some(Err(_)) | None => DeliveryLimit::Assumed(DELIVERY_LIMIT_DEFAULT),
    }
}

/// Milliseconds, as an argument of a queue has them.
fn time(milliseconds: &str) -> String {
    match milliseconds.trim().parse() {
        Ok(count) => InWords(Duration::from_millis(count)).to_string(),
        Err(_) => milliseconds.to_owned(),
    }
}
