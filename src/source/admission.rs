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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::doubtful::Doubtful;
use super::refused_topics::{RefusedTopic, RefusedTopics};
use super::topic::Topic;

/// So many connections in a row may look for the refused topics without one that stands: after
/// thousands of topics were halved, twenty of them are tried alone. Beyond that the server refuses us,
/// not a topic.
const FRUITLESS_MAX: u32 = 32;

/// After so many of them the topics are also tried by halves where each refused one is named: the
/// refused ones may be the first that are asked for.
const FRUITLESS_FEW: u32 = 4;

/// A server that closes without a word while topics are not confirmed refuses one of them if it
/// does so this many times in a row.
const CLOSES_MIN: u32 = 2;

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

/// How the server ended a connection on which topics were not confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Evidence {
    /// By an ERROR, which may say which of them it is about.
    Error {
        /// That topic.
        about: Option<Arc<str>>,
    },
    /// It closed the connection.
    Close,
}

/// What the end of a connection says about topics.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    NoTopic,
    /// The server refuses this one.
    Refused(Arc<str>),
    /// It refuses one of these.
    OneOf(Vec<Arc<str>>),
}

/// Whether a server answers one SUBSCRIBE after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// The first that is not confirmed is the one that it did not accept.
    InOrder,
    /// Nobody knows.
    InAnyOrder,
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
            // Else a reload has changed one of them, which is to be asked for anew.
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

    /// One that the server has left unanswered for so long that it refuses it no more.
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

    /// What the end of the connection says about topics.
    pub(super) fn ended(&mut self, evidence: &Evidence, answers: Answers) -> Verdict {
        let pending = self.pending();
        self.late |= matches!(evidence, Evidence::Error { .. })
            && pending.is_empty()
            && !self.quiet.is_empty();
        let verdict = match evidence {
            Evidence::Error { about: Some(name) } => Verdict::Refused(Arc::clone(name)),
            Evidence::Error { about: None } if pending.is_empty() => self.meant_late(),
            Evidence::Error { about: None } => self.meant(pending.clone(), answers),
            Evidence::Close => self.closed(pending.clone()),
        };
        if verdict != Verdict::NoTopic && !pending.is_empty() {
            self.accept_quiet();
        }
        match &verdict {
            Verdict::NoTopic => return verdict,
            Verdict::Refused(name) => {
                self.acquit(name);
                let alone = pending.len() <= 1;
                if alone && self.stand.is_empty() {
                    self.doubtful.mix();
                }
                self.leave_others(name);
                let rest: Vec<Arc<str>> =
                    pending.into_iter().filter(|other| other != name).collect();
                // There may be more of them than anybody waits for: the others come first.
                if self.stand.is_empty() && self.fruitless >= FRUITLESS_FEW && !rest.is_empty() {
                    self.doubt(&rest);
                }
            }
            Verdict::OneOf(names) => self.doubt(names),
        }
        if self.stand.is_empty() {
            self.fruitless = self.fruitless.saturating_add(1);
        }
        verdict
    }

    /// The server has refused another topic than those that it did not answer: they are accepted,
    /// unless it refuses late.
    fn accept_quiet(&mut self) {
        if self.late {
            return;
        }
        for name in self.quiet.keys() {
            if self.retried() != Some(name) {
                self.refused.accepted(name);
            }
        }
    }

    /// One that was refused is refused again. Where none was accepted in between, the others wait for
    /// their turn.
    fn leave_others(&mut self, name: &str) {
        if self.refused.contains(name) && !std::mem::take(&mut self.gained) {
            let refused = &self.refused;
            self.doubtful.remove_where(|name| refused.contains(name));
        }
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

    /// What an ERROR means that does not say.
    fn meant(&self, pending: Vec<Arc<str>>, answers: Answers) -> Verdict {
        match pending.as_slice() {
            [] => Verdict::NoTopic,
            [one] => Verdict::Refused(Arc::clone(one)),
            [first, ..] if self.is_in_order(answers) => Verdict::Refused(Arc::clone(first)),
            _ => Verdict::OneOf(pending),
        }
    }

    /// The same where none is waited for: one that stands by silence alone.
    fn meant_late(&self) -> Verdict {
        if let Some(Trial::Refused(name)) = &self.trial
            && self.is_quiet(name)
        {
            return Verdict::Refused(Arc::clone(name));
        }
        let asked = self.asked.iter();
        let quiet = asked.filter(|name| self.is_quiet(name)).cloned().collect();
        self.meant(quiet, Answers::InAnyOrder)
    }

    /// What a close means, without a word. Receipts that were on the way may be lost with it
    /// (RabbitMQ's WebSocket), so that the order says nothing.
    fn closed(&mut self, pending: Vec<Arc<str>>) -> Verdict {
        let Some(first) = pending.first().cloned() else {
            return Verdict::NoTopic;
        };
        if self.retried() == Some(&first) && pending.len() == 1 && !self.stand.is_empty() {
            return Verdict::Refused(first);
        }
        if self.fruitless > FRUITLESS_MAX {
            self.doubtful.clear();
            return Verdict::NoTopic;
        }
        self.closes = self.closes.saturating_add(1);
        let alone = self.asked.len() == 1 && self.doubtful.batches() <= 1;
        if alone || self.closes < CLOSES_MIN && self.doubtful.is_empty() {
            return Verdict::NoTopic;
        }
        match pending.len() {
            1 if !self.stand.is_empty() => Verdict::Refused(first),
            // One alone is found once the server has confirmed another: it is tried last.
            _ => Verdict::OneOf(pending),
        }
    }

    /// What the server confirmed came before what it did not, as from one that answers in order.
    fn is_in_order(&self, answers: Answers) -> bool {
        let mut pending = self.sent().skip_while(|name| self.stand.contains(*name));
        answers == Answers::InOrder && pending.all(|name| !self.stand.contains(name))
    }

    /// Those for which SUBSCRIBE was sent, in its order.
    fn sent(&self) -> impl Iterator<Item = &Arc<str>> {
        let asked = self.asked.iter();
        asked.filter(|name| !self.held_back.contains(*name))
    }

    /// Tries these apart from all others.
    fn doubt(&mut self, names: &[Arc<str>]) {
        self.acquit_stand();
        if names.len() == 1 && self.stand.is_empty() {
            self.doubtful.mix();
        }
        self.doubtful.split(names);
    }

    /// One is found: it is doubtful no longer.
    fn acquit(&mut self, found: &str) {
        self.acquit_stand();
        self.doubtful.remove_where(|name| *name == *found);
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

#[cfg(test)]
mod tests;
