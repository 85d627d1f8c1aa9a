//! A client's session with a STOMP server, from CONNECT to DISCONNECT, as a state machine. It takes
//! bytes and the time, and gives events, bytes and the next deadline. It never waits, and writes
//! nothing before CONNECTED but CONNECT and nothing after DISCONNECT.
//!
//! Its use: `new`, then send the bytes of `take_outgoing`; then repeat `receive`, `poll` until
//! `None`, `take_outgoing`, and `tick` at `deadline`. After an error, or [`Event::Disconnected`],
//! it is over: no event comes of it, except that [`SessionError::Silent`] still gives what the
//! silence has cut. After an error, messages that came before it can still be acknowledged, since
//! the server may read on.

mod commands;
mod incoming;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use commands::{NackError, NotConnected};

use super::codec::{Decoder, is_heartbeat};
use super::command::Command;
use super::connect::Options;
use super::encode::FrameWriter;
use super::event::{Confirmation, Event, Farewell, SessionError};
use super::frame::Frame;
use super::heartbeat::Pulse;
use super::outbox::{Outbox, Outgoing};
use super::receipts::{ReceiptId, Receipts};
use super::subscription::{State, Subscription};
use super::version::Version;

/// A client's STOMP session, without sockets and clocks.
pub struct Session {
    options: Options,
    phase: Phase,
    decoder: Decoder,
    outbox: Outbox,
    /// What has happened and was not polled yet.
    events: VecDeque<Event>,
    /// Ended ones stay, for the messages that are still in flight.
    subscriptions: BTreeMap<Arc<str>, Subscription>,
    /// Ids that were unsubscribed, whatever was subscribed under them since.
    left: BTreeSet<Arc<str>>,
    receipts: Receipts,
    last_received: Instant,
    /// When more than a heart-beat came last, or could not come since nobody read.
    last_grown: Instant,
    /// The number of the frame whose end has not come, and since when it has not grown.
    unfinished: Option<(u64, Instant)>,
}

