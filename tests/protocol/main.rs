//! The protocol as a whole: every rule has its test, every mistake that other clients are known for
//! has one, and what real servers were seen to send is replayed byte for byte over real sockets.

#![allow(clippy::unwrap_used)] // Outside of test functions, but all of this is a test.

#[allow(dead_code)] // A part of it is enough here.
#[path = "../stomp_session/client.rs"]
mod client;
mod mistakes;
mod rules;
mod script;
mod transcripts;
