//! What is known of each topic: refused, left, held back, when its messages came and when it was not
//! heard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use super::{LinkState, Status};
use crate::bilingual::Bilingual;
use crate::model::Coverage;
use crate::source::gaps_seen::SeenGap;
use crate::source::refused_topics::RefusedTopic;
use crate::source::resync_report::ResyncReport;
use crate::source::topic_status::{TopicStatus, TopicTimes};
use crate::source::unreadable::Unreadable;

impl Status {
    /// The topics that the server refuses, by their names. The others are subscribed without them.
    pub fn refused_topics(&self) -> BTreeMap<Arc<str>, RefusedTopic> {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// When the messages of each topic came, by its name.
    pub fn topics(&self) -> BTreeMap<Arc<str>, TopicStatus> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let topics = topics.iter();
        topics
            .map(|(name, times)| (Arc::clone(name), times.read()))
            .collect()
    }

    /// What of the statuses of each topic could not be read since the start, by its name; without
    /// the topics of which everything was.
    pub fn unreadable(&self) -> BTreeMap<Arc<str>, Unreadable> {
        self.unreadable.read()
    }

    /// How the last snapshots of the topics ended that have any, by their names.
    pub fn resyncs(&self) -> BTreeMap<Arc<str>, ResyncReport> {
        self.resyncs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(in crate::source) fn resyncs_are(&self, reports: BTreeMap<Arc<str>, ResyncReport>) {
        *self.resyncs.lock().unwrap_or_else(PoisonError::into_inner) = reports;
    }

    pub(in crate::source) fn resynced(&self, topic: &Arc<str>, report: ResyncReport) {
        self.resyncs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(Arc::clone(topic), report);
    }

    /// The topics that are being left: what the server has sent of them is still being journaled and
    /// acknowledged.
    pub fn leaving(&self) -> BTreeSet<Arc<str>> {
        self.leaving
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(in crate::source) fn leaves(&self, topics: BTreeSet<Arc<str>>) {
        *self.leaving.lock().unwrap_or_else(PoisonError::into_inner) = topics;
    }

    /// When topics were not heard, of the last day and since the process began; at most 10,000.
    pub fn gaps(&self) -> Vec<SeenGap> {
        let gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
        gaps.read()
    }

    /// A topic began or ceased to be heard.
    pub(in crate::source) fn covered(&self, topic: &Arc<str>, coverage: &Coverage) {
        if coverage.heard {
            let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(times) = topics.get(topic) {
                times.heard_at(coverage.at);
            }
        }
        let mut gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
        gaps.take(topic, coverage);
    }

    pub(in crate::source) fn topics_are(&self, topics: BTreeMap<Arc<str>, Arc<TopicTimes>>) {
        *self.topics.lock().unwrap_or_else(PoisonError::into_inner) = topics;
    }

    pub(in crate::source) fn refused(&self, topics: BTreeMap<Arc<str>, RefusedTopic>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = topics;
    }

    /// For each topic of which a message was delivered before and the server counts that: the
    /// highest count since the start of the process.
    pub fn delivery_counts(&self) -> BTreeMap<Arc<str>, u64> {
        self.delivery_counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(in crate::source) fn delivery_count(&self, topic: &Arc<str>, count: u64) {
        self.delivery_counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(Arc::clone(topic), count);
    }

    /// Forgets those of all other topics.
    pub(in crate::source) fn keep_delivery_counts(&self, is_kept: impl Fn(&str) -> bool) {
        self.delivery_counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|topic, _| is_kept(topic));
    }

    /// A topic's guarantee is another one, by what its messages have shown.
    pub(in crate::source) fn guarantee(&self, topic: &Arc<str>, line: Bilingual) {
        self.profile
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .guarantees
            .insert(Arc::clone(topic), line);
    }

    /// How many topics wait at the server, since the journal has no room for their messages.
    pub fn held_back(&self) -> u64 {
        self.held_back.load(Relaxed)
    }

    /// So many topics wait at the server: while there are any, the link is paused. Where there are
    /// none and nothing else `pauses` it, it goes on.
    pub(in crate::source) fn hold_back(&self, topics: usize, pauses: bool) {
        let before = self.held_back.swap(topics as u64, Relaxed);
        if topics > 0 {
            self.advance(
                &[
                    LinkState::Connected,
                    LinkState::Subscribed,
                    LinkState::Receiving,
                    LinkState::Silent,
                ],
                LinkState::Paused,
            );
        } else if before > 0 && !pauses {
            self.advance(&[LinkState::Paused], LinkState::Connected);
        }
    }
}
