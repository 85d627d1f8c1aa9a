//! What holds one subscription id: a topic, how far a change of it has come, and the topic that comes
//! after it.

use std::time::{Duration, Instant};

use super::Grant;
use crate::source::topic::Topic;
use crate::stomp::{AckId, AckMode};

/// A topic that has sent nothing for this long, with no ACK in that time, has nothing in flight.
pub(super) const QUIET: Duration = Duration::from_secs(1);

/// The same where its window is known and not full: a busy RabbitMQ takes more than a second to
/// fill it.
const QUIET_WITH_WINDOW: Duration = Duration::from_secs(3);

/// A topic without a window may send without end, and its ACKs hold messages in memory. After this
/// time it is unsubscribed in spite of that.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(2);

/// The same where its window is known: messages that trickle fill it some day.
const DRAIN_MAX_WITH_WINDOW: Duration = Duration::from_secs(15);

/// What holds one name, which is a subscription id.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) topic: Topic,
    pub(super) grant: Grant,
    /// The server has confirmed the SUBSCRIBE, or has not in time.
    pub(super) confirmed: bool,
    pub(super) stage: Stage,
    /// To be subscribed under the same name once `topic` is gone.
    pub(super) next: Option<Topic>,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// SUBSCRIBE is queued, or it stands.
    Taken,
    /// It is to go: see [`Drain`].
    Draining(Drain),
    /// UNSUBSCRIBE is queued or sent.
    Gone {
        /// Messages that have come since.
        late: u64,
    },
}

/// A topic that is being left and is not unsubscribed yet.
#[derive(Debug)]
pub(super) struct Drain {
    /// Of messages that are on disk.
    pub(super) held: Vec<AckId>,
    /// The entry that its newest message may have begun, counted over all topics.
    pub(super) entry: u64,
    pub(super) quiet: Duration,
    pub(super) quiet_at: Instant,
    pub(super) give_up_at: Instant,
    /// The server sends this many messages without an ACK, and no more.
    pub(super) window: Option<usize>,
}

impl Slot {
    pub(super) fn new(topic: Topic) -> Slot {
        Slot {
            topic,
            grant: Grant::default(),
            confirmed: false,
            stage: Stage::Taken,
            next: None,
        }
    }

    /// Keeps the subscribed topic as it is; gives the ACKs that have waited.
    pub(super) fn stay(&mut self) -> Vec<AckId> {
        match std::mem::replace(&mut self.stage, Stage::Taken) {
            Stage::Taken => Vec::new(),
            Stage::Draining(drain) => {
                self.next = None;
                drain.held
            }
            gone @ Stage::Gone { .. } => {
                self.next = Some(self.topic.clone());
                self.stage = gone;
                Vec::new()
            }
        }
    }

    pub(super) fn leave(&mut self, next: Option<Topic>, entry: u64, now: Instant) {
        self.next = next;
        if matches!(self.stage, Stage::Taken) {
            self.stage = Stage::Draining(Drain::new(self.grant.window, entry, now));
        }
    }
}

impl Drain {
    pub(super) fn new(window: Option<usize>, entry: u64, now: Instant) -> Drain {
        let (quiet, max) = match window {
            Some(_) => (QUIET_WITH_WINDOW, DRAIN_MAX_WITH_WINDOW),
            None => (QUIET, DRAIN_MAX),
        };
        Drain {
            held: Vec::new(),
            entry,
            quiet,
            quiet_at: now + quiet,
            give_up_at: now + max,
            window,
        }
    }

    /// Nothing is in flight, as far as we know.
    pub(super) fn is_done(&self, topic: &Topic, now: Instant) -> bool {
        // One ACK may stand for several messages with `client`.
        let each = topic.ack == AckMode::ClientIndividual || self.window == Some(1);
        let full = each && self.window.is_some_and(|window| self.held.len() >= window);
        full || now >= self.quiet_at || now >= self.give_up_at
    }
}
