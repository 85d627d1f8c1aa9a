//! STOMP 1.0, 1.1 and 1.2: frames, their bytes, and a client session as a state machine. Knows no socket, no clock,
//! no task, no configuration.

mod subscription;

pub use subscription::AckMode;
