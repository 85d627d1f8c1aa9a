//! Which topics of a stream have brought a status in the last minute: several of them may bring the
//! same one.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

/// Another topic of the stream brings the same status within this time.
const REPEAT_MAX: SignedDuration = SignedDuration::from_secs(60);

/// Statuses that are remembered for it.
const STATUSES_MAX: usize = 65_536;

/// The statuses of the last minute.
#[derive(Debug, Default)]
pub(super) struct RecentTopics {
    /// By the hash of what it says: which topics have brought it, and how often.
    by_hash: HashMap<u64, Vec<(Arc<str>, u32)>>,
    order: VecDeque<(Timestamp, u64)>,
}

impl RecentTopics {
    /// Takes note of a status, by the hash of what it says. Whether another topic has brought it a
    /// moment ago, and one time more than this one.
    pub(super) fn is_of_another(&mut self, hash: u64, topic: &Arc<str>, at: Timestamp) -> bool {
        let is_old = |since: Timestamp| at.duration_since(since).abs() > REPEAT_MAX;
        while let Some((since, oldest)) = self.order.front()
            && (is_old(*since) || self.order.len() >= STATUSES_MAX)
        {
            self.by_hash.remove(oldest);
            self.order.pop_front();
        }
        let brought = self.by_hash.entry(hash).or_insert_with(|| {
            self.order.push_back((at, hash));
            Vec::new()
        });
        let by_others = brought.iter().filter(|(other, _)| other != topic);
        let by_others = by_others.map(|(_, times)| *times).max().unwrap_or(0);
        match brought.iter_mut().find(|(other, _)| other == topic) {
            Some((_, times)) => {
                *times += 1;
                *times <= by_others
            }
            None => {
                brought.push((Arc::clone(topic), 1));
                by_others > 0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_topic_brought_within_a_minute_is_a_repeat() {
        let mut recent = RecentTopics::default();
        let mut is_of_another = |topic: &str, second, hash| {
            let at = Timestamp::from_second(second).unwrap();
            recent.is_of_another(hash, &topic.into(), at)
        };
        for (topic, second, hash, expected) in [
            ("a", 0, 7, false),
            ("a", 1, 7, false),
            ("b", 2, 7, true),
            ("b", 2, 7, true),
            // What a third time only one of them brings is new.
            ("b", 2, 7, false),
            ("b", 3, 8, false),
            ("a", 4, 8, true),
            ("b", 61, 7, false),
        ] {
            let found = is_of_another(topic, second, hash);
            assert_eq!(found, expected, "{topic} {second} {hash}");
        }
    }

    #[test]
    fn their_number_is_bounded() {
        let mut recent = RecentTopics::default();
        for hash in 0..STATUSES_MAX as u64 + 10 {
            recent.is_of_another(hash, &"a".into(), Timestamp::UNIX_EPOCH);
        }
        assert_eq!(recent.by_hash.len(), STATUSES_MAX);
        assert_eq!(recent.order.len(), STATUSES_MAX);
    }
}
