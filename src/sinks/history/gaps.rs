//! Since when each topic was not heard, as far as the timelines of its devices ask; and the gaps
//! that rows of `coverage` make. The order is the journal's, whatever the clock did.
//!
//! Where several begin at one moment, which of them is met depends on what they say, not on which
//! came first.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::timeline::Gap;

/// The newest gaps that a history begins with; of the older ones it knows those that its devices ask
/// for.
pub(super) const GAPS_MAX: u32 = 100_000;

/// The beginnings of the gaps of each topic, in order.
#[derive(Debug, Default)]
pub(super) struct Gaps(HashMap<Arc<str>, Vec<Gap>>);

impl Gaps {
    /// The first one that began within these times, behind a status. A clock that was set back
    /// leaves one at a later time that the journal had before the status: the topic was heard since.
    pub(super) fn first(
        &self,
        topic: &str,
        status: LastStatus<'_>,
        until: Timestamp,
    ) -> Option<&Gap> {
        let gaps = self.0.get(topic)?;
        let from = gaps.partition_point(|gap| gap.since < status.at);
        let mut within = gaps[from..].iter().take_while(|gap| gap.since < until);
        within.find(|gap| !status.is_behind(gap))
    }

    /// A gap began.
    pub(super) fn add(&mut self, topic: &str, gap: Gap) {
        let gaps = self.0.entry(topic.into()).or_default();
        let index = gaps.partition_point(|known| order(known) <= order(&gap));
        gaps.insert(index, gap);
        if gaps.len() > GAPS_MAX as usize {
            gaps.remove(0);
        }
    }

    /// All gaps of a topic.
    pub(super) fn replace(&mut self, topic: &str, mut gaps: Vec<Gap>) {
        gaps.sort_by(|a, b| order(a).cmp(&order(b)));
        self.0.insert(topic.into(), gaps);
    }
}

/// A status that gaps are looked for behind: where it stands in the timeline, and in which journal.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastStatus<'a> {
    pub(super) at: Timestamp,
    /// `None`: its place there says nothing.
    pub(super) journal: Option<&'a str>,
    pub(super) position: i64,
}

impl LastStatus<'_> {
    /// The journal had the gap first.
    fn is_behind(&self, gap: &Gap) -> bool {
        gap.position < self.position && self.journal == Some(&*gap.journal)
    }
}

fn order(gap: &Gap) -> (Timestamp, &str) {
    (gap.since, &gap.cause)
}

/// A row of `coverage`, as far as gaps are made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) event_id: String,
    pub(super) journal: String,
    pub(super) position: i64,
    pub(super) heard: bool,
    pub(super) at: Timestamp,
    pub(super) cause: Arc<str>,
}

/// What a row of `coverage` says of gaps: whether it begins one, and when that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Begins {
    pub(super) gap: bool,
    pub(super) until: Option<Timestamp>,
}

/// Of each row of one topic whether it begins a gap: it was heard before, in its journal. The gap
/// ends with the next row that is heard; one that is open at the end of a journal ends with the
/// first that another journal has from then on. Of the gaps that several journals have from one
/// moment on it is the longest that stays. The rows are in order: those of a journal together, by
/// their positions.
pub(super) fn gaps_of(rows: &[Heard]) -> Vec<Begins> {
    let begins = |index: usize| {
        let row = &rows[index];
        let is_first = index
            .checked_sub(1)
            .and_then(|before| rows.get(before))
            .is_none_or(|before| before.journal != row.journal || before.heard);
        if row.heard || !is_first {
            return Begins::default();
        }
        let next = rows[index..]
            .iter()
            .take_while(|next| next.journal == row.journal)
            .find(|next| next.heard);
        let elsewhere = || {
            rows.iter()
                .filter(|other| other.journal != row.journal && other.heard && other.at >= row.at)
                .map(|other| other.at)
                .min()
        };
        Begins {
            gap: true,
            until: next.map(|next| next.at).or_else(elsewhere),
        }
    };
    let mut begins: Vec<Begins> = (0..rows.len()).map(begins).collect();
    for index in doubled(rows, &begins) {
        begins[index] = Begins::default();
    }
    begins
}

/// The gaps that another journal has from the same moment on, and as long or longer: after a restore
/// both the journal that was lost and the one that goes on report one outage.
fn doubled(rows: &[Heard], begins: &[Begins]) -> Vec<usize> {
    let mut longest: HashMap<Timestamp, usize> = HashMap::new();
    let mut doubled = Vec::new();
    // One that lasts is the longest. The one that goes on has not heard what it says has ceased.
    let length = |index: usize| {
        let row: &Heard = &rows[index];
        let goes_on = index == 0 || rows[index - 1].journal != row.journal;
        let until = begins[index].until.unwrap_or(Timestamp::MAX);
        (until, !goes_on, Reverse((&*row.cause, &*row.journal)))
    };
    for index in (0..rows.len()).filter(|index| begins[*index].gap) {
        let other = longest.entry(rows[index].at).or_insert(index);
        if rows[*other].journal == rows[index].journal {
            continue;
        }
        let shorter = match length(index) > length(*other) {
            true => std::mem::replace(other, index),
            false => index,
        };
        doubled.push(shorter);
    }
    doubled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_first_gap_since_a_status_is_found_and_one_at_the_end_is_not_within() {
        let mut gaps = Gaps::default();
        for second in [30, 10, 20] {
            let gap = Gap {
                since: at(second),
                cause: second.to_string().into(),
                journal: "j".into(),
                position: second,
            };
            gaps.add("a", gap);
        }
        let after = |second, position| LastStatus {
            at: at(second),
            journal: Some("j"),
            position,
        };
        let first = |since, until| {
            let gap = gaps.first("a", after(since, 0), at(until))?;
            Some(gap.since.as_second())
        };
        assert_eq!(first(0, 40), Some(10));
        assert_eq!(first(10, 40), Some(10));
        assert_eq!(first(11, 20), None);
        assert_eq!(first(11, 21), Some(20));
        assert_eq!(first(31, 99), None);
        assert_eq!(gaps.first("b", after(0, 0), at(99)), None);
        // The journal had the first two before it, and another journal says nothing of that.
        let found = |after| Some(gaps.first("a", after, at(99))?.since.as_second());
        assert_eq!(found(after(5, 25)), Some(30));
        let elsewhere = LastStatus {
            journal: Some("k"),
            ..after(5, 25)
        };
        assert_eq!(found(elsewhere), Some(10));
    }
}
