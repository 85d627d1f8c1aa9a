//! The gaps of the topics of the last day, in memory and for readers: what the page and the API show
//! of them. The journal's coverage entries are what counts; this begins with the process.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::model::{Coverage, CoverageCause};

/// Gaps that are kept at most, of all topics: five hundred topics may lose twenty connections.
const GAPS_MAX: usize = 10_000;

/// A gap that ended longer ago is forgotten.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24);

/// A time in which a topic was not heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenGap {
    /// The topic's name.
    pub topic: Arc<str>,
    /// When it began.
    pub since: Timestamp,
    /// When it ended; `None`: it lasts.
    pub until: Option<Timestamp>,
    /// Why.
    pub cause: CoverageCause,
}

/// The gaps, in the order in which they began to be known.
#[derive(Debug, Default)]
pub(super) struct SeenGaps(VecDeque<SeenGap>);

impl SeenGaps {
    /// A topic began or ceased to be heard.
    pub(super) fn take(&mut self, topic: &Arc<str>, coverage: &Coverage) {
        let open = |gap: &&mut SeenGap| gap.topic == *topic && gap.until.is_none();
        if let Some(gap) = self.0.iter_mut().rev().find(open) {
            gap.until = Some(coverage.at.max(gap.since));
        }
        if let (false, Some(cause)) = (coverage.heard, coverage.cause) {
            self.0.push_back(SeenGap {
                topic: Arc::clone(topic),
                since: coverage.at,
                until: None,
                cause,
            });
        }
        let oldest = coverage
            .at
            .saturating_sub(KEPT_FOR)
            .unwrap_or(Timestamp::MIN);
        // Not the first ones alone: a gap without an end may stand before those that have ended.
        self.0
            .retain(|gap| gap.until.is_none_or(|until| until >= oldest));
        let too_many = self.0.len().saturating_sub(GAPS_MAX);
        self.0.drain(..too_many);
    }

    /// A copy of them.
    pub(super) fn read(&self) -> Vec<SeenGap> {
        self.0.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coverage(second: i64, cause: Option<CoverageCause>) -> Coverage {
        Coverage {
            heard: cause.is_none(),
            at: Timestamp::from_second(second).unwrap(),
            cause,
        }
    }

    #[test]
    fn a_gap_ends_when_its_topic_is_heard_and_is_forgotten_a_day_later() {
        let (mut gaps, a, b) = (SeenGaps::default(), Arc::from("a"), Arc::from("b"));
        gaps.take(&a, &coverage(0, None));
        assert_eq!(gaps.read(), []);
        gaps.take(&a, &coverage(10, Some(CoverageCause::Refused)));
        gaps.take(&b, &coverage(20, Some(CoverageCause::Silent)));
        gaps.take(&a, &coverage(30, None));
        let ends = |gaps: &SeenGaps| -> Vec<Option<i64>> {
            let gaps = gaps.read().into_iter();
            gaps.map(|gap| Some(gap.until?.as_second())).collect()
        };
        assert_eq!(ends(&gaps), [Some(30), None]);
        gaps.take(&a, &coverage(40, Some(CoverageCause::Silent)));
        gaps.take(&a, &coverage(50, None));
        assert_eq!(ends(&gaps), [Some(30), None, Some(50)]);
        gaps.take(&a, &coverage(30 + 86_401, None));
        assert_eq!(ends(&gaps), [None, Some(50)], "b is deaf all the time");
        gaps.take(&a, &coverage(50 + 86_401, None));
        assert_eq!(ends(&gaps), [None]);
        for second in 0..GAPS_MAX as i64 + 10 {
            gaps.take(&a, &coverage(second, Some(CoverageCause::Silent)));
        }
        assert_eq!(gaps.read().len(), GAPS_MAX);
    }
}
