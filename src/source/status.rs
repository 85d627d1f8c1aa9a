//! What the source knows of itself, for readiness, metrics and the log: where the link stands,
//! since when, and what went through it.

mod link;
mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};

pub use link::{Link, LinkState, Refuser};

use super::agreed::Agreed;
use super::broker::{Broker, ConfigurationWarning};
use super::gaps_seen::SeenGaps;
use super::refused_topics::RefusedTopic;
use super::resync_report::ResyncReport;
use super::topic_status::TopicTimes;
use super::undeliverable::BreakPoints;
use super::unreadable::UnreadableByTopic;
use crate::bilingual::Bilingual;
use crate::latency::Latency;

/// The source's loop turns at least so often, whatever it waits for. By default our heart-beats go
/// out more often: an idle link does not wake for this.
pub(super) const TURN: Duration = Duration::from_secs(8);

/// What the newest CONNECTED amounts to, with the configuration. Empty before the first.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// What kind of server has answered.
    pub broker: Option<Broker>,
    /// What was agreed with it.
    pub agreed: Option<Agreed>,
    /// The server's promise for each topic.
    pub guarantees: BTreeMap<Arc<str>, Bilingual>,
    /// Configuration warnings.
    pub warnings: Vec<ConfigurationWarning>,
}

/// Counts since the start of the process.
#[derive(Debug, Default)]
pub struct Counters {
    /// Attempts to connect.
    pub attempts: AtomicU64,
    /// Connections that reached CONNECTED.
    pub connections: AtomicU64,
    /// MESSAGE frames received.
    pub messages: AtomicU64,
    /// Bytes of their bodies.
    pub body_bytes: AtomicU64,
    /// Statuses found in them and journaled as accepted.
    pub accepted: AtomicU64,
    /// Statuses or bodies journaled as undecodable.
    pub undecodable: AtomicU64,
    /// Frames read in spite of a rule that they have broken.
    pub malformed: AtomicU64,
    /// Messages of no topic, journaled as undecodable.
    pub unknown: AtomicU64,
    /// Frames received, without heart-beats.
    pub frames_received: AtomicU64,
    /// Frames given to the socket, without heart-beats.
    pub frames_sent: AtomicU64,
    /// Bytes of STOMP received, heart-beats too.
    pub bytes_received: AtomicU64,
    /// Bytes of STOMP given to the socket, heart-beats too.
    pub bytes_sent: AtomicU64,
    /// ACK frames sent.
    pub acknowledged: AtomicU64,
    /// Times that no message of a topic came for as long as its `silence` says.
    pub silences: AtomicU64,
}

/// Shared between the source and its readers.
#[derive(Debug)]
pub struct Status {
    link: Mutex<Link>,
    /// See [`Counters`].
    pub counters: Counters,
    /// How long each status took from its message's bytes to the disk.
    pub journaled: Latency,
    states: watch::Sender<LinkState>,
    profile: Mutex<Profile>,
    break_points: Mutex<BreakPoints>,
    refused: Mutex<BTreeMap<Arc<str>, RefusedTopic>>,
    delivery_counts: Mutex<BTreeMap<Arc<str>, u64>>,
    topics: Mutex<BTreeMap<Arc<str>, Arc<TopicTimes>>>,
    pub(super) unreadable: UnreadableByTopic,
    resyncs: Mutex<BTreeMap<Arc<str>, ResyncReport>>,
    held_back: AtomicU64,
    leaving: Mutex<BTreeSet<Arc<str>>>,
    gaps: Mutex<SeenGaps>,
    last_message_us: AtomicU64,
    last_byte_us: AtomicU64,
    turns: AtomicU64,
    troubles: Arc<Notify>,
}

impl Default for Status {
    fn default() -> Status {
        Status {
            link: Mutex::new(Link::new()),
            counters: Counters::default(),
            journaled: Latency::default(),
            states: watch::Sender::new(LinkState::Connecting),
            profile: Mutex::default(),
            break_points: Mutex::default(),
            refused: Mutex::default(),
            delivery_counts: Mutex::default(),
            topics: Mutex::default(),
            unreadable: UnreadableByTopic::default(),
            resyncs: Mutex::default(),
            held_back: AtomicU64::new(0),
            leaving: Mutex::default(),
            gaps: Mutex::default(),
            last_message_us: AtomicU64::new(0),
            last_byte_us: AtomicU64::new(0),
            turns: AtomicU64::new(0),
            troubles: Arc::default(),
        }
    }
}

impl Status {
    /// A new one, to be shared.
    pub fn new() -> Arc<Status> {
        Arc::default()
    }

    /// Notified each time that there is no connection.
    pub fn troubles(&self) -> Arc<Notify> {
        Arc::clone(&self.troubles)
    }

