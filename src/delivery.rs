//! One sink's loop: read the journal, decode, filter, deliver, advance the cursor, set aside or back off.

use std::collections::HashSet;
use std::sync::Arc;

use crate::pipeline::Expression;

/// Validated settings of one sink's delivery, whatever its destination.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sink's name in the configuration: its cursor's key in the journal.
    pub name: Arc<str>,
    /// The topics that it wants; `None`: all.
    pub topics: Option<HashSet<Arc<str>>>,
    /// The events that it wants; `None`: all.
    pub when: Option<Expression>,
}
