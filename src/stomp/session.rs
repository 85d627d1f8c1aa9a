//! A client's session with a STOMP server, from CONNECT to DISCONNECT, as a state machine. It is given bytes and the
//! time, and gives events, bytes and the next deadline. It never waits, and writes nothing before CONNECTED but CONNECT
//! and nothing after DISCONNECT.
//!
//! One life: `new`, send what `take_outgoing` gives; then for ever `receive`, `poll` until `None`, `take_outgoing`, and
//! `tick` at `deadline`. After an error, or [`Event::Disconnected`], it is over: nothing more comes of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::event::{Confirmation, Connected, Event, Farewell, ServerError, SessionError};
use super::excerpt::{WORD_CHARS_MAX, excerpt};
use super::heartbeat::{Heartbeats, Pulse};
use super::outbox::{Outbox, Outgoing};
use super::receipts::{self, Purpose, ReceiptId, Receipts};
use super::subscription::{State, Subscription};
use super::{AckId, Command, Confirm, Decoder, Frame, FrameWriter, Message, NewMessage, Options, Subscribe, Version};

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

/// See the module.
pub struct Session {
    options: Options,
    phase: Phase,
    decoder: Decoder,
    outbox: Outbox,
    /// What has happened and was not polled yet.
    events: VecDeque<Event>,
    /// Ended ones stay, for the messages that are still under way.
    subscriptions: BTreeMap<Arc<str>, Subscription>,
    receipts: Receipts,
    last_received: Instant,
}

enum Phase {
    /// CONNECT is sent.
    Connecting {
        due: Instant,
    },
    Connected {
        version: Version,
        pulse: Pulse,
    },
    /// DISCONNECT is sent.
    Disconnecting {
        version: Version,
        receipt: ReceiptId,
        due: Instant,
    },
    Over,
}

impl Session {
    /// A session on a fresh stream; CONNECT is in `take_outgoing` at once.
    pub fn new(options: Options, now: Instant) -> Session {
        let options = options.clamped();
        let mut outbox = Outbox::default();
        outbox.frame(|out| options.write_connect(out));
        Session {
            phase: Phase::Connecting { due: now + options.connected_timeout },
            decoder: Decoder::new(options.limits),
            outbox,
            events: VecDeque::new(),
            subscriptions: BTreeMap::new(),
            receipts: Receipts::new(options.receipt_timeout),
            last_received: now,
            options,
        }
    }

    /// Bytes have arrived. Every byte is a sign of life.
    pub fn receive(&mut self, bytes: Bytes, now: Instant) {
        if !bytes.is_empty() {
            self.last_received = now;
            self.decoder.feed(bytes);
        }
    }

    /// What has happened next; `None`: nothing more until `receive` or `tick`.
    pub fn poll(&mut self) -> Result<Option<Event>, SessionError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if matches!(self.phase, Phase::Over) {
                return Ok(None);
            }
            let outcome = match self.decoder.next() {
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => self.handle(frame),
                Err(error) => Err(error.into()),
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(event)) => return Ok(Some(event)),
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    /// Subscribes; before CONNECTED, as soon as it has come. An id that is in use is unsubscribed first: servers end the
    /// connection over an id that is used twice.
    pub fn subscribe(&mut self, wanted: Subscribe, now: Instant) {
        let id = Arc::clone(&wanted.id);
        let before = self.subscriptions.insert(Arc::clone(&id), Subscription { wanted, state: State::Wanted });
        if let Phase::Connected { version, .. } = self.phase {
            if before.is_some_and(|before| before.receipt().is_some()) {
                self.outbox
                    .frame(|out| FrameWriter::new(out, Command::Unsubscribe, version).header("id", &*id).end());
            }
            self.write_subscribe(&id, version, now);
        }
    }

    /// Ends a subscription. What still comes of it is [`Event::Late`], and its messages can be acknowledged no more.
    pub fn unsubscribe(&mut self, id: &str, now: Instant) {
        let Some((id, subscription)) = self.subscriptions.get_key_value(id) else { return };
        let id = Arc::clone(id);
        match (subscription.state, &self.phase) {
            (State::Wanted, _) => {
                self.subscriptions.remove(&id);
            }
            (State::Sent(_) | State::Live(_), &Phase::Connected { version, .. }) => {
                let receipt = self.receipts.expect(Purpose::Unsubscribe(Arc::clone(&id)), now).to_string();
                self.outbox.frame(|out| {
                    let frame = FrameWriter::new(out, Command::Unsubscribe, version);
                    frame.header("id", &*id).header("receipt", receipt).end();
                });
                self.set_state(&id, State::Ended);
            }
            (State::Sent(_) | State::Live(_) | State::Ended, _) => {}
        }
    }

