//! Which topics a connection subscribes, and when, so that one topic that the server refuses does
//! not keep the others down. Knows no socket and no clock.
//!
//! A connection first subscribes every topic that nothing speaks against. Once they stand, it tries
//! the doubtful ones, one batch after another, and then a refused topic, once it is time. Where
//! the server ends the connection meanwhile, the topic that it refused is found:
//!
//! - its ERROR names the SUBSCRIBE or the destination, or one topic alone is not confirmed;
//! - an ERROR of a server that answers in order means the first that is not confirmed;
//! - an ERROR while none is waited for means one that stands only because no answer came in time;
//! - else the topics that are not confirmed are doubtful: the next connections try parts of them.
//!
//! A server that only closes may have its own reasons. It means a topic where it does so twice in a
//! row, and where it has confirmed another on the same connection.

mod ended;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

pub(super) use ended::{Answers, Evidence, Verdict};

use super::doubtful::Doubtful;
use super::refused_topics::{RefusedTopic, RefusedTopics};
use super::topic::Topic;

/// So many connections in a row may look for the refused topics without one that stands: after
/// thousands of topics were halved, twenty of them are tried alone. Beyond that the server refuses us,
/// not a topic.
const FRUITLESS_MAX: u32 = 32;

/// A refusal may come this long after the SUBSCRIBE, from a server that sends no receipts.
const LATE_MAX: Duration = Duration::from_secs(30);

/// What the server has accepted and refused, through all connections.
#[derive(Debug, Default)]
pub(super) struct Admission {
    refused: RefusedTopics,
    /// What stood under the name of a topic before a reload changed it.
    before: BTreeMap<Arc<str>, Topic>,
    /// Among these are topics that are refused, as far as we know.
    doubtful: Doubtful,
    /// Some of them were accepted since the last refusal.
    gained: bool,
    /// On this connection, in the order of SUBSCRIBE.
    asked: Vec<Arc<str>>,
    /// Those of `asked` that the server has confirmed.
    stand: BTreeSet<Arc<str>>,
    /// Those of `stand` for which nothing speaks but that no ERROR came, and until when they may
    /// still be refused.
    quiet: BTreeMap<Arc<str>, Instant>,
    /// Those of `asked` that wait for room in the journal: the server does not know of them.
    held_back: BTreeSet<Arc<str>>,
    /// The server has refused a quiet one before.
    late: bool,
    trial: Option<Trial>,
    /// CONNECTED has come once, as the settings are.
    accepted: bool,
    /// Connections in a row that the server has closed while topics were not confirmed.
    closes: u32,
    /// Connections in a row that ended so, and on which not one topic stood.
    fruitless: u32,
}

/// What is being tried while all else stands.
#[derive(Debug, PartialEq, Eq)]
enum Trial {
    /// These of the doubtful topics.
    Doubtful(Vec<Arc<str>>),
    /// A refused topic.
    Refused(Arc<str>),
}

impl Admission {
    /// A connection begins.
    pub(super) fn begin(&mut self, topics: &[Topic], now: Instant) {
        self.keep(topics);
        self.stand.clear();
        self.quiet.clear();
        self.held_back.clear();
        self.trial = None;
        self.asked = topics
            .iter()
            .filter(|topic| self.is_free(&topic.name))
            .map(|topic| Arc::clone(&topic.name))
            .collect();
        // The session sends them so.
        self.asked.sort();
        if self.asked.is_empty() && !self.next(now) {
            let earliest = self.next_refused().map(|(name, _)| Arc::clone(name));
            self.retry(earliest);
        }
    }

    /// Other topics are wanted from now on; the connection goes on.
    pub(super) fn reload(&mut self, before: &[Topic], wanted: &[Topic]) {
        let find = |topics: &[Topic], name: &str| {
            topics.iter().find(|topic| *topic.name == *name).cloned()
        };
        for topic in before {
            let changed = find(wanted, &topic.name).is_some_and(|other| other != *topic);
            if changed && self.stand.contains(&topic.name) && !self.refused.contains(&topic.name) {
                self.before.insert(Arc::clone(&topic.name), topic.clone());
            }
        }
        let stays = |name: &str| {
            find(before, name)
                .zip(find(wanted, name))
                .is_some_and(|(old, new)| old == new)
        };
        self.stand.retain(|name| stays(name));
        self.quiet.retain(|name, _| stays(name));
        self.asked.retain(|name| stays(name));
        self.keep(wanted);
        for topic in wanted {
            if self.is_free(&topic.name) && !self.asked.contains(&topic.name) {
                self.asked.push(Arc::clone(&topic.name));
            }
        }
    }

