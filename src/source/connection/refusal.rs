//! The end of a connection, as far as the server refuses a topic: which one it is, and what becomes
//! of it. The search itself is `Admission`'s.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tracing::warn;

use super::{Connection, Stage};
use crate::source::admission::{Answers, Evidence, Verdict};
use crate::source::broker;
use crate::source::clock;
use crate::source::disconnect::{self, Acceptance, DisconnectReason};
use crate::source::names::in_short;
use crate::stomp::{ServerError, SessionError};
use crate::transport::TransportError;

impl Connection<'_> {
    /// What the end of the session means.
    pub(super) fn by_session(&mut self, error: &SessionError) -> DisconnectReason {
        let (said, about) = match error {
            SessionError::SubscribeRefused { id, error, .. } => (error, Some(Arc::clone(id))),
            SessionError::Server(said) => (said, self.named_in(said)),
            _ => return disconnect::by_session(error),
        };
        if broker::mends_itself(said) {
            return disconnect::by_session(error);
        }
        self.by_topic(&Evidence::Error { about }, &said.to_string())
            .unwrap_or_else(|| disconnect::by_session(error))
    }

    /// What the end of the socket means.
    pub(super) fn by_close(&mut self, error: &TransportError) -> DisconnectReason {
        let closed = self.session.closed();
        let pending = self.admission.pending();
        if self.connected && self.stage == Stage::Living && !pending.is_empty() {
            return self.by_close_while(&pending, error);
        }
        let acceptance = if self.admission.is_accepted() {
            Acceptance::Known
        } else {
            Acceptance::Unknown
        };
        disconnect::by_close(closed, error, acceptance)
    }

    /// The same while these topics are not confirmed: it may be their refusal (RabbitMQ's
    /// WebSocket).
    fn by_close_while(&mut self, pending: &[Arc<str>], error: &TransportError) -> DisconnectReason {
        let said = format!("{error}, and no other word came");
        let by_topic = if error.is_going_away() {
            None
        } else {
            self.by_topic(&Evidence::Close, &said)
        };
        by_topic.unwrap_or_else(|| {
            let topics = in_short(pending);
            DisconnectReason::Lost(format!(
                "topics not confirmed yet ({topics}): {said}; if it does so again, check that they \
                 exist and that this login may read them"
            ))
        })
    }

    /// When a refused topic is to be asked for again, on this connection.
    pub(super) fn retry_due(&self) -> Option<Instant> {
        let living = self.stage == Stage::Living && self.complete.is_some();
        self.admission.due().filter(|_| living)
    }

    /// The topic whose destination stands in the server's words, if it is one alone.
    fn named_in(&self, said: &ServerError) -> Option<Arc<str>> {
        let text = said.to_string();
        let mut named = self
            .admission
            .admitted(&self.wanted.settings.topics)
            .into_iter()
            .filter(|topic| {
                let subscribe = topic.subscribe(&self.credentials);
                subscribe.is_ok_and(|wanted| stands_in(&wanted.destination, &text))
            });
        match (named.next(), named.next()) {
            (Some(topic), None) => Some(topic.name),
            _ => None,
        }
    }

    /// What it says about topics, and what follows.
    fn by_topic(&mut self, evidence: &Evidence, said: &str) -> Option<DisconnectReason> {
        let answers = if self.broker.confirms_in_order() {
            Answers::InOrder
        } else {
            Answers::InAnyOrder
        };
        let text = match self.admission.ended(evidence, answers) {
            Verdict::NoTopic => return None,
            Verdict::Refused(name) => self.refuse(&name, said)?,
            Verdict::OneOf(names) => {
                self.status.refused(self.admission.refused());
                let topics = in_short(&names);
                let count = names.len();
                warn!(topics, count, error = %self.credentials.redact(said), "a topic refused: trying these apart from the others");
                let which = match count {
                    1 => format!("topic {topics} may be refused"),
                    _ => format!("one of {count} topics refused ({topics})"),
                };
                format!("{which}, now tried apart: {said}")
            }
        };
        Some(DisconnectReason::TopicRefused(text))
    }

    /// Leaves the topic out from now on.
    fn refuse(&mut self, name: &Arc<str>, said: &str) -> Option<String> {
        let topics = &self.wanted.settings.topics;
        let topic = topics.iter().find(|topic| topic.name == *name)?;
        let destination = &topic.destination;
        let advice = broker::advice_on_refusal(said);
        let text = format!("subscribe to {destination} refused: {said}; {advice}");
        let error = self.credentials.redact(&text);
        let now = (clock::now(), Timestamp::now());
        let wait = self.admission.refuse(topic, &error, now, fastrand::f64());
        let retry_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        warn!(topic = %name, error, retry_in_ms, "topic refused: the others go on without it");
        self.refused = Some(Arc::clone(name));
        self.status.refused(self.admission.refused());
        Some(text)
    }
}

/// Whether a text has this name, and not as a part of a longer one.
fn stands_in(name: &str, text: &str) -> bool {
    let is_of_a_name = |letter: char| letter.is_alphanumeric() || "/._-*#".contains(letter);
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let mut after = text[at + name.len()..].chars();
        let next = after.next();
        // A full stop at the end of a sentence is none of the name.
        let ends = next.is_none_or(|next| {
            !is_of_a_name(next) || next == '.' && !after.next().is_some_and(is_of_a_name)
        });
        ends && !before.is_some_and(is_of_a_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_stands_in_a_text_as_a_whole_only() {
        let check = |text: &str, expected: bool| {
            assert_eq!(stands_in("/topic/state/3", text), expected, "{text}");
        };
        check("没有权限订阅 /topic/state/3", true);
        check("Access to '/topic/state/3' is denied.", true);
        check("no /topic/state/3.", true);
        check("没有权限订阅/topic/state/3", false);
        check("/topic/state/30, /topic/state/3/a", false);
        check("/x/topic/state/3", false);
        check("/topic/state/3.b", false);
    }
}
