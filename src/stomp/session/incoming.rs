//! What the server's frames mean to a session.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Phase, Session};
use crate::stomp::error::DecodeError;
use crate::stomp::event::{
    Confirmation, Connected, Event, Farewell, Malformed, ServerError, SessionError,
};
use crate::stomp::excerpt::{WORD_CHARS_MAX, excerpt};
use crate::stomp::headers::Headers;
use crate::stomp::heartbeat::{Heartbeats, Pulse};
use crate::stomp::receipts::{self, Purpose, ReceiptId};
use crate::stomp::subscription::{State, Subscription};
use crate::stomp::{AckId, AckMode, Command, Frame, Message, Version};

impl Session {
    /// Tells of the broken rule first.
    pub(super) fn handle_malformed(
        &mut self,
        mut frame: Frame,
    ) -> Result<Option<Event>, SessionError> {
        let told = frame
            .mistake
            .take()
            .map(|mistake| Malformed::new(frame.command, &frame.headers, *mistake));
        let event = self.handle(frame)?;
        let found = match &event {
            Some(Event::Message(message) | Event::Late(message)) => {
                Some(Arc::clone(&message.subscription))
            }
            Some(Event::Subscribed { id, .. }) => Some(Arc::clone(id)),
            _ => None,
        };
        if let Some(event) = event {
            self.events.push_front(event);
        }
        Ok(told.map(|told| Event::Malformed(Malformed { found, ..told })))
    }

    /// A frame that has no place here: it is passed over.
    fn misplaced(&self, frame: &Frame) -> Event {
        let command = frame.command;
        let mistake = DecodeError::Misplaced { command };
        Event::Malformed(Malformed::new(command, &frame.headers, mistake))
    }

    pub(super) fn handle(&mut self, frame: Frame) -> Result<Option<Event>, SessionError> {
        match (&self.phase, frame.command) {
            (Phase::Connecting { .. }, Command::Connected) => self.connected(&frame).map(Some),
            (Phase::Connecting { .. }, Command::Error) => {
                Err(SessionError::Refused(Box::new(ServerError::of(&frame))))
            }
            (Phase::Connecting { .. }, command) if command.is_servers() => {
                Ok(Some(self.misplaced(&frame)))
            }
            // What sends our own frames back is no server.
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
            // Its first line has been told of; whatever it is called, it may be a message.
            (
                &Phase::Connected { version, .. } | &Phase::Disconnecting { version, .. },
                Command::Other,
            ) => {
                let is_message = ["subscription", "message-id", "ack"]
                    .iter()
                    .any(|name| frame.headers.find(name).is_some());
                Ok(is_message.then(|| self.message(frame, version)))
            }
            _ => Ok(Some(self.misplaced(&frame))),
        }
    }

    fn connected(&mut self, frame: &Frame) -> Result<Event, SessionError> {
        let header = |name| frame.headers.find(name);
        let mut unreadable = |header, value: &str, taken: &str| {
            let mistake = DecodeError::BadConnected {
                header,
                value: excerpt(value.as_bytes(), WORD_CHARS_MAX),
                taken: taken.to_owned(),
            };
            let told = Malformed::new(Command::Connected, &frame.headers, mistake);
            self.events.push_back(Event::Malformed(told));
        };
        let version = match header("version") {
            // STOMP 1.0 has no `version`.
            None => Version::V1_0,
            Some(name) => Version::from_wire(&name).unwrap_or_else(|| {
                let taken = Version::named_in(&name).unwrap_or(Version::V1_0);
                unreadable("version", &name, taken.as_str());
                taken
            }),
        };
        let offered = header("heart-beat").unwrap_or("0,0".into());
        let ours = self.options.heartbeat;
        let heartbeat = Heartbeats::negotiate(ours, &offered).unwrap_or_else(|| {
            unreadable("heart-beat", &offered, "0,0");
            Heartbeats::default()
        });
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
        let mut odd = None;
        let redelivered = redelivered.is_some_and(|value| &*value == b"true");
        let found = match &subscription {
            Some(id) => std::str::from_utf8(id)
                .ok()
                .and_then(|id| self.subscriptions.get_key_value(id)),
            // STOMP 1.0 does not ask servers for it.
            None => headers
                .get("destination")
                .and_then(|destination| self.by_destination(|wanted| wanted == destination)),
        };
        let found = match found {
            Some(found) => Some(found),
            None => self.told_otherwise(&headers, &mut odd),
        };
        let Some((id, found)) = found else {
            let subscription: Arc<str> = subscription
                .map(|id| excerpt(&id, WORD_CHARS_MAX))
                .unwrap_or_default()
                .into();
            // Where nothing of ours is acknowledged, an ACK that 1.1 does not ask for would be an error.
            let asked = version == Version::V1_2 || self.acknowledges_any();
            let ack = asked.then(|| AckId::of_nobody(version, &headers)).flatten();
            return Event::Unknown(Message {
                subscription,
                ack,
                redelivered,
                headers,
                body,
                missing_bytes,
            });
        };
        let (id, state, mode) = (Arc::clone(id), found.state, found.wanted.ack);
        self.events.extend(odd.map(Event::Malformed));
        let ack = AckId::of(version, mode, &id, &headers, ack, message_id);
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

    fn acknowledges_any(&self) -> bool {
        let mut subscriptions = self.subscriptions.values();
        subscriptions.any(|subscription| subscription.wanted.ack != AckMode::Auto)
    }

    /// The subscription of a message that does not name one as we do: its id may have blanks around
    /// it, or the destination says the topic.
    fn told_otherwise(
        &self,
        headers: &Headers,
        odd: &mut Option<Malformed>,
    ) -> Option<(&Arc<str>, &Subscription)> {
        let id = headers.find("subscription");
        let by_id = id
            .as_deref()
            .and_then(|id| self.subscriptions.get_key_value(id));
        let by_destination = || {
            let named = [headers.find("destination"), id.clone()];
            self.by_destination(|wanted| named.iter().flatten().any(|name| name == wanted))
        };
        let found = by_id.or_else(by_destination)?;
        *odd = headers.get("subscription").map(|value| {
            let value = excerpt(value.as_bytes(), WORD_CHARS_MAX);
            let mistake = DecodeError::OddSubscription { value };
            Malformed {
                found: Some(Arc::clone(found.0)),
                ..Malformed::new(Command::Message, headers, mistake)
            }
        });
        Some(found)
    }

    /// A subscription to such a destination: one that has not ended, if there is one.
    fn by_destination(&self, is_it: impl Fn(&str) -> bool) -> Option<(&Arc<str>, &Subscription)> {
        let mut ended = None;
        for (id, found) in &self.subscriptions {
            match found.state {
                _ if !is_it(&found.wanted.destination) => {}
                State::Ended => {
                    ended.get_or_insert((id, found));
                }
                State::Wanted | State::Sent(_) | State::Live(_) => return Some((id, found)),
            }
        }
        ended
    }

    fn receipt(&mut self, frame: &Frame) -> Option<Event> {
        let id = receipts::named(frame.headers.find("receipt-id").as_deref())?;
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
