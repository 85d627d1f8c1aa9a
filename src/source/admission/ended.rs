//! What the end of a connection says about its topics.

use std::sync::Arc;

use super::{Admission, FRUITLESS_MAX, Trial};

/// After so many of them the topics are also tried by halves where each refused one is named: the
/// refused ones may be the first that are asked for.
const FRUITLESS_FEW: u32 = 4;

/// A server that closes without a word while topics are not confirmed refuses one of them if it
/// does so this many times in a row.
const CLOSES_MIN: u32 = 2;

/// How the server ended a connection on which topics were not confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) enum Evidence {
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
pub(in crate::source) enum Verdict {
    /// Nothing.
    NoTopic,
    /// The server refuses this one.
    Refused(Arc<str>),
    /// It refuses one of these.
    OneOf(Vec<Arc<str>>),
}

/// Whether a server answers one SUBSCRIBE after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source) enum Answers {
    /// The first that is not confirmed is the one that it did not accept.
    InOrder,
    /// Nobody knows.
    InAnyOrder,
}

impl Admission {
    /// What the end of the connection says about topics.
    pub(in crate::source) fn ended(&mut self, evidence: &Evidence, answers: Answers) -> Verdict {
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
}
