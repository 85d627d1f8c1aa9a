//! STOMP 1.0, 1.1 and 1.2: frames, their bytes, and a client session as a state machine. Knows no
//! socket, no clock, no task, no configuration.
//!
//! Bytes become frames in [`Decoder`] and frames become bytes in [`FrameWriter`]; both sides of a
//! connection use them. [`Session`] is the client: it takes received bytes and the time, and gives
//! events, bytes to send and the next deadline.

mod codec;
mod command;
mod connect;
mod encode;
mod error;
mod escape;
mod event;
mod excerpt;
mod frame;
mod headers;
mod heartbeat;
mod lenient;
mod limits;
mod message;
mod outbox;
mod receipts;
mod scan;
mod session;
mod subscription;
mod version;

pub use codec::Decoder;
pub use command::Command;
pub use connect::{Backslashes, Options};
pub use encode::{FrameWriter, HEARTBEAT, encode};
pub use error::DecodeError;
pub use event::{Confirmation, Connected, Event, Farewell, Malformed, ServerError, SessionError};
pub use frame::Frame;
pub use headers::Headers;
pub use heartbeat::Heartbeats;
pub use limits::Limits;
pub use message::{AckId, BodyKind, Confirm, Message, NewMessage};
pub use outbox::Outgoing;
pub use receipts::ReceiptId;
pub use session::{NackError, NotConnected, Session};
pub use subscription::{AckMode, Subscribe};
pub use version::Version;
