//! MQTT republishing, by MQTT 5 or 3.1.1: QoS 1, the cursor moves on PUBACK. The journal is the
//! session: the connection's own is always clean, and unconfirmed events are published again on the
//! next one.
//!
//! In reading order:
//!
//! - `settings`, `topic`: what the configuration gives; `build`: from there to a sink
//! - `sink`: the attempts; `publish`: what they send; `client_id`: who we are to the broker
//! - `judged`, `accused`: what is known of events that the broker does not accept
//! - `connection`, `window`, `aliases`: publishes that are sent and not confirmed yet
//! - `driver`: the task that keeps a connection; `broker`, `offer`, `dial`, `websocket`: how one
//!   begins; `terms`: what holds for it; `loss`: how it ends
//! - `incoming`, `outgoing`, `reason`: packets of both versions

mod accused;
mod aliases;
mod broker;
mod build;
mod client_id;
mod connection;
mod dial;
mod driver;
mod incoming;
mod judged;
mod loss;
mod offer;
mod outgoing;
mod publish;
mod reason;
mod settings;
mod sink;
mod terms;
pub mod topic;
mod websocket;
mod window;

pub(in crate::sinks) use build::build;
pub(in crate::sinks) use publish::Publish;
pub use settings::{MAX_INFLIGHT, Protocol, Qos, Settings};
