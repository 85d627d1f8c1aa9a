//! Which topics are heard, through all connections, and the entries that say so in the journal. It
//! takes the time, and knows nothing of the link.
//!
//! A topic is heard from its `began` to its `ceased`, and there is an entry for each change and for
//! nothing else. Their times never go back, whatever the clock does.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::topic::Topic;
use crate::journal::{Heard, NewContent, NewEntry};
use crate::model::{Coverage, CoverageCause};

/// Which topics are heard. One that was never heard is not there.
#[derive(Debug, Default)]
pub(super) struct TopicsHeard {
    topics: BTreeMap<Arc<str>, Hearing>,
    /// Those that began to be heard again and were not told of, with their gaps.
    again: BTreeMap<Arc<str>, Gap>,
    /// What was not told: since when a topic is heard; `None`: it is not.
    changes: Vec<(Arc<str>, Option<Timestamp>)>,
}

/// Since when a topic is heard, or not.
#[derive(Debug, Clone, Copy)]
enum Hearing {
    Heard {
        since: Timestamp,
    },
    Deaf {
        since: Timestamp,
        cause: CoverageCause,
    },
}

/// How long a topic was not heard, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gap {
    length: Duration,
    cause: CoverageCause,
}

/// Topics that are heard again, and were not for one and the same cause.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeardAgain {
    pub(super) topics: Vec<Arc<str>>,
    /// The longest of their gaps.
    pub(super) deaf_for: Duration,
    pub(super) cause: CoverageCause,
}

impl TopicsHeard {
    /// What the last process left: what it heard nobody hears now. After a stop in order that is
    /// nothing. Gives what the journal does not know yet.
    pub(super) fn take_over(&mut self, left: Heard, now: Timestamp) -> Vec<NewEntry> {
        for (topic, since) in left.topics {
            self.topics.insert(topic, Hearing::Heard { since });
        }
        // A proof that lies ahead is of a clock that was wrong: rather too long a gap than none.
        let proven_at = left.proven_at.filter(|at| *at <= now);
        let at = proven_at.unwrap_or(Timestamp::MIN);
        self.all_ceased(|_| at, CoverageCause::DaemonDown, now)
    }

    /// A topic's subscription stands.
    pub(super) fn began(&mut self, topic: &Arc<str>, now: Timestamp) -> Option<NewEntry> {
        let at = match self.topics.get(topic) {
            Some(Hearing::Heard { .. }) => return None,
            Some(Hearing::Deaf { since, cause }) => {
                let at = now.max(*since);
                let length = at.duration_since(*since).unsigned_abs();
                let gap = Gap {
                    length,
                    cause: *cause,
                };
                self.again.insert(Arc::clone(topic), gap);
                at
            }
            None => now,
        };
        let heard = Hearing::Heard { since: at };
        self.topics.insert(Arc::clone(topic), heard);
        self.changes.push((Arc::clone(topic), Some(at)));
        Some(entry(topic, at, None, now))
    }

    /// Nothing more comes of a topic; `at`: the last moment at which it was heard.
    pub(super) fn ceased(
        &mut self,
        topic: &str,
        at: Timestamp,
        cause: CoverageCause,
        now: Timestamp,
    ) -> Option<NewEntry> {
        let (topic, _) = self.topics.get_key_value(topic)?;
        let topic = Arc::clone(topic);
        let hearing = self.topics.get_mut(&topic)?;
        let Hearing::Heard { since } = *hearing else {
            return None;
        };
        let at = at.max(since);
        *hearing = Hearing::Deaf { since: at, cause };
        self.again.remove(&topic);
        self.changes.push((Arc::clone(&topic), None));
        Some(entry(&topic, at, Some(cause), now))
    }

    /// A topic is not subscribed, for this reason: the gap begins, also where it was never heard. A
    /// gap that was there already keeps its cause.
    pub(super) fn deaf(
        &mut self,
        topic: &Arc<str>,
        at: Timestamp,
        cause: CoverageCause,
        now: Timestamp,
    ) -> Option<NewEntry> {
        if self.topics.contains_key(topic) {
            return self.ceased(topic, at, cause, now);
        }
        let deaf = Hearing::Deaf { since: now, cause };
        self.topics.insert(Arc::clone(topic), deaf);
        Some(entry(topic, now, Some(cause), now))
    }

    /// The same for every topic that is heard.
    pub(super) fn all_ceased(
        &mut self,
        at: impl Fn(&str) -> Timestamp,
        cause: CoverageCause,
        now: Timestamp,
    ) -> Vec<NewEntry> {
        let heard = |hearing: &Hearing| matches!(hearing, Hearing::Heard { .. });
        let topics: Vec<Arc<str>> = self
            .topics
            .iter()
            .filter(|(_, hearing)| heard(hearing))
            .map(|(topic, _)| Arc::clone(topic))
            .collect();
        topics
            .iter()
            .filter_map(|topic| self.ceased(topic, at(topic), cause, now))
            .collect()
    }

