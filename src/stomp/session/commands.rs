//! What the caller asks of a session: each call queues at most a frame or two, or says why not.

use std::sync::Arc;
use std::time::Instant;

use super::{Phase, Session};
use crate::stomp::receipts::{Purpose, ReceiptId};
use crate::stomp::subscription::{State, Subscription};
use crate::stomp::{AckId, Command, Confirm, FrameWriter, NewMessage, Subscribe, Version};

/// There is no connected session, so nothing was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the STOMP session is not connected: nothing was sent")]
pub struct NotConnected;

/// Why a message was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NackError {
    /// See [`NotConnected`].
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    /// STOMP 1.0 has no NACK.
    #[error("STOMP 1.0 has no NACK: leave the message unacknowledged")]
    NoNack,
}

impl Session {
    /// Subscribes; before CONNECTED, as soon as it has come. An id that is in use is unsubscribed
    /// first: servers end the connection over an id that is used twice.
    pub fn subscribe(&mut self, wanted: Subscribe, now: Instant) {
        if self.has_ended() || matches!(self.phase, Phase::Disconnecting { .. }) {
            return;
        }
        let id = Arc::clone(&wanted.id);
        let before = self.subscriptions.insert(
            Arc::clone(&id),
            Subscription {
                wanted,
                state: State::Wanted,
            },
        );
        if let Phase::Connected { version, .. } = self.phase {
            if before.is_some_and(|before| before.receipt().is_some()) {
                let frame = |out: &mut _| {
                    FrameWriter::new(out, Command::Unsubscribe, version)
                        .header("id", &*id)
                        .end()
                };
                self.outbox.frame(frame);
            }
            self.write_subscribe(&id, version, now);
        }
    }

    /// Ends a subscription. What still comes of it is [`crate::stomp::Event::Late`], and its
    /// messages can be acknowledged no more.
    pub fn unsubscribe(&mut self, id: &str, now: Instant) {
        let Some((id, subscription)) = self.subscriptions.get_key_value(id) else {
            return;
        };
        let id = Arc::clone(id);
        match (subscription.state, &self.phase) {
            (State::Wanted, _) => {
                self.subscriptions.remove(&id);
            }
            (State::Sent(_) | State::Live(_), &Phase::Connected { version, .. }) => {
                self.write_unsubscribe(&id, version, now);
                self.set_state(&id, State::Ended);
                self.left.insert(id);
            }
            (State::Sent(_) | State::Live(_) | State::Ended, _) => {}
        }
    }

    /// Acknowledges a message; with [`crate::stomp::AckMode::Client`] also all before it, so that
    /// only the last of a batch needs it. Also after an error that has ended the session: the
    /// server may still read. Does nothing after DISCONNECT, or where the subscription has ended:
    /// the server would answer with an ERROR, and sends the message again by itself.
    pub fn ack(&mut self, id: &AckId) {
        if let Some(version) = self.acknowledges(id) {
            self.outbox
                .frame(|out| id.write(Command::Ack, version, None, out));
        }
    }

    /// As [`Session::ack`], within a transaction: it counts once that is committed.
    pub fn ack_in(&mut self, transaction: &str, id: &AckId) {
        if let Some(version) = self.acknowledges(id) {
            self.outbox
                .frame(|out| id.write(Command::Ack, version, Some(transaction), out));
        }
    }

    /// Refuses a message. What becomes of it is the server's matter: RabbitMQ sends it again,
    /// ActiveMQ dead-letters it. Does nothing where the subscription has ended.
    pub fn nack(&mut self, id: &AckId) -> Result<(), NackError> {
        if self.version()? == Version::V1_0 {
            return Err(NackError::NoNack);
        }
        if let Some(version) = self.acknowledges(id) {
            self.outbox
                .frame(|out| id.write(Command::Nack, version, None, out));
        }
        Ok(())
    }

    /// Sends a message. The receipt, where one is wanted, comes back in
    /// [`crate::stomp::Event::Receipt`].
    pub fn send(
        &mut self,
        message: &NewMessage<'_>,
        now: Instant,
    ) -> Result<Option<ReceiptId>, NotConnected> {
        let version = self.version()?;
        let receipt = match message.confirm {
            Confirm::No => None,
            Confirm::Receipt => Some(self.receipts.expect(Purpose::Caller, now)),
        };
        self.outbox
            .frame(|out| message.write(version, receipt, out));
        Ok(receipt)
    }

    /// Begins a transaction of that name.
    pub fn begin(&mut self, transaction: &str) -> Result<(), NotConnected> {
        let version = self.version()?;
        self.outbox.frame(|out| {
            FrameWriter::new(out, Command::Begin, version)
                .header("transaction", transaction)
                .end()
        });
        Ok(())
    }

    /// Commits a transaction; its receipt comes back in [`crate::stomp::Event::Receipt`].
    pub fn commit(&mut self, transaction: &str, now: Instant) -> Result<ReceiptId, NotConnected> {
        let version = self.version()?;
        let receipt = self.receipts.expect(Purpose::Caller, now);
        self.outbox.frame(|out| {
            let frame =
                FrameWriter::new(out, Command::Commit, version).header("transaction", transaction);
            frame.header("receipt", receipt.to_string()).end();
        });
        Ok(receipt)
    }

    /// Gives a transaction up.
    pub fn abort(&mut self, transaction: &str) -> Result<(), NotConnected> {
        let version = self.version()?;
        self.outbox.frame(|out| {
            FrameWriter::new(out, Command::Abort, version)
                .header("transaction", transaction)
                .end()
        });
        Ok(())
    }

    pub(super) fn write_unsubscribe(&mut self, id: &str, version: Version, now: Instant) {
        let receipt = self
            .receipts
            .expect(Purpose::Unsubscribe(Arc::from(id)), now)
            .to_string();
        self.outbox.frame(|out| {
            let frame = FrameWriter::new(out, Command::Unsubscribe, version);
            frame.header("id", id).header("receipt", receipt).end();
        });
    }

    pub(super) fn write_subscribe(&mut self, id: &Arc<str>, version: Version, now: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return;
        };
        let receipt = self
            .receipts
            .expect(Purpose::Subscribe(Arc::clone(id)), now);
        subscription.state = State::Sent(receipt);
        self.outbox
            .frame(|out| subscription.wanted.write(version, receipt, out));
    }

    fn version(&self) -> Result<Version, NotConnected> {
        match self.phase {
            Phase::Connected { version, .. } => Ok(version),
            Phase::Connecting { .. }
            | Phase::Disconnecting { .. }
            | Phase::Failed { .. }
            | Phase::Over => Err(NotConnected),
        }
    }

    /// The version to write an ACK or NACK in, if the server would still take it. Of a subscription
    /// that we never made it has just sent the id.
    fn acknowledges(&self, id: &AckId) -> Option<Version> {
        let live = matches!(self.state(&id.subscription), Some(State::Live(_)) | None);
        match self.phase {
            Phase::Connected { version, .. } | Phase::Failed { version, .. } if live => {
                Some(version)
            }
            _ => None,
        }
    }
}
