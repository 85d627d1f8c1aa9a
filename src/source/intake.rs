//! From messages to journal batches: decodes the messages, and keeps the ACKs that are due once the
//! batch is on disk. Does no IO.

mod silences;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use jiff::Timestamp;

use super::body::body_of;
use super::broker::{self, Seen};
use super::clock;
use super::coverage::{HeardAgain, TopicsHeard};
use super::credit::LargestMessage;
use super::malformed::MalformedLog;
use super::redelivery::{Deliveries, RedeliveryLog};
use super::resync::{LiveDevices, Part};
use super::silence::{NextLook, Silence, SilenceLog};
use super::status::Status;
use super::topic::Topic;
use super::topic_status::TopicTimes;
use super::unreadable::FirstTime;
use crate::journal::{Heard, NewBatch, NewContent, NewEntry};
use crate::model::CoverageCause;
use crate::pipeline::{Decoder, Doubts, Element, Remedy, StatusKey, Undecodable};
use crate::secret::beginning;
use crate::stomp::{AckId, AckMode, Malformed, Message};

/// Statuses that may wait for the commit in flight. Beyond it the socket is not read: the server
/// waits for us.
const ENTRIES_MAX: usize = 4096;

/// Bytes of bodies that may wait likewise; one message more may exceed it.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Entries of a batch in a flood.
pub(super) const BATCH_MAX: usize = 256;

/// From so many entries that wait the disk is the slow one.
const SLOW_MIN: usize = 4 * BATCH_MAX;

/// A byte order mark: what cannot be decoded is kept behind it where it was read as UTF-8, or is in
/// UTF-8 only here. So a redrive does not apply to it the `encoding` that the topic has by then.
const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";

/// Longest name that a message of no topic gives to its entry.
const NAME_CHARS_MAX: usize = 80;

/// How one topic's messages are taken in.
#[derive(Debug)]
struct TopicState {
    name: Arc<str>,
    topic: Topic,
    decoder: Decoder,
    deliveries: Deliveries,
    largest: LargestMessage,
    told_of_no_ack: bool,
    silence: Silence,
    times: Arc<TopicTimes>,
    /// When its newest message was received: no gap begins before it.
    newest: Timestamp,
}

impl TopicState {
    /// What of an accepted status could not be read.
    fn doubt(&self, status: &Status, raw: &[u8], doubts: Doubts, key: &StatusKey) {
        let (topic, stream) = (&self.name, self.decoder.stream());
        for first in status.unreadable.count(topic, stream, doubts, key) {
            match first {
                FirstTime::Field(field) => {
                    let (found, field_name) = (self.decoder.found(raw, field), field.name());
                    tracing::warn!(
                        %topic, field = field_name, found,
                        "field unreadable: statuses are stored without what it stands for; \
                         correct the topic's `fields`; `status` counts them"
                    );
                }
                FirstTime::Word => tracing::warn!(
                    %topic,
                    state = key.new_state.trim(),
                    "state unmapped: its severity is unknown; give it a name and a severity in \
                     [states]; `status` counts it"
                ),
                FirstTime::OtherWords => tracing::warn!(
                    %topic,
                    "states unmapped: there are too many words to count each; see whether the \
                     topic's `fields` has the state where it stands"
                ),
                FirstTime::Utf8 => tracing::warn!(
                    %topic,
                    encoding = self.decoder.encoding(),
                    state = key.new_state.trim(),
                    "this body is valid UTF-8, and is read as the topic's `encoding` says: where its \
                     texts look wrong, remove that key; `status` counts such statuses"
                ),
                FirstTime::Ignored => {}
            }
        }
    }

    /// An object that is no status.
    fn ignore(&self, status: &Status, raw: &[u8]) {
        if status.unreadable.ignore(&self.name).is_some() {
            let found = beginning(raw, NAME_CHARS_MAX).marked();
            tracing::info!(
                topic = %self.name, found,
                "object ignored: the topic's `ignore` says that it is no status; `status` counts them"
            );
        }
    }

    /// STOMP 1.2 without `ack`: Spring's simple broker takes no ACK; coilmq waits for one without
    /// end.
    fn tell_of_no_ack(&mut self) {
        if !std::mem::replace(&mut self.told_of_no_ack, true) {
            tracing::warn!(
                topic = %self.name,
                ack = self.topic.ack.as_str(),
                "the server's messages carry no ack header and cannot be acknowledged: use ack = \"auto\""
            );
        }
    }
}

/// The ACKs that are due once a batch is durable, in order.
#[derive(Debug, Default)]
pub(super) struct Owed {
    acks: Vec<Due>,
}

