//! What can be asked of every kind of server. The answers here are those of a server that does what
//! STOMP says and no more; it never knows a particular one.

use std::sync::Arc;

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
        topic.destination.as_str().starts_with("/queue/") || self.durable_name(topic).is_some()
    }

    /// One sentence on which messages of a topic are lost, and when.
    fn guarantee(&self, topic: &Topic) -> &'static str {
        if topic.ack == AckMode::Auto {
            return "at most once before receipt: ack is auto, so messages in flight are lost when the \
                    connection breaks; use ack = \"client-individual\"";
        }
        if self.keeps_messages(topic) {
            "nothing is lost: the server keeps messages until they are on our disk"
        } else {
            "at most once while we are away: the destination is not a durable queue or subscription"
        }
    }

    /// The warnings about these topics on this server alone.
    fn warnings(&self, _topics: &[Topic]) -> Vec<Warning> {
        Vec::new()
    }

    /// The warnings where no heart-beats are sent to this server.
    fn warning_without_heartbeats(&self) -> Option<&'static str> {
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
        subscription.destination.starts_with("/queue/")
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
    pub(super) text: String,
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
