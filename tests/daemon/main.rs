//! The real binary as a process of its own: against the demo's broker, between real servers, and in
//! an operator's hands. `tests/prepare` installs the servers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod accounting;
mod beside;
mod brokers;
mod config_verbs;
mod demo;
mod demo_stompjs;
mod doctor;
mod doctor_servers;
mod history;
mod init;
mod live;
mod live_peers;
mod recipes;
mod run;
mod signin;
mod tap_send;
mod unit_file;
