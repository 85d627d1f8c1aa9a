//! What of the accepted statuses could not be read, by topic: fields, words that `[states]` does not
//! have, and what `ignore` drops. Each is counted, and told of once. Empty arrays are only counted.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::pipeline::{Doubts, Field, StatusKey};

/// Words that are counted by themselves, of all topics together: a field that is mapped by mistake
/// has a new one in each message.
const WORDS_MAX: usize = 200;

/// Statuses that are known again: more than a server sends again after a lost connection.
const COUNTED_MAX: usize = 10_000;

/// What of one topic could not be read since the start of the process. A status with an event key
/// counts once, however often it comes: its repeats are not stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unreadable {
    /// By the field's name: statuses that are stored without it.
    pub fields: BTreeMap<&'static str, u64>,
    /// By the word as sent: statuses whose state `[states]` does not have.
    pub unmapped: BTreeMap<String, u64>,
    /// The same of words beyond the first few hundred.
    pub unmapped_others: u64,
    /// Statuses that the topic's `encoding` has made, of bodies that are UTF-8, too.
    pub utf8: u64,
    /// Objects that the topic's `ignore` has dropped.
    pub ignored: u64,
    /// Messages without any status: an empty array.
    pub empty: u64,
}

impl Unreadable {
    /// Statuses whose state `[states]` does not have.
    pub fn unmapped_total(&self) -> u64 {
        self.unmapped.values().sum::<u64>() + self.unmapped_others
    }
}

/// Something that was counted for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstTime {
    Field(Field),
    Word,
    OtherWords,
    Utf8,
    Ignored,
}

/// That of all topics.
#[derive(Debug, Default)]
pub(super) struct UnreadableByTopic(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    topics: BTreeMap<Arc<str>, Unreadable>,
    words: usize,
    counted: Counted,
}

/// The statuses that were counted last, by the hash of what tells a repeat.
#[derive(Debug, Default)]
struct Counted {
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Counted {
    /// Whether a status is counted already. One without an event key never is.
    fn knows(&mut self, stream: &str, key: &StatusKey) -> bool {
        let Some(event_key) = key.event_key else {
            return false;
        };
        let mut hasher = DefaultHasher::new();
        (stream, &key.client_id, &key.device_id, event_key).hash(&mut hasher);
        let status = hasher.finish();
        if !self.known.insert(status) {
            return true;
        }
        self.order.push_back(status);
        if self.order.len() > COUNTED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        false
    }
}

impl UnreadableByTopic {
    /// A copy of it; a topic of which everything was read is not in it.
    pub(super) fn read(&self) -> BTreeMap<Arc<str>, Unreadable> {
        self.lock().topics.clone()
    }

    /// Counts what of an accepted status could not be read; gives what is new.
    pub(super) fn count(
        &self,
        topic: &Arc<str>,
        stream: &str,
        doubts: Doubts,
        key: &StatusKey,
    ) -> Vec<FirstTime> {
        let mut counts = self.lock();
        let counts = &mut *counts;
        if counts.counted.knows(stream, key) {
            return Vec::new();
        }
        let of_topic = counts.topics.entry(Arc::clone(topic)).or_default();
        let mut news = Vec::new();
        for field in doubts.fields() {
            let count = of_topic.fields.entry(field.name()).or_default();
            *count += 1;
            news.extend((*count == 1).then_some(FirstTime::Field(field)));
        }
        if doubts.is_utf8_too {
            of_topic.utf8 += 1;
            news.extend((of_topic.utf8 == 1).then_some(FirstTime::Utf8));
        }
        if doubts.unmapped {
            let word = key.new_state.trim();
            if let Some(count) = of_topic.unmapped.get_mut(word) {
                *count += 1;
            } else if counts.words < WORDS_MAX {
                counts.words += 1;
                of_topic.unmapped.insert(word.to_owned(), 1);
                news.push(FirstTime::Word);
            } else {
                of_topic.unmapped_others += 1;
                let is_first = of_topic.unmapped_others == 1;
                news.extend(is_first.then_some(FirstTime::OtherWords));
            }
        }
        news
    }