/// One ACK.
#[derive(Debug)]
struct Due {
    topic: Arc<str>,
    ack: AckMode,
    id: AckId,
    /// It is due once so many entries of what waits are durable.
    entries: usize,
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
        for (index, due) in self.acks.iter().enumerate() {
            if due.ack == AckMode::Client {
                last.insert(Arc::clone(&due.topic), index);
            }
        }
        self.acks
            .iter()
            .enumerate()
            .filter_map(move |(index, due)| {
                let wanted = due.ack != AckMode::Client || last.get(&due.topic) == Some(&index);
                wanted.then_some(&due.id)
            })
    }
}

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

    /// Takes one message of a topic in. One that is too long is taken as far as it was kept, and
    /// acknowledged like any other: the server would only send it again.
    ///
    /// # Panics
    /// No topic has that name. The session knows only the topics' subscriptions, and a topic is
    /// forgotten only with the session.
    pub(super) fn take(&mut self, message: Message, now: Timestamp, instant: Instant) {
        let topic = self
            .topics
            .get_mut(&message.subscription)
            .expect("every subscription is a topic's");
        let counters = &self.status.counters;
        let body = &message.body;
        let elements = match message.missing_bytes {
            0 => topic.decoder.split_message(&body_of(&message), now),
            missing => vec![Element {
                raw: Cow::Borrowed(body),
                is_utf8: false,
                outcome: Err(too_long(body.len() + missing)),
                ignored: false,
                doubts: Doubts::default(),
            }],
        };
        let first = self.entries.len();
        if elements.is_empty() {
            self.status.unreadable.empty(&topic.name);
        }
        for element in elements {
            if element.ignored {
                topic.ignore(&self.status, &element.raw);
                continue;
            }
            if let (false, Ok(key)) = (element.doubts.is_empty(), &element.outcome) {
                topic.doubt(&self.status, &element.raw, element.doubts, key);
            }
            let is_marked = element.outcome.is_err() && needs_mark(&element);
            let content = match element.outcome {
                Ok(key) => {
                    counters.accepted.fetch_add(1, Relaxed);
                    let stream = Arc::clone(topic.decoder.stream());
                    self.live.heard(&stream, &key);
                    NewContent::Status { stream, key }
                }
                Err(Undecodable { reason, remedy }) => {
                    counters.undecodable.fetch_add(1, Relaxed);
                    tracing::warn!(
                        topic = %topic.name,
                        reason,
                        "status undecodable: the journal keeps it raw; {}",
                        remedy.advice()
                    );
                    NewContent::Undecodable {
                        reason: reason.into(),
                    }
                }
            };
            let body = match element.raw {
                raw if is_marked => [UTF_8_MARK, &raw].concat().into(),
                Cow::Borrowed(raw) => body.slice_ref(raw),
                Cow::Owned(text) => text.into(),
            };
            self.entries.push(NewEntry {
                topic: topic.name.clone(),
                received_at: now,
                body,
                content,
            });
        }
        if self.entries.len() > first + 1 {
            self.arrays.push(first..self.entries.len());
        }
        let statuses = self.entries.len() - first;
        // In UTF-8 and without compression it may be more.
        let kept: usize = self.entries[first..].iter().map(|it| it.body.len()).sum();
        let kept_bytes = kept.max(body.len());
        if statuses > 0 {
            // Else nothing of it is kept.
            self.bytes += kept_bytes;
        }
        self.grown |= topic.largest.take(kept_bytes, statuses);
        self.received |= statuses > 0;
        // What needs no ACK is delivered once.
        if topic.topic.ack != AckMode::Auto {
            let (name, deliveries) = (&topic.name, &mut topic.deliveries);
            self.redelivery
                .message(name, deliveries, &message, clock::now);
        }
        match (topic.topic.ack, message.ack) {
            (AckMode::Auto, _) => {}
            (_, Some(id)) => self.owed.acks.push(Due {
                topic: Arc::clone(&topic.name),
                ack: topic.topic.ack,
                id,
                entries: self.entries.len(),
            }),
            (_, None) => topic.tell_of_no_ack(),
        }
        counters.messages.fetch_add(1, Relaxed);
        counters.body_bytes.fetch_add(body.len() as u64, Relaxed);
        self.status.message_at(now);
        topic.times.message_at(now);
        topic.newest = topic.newest.max(now);
        if topic.silence.broken(instant) {
            topic.times.silent_since(None);
            self.silence_log.ended(&topic.name);
            self.next_look.no_later_than(topic.silence.due());
        }
    }

    /// Takes in some statuses of a topic's snapshot. Gives how many it leaves out, since a message of
    /// the device is newer.
    pub(super) fn take_snapshot(&mut self, part: Part) -> u64 {
        let before = self.entries.len();
        let count = part.statuses.len();
        for (body, key) in part.statuses {
            if self.live.has_said(&part.topic, &key) {
                continue;
            }
            self.bytes += body.len();
            self.entries.push(NewEntry {
                topic: Arc::clone(&part.topic),
                received_at: part.at,
                body,
                content: NewContent::Resync {
                    stream: Arc::clone(&part.stream),
                    key,
                    unchanged: part.unchanged,
                },
            });
        }
        if let Some(topic) = self.topics.get_mut(&part.topic) {
            topic.newest = topic.newest.max(part.at);
        }
        (count - (self.entries.len() - before)) as u64
    }

    /// The devices that are newer than a snapshot.
    pub(super) fn live(&mut self) -> &mut LiveDevices {
        &mut self.live
    }

    /// Since when a topic is heard; `None`: it is not.
    pub(super) fn heard_since(&self, topic: &str) -> Option<Timestamp> {
        self.heard.since(topic)
    }

    /// The topics that are heard now or not any longer; each told of once.
    pub(super) fn take_heard_changes(&mut self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        self.heard.take_changes()
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
        let topic: Arc<str> = beginning(name.as_bytes(), NAME_CHARS_MAX).marked().into();
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
        let entries = self.entries.len();
        self.owed.acks.extend(ack.map(|id| Due {
            topic,
            ack: AckMode::ClientIndividual,
            id,
            entries,
        }));
    }

    /// A frame was read in spite of a rule that it has broken.
    pub(super) fn malformed(&mut self, frame: &Malformed) {
        self.status.counters.malformed.fetch_add(1, Relaxed);
        self.malformed.frame(frame, clock::now());
    }

    /// What the last process heard when it died is heard no more: see [`TopicsHeard::take_over`].
    pub(super) fn take_over(&mut self, left: Heard, now: Timestamp) {
        let entries = self.heard.take_over(left, now);
        self.covered(entries);
    }

    /// A topic's subscription stands: its entry comes before those of its messages.
    pub(super) fn began(&mut self, topic: &Arc<str>, now: Timestamp) {
        self.listen_to(topic);
        let entry = self.heard.began(topic, now);
        self.covered(entry);
    }

    /// Nothing more comes of a topic, which was heard until then.
    pub(super) fn ceased(&mut self, topic: &str, at: Timestamp, cause: CoverageCause) {
        self.forget_silence(topic);
        let now = Timestamp::now();
        let at = gap_begins(&self.topics, topic, at, cause);
        let entry = self.heard.ceased(topic, at, cause, now);
        self.covered(entry);
    }

    /// The server refuses a topic, which was perhaps heard until then.
    pub(super) fn refused(&mut self, topic: &Arc<str>, at: Timestamp) {
        self.is_deaf(topic, at, CoverageCause::Refused);
    }

    /// A topic is not subscribed, since the journal has no room for its messages.
    pub(super) fn held_back(&mut self, topic: &Arc<str>) {
        self.is_deaf(topic, Timestamp::now(), CoverageCause::JournalFull);
    }

    fn is_deaf(&mut self, topic: &Arc<str>, at: Timestamp, cause: CoverageCause) {
        self.forget_silence(topic);
        let now = Timestamp::now();
        let at = gap_begins(&self.topics, topic, at, cause);
        let entry = self.heard.deaf(topic, at, cause, now);
        self.covered(entry);
    }

    /// Nothing more comes of any topic.
    pub(super) fn all_ceased(&mut self, at: Timestamp, cause: CoverageCause) {
        let now = Timestamp::now();
        let at = |topic: &str| gap_begins(&self.topics, topic, at, cause);
        let entries = self.heard.all_ceased(at, cause, now);
        self.covered(entries);
    }

    /// What topics began and ceased to be heard, for the log and for readers.
    fn covered(&mut self, entries: impl IntoIterator<Item = NewEntry>) {
        for entry in entries {
            if let Ok(coverage) = serde_json::from_slice(&entry.body) {
                self.status.covered(&entry.topic, &coverage);
            }
            self.entries.push(entry);
        }
    }

    /// Whether any topic is heard.
    pub(super) fn hears(&self) -> bool {
        self.heard.any()
    }

    /// The topics that are heard again, by the causes of their gaps; each told of once.
    pub(super) fn heard_again(&mut self) -> Vec<HeardAgain> {
        self.heard.heard_again()
    }

    /// Lets the newest ACK that is still to wait go with others: see
    /// [`Mutation::AckOfAnother`](crate::faults::Mutation).
    pub(super) fn owe_less(&mut self, owed: &mut Owed) {
        owed.acks.extend(self.owed.acks.pop());
    }

    /// All that waits, and the ACKs that are due after it.
    pub(super) fn drain(&mut self) -> (NewBatch, Owed) {
        self.bytes = 0;
        self.received = false;
        self.arrays.clear();
        let entries = std::mem::take(&mut self.entries);
        (NewBatch { entries }, std::mem::take(&mut self.owed))
    }

    /// So many entries, and the rest of the message that the last of them is of: what comes in one
    /// message is stored as one.
    fn whole_messages(&self, count: usize) -> usize {
        let cut = self
            .arrays
            .iter()
            .find(|array| array.start < count && count < array.end);
        cut.map_or(count, |array| array.end)
    }

    /// The batch to be written next, and the ACKs that are due after it: see [`batch_entries`].
    pub(super) fn next_batch(&mut self) -> (NewBatch, Owed) {
        let count = self.whole_messages(batch_entries(self.entries.len()));
        if count == self.entries.len() {
            return self.drain();
        }
        let rest = self.entries.split_off(count);
        let entries = std::mem::replace(&mut self.entries, rest);
        let due = |due: &Due| due.entries <= entries.len();
        let first = self.owed.acks.partition_point(due);
        let mut later = self.owed.acks.split_off(first);
        later
            .iter_mut()
            .for_each(|due| due.entries -= entries.len());
        let acks = std::mem::replace(&mut self.owed.acks, later);
        self.arrays.retain(|array| array.start >= count);
        for array in &mut self.arrays {
            *array = array.start - count..array.end - count;
        }
        // An array's body is counted once, and its statuses are a part of it.
        let bytes: usize = entries.iter().map(|entry| entry.body.len()).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        self.received = self.entries.iter().any(NewEntry::is_received);
        (NewBatch { entries }, Owed { acks })
    }
}

