//! The events of a batch by their kind.

use std::sync::Arc;

use super::recorder::{Covered, Recording};
use crate::model::{CoverageEvent, Event, StatusEvent};

/// What one transaction stores, each in the batch's order.
#[derive(Default)]
pub(super) struct Rows<'a> {
    /// For `event` and all that belongs to it.
    pub(super) statuses: Vec<&'a Arc<StatusEvent>>,
    /// For `coverage`.
    pub(super) coverage: Vec<&'a CoverageEvent>,
}

impl Rows<'_> {
    /// Of a batch.
    pub(super) fn of(events: &[Event]) -> Rows<'_> {
        let mut rows = Rows::default();
        for event in events {
            match event {
                Event::Status(status) => rows.statuses.push(status),
                Event::Coverage(coverage) => rows.coverage.push(coverage),
            }
        }
        rows
    }

    /// Those of the coverage, each of which may be stored already: the entries of a restored or a
    /// replayed journal come again, whatever is known of their journal. They are few.
    pub(super) fn coverage_ids(&self) -> Vec<String> {
        let ids = self.coverage.iter().map(|event| event.event_id.clone());
        ids.collect()
    }
}

/// What became of the events of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowsStored {
    /// New rows.
    pub(super) rows: usize,
    /// Statuses without a row, since they are older than what the history keeps.
    pub(super) too_old: u64,
    /// All of them: what has no new row, and is not too old, was stored before.
    pub(super) events: usize,
}

impl RowsStored {
    /// What a transaction makes of a batch, before it writes that.
    pub(super) fn of(events: &[Event], covered: &Covered, recording: &Recording) -> RowsStored {
        RowsStored {
            rows: covered.rows.len() + recording.events.len(),
            too_old: recording.too_old,
            events: events.len(),
        }
    }

    /// What a proof of delivery says.
    pub(super) fn text(&self) -> String {
        let mut text = match self.rows {
            1 => "1 row stored".to_owned(),
            rows => format!("{rows} rows stored"),
        };
        let too_old = usize::try_from(self.too_old).unwrap_or(usize::MAX);
        let before = self
            .events
            .saturating_sub(self.rows.saturating_add(too_old));
        for (count, what) in [
            (before, "stored before"),
            (too_old, "older than the kept rows"),
        ] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_before_or_is_too_old_is_no_new_row() {
        for (rows, too_old, events, expected) in [
            (1, 0, 1, "1 row stored"),
            (7, 0, 7, "7 rows stored"),
            (0, 0, 2, "0 rows stored, 2 stored before"),
            (0, 1, 1, "0 rows stored, 1 older than the kept rows"),
            (
                1,
                2,
                6,
                "1 row stored, 3 stored before, 2 older than the kept rows",
            ),
        ] {
            let stored = RowsStored {
                rows,
                too_old,
                events,
            };
            assert_eq!(stored.text(), expected);
        }
    }
}
