//! HTTP POST of events, signed by Standard Webhooks; 2xx confirms. Several devices' events are on
//! their way at once, each device's in order, over connections that are kept alive; when and what
//! next is decided by `delivery`.
//!
//! `webhook-id` is the event's id: the same on every attempt, after a crash and on a replay. Where
//! events are posted in batches it is made from the ids of those that the batch holds, in their
//! order: the same events have the same id again. A batch that is refused, or that fails while
//! others arrive, is posted in halves, and those have ids of their own; after a crash other events
//! may come together. A receiver that is to tell repetitions looks at each `event_id` then.
//!
//! - `settings`: what the configuration gives; `build`: from there to a sink
//! - `sink`: the attempts; `target`: one request; `body`, `signature`: what is in it
//! - `answer`: what the receiver's status means; `reach`: whether the receiver is there
//! - `address`: what may be shown of its URL

mod address;
mod answer;
mod body;
mod build;
mod reach;
mod settings;
mod signature;
mod sink;
mod target;

pub use body::{Body, Posting};
pub(in crate::sinks) use build::build;
pub use settings::Settings;
