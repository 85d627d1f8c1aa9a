//! A message that ends one connection after another: the server sends the same bytes again, and
//! they cannot be read. It counts, and says which message it is.

use std::fmt;

use super::signin::Credentials;
use crate::bilingual::{Bilingual, both};
use crate::excerpt::beginning;
use crate::stomp::Frame;

/// So many connections in a row that end at the same message are no chance.
const TIMES: u32 = 3;

/// So much of a body tells one message from another; a longer piece may be cut elsewhere next time.
const BODY_BYTES: usize = 256;

/// Statuses of one device begin alike: two cut bodies are the same only with so much in common.
const TELLING_BYTES: usize = 128;

/// Where a connection has ended because of what it read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BreakPoint {
    message: MessageName,
    /// What the message begins with, as far as it could be read.
    body: Vec<u8>,
    error: String,
}

/// How the server names a message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MessageName {
    topic: Option<String>,
    message_id: Option<String>,
}

impl BreakPoint {
    /// In this frame, or in what comes behind the last one where nothing is known of it, unless there
    /// is only one topic.
    ///
    /// What the server has repeated of the credentials is not kept.
    pub(super) fn at(
        frame: Option<&Frame>,
        only: Option<&str>,
        error: &str,
        credentials: &Credentials,
    ) -> BreakPoint {
        let header = |name: &str| {
            let value = credentials.redact(&frame?.headers.find(name)?);
            Some(beginning(&value, 80))
        };
        let body = frame.map_or(&[][..], |frame| &frame.body);
        BreakPoint {
            message: MessageName {
                topic: header("subscription")
                    .or_else(|| header("destination"))
                    .or_else(|| only.map(str::to_owned)),
                message_id: header("message-id"),
            },
            body: body[..body.len().min(BODY_BYTES)].to_vec(),
            error: credentials.redact(error),
        }
    }

    /// A message-id changes from connection to connection on some servers; the body stays, though it
    /// may be cut elsewhere. A link that breaks now and then cuts other messages each time.
    fn is_same(&self, other: &BreakPoint) -> bool {
        if self.message.topic != other.message.topic {
            return false;
        }
        if self.body.is_empty() && other.body.is_empty() {
            return self.message == other.message && self.error == other.error;
        }
        let length = self.body.len().min(other.body.len());
        let tells = length >= TELLING_BYTES || self.body.len() == other.body.len();
        tells && self.body[..length] == other.body[..length]
    }
}

/// How often the newest break point was met.
#[derive(Debug, Default)]
pub(super) struct BreakPoints {
    last: Option<BreakPoint>,
    times: u32,
}

impl BreakPoints {
    /// A connection has ended. Gives the message once it has ended several.
    pub(super) fn ended(&mut self, at: Option<BreakPoint>) -> Option<Undeliverable> {
        let same = match (&self.last, &at) {
            (Some(last), Some(at)) => last.is_same(at),
            _ => false,
        };
        self.times = if same { self.times + 1 } else { 1 };
        self.last = at;
        self.last
            .as_ref()
            .filter(|_| self.times >= TIMES)
            .map(|at| Undeliverable {
                message: at.message.clone(),
                error: at.error.clone(),
                times: self.times,
            })
    }
}

/// A message that nothing behind it can pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undeliverable {
    message: MessageName,
    error: String,
    times: u32,
}

impl Undeliverable {
    /// The topic, as the server names it.
    pub fn topic(&self) -> &str {
        self.message.topic.as_deref().unwrap_or("unknown")
    }

    /// The server's name for the message.
    pub fn message_id(&self) -> &str {
        self.message.message_id.as_deref().unwrap_or("unknown")
    }

    /// How many connections it has ended.
    pub fn times(&self) -> u32 {
        self.times
    }
}

/// In English.
impl fmt::Display for Undeliverable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.words().fmt(f)
    }
}

impl Undeliverable {
    /// What it has done, and what to do about it.
    pub fn words(&self) -> Bilingual {
        let (times, error) = (self.times, &self.error);
        let (topic, id) = (self.topic(), self.message_id());
        both(
            format!(
                "the same message has ended {times} connections: topic {topic}, message-id {id}: \
                 {error}; remove this message at the server, or have its sender corrected"
            ),
            format!(
                "同一条消息已使 {times} 次连接中断：主题 {topic}，message-id {id}：“{error}”；请在服务器上\
                 删除该消息，或让发送方修正"
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stomp::Command;

    fn at(topic: &str, message_id: &str, body: &str) -> Option<BreakPoint> {
        let headers = [("subscription", topic), ("message-id", message_id)];
        let frame = Frame::new(Command::Message, headers).with_body(body.to_owned());
        let nothing = Credentials::default();
        Some(BreakPoint::at(Some(&frame), None, "too long", &nothing))
    }

    #[test]
    fn the_third_connection_that_ends_at_a_message_names_it() {
        let mut points = BreakPoints::default();
        assert_eq!(points.ended(at("t", "m@@1", "abc")), None);
        assert_eq!(points.ended(at("t", "m@@2", "abc")), None);
        let found = points.ended(at("t", "m@@3", "abc")).unwrap().to_string();
        assert_eq!(
            found,
            "the same message has ended 3 connections: topic t, message-id m@@3: too long; remove \
             this message at the server, or have its sender corrected"
        );
    }

    #[test]
    fn what_a_sign_in_has_given_is_not_repeated() {
        let credentials =
            Credentials::new([("token".into(), "t0ken-1".into())], Default::default());
        let frame = Frame::new(Command::Message, [("message-id", "for t0ken-1")]);
        let error = "the server sent t0ken-1";
        let mut points = BreakPoints::default();
        let mut end = || {
            points.ended(Some(BreakPoint::at(
                Some(&frame),
                None,
                error,
                &credentials,
            )))
        };
        assert_eq!((end(), end()), (None, None));
        let found = end().unwrap().to_string();
        assert!(
            found.contains("the server sent ") && !found.contains("t0ken"),
            "{found}"
        );
    }

    #[test]
    fn other_messages_and_other_ends_between_begin_the_count_anew() {
        let mut points = BreakPoints::default();
        for end in [
            at("t", "1", "abc"),
            at("t", "1", "abc"),
            None,
            at("t", "1", "abc"),
            at("u", "1", "abc"),
            at("u", "1", "xyz"),
            at("u", "1", "xyz1"),
            at("u", "2", ""),
            at("u", "3", ""),
            at("u", "4", ""),
            None,
            None,
            None,
        ] {
            assert_eq!(points.ended(end.clone()), None, "{end:?}");
        }
    }

    #[test]
    fn of_what_is_behind_the_last_frame_only_the_one_topic_is_known() {
        let (mut points, only) = (BreakPoints::default(), Some("t"));
        for _ in 0..2 {
            assert_eq!(
                points.ended(Some(BreakPoint::at(
                    None,
                    only,
                    "no WebSocket",
                    &Credentials::default()
                ))),
                None
            );
        }
        let found = points.ended(Some(BreakPoint::at(
            None,
            only,
            "no WebSocket",
            &Credentials::default(),
        )));
        assert!(found.is_some_and(|found| (found.topic(), found.message_id()) == ("t", "unknown")));
    }
}
