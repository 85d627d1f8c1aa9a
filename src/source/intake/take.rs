//! What comes is taken in: a message, a part of a snapshot, and what belongs to no topic.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use jiff::Timestamp;

use super::owed::Due;
use super::{Intake, NAME_CHARS_MAX};
use crate::journal::{NewContent, NewEntry};
use crate::pipeline::{Doubts, Element, Remedy, Undecodable};
use crate::secret::beginning;
use crate::source::body::body_of;
use crate::source::clock;
use crate::source::resync::Part;
use crate::stomp::{AckMode, Malformed, Message};

/// A byte order mark: what cannot be decoded is kept behind it where it was read as UTF-8, or is in
/// UTF-8 only here. So a redrive does not apply to it the `encoding` that the topic has by then.
const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";

impl Intake {
    /// Takes one message of a topic in. One that is too long is taken as far as it was kept, and
    /// acknowledged like any other: the server would only send it again.
    ///
    /// # Panics
    /// No topic has that name. The session knows only the topics' subscriptions, and a topic is
    /// forgotten only with the session.
    pub(in crate::source) fn take(&mut self, message: Message, now: Timestamp, instant: Instant) {
        let topic = self
            .topics
            .get_mut(&message.subscription)
            .expect("every subscription is a topic's");
        let counters = &self.status.counters;
        let body = &message.body;
        let elements = match message.missing_bytes {
            0 => topic.decoder.split_message(&body_of(&message), now),
            missing => vec![Element {
                raw: Cow::Borrowed(body),
                is_utf8: false,
                outcome: Err(too_long(body.len() + missing)),
                ignored: false,
                doubts: Doubts::default(),
                places: None,
            }],
        };
        let first = self.entries.len();
        if elements.is_empty() {
            self.status.unreadable.empty(&topic.name);
        }
        for element in elements {
            if element.ignored {
                topic.ignore(&self.status, &element.raw);
                continue;
            }
            if let (false, Ok(key)) = (element.doubts.is_empty(), &element.outcome) {
                topic.doubt(&self.status, &element.raw, element.doubts, key);
            }
            let is_marked = element.outcome.is_err() && needs_mark(&element);
            let content = match element.outcome {
                Ok(key) => {
                    counters.accepted.fetch_add(1, Relaxed);
                    let stream = Arc::clone(topic.decoder.stream());
                    self.live.heard(&stream, &key);
                    NewContent::Status {
                        stream,
                        key,
                        places: element.places,
                    }
                }
                Err(Undecodable { reason, remedy }) => {
                    counters.undecodable.fetch_add(1, Relaxed);
                    tracing::warn!(
                        topic = %topic.name,
                        reason,
                        "status undecodable: the journal keeps it raw; {}",
                        remedy.advice()
                    );
                    NewContent::Undecodable {
                        reason: reason.into(),
                    }
                }
            };
            let body = match element.raw {
                raw if is_marked => [UTF_8_MARK, &raw].concat().into(),
                Cow::Borrowed(raw) => body.slice_ref(raw),
                Cow::Owned(text) => text.into(),
            };
            self.entries.push(NewEntry {
                topic: topic.name.clone(),
                received_at: now,
                body,
                content,
            });
        }
        if self.entries.len() > first + 1 {
            self.arrays.push(first..self.entries.len());
        }
        let statuses = self.entries.len() - first;
        // In UTF-8 and without compression it may be more.
        let kept: usize = self.entries[first..].iter().map(|it| it.body.len()).sum();
        let kept_bytes = kept.max(body.len());
        if statuses > 0 {
            // Else nothing of it is kept.
            self.bytes += kept_bytes;
        }
        self.grown |= topic.largest.take(kept_bytes, statuses);
        self.received |= statuses > 0;
        // What needs no ACK is delivered once.
        if topic.topic.ack != AckMode::Auto {
            let (name, deliveries) = (&topic.name, &mut topic.deliveries);
            self.redelivery
                .message(name, deliveries, &message, clock::now);
        }
        match (topic.topic.ack, message.ack) {
            (AckMode::Auto, _) => {}
            (_, Some(id)) => self.owed.acks.push(Due {
                topic: Arc::clone(&topic.name),
                ack: topic.topic.ack,
                id,
                entries: self.entries.len(),
            }),
            (_, None) => topic.tell_of_no_ack(),
        }
        counters.messages.fetch_add(1, Relaxed);
        counters.body_bytes.fetch_add(body.len() as u64, Relaxed);
        self.status.message_at(now);
        topic.times.message_at(now);
        topic.newest = topic.newest.max(now);
        if topic.silence.broken(instant) {
            topic.times.silent_since(None);
            self.silence_log.ended(&topic.name);
            self.next_look.no_later_than(topic.silence.due());
        }
    }

