//! What the server's frames mean to a session.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Phase, Session};
use crate::stomp::event::{Confirmation, Connected, Event, Farewell, ServerError, SessionError};
use crate::stomp::excerpt::{WORD_CHARS_MAX, excerpt};
use crate::stomp::heartbeat::{Heartbeats, Pulse};
use crate::stomp::receipts::{self, Purpose, ReceiptId};
use crate::stomp::subscription::{State, Subscription};
use crate::stomp::{AckId, Command, Frame, Message, Version};

impl Session {
    pub(super) fn handle(&mut self, frame: Frame) -> Result<Option<Event>, SessionError> {
        match (&self.phase, frame.command) {
            (Phase::Connecting { .. }, Command::Connected) => self.connected(&frame).map(Some),
            (Phase::Connecting { .. }, Command::Error) => {
                Err(SessionError::Refused(Box::new(ServerError::of(&frame))))
            }
            (Phase::Connecting { .. }, command) => Err(SessionError::Unexpected { command }),
            (
                &Phase::Connected { version, .. } | &Phase::Disconnecting { version, .. },
                Command::Message,
            ) => Ok(Some(self.message(frame, version))),
            (_, Command::Receipt) => Ok(self.receipt(&frame)),
            (_, Command::Error) if let Some(id) = self.withheld(&frame) => {
                Ok(Some(Event::Withheld { id }))
            }
            (Phase::Disconnecting { .. }, Command::Error) => {
                self.phase = Phase::Over;
                Ok(Some(Event::Disconnected(Farewell::Error(ServerError::of(
                    &frame,
                )))))
            }
            (_, Command::Error) => Err(self.error(&frame)),
            (_, command) => Err(SessionError::Unexpected { command }),
        }
    }

    fn connected(&mut self, frame: &Frame) -> Result<Event, SessionError> {
        let header = |name| frame.headers.get(name);
        let unreadable = |header, value: &str| {
            let value = excerpt(value.as_bytes(), WORD_CHARS_MAX);
            SessionError::BadConnected { header, value }
        };
        let version = match header("version") {
            // STOMP 1.0 has no `version`.
            None => Version::V1_0,
            Some(name) => {
                Version::from_wire(name.trim()).ok_or_else(|| unreadable("version", &name))?
            }
        };
        let offered = header("heart-beat").unwrap_or("0,0".into());
        let heartbeat = Heartbeats::negotiate(self.options.heartbeat, &offered)
            .ok_or_else(|| unreadable("heart-beat", &offered))?;
        let clamped = |value: Cow<'_, str>| excerpt(value.as_bytes(), WORD_CHARS_MAX);
        let (server, session) = (
            header("server").map(clamped),
            header("session").map(clamped),
        );

        let now = self.last_received;
        self.decoder.set_version(version);
        self.phase = Phase::Connected {
            version,
            pulse: Pulse::new(heartbeat, self.options.silence_max, now),
        };
        let wanted: Vec<Arc<str>> = self.subscriptions.keys().cloned().collect();
        for id in wanted {
            self.write_subscribe(&id, version, now);
        }
        Ok(Event::Connected(Connected {
            version,
            server,
            session,
            heartbeat,
        }))
    }

    /// A message may come before the receipt of its SUBSCRIBE, and after UNSUBSCRIBE.
    fn message(&mut self, frame: Frame, version: Version) -> Event {
        let Frame {
            headers,
            body,
            missing_bytes,
            ..
        } = frame;
        let [subscription, ack, message_id, redelivered] =
            headers.pick(["subscription", "ack", "message-id", "redelivered"]);
        let redelivered = redelivered.is_some_and(|value| &*value == b"true");
        let found = match &subscription {
            Some(id) => std::str::from_utf8(id)
                .ok()
                .and_then(|id| self.subscriptions.get_key_value(id)),
            // STOMP 1.0 does not ask servers for it.
            None => headers.get("destination").and_then(|destination| {
                self.subscriptions
                    .iter()
                    .find(|(_, subscription)| subscription.wanted.destination == destination)
            }),
        };
        let Some((id, found)) = found else {
            let subscription = subscription
                .map(|id| excerpt(&id, WORD_CHARS_MAX))
                .unwrap_or_default()
                .into();
            return Event::Unknown(Message {
                subscription,
                ack: None,
                redelivered,
                headers,
                body,
                missing_bytes,
            });
        };
        let (id, state) = (Arc::clone(id), found.state);
        let ack = AckId::of(version, found.wanted.ack, &id, &headers, ack, message_id);
        let message = Message {
            subscription: id,
            ack,
            redelivered,
            headers,
            body,
            missing_bytes,
        };
        match state {
            State::Live(_) => Event::Message(message),
            State::Ended | State::Wanted => Event::Late(Message {
                ack: None,
                ..message
            }),
            State::Sent(receipt) => {
                let id = Arc::clone(&message.subscription);
                self.set_state(&id, State::Live(receipt));
                self.events.push_back(Event::Message(message));
                Event::Subscribed {
                    id,
                    confirmed: Confirmation::Message,
                }
            }
        }
    }

    fn receipt(&mut self, frame: &Frame) -> Option<Event> {
        let id = receipts::named(frame.headers.get("receipt-id").as_deref())?;
        if matches!(self.phase, Phase::Disconnecting { receipt, .. } if receipt == id) {
            self.phase = Phase::Over;
            return Some(Event::Disconnected(Farewell::Receipt));
        }
        let purpose = self.receipts.settle(id, self.last_received)?;
        self.settled(id, purpose, Confirmation::Receipt)
    }

    /// What follows from a receipt, or from its not coming.
    pub(super) fn settled(
        &mut self,
        receipt: ReceiptId,
        purpose: Purpose,
        confirmed: Confirmation,
    ) -> Option<Event> {
        match purpose {
            Purpose::Caller => Some(Event::Receipt {
                id: receipt,
                confirmed,
            }),
            Purpose::Subscribe(id) => {
                // A message may have confirmed it before, or another SUBSCRIBE have taken its
                // place.
                let waited = self.state(&id) == Some(State::Sent(receipt));
                waited.then(|| {
                    self.set_state(&id, State::Live(receipt));
                    Event::Subscribed { id, confirmed }
                })
            }
            Purpose::Unsubscribe(id) => {
                let ended = self.state(&id) == Some(State::Ended);
                ended.then_some(Event::Unsubscribed { id, confirmed })
            }
        }
    }

    /// The subscription that we have ended and of which the server withheld a message, if the ERROR
    /// says only that: the server goes on.
    fn withheld(&self, frame: &Frame) -> Option<Arc<str>> {
        let id = (self.options.withheld)(frame)?;
        self.left.get(id).cloned()
    }

    fn error(&self, frame: &Frame) -> SessionError {
        let subscriptions = || self.subscriptions.values();
        let unconfirmed =
            || subscriptions().filter(|subscription| matches!(subscription.state, State::Sent(_)));
        let mut error = Box::new(ServerError::of(frame));
        error.unconfirmed = unconfirmed()
            .map(|subscription| Arc::clone(&subscription.wanted.id))
            .collect();
        let refused = match (error.receipt, error.unconfirmed.len()) {
            (Some(receipt), _) => {
                subscriptions().find(|subscription| subscription.receipt() == Some(receipt))
            }
            (None, 1) => unconfirmed().next(),
            (None, _) => None,
        };
        match refused {
            None => SessionError::Server(error),
            Some(Subscription { wanted, .. }) => SessionError::SubscribeRefused {
                id: Arc::clone(&wanted.id),
                destination: wanted.destination.clone(),
                error,
            },
        }
    }
}
