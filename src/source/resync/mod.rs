//! Snapshots: what a platform's REST interface says of all devices of a topic, asked for after each
//! gap in what was heard of it, and now and then.
//!
//! - [`ask`]: one request, with another sign-in where the first one has expired; [`snapshot`]: the
//!   statuses in its answer; [`error`]: why there are none
//! - [`topic`]: one topic's next snapshot; [`topics`]: all of them, and their requests
//! - [`live`]: which devices have said something meanwhile

mod ask;
mod error;
mod live;
mod snapshot;
mod topic;
mod topics;

pub(super) use live::LiveDevices;
pub(super) use topics::{Answered, Part, Resyncs};
