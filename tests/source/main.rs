//! The source and its transports against servers in the test itself, on port 0 of the loopback.
//! Nothing must be installed for them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod scripted;
mod supervision;
mod transport;