/// For this time a frame whose end has not come may stop growing, though a NUL is among its bytes.
/// Then its content-length is wrong: a correct frame with NULs is seldom stuck as long.
const UNFINISHED_MAX: Duration = Duration::from_secs(3);

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
    /// An error has ended it: it hears nothing, and queues nothing but ACKs and what leaves.
    Failed {
        version: Version,
        /// The server has said so by an ERROR.
        by_server: bool,
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
            phase: Phase::Connecting {
                due: now + options.connected_timeout,
            },
            decoder: Decoder::new(options.limits),
            outbox,
            events: VecDeque::new(),
            subscriptions: BTreeMap::new(),
            left: BTreeSet::new(),
            receipts: Receipts::new(options.receipt_timeout),
            last_received: now,
            last_grown: now,
            unfinished: None,
            options,
        }
    }

    /// Bytes have arrived. Every byte is a sign of life.
    pub fn receive(&mut self, bytes: Bytes, now: Instant) {
        if !bytes.is_empty() && !self.has_ended() {
            self.last_received = now;
            if !is_heartbeat(&bytes) {
                self.last_grown = now;
            }
            self.decoder.feed(bytes);
        }
    }

    /// The server is alive by another sign than its bytes: its silence counts from now.
    pub fn alive(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// Another silence is too long from now on: see [`Options::silence_max`].
    pub fn bear(&mut self, silence_max: Option<Duration>) {
        self.options.silence_max = silence_max;
        if let Phase::Connected { pulse, .. } = &mut self.phase {
            pulse.bear(silence_max);
        }
    }

    /// The server cannot be heard, since nobody reads: its silence counts from now, and so does the
    /// wait for the end of a frame.
    pub fn unread(&mut self, now: Instant) {
        self.alive(now);
        self.last_grown = now;
        self.watch_unfinished();
    }

    /// What has happened next; `None`: nothing more until `receive` or `tick`.
    pub fn poll(&mut self) -> Result<Option<Event>, SessionError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.has_ended() {
                return Ok(None);
            }
            let outcome = match self.decoder.next() {
                Ok(None) => {
                    self.watch_unfinished();
                    return Ok(None);
                }
                Ok(Some(frame)) if frame.mistake.is_some() => self.handle_malformed(frame),
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

    /// Ends the session: [`Event::Disconnected`] follows. Messages in flight are still given; none
    /// of them can be acknowledged.
    pub fn disconnect(&mut self, now: Instant) {
        match self.phase {
            Phase::Connecting { .. } => {
                self.phase = Phase::Over;
                self.events
                    .push_back(Event::Disconnected(Farewell::NotConnected));
            }
            Phase::Connected { version, .. } => {
                let receipt = self.write_disconnect(version);
                let due = now + self.options.disconnect_timeout;
                self.phase = Phase::Disconnecting {
                    version,
                    receipt,
                    due,
                };
            }
            Phase::Disconnecting { .. } | Phase::Failed { .. } | Phase::Over => {}
        }
    }

    /// As [`Session::disconnect`], and also after an error, where no event follows: that the server
    /// closes the stream says that it has read everything before. Where `last` names a
    /// subscription, its UNSUBSCRIBE stands before DISCONNECT, unless the server has ended the
    /// session by an ERROR: then it takes nothing up.
    pub fn leave(&mut self, last: Option<&str>, now: Instant) {
        if let Phase::Failed { version, by_server } = self.phase {
            if let Some(last) = last.filter(|_| !by_server) {
                self.write_unsubscribe(last, version, now);
            }
            self.write_disconnect(version);
            self.phase = Phase::Over;
        } else {
            if let Some(last) = last {
                self.unsubscribe(last, now);
            }
            self.disconnect(now);
        }
    }

    fn write_disconnect(&mut self, version: Version) -> ReceiptId {
        let receipt = self.receipts.name();
        self.outbox.frame(|out| {
            FrameWriter::new(out, Command::Disconnect, version)
                .header("receipt", receipt.to_string())
                .end();
        });
        receipt
    }

    /// Notes since when a frame is unfinished and has not grown.
    fn watch_unfinished(&mut self) {
        let since = self.unfinished;
        self.unfinished = self.decoder.unfinished().map(|frame| match since {
            Some((before, at)) if before == frame => (frame, at.max(self.last_grown)),
            _ => (frame, self.last_grown),
        });
    }

    fn unfinished_due(&self) -> Option<Instant> {
        self.unfinished.map(|(_, since)| since + UNFINISHED_MAX)
    }

    /// How many frames have come, without heart-beats.
    pub fn frames(&self) -> u64 {
        self.decoder.frames()
    }

    /// What is known of the frame whose end has not come.
    pub fn unfinished_frame(&self) -> Option<Frame> {
        self.decoder.unfinished_frame()
    }

    /// No further byte comes: what came is read as far as it can be. To be followed by
    /// [`Session::poll`] until `None`, and [`Session::closed`].
    pub fn stream_ended(&mut self) {
        if !self.has_ended() {
            self.decoder.end();
        }
    }

    /// The server has closed the stream, and all that arrived before was received and polled. That
    /// is an error unless we are disconnecting.
    pub fn closed(&mut self) -> Result<(), SessionError> {
        if let Some(error) = self.last_error() {
            return Err(self.fail(error));
        }
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
            Phase::Failed { .. } | Phase::Over => Ok(()),
        }
    }

    /// An ERROR that the end of the stream has cut: it says why that has ended.
    fn last_error(&mut self) -> Option<SessionError> {
        if !matches!(
            self.phase,
            Phase::Connecting { .. } | Phase::Connected { .. }
        ) {
            return None;
        }
        self.decoder.end();
        while let Ok(Some(frame)) = self.decoder.next() {
            if frame.command == Command::Error {
                return self.handle(frame).err();
            }
        }
        None
    }

    /// Everything that was queued since the last call.
    pub fn take_outgoing(&mut self) -> Option<Outgoing> {
        self.outbox.take()
    }

    /// The writer has finished with what `take_outgoing` gave: our next heart-beat is due that much
    /// later.
    pub fn sent(&mut self, now: Instant) {
        if let Phase::Connected { pulse, .. } = &mut self.phase {
            pulse.sent(now);
        }
    }

    /// When `tick` is to be called at the latest; it may change with every other call.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Connecting { due } => {
                let dues = [Some(*due), self.unfinished_due()];
                dues.into_iter().flatten().min()
            }
            Phase::Disconnecting { due, .. } => Some(*due),
            Phase::Connected { pulse, .. } => {
                let dues = [
                    pulse.beat_due(),
                    pulse.silent_due(self.last_received),
                    self.receipts.deadline(),
                    self.unfinished_due(),
                ];
                dues.into_iter().flatten().min()
            }
            Phase::Failed { .. } | Phase::Over => None,
        }
    }

    /// Does the work that is due: queues a heart-beat, gives up on receipts, notices silence. Call
    /// it only after all arrived bytes were received and polled: else a busy reader takes its own
    /// delay for the server's silence.
    pub fn tick(&mut self, now: Instant) -> Result<(), SessionError> {
        if let Some((frame, _)) = self.unfinished
            && self.unfinished_due().is_some_and(|due| now >= due)
        {
            self.decoder.hurry();
            self.unfinished = Some((frame, now));
        }
        if let Phase::Connected { pulse, .. } = &self.phase
            && let Some(due) = pulse.silent_due(self.last_received)
            && now >= due
        {
            let silence = now.duration_since(self.last_received);
            self.read_to_the_end()?;
            return Err(self.fail(SessionError::Silent { silence }));
        }
        match &mut self.phase {
            Phase::Connecting { due } if now >= *due => {
                let after = self.options.connected_timeout;
                Err(self.fail(SessionError::ConnectedTimeout { after }))
            }
            Phase::Disconnecting { due, .. } if now >= *due => {
                self.phase = Phase::Over;
                self.events
                    .push_back(Event::Disconnected(Farewell::Silence));
                Ok(())
            }
            Phase::Connecting { .. }
            | Phase::Disconnecting { .. }
            | Phase::Failed { .. }
            | Phase::Over => Ok(()),
            Phase::Connected { pulse, .. } => {
                if pulse.beat_due().is_some_and(|due| now >= due) {
                    // Counted from the queue, not from the wire, or every tick until `sent` would
                    // queue another.
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

    /// What came is read as far as it can be, for the caller to poll behind the error that follows.
    fn read_to_the_end(&mut self) -> Result<(), SessionError> {
        self.stream_ended();
        let mut events = VecDeque::new();
        let outcome = loop {
            match self.poll() {
                Ok(Some(event)) => events.push_back(event),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.events = events;
        outcome
    }

    /// It has failed, or DISCONNECT is answered: no event follows.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Failed { .. } | Phase::Over)
    }

    /// Nothing follows DISCONNECT, and before CONNECTED there is nothing to be acknowledged.
    fn fail(&mut self, error: SessionError) -> SessionError {
        let by_error = matches!(
            error,
            SessionError::Server(_) | SessionError::SubscribeRefused { .. }
        );
        self.phase = match self.phase {
            Phase::Connected { version, .. } => Phase::Failed {
                version,
                by_server: by_error,
            },
            Phase::Failed { version, by_server } => Phase::Failed {
                version,
                by_server: by_server || by_error,
            },
            Phase::Connecting { .. } | Phase::Disconnecting { .. } | Phase::Over => Phase::Over,
        };
        error
    }

    fn state(&self, id: &str) -> Option<State> {
        self.subscriptions
            .get(id)
            .map(|subscription| subscription.state)
    }

    fn set_state(&mut self, id: &str, state: State) {
        if let Some(subscription) = self.subscriptions.get_mut(id) {
            subscription.state = state;
        }
    }
}
