//! What a session tells its caller: events while it lives, and the error that ends it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::command::Command;
use super::error::DecodeError;
use super::excerpt::{TEXT_CHARS_MAX, WORD_CHARS_MAX, excerpt, first_lines};
use super::frame::Frame;
use super::headers::Headers;
use super::heartbeat::Heartbeats;
use super::message::Message;
use super::receipts::{self, ReceiptId};
use super::version::Version;
use crate::duration::InWords;

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server has accepted us; subscriptions requested before are sent now.
    Connected(Connected),
    /// A subscription stands, as far as we know.
    Subscribed {
        /// The subscription.
        id: Arc<str>,
        /// How we know.
        confirmed: Confirmation,
    },
    /// A subscription has ended, as far as we know.
    Unsubscribed {
        /// The subscription.
        id: Arc<str>,
        /// How we know.
        confirmed: Confirmation,
    },
    /// A message of a subscription.
    Message(Message),
    /// A message of a subscription that we have ended: it was in flight. It can no longer be
    /// acknowledged.
    Late(Message),
    /// The server withheld a message of a subscription that we have ended.
    /// [`Options::withheld`](super::Options::withheld) finds that in its ERROR. Where messages are
    /// acknowledged it keeps it until the session is over.
    Withheld {
        /// The subscription.
        id: Arc<str>,
    },
    /// A message of a subscription that we never made; its `subscription` is what the server says,
    /// or empty.
    Unknown(Message),
    /// A frame has broken a rule, and is read in spite of it: its own event follows, where it has
    /// one.
    Malformed(Malformed),
    /// The outcome of a receipt that the caller asked for.
    Receipt {
        /// As `send` and `commit` gave it.
        id: ReceiptId,
        /// `Silence`: it has not come in time; whether the server did what was asked is unknown.
        confirmed: Confirmation,
    },
    /// The session is over because we wanted it to be.
    Disconnected(Farewell),
}

/// How we know that the server has done something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Confirmation {
    /// It sent the receipt.
    Receipt,
    /// It sent a message of the subscription.
    Message,
    /// It sent no receipt and no ERROR in time, as Spring's simple broker never does.
    Silence,
}

impl Confirmation {
    /// One word, for log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Confirmation::Receipt => "receipt",
            Confirmation::Message => "message",
            Confirmation::Silence => "silence",
        }
    }
}

/// How a session ended that we wanted to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Farewell {
    /// The server has confirmed DISCONNECT: all that we sent before has arrived.
    Receipt,
    /// The server has closed the stream.
    Closed,
    /// No receipt in time.
    Silence,
    /// The server answered with an ERROR.
    Error(ServerError),
    /// There was no CONNECTED yet, so nothing was sent.
    NotConnected,
}

/// What is known of a frame that has broken a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// What it is.
    pub command: Command,
    /// The subscription of ours that it is taken for.
    pub found: Option<Arc<str>>,
    /// The subscription that it names, clamped.
    pub subscription: Option<String>,
    /// Its destination, clamped.
    pub destination: Option<String>,
    /// Its message-id, clamped.
    pub message_id: Option<String>,
    /// The rule.
    pub mistake: DecodeError,
}

impl Malformed {
    pub(super) fn new(command: Command, headers: &Headers, mistake: DecodeError) -> Malformed {
        let clamped = |name| {
            let value = headers.find(name)?;
            Some(excerpt(value.as_bytes(), WORD_CHARS_MAX))
        };
        Malformed {
            command,
            found: None,
            subscription: clamped("subscription"),
            destination: clamped("destination"),
            message_id: clamped("message-id"),
            mistake,
        }
    }
}

/// What CONNECTED says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// The version from now on.
    pub version: Version,
    /// The server's name and version, clamped, such as `RabbitMQ/3.10.8`.
    pub server: Option<String>,
    /// The server's name for this session, clamped.
    pub session: Option<String>,
    /// The agreed heart-beats. Without incoming ones nothing here detects a dead link.
    pub heartbeat: Heartbeats,
}

/// What an ERROR frame says, clamped for logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// Its `message` header.
    pub message: String,
    /// The first lines of its body.
    pub detail: String,
    /// The receipt that it refuses, if it names one of ours.
    pub receipt: Option<ReceiptId>,
    /// Subscriptions that nothing had confirmed when it came. Many servers do not say what an ERROR
    /// is about.
    pub unconfirmed: Vec<Arc<str>>,
}

impl ServerError {
    pub(super) fn of(frame: &Frame) -> ServerError {
        let message = frame.headers.find("message").unwrap_or_default();
        ServerError {
            message: excerpt(message.trim().as_bytes(), TEXT_CHARS_MAX),
            detail: first_lines(&frame.body),
            receipt: receipts::named(frame.headers.find("receipt-id").as_deref()),
            unconfirmed: Vec::new(),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.message.as_str(), self.detail.as_str()) {
            ("", "") => f.write_str("ERROR without a text"),
            (message, "") => f.write_str(message),
            // ActiveMQ's stack trace begins with the message.
            (message, detail) if detail.contains(message) => f.write_str(detail),
            (message, detail) => write!(f, "{message}: {detail}"),
        }
    }
}

impl std::error::Error for ServerError {}

/// Why a session is over. The connection is to be closed; many servers leave it open after an
/// ERROR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// ERROR instead of CONNECTED: it will be so again until somebody changes something.
    #[error(
        "the server refused CONNECT: {0}; check login, passcode, host (the virtual host) and headers"
    )]
    Refused(Box<ServerError>),
    /// ERROR that names a SUBSCRIBE of ours, or names nothing while only one was unconfirmed
    /// (RabbitMQ names none). It comes again until somebody changes something.
    #[error("subscribe to {destination} refused: {error}")]
    SubscribeRefused {
        /// The subscription.
        id: Arc<str>,
        /// Its destination.
        destination: String,
        /// What the server says.
        error: Box<ServerError>,
    },
    /// Any other ERROR.
    #[error("the server ended the session: {0}{suspects}", suspects = unconfirmed(.0))]
    Server(Box<ServerError>),
    /// What arrived is no STOMP.
    #[error(transparent)]
    Protocol(#[from] DecodeError),
    /// A frame that has no place here.
    #[error("the server sent {command}, which has no place here")]
    Unexpected {
        /// Its command.
        command: Command,
    },
    /// No CONNECTED and no ERROR in time.
    #[error("no CONNECTED within {}: check that the URL is a STOMP endpoint's", InWords(*after))]
    ConnectedTimeout {
        /// [`super::Options::connected_timeout`].
        after: Duration,
    },
    /// The server has sent nothing, not even a heart-beat.
    #[error("the server has been silent for {}", InWords::about(*silence))]
    Silent {
        /// The length of the silence.
        silence: Duration,
    },
    /// The stream ended before CONNECTED, as RabbitMQ ends it where it cannot read a header of
    /// CONNECT.
    #[error("the server closed the connection before CONNECTED; check login, passcode and host")]
    ClosedBeforeConnected,
    /// The stream ended, unasked.
    #[error("the server closed the connection, {unfinished_bytes} bytes into a frame")]
    Closed {
        /// Bytes of a frame that was cut; 0: it ended between frames.
        unfinished_bytes: usize,
    },
}

/// What may have been the cause of an ERROR that does not say.
fn unconfirmed(error: &ServerError) -> String {
    match error.unconfirmed.as_slice() {
        [] => String::new(),
        ids => format!(
            " (subscriptions that were not confirmed yet: {})",
            ids.join(", ")
        ),
    }
}
