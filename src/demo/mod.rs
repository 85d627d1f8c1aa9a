//! A small STOMP broker with simulated devices, for the first five minutes and for tests.
//!
//! The broker speaks STOMP 1.0, 1.1 and 1.2 over plain TCP, over WebSocket (`/wxServer`,
//! `/webSocketServer/websocket`) and over SockJS's websocket transport (`/webSocketServer`), all on
//! one port of loopback. It keeps nothing: what nobody is subscribed to is gone, as with the simple
//! brokers that web platforms have.
//!
//! ```text
//! broker -> http (upgrades) -> framing -> connection -> session
//!                                              |
//!                                      hub: who is subscribed to what <- devices
//! ```

mod broker;
mod connection;
mod devices;
mod framing;
mod http;
mod hub;
mod message;
mod session;

pub use broker::Broker;
pub use devices::{Devices, Status};
pub use hub::Publisher;
pub use message::Message;
