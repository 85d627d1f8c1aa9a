//! The topics that the server has refused: each with the server's words, and with its own time to
//! be asked for again. Knows no socket and no clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::topic::Topic;
use crate::retry::{Backoff, REFUSED_MIN};

/// The longest wait before a refused topic is asked for again, plus half of it. Each question may
/// cost all others their connection, for as long as it takes to make another.
const RETRY_MAX: Duration = Duration::from_secs(15 * 60);

/// The topics that the server has refused.
#[derive(Debug, Default)]
pub(super) struct RefusedTopics {
    topics: BTreeMap<Arc<str>, Refusal>,
}

#[derive(Debug)]
struct Refusal {
    topic: Topic,
    told: RefusedTopic,
    backoff: Backoff,
    retry_at: Instant,
}

/// A topic that the server has refused, as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedTopic {
    /// As it is configured.
    pub destination: String,
    /// Since when.
    pub since: Timestamp,
    /// The server's words, and what to do.
    pub error: String,
    /// How often it was refused in a row.
    pub refusals: u32,
}

impl RefusedTopics {
    /// The server has refused a topic, once more or for the first time. Gives the wait until the
    /// topic is asked for again; `random`: 0 to 1.
    pub(super) fn add(
        &mut self,
        topic: &Topic,
        error: &str,
        (now, at): (Instant, Timestamp),
        random: f64,
    ) -> Duration {
        let refusal = self
            .topics
            .entry(Arc::clone(&topic.name))
            .or_insert_with(|| Refusal {
                topic: topic.clone(),
                told: RefusedTopic {
                    destination: topic.destination.as_str().to_owned(),
                    since: at,
                    error: String::new(),
                    refusals: 0,
                },
                backoff: Backoff::new(REFUSED_MIN, RETRY_MAX),
                retry_at: now,
            });
        let wait = refusal.backoff.next_refused_within(RETRY_MAX, random);
        error.clone_into(&mut refusal.told.error);
        refusal.told.refusals = refusal.backoff.failures();
        refusal.retry_at = now + wait;
        wait
    }

    /// The server accepts it, or nobody wants it.
    pub(super) fn remove(&mut self, name: &str) -> Option<RefusedTopic> {
        Some(self.topics.remove(name)?.told)
    }

    /// Forgets those that are not among these topics as they are.
    pub(super) fn keep(&mut self, topics: &[Topic]) {
        self.topics
            .retain(|_, refusal| topics.contains(&refusal.topic));
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.topics.contains_key(name)
    }

    /// The one to be asked for again first, and when.
    pub(super) fn next(&self) -> Option<(&Arc<str>, Instant)> {
        let times = self.topics.iter().map(|(name, it)| (name, it.retry_at));
        times.min_by_key(|(_, at)| *at)
    }

    /// All of them, as they may be shown.
    pub(super) fn told(&self) -> BTreeMap<Arc<str>, RefusedTopic> {
        let told = |(name, it): (&Arc<str>, &Refusal)| (Arc::clone(name), it.told.clone());
        self.topics.iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stomp::AckMode;

    const SECOND: Duration = Duration::from_secs(1);

    fn topic(name: &str) -> Topic {
        Topic::sample(name, &format!("/topic/{name}"), AckMode::Auto, &[])
    }

    #[test]
    fn each_is_asked_for_again_ever_slower_and_by_its_own_time() {
        let mut refused = RefusedTopics::default();
        let start = (Instant::now(), Timestamp::UNIX_EPOCH);
        let waits: Vec<u64> = (0..8)
            .map(|_| refused.add(&topic("a"), "no", start, 0.0).as_secs())
            .collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900, 900]);
        assert_eq!(refused.add(&topic("b"), "no", start, 0.0), 30 * SECOND);
        let (next, at) = refused.next().unwrap();
        assert_eq!((&**next, at), ("b", start.0 + 30 * SECOND));
        assert_eq!(refused.remove("a").unwrap().refusals, 8);
        assert_eq!(refused.add(&topic("a"), "no", start, 0.0), 30 * SECOND);
    }

    #[test]
    fn a_topic_that_was_changed_was_never_refused() {
        let mut refused = RefusedTopics::default();
        let start = (Instant::now(), Timestamp::UNIX_EPOCH);
        refused.add(&topic("a"), "no", start, 0.0);
        refused.add(&topic("b"), "no", start, 0.0);
        refused.keep(&[
            topic("a"),
            Topic::sample("b", "/topic/other", AckMode::Auto, &[]),
        ]);
        assert!(refused.contains("a") && !refused.contains("b"));
        assert_eq!(refused.told().len(), 1);
    }
}
