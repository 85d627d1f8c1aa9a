//! The topics that the server has refused: each with the server's words. They are asked for again
//! by one clock, however many they are. Knows no socket and no clock of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::topic::Topic;
use crate::retry::doubled;

/// The shortest wait before a refused topic is asked for again.
const RETRY_MIN: Duration = Duration::from_secs(30);

/// The longest, plus half of it. Each question may cost all others their connection, for as long as
/// it takes to make another.
const RETRY_MAX: Duration = Duration::from_secs(15 * 60);

/// The topics that the server has refused.
#[derive(Debug, Default)]
pub(super) struct RefusedTopics {
    topics: BTreeMap<Arc<str>, Refusal>,
    /// Questions in a row that were refused, of whichever topic.
    questions: u32,
    /// No topic is asked for again before. `None`: at once, since the server has just accepted one.
    not_before: Option<Instant>,
    /// Refusals so far.
    count: u64,
}

#[derive(Debug)]
struct Refusal {
    topic: Topic,
    told: RefusedTopic,
    /// Its last refusal.
    at: Instant,
    /// The same in the order of all.
    number: u64,
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
    /// The server has refused a topic, again or for the first time. Gives the wait until
    /// topics are asked for again; `random`: 0 to 1.
    pub(super) fn add(
        &mut self,
        topic: &Topic,
        error: &str,
        (now, at): (Instant, Timestamp),
        random: f64,
    ) -> Duration {
        if self.topics.is_empty() {
            (self.questions, self.not_before) = (0, None);
        }
        let again = self.topics.contains_key(&topic.name);
        self.count += 1;
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
                at: now,
                number: 0,
            });
        error.clone_into(&mut refusal.told.error);
        refusal.told.refusals = refusal.told.refusals.saturating_add(1);
        (refusal.at, refusal.number) = (now, self.count);
        // One that was not known says nothing about those that were asked for again.
        let wait = if again {
            self.questions = self.questions.saturating_add(1);
            doubled(RETRY_MIN, self.questions).min(RETRY_MAX)
        } else {
            RETRY_MIN
        };
        let due = now + wait.mul_f64(1.0 + random / 2.0);
        let due = self.not_before.map_or(due, |at| at.max(due));
        self.not_before = Some(due);
        due.saturating_duration_since(now)
    }

    /// The server accepts it. Then it may have come to accept others: they are asked for at once.
    pub(super) fn accepted(&mut self, name: &str) -> Option<RefusedTopic> {
        let refusal = self.topics.remove(name)?;
        (self.questions, self.not_before) = (0, None);
        Some(refusal.told)
    }

    /// Forgets those that are not among these topics as they are.
    pub(super) fn keep(&mut self, topics: &[Topic]) {
        self.topics
            .retain(|_, refusal| topics.contains(&refusal.topic));
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.topics.contains_key(name)
    }

    /// The names of all.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.keys()
    }

    /// The one of these to be asked for again first, and when: they take turns.
    pub(super) fn next(&self, is: impl Fn(&str) -> bool) -> Option<(&Arc<str>, Instant)> {
        let wanted = self.topics.iter().filter(|(name, _)| is(name));
        let (name, refusal) = wanted.min_by_key(|(_, it)| it.number)?;
        Some((name, self.not_before.unwrap_or(refusal.at)))
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
    fn they_are_asked_for_again_in_turns_and_ever_slower() {
        let mut refused = RefusedTopics::default();
        let (start, epoch) = (Instant::now(), Timestamp::UNIX_EPOCH);
        for name in ["a", "b", "c"] {
            let wait = refused.add(&topic(name), "no", (start, epoch), 0.0);
            assert_eq!(wait, RETRY_MIN, "{name}");
        }
        let (mut asked, mut waits, mut now) = (Vec::new(), Vec::new(), start);
        for _ in 0..7 {
            let (name, at) = refused.next(|_| true).unwrap();
            asked.push(name.to_string());
            waits.push((at - now).as_secs());
            now = at;
            refused.add(&topic(asked.last().unwrap()), "no", (now, epoch), 0.0);
        }
        assert_eq!(asked, ["a", "b", "c", "a", "b", "c", "a"]);
        assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900]);
        let due = refused.next(|_| true).unwrap().1;
        // Another topic that is refused makes no question come sooner.
        refused.add(&topic("d"), "no", (now, epoch), 0.0);
        assert_eq!(refused.next(|_| true), Some((&"b".into(), due)));
        // One is accepted: the others follow at once, and then begin again.
        assert_eq!(refused.accepted("b").unwrap().refusals, 3);
        assert!(refused.next(|_| true).unwrap().1 <= now);
        let wait = refused.add(&topic("c"), "no", (now, epoch), 0.0);
        assert_eq!(wait, 60 * SECOND);
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