    /// Acknowledges a message; with [`super::AckMode::Client`] also all before it, so that only the last of a batch
    /// needs it. Does nothing where the session or the subscription has ended: the server would answer with an ERROR,
    /// and sends the message again by itself.
    pub fn ack(&mut self, id: &AckId) {
        if let Some(version) = self.acknowledges(id) {
            self.outbox.frame(|out| id.write(Command::Ack, version, out));
        }
    }

    /// Refuses a message. What becomes of it is the server's matter: RabbitMQ sends it again, ActiveMQ sets it aside.
    /// Does nothing where the subscription has ended.
    pub fn nack(&mut self, id: &AckId) -> Result<(), NackError> {
        if self.version()? == Version::V1_0 {
            return Err(NackError::NoNack);
        }
        if let Some(version) = self.acknowledges(id) {
            self.outbox.frame(|out| id.write(Command::Nack, version, out));
        }
        Ok(())
    }

    /// Sends a message. The receipt, where one is wanted, comes back in [`Event::Receipt`].
    pub fn send(&mut self, message: &NewMessage<'_>, now: Instant) -> Result<Option<ReceiptId>, NotConnected> {
        let version = self.version()?;
        let receipt = match message.confirm {
            Confirm::No => None,
            Confirm::Receipt => Some(self.receipts.expect(Purpose::Caller, now)),
        };
        self.outbox.frame(|out| message.write(version, receipt, out));
        Ok(receipt)
    }

    /// Begins a transaction of that name.
    pub fn begin(&mut self, transaction: &str) -> Result<(), NotConnected> {
        let version = self.version()?;
        let write = |out: &mut BytesMut| {
            FrameWriter::new(out, Command::Begin, version).header("transaction", transaction).end();
        };
        self.outbox.frame(write);
        Ok(())
    }

    /// Commits a transaction; its receipt comes back in [`Event::Receipt`].
    pub fn commit(&mut self, transaction: &str, now: Instant) -> Result<ReceiptId, NotConnected> {
        let version = self.version()?;
        let receipt = self.receipts.expect(Purpose::Caller, now);
        self.outbox.frame(|out| {
            let frame = FrameWriter::new(out, Command::Commit, version).header("transaction", transaction);
            frame.header("receipt", receipt.to_string()).end();
        });
        Ok(receipt)
    }

    /// Gives a transaction up.
    pub fn abort(&mut self, transaction: &str) -> Result<(), NotConnected> {
        let version = self.version()?;
        let write = |out: &mut BytesMut| {
            FrameWriter::new(out, Command::Abort, version).header("transaction", transaction).end();
        };
        self.outbox.frame(write);
        Ok(())
    }

    /// Ends the session: [`Event::Disconnected`] follows. Messages that are under way are still given; none of them
    /// can be acknowledged.
    pub fn disconnect(&mut self, now: Instant) {
        match self.phase {
            Phase::Connecting { .. } => {
                self.phase = Phase::Over;
                self.events.push_back(Event::Disconnected(Farewell::NotConnected));
            }
            Phase::Connected { version, .. } => {
                let receipt = self.receipts.name();
                self.outbox.frame(|out| {
                    FrameWriter::new(out, Command::Disconnect, version).header("receipt", receipt.to_string()).end();
                });
                let due = now + self.options.disconnect_timeout;
                self.phase = Phase::Disconnecting { version, receipt, due };
            }
            Phase::Disconnecting { .. } | Phase::Over => {}
        }
    }

    /// The server has closed the stream, and all that arrived before was received and polled. That is an error unless
    /// we are disconnecting.
    pub fn closed(&mut self) -> Result<(), SessionError> {
        match self.phase {
            Phase::Connecting { .. } => Err(self.fail(SessionError::ClosedBeforeConnected)),
            Phase::Connected { .. } => {
                let unfinished_bytes = self.decoder.unfinished_bytes();
                Err(self.fail(SessionError::Closed { unfinished_bytes }))
            }
            Phase::Disconnecting { .. } => {
                self.phase = Phase::Over;
                self.events.push_back(Event::Disconnected(Farewell::Closed));
                Ok(())
            }
            Phase::Over => Ok(()),
        }
    }