    /// Counts an object that `ignore` drops; gives what is new.
    pub(super) fn ignore(&self, topic: &Arc<str>) -> Option<FirstTime> {
        let mut counts = self.lock();
        let of_topic = counts.topics.entry(Arc::clone(topic)).or_default();
        of_topic.ignored += 1;
        (of_topic.ignored == 1).then_some(FirstTime::Ignored)
    }

    /// Counts a message that has no status in it.
    pub(super) fn empty(&self, topic: &Arc<str>) {
        let mut counts = self.lock();
        let of_topic = counts.topics.entry(Arc::clone(topic)).or_default();
        of_topic.empty += 1;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Decoder, Mapping};

    fn counted(all: &UnreadableByTopic, topic: &str, body: &str) -> Vec<FirstTime> {
        let mut mapping = Mapping::default();
        mapping.event_key = vec!["/eventId".parse().unwrap()];
        let decoder = Decoder::new(topic.into(), mapping, Arc::default());
        let element = decoder
            .split(body.as_bytes(), jiff::Timestamp::UNIX_EPOCH)
            .remove(0);
        all.count(
            &topic.into(),
            "stream",
            element.doubts,
            &element.outcome.unwrap(),
        )
    }

    #[test]
    fn each_field_and_word_of_a_topic_is_news_once_and_counted() {
        let all = UnreadableByTopic::default();
        let body = r#"{"deviceId":1,"newState":" x ","address":{"latitude":"a","longitude":1}}"#;
        let first = [FirstTime::Field(Field::Latitude), FirstTime::Word];
        assert_eq!(counted(&all, "a", body), first);
        assert_eq!(counted(&all, "a", body), []);
        assert_eq!(counted(&all, "b", body), first);
        assert_eq!(all.ignore(&"b".into()), Some(FirstTime::Ignored));
        assert_eq!(all.ignore(&"b".into()), None);
        all.empty(&"b".into());
        let read = all.read();
        assert_eq!((read["a"].empty, read["b"].empty), (0, 1));
        assert_eq!(read["a"].fields, BTreeMap::from([("latitude", 2)]));
        assert_eq!(read["a"].unmapped, BTreeMap::from([("x".to_owned(), 2)]));
        assert_eq!((read["a"].ignored, read["b"].ignored), (0, 2));
    }

    #[test]
    fn a_repeat_is_not_counted_and_what_is_known_has_a_bound() {
        let all = UnreadableByTopic::default();
        let body = |device: usize, event: usize| {
            format!(r#"{{"deviceId":{device},"newState":"x","eventId":{event}}}"#)
        };
        assert_eq!(counted(&all, "a", &body(1, 7)), [FirstTime::Word]);
        for (device, event) in [(1, 7), (2, 7), (1, 8), (1, 7), (2, 7)] {
            assert_eq!(counted(&all, "a", &body(device, event)), []);
        }
        assert_eq!(all.read()["a"].unmapped["x"], 3);
        for event in 0..COUNTED_MAX + 10 {
            counted(&all, "b", &body(3, event));
        }
        assert_eq!(all.lock().counted.known.len(), COUNTED_MAX);
        assert_eq!(all.lock().counted.order.len(), COUNTED_MAX);
    }

    #[test]
    fn words_without_end_are_counted_together() {
        let all = UnreadableByTopic::default();
        let body = |word: usize| format!(r#"{{"deviceId":1,"newState":"w{word}"}}"#);
        let news = (0..WORDS_MAX + 10).flat_map(|word| counted(&all, "a", &body(word)));
        let news: Vec<FirstTime> = news.collect();
        assert_eq!(news.len(), WORDS_MAX + 1);
        assert_eq!(news.last(), Some(&FirstTime::OtherWords));
        let read = &all.read()["a"];
        assert_eq!((read.unmapped.len(), read.unmapped_others), (WORDS_MAX, 10));
        assert_eq!(read.unmapped_total(), WORDS_MAX as u64 + 10);
    }
}