    /// Since when a topic is heard; `None`: it is not.
    pub(super) fn since(&self, topic: &str) -> Option<Timestamp> {
        match self.topics.get(topic)? {
            Hearing::Heard { since } => Some(*since),
            Hearing::Deaf { .. } => None,
        }
    }

    /// The topics that are heard now or not any longer, in the order of the changes; each told of
    /// once.
    pub(super) fn take_changes(&mut self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        std::mem::take(&mut self.changes)
    }

    /// Whether any topic is heard.
    pub(super) fn any(&self) -> bool {
        self.topics
            .values()
            .any(|hearing| matches!(hearing, Hearing::Heard { .. }))
    }

    /// Forgets the topics that are neither among these nor heard: nobody waits for them.
    pub(super) fn keep(&mut self, topics: &[Topic]) {
        let names: HashSet<&str> = topics.iter().map(|topic| &*topic.name).collect();
        self.topics.retain(|name, hearing| {
            names.contains(&**name) || matches!(hearing, Hearing::Heard { .. })
        });
    }

    /// The topics that are heard again, by the causes of their gaps; each told of once.
    pub(super) fn heard_again(&mut self) -> Vec<HeardAgain> {
        let mut by_cause: BTreeMap<&str, HeardAgain> = BTreeMap::new();
        for (topic, Gap { length, cause }) in std::mem::take(&mut self.again) {
            let told = by_cause.entry(cause.as_str()).or_insert(HeardAgain {
                topics: Vec::new(),
                deaf_for: Duration::ZERO,
                cause,
            });
            told.topics.push(topic);
            told.deaf_for = told.deaf_for.max(length);
        }
        by_cause.into_values().collect()
    }
}

