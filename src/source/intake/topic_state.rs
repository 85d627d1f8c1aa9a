//! How one topic's messages are taken in, and what is said of its statuses.

use std::sync::Arc;

use jiff::Timestamp;

use super::NAME_CHARS_MAX;
use crate::pipeline::{Decoder, Doubts, StatusKey};
use crate::secret::beginning;
use crate::source::credit::LargestMessage;
use crate::source::redelivery::Deliveries;
use crate::source::silence::Silence;
use crate::source::status::Status;
use crate::source::topic::Topic;
use crate::source::topic_status::TopicTimes;
use crate::source::unreadable::FirstTime;

/// How one topic's messages are taken in.
#[derive(Debug)]
pub(super) struct TopicState {
    pub(super) name: Arc<str>,
    pub(super) topic: Topic,
    pub(super) decoder: Decoder,
    pub(super) deliveries: Deliveries,
    pub(super) largest: LargestMessage,
    pub(super) told_of_no_ack: bool,
    pub(super) silence: Silence,
    pub(super) times: Arc<TopicTimes>,
    /// When its newest message was received: no gap begins before it.
    pub(super) newest: Timestamp,
}

impl TopicState {
    /// What of an accepted status could not be read.
    pub(super) fn doubt(&self, status: &Status, raw: &[u8], doubts: Doubts, key: &StatusKey) {
        let (topic, stream) = (&self.name, self.decoder.stream());
        for first in status.unreadable.count(topic, stream, doubts, key) {
            match first {
                FirstTime::Field(field) => {
                    let (found, field_name) = (self.decoder.found(raw, field), field.name());
                    tracing::warn!(
                        %topic, field = field_name, found,
                        "field unreadable: statuses are stored without what it stands for; \
                         correct the topic's `fields`; `status` counts them"
                    );
                }
                FirstTime::Word => tracing::warn!(
                    %topic,
                    state = key.new_state.trim(),
                    "state unmapped: its severity is unknown; give it a name and a severity in \
                     [states]; `status` counts it"
                ),
                FirstTime::OtherWords => tracing::warn!(
                    %topic,
                    "states unmapped: there are too many words to count each; see whether the \
                     topic's `fields` has the state where it stands"
                ),
                FirstTime::Utf8 => tracing::warn!(
                    %topic,
                    encoding = self.decoder.encoding(),
                    state = key.new_state.trim(),
                    "this body is valid UTF-8, and is read as the topic's `encoding` says: where its \
                     texts look wrong, remove that key; `status` counts such statuses"
                ),
                FirstTime::Ignored => {}
            }
        }
    }

    /// An object that is no status.
    pub(super) fn ignore(&self, status: &Status, raw: &[u8]) {
        if status.unreadable.ignore(&self.name).is_some() {
            let found = beginning(raw, NAME_CHARS_MAX).marked();
            tracing::info!(
                topic = %self.name, found,
                "object ignored: the topic's `ignore` says that it is no status; `status` counts them"
            );
        }
    }

    /// STOMP 1.2 without `ack`: Spring's simple broker takes no ACK; coilmq waits for one without
    /// end.
    pub(super) fn tell_of_no_ack(&mut self) {
        if !std::mem::replace(&mut self.told_of_no_ack, true) {
            tracing::warn!(
                topic = %self.name,
                ack = self.topic.ack.as_str(),
                "the server's messages carry no ack header and cannot be acknowledged: use ack = \"auto\""
            );
        }
    }
}
