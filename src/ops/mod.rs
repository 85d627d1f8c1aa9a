//! What an operator looks at and asks for: health, readiness, metrics, status, delivery
//! accounting, redrives and replays; and systemd's notifications.
//!
//! In reading order:
//!
//! - `view`, `sinks`, `setup`: what there is to look at; `samples`, `sampler`: what is counted over time
//! - `verdict`: how the daemon is, in one sentence and what to do; `lang`: the two languages; `links`:
//!   the paths of things that have a page
//! - `settings`, `http`: the listener and its routes
//! - `guard`, `cookie`: who may ask for what
//! - `connections`, `connection`, `activity`: its connections, how many and for how long
//! - `status`, `metrics`: what it answers; `reload`: how the last reload ended
//! - `snapshot`: all that the page shows of one moment; `device_query`: what a history
//!   is asked of devices; `page`: the pages, their stream and the API
//! - `control`: what it accepts; `retry`: what of it is no matter of the journal; `decode_again`,
//!   `redecoded`: undecodable entries that can be decoded by now
//! - `audit`, `findings`: whether the delivery accounting balances
//! - `systemd`: what systemd hears of the daemon

mod activity;
pub mod audit;
mod connection;
mod connections;
pub mod control;
mod cookie;
pub mod decode_again;
mod device_query;
mod findings;
mod guard;
mod http;
mod lang;
mod links;
mod metrics;
mod page;
mod progress;
pub mod redecoded;
mod reload;
mod retry;
mod sampler;
mod samples;
mod settings;
mod setup;
mod sinks;
mod snapshot;
pub mod status;
pub mod systemd;
mod trouble;
mod turns;
mod verdict;
mod view;

pub use findings::Findings;
pub use http::{ListenError, Listener};
pub use lang::size;
pub use reload::{RejectedReload, Reloads};
pub use settings::Settings;
pub use setup::{Setup, Setups, TopicSetup};
pub use sinks::{SinkView, Sinks};
pub use turns::Turns;
pub use verdict::{Level, Said, Todo, Verdict};
pub use view::{Bounds, View};
