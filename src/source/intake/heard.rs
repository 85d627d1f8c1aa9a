//! Which topics are heard: when one begins or ceases to be, an entry says so, among those of the
//! messages.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::Intake;
use super::topic_state::TopicState;
use crate::journal::{Heard, NewEntry};
use crate::model::CoverageCause;
use crate::source::coverage::HeardAgain;

impl Intake {
    /// Since when a topic is heard; `None`: it is not.
    pub(in crate::source) fn heard_since(&self, topic: &str) -> Option<Timestamp> {
        self.heard.since(topic)
    }

    /// The topics that are heard now or not any longer; each told of once.
    pub(in crate::source) fn take_heard_changes(&mut self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        self.heard.take_changes()
    }

    /// What the last process heard when it died is heard no more: see [`TopicsHeard::take_over`].
    pub(in crate::source) fn take_over(&mut self, left: Heard, now: Timestamp) {
        let entries = self.heard.take_over(left, now);
        self.covered(entries);
    }

    /// A topic's subscription stands: its entry comes before those of its messages.
    pub(in crate::source) fn began(&mut self, topic: &Arc<str>, now: Timestamp) {
        self.listen_to(topic);
        let entry = self.heard.began(topic, now);
        self.covered(entry);
    }

    /// Nothing more comes of a topic, which was heard until then.
    pub(in crate::source) fn ceased(&mut self, topic: &str, at: Timestamp, cause: CoverageCause) {
        self.forget_silence(topic);
        let now = Timestamp::now();
        let at = gap_begins(&self.topics, topic, at, cause);
        let entry = self.heard.ceased(topic, at, cause, now);
        self.covered(entry);
    }

    /// The server refuses a topic, which was perhaps heard until then.
    pub(in crate::source) fn refused(&mut self, topic: &Arc<str>, at: Timestamp) {
        self.is_deaf(topic, at, CoverageCause::Refused);
    }

    /// A topic is not subscribed, since the journal has no room for its messages.
    pub(in crate::source) fn held_back(&mut self, topic: &Arc<str>) {
        self.is_deaf(topic, Timestamp::now(), CoverageCause::JournalFull);
    }

    fn is_deaf(&mut self, topic: &Arc<str>, at: Timestamp, cause: CoverageCause) {
        self.forget_silence(topic);
        let now = Timestamp::now();
        let at = gap_begins(&self.topics, topic, at, cause);
        let entry = self.heard.deaf(topic, at, cause, now);
        self.covered(entry);
    }

    /// Nothing more comes of any topic.
    pub(in crate::source) fn all_ceased(&mut self, at: Timestamp, cause: CoverageCause) {
        let now = Timestamp::now();
        let at = |topic: &str| gap_begins(&self.topics, topic, at, cause);
        let entries = self.heard.all_ceased(at, cause, now);
        self.covered(entries);
    }

    /// What topics began and ceased to be heard, for the log and for readers.
    fn covered(&mut self, entries: impl IntoIterator<Item = NewEntry>) {
        for entry in entries {
            if let Ok(coverage) = serde_json::from_slice(&entry.body) {
                self.status.covered(&entry.topic, &coverage);
            }
            self.entries.push(entry);
        }
    }

    /// Whether any topic is heard.
    pub(in crate::source) fn hears(&self) -> bool {
        self.heard.any()
    }

    /// The topics that are heard again, by the causes of their gaps; each told of once.
    pub(in crate::source) fn heard_again(&mut self) -> Vec<HeardAgain> {
        self.heard.heard_again()
    }
}

/// When a gap of a topic begins that was last heard at `at`: no earlier than its newest message, but
/// for what is read of a full journal's time after its end.
fn gap_begins(
    topics: &HashMap<Arc<str>, TopicState>,
    topic: &str,
    at: Timestamp,
    cause: CoverageCause,
) -> Timestamp {
    match topics.get(topic) {
        Some(topic) if cause != CoverageCause::JournalFull => topic.newest.max(at),
        _ => at,
    }
}
