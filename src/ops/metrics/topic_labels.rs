//! Which topics have a label of their own: thousands of topics are no burden to what scrapes.

use std::collections::{BTreeMap, BTreeSet};

/// Topics with a label of their own; all others share one.
pub(super) const TOPICS_MAX: usize = 200;

/// That label. A topic of this name has no other.
pub(super) const OTHER_TOPICS: &str = "other";

/// The topics with a label of their own.
pub(super) struct TopicLabels<'a>(BTreeSet<&'a str>);

impl<'a> TopicLabels<'a> {
    /// Of all topics, the first by their names.
    pub(super) fn of(topics: impl Iterator<Item = &'a str>) -> TopicLabels<'a> {
        TopicLabels(topics.take(TOPICS_MAX).collect())
    }

    /// One value for each label, where some topics share one.
    pub(super) fn merged<'b, V: Copy>(
        &self,
        values: impl Iterator<Item = (&'b str, V)>,
        merge: impl Fn(V, V) -> V,
    ) -> BTreeMap<&'b str, V> {
        let mut merged: BTreeMap<&str, V> = BTreeMap::new();
        for (topic, value) in values {
            let label = match self.0.contains(topic) {
                true => topic,
                false => OTHER_TOPICS,
            };
            merged
                .entry(label)
                .and_modify(|of_label| *of_label = merge(*of_label, value))
                .or_insert(value);
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_beyond_two_hundred_share_a_label_with_the_one_of_that_name() {
        let mut names: Vec<String> = (0..500).map(|number| format!("map-{number:03}")).collect();
        let values =
            |names: &[String]| -> Vec<(String, u64)> { names.iter().cloned().zip(0..).collect() };
        let check = |names: &[String], other: u64, sum: u64| {
            let labels = TopicLabels::of(names.iter().map(String::as_str));
            let values = values(names);
            let each = || values.iter().map(|(name, value)| (name.as_str(), *value));
            let largest = labels.merged(each(), u64::max);
            assert_eq!(largest.len(), TOPICS_MAX + 1);
            assert_eq!((largest["map-199"], largest[OTHER_TOPICS]), (199, other));
            assert_eq!(labels.merged(each(), |a, b| a + b)[OTHER_TOPICS], sum);
        };
        let sum: u64 = (200..500).sum();
        check(&names, 499, sum);
        names.push(OTHER_TOPICS.to_owned());
        check(&names, 500, sum + 500);
    }
}
