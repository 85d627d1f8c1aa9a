//! What can be asked of every kind of server. The answers here are those of a server that does what
//! STOMP says and no more; it never knows a particular one.

use std::sync::Arc;

use super::guarantee::{Advice, DeliveryLimit, Promise, Seen};
use crate::bilingual::{Bilingual, both};
use crate::source::topic::Topic;
use crate::stomp::{AckMode, Subscribe};

/// The facts of one kind of server.
pub(super) trait Facts {
    /// The name used in status and log.
    fn name(&self) -> &'static str;

    /// Whether CONNECTED with these headers `server` and `session` is this one's.
    fn connected_with(&self, server: Option<&str>, session: Option<&str>) -> bool;

    /// The header of SUBSCRIBE that names a durable subscription.
    fn durable_header(&self) -> Option<&'static str> {
        None
    }

    /// Whether the server keeps messages that come while nobody is subscribed, and unacknowledged
    /// ones.
    fn keeps_messages(&self, topic: &Topic) -> bool {
        self.is_queue(topic.destination.as_str(), &|name| topic.header(name))
            || self.durable_name(topic).is_some()
    }

    /// Which messages of a topic are lost, and when; by the configuration and by what its messages
    /// have shown.
    fn promise(&self, topic: &Topic, seen: Seen) -> Promise {
        if !self.keeps_messages(topic) {
            return Promise::WhileHeard {
                why: self.keeps_nothing(topic),
                advice: self.advice_to_keep(topic),
            };
        }
        if topic.ack == AckMode::Auto {
            return Promise::OnceSent(Advice::acknowledge(topic));
        }
        let limits = self.limits(topic, seen);
        if limits.is_empty() {
            return Promise::Kept(self.condition(topic));
        }
        let advice = self.advice_on_limits(topic);
        Promise::Limited { limits, advice }
    }

    /// Why a topic is lost while we are away.
    fn keeps_nothing(&self, _topic: &Topic) -> Bilingual {
        both(
            "the server keeps nothing of a plain topic while we are away",
            "断线期间服务器不保留普通主题的消息",
        )
    }

    /// What makes the server keep the messages of such a topic until our ACK.
    fn advice_to_keep(&self, topic: &Topic) -> Advice {
        let advice = Advice::acknowledge(topic);
        match self.durable_header() {
            Some(header) => Advice {
                // Any name of its own: what holds for many topics alike is said once.
                add: vec![(header, "…".to_owned())],
                client_id: true,
                ..advice
            },
            None => Advice {
                queue: true,
                ..advice
            },
        }
    }

    /// By what the server drops a message that waits for our ACK, as far as that is known. Words
    /// that follow `a message is lost if`.
    fn limits(&self, _topic: &Topic, seen: Seen) -> Vec<Bilingual> {
        let expires = seen.expires.then(|| {
            both(
                "it expires, as its sender has set it",
                "消息过期（由发送方设定）",
            )
        });
        let counted = (seen.delivery_count > 0).then(|| {
            both(
                "more connections end before it is on our disk than the server's delivery limit allows",
                "写入本机磁盘之前，连接中断的次数超过服务器的投递上限",
            )
        });
        expires.into_iter().chain(counted).collect()
    }

    /// How the limits that the configuration sets are ended.
    fn advice_on_limits(&self, _topic: &Topic) -> Advice {
        Advice::default()
    }

    /// Where no limit is known: on what it depends, in words that follow `nothing is lost`.
    fn condition(&self, _topic: &Topic) -> Bilingual {
        both(
            "if this server keeps the messages of a queue until our ACK, without a limit of its own",
            "只要服务器在收到 ACK 之前一直保留队列中的消息，且自身没有限制",
        )
    }

    /// How many earlier deliveries of a message the server allows.
    fn delivery_limit(&self, _topic: &Topic) -> Option<DeliveryLimit> {
        None
    }

    /// Whether a header of SUBSCRIBE means something to this server alone.
    fn is_own_header(&self, name: &str) -> bool {
        self.durable_header() == Some(name)
    }

    /// The warnings about these topics on this server alone.
    fn warnings(&self, _topics: &[Topic]) -> Vec<Warning> {
        Vec::new()
    }

    /// The warnings where no heart-beats are sent to this server.
    fn warning_without_heartbeats(&self) -> Option<Bilingual> {
        None
    }

    /// The queue or subscription that the server keeps for a topic that is no longer subscribed.
    /// Somebody can delete it there by this name.
    fn orphaned(&self, topic: &Topic) -> String {
        let destination = topic.destination.as_str();
        match (
            self.durable_name(topic),
            destination.strip_prefix("/queue/"),
        ) {
            (Some(name), _) => format!("the durable subscription {name} of {destination}"),
            (None, Some(queue)) => format!("the queue {queue}"),
            (None, None) => destination.to_owned(),
        }
    }

    /// Whether the last ACKs before an UNSUBSCRIBE go into one transaction with it.
    fn leaves_in_a_transaction(&self) -> bool {
        false
    }

    /// Whether a DISCONNECT overtakes the ACKs before it, where no UNSUBSCRIBE stands between.
    fn forgets_acks_at_disconnect(&self) -> bool {
        false
    }

    /// The most messages of a topic that are sent without an ACK, where the configuration says so.
    /// One message has so many bytes.
    fn window(&self, _topic: &Topic, _message_bytes: u64) -> Option<usize> {
        None
    }

    /// The header of SUBSCRIBE that asks for such a window. `None`: the server knows none.
    fn window_header(&self, _window: usize, _message_bytes: u64) -> Option<(&'static str, String)> {
        None
    }

    /// Whether each message goes to one consumer alone.
    fn reads_a_queue(&self, subscription: &Subscribe) -> bool {
        let headers = &subscription.headers;
        self.is_queue(&subscription.destination, &|name| {
            let mut named = headers.iter().filter(|(key, _)| key == name);
            named.next().map(|(_, value)| value.as_str())
        })
    }

    /// The same, by the destination and the headers of SUBSCRIBE.
    fn is_queue<'a>(&self, destination: &str, _header: &dyn Fn(&str) -> Option<&'a str>) -> bool {
        destination.starts_with("/queue/")
    }

    /// Whether it answers no SUBSCRIBE that it accepts.
    fn confirms_nothing(&self) -> bool {
        false
    }

    /// Whether it answers one SUBSCRIBE after the other: the first that it has not confirmed is then
    /// the one that an ERROR is about.
    fn confirms_in_order(&self) -> bool {
        false
    }

    /// What an ERROR means, by its `message` header and its body.
    fn reads_error<'a>(&self, _message: &str, _body: &'a str) -> Option<ErrorMeaning<'a>> {
        None
    }

    /// What to do about an ERROR where the server's words do not say it.
    fn advice_on_error(&self, _said: &str) -> Option<&'static str> {
        None
    }

    /// What else is to be looked at where the server closes before CONNECTED and says nothing.
    fn advice_before_connected(&self) -> Option<&'static str> {
        None
    }

    /// The name of the durable subscription that a topic has.
    fn durable_name<'a>(&self, topic: &'a Topic) -> Option<&'a str> {
        topic.header(self.durable_header()?)
    }
}

/// A count above zero that stands in a header.
pub(super) fn count(text: &str) -> Option<usize> {
    text.trim().parse().ok().filter(|count| *count > 0)
}

/// The warnings about these topics, each in one line that ends with what to do.
pub(super) struct Warning {
    pub(super) topics: Vec<Arc<str>>,
    pub(super) text: Bilingual,
}

/// What an ERROR means that does not mean what it says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ErrorMeaning<'a> {
    /// A message of this subscription met our UNSUBSCRIBE and was not sent. The session goes on.
    Withheld {
        /// The subscription.
        id: &'a str,
    },
    /// The server has not noticed the end of our last connection yet. It will, with our heart-beats
    /// within seconds.
    StillConnected,
    /// The server, or one behind it, is away or restarts: nothing is wrong with what we asked for.
    Trouble,
}
