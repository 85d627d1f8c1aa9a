//! From messages to journal batches: decodes the messages, and keeps the ACKs that are due once the
//! batch is on disk. Does no IO.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;

use super::clock;
use super::coverage::{HeardAgain, TopicsHeard};
use super::credit::LargestMessage;
use super::malformed::MalformedLog;
use super::silence::Silence;
use super::status::Status;
use super::topic::Topic;
use crate::journal::{Heard, NewBatch, NewContent, NewEntry};
use crate::model::CoverageCause;
use crate::pipeline::{Decoder, Element, Undecodable};
use crate::stomp::{AckId, AckMode, Malformed, Message};

/// Statuses that may wait for the commit in flight. Beyond it the socket is not read: the server
/// waits for us.
const ENTRIES_MAX: usize = 4096;

/// Bytes of bodies that may wait likewise; one message more may exceed it.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest name that a message of no topic gives to its entry.
const NAME_CHARS_MAX: usize = 80;

/// How one topic's messages are taken in.
#[derive(Debug)]
struct TopicState {
    name: Arc<str>,
    ack: AckMode,
    decoder: Decoder,
    largest: LargestMessage,
    told_of_no_ack: bool,
}

impl TopicState {
    /// STOMP 1.2 without `ack`: Spring's simple broker takes no ACK; coilmq waits for one without
    /// end.
    fn tell_of_no_ack(&mut self) {
        if !std::mem::replace(&mut self.told_of_no_ack, true) {
            tracing::warn!(
                topic = %self.name,
                ack = self.ack.as_str(),
                "the server's messages carry no ack header and cannot be acknowledged: use ack = \"auto\""
            );
        }
    }
}

/// The ACKs that are due once a batch is durable, in order.
#[derive(Debug, Default)]
pub(super) struct Owed {
    acks: Vec<(Arc<str>, AckMode, AckId)>,
}

impl Owed {
    /// Messages that wait for an ACK.
    pub(super) fn messages(&self) -> usize {
        self.acks.len()
    }

    /// The ACKs to send, one for each message. In `client` mode only a subscription's last one,
    /// which stands for all before it (STOMP 1.2, section SUBSCRIBE, ack).
    pub(super) fn acks(&self) -> impl Iterator<Item = &AckId> {
        let mut last = HashMap::new();
        for (index, (topic, ack, _)) in self.acks.iter().enumerate() {
            if *ack == AckMode::Client {
                last.insert(topic.clone(), index);
            }
        }
        self.acks
            .iter()
            .enumerate()
            .filter_map(move |(index, (topic, ack, id))| {
                let wanted = *ack != AckMode::Client || last.get(topic) == Some(&index);
                wanted.then_some(id)
            })
    }
}

/// Fills one batch while another is being written.
#[derive(Debug)]
pub(super) struct Intake {
    topics: HashMap<Arc<str>, TopicState>,
    status: Arc<Status>,
    entries: Vec<NewEntry>,
    owed: Owed,
    bytes: usize,
    /// A message is among what waits.
    received: bool,
    /// Some topic has had a larger message than before.
    grown: bool,
    /// Whether anything comes.
    pub(super) silence: Silence,
    heard: TopicsHeard,
    malformed: MalformedLog,
    /// The last process ended without a stop, perhaps over a message that comes again.
    unclean: bool,
    /// Topics of which a message is on disk since.
    proven: HashSet<Arc<str>>,
}

