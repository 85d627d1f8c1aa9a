//! What needs neither a server nor the daemon: the protocol as a whole (every rule has its test,
//! every mistake that other clients are known for has one, and what real servers were seen to send
//! is replayed byte for byte over real sockets), its codec and its session by themselves, bodies
//! and what they decode to, configurations, and which module may know which.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod architecture;
mod codec;
mod config;
mod decode;
mod mistakes;
mod rules;
mod script;
mod session;
mod transcripts;
mod vocabulary;
