//! The client's session with a given clock: what a server says, what follows, what is sent, and
//! when.

pub(crate) mod client;
mod connecting;
mod endings;
mod heartbeats;
mod messages;