    /// Takes in some statuses of a topic's snapshot. Gives how many it leaves out, since a message of
    /// the device is newer.
    pub(in crate::source) fn take_snapshot(&mut self, part: Part) -> u64 {
        let before = self.entries.len();
        let count = part.statuses.len();
        for (body, key) in part.statuses {
            if self.live.has_said(&part.topic, &key) {
                continue;
            }
            self.bytes += body.len();
            self.entries.push(NewEntry {
                topic: Arc::clone(&part.topic),
                received_at: part.at,
                body,
                content: NewContent::Resync {
                    stream: Arc::clone(&part.stream),
                    key,
                    unchanged: part.unchanged,
                },
            });
        }
        if let Some(topic) = self.topics.get_mut(&part.topic) {
            topic.newest = topic.newest.max(part.at);
        }
        (count - (self.entries.len() - before)) as u64
    }

    /// Takes in a message of no topic: it is kept raw, and acknowledged where the server asks for
    /// it.
    pub(in crate::source) fn take_unknown(&mut self, message: Message, now: Timestamp) {
        let (destination, said) = (message.destination(), &*message.subscription);
        let name = match (destination.trim(), said) {
            ("", "") => "none",
            ("", said) => said,
            (destination, _) => destination,
        };
        let topic: Arc<str> = beginning(name.as_bytes(), NAME_CHARS_MAX).marked().into();
        self.malformed.unknown(&topic, &message, clock::now());
        let counters = &self.status.counters;
        counters.unknown.fetch_add(1, Relaxed);
        counters.undecodable.fetch_add(1, Relaxed);
        counters.messages.fetch_add(1, Relaxed);
        counters
            .body_bytes
            .fetch_add(message.body.len() as u64, Relaxed);
        self.bytes += message.body.len();
        self.received = true;
        let mut reason = "it belongs to no topic of the configuration".to_owned();
        if message.missing_bytes > 0 {
            let long = too_long(message.body.len() + message.missing_bytes);
            reason = format!("{reason}; {long}");
        }
        self.entries.push(NewEntry {
            topic: Arc::clone(&topic),
            received_at: now,
            body: message.body,
            content: NewContent::Undecodable {
                reason: reason.into(),
            },
        });
        let ack = message.ack;
        let entries = self.entries.len();
        self.owed.acks.extend(ack.map(|id| Due {
            topic,
            ack: AckMode::ClientIndividual,
            id,
            entries,
        }));
    }

    /// A frame was read in spite of a rule that it has broken.
    pub(in crate::source) fn malformed(&mut self, frame: &Malformed) {
        self.status.counters.malformed.fetch_add(1, Relaxed);
        self.malformed.frame(frame, clock::now());
    }
}

fn too_long(body_bytes: usize) -> Undecodable {
    let reason = format!(
        "a body of {body_bytes} bytes exceeds source.max_body: raise it, or have smaller messages sent"
    );
    Undecodable::with(Remedy::Resend, reason)
}

/// Whether another charset would read other characters.
fn needs_mark(element: &Element<'_>) -> bool {
    let raw = &element.raw;
    let is_plain = matches!(raw, Cow::Borrowed(raw) if raw.is_ascii());
    element.is_utf8 && !is_plain && !raw.starts_with(UTF_8_MARK)
}
