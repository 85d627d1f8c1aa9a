//! HTTP requests with events, signed by Standard Webhooks; 2xx confirms, or what the configuration
//! looks for in the answer. Several devices' events are in flight at once, each device's in order,
//! over connections that are kept alive. `delivery` decides when the next attempt is and which
//! events it has.
//!
//! `webhook-id` is the event's id: the same on every attempt, after a crash and on a replay. The id
//! of a batch is made from the ids of its events, in their order: the same events have the same id.
//! A batch that is rejected, or that fails while others arrive, is posted in halves, which have
//! their own ids. After a crash a batch may have other events. So the receiver of batches
//! recognizes redeliveries by each `event_id`.
//!
//! - `settings`: what the configuration gives; `build`: from there to a sink
//! - `sink`: the attempts; `target`: one request; `body`, `headers`, `signature`: what is in it
//! - `exchange`: how it is sent; `answer`: what the answer means; `doorkeeper`: of a server that has
//!   not read the request; `denial`: what looks like a refusal in an answer that nobody looks at
//! - `reach`: whether the receiver is there
//! - `address`: where requests go, and what may be shown of it; `preview`: of a whole request

mod address;
mod answer;
mod body;
mod build;
mod denial;
mod doorkeeper;
mod exchange;
mod headers;
mod preview;
mod reach;
mod settings;
mod signature;
mod sink;
mod target;

pub use address::Address;
pub use answer::Answers;
pub use body::{Body, Posting};
pub(in crate::sinks) use build::build;
pub use headers::HeaderText;
pub use preview::RequestPreview;
pub use settings::{Method, Settings};
pub use signature::{Algorithm, Digits, HeaderSignature, is_signing_secret};
