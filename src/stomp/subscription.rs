//! What is subscribed and how its messages are acknowledged.

/// SUBSCRIBE's `ack` header (STOMP 1.2, section SUBSCRIBE).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AckMode {
    /// The server takes a message as acknowledged when it has sent it.
    #[default]
    Auto,
    /// An ACK is for the message and all before it on the subscription.
    Client,
    /// An ACK is for one message.
    ClientIndividual,
}
