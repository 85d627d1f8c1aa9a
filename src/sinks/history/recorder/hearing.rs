//! The rows of `coverage`, and the gaps that they make.

use std::collections::HashSet;
use std::sync::Arc;

use super::recording::Covered;
use super::{Recorder, journal_of};
use crate::model::CoverageEvent;
use crate::sinks::history::gaps::{Begins, Heard, gaps_of};
use crate::sinks::history::tables::CoverageRow;
use crate::sinks::history::timeline::Gap;
use crate::sinks::history::times::whole;

/// The row of `coverage` that came last of a topic.
#[derive(Debug)]
pub(super) struct LastHeard {
    journal: String,
    position: i64,
    heard: bool,
    /// The row that began the gap that is open.
    open: Option<String>,
}

impl Recorder {
    /// What the coverage of a batch does; `stored` is there already. Comes before its statuses: a
    /// gap that began before a status counts for it, whichever was written down first.
    pub(in crate::sinks::history) fn cover(
        &mut self,
        coverage: &[&CoverageEvent],
        mut stored: HashSet<String>,
    ) -> Covered {
        let mut covered = Covered::default();
        for event in coverage {
            if stored.insert(event.event_id.clone()) {
                if !event.coverage.heard && !self.has_heard(event) {
                    covered.taken_over.push(covered.rows.len());
                }
                let begins = self.heard(event, &mut covered);
                let event = (*event).clone();
                covered.rows.push(CoverageRow { event, begins });
            }
        }
        covered
    }

    /// Whether the newest row of its topic is of its journal.
    fn has_heard(&self, event: &CoverageEvent) -> bool {
        let last = self.heard.get(&event.topic);
        last.is_some_and(|last| last.journal == journal_of(&event.origin))
    }

    fn heard(&mut self, event: &CoverageEvent, covered: &mut Covered) -> Begins {
        let journal = journal_of(&event.origin);
        let last = self.heard.get_mut(&event.topic).filter(|last| {
            last.journal == journal
                && last.position < event.position.0
                && !covered.topics.contains(&event.topic)
        });
        let Some(last) = last else {
            covered.topics.insert(Arc::clone(&event.topic));
            return Begins::default();
        };
        let was_heard = std::mem::replace(&mut last.heard, event.coverage.heard);
        last.position = event.position.0;
        if event.coverage.heard {
            let ended = last.open.take();
            covered
                .ends
                .extend(ended.map(|gap| (gap, event.coverage.at)));
            return Begins::default();
        }
        if was_heard {
            last.open = Some(event.event_id.clone());
            self.gaps.add(&event.topic, gap_of(event));
        }
        Begins {
            gap: was_heard,
            until: None,
        }
    }

    /// The gaps of a topic by all of its rows, each with what it says of them; gives the rows that
    /// say something else now.
    pub(in crate::sinks::history) fn cover_again(
        &mut self,
        topic: &Arc<str>,
        mut rows: Vec<(Heard, Begins)>,
    ) -> Vec<(String, Begins)> {
        rows.sort_by(|(a, _), (b, _)| (&a.journal, a.position).cmp(&(&b.journal, b.position)));
        let (rows, said): (Vec<Heard>, Vec<Begins>) = rows.into_iter().unzip();
        let begins = gaps_of(&rows);
        let gaps = rows
            .iter()
            .zip(&begins)
            .filter(|(_, begins)| begins.gap)
            .map(|(row, _)| Gap {
                since: row.at,
                cause: Arc::clone(&row.cause),
                journal: row.journal.as_str().into(),
                position: row.position,
            });
        self.gaps.replace(topic, gaps.collect());
        self.heard.remove(topic);
        // Only within one journal the next row says enough.
        if let Some(last) = rows.last().filter(|last| rows[0].journal == last.journal) {
            let open = rows
                .iter()
                .zip(&begins)
                .rev()
                .find(|(_, begins)| begins.gap);
            let open = open.filter(|(_, begins)| begins.until.is_none());
            self.heard.insert(
                Arc::clone(topic),
                LastHeard {
                    journal: last.journal.clone(),
                    position: last.position,
                    heard: last.heard,
                    open: open.map(|(row, _)| row.event_id.clone()),
                },
            );
        }
        let ids = rows.into_iter().map(|row| row.event_id);
        let says = ids.zip(begins).zip(said);
        says.filter(|((_, begins), said)| begins != said)
            .map(|(says, _)| says)
            .collect()
    }
}

fn gap_of(event: &CoverageEvent) -> Gap {
    let cause = event.coverage.cause.map_or("", |cause| cause.as_str());
    Gap {
        since: whole(event.coverage.at),
        cause: cause.into(),
        journal: journal_of(&event.origin).into(),
        position: event.position.0,
    }
}
