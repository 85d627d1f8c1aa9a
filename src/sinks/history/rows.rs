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
