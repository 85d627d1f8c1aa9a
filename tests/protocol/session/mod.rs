//! The client's session with a given clock: the server's bytes, the events that follow, and which
//! bytes the client sends when.

pub(crate) mod client;
mod connecting;
mod endings;
mod heartbeats;
mod messages;