impl Intake {
    /// One that knows no topic yet.
    pub(super) fn new(status: Arc<Status>, silence: Silence) -> Intake {
        Intake {
            topics: HashMap::new(),
            status,
            entries: Vec::new(),
            owed: Owed::default(),
            bytes: 0,
            received: false,
            grown: false,
            silence,
            heard: TopicsHeard::default(),
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
        let (name, ack) = (topic.name.clone(), topic.ack);
        match self.topics.get_mut(&name) {
            Some(known) => (known.ack, known.decoder) = (ack, decoder),
            None => {
                let topic = TopicState {
                    name: name.clone(),
                    ack,
                    decoder,
                    largest: LargestMessage::default(),
                    told_of_no_ack: false,
                };
                self.topics.insert(name, topic);
            }
        }
    }

    /// Forgets all topics but these: of no other anything can come.
    pub(super) fn keep(&mut self, topics: &[Topic]) {
        let names: HashSet<&str> = topics.iter().map(|topic| &*topic.name).collect();
        self.topics.retain(|name, _| names.contains(&**name));
        self.heard.keep(topics);
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
        let topics = owed.acks.iter().map(|(topic, ..)| Arc::clone(topic));
        let topics: HashSet<Arc<str>> = topics.collect();
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

    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether something that came from the server waits.
    pub(super) fn has_received(&self) -> bool {
        self.received
    }

    /// Whether the socket may be read.
    pub(super) fn has_room(&self) -> bool {
        self.entries.len() < ENTRIES_MAX && self.bytes < BYTES_MAX
    }

    /// Takes one message of a topic in. One that is too long is taken as far as it was kept, and
    /// acknowledged like any other: the server would only send it again.
    ///
    /// # Panics
    /// No topic has that name. The session knows only the topics' subscriptions, and a topic is
    /// forgotten only with the session.
    pub(super) fn take(&mut self, message: Message, now: Timestamp) {
        let topic = self
            .topics
            .get_mut(&message.subscription)
            .expect("every subscription is a topic's");
        let counters = &self.status.counters;
        let body = &message.body;
        let elements = match message.missing_bytes {
            0 => topic.decoder.split(body),
            missing => vec![Element {
                raw: body,
                outcome: Err(too_long(body.len() + missing)),
            }],
        };
        let mut statuses = 0;
        for element in elements {
            statuses += 1;
            let content = match element.outcome {
                Ok(key) => {
                    counters.accepted.fetch_add(1, Relaxed);
                    let stream = Arc::clone(topic.decoder.stream());
                    NewContent::Status { stream, key }
                }
                Err(undecodable) => {
                    counters.undecodable.fetch_add(1, Relaxed);
                    tracing::warn!(
                        topic = %topic.name,
                        reason = %undecodable,
                        "status undecodable: the journal keeps it raw; correct the topic's \
                         `fields`, then run `stomp-bridge dlq redrive --undecodable`"
                    );
                    NewContent::Undecodable {
                        reason: undecodable.0.into(),
                    }
                }
            };
            let body = body.slice_ref(element.raw);
            self.entries.push(NewEntry {
                topic: topic.name.clone(),
                received_at: now,
                body,
                content,
            });
        }
        self.bytes += body.len();
        self.grown |= topic.largest.take(body.len(), statuses);
        self.received = true;
        match (topic.ack, message.ack) {
            (AckMode::Auto, _) => {}
            (_, Some(ack)) => self.owed.acks.push((topic.name.clone(), topic.ack, ack)),
            (_, None) => topic.tell_of_no_ack(),
        }
        counters.messages.fetch_add(1, Relaxed);
        counters.body_bytes.fetch_add(body.len() as u64, Relaxed);
        self.status.message_at(now);
    }

    /// Takes in a message of no topic: it is kept raw, and acknowledged where the server asks for
    /// it.
    pub(super) fn take_unknown(&mut self, message: Message, now: Timestamp) {
        let (destination, said) = (message.destination(), &*message.subscription);
        let name = match (destination.trim(), said) {
            ("", "") => "none",
            ("", said) => said,
            (destination, _) => destination,
        };
        let topic: Arc<str> = name.chars().take(NAME_CHARS_MAX).collect::<String>().into();
        self.malformed.unknown(&topic, &message, clock::now());
        let counters = &self.status.counters;
        counters.unknown.fetch_add(1, Relaxed);
        counters.undecodable.fetch_add(1, Relaxed);
        counters.messages.fetch_add(1, Relaxed);
        counters
            .body_bytes
            .fetch_add(message.body.len() as u64, Relaxed);
        self.bytes += message.body.len();
        self.received = true;
        let mut reason = "it belongs to no topic of the configuration".to_owned();
        if message.missing_bytes > 0 {
            let long = too_long(message.body.len() + message.missing_bytes);
            reason = format!("{reason}; {long}");
        }
        self.entries.push(NewEntry {
            topic: Arc::clone(&topic),
            received_at: now,
            body: message.body,
            content: NewContent::Undecodable {
                reason: reason.into(),
            },
        });
        let ack = message.ack;
        self.owed
            .acks
            .extend(ack.map(|ack| (topic, AckMode::ClientIndividual, ack)));
    }

    /// A frame was read in spite of a rule that it has broken.
    pub(super) fn malformed(&mut self, frame: &Malformed) {
        self.status.counters.malformed.fetch_add(1, Relaxed);
        self.malformed.frame(frame, clock::now());
    }

    /// What the last process heard when it died is heard no more: see [`TopicsHeard::take_over`].
    pub(super) fn take_over(&mut self, left: Heard, now: Timestamp) {
        self.entries.extend(self.heard.take_over(left, now));
    }

    /// A topic's subscription stands: its entry comes before those of its messages.
    pub(super) fn began(&mut self, topic: &Arc<str>, now: Timestamp) {
        self.entries.extend(self.heard.began(topic, now));
    }

    /// Nothing more comes of a topic, which was heard until then.
    pub(super) fn ceased(&mut self, topic: &str, at: Timestamp, cause: CoverageCause) {
        let now = Timestamp::now();
        self.entries
            .extend(self.heard.ceased(topic, at, cause, now));
    }

    /// The server refuses a topic, which was perhaps heard until then.
    pub(super) fn refused(&mut self, topic: &Arc<str>, at: Timestamp) {
        let now = Timestamp::now();
        self.entries.extend(self.heard.refused(topic, at, now));
    }

    /// Nothing more comes of any topic.
    pub(super) fn all_ceased(&mut self, at: Timestamp, cause: CoverageCause) {
        let now = Timestamp::now();
        self.entries.extend(self.heard.all_ceased(at, cause, now));
    }

    /// Whether any topic is heard.
    pub(super) fn hears(&self) -> bool {
        self.heard.any()
    }

    /// The topics that are heard again, each told of once.
    pub(super) fn heard_again(&mut self) -> Option<HeardAgain> {
        self.heard.heard_again()
    }

    /// Lets the newest ACK that is still to wait go with others: see
    /// [`Mutation::AckOfAnother`](crate::faults::Mutation).
    pub(super) fn owe_less(&mut self, owed: &mut Owed) {
        owed.acks.extend(self.owed.acks.pop());
    }

    /// The batch to be written, and the ACKs that are due after it.
    pub(super) fn drain(&mut self) -> (NewBatch, Owed) {
        self.bytes = 0;
        self.received = false;
        let entries = std::mem::take(&mut self.entries);
        (NewBatch { entries }, std::mem::take(&mut self.owed))
    }
}

fn too_long(body_bytes: usize) -> Undecodable {
    Undecodable(format!(
        "a body of {body_bytes} bytes exceeds source.max_body: raise it, or have smaller messages sent"
    ))
}
