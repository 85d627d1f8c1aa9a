//! Snapshots: what a platform's REST interface says of all devices of a topic, asked for after each
//! gap in what was heard of it, and now and then.
//!
//! - [`settings`]: how a topic's snapshot is asked for; [`error`]: why there is none
//! - [`ask`]: one request, with another sign-in where the first one has expired; [`snapshot`]: the
//!   statuses in its answer
//! - [`topic`]: one topic's next snapshot; [`topics`]: all of them, and their requests
//! - [`live`]: which devices have said something meanwhile; [`report`]: how the last one ended

mod ask;
mod error;
mod live;
mod report;
mod settings;
mod snapshot;
mod topic;
mod topics;

pub(super) use live::LiveDevices;
pub use report::ResyncReport;
pub use settings::Resync;
pub(super) use topics::{Answered, Part, Resyncs};
