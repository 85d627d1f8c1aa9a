//! What a history keeps of a device, and how much of it goes in one step.

/// Rows of one step: some ten milliseconds.
pub(super) const STEP_ROWS: u32 = 500;

/// A device of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDevice {
    pub(super) key: i64,
    /// The stream of its topics.
    pub stream: String,
    /// The owner of the device.
    pub client_id: String,
    /// The device.
    pub device_id: String,
    /// Its rows of `status_event`.
    pub statuses: u64,
    /// Its rows of `state_interval`, with those that last.
    pub intervals: u64,
}

/// Rows that only one device's events refer to.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// The newest event that was looked at.
    pub(super) through: i64,
    pub(super) payloads: Vec<i64>,
    pub(super) profiles: Vec<i64>,
}

/// What is left after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Much,
    /// No more than one step's.
    Little,
}
