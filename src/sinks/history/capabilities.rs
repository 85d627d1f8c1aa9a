//! What both histories can do.

use std::time::Duration;

use crate::sinks::{Capabilities, Ordering};

/// Events of a transaction while it catches up. Each transaction updates a device's row once,
/// however many statuses the device has in it, and syncs once. Nothing of it is stored twice after
/// a crash.
const BATCH_EVENTS_MAX: usize = 8000;

/// A transaction costs its syncs, a message to each thread, and a row of `device_row` for each device in
/// it: where many events come, they go together. A row is seen so much later at most.
const TRANSACTION_INTERVAL: Duration = Duration::from_millis(200);

/// What both can do.
pub(super) const CAPABILITIES: Capabilities = Capabilities {
    batch_max: BATCH_EVENTS_MAX,
    ordering: Ordering::Global,
    keeps_cursor: true,
    rate: None,
    attempt_interval: TRANSACTION_INTERVAL,
    idle_interval: Duration::from_secs(30),
};
