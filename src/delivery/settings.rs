//! What one sink's delivery is told.

use std::collections::HashSet;
use std::sync::Arc;

use crate::journal::Start;
use crate::pipeline::Expression;
use crate::retry::Retry;

/// Validated settings of one sink's delivery, whatever its destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The sink's name in the configuration: its cursor's key in the journal.
    pub name: Arc<str>,
    /// The topics that it wants; `None`: all.
    pub topics: Option<HashSet<Arc<str>>>,
    /// The events that it wants; `None`: all.
    pub when: Option<Expression>,
    /// Where it begins when it is new; also where its destination has a cursor of its own, but none
    /// for this journal.
    pub start: Start,
    /// Waits after trouble, and when an event is given up.
    pub retry: Retry,
}
