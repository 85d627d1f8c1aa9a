//! The newest status that a history has.

use jiff::Timestamp;

use crate::model::Origin;
use crate::sinks::Newest;

/// By its origin, and when it was received.
pub(super) fn stored_newest((origin, received_at): (String, Timestamp)) -> Option<Newest> {
    Some(Newest {
        origin: Origin::parse(&origin)?,
        received_at,
    })
}
