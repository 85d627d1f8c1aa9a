//! Builds the parts, owns the task tree, the stop order and reload.
//!
//! ```text
//! SIGHUP, a changed file   -> what has changed is applied, see `daemon/reload.rs`
//! first SIGTERM or SIGINT  -> source: commit, ACK, DISCONNECT         (5 s at most)
//!                          -> deliveries finish what is in flight     (15 s at most)
//!                          -> journal: cursors, checkpoint            (3 s at most)
//!                          -> http
//! second signal            -> the process ends at once; the journal holds the rest
//! ```
//!
//! - `daemon`: the task tree; in its folder what a start makes first (`begun`), the signals, and reload
//! - `expected`: which tasks may end; `watch`: the configuration's folder
//! - `running_sinks`: the sinks' tasks; `delivery_runtime`: their threads
//! - `setup`: what of the configuration the page shows; `untuned`: what the build lacks
//! - `diff`: what another configuration changes; `troubles`: when secrets are read again

mod daemon;
mod delivery_runtime;
mod diff;
mod expected;
mod running_sinks;
mod setup;
mod troubles;
mod untuned;
mod watch;

pub use daemon::{App, Signals, is_bad_configuration, try_build};
