//! One connected life of the STOMP side after another: dial, connect, subscribe, and intake (batch, journal, ACK).

mod settings;

pub use settings::{Reconnect, Settings, Topic};
