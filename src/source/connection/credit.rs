//! The credit of an open connection: which topics wait at the server, since the journal has no room
//! for their messages. The arithmetic is that of `source::credit`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::{Connection, Stage};
use crate::journal::{Bound, Room};
use crate::source::broker::ConfigurationWarning;
use crate::source::clock;
use crate::source::credit::{self, Credit, Queue, WINDOW_DEFAULT};
use crate::source::disconnect::DisconnectReason;
use crate::source::intake::Owed;
use crate::source::names::in_short;
use crate::source::subscriptions::Grant;
use crate::source::topic::Topic;
use crate::stomp::{AckMode, Subscribe};

/// How long topics wait until the room is looked for again. It may grow with every event that a
/// sink confirms, and a sink may be down for days.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The queues of an open connection, as far as the journal's room has to do with them.
pub(super) struct Queues {
    pub(super) credit: Credit,
    /// The topics that wait at the server, since the journal has no room for their messages.
    pub(super) waiting: BTreeSet<Arc<str>>,
    look_for_room_at: Instant,
    /// What bounds the journal, as far as we have asked for it.
    bound: Bound,
    /// Entries before it may be of what the server keeps: all of them while it may send such.
    kept_until: u64,
}

impl Queues {
    /// None is subscribed.
    pub(super) fn new(now: Instant) -> Queues {
        Queues {
            credit: Credit::default(),
            waiting: BTreeSet::new(),
            look_for_room_at: now,
            bound: Bound::Size,
            kept_until: 0,
        }
    }
}

