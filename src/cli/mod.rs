//! The command line: one file per verb.
//!
//! - `main`: the way to a verb; `args`: which there are; `exit`: how one fails
//! - `run`, `check`, `config`, `demo`: those that read the configuration as the daemon does;
//!   `route`: what a message becomes
//! - `status`, `dlq`, `replay`, `sinks`, `source`, `journal`: those that ask the running daemon, or change
//!   its journal; `target`: where that is
//! - `history`: questions to a SQL history, by its place alone
//! - `why`: the way of one event, in a folder of its own
//! - `tap`, `send`: those with a connection of their own, which is `connection`; `live`, `frames`:
//!   what they print
//! - `config_file`: which configuration is read by default
//! - `print`, `terminal`, `log`, `redacted`, `runtime`: what all of them need

mod args;
mod check;
mod config;
mod config_file;
mod connection;
mod demo;
mod dlq;
mod exit;
mod frames;
mod history;
mod journal;
mod live;
mod log;
mod main;
mod print;
mod redacted;
mod replay;
mod route;
mod run;
mod runtime;
mod send;
mod sinks;
mod source;
mod status;
mod tap;
mod target;
mod terminal;
mod why;

pub use main::run;
