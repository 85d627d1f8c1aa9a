//! The topics of an open connection, as they come and go. It carries out the decisions of
//! `Subscriptions` on the session, and writes them to the log and the status.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{debug, info, warn};

use super::{Connection, Stage};
use crate::bilingual::Bilingual;
use crate::duration::InWords;
use crate::model::CoverageCause;
use crate::source::clock;
use crate::source::coverage::HeardAgain;
use crate::source::disconnect::DisconnectReason;
use crate::source::names::in_short;
use crate::source::reload::ReloadRequest;
use crate::source::signin::SigninTemplate;
use crate::source::status::Profile;
use crate::source::subscriptions::{Gone, Leave};
use crate::source::topic::Topic;
use crate::stomp::{AckMode, Confirmation};

/// More topics are logged in one line; each by itself at the level `debug`.
const LOGGED_MAX: usize = 20;

/// Up to this time after an UNSUBSCRIBE messages may still be in flight.
const LATE_MAX: Duration = Duration::from_secs(5);

impl Connection<'_> {
    /// Logs the topics being subscribed, and the server's promise for each.
    pub(super) fn announce(&self, topics: &[Topic]) {
        for topic in topics {
            let guarantee = self.guarantee(topic);
            if self.names_each() {
                info!(topic = %topic.name, destination = %topic.destination, %guarantee, "subscribing");
            } else {
                debug!(topic = %topic.name, destination = %topic.destination, %guarantee, "subscribing");
            }
        }
        if !self.names_each() && !topics.is_empty() {
            let topics: Vec<&Arc<str>> = topics.iter().map(|topic| &topic.name).collect();
            info!(topics = in_short(&topics), "subscribing");
        }
    }

    /// By the server, the configuration, and what the topic's messages have shown.
    fn guarantee(&self, topic: &Topic) -> Bilingual {
        let (seen, when_full) = (self.intake.seen(topic), self.journal.when_full());
        self.broker.guarantee(topic, seen, when_full)
    }

    /// The guarantee of a topic whose messages have shown another way to lose them.
    pub(super) fn tell_shown(&mut self) {
        for name in self.intake.shown() {
            let mut topics = self.wanted.settings.topics.iter();
            let Some(topic) = topics.find(|topic| topic.name == name) else {
                continue;
            };
            let guarantee = self.guarantee(topic);
            if self.names_each() {
                info!(topic = %name, %guarantee, "guarantee changed: its messages show more");
            } else {
                debug!(topic = %name, %guarantee, "guarantee changed: its messages show more");
            }
            self.status.guarantee(&name, guarantee);
        }
    }

    /// Whether each topic has lines of its own in the log: hundreds would drown all else, with
    /// every connection.
    fn names_each(&self) -> bool {
        self.wanted.settings.topics.len() <= LOGGED_MAX
    }

    /// Logs the server's kind and the new configuration warnings.
    pub(super) fn tell_profile(&self) {
        let mut profile = Profile {
            broker: Some(self.broker),
            agreed: self.agreed.clone(),
            ..Profile::default()
        };
        let topics = self.admission.in_effect(&self.wanted.settings.topics);
        for topic in &topics {
            profile
                .guarantees
                .insert(Arc::clone(&topic.name), self.guarantee(topic));
        }
        profile.warnings = self.broker.warnings(&topics);
        profile.warnings.extend(self.window_warning(&topics));
        profile.warnings.extend(self.heartbeat_warnings());
        for warning in self.status.profiled(profile) {
            warn!(%warning, "configuration warning");
        }
    }

    pub(super) fn topic_subscribed(
        &mut self,
        id: &Arc<str>,
        confirmed: Confirmation,
        now: Timestamp,
    ) -> Result<(), DisconnectReason> {
        if self.subscriptions.confirm(id, clock::now()) {
            match confirmed {
                Confirmation::Silence => self.admission.unanswered(id, clock::now()),
                Confirmation::Receipt | Confirmation::Message => self.topic_accepted(id),
            }
            self.intake.began(id, now);
            if self.names_each() {
                info!(topic = %id, by = confirmed.as_str(), "subscribed");
            } else {
                debug!(topic = %id, by = confirmed.as_str(), "subscribed");
            }
            self.count_topics()?;
        }
        Ok(())
    }

    /// The server has shown that it accepts a topic.
    fn topic_accepted(&mut self, id: &Arc<str>) {
        if self.admission.confirmed(id).is_some() {
            if self.names_each() {
                info!(topic = %id, "topic accepted: the server had refused it");
            } else {
                debug!(topic = %id, "topic accepted: the server had refused it");
            }
            self.status.refused(self.admission.refused());
            self.tell_profile();
        }
    }

    /// A message has come of a topic whose SUBSCRIBE was not answered: the server accepts it.
    pub(super) fn prove_topic(&mut self, id: &Arc<str>) -> Result<(), DisconnectReason> {
        self.topic_accepted(id);
        self.count_topics()
    }

    /// Topics that the server has left unanswered for long enough are accepted.
    pub(super) fn trust_quiet_topics(&mut self, now: Instant) -> Result<(), DisconnectReason> {
        let mut any = false;
        while let Some(id) = self.admission.quiet_for_good(now) {
            self.topic_accepted(&id);
            any = true;
        }
        if any { self.count_topics() } else { Ok(()) }
    }

    /// Whether every topic that is wanted stands, where that is news. Refused ones do not count.
    pub(super) fn count_topics(&mut self) -> Result<(), DisconnectReason> {
        let now = clock::now();
        let mut complete = self.complete();
        while complete.is_some() && self.stage == Stage::Living && self.admission.next(now) {
            self.subscribed_at.get_or_insert(now);
            self.assign()?;
            complete = self.complete();
        }
        if std::mem::replace(&mut self.complete, complete) == complete {
            return Ok(());
        }
        match complete {
            None => self.status.enter_incomplete(),
            Some(subscriptions) => {
                self.subscribed_at.get_or_insert(now);
                self.status.enter_subscribed();
                info!(subscriptions, "live");
                self.tell_heard_again();
                self.watch_silences(now);
            }
        }
        Ok(())
    }

    fn complete(&self) -> Option<usize> {
        if !self.connected || !self.queues.waiting.is_empty() {
            return None;
        }
        self.subscriptions
            .complete_without(self.admission.retried())
    }

    /// Says how long which topics were deaf, and why.
    fn tell_heard_again(&mut self) {
        for HeardAgain {
            topics,
            deaf_for,
            cause,
        } in self.intake.heard_again()
        {
            let (topics, cause) = (in_short(&topics), cause.as_str());
            let deaf_for = InWords::about(deaf_for);
            info!(topics, %deaf_for, cause, "heard again");
        }
    }

    /// Carries out the difference, if this connection can; else the connection is to end.
    pub(super) fn reload(&mut self, wanted: ReloadRequest) -> Result<(), DisconnectReason> {
        self.intake.meet(&wanted.settings.topics, &wanted.decoders);
        self.intake.expect(&wanted.settings);
        self.expect_snapshots(&wanted);
        let before = std::mem::replace(self.wanted, wanted);
        if !self.wanted.settings.connects_as(&before.settings) {
            self.admission.forget();
            self.status.refused(self.admission.refused());
            info!("source reconnects: its settings have changed");
            self.stage = Stage::Finishing;
            return Ok(());
        }
        if self.is_silence_watched() {
            self.session.bear(self.wanted.settings.silence);
        }
        self.admission
            .reload(&before.settings.topics, &self.wanted.settings.topics);
        self.status.refused(self.admission.refused());
        // Before CONNECTED nothing is subscribed.
        if self.connected {
            self.assign()?;
        }
        if self.stage != Stage::Living {
            return Ok(());
        }
        self.leave_topics()?;
        if self.connected {
            self.tell_profile();
            self.count_topics()?;
            self.watch_silences(clock::now());
        }
        Ok(())
    }

    /// Subscribes and unsubscribes what is to be on this connection now and is not yet.
    pub(super) fn assign(&mut self) -> Result<(), DisconnectReason> {
        let mut admitted = self.admission.admitted(&self.wanted.settings.topics);
        self.hold_back(&mut admitted);
        let change = self
            .subscriptions
            .assign(&admitted, self.newest(), clock::now());
        for ack in &change.release {
            self.acknowledge_one(ack);
        }
        for topic in &admitted {
            if self.subscriptions.stands(topic) {
                self.intake.change(topic, &self.wanted.decoders);
            }
            // A change that was taken back: no other confirmation comes.
            if self.subscriptions.is_confirmed(topic) && !self.admission.is_quiet(&topic.name) {
                self.admission.confirmed(&topic.name);
            }
        }
        for topic in &change.subscribe {
            if self.withheld.contains(&topic.name)
                && !self.subscriptions.can_do_without(&topic.name)
            {
                let topic = &topic.name;
                info!(%topic, "source reconnects: the server withholds messages of this topic");
                self.stage = Stage::Finishing;
                return Ok(());
            }
            self.subscribe(topic)?;
        }
        self.announce(&change.subscribe);
        Ok(())
    }

    fn subscribe(&mut self, topic: &Topic) -> Result<(), DisconnectReason> {
        self.left.remove(&topic.name);
        self.intake.change(topic, &self.wanted.decoders);
        let mut subscribe = topic.subscribe(&self.credentials)?;
        let grant = self.grant(topic, &mut subscribe);
        self.subscriptions.grant(&topic.name, grant);
        self.session.subscribe(subscribe, clock::now());
        Ok(())
    }

    /// Unsubscribes the topics that have nothing in flight, after their last ACKs.
    pub(super) fn leave_topics(&mut self) -> Result<(), DisconnectReason> {
        if self.stage != Stage::Living {
            return Ok(());
        }
        let idle = !self.has_received();
        let committed = self.commit.finished();
        let now = clock::now();
        for Leave {
            topic,
            acks,
            renewed,
        } in self
            .subscriptions
            .leave(|entry| idle || entry < committed, now)
        {
            let id = &topic.name;
            let transaction = (self.broker.leaves_in_a_transaction() && !acks.is_empty())
                .then(|| format!("leave-{id}"));
            self.acknowledged(acks.len());
            match &transaction {
                Some(transaction) => {
                    // Only a session that is not connected refuses, and then nothing was received.
                    let _ = self.session.begin(transaction);
                    acks.iter()
                        .for_each(|ack| self.session.ack_in(transaction, ack));
                }
                None => acks.iter().for_each(|ack| self.session.ack(ack)),
            }
            self.session.unsubscribe(id, now);
            // What comes before it is subscribed again the server keeps: there is no gap.
            if !renewed {
                self.topic_ceases(id);
            }
            if let Some(transaction) = &transaction {
                let _ = self.session.commit(transaction, now);
            }
        }
        Ok(())
    }

    /// From now on nothing is heard of a topic, which was perhaps heard until now.
    fn topic_ceases(&mut self, id: &str) {
        let cause = match self.queues.waiting.contains(id) {
            true => CoverageCause::JournalFull,
            false => CoverageCause::Unsubscribed,
        };
        self.intake.ceased(id, Timestamp::now(), cause);
    }

    /// Whether a topic of the configuration has this destination, such as one with a new name.
    fn reads(&self, destination: &SigninTemplate) -> bool {
        let mut topics = self.wanted.settings.topics.iter();
        topics.any(|topic| topic.destination == *destination)
    }

    pub(super) fn topic_unsubscribed(
        &mut self,
        id: &Arc<str>,
        confirmed: Confirmation,
    ) -> Result<(), DisconnectReason> {
        let Some(gone) = self.topic_gone(id)? else {
            return Ok(());
        };
        let (by, late) = (confirmed.as_str(), gone.late);
        if self.names_each() && gone.among <= LOGGED_MAX {
            info!(topic = %id, by, late, "unsubscribed");
        } else {
            debug!(topic = %id, by, late, "unsubscribed");
        }
        if gone.next.is_none() {
            self.left.insert(Arc::clone(id), clock::now());
            // It may have been left only to be subscribed again.
            self.topic_ceases(id);
        }
        if gone.late > 0 && gone.topic.ack != AckMode::Auto {
            info!(
                topic = %id, messages = gone.late,
                "late messages journaled without an ACK: the server may send them again"
            );
        }
        if gone.next.is_none()
            && !self.queues.waiting.contains(id)
            && !self.reads(&gone.topic.destination)
            && let Some(orphaned) = self.broker.orphaned(&gone.topic)
        {
            warn!(
                topic = %id, orphaned,
                "subscription orphaned: the server keeps it and fills it; delete it there unless \
                 others read it"
            );
        }
        Ok(())
    }

    /// A server that goes on sending what was unsubscribed has not heeded it.
    pub(super) fn reconnect_if_ignored(&mut self, id: &Arc<str>) {
        let since = self.left.get(id).copied();
        if self.stage == Stage::Living
            && since.is_some_and(|since| clock::now() >= since + LATE_MAX)
        {
            warn!(
                topic = %id,
                "source reconnects: the server ignores UNSUBSCRIBE and still sends this topic"
            );
            self.stage = Stage::Finishing;
        }
    }

    fn topic_gone(&mut self, id: &Arc<str>) -> Result<Option<Gone>, DisconnectReason> {
        let gone = self.subscriptions.gone(id);
        if let Some(next) = gone.as_ref().and_then(|gone| gone.next.as_ref()) {
            self.subscribe(next)?;
            self.announce(std::slice::from_ref(next));
        }
        Ok(gone)
    }

    /// The server did not send a message of a topic that we have left.
    pub(super) fn topic_withheld(&mut self, id: Arc<str>) -> Result<(), DisconnectReason> {
        if !self.subscriptions.can_do_without(&id) {
            return Err(DisconnectReason::Lost(format!(
                "topic {id} was left while the server was sending: it sends the rest again"
            )));
        }
        if self.withheld.insert(Arc::clone(&id)) {
            warn!(
                topic = %id,
                "messages withheld: they met our UNSUBSCRIBE, and the server keeps them until \
                 this connection ends"
            );
        }
        Ok(())
    }
}
