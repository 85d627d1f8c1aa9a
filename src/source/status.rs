//! What the source knows of itself, for readiness, metrics and the log: where the link stands,
//! since when, and what went through it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tracing::warn;

use super::agreed::Agreed;
use super::broker::{Broker, ConfigurationWarning};
use super::gaps_seen::{SeenGap, SeenGaps};
use super::refused_topics::RefusedTopic;
use super::resync_report::ResyncReport;
use super::topic_status::{TopicStatus, TopicTimes};
use super::undeliverable::{BreakPoint, BreakPoints, Undeliverable};
use super::unreadable::{Unreadable, UnreadableByTopic};
use crate::bilingual::Bilingual;
use crate::latency::Latency;
use crate::model::Coverage;
use crate::retry::end_of;

/// The source's loop turns at least so often, whatever it waits for. By default our heart-beats go
/// out more often: an idle link does not wake for this.
pub(super) const TURN: Duration = Duration::from_secs(8);

/// Where the link stands. `Connected` alone delivers nothing: only the later ones count as ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkState {
    /// Dialling, or waiting to dial again.
    Connecting,
    /// The server has answered CONNECTED; not every topic is subscribed yet.
    Connected,
    /// Every topic is subscribed; no message yet on this connection.
    Subscribed,
    /// Messages come.
    Receiving,
    /// Every topic is subscribed, and no message of any has come for as long as its `silence` says.
    Silent,
    /// The journal is full: the connection stands unread, topics wait at the server, or the next
    /// connection waits to be made.
    Paused,
    /// Stopped for good.
    Stopped,
}

impl LinkState {
    /// Every state, for metrics.
    pub const ALL: [LinkState; 7] = [
        LinkState::Connecting,
        LinkState::Connected,
        LinkState::Subscribed,
        LinkState::Receiving,
        LinkState::Silent,
        LinkState::Paused,
        LinkState::Stopped,
    ];

    /// The name used in metrics, status and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            LinkState::Connecting => "connecting",
            LinkState::Connected => "connected",
            LinkState::Subscribed => "subscribed",
            LinkState::Receiving => "receiving",
            LinkState::Silent => "silent",
            LinkState::Paused => "paused: journal full",
            LinkState::Stopped => "stopped",
        }
    }

    /// Connected, subscribed to everything, and something is heard. A single topic may be silent
    /// or refused.
    pub fn is_ready(self) -> bool {
        matches!(self, LinkState::Subscribed | LinkState::Receiving)
    }
}

/// Who does not want us as we are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuser {
    /// The server, or a gateway before it.
    Server,
    /// Where we sign in before each connection.
    SignIn,
}

