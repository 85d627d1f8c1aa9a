//! The events of a batch by the table that they go into.

use crate::model::{CoverageEvent, Event, StatusEvent};

/// What one transaction stores, each in the batch's order.
#[derive(Default)]
pub(super) struct Rows<'a> {
    /// For `status_event` and `device`.
    pub(super) statuses: Vec<&'a StatusEvent>,
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

    /// The ids of the statuses.
    pub(super) fn status_ids(&self) -> Vec<&str> {
        let ids = self.statuses.iter().map(|status| status.event_id.as_str());
        ids.collect()
    }
}
