//! Tests that need neither a server nor the daemon. They cover the protocol as a whole: every rule
//! has its test, and so has every known mistake of other clients. Recorded bytes of real servers
//! are replayed over real sockets. They also cover the codec, the session, the decoding of bodies,
//! configurations, the documents, and the imports between modules.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod architecture;
mod codec;
mod config;
mod decode;
mod fuzz;
mod links;
mod log_lines;
mod mistakes;
mod operations;
mod pages;
mod phrases;
mod readme;
mod recipes;
mod release;
mod rules;
mod script;
mod sentences;
mod session;
mod transcripts;
mod vocabulary;
