//! The promise for one topic: which of its messages are lost before they are on our disk, and what
//! makes that better. It is one line. It never promises more than what can be known, and its advice
//! is one that can be followed.

use std::fmt;

use crate::bilingual::{Bilingual, both};
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
        why: Bilingual,
        /// What makes it better.
        advice: Advice,
    },
    /// The server keeps what waits, and takes for received what it has sent.
    OnceSent(Advice),
    /// The server keeps a message until our ACK, unless one of these becomes true of it. There is
    /// at least one.
    Limited {
        /// In words that follow `if`.
        limits: Vec<Bilingual>,
        /// What makes it better.
        advice: Advice,
    },
    /// The server keeps a message until our ACK. The condition cannot be seen from here.
    Kept(Bilingual),
    /// The same, and the journal evicts what was acknowledged.
    Evicted(Bilingual),
}

/// What is lost behind our ACK with `when_full = "drop_oldest"`, in words that follow `if`.
fn evicted() -> Bilingual {
    both(
        "the journal is full before every sink has it (journal.when_full is drop_oldest)",
        "所有输出端收到之前持久日志已满（journal.when_full 为 drop_oldest）",
    )
}

impl Promise {
    /// What is left of it where a full journal does so: an ACK promises no more than the journal does.
    pub(super) fn with(self, when_full: WhenFull) -> Promise {
        match (self, when_full) {
            (Promise::Kept(condition), WhenFull::DropOldest) => Promise::Evicted(condition),
            (Promise::Limited { mut limits, advice }, WhenFull::DropOldest) => {
                limits.push(evicted());
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

impl Promise {
    /// Its line.
    pub(super) fn words(&self) -> Bilingual {
        match self {
            Promise::WhileHeard { why, advice } => {
                let advice = advice.words();
                both(
                    format!("at most once: {}{}", why.en, advice.en),
                    format!("至多一次：{}{}", why.zh, advice.zh),
                )
            }
            Promise::OnceSent(advice) => {
                let advice = advice.words();
                both(
                    format!(
                        "at most once before receipt: ack is auto, so messages in flight are lost when \
                         the connection breaks{}",
                        advice.en
                    ),
                    format!(
                        "收到之前至多一次：ack 为 auto，连接中断时在途的消息会丢失{}",
                        advice.zh
                    ),
                )
            }
            Promise::Limited { limits, advice } => {
                let advice = advice.words();
                let en: Vec<&str> = limits.iter().map(|limit| &*limit.en).collect();
                let zh: Vec<&str> = limits.iter().map(|limit| &*limit.zh).collect();
                both(
                    format!("a message is lost if {}{}", listed(&en, "or"), advice.en),
                    format!("以下情况会丢失消息：{}{}", zh.join("；或"), advice.zh),
                )
            }
            Promise::Kept(condition) => both(
                format!("nothing is lost {}", condition.en),
                format!("消息不会丢失，{}", condition.zh),
            ),
            Promise::Evicted(condition) => {
                let pause = Advice {
                    pause: true,
                    ..Advice::default()
                };
                let (evicted, advice) = (evicted(), pause.words());
                both(
                    format!(
                        "a message is lost if {}; the server loses none {}{}",
                        evicted.en, condition.en, advice.en
                    ),
                    format!(
                        "以下情况会丢失消息：{}；服务器不会丢失，{}{}",
                        evicted.zh, condition.zh, advice.zh
                    ),
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

impl Advice {
    /// Begins with a semicolon; nothing where there is no advice.
    fn words(&self) -> Bilingual {
        let mut steps = Vec::new();
        if self.queue {
            steps.push(both(
                "read a queue, if the server has them: \"/queue/…\"",
                "改读队列（若服务器支持）：\"/queue/…\"",
            ));
        }
        if self.delete_queue {
            let zh = "在队列清空后删除它";
            steps.push(both("delete the queue once it is empty", zh));
        }
        if !self.remove.is_empty() {
            let names = self.remove.join(", ");
            steps.push(both(
                format!("remove {names} from headers"),
                format!("从 headers 中移除 {names}"),
            ));
        }
        if !self.add.is_empty() {
            let add = self.add.iter().map(|(name, value)| match name {
                name if name.contains('.') => format!("\"{name}\" = \"{value}\""),
                name => format!("{name} = \"{value}\""),
            });
            let add: Vec<String> = add.collect();
            let add = add.join(", ");
            steps.push(both(
                format!("add headers = {{ {add} }}"),
                format!("添加 headers = {{ {add} }}"),
            ));
        }
        if self.client_id {
            let zh = "在 source.headers 中添加 client-id";
            steps.push(both("add client-id to source.headers", zh));
        }
        if self.acknowledge {
            let zh = "设置 ack = \"client-individual\"";
            steps.push(both("set ack = \"client-individual\"", zh));
        }
        if self.pause {
            let zh = "设置 journal.when_full = \"pause\"";
            steps.push(both("set journal.when_full = \"pause\"", zh));
        }
        if steps.is_empty() {
            return both("", "");
        }
        let en: Vec<&str> = steps.iter().map(|step| &*step.en).collect();
        let zh: Vec<&str> = steps.iter().map(|step| &*step.zh).collect();
        both(
            format!("; {}", listed(&en, "and")),
            format!("；请{}", zh.join("，并")),
        )
    }
}

/// `a`, `a or b`, `a, b or c`.
fn listed(items: &[&str], last: &str) -> String {
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
