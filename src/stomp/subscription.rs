//! A subscription and how its messages are acknowledged.

use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;

use super::command::Command;
use super::encode::FrameWriter;
use super::receipts::ReceiptId;
use super::version::Version;

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

impl AckMode {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            AckMode::Auto => "auto",
            AckMode::Client => "client",
            AckMode::ClientIndividual => "client-individual",
        }
    }
}

/// What to subscribe to.
#[derive(Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Unique in the session; use `[A-Za-z0-9-]` only, which no server escapes in its own way.
    pub id: Arc<str>,
    /// As the server knows it.
    pub destination: String,
    /// How messages are acknowledged.
    pub ack: AckMode,
    /// Further headers, written after ours: of a repeated header the first counts.
    pub headers: Vec<(String, String)>,
}

/// Without the destination and the values of headers, which may hold what a sign-in has given.
impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Subscribe")
            .field("id", &self.id)
            .field("ack", &self.ack)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

/// One subscription and how far it has come.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) wanted: Subscribe,
    pub(super) state: State,
}

/// How far a subscription has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Asked for before CONNECTED; nothing is sent yet.
    Wanted,
    /// SUBSCRIBE is sent with this receipt, and nothing has confirmed it.
    Sent(ReceiptId),
    /// Confirmed; the receipt is kept for an ERROR that comes late.
    Live(ReceiptId),
    /// UNSUBSCRIBE is sent. Messages in flight may still come.
    Ended,
}

impl Subscription {
    /// The receipt that SUBSCRIBE asked for.
    pub(super) fn receipt(&self) -> Option<ReceiptId> {
        match self.state {
            State::Sent(receipt) | State::Live(receipt) => Some(receipt),
            State::Wanted | State::Ended => None,
        }
    }
}

impl Subscribe {
    /// Appends the SUBSCRIBE frame.
    pub(super) fn write(&self, version: Version, receipt: ReceiptId, out: &mut BytesMut) {
        let mut frame = FrameWriter::new(out, Command::Subscribe, version)
            .header("id", &*self.id)
            .header("destination", &self.destination)
            .header("ack", self.ack.as_str())
            .header("receipt", receipt.to_string());
        for (name, value) in &self.headers {
            frame = frame.header(name, value);
        }
        frame.end();
    }
}
