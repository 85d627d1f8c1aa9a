//! The promise for one topic: which of its messages are lost before they are on our disk, and what
//! makes that better. It is one line. It never promises more than what can be known, and its advice
//! is one that can be followed.

use std::fmt;

use crate::journal::WhenFull;
use crate::source::topic::Topic;
use crate::stomp::AckMode;

/// What a topic's messages have shown of the server's ways to lose them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// The most deliveries of one message that the server has counted before. 0: it counts none, or
    /// there was none.
    pub delivery_count: u64,
    /// A message has an end of its own, at which the server drops it.
    pub expires: bool,
}

/// How many earlier deliveries of a message the server allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source) enum DeliveryLimit {
    /// As the configuration says.
    Configured(u64),
    /// The server has one by default and does not show it.
    Assumed(u64),
    /// There is none.
    Unlimited,
}

impl DeliveryLimit {
    /// Whether a message with this number of earlier deliveries has half of the limit behind it.
    pub(in crate::source) fn is_near(self, count: u64) -> bool {
        count > 0
            && self
                .most()
                .is_some_and(|most| count.saturating_mul(2) >= most)
    }

    /// Whether the end of one connection more is too many.
    pub(in crate::source) fn is_reached(self, count: u64) -> bool {
        self.most().is_some_and(|most| count >= most)
    }

    fn most(self) -> Option<u64> {
        match self {
            DeliveryLimit::Configured(most) | DeliveryLimit::Assumed(most) => Some(most),
            DeliveryLimit::Unlimited => None,
        }
    }
}

impl fmt::Display for DeliveryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeliveryLimit::Configured(most) => write!(f, "{most}"),
            DeliveryLimit::Assumed(most) => {
                write!(f, "{most}, assumed: the server does not show it")
            }
            DeliveryLimit::Unlimited => f.write_str("none"),
        }
    }
}

/// A promise, from the weakest to the strongest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Promise {
    /// The server keeps nothing while we are away.
    WhileHeard {
        /// Why, in words that follow a colon.
        why: String,
        /// What makes it better.
        advice: Advice,
    },
    /// The server keeps what waits, and takes for received what it has sent.
    OnceSent(Advice),
    /// The server keeps a message until our ACK, unless one of these becomes true of it. There is
    /// at least one.
    Limited {
        /// In words that follow `if`.
        limits: Vec<String>,
        /// What makes it better.
        advice: Advice,
    },
    /// The server keeps a message until our ACK. The condition cannot be seen from here.
    Kept(&'static str),
    /// The same, and the journal evicts what was acknowledged.
    Evicted(&'static str),
}

/// What is lost behind our ACK with `when_full = "drop_oldest"`, in words that follow `if`.
const EVICTED: &str =
    "the journal is full before every sink has it (journal.when_full is drop_oldest)";

impl Promise {
    /// What is left of it where a full journal does so: an ACK promises no more than the journal does.
    pub(super) fn with(self, when_full: WhenFull) -> Promise {
        match (self, when_full) {
            (Promise::Kept(condition), WhenFull::DropOldest) => Promise::Evicted(condition),
            (Promise::Limited { mut limits, advice }, WhenFull::DropOldest) => {
                limits.push(EVICTED.to_owned());
                let advice = Advice {
                    pause: true,
                    ..advice
                };
                Promise::Limited { limits, advice }
            }
            (promise, _) => promise,
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Promise::WhileHeard { why, advice } => write!(f, "at most once: {why}{advice}"),
            Promise::OnceSent(advice) => write!(
                f,
                "at most once before receipt: ack is auto, so messages in flight are lost when the \
                 connection breaks{advice}"
            ),
            Promise::Limited { limits, advice } => {
                write!(f, "a message is lost if {}{advice}", listed(limits, "or"))
            }
            Promise::Kept(condition) => write!(f, "nothing is lost {condition}"),
            Promise::Evicted(condition) => {
                let advice = Advice {
                    pause: true,
                    ..Advice::default()
                };
                write!(
                    f,
                    "a message is lost if {EVICTED}; the server loses none {condition}{advice}"
                )
            }
        }
    }
}

/// What to change in the configuration. Where it is followed, the promise is a better one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Advice {
    /// Another destination: a queue.
    pub(super) queue: bool,
    /// The queue is there with these headers already, and cannot be changed.
    pub(super) delete_queue: bool,
    /// Headers of SUBSCRIBE that go.
    pub(super) remove: Vec<&'static str>,
    /// Headers of SUBSCRIBE that come.
    pub(super) add: Vec<(&'static str, String)>,
    /// CONNECT needs a `client-id`.
    pub(super) client_id: bool,
    /// An ACK for each message, where there is none.
    pub(super) acknowledge: bool,
    /// A full journal evicts nothing.
    pub(super) pause: bool,
}

impl Advice {
    /// Only to acknowledge, where the topic does not.
    pub(super) fn acknowledge(topic: &Topic) -> Advice {
        Advice {
            acknowledge: topic.ack == AckMode::Auto,
            ..Advice::default()
        }
    }
}

/// Begins with a semicolon; nothing where there is no advice.
impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut steps = Vec::new();
        if self.queue {
            steps.push("read a queue, if the server has them: \"/queue/…\"".to_owned());
        }
        if self.delete_queue {
            steps.push("delete the queue once it is empty".to_owned());
        }
        if !self.remove.is_empty() {
            steps.push(format!("remove {} from headers", self.remove.join(", ")));
        }
        if !self.add.is_empty() {
            let add = self.add.iter().map(|(name, value)| match name {
                name if name.contains('.') => format!("\"{name}\" = \"{value}\""),
                name => format!("{name} = \"{value}\""),
            });
            let add: Vec<String> = add.collect();
            steps.push(format!("add headers = {{ {} }}", add.join(", ")));
        }
        if self.client_id {
            steps.push("add client-id to source.headers".to_owned());
        }
        if self.acknowledge {
            steps.push("set ack = \"client-individual\"".to_owned());
        }
        if self.pause {
            steps.push("set journal.when_full = \"pause\"".to_owned());
        }
        match steps.as_slice() {
            [] => Ok(()),
            steps => write!(f, "; {}", listed(steps, "and")),
        }
    }
}

/// `a`, `a or b`, `a, b or c`.
fn listed(items: &[String], last: &str) -> String {
    match items {
        [before @ .., end] if !before.is_empty() => {
            format!("{} {last} {end}", before.join(", "))
        }
        items => items.concat(),
    }
}

#[cfg(test)]
impl Promise {
    /// What makes one promise better than another.
    pub(super) fn strength(&self) -> (u8, std::cmp::Reverse<usize>) {
        let (rank, limits) = match self {
            Promise::WhileHeard { .. } => (0, 0),
            Promise::OnceSent(_) => (1, 0),
            Promise::Limited { limits, .. } => (2, limits.len()),
            Promise::Evicted(_) => (2, 1),
            Promise::Kept(_) => (3, 0),
        };
        (rank, std::cmp::Reverse(limits))
    }
}

#[cfg(test)]
mod tests;