    /// These topics are not subscribed for now, though nothing speaks against them: the journal has
    /// no room for their messages. All others are.
    pub(super) fn hold_back(&mut self, names: BTreeSet<Arc<str>>) {
        self.stand.retain(|name| !names.contains(name));
        self.quiet.retain(|name, _| !names.contains(name));
        self.held_back = names;
    }

    /// Everything is new: another server, or another login.
    pub(super) fn forget(&mut self) {
        *self = Admission::default();
    }

    /// CONNECTED has come.
    pub(super) fn accept(&mut self) {
        self.accepted = true;
    }

    /// Whether the server has accepted us before, as we are configured.
    pub(super) fn is_accepted(&self) -> bool {
        self.accepted
    }

    /// The topics to be subscribed on this connection now, in the order of their SUBSCRIBE.
    pub(super) fn admitted(&self, topics: &[Topic]) -> Vec<Topic> {
        let in_effect = self.in_effect(topics).into_iter();
        let mut by_name: BTreeMap<Arc<str>, Topic> = in_effect
            .map(|topic| (Arc::clone(&topic.name), topic))
            .collect();
        let asked = self.asked.iter();
        asked.filter_map(|name| by_name.remove(name)).collect()
    }

    /// Each topic, and in place of a change that was refused what stood before it.
    pub(super) fn in_effect(&self, topics: &[Topic]) -> Vec<Topic> {
        let in_effect = |topic: &Topic| self.stands_in(&topic.name).unwrap_or(topic).clone();
        topics.iter().map(in_effect).collect()
    }

    /// All that was asked for stands: whether there is more to be asked for.
    pub(super) fn next(&mut self, now: Instant) -> bool {
        if self.retried().is_some() {
            return false;
        }
        self.acquit_stand();
        if let Some(Trial::Doubtful(tried)) = &self.trial {
            let waits = |name: &&Arc<str>| self.doubtful.contains(name);
            let mut waiting = tried.iter().filter(waits).peekable();
            if waiting.peek().is_none() {
                self.doubtful.grow();
                self.gained = true;
            } else if waiting.all(|name| self.asked.contains(name)) {
                return false;
            }
            // Else a reload has changed one of them, which is to be asked for again.
        }
        self.trial = None;
        if !self.doubtful.is_empty() {
            return self.try_doubtful();
        }
        self.closes = 0;
        let due = self.next_refused().filter(|(_, at)| *at <= now);
        let due = due.map(|(name, _)| Arc::clone(name));
        self.retry(due)
    }

    fn try_doubtful(&mut self) -> bool {
        let tried = self.doubtful.next().to_vec();
        let asked = self.asked.len();
        for name in &tried {
            if !self.asked.contains(name) {
                self.asked.push(Arc::clone(name));
            }
        }
        self.trial = Some(Trial::Doubtful(tried));
        self.asked.len() > asked
    }

    /// The refused topic to be asked for again first, and when. One that has been asked for and waits
    /// for an answer is none.
    fn next_refused(&self) -> Option<(&Arc<str>, Instant)> {
        self.refused.next(|name| !self.is_quiet(name))
    }

    /// When a refused topic is to be asked for again.
    pub(super) fn due(&self) -> Option<Instant> {
        let next = self.next_refused().map(|(_, at)| at);
        next.filter(|_| self.trial.is_none() && self.doubtful.is_empty())
    }

    /// The refused topic that is being asked for again.
    pub(super) fn retried(&self) -> Option<&str> {
        match &self.trial {
            Some(Trial::Refused(name)) => Some(name),
            _ => None,
        }
    }

    /// The server has not answered a SUBSCRIBE in time: the topic stands, as far as we know. A
    /// refusal of it is not taken back yet.
    pub(super) fn unanswered(&mut self, name: &Arc<str>, now: Instant) {
        self.stand.insert(Arc::clone(name));
        self.fruitless = 0;
        self.quiet.insert(Arc::clone(name), now + LATE_MAX);
    }

    /// Whether the server has not answered the SUBSCRIBE of this topic, and may still refuse it.
    pub(super) fn is_quiet(&self, name: &str) -> bool {
        !self.quiet.is_empty() && self.quiet.contains_key(name)
    }