/// Without a cause the topic is heard.
fn entry(
    topic: &Arc<str>,
    at: Timestamp,
    cause: Option<CoverageCause>,
    now: Timestamp,
) -> NewEntry {
    let coverage = Coverage {
        heard: cause.is_none(),
        at: Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at),
        cause,
    };
    let body = serde_json::to_vec(&coverage).expect("a time and a name are always JSON");
    NewEntry {
        topic: Arc::clone(topic),
        received_at: now,
        body: body.into(),
        content: NewContent::Coverage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CoverageCause::{ConnectionLost, DaemonDown, DaemonStopped, Unsubscribed};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    /// What is asked of it at a time.
    enum Ask {
        Began(&'static str),
        /// At an earlier time than now.
        Ceased(&'static str, i64, CoverageCause),
        AllCeased(i64, CoverageCause),
        TakeOver(&'static [(&'static str, i64)], Option<i64>),
    }

    /// The entries as `topic+second` and `topic-second cause`.
    fn check(steps: &[(i64, Ask, &[&str])]) -> TopicsHeard {
        let mut heard = TopicsHeard::default();
        for (number, (now, ask, expected)) in steps.iter().enumerate() {
            let now = at(*now);
            let entries = match ask {
                Ask::Began(topic) => heard.began(&(*topic).into(), now).into_iter().collect(),
                Ask::Ceased(topic, second, cause) => heard
                    .ceased(topic, at(*second), *cause, now)
                    .into_iter()
                    .collect(),
                Ask::AllCeased(second, cause) => heard.all_ceased(|_| at(*second), *cause, now),
                Ask::TakeOver(topics, proven) => {
                    let topics = topics
                        .iter()
                        .map(|(topic, second)| ((*topic).into(), at(*second)))
                        .collect();
                    let proven_at = proven.map(at);
                    heard.take_over(Heard { topics, proven_at }, now)
                }
            };
            let said: Vec<String> = entries.iter().map(said).collect();
            assert_eq!(said, *expected, "step {number}");
            assert!(entries.iter().all(|entry| entry.received_at == now));
        }
        heard
    }

    fn said(entry: &NewEntry) -> String {
        assert_eq!(entry.content, NewContent::Coverage);
        let coverage: Coverage = serde_json::from_slice(&entry.body).unwrap();
        let second = coverage.at.as_second() - at(0).as_second();
        match coverage.cause {
            None if coverage.heard => format!("{}+{second}", entry.topic),
            Some(cause) if !coverage.heard => {
                format!("{}-{second} {}", entry.topic, cause.as_str())
            }
            _ => panic!("{coverage:?}"),
        }
    }

    #[test]
    fn every_change_has_one_entry_and_nothing_else_has() {
        check(&[
            (0, Ask::Ceased("a", 0, ConnectionLost), &[]),
            (0, Ask::AllCeased(0, ConnectionLost), &[]),
            (1, Ask::Began("a"), &["a+1"]),
            (2, Ask::Began("a"), &[]),
            (2, Ask::Began("b"), &["b+2"]),
            (9, Ask::Ceased("a", 9, Unsubscribed), &["a-9 unsubscribed"]),
            (9, Ask::Ceased("a", 9, Unsubscribed), &[]),
            // The last byte came before it was noticed.
            (
                30,
                Ask::AllCeased(20, ConnectionLost),
                &["b-20 connection_lost"],
            ),
            (31, Ask::AllCeased(31, DaemonStopped), &[]),
            (32, Ask::Began("a"), &["a+32"]),
            (33, Ask::Began("b"), &["b+33"]),
            (
                40,
                Ask::AllCeased(40, DaemonStopped),
                &["a-40 daemon_stopped", "b-40 daemon_stopped"],
            ),
        ]);
    }

    #[test]
    fn a_topic_that_is_refused_from_the_start_has_a_gap_from_then_on() {
        let mut heard = check(&[(1, Ask::Began("a"), &["a+1"])]);
        let mut refused = |topic: &str, second, now| {
            let entry = heard.deaf(&topic.into(), at(second), CoverageCause::Refused, at(now));
            entry.as_ref().map(said)
        };
        assert_eq!(refused("new", 1, 3).as_deref(), Some("new-3 refused"));
        assert_eq!(refused("new", 1, 9), None);
        assert_eq!(refused("a", 8, 9).as_deref(), Some("a-8 refused"));
        let again = heard.began(&"new".into(), at(20));
        assert_eq!(again.as_ref().map(said).as_deref(), Some("new+20"));
        let again = heard.heard_again();
        assert_eq!(
            (again[0].deaf_for, again[0].cause),
            (Duration::from_secs(17), CoverageCause::Refused)
        );
    }

    #[test]
    fn times_never_go_back() {
        check(&[
            (10, Ask::Began("a"), &["a+10"]),
            // Its last byte came before the subscription was taken for standing.
            (
                12,
                Ask::AllCeased(8, ConnectionLost),
                &["a-10 connection_lost"],
            ),
            // The clock was put back.
            (5, Ask::Began("a"), &["a+10"]),
        ]);
    }

    #[test]
    fn what_a_dead_process_heard_ceased_with_its_last_proof() {
        let down = &["a-60 daemon_down", "gone-70 daemon_down"];
        check(&[
            (
                100,
                Ask::TakeOver(&[("a", 1), ("gone", 70)], Some(60)),
                down,
            ),
            (101, Ask::Began("a"), &["a+101"]),
        ]);
        check(&[
            (100, Ask::TakeOver(&[("a", 1)], None), &["a-1 daemon_down"]),
            (100, Ask::AllCeased(100, DaemonDown), &[]),
        ]);
        check(&[(100, Ask::TakeOver(&[], Some(60)), &[])]);
    }

    #[test]
    fn the_topics_that_are_heard_again_are_told_once_with_their_cause_and_longest_gap() {
        let mut heard = check(&[
            (1, Ask::Began("a"), &["a+1"]),
            (1, Ask::Began("b"), &["b+1"]),
            (5, Ask::Ceased("b", 5, Unsubscribed), &["b-5 unsubscribed"]),
            (
                9,
                Ask::AllCeased(9, ConnectionLost),
                &["a-9 connection_lost"],
            ),
            (10, Ask::Began("a"), &["a+10"]),
            (10, Ask::Began("new"), &["new+10"]),
            (11, Ask::Began("b"), &["b+11"]),
        ]);
        let told = |topic: &str, seconds, cause| HeardAgain {
            topics: vec![topic.into()],
            deaf_for: Duration::from_secs(seconds),
            cause,
        };
        let expected = [told("a", 1, ConnectionLost), told("b", 6, Unsubscribed)];
        assert_eq!(heard.heard_again(), expected);
        assert_eq!(heard.heard_again(), []);
        // A topic that was lost before its entry was made is not heard again.
        heard.all_ceased(|_| at(20), ConnectionLost, at(20));
        heard.began(&"a".into(), at(21));
        heard.all_ceased(|_| at(22), ConnectionLost, at(22));
        assert_eq!((heard.heard_again(), heard.any()), (Vec::new(), false));
    }

    #[test]
    fn topics_that_nobody_waits_for_are_forgotten() {
        let mut heard = check(&[
            (1, Ask::Began("a"), &["a+1"]),
            (
                2,
                Ask::AllCeased(2, ConnectionLost),
                &["a-2 connection_lost"],
            ),
            (3, Ask::Began("b"), &["b+3"]),
        ]);
        heard.keep(&[]);
        assert_eq!(heard.topics.keys().collect::<Vec<_>>(), [&"b".into()]);
    }
}
