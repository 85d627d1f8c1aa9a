//! Configuration warnings, from the server's answer and the configuration, with what to do. They
//! are reported, never acted on: the operator may have a reason.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::facts::Warning;
use super::spring;
use crate::bilingual::{Bilingual, both};
use crate::duration::InWords;
use crate::source::names::named;

/// One warning; its text is one line that ends with what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigurationWarning {
    /// The server would keep messages until they are acknowledged, and the configuration asks it
    /// not to.
    AutoAck(Vec<Arc<str>>),
    /// What that kind of server does, and others do not.
    OfServer {
        /// All topics that it is about; the text names the first few.
        topics: Vec<Arc<str>>,
        /// The line.
        text: Bilingual,
    },
    /// The server promises no heart-beats, although we ask for them.
    NoHeartbeats(Detection),
    /// We ask for none.
    HeartbeatsOff(Detection),
    /// What the server may send of these topics without an ACK would fill half of the journal, so
    /// that it may send less than is configured.
    SmallWindow {
        /// Those topics.
        topics: Vec<Arc<str>>,
        /// The size of the journal, in MiB, with which it could send all of it.
        mebibytes: u64,
    },
}

/// What notices a dead link where the server sends no heart-beats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detection {
    /// WebSocket pings, so often.
    Pings(Duration),
    /// SockJS's heart-beats, which come more often than this.
    SockJs(Duration),
    /// Nothing: SockJS's heart-beats do not come either, and there is a new connection after this
    /// long without anything.
    Reconnecting(Duration),
    /// TCP keep-alive, and a new connection after this long without a byte (`source.silence`).
    Silence(Duration),
    /// TCP keep-alive.
    KeepAlive,
}

impl From<Warning> for ConfigurationWarning {
    fn from(Warning { topics, text }: Warning) -> ConfigurationWarning {
        ConfigurationWarning::OfServer { topics, text }
    }
}

/// In English.
impl fmt::Display for ConfigurationWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.words().fmt(f)
    }
}

impl ConfigurationWarning {
    /// Its line.
    pub fn words(&self) -> Bilingual {
        match self {
            ConfigurationWarning::AutoAck(topics) => {
                let of = subject(topics);
                both(
                    format!(
                        "{}: the server would keep messages until they are on our disk, but ack is auto: \
                         messages in flight are lost when the connection breaks; set ack = \
                         \"client-individual\"",
                        of.en
                    ),
                    format!(
                        "{}：服务器本可把消息保留到写入本机磁盘，但 ack 为 auto：连接中断时在途的消息会丢失；请设置 \
                         ack = \"client-individual\"",
                        of.zh
                    ),
                )
            }
            ConfigurationWarning::OfServer { text, .. } => text.clone(),
            ConfigurationWarning::NoHeartbeats(detection) => {
                let (notices, advice) = (detection.words(), detection.advice());
                let switch = spring::heartbeats();
                both(
                    format!(
                        "the server sends no heart-beats: {}; switch them on in the server ({}){}",
                        notices.en, switch.en, advice.en
                    ),
                    format!(
                        "服务器不发送心跳：{}；请在服务器上启用（{}）{}",
                        notices.zh, switch.zh, advice.zh
                    ),
                )
            }
            ConfigurationWarning::SmallWindow { topics, mebibytes } => {
                let of = subject(topics);
                both(
                    format!(
                        "{}: the server gets a smaller prefetch than is configured, since what it may \
                         send without an ACK would fill half of the journal; set journal.max_bytes = \
                         \"{mebibytes}MiB\", or a smaller prefetch",
                        of.en
                    ),
                    format!(
                        "{}：服务器得到的预取量小于配置，因为它在收到 ACK 之前可发送的内容会占满持久日志的一半；请设置 \
                         journal.max_bytes = \"{mebibytes}MiB\"，或减小预取量",
                        of.zh
                    ),
                )
            }
            ConfigurationWarning::HeartbeatsOff(detection) => {
                let (notices, advice) = (detection.words(), detection.advice());
                both(
                    format!(
                        "heart-beats are off: {}; set source.heartbeat = \"10s\"{}",
                        notices.en, advice.en
                    ),
                    format!(
                        "心跳已关闭：{}；请设置 source.heartbeat = \"10s\"{}",
                        notices.zh, advice.zh
                    ),
                )
            }
        }
    }
}

/// `topic a`, or `topics a, b`.
pub(super) fn subject(topics: &[Arc<str>]) -> Bilingual {
    let noun = if topics.len() == 1 { "topic" } else { "topics" };
    let names = named(topics);
    both(format!("{noun} {}", names.en), format!("主题 {}", names.zh))
}

