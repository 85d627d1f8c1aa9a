//! MQTT republishing: QoS 1, the cursor moves on PUBACK. The journal is the session: the
//! connection's own is always clean, and unconfirmed events are published again on the next one.
//!
//! In reading order:
//!
//! - `settings`, `topic`: what the configuration gives; `build`: from there to a sink
//! - `sink`: the attempts; `publish`: what they send; `client_id`: who we are to the broker
//! - `connection`, `window`: publishes that are sent and not confirmed yet
//! - `driver`: the task that keeps a connection; `broker`: how one begins

mod broker;
mod build;
mod client_id;
mod connection;
mod driver;
mod publish;
mod settings;
mod sink;
pub mod topic;
mod window;

pub(in crate::sinks) use build::build;
pub(in crate::sinks) use publish::Publish;
pub use settings::{Qos, Settings};