/// How many of the entries that wait go into the next batch. In a flood it is a size that the
/// journal writes by one statement, and small enough that one batch is read while another is written
/// and a third is synced, also where the server waits for ACKs after a thousand messages. A disk that
/// is slower than that gets all that waits.
fn batch_entries(waiting: usize) -> usize {
    match waiting {
        BATCH_MAX..SLOW_MIN => BATCH_MAX,
        _ => waiting,
    }
}

/// When a gap of a topic begins that was last heard at `at`: no earlier than its newest message, but
/// for what is read of a full journal's time after its end.
fn gap_begins(
    topics: &HashMap<Arc<str>, TopicState>,
    topic: &str,
    at: Timestamp,
    cause: CoverageCause,
) -> Timestamp {
    match topics.get(topic) {
        Some(topic) if cause != CoverageCause::JournalFull => topic.newest.max(at),
        _ => at,
    }
}

fn too_long(body_bytes: usize) -> Undecodable {
    let reason = format!(
        "a body of {body_bytes} bytes exceeds source.max_body: raise it, or have smaller messages sent"
    );
    Undecodable::with(Remedy::Resend, reason)
}

/// Whether another charset would read other characters.
fn needs_mark(element: &Element<'_>) -> bool {
    let raw = &element.raw;
    let is_plain = matches!(raw, Cow::Borrowed(raw) if raw.is_ascii());
    element.is_utf8 && !is_plain && !raw.starts_with(UTF_8_MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_into_batches_of_one_statement() {
        for (waiting, batch) in [
            (1, 1),
            (255, 255),
            (256, 256),
            (300, 256),
            (1_023, 256),
            (1_024, 1_024),
            (4_096, 4_096),
        ] {
            assert_eq!(batch_entries(waiting), batch, "of {waiting}");
        }
    }

    /// An intake in which messages with so many statuses each wait.
    fn filled(messages: &[usize]) -> Intake {
        let mut intake = Intake::new(Arc::default());
        for count in messages {
            let first = intake.entries.len();
            let entry = NewEntry {
                topic: "map".into(),
                received_at: Timestamp::UNIX_EPOCH,
                body: "x".into(),
                content: NewContent::sample(),
            };
            intake.entries.extend(vec![entry; *count]);
            intake.arrays.push(first..first + count);
            intake.bytes += count;
            intake.received = true;
            intake.owed.acks.push(Due {
                topic: "map".into(),
                ack: AckMode::Client,
                id: AckId::sample("map"),
                entries: intake.entries.len(),
            });
        }
        intake
    }

    #[test]
    fn a_batch_has_whole_messages_and_their_acks() {
        let mut intake = filled(&[[1; 250].as_slice(), &[10, 3, 500], &[1; 7]].concat());
        for (entries, acks) in [(260, 251), (503, 2), (7, 7)] {
            let (batch, owed) = intake.next_batch();
            assert_eq!((batch.entries.len(), owed.messages()), (entries, acks));
            assert_eq!(intake.bytes, intake.entries.len());
            assert_eq!(intake.received, !intake.entries.is_empty());
        }
    }
}