    /// One that the server has left unanswered until it no longer counts as refusing it.
    pub(super) fn quiet_for_good(&self, now: Instant) -> Option<Arc<str>> {
        let mut quiet = self.quiet.iter();
        let (name, _) = quiet.find(|(_, until)| **until <= now)?;
        Some(Arc::clone(name))
    }

    /// The server has confirmed a topic. Gives it where the server had refused it.
    pub(super) fn confirmed(&mut self, name: &Arc<str>) -> Option<RefusedTopic> {
        self.stand.insert(Arc::clone(name));
        self.quiet.remove(name);
        self.fruitless = 0;
        if self.stands_in(name).is_some() {
            return None;
        }
        self.before.remove(name);
        if self.retried() == Some(name) {
            self.trial = None;
        }
        let accepted = self.refused.accepted(name)?;
        self.try_others();
        Some(accepted)
    }

    /// One that was refused is accepted: others may be, too. One whose change was refused stands as it
    /// was, and waits for its turn.
    fn try_others(&mut self) {
        let is_out = |name: &Arc<str>| {
            let known = self.before.contains_key(name) || self.stand.contains(name);
            !known && !self.doubtful.contains(name)
        };
        let others: Vec<Arc<str>> = self
            .refused
            .names()
            .filter(|name| is_out(name))
            .cloned()
            .collect();
        self.gained &= others.is_empty();
        self.doubtful.add(others);
    }

    /// The topics that were asked for and are not confirmed, in the order of SUBSCRIBE.
    pub(super) fn pending(&self) -> Vec<Arc<str>> {
        let pending = self.sent().filter(|name| !self.stand.contains(*name));
        pending.cloned().collect()
    }

    /// Leaves a topic out that the server has refused. Gives the wait until it is asked for again.
    pub(super) fn refuse(
        &mut self,
        topic: &Topic,
        error: &str,
        now: (Instant, Timestamp),
        random: f64,
    ) -> Duration {
        if self.stands_in(&topic.name).is_some() {
            self.before.remove(&topic.name);
        }
        self.refused.add(topic, error, now, random)
    }

    /// Whether the next connection has a topic that was not refused, and the search gets on: then
    /// there is no reason to wait.
    pub(super) fn is_hopeful(&self, topics: &[Topic]) -> bool {
        let any = topics.iter().any(|topic| {
            !self.refused.contains(&topic.name) || self.before.contains_key(&topic.name)
        });
        any && self.fruitless <= FRUITLESS_MAX
    }

    /// The refused ones, as they may be shown.
    pub(super) fn refused(&self) -> BTreeMap<Arc<str>, RefusedTopic> {
        self.refused.told()
    }

    /// Those for which SUBSCRIBE was sent, in its order.
    fn sent(&self) -> impl Iterator<Item = &Arc<str>> {
        let asked = self.asked.iter();
        asked.filter(|name| !self.held_back.contains(*name))
    }

    fn acquit_stand(&mut self) {
        let stand = std::mem::take(&mut self.stand);
        let quiet = std::mem::take(&mut self.quiet);
        let late = self.late;
        self.doubtful
            .remove_where(|name| stand.contains(name) && !(late && quiet.contains_key(name)));
        (self.stand, self.quiet) = (stand, quiet);
    }

    fn retry(&mut self, name: Option<Arc<str>>) -> bool {
        let Some(name) = name else {
            return false;
        };
        self.stand.remove(&name);
        self.quiet.remove(&name);
        if !self.asked.contains(&name) {
            self.asked.push(Arc::clone(&name));
        }
        self.trial = Some(Trial::Refused(name));
        true
    }

    /// What stood before a reload, where what it wants in its place is refused.
    fn stands_in(&self, name: &str) -> Option<&Topic> {
        let before = self.before.get(name)?;
        (self.refused.contains(name) && self.retried() != Some(name)).then_some(before)
    }

    /// Nothing speaks against it.
    fn is_free(&self, name: &Arc<str>) -> bool {
        let doubtful = self.doubtful.contains(name);
        let refused = self.refused.contains(name) && !self.before.contains_key(name);
        !doubtful && !refused
    }

    fn keep(&mut self, topics: &[Topic]) {
        let names: BTreeSet<&str> = topics.iter().map(|topic| &*topic.name).collect();
        self.refused.keep(topics);
        self.before.retain(|name, _| names.contains(&**name));
        self.doubtful.remove_where(|name| !names.contains(name));
        if self
            .retried()
            .is_some_and(|name| !self.refused.contains(name))
        {
            self.trial = None;
        }
    }
}
