//! The events of a batch by their kind.

use std::sync::Arc;

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
}

/// What a proof of delivery says: events that were stored before have no new rows.
pub(super) fn rows_stored(rows: usize, events: usize) -> String {
    let new = match rows {
        1 => "1 row stored".to_owned(),
        rows => format!("{rows} rows stored"),
    };
    match events.saturating_sub(rows) {
        0 => new,
        before => format!("{new}, {before} stored before"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_before_is_no_new_row() {
        for (rows, events, expected) in [
            (1, 1, "1 row stored"),
            (7, 7, "7 rows stored"),
            (0, 2, "0 rows stored, 2 stored before"),
        ] {
            assert_eq!(rows_stored(rows, events), expected);
        }
    }
}