/// A copy of the link's state.
#[derive(Debug, Clone)]
pub struct Link {
    /// See [`LinkState`].
    pub state: LinkState,
    /// Since when `state` is as it is.
    pub since: Timestamp,
    /// Why the last connection or attempt ended; kept after it has passed.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<Timestamp>,
    /// Why there is no connection now, as far as an attempt has shown it; `None` once one stands.
    pub trouble: Option<String>,
    /// Who refuses us, where that is the trouble: time alone does not mend it.
    pub refused_by: Option<Refuser>,
    /// When the next attempt to connect is due, while the source waits for it.
    pub next_attempt: Option<Timestamp>,
    /// No sign-in comes before it, whoever asks: so many were refused that another one might lock
    /// the account.
    pub no_sign_in_before: Option<Timestamp>,
    /// When the platform last accepted a sign-in.
    pub signed_in: Option<Timestamp>,
    /// Attempts in a row that have failed.
    pub failures: u32,
    /// When the last message came, on this or an earlier connection.
    pub last_message: Option<Timestamp>,
    /// The message that has ended one connection after another, as long as nothing passes it.
    pub undeliverable: Option<Undeliverable>,
    /// Since when it is too long that no message has come; a new connection changes nothing of it.
    pub silent_since: Option<Timestamp>,
}

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
        let link = Link {
            state: LinkState::Connecting,
            since: Timestamp::now(),
            last_error: None,
            last_error_at: None,
            trouble: None,
            refused_by: None,
            next_attempt: None,
            no_sign_in_before: None,
            signed_in: None,
            failures: 0,
            last_message: None,
            silent_since: None,
            undeliverable: None,
        };
        Status {
            link: Mutex::new(link),
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

    /// A copy of the link's state.
    pub fn link(&self) -> Link {
        let mut link = self
            .link
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let micros = i64::try_from(self.last_message_us.load(Relaxed)).unwrap_or(0);
        link.last_message = (micros > 0)
            .then(|| Timestamp::from_microsecond(micros).ok())
            .flatten();
        link
    }

    /// The link's state, as it changes.
    pub fn states(&self) -> watch::Receiver<LinkState> {
        self.states.subscribe()
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

    pub(super) fn resyncs_are(&self, reports: BTreeMap<Arc<str>, ResyncReport>) {
        *self.resyncs.lock().unwrap_or_else(PoisonError::into_inner) = reports;
    }

    pub(super) fn resynced(&self, topic: &Arc<str>, report: ResyncReport) {
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

    /// When topics were not heard, of the last day and since the process began; at most 10,000.
    pub fn gaps(&self) -> Vec<SeenGap> {
        let gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
        gaps.read()
    }

    /// A topic began or ceased to be heard.
    pub(super) fn covered(&self, topic: &Arc<str>, coverage: &Coverage) {
        let mut gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
        gaps.take(topic, coverage);
    }

    pub(super) fn leaves(&self, topics: BTreeSet<Arc<str>>) {
        *self.leaving.lock().unwrap_or_else(PoisonError::into_inner) = topics;
    }

    pub(super) fn topics_are(&self, topics: BTreeMap<Arc<str>, Arc<TopicTimes>>) {
        *self.topics.lock().unwrap_or_else(PoisonError::into_inner) = topics;
    }

    pub(super) fn refused(&self, topics: BTreeMap<Arc<str>, RefusedTopic>) {
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

    pub(super) fn delivery_count(&self, topic: &Arc<str>, count: u64) {
        self.delivery_counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(Arc::clone(topic), count);
    }

    /// Forgets those of all other topics.
    pub(super) fn keep_delivery_counts(&self, is_kept: impl Fn(&str) -> bool) {
        self.delivery_counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|topic, _| is_kept(topic));
    }

    /// A topic's guarantee is another one, by what its messages have shown.
    pub(super) fn guarantee(&self, topic: &Arc<str>, line: Bilingual) {
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
    pub(super) fn hold_back(&self, topics: usize, pauses: bool) {
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

    pub(super) fn enter(&self, state: LinkState) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if link.state != state {
            link.state = state;
            link.since = Timestamp::now();
            self.states.send_replace(state);
        }
    }

    /// Every topic is subscribed; a message may have come already.
    pub(super) fn enter_subscribed(&self) {
        self.advance(&[LinkState::Connected], LinkState::Subscribed);
    }

    /// A message has come; it counts only once every topic is subscribed.
    pub(super) fn enter_receiving(&self) {
        self.advance(
            &[LinkState::Subscribed, LinkState::Silent],
            LinkState::Receiving,
        );
    }

    /// No message has come for too long; it counts only while every topic is subscribed.
    pub(super) fn enter_silent(&self) {
        self.advance(
            &[LinkState::Subscribed, LinkState::Receiving],
            LinkState::Silent,
        );
    }

    /// Some topic is not silent, though no message has come just now: another one has begun to be
    /// heard, or a silence takes longer from now on.
    pub(super) fn leave_silent(&self) {
        self.advance(&[LinkState::Silent], LinkState::Subscribed);
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.silent_since = None;
    }

    /// Topics were added, and not all of them are subscribed yet.
    pub(super) fn enter_incomplete(&self) {
        self.advance(
            &[
                LinkState::Subscribed,
                LinkState::Receiving,
                LinkState::Silent,
            ],
            LinkState::Connected,
        );
    }

    fn advance(&self, from: &[LinkState], to: LinkState) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if !from.contains(&link.state) {
            return;
        }
        let now = Timestamp::now();
        self.states.send_replace(to);
        link.state = to;
        link.since = now;
        match to {
            LinkState::Silent => link.since = *link.silent_since.get_or_insert(now),
            LinkState::Receiving => link.silent_since = None,
            _ => {}
        }
    }

    pub(super) fn failed(&self, error: &str, refused_by: Option<Refuser>) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.last_error = Some(error.to_owned());
        link.last_error_at = Some(Timestamp::now());
        link.trouble = Some(error.to_owned());
        link.refused_by = refused_by;
        self.troubles.notify_one();
    }

    /// The next attempt comes after this time.
    pub(super) fn waits(&self, wait: Duration, failures: u32) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.failures = failures;
        link.next_attempt = end_of(wait, Timestamp::now());
    }

    /// No sign-in comes before this time has passed; `None`: the next one may come at once.
    pub(super) fn sign_in_waits(&self, wait: Option<Duration>) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.no_sign_in_before = wait.and_then(|wait| end_of(wait, Timestamp::now()));
    }

    /// The platform has accepted a sign-in.
    pub(super) fn signed_in(&self) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.signed_in = Some(Timestamp::now());
    }

    /// An attempt that has begun waits until it may sign in.
    pub(super) fn waits_to_sign_in(&self) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.next_attempt = link.no_sign_in_before;
    }

    /// It comes now.
    pub(super) fn waits_no_longer(&self) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.next_attempt = None;
    }

    /// What was wrong has passed: a connection stands, or nothing is to be wrong.
    pub(super) fn trouble_is_over(&self) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.trouble = None;
        link.refused_by = None;
        link.failures = 0;
    }

    /// A connection has ended; `at`: because of what it read there. The third time in a row it says
    /// which message that is.
    pub(super) fn ended_at(&self, at: Option<BreakPoint>) {
        let found = self
            .break_points
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ended(at);
        if let Some(found) = &found {
            warn!(
                topic = found.topic(),
                message_id = found.message_id(),
                connections = found.times(),
                "undeliverable message: {found}"
            );
        }
        self.undeliverable(found);
    }

    /// What nothing can pass; `None`: all passes.
    pub(super) fn undeliverable(&self, found: Option<Undeliverable>) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.undeliverable = found;
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
