//! From messages to journal batches: decodes the messages, and keeps the ACKs that are due once the
//! batch is on disk. Does no IO.

mod batch;
mod heard;
mod owed;
mod silences;
mod take;
mod topic_state;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;

pub(super) use owed::Owed;
use topic_state::TopicState;

use super::broker::{self, Seen};
use super::coverage::TopicsHeard;
use super::credit::LargestMessage;
use super::malformed::MalformedLog;
use super::redelivery::{Deliveries, RedeliveryLog};
use super::resync::LiveDevices;
use super::silence::{NextLook, Silence, SilenceLog};
use super::status::Status;
use super::topic::Topic;
use crate::journal::NewEntry;
use crate::pipeline::Decoder;

/// Statuses that may wait for the commit in flight. Beyond it the socket is not read: the server
/// waits for us.
const ENTRIES_MAX: usize = 4096;

/// Bytes of bodies that may wait likewise; one message more may exceed it.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Entries of a batch in a flood.
pub(super) const BATCH_MAX: usize = 256;

/// Longest name that a message of no topic gives to its entry.
const NAME_CHARS_MAX: usize = 80;

/// Fills one batch while another is being written.
#[derive(Debug)]
pub(super) struct Intake {
    topics: HashMap<Arc<str>, TopicState>,
    status: Arc<Status>,
    entries: Vec<NewEntry>,
    /// Those of messages with several statuses, by message.
    arrays: Vec<Range<usize>>,
    owed: Owed,
    bytes: usize,
    /// A message is among what waits.
    received: bool,
    /// Some topic has had a larger message than before.
    grown: bool,
    next_look: NextLook,
    silence_log: SilenceLog,
    heard: TopicsHeard,
    /// The devices that are newer than a snapshot.
    live: LiveDevices,
    malformed: MalformedLog,
    redelivery: RedeliveryLog,
    /// The last process ended without a stop, perhaps over a message that comes again.
    unclean: bool,
    /// Topics of which a message is on disk since.
    proven: HashSet<Arc<str>>,
}

impl Intake {
    /// One that knows no topic yet.
    pub(super) fn new(status: Arc<Status>) -> Intake {
        Intake {
            topics: HashMap::new(),
            redelivery: RedeliveryLog::new(Arc::clone(&status)),
            status,
            entries: Vec::new(),
            arrays: Vec::new(),
            owed: Owed::default(),
            bytes: 0,
            received: false,
            grown: false,
            next_look: NextLook::default(),
            silence_log: SilenceLog::default(),
            heard: TopicsHeard::default(),
            live: LiveDevices::default(),
            malformed: MalformedLog::default(),
            unclean: false,
            proven: HashSet::new(),
        }
    }

    /// Messages here that wait for an ACK.
    pub(super) fn unacknowledged(&self) -> usize {
        self.owed.messages()
    }

    /// Adds topics that it does not know. Known topics stay as they are, since their messages may
    /// be in flight; [`Intake::change`] changes them.
    pub(super) fn meet(&mut self, topics: &[Topic], decoders: &HashMap<Arc<str>, Decoder>) {
        for topic in topics {
            if !self.topics.contains_key(&topic.name) {
                self.change(topic, decoders);
            }
        }
    }

    /// From now on the topic's messages are taken in so.
    pub(super) fn change(&mut self, topic: &Topic, decoders: &HashMap<Arc<str>, Decoder>) {
        let Some(decoder) = decoders.get(&topic.name).cloned() else {
            return;
        };
        let name = topic.name.clone();
        match self.topics.get_mut(&name) {
            Some(known) => {
                if broker::reads_the_same(&known.topic, topic) {
                    known.deliveries.limited_as(topic);
                } else {
                    known.deliveries = Deliveries::of(topic);
                    self.status.keep_delivery_counts(|other| other != &*name);
                }
                (known.topic, known.decoder) = (topic.clone(), decoder);
            }
            None => {
                let topic = TopicState {
                    name: name.clone(),
                    topic: topic.clone(),
                    decoder,
                    deliveries: Deliveries::of(topic),
                    largest: LargestMessage::default(),
                    told_of_no_ack: false,
                    silence: Silence::default(),
                    times: Arc::default(),
                    newest: Timestamp::MIN,
                };
                self.topics.insert(name, topic);
            }
        }
    }

    /// What the messages of a topic have shown, with the queue that it reads.
    pub(super) fn seen(&self, topic: &Topic) -> Seen {
        let known = self.topics.get(&topic.name);
        let same = known.filter(|known| broker::reads_the_same(&known.topic, topic));
        same.map_or_else(Seen::default, |known| known.deliveries.seen)
    }

    /// The topics whose messages have shown what changes the guarantee, each told of once.
    pub(super) fn shown(&mut self) -> Vec<Arc<str>> {
        self.redelivery.shown()
    }

    /// Forgets all topics but these: of no other anything can come.
    pub(super) fn keep(&mut self, topics: &[Topic]) {
        let names: HashSet<&str> = topics.iter().map(|topic| &*topic.name).collect();
        self.topics.retain(|name, _| names.contains(&**name));
        self.status
            .keep_delivery_counts(|topic| names.contains(topic));
        self.heard.keep(topics);
    }

    /// How many entries wait.
    pub(super) fn entries(&self) -> usize {
        self.entries.len()
    }

    /// The last process ended without a stop.
    pub(super) fn be_careful(&mut self) {
        self.unclean = true;
    }

    /// Whether the next message of a topic may be the one over which the last process ended.
    pub(super) fn is_unproven(&self, topic: &str) -> bool {
        self.unclean && !self.proven.contains(topic)
    }

    /// These messages are on disk. Gives their topics.
    pub(super) fn prove(&mut self, owed: &Owed) -> HashSet<Arc<str>> {
        let topics = owed.acks.iter().map(|due| Arc::clone(&due.topic));
        // A message of no topic has the name that the server gave.
        let topics: HashSet<Arc<str>> = topics
            .filter(|name| self.topics.contains_key(name))
            .collect();
        self.proven.extend(topics.iter().cloned());
        topics
    }

    /// What one message of a topic may need in the journal, by those that came lately.
    pub(super) fn message_bytes(&self, topic: &str) -> u64 {
        let known = self.topics.get(topic);
        known.map(|known| known.largest).unwrap_or_default().bytes()
    }

    /// Whether some topic needs more for a message than when this was asked last.
    pub(super) fn take_grown(&mut self) -> bool {
        std::mem::take(&mut self.grown)
    }

    /// Nothing waits: no entry, and no ACK of a message that brought none.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.owed.acks.is_empty()
    }

    /// Whether something that came from the server waits.
    pub(super) fn has_received(&self) -> bool {
        self.received
    }

    /// Bytes of bodies that wait for the commit in flight.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the socket may be read.
    pub(super) fn has_room(&self) -> bool {
        self.entries.len() < ENTRIES_MAX && self.bytes < BYTES_MAX
    }

    /// The devices that are newer than a snapshot.
    pub(super) fn live(&mut self) -> &mut LiveDevices {
        &mut self.live
    }
}