impl Detection {
    fn advice(self) -> Bilingual {
        match self {
            Detection::KeepAlive => both(
                ", or set source.silence to the longest pause that is normal",
                "，或把 source.silence 设为正常情况下最长的停顿",
            ),
            Detection::Pings(_)
            | Detection::SockJs(_)
            | Detection::Reconnecting(_)
            | Detection::Silence(_) => both("", ""),
        }
    }

    /// How a dead link is noticed.
    fn words(self) -> Bilingual {
        match self {
            Detection::Pings(every) => {
                let every = InWords(every);
                both(
                    format!("a dead link is noticed by WebSocket pings, every {every}"),
                    format!("断线由 WebSocket ping 发现，间隔 {every}"),
                )
            }
            Detection::SockJs(after) => {
                let after = InWords(after);
                both(
                    format!(
                        "a dead link is noticed by SockJS's heart-beats, after {after} without one"
                    ),
                    format!("断线由 SockJS 的心跳发现，{after} 内没有心跳即为断线"),
                )
            }
            Detection::Reconnecting(after) => {
                let after = InWords(after);
                both(
                    format!(
                        "SockJS's do not come either, and nothing tells a dead link from a quiet one: \
                         after {after} without anything the daemon reconnects"
                    ),
                    format!(
                        "SockJS 也没有心跳，无法区分断线和安静：{after} 内没有任何内容时会重新连接"
                    ),
                )
            }
            Detection::Silence(after) => {
                let after = InWords(after);
                both(
                    format!(
                        "a dead link is noticed by TCP keep-alive, and after {after} without a byte by \
                         reconnecting"
                    ),
                    format!("断线由 TCP keep-alive 发现，{after} 内没有一个字节时会重新连接"),
                )
            }
            Detection::KeepAlive => both(
                "a dead link is noticed by TCP keep-alive alone, which does not see a server that hangs, \
                 or one behind a proxy",
                "断线只由 TCP keep-alive 发现，它看不到挂起的服务器，也看不到代理后面的服务器",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_that_is_not_waited_for_is_one_line_that_says_what_to_do() {
        let check = |topics: &[String], begins: &str| {
            let topics = topics.iter().map(|name| name.as_str().into()).collect();
            let said = ConfigurationWarning::AutoAck(topics).to_string();
            assert!(
                said.starts_with(begins)
                    && said.ends_with("set ack = \"client-individual\"")
                    && !said.contains('\n'),
                "{said}"
            );
        };
        let many: Vec<String> = (0..500).map(|number| format!("a-{number}")).collect();
        check(&many[..1], "topic a-0: the server would keep");
        check(
            &many,
            "topics a-0, a-1, a-2, a-3, a-4 and 495 more: the server",
        );
    }

    #[test]
    fn a_smaller_prefetch_is_said_with_the_size_that_would_mend_it() {
        let topics = vec!["a".into()];
        let said = ConfigurationWarning::SmallWindow {
            topics,
            mebibytes: 12,
        };
        let said = said.to_string();
        assert!(
            said.starts_with("topic a: the server gets a smaller prefetch")
                && said.ends_with("set journal.max_bytes = \"12MiB\", or a smaller prefetch"),
            "{said}"
        );
    }

    #[test]
    fn without_heartbeats_it_is_said_what_notices_a_dead_link() {
        let check = |warning: ConfigurationWarning, expected: &[&str]| {
            let said = warning.to_string();
            assert!(expected.iter().all(|part| said.contains(part)), "{said}");
        };
        let ten = Duration::from_secs(10);
        check(
            ConfigurationWarning::NoHeartbeats(Detection::Pings(ten)),
            &[
                "by WebSocket pings, every 10s; switch them on",
                "(Spring: give enableSimpleBroker a task scheduler and heart-beat values)",
            ],
        );
        check(
            ConfigurationWarning::NoHeartbeats(Detection::KeepAlive),
            &["TCP keep-alive alone", ", or set source.silence to"],
        );
        check(
            ConfigurationWarning::NoHeartbeats(Detection::Silence(ten)),
            &["after 10s without a byte by reconnecting"],
        );
        check(
            ConfigurationWarning::NoHeartbeats(Detection::SockJs(ten)),
            &["by SockJS's heart-beats, after 10s without one; switch"],
        );
        check(
            ConfigurationWarning::HeartbeatsOff(Detection::Reconnecting(ten)),
            &["SockJS's do not come either", "after 10s without anything"],
        );
        check(
            ConfigurationWarning::HeartbeatsOff(Detection::KeepAlive),
            &["heart-beats are off", "source.heartbeat = \"10s\""],
        );
    }
}
