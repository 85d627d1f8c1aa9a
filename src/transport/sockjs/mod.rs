//! SockJS: `/info`, then the first of its transports that works, each with a session of its own.
//!
//! - [`session`]: tries the transports, and is the one that works
//! - [`info`]: what the server offers
//! - [`xhr`], [`http`]: the transports without a WebSocket, and what all requests share
//! - [`frame`]: SockJS's frames and messages

mod frame;
mod http;
mod info;
mod session;
mod xhr;

pub(super) use session::{Receiver, Sender, dial, drain};