    /// When something last came from the server, on whatever level; `None`: nothing has.
    pub fn last_byte(&self) -> Option<Timestamp> {
        let at_us = i64::try_from(self.last_byte_us.load(Relaxed)).unwrap_or(0);
        (at_us > 0)
            .then(|| Timestamp::from_microsecond(at_us).ok())
            .flatten()
    }

    pub(super) fn byte_at(&self, at: Timestamp) {
        self.last_byte_us
            .store(u64::try_from(at.as_microsecond()).unwrap_or(0), Relaxed);
    }

    /// A copy of what the newest connection amounts to.
    pub fn profile(&self) -> Profile {
        self.profile
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes the new profile, and gives those of its warnings that the one before did not have:
    /// only they are news.
    pub(super) fn profiled(&self, profile: Profile) -> Vec<ConfigurationWarning> {
        let mut known = self.profile.lock().unwrap_or_else(PoisonError::into_inner);
        let news = profile
            .warnings
            .iter()
            .filter(|warning| !known.warnings.contains(warning));
        let news = news.cloned().collect();
        *known = profile;
        news
    }

    /// Turns of the source's loop: it goes up at least every few seconds while the source is well,
    /// whatever the network does. The watchdog looks at it.
    pub fn turns(&self) -> u64 {
        self.turns.load(Relaxed)
    }

    pub(super) fn turn(&self) {
        self.turns.fetch_add(1, Relaxed);
    }

    /// Waits for something that is bounded elsewhere; waiting for it is no hanging.
    pub(super) async fn turning<T>(&self, future: impl Future<Output = T>) -> T {
        tokio::pin!(future);
        loop {
            self.turn();
            if let Ok(output) = tokio::time::timeout(TURN, &mut future).await {
                return output;
            }
        }
    }

    pub(super) fn message_at(&self, at: Timestamp) {
        self.last_message_us
            .store(u64::try_from(at.as_microsecond()).unwrap_or(0), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bilingual::both;

    #[test]
    fn a_weak_point_is_news_once_and_again_after_it_was_mended() {
        let status = Status::new();
        let profile = |warnings: &[ConfigurationWarning]| Profile {
            warnings: warnings.to_vec(),
            ..Profile::default()
        };
        let (auto, prefetch) = (
            ConfigurationWarning::AutoAck(vec!["a".into()]),
            ConfigurationWarning::OfServer {
                topics: vec!["a".into()],
                text: both(
                    "topic a: the server sends all that waits at once",
                    "一次发送",
                ),
            },
        );
        let both = profile(&[auto.clone(), prefetch.clone()]);
        assert_eq!(
            status.profiled(profile(std::slice::from_ref(&auto))),
            std::slice::from_ref(&auto)
        );
        assert_eq!(status.profiled(profile(std::slice::from_ref(&auto))), []);
        assert_eq!(
            status.profiled(both.clone()),
            std::slice::from_ref(&prefetch)
        );
        assert_eq!(status.profiled(profile(&[prefetch])), []);
        assert_eq!(status.profiled(both.clone()), [auto]);
        assert_eq!(status.profile().warnings, both.warnings);
    }

    #[test]
    fn a_topic_that_is_added_does_not_begin_the_link_anew() {
        let status = Status::new();
        status.enter(LinkState::Connected);
        status.enter_subscribed();
        status.enter_receiving();
        let began = Timestamp::UNIX_EPOCH;
        status.link.lock().unwrap().since = began;
        let added = || {
            status.enter_incomplete();
            assert!(status.link().since > began);
            status.enter_subscribed();
            status.enter_receiving();
            (status.link().state, status.link().since)
        };
        assert_eq!(added(), (LinkState::Receiving, began));
        assert_eq!(added(), (LinkState::Receiving, began));
        // A connection that ends meanwhile does.
        status.enter_incomplete();
        status.enter(LinkState::Connecting);
        status.enter(LinkState::Connected);
        status.enter_subscribed();
        status.enter_receiving();
        assert!(status.link().since > began);
    }

    #[test]
    fn silence_counts_only_once_every_topic_is_subscribed_and_outlasts_the_connection() {
        let status = Status::new();
        let state = || status.link().state;
        for early in [LinkState::Connecting, LinkState::Connected] {
            status.enter(early);
            status.enter_silent();
            assert_eq!(state(), early);
        }
        status.enter_subscribed();
        status.enter_silent();
        let silent = status.link();
        assert_eq!(
            (silent.state, silent.silent_since),
            (LinkState::Silent, Some(silent.since))
        );
        status.enter(LinkState::Connecting);
        status.enter(LinkState::Connected);
        status.enter_subscribed();
        status.enter_silent();
        assert_eq!(status.link().since, silent.since);
        status.enter_receiving();
        assert_eq!(
            (state(), status.link().silent_since),
            (LinkState::Receiving, None)
        );
    }
}
