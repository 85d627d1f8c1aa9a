//! What a destination has already.

use jiff::Timestamp;

use crate::model::Origin;

/// The newest status that a destination has. A journal with another entry in its place is not the
/// one that brought it. It is a stale copy that went on by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// The entry that it came from.
    pub origin: Origin,
    /// When that was received, to the microsecond or nearly so.
    pub received_at: Timestamp,
}
