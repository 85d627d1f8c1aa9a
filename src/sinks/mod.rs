//! Where events go. A sink makes one attempt at a batch and says how far it came; reading the
//! journal, moving cursors, retrying and dead-lettering are `delivery`'s.
//!
//! In reading order:
//!
//! - `sink`: the trait, and what `build` makes; `capabilities`: what a sink says of itself
//! - `batch`: what an attempt is given; `trouble`: why it failed; `newest`: what is there already
//! - `health`: whether the sink is up; `condition`: the same in one word
//! - `history`, `mqtt`, `webhook`: one folder for each kind
//! - `preview`: what a sink would send, without sending it
//! - `probe`: whether it would be taken, without sending it
//! - `trial`: one test event, by the sink's real way; `answer`: what comes back of both
//! - `settings`, `error`: from the settings of any kind to its sink, or to what is wrong with them

mod answer;
mod batch;
mod capabilities;
mod condition;
mod error;
mod health;
pub mod history;
pub mod mqtt;
mod newest;
mod preview;
mod probe;
mod settings;
mod sink;
mod trial;
mod trouble;
pub mod webhook;

pub use answer::Answer;
pub use batch::{Batch, Reason};
pub use capabilities::{Capabilities, Ordering, Rate};
pub use condition::Condition;
pub use error::BuildError;
pub use health::{Health, HealthReport};
pub use history::Look;
pub use newest::Newest;
pub use preview::Preview;
pub use probe::probe;
pub use settings::{Settings, build};
pub use sink::{Built, Sink};
pub use trial::trial;
pub use trouble::{By, Trouble, Undelivered};
