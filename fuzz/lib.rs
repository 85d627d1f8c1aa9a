//! The parts of the daemon that are fuzzed, under the daemon's name. They know neither sockets nor
//! files, so nothing else of it is built.

#[path = "../src/duration.rs"]
pub mod duration;
#[path = "../src/secret.rs"]
pub mod secret;
#[path = "../src/stomp/mod.rs"]
pub mod stomp;
