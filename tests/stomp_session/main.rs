//! The client's session with a given clock: what a server says, what follows, what is sent, and
//! when.

#![allow(clippy::unwrap_used)] // A test may panic, in its helpers too.

mod client;
mod connecting;
mod endings;
mod heartbeats;
mod messages;
