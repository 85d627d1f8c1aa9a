//! What an operator looks at and asks for: health, readiness, metrics, status, delivery
//! accounting, redrives and replays; and systemd's notifications.
//!
//! In reading order:
//!
//! - `view`, `sinks`: what there is to look at
//! - `settings`, `http`: the listener and its routes
//! - `guard`: who may ask for what
//! - `connections`, `connection`, `activity`: its connections, how many and for how long
//! - `status`, `metrics`: what it answers; `reload`: how the last reload ended
//! - `control`: what it accepts; `retry`: what of it is no matter of the journal
//! - `audit`, `findings`: whether the delivery accounting balances
//! - `systemd`: what systemd hears of the daemon

mod activity;
pub mod audit;
mod connection;
mod connections;
pub mod control;
mod findings;
mod guard;
mod http;
mod metrics;
mod reload;
mod retry;
mod settings;
mod sinks;
pub mod status;
pub mod systemd;
mod view;

pub use findings::Findings;
pub use http::{ListenError, Listener};
pub use reload::{RejectedReload, Reloads};
pub use settings::Settings;
pub use sinks::{SinkView, Sinks};
pub use view::{Bounds, View};
