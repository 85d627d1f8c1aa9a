//! The topics among which some are refused, while nobody knows which: how many of them are tried at
//! once, and in which order. Knows no connection.
//!
//! One refused topic of hundreds is found by halves. Where hundreds are refused, halves end at
//! single topics, each of which is found by one connection. After a success twice as many are
//! tried, so that those that are accepted come quickly.

use std::collections::VecDeque;
use std::sync::Arc;

/// See the text above.
#[derive(Debug)]
pub(super) struct Doubtful {
    /// One batch is tried after another, the last topics of a batch first.
    batches: VecDeque<Vec<Arc<str>>>,
    /// So many topics are tried at once.
    step: usize,
}

impl Default for Doubtful {
    fn default() -> Doubtful {
        Doubtful {
            batches: VecDeque::new(),
            step: 1,
        }
    }
}

impl Doubtful {
    /// Whether none is doubtful.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether this one is.
    pub(super) fn contains(&self, name: &Arc<str>) -> bool {
        self.batches.iter().any(|batch| batch.contains(name))
    }

    /// How many parts they are in.
    pub(super) fn batches(&self) -> usize {
        self.batches.len()
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        *self = Doubtful::default();
    }

    /// Those to be tried next, together.
    pub(super) fn next(&self) -> &[Arc<str>] {
        let Some(batch) = self.batches.front() else {
            return &[];
        };
        &batch[batch.len().saturating_sub(self.step)..]
    }

    /// What was tried is accepted.
    pub(super) fn grow(&mut self) {
        self.step = self.step.saturating_mul(2);
    }

    /// One of these is refused: they are tried by halves, apart from all others. The first of them
    /// are tried last: with a server that answers in order they are the likeliest.
    pub(super) fn split(&mut self, names: &[Arc<str>]) {
        self.remove_where(|name| names.iter().any(|other| **other == *name));
        let (first, last) = names.split_at(names.len().div_ceil(2));
        self.step = last.len().max(1);
        if !last.is_empty() {
            self.batches.push_front(last.to_vec());
        }
        self.batches.push_back(first.to_vec());
    }

    /// These may be accepted by now: they are tried last, and first one of them alone.
    pub(super) fn add(&mut self, names: Vec<Arc<str>>) {
        if !names.is_empty() {
            self.step = 1;
            self.batches.push_back(names);
        }
    }

    /// One alone was refused, and nothing was accepted: its neighbours may be like it. So all others
    /// are tried in another order.
    pub(super) fn mix(&mut self) {
        // Those that were tried alone wait behind the others.
        let (many, alone): (VecDeque<_>, VecDeque<_>) =
            self.batches.drain(..).partition(|batch| batch.len() > 1);
        let mut mixed: Vec<Arc<str>> = many.into_iter().flatten().collect();
        // Each time the same: nobody guards against us.
        fastrand::Rng::with_seed(mixed.len() as u64).shuffle(&mut mixed);
        self.batches = alone;
        if !mixed.is_empty() {
            self.batches.push_front(mixed);
        }
    }

    /// These are no longer doubtful.
    pub(super) fn remove_where(&mut self, is: impl Fn(&str) -> bool) {
        for batch in &mut self.batches {
            batch.retain(|name| !is(name));
        }
        self.batches.retain(|batch| !batch.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(numbers: std::ops::Range<usize>) -> Vec<Arc<str>> {
        numbers
            .map(|number| number.to_string().as_str().into())
            .collect()
    }

    #[test]
    fn a_refusal_halves_what_is_tried_and_a_success_doubles_it() {
        let mut doubtful = Doubtful::default();
        doubtful.split(&names(0..8));
        assert_eq!(doubtful.next(), names(4..8));
        doubtful.split(&names(4..8));
        assert_eq!(doubtful.next(), names(6..8));
        doubtful.remove_where(|name| name == "6" || name == "7");
        doubtful.grow();
        assert_eq!(doubtful.next(), names(0..4), "the largest part is next");
        doubtful.add(names(8..9));
        assert_eq!(doubtful.next(), names(3..4), "those may be like it");
    }

    #[test]
    fn the_neighbours_of_one_that_is_refused_alone_are_not_next() {
        let mut doubtful = Doubtful::default();
        doubtful.add(names(0..400));
        let mut next = Vec::new();
        for _ in 0..8 {
            doubtful.mix();
            let name = doubtful.next()[0].clone();
            next.push(name.parse::<usize>().unwrap() / 50);
            doubtful.remove_where(|other| *other == *name);
        }
        next.sort_unstable();
        next.dedup();
        assert!(next.len() > 3, "of eight parts: {next:?}");
    }
}