    /// Everything that was queued since the last call.
    pub fn take_outgoing(&mut self) -> Option<Outgoing> {
        self.outbox.take()
    }

    /// The writer has finished with what `take_outgoing` gave: our next heart-beat is due that much later.
    pub fn sent(&mut self, now: Instant) {
        if let Phase::Connected { pulse, .. } = &mut self.phase {
            pulse.sent(now);
        }
    }

    /// When `tick` is to be called at the latest; it may change with every other call.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Connecting { due } | Phase::Disconnecting { due, .. } => Some(*due),
            Phase::Connected { pulse, .. } => {
                let dues = [pulse.beat_due(), pulse.silent_due(self.last_received), self.receipts.deadline()];
                dues.into_iter().flatten().min()
            }
            Phase::Over => None,
        }
    }

    /// Does what is due: queues a heart-beat, gives up on receipts, notices silence. To be called only after everything
    /// that has arrived was received and polled, or a busy reader takes its own delay for the server's silence.
    pub fn tick(&mut self, now: Instant) -> Result<(), SessionError> {
        match &mut self.phase {
            Phase::Connecting { due } if now >= *due => {
                let after = self.options.connected_timeout;
                Err(self.fail(SessionError::ConnectedTimeout { after }))
            }
            Phase::Disconnecting { due, .. } if now >= *due => {
                self.phase = Phase::Over;
                self.events.push_back(Event::Disconnected(Farewell::Silence));
                Ok(())
            }
            Phase::Connecting { .. } | Phase::Disconnecting { .. } | Phase::Over => Ok(()),
            Phase::Connected { pulse, .. } => {
                if pulse.silent_due(self.last_received).is_some_and(|due| now >= due) {
                    let silence = now.duration_since(self.last_received);
                    return Err(self.fail(SessionError::Silent { silence }));
                }
                if pulse.beat_due().is_some_and(|due| now >= due) {
                    // Counted from the queue, not from the wire, or every tick until `sent` would queue another.
                    pulse.sent(now);
                    if self.outbox.is_empty() {
                        self.outbox.heartbeat();
                    }
                }
                while let Some((id, purpose)) = self.receipts.overdue(now) {
                    let event = self.settled(id, purpose, Confirmation::Silence);
                    self.events.extend(event);
                }
                Ok(())
            }
        }
    }

    fn fail(&mut self, error: SessionError) -> SessionError {
        self.phase = Phase::Over;
        error
    }

    fn handle(&mut self, frame: Frame) -> Result<Option<Event>, SessionError> {
        match (&self.phase, frame.command) {
            (Phase::Connecting { .. }, Command::Connected) => self.connected(&frame).map(Some),
            (Phase::Connecting { .. }, Command::Error) => Err(SessionError::Refused(ServerError::of(&frame))),
            (Phase::Connecting { .. }, command) => Err(SessionError::Unexpected { command }),
            (&Phase::Connected { version, .. } | &Phase::Disconnecting { version, .. }, Command::Message) => {
                Ok(Some(self.message(frame, version)))
            }
            (_, Command::Receipt) => Ok(self.receipt(&frame)),
            (Phase::Disconnecting { .. }, Command::Error) => {
                self.phase = Phase::Over;
                Ok(Some(Event::Disconnected(Farewell::Error(ServerError::of(&frame)))))
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
            Some(name) => Version::from_wire(name.trim()).ok_or_else(|| unreadable("version", &name))?,
        };
        let offered = header("heart-beat").unwrap_or("0,0".into());
        let heartbeat = Heartbeats::negotiate(self.options.heartbeat, &offered)
            .ok_or_else(|| unreadable("heart-beat", &offered))?;
        let clamped = |value: std::borrow::Cow<'_, str>| excerpt(value.as_bytes(), WORD_CHARS_MAX);
        let (server, session) = (header("server").map(clamped), header("session").map(clamped));

        let now = self.last_received;
        self.decoder.set_version(version);
        self.phase = Phase::Connected { version, pulse: Pulse::new(heartbeat, self.options.silence_max, now) };
        let wanted: Vec<Arc<str>> = self.subscriptions.keys().cloned().collect();
        for id in wanted {
            self.write_subscribe(&id, version, now);
        }
        Ok(Event::Connected(Connected { version, server, session, heartbeat }))
    }

    /// A message may come before the receipt of its SUBSCRIBE, and after UNSUBSCRIBE.
    fn message(&mut self, frame: Frame, version: Version) -> Event {
        let headers = frame.headers;
        let [subscription, ack, message_id, redelivered] =
            headers.pick(["subscription", "ack", "message-id", "redelivered"]);
        let redelivered = redelivered.is_some_and(|value| &*value == b"true");
        let found = match &subscription {
            Some(id) => std::str::from_utf8(id).ok().and_then(|id| self.subscriptions.get_key_value(id)),
            // STOMP 1.0 does not ask servers for it.
            None => headers.get("destination").and_then(|destination| {
                self.subscriptions.iter().find(|(_, subscription)| subscription.wanted.destination == destination)
            }),
        };
        let Some((id, found)) = found else {
            let subscription = subscription.map(|id| excerpt(&id, WORD_CHARS_MAX)).unwrap_or_default().into();
            return Event::Unknown(Message { subscription, ack: None, redelivered, headers, body: frame.body });
        };
        let (id, state) = (Arc::clone(id), found.state);
        let ack = AckId::of(version, found.wanted.ack, &id, &headers, ack, message_id);
        let message = Message { subscription: id, ack, redelivered, headers, body: frame.body };
        match state {
            State::Live(_) => Event::Message(message),
            State::Ended | State::Wanted => Event::Late(Message { ack: None, ..message }),
            State::Sent(receipt) => {
                let id = Arc::clone(&message.subscription);
                self.set_state(&id, State::Live(receipt));
                self.events.push_back(Event::Message(message));
                Event::Subscribed { id, confirmed: Confirmation::Message }
            }
        }
    }

    fn receipt(&mut self, frame: &Frame) -> Option<Event> {
        let id = receipts::named(frame.headers.get("receipt-id").as_deref())?;
        if matches!(self.phase, Phase::Disconnecting { receipt, .. } if receipt == id) {
            self.phase = Phase::Over;
            return Some(Event::Disconnected(Farewell::Receipt));
        }
        let purpose = self.receipts.settle(id)?;
        self.settled(id, purpose, Confirmation::Receipt)
    }

    /// What follows from a receipt, or from its not coming.
    fn settled(&mut self, receipt: ReceiptId, purpose: Purpose, confirmed: Confirmation) -> Option<Event> {
        match purpose {
            Purpose::Caller => Some(Event::Receipt { id: receipt, confirmed }),
            Purpose::Subscribe(id) => {
                // A message may have confirmed it before, or another SUBSCRIBE have taken its place.
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

    fn error(&self, frame: &Frame) -> SessionError {
        let mut error = ServerError::of(frame);
        let unconfirmed = |subscription: &&Subscription| matches!(subscription.state, State::Sent(_));
        let subscriptions = || self.subscriptions.values();
        error.unconfirmed =
            subscriptions().filter(unconfirmed).map(|subscription| Arc::clone(&subscription.wanted.id)).collect();
        let refused =
            subscriptions().find(|subscription| error.receipt.is_some() && subscription.receipt() == error.receipt);
        match refused {
            None => SessionError::Server(error),
            Some(Subscription { wanted, .. }) => SessionError::SubscribeRefused {
                id: Arc::clone(&wanted.id),
                destination: wanted.destination.clone(),
                error,
            },
        }
    }

    fn write_subscribe(&mut self, id: &Arc<str>, version: Version, now: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        let receipt = self.receipts.expect(Purpose::Subscribe(Arc::clone(id)), now);
        subscription.state = State::Sent(receipt);
        self.outbox.frame(|out| subscription.wanted.write(version, receipt, out));
    }

    fn state(&self, id: &str) -> Option<State> {
        self.subscriptions.get(id).map(|subscription| subscription.state)
    }

    fn set_state(&mut self, id: &str, state: State) {
        if let Some(subscription) = self.subscriptions.get_mut(id) {
            subscription.state = state;
        }
    }

    fn version(&self) -> Result<Version, NotConnected> {
        match self.phase {
            Phase::Connected { version, .. } => Ok(version),
            Phase::Connecting { .. } | Phase::Disconnecting { .. } | Phase::Over => Err(NotConnected),
        }
    }

    /// The version to write an ACK or NACK in, if the server would still take it.
    fn acknowledges(&self, id: &AckId) -> Option<Version> {
        let live = matches!(self.state(&id.subscription), Some(State::Live(_)));
        if live { self.version().ok() } else { None }
    }
}
