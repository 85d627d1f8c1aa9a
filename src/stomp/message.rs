//! Messages: a MESSAGE as it is handed to the caller, what must be kept of it to acknowledge it,
//! and one to be sent.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::command::Command;
use super::encode::FrameWriter;
use super::excerpt::{WORD_CHARS_MAX, excerpt};
use super::headers::Headers;
use super::receipts::ReceiptId;
use super::subscription::AckMode;
use super::version::Version;

/// What acknowledges one message. Cheap to clone and to keep by the thousand; of use only in the
/// session that it came from. It shares the memory of the chunk that the message arrived in until
/// it is dropped.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AckId {
    pub(super) subscription: Arc<str>,
    /// 1.2: the MESSAGE's `ack`; before: its `message-id`. As it stood on the wire.
    pub(super) id: Bytes,
}

impl AckId {
    /// What a message of that version needs to be acknowledged; `None`: nothing would acknowledge
    /// it.
    pub(super) fn of(
        version: Version,
        mode: AckMode,
        subscription: &Arc<str>,
        headers: &Headers,
        ack: Option<Cow<'_, [u8]>>,
        message_id: Option<Cow<'_, [u8]>>,
    ) -> Option<AckId> {
        // Spring's simple broker claims 1.2 and sends no `ack`: it takes no ACK either.
        let (name, value) = match (mode, version) {
            (AckMode::Auto, _) => return None,
            (_, Version::V1_2) => ("ack", ack),
            (_, Version::V1_0 | Version::V1_1) => ("message-id", message_id),
        };
        Some(AckId {
            subscription: Arc::clone(subscription),
            id: match value {
                Some(value) => headers.keep_raw(name, value),
                None => headers.raw(name)?,
            },
        })
    }

    /// What acknowledges a message of no subscription of ours, where the server may wait for it.
    /// 1.1 has no header that asks for it: the ACK names the subscription that the message came with.
    /// 1.0 has none that says whose the message is.
    pub(super) fn of_nobody(version: Version, headers: &Headers) -> Option<AckId> {
        let said = headers.find("subscription");
        let (said, id) = match version {
            Version::V1_2 => (said.unwrap_or_default(), headers.raw("ack")?),
            Version::V1_1 => (said?, headers.raw("message-id")?),
            Version::V1_0 => return None,
        };
        Some(AckId {
            subscription: said.into(),
            id,
        })
    }

    /// Appends the ACK or NACK frame (section ACK of each version).
    pub(super) fn write(
        &self,
        command: Command,
        version: Version,
        transaction: Option<&str>,
        out: &mut BytesMut,
    ) {
        let frame = FrameWriter::new(out, command, version);
        let frame = match version {
            Version::V1_0 => frame.repeated("message-id", &self.id),
            Version::V1_1 => frame
                .header("subscription", &*self.subscription)
                .repeated("message-id", &self.id),
            Version::V1_2 => frame.repeated("id", &self.id),
        };
        match transaction {
            Some(transaction) => frame.header("transaction", transaction).end(),
            None => frame.end(),
        }
    }

    /// The subscription of the message.
    pub fn subscription(&self) -> &Arc<str> {
        &self.subscription
    }
}

#[cfg(test)]
impl AckId {
    /// Of a message of that topic: what tests begin with.
    pub(crate) fn sample(subscription: &str) -> AckId {
        AckId {
            subscription: subscription.into(),
            id: Bytes::from_static(b"1"),
        }
    }
}

impl fmt::Debug for AckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "AckId({}, {})",
            self.subscription,
            excerpt(&self.id, WORD_CHARS_MAX)
        )
    }
}

/// One message (STOMP 1.2, section MESSAGE).
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The id that SUBSCRIBE gave.
    pub subscription: Arc<str>,
    /// What acknowledges it; `None`: it needs no ACK, or the server takes none.
    pub ack: Option<AckId>,
    /// The server says that it has sent it before.
    pub redelivered: bool,
    /// All headers.
    pub headers: Headers,
    /// As sent. It shares the memory of the chunk that it arrived in.
    pub body: Bytes,
    /// Bytes after `body` that were too many to be kept; 0: `body` is whole. See
    /// [`Limits::oversize_bytes_max`](super::Limits::oversize_bytes_max).
    pub missing_bytes: usize,
}

impl Message {
    /// Where it was sent to; empty if the server did not say.
    pub fn destination(&self) -> Cow<'_, str> {
        self.headers.get("destination").unwrap_or_default()
    }

    /// The server's name for it, which changes on every connection: never a key.
    pub fn message_id(&self) -> Option<Cow<'_, str>> {
        self.headers.get("message-id")
    }
}

/// With no more of the body than a log line bears.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("subscription", &self.subscription)
            .field("ack", &self.ack)
            .field("redelivered", &self.redelivered)
            .field("headers", &self.headers)
            .field("body", &excerpt(&self.body, WORD_CHARS_MAX))
            .field("body_bytes", &(self.body.len() + self.missing_bytes))
            .finish()
    }
}

/// Whether a receipt is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Confirm {
    /// Send and forget.
    #[default]
    No,
    /// The server is asked for a receipt.
    Receipt,
}

/// What a body is to a server that knows the difference (ActiveMQ, Artemis).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyKind {
    /// Text: sent without `content-length` unless there is a NUL in it.
    #[default]
    Text,
    /// Bytes: sent with `content-length`.
    Bytes,
}

/// A message to be sent (STOMP 1.2, section SEND).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NewMessage<'a> {
    /// As the server knows it.
    pub destination: &'a str,
    /// Further headers, written after ours. Never a `message-id`: RabbitMQ answers it with an
    /// ERROR.
    pub headers: &'a [(&'a str, &'a str)],
    /// As it is.
    pub body: &'a [u8],
    /// See [`BodyKind`].
    pub kind: BodyKind,
    /// The transaction that it belongs to.
    pub transaction: Option<&'a str>,
    /// See [`Confirm`].
    pub confirm: Confirm,
}

impl NewMessage<'_> {
    /// Appends the SEND frame.
    pub(super) fn write(&self, version: Version, receipt: Option<ReceiptId>, out: &mut BytesMut) {
        let mut frame =
            FrameWriter::new(out, Command::Send, version).header("destination", self.destination);
        if let Some(transaction) = self.transaction {
            frame = frame.header("transaction", transaction);
        }
        if let Some(receipt) = receipt {
            frame = frame.header("receipt", receipt.to_string());
        }
        for (name, value) in self.headers {
            frame = frame.header(name, value);
        }
        match self.kind {
            BodyKind::Text => frame.text(self.body),
            BodyKind::Bytes => frame.body(self.body),
        }
    }
}
