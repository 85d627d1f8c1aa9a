//! The command line: one file per verb.
//!
//! - `main`: the way to a verb; `args`: which there are; `exit`: how one fails; `error_words`: what
//!   an error says
//! - `run`, `check`, `config`, `demo`: those that read the configuration as the daemon does;
//!   `route`: what a message becomes; `config_written`: what the file says, and may say
//! - `status`, `dlq`, `replay`, `sinks`, `source`, `journal`: those that ask the running daemon, or change
//!   its journal; `target`: where that is; `sink_list`: of `sinks list`; `dlq_list`: of `dlq list`
//! - `history`: questions to a SQL history, by its place alone
//! - `why`: the way of one event, in a folder of its own
//! - `meaning`: whether what is written for a device is its ids or its name
//! - `tap`, `send`: those with a connection of their own, which is `connection`; `received`: what comes
//!   over it; `journal_tap`: what a daemon has journaled; `live`, `tap_line`, `frames`: what they print
//! - `doctor`: each layer of that connection, and each sink; `init`: a configuration from what comes
//!   over it
//! - `support_bundle`: one file for a person who helps, in a folder of its own
//! - `generated`: completions and manual pages
//! - `config_file`: which configuration is read by default
//! - `sent`: what a sink sends, for `config route`, `sinks test` (`sink_test`) and `tap SINK`
//!   (`sink_tap`)
//! - `print`, `terminal`, `width`, `time`, `number`, `log`, `redacted`, `runtime`: what all of them need

mod args;
mod check;
mod config;
mod config_file;
mod config_written;
mod connection;
mod demo;
mod dlq;
mod dlq_list;
mod doctor;
mod error_words;
mod exit;
mod following;
mod frames;
mod generated;
mod history;
mod init;
mod journal;
mod journal_tap;
mod live;
mod log;
mod main;
mod meaning;
mod number;
mod print;
mod received;
mod redacted;
mod replay;
mod route;
mod run;
mod runtime;
mod send;
mod sent;
mod sink_list;
mod sink_tap;
mod sink_test;
mod sinks;
mod source;
mod status;
mod support_bundle;
mod tap;
mod tap_line;
mod target;
mod terminal;
mod time;
mod why;
mod width;

pub use main::run;