impl Connection<'_> {
    /// Takes those topics out for whose messages the journal has no room.
    pub(super) fn hold_back(&mut self, admitted: &mut Vec<Topic>) {
        let queues = self.queues(admitted);
        let open = self.subscriptions.open();
        let open: BTreeMap<Arc<str>, usize> = open
            .map(|(name, window)| (Arc::clone(name), window.unwrap_or(WINDOW_DEFAULT)))
            .collect();
        let room = self.journal.room();
        self.queues.credit.judge(&queues, &open, room);
        self.queues.look_for_room_at = clock::now() + LOOK_INTERVAL;
        let waiting: BTreeSet<Arc<str>> = match self.queues.credit.is_paused() {
            true => queues.into_keys().collect(),
            false => BTreeSet::new(),
        };
        admitted.retain(|topic| !waiting.contains(&topic.name));
        if waiting != self.queues.waiting {
            self.tell_waiting(&waiting, room);
            self.admission.hold_back(waiting.clone());
            let rests = self.rest.is_on();
            self.status.hold_back(waiting.len(), rests);
            for name in waiting.difference(&self.queues.waiting) {
                // What is subscribed is heard until its UNSUBSCRIBE.
                if !self.subscriptions.contains(name) {
                    self.intake.held_back(name);
                }
            }
            self.queues.waiting = waiting;
        }
    }

    fn tell_waiting(&self, waiting: &BTreeSet<Arc<str>>, room: Room) {
        let names = |topics: &BTreeSet<Arc<str>>| {
            let topics: Vec<&Arc<str>> = topics.iter().collect();
            in_short(&topics)
        };
        if waiting.is_empty() {
            info!(
                topics = names(&self.queues.waiting),
                room_bytes = room.bytes,
                "source continues: the journal has room for its topics again"
            );
        } else {
            warn!(
                topics = names(waiting),
                room_bytes = room.bytes,
                "source paused: the journal is full, and topics wait at the server until the sinks \
                 have caught up; see their lag, or raise journal.max_bytes"
            );
        }
    }

    /// The topics whose messages the server keeps, and where it can be told how many to send, with
    /// the windows that the configuration asks for.
    fn queues(&self, topics: &[Topic]) -> BTreeMap<Arc<str>, Queue> {
        let kept = topics
            .iter()
            .filter(|topic| self.broker.keeps_until_acknowledged(topic))
            .filter(|topic| {
                self.broker
                    .window_header(1, self.queue(topic).message_bytes)
                    .is_some()
            });
        kept.map(|topic| (Arc::clone(&topic.name), self.queue(topic)))
            .collect()
    }

    fn queue(&self, topic: &Topic) -> Queue {
        let message_bytes = self.intake.message_bytes(&topic.name);
        let window = self.broker.window(topic, message_bytes);
        Queue {
            window: window.unwrap_or(WINDOW_DEFAULT),
            message_bytes,
        }
    }

    /// Writes into a SUBSCRIBE how many messages the server may send without an ACK.
    pub(super) fn grant(&self, topic: &Topic, subscribe: &mut Subscribe) -> Grant {
        if topic.ack == AckMode::Auto {
            return Grant::default();
        }
        let Queue {
            window,
            message_bytes,
        } = self.queue(topic);
        let kept = self.broker.keeps_until_acknowledged(topic);
        // Where nobody can say how many it may send, the socket that is not read bounds it.
        let keeps = kept && self.broker.window_header(1, message_bytes).is_some();
        let careful =
            keeps && self.broker.leaves_in_a_transaction() && self.intake.is_unproven(&topic.name);
        let window = match careful {
            true => 1,
            false => self.queues.credit.window(&topic.name).unwrap_or(window),
        };
        let header = self.broker.window_header(window, message_bytes);
        let known = header.is_some();
        if let Some((name, value)) = header {
            subscribe.headers.retain(|(other, _)| other != name);
            subscribe.headers.push((name.to_owned(), value));
        }
        Grant {
            window: known.then_some(window),
            keeps,
            fleeting: !kept,
            careful,
        }
    }

    /// The topics whose windows are smaller than they are configured.
    pub(super) fn window_warning(&self, topics: &[Topic]) -> Option<ConfigurationWarning> {
        let queues = self.queues(topics);
        let windows = credit::windows(&queues, self.journal.room());
        let smaller = |(name, queue): (&Arc<str>, &Queue)| {
            (windows.get(name)? < &queue.window).then(|| Arc::clone(name))
        };
        let topics: Vec<Arc<str>> = queues.iter().filter_map(smaller).collect();
        let bytes_max = credit::bytes_max_for(queues.values().copied());
        (!topics.is_empty()).then(|| ConfigurationWarning::SmallWindow {
            topics,
            mebibytes: bytes_max.div_ceil(1 << 20),
        })
    }

    /// A commit has taken room, or a sink has made some: whether the topics are to wait is judged
    /// again, before anything is acknowledged.
    pub(super) fn watch_room(&mut self) -> Result<(), DisconnectReason> {
        let concerned = self.queues.credit.is_paused() || self.subscriptions.any_kept();
        if self.stage != Stage::Living || !self.connected || !concerned {
            return Ok(());
        }
        self.queues.look_for_room_at = clock::now() + LOOK_INTERVAL;
        if self.intake.take_grown() || self.queues.credit.is_news(self.journal.room()) {
            self.assign()?;
            self.count_topics()?;
            // A window may be smaller now.
            self.tell_profile();
        }
        Ok(())
    }

    /// Topics that were subscribed carefully, after a process that ended without a stop, get their
    /// whole window once a message of theirs is on disk. So a message over which the process ends
    /// costs no other one its deliveries.
    pub(super) fn trust(&mut self, owed: &Owed) {
        if self.stage != Stage::Living || !self.subscriptions.any_careful() {
            return;
        }
        let now = clock::now();
        for topic in self.intake.prove(owed) {
            let newest = self.newest();
            self.subscriptions.renew(&topic, newest, now);
        }
    }

    /// When to look for room, while topics wait for it.
    pub(super) fn room_due(&self) -> Option<Instant> {
        let waits = self.stage == Stage::Living && self.queues.credit.is_paused();
        waits.then_some(self.queues.look_for_room_at)
    }

    /// What a server has sent of what it keeps is journaled, however full the journal is: the ACKs
    /// must not wait for room.
    pub(super) fn bound_journal(&mut self) {
        if self.subscriptions.any_kept() {
            self.queues.kept_until = u64::MAX;
        } else if self.queues.kept_until == u64::MAX {
            self.queues.kept_until = self.taken();
        }
        let waits = !self.intake.is_empty() || self.commit.is_under_way();
        let bound = match waits && self.commit.finished() < self.queues.kept_until {
            false if !self.subscriptions.any_kept() => Bound::Size,
            _ => Bound::Disk,
        };
        if bound != self.queues.bound {
            self.queues.bound = bound;
            self.journal.bound_by(bound);
        }
    }
}
