//! The settings of one sink's delivery.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::journal::Start;
use crate::model::{EventKind, Omit};
use crate::pipeline::Expression;
use crate::retry::Retry;

/// Validated settings of one sink's delivery, whatever its destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The sink's name in the configuration: its cursor's key in the journal.
    pub name: Arc<str>,
    /// The kinds of events that it wants; at least one.
    pub kinds: BTreeSet<EventKind>,
    /// The topics that it wants, of whatever kind; `None`: all.
    pub topics: Option<HashSet<Arc<str>>>,
    /// The statuses that it wants; `None`: all. It judges no other kind.
    pub when: Option<Expression>,
    /// What it does not get of a status. `when` has seen all of it.
    pub omit: Omit,
    /// Where it begins when it is new; also where its destination has a cursor of its own, but none
    /// for this journal.
    pub start: Start,
    /// Waits after trouble, and when an event is given up.
    pub retry: Retry,
    /// Whether it gets the statuses of a snapshot that say what we knew.
    pub confirmations: Confirmations,
}

/// What becomes of a status of a snapshot that only says what we knew of its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmations {
    /// It is delivered: a timeline is certain again from there on.
    Wanted,
    /// The sink does not get it: nothing has happened.
    Filtered,
}

/// Why a sink does not want an event, whatever it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwanted {
    /// Its topic.
    Topic,
    /// Its kind.
    Kind,
}

impl Settings {
    /// Why the sink does not want events of this topic and kind; `None`: its `when` decides.
    pub(super) fn unwanted(&self, topic: &str, kind: EventKind) -> Option<Unwanted> {
        let topics = self.topics.as_ref();
        if topics.is_some_and(|topics| !topics.contains(topic)) {
            Some(Unwanted::Topic)
        } else if !self.kinds.contains(&kind) {
            Some(Unwanted::Kind)
        } else {
            None
        }
    }
}
