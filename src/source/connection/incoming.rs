//! What the server sends: from the bytes of a read to the session's events, and from those to the
//! intake, also behind what ends the connection. It never waits.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Connection, Probing, Stage};
use crate::faults::{self, Failpoint};
use crate::journal;
use crate::source::clock;
use crate::source::disconnect::DisconnectReason;
use crate::source::status::TURN;
use crate::source::undeliverable::BreakPoint;
use crate::stomp::{Event, Frame, SessionError};
use crate::transport::{Receiver, TransportError};

/// Pieces that are taken in before the deadlines are looked after again: what a read brings has
/// fewer, unless they are tiny.
const RECEIVED_AT_ONCE_MAX: usize = 1000;

impl Connection<'_> {
    /// What one read of the socket has brought goes into one batch: several WebSocket messages, or
    /// TLS records.
    pub(super) fn receive_some(
        &mut self,
        first: Result<Bytes, TransportError>,
    ) -> Result<(), DisconnectReason> {
        let before = self.unacknowledged();
        self.received(first)?;
        self.receive_while(Receiver::receive_rest)?;
        self.watch_window(before);
        Ok(())
    }

    /// The same for what of earlier reads had no room then.
    pub(super) fn take_more(&mut self) -> Result<(), DisconnectReason> {
        let before = self.unacknowledged();
        self.take_events()?;
        self.watch_window(before);
        self.end_once_taken()
    }

    /// The end of the stream counts once all that came before it is taken.
    fn end_once_taken(&mut self) -> Result<(), DisconnectReason> {
        match self.end.take_if(|_| !self.events_left) {
            Some(error) => Err(self.by_end(error)),
            None => Ok(()),
        }
    }

    fn by_end(&mut self, error: TransportError) -> DisconnectReason {
        let unfinished = self.session.unfinished_frame();
        let (ended, breaks) = match error {
            TransportError::Closed { .. } => (self.by_close(&error), unfinished.is_some()),
            TransportError::Limit { .. } | TransportError::Protocol(_) => (error.into(), true),
            error => (error.into(), false),
        };
        if breaks {
            self.breaks_at(unfinished.as_ref(), &ended);
        }
        ended
    }

    fn watch_window(&mut self, before: usize) {
        let unacknowledged = self.unacknowledged();
        if unacknowledged > before {
            self.server_waits = self.server_window.is_full(unacknowledged);
        }
    }

    /// Messages that were read and have no ACK yet.
    fn unacknowledged(&self) -> usize {
        self.intake.unacknowledged() + self.commit.unacknowledged()
    }

    /// All that has arrived, whatever the pause: before a silence is called one, and before we write
    /// or after a write has failed. A server that is gone answers a write by a reset, and what it
    /// had sent before comes to topics without ACKs only once.
    pub(super) fn receive_all(&mut self) -> Result<(), DisconnectReason> {
        self.receive_while(Receiver::receive_now)
    }

    fn receive_while(
        &mut self,
        next: fn(&mut Receiver) -> Option<Result<Bytes, TransportError>>,
    ) -> Result<(), DisconnectReason> {
        for _ in 0..RECEIVED_AT_ONCE_MAX {
            if self.stage == Stage::Left || !self.may_read() {
                break;
            }
            let Some(received) = next(&mut self.receiver) else {
                break;
            };
            self.received(received)?;
        }
        Ok(())
    }

    /// Hands what came to the session, and then all that follows from it to the intake.
    pub(super) fn received(
        &mut self,
        received: Result<Bytes, TransportError>,
    ) -> Result<(), DisconnectReason> {
        let now = clock::now();
        if let Ok(bytes) = &received {
            let at = Timestamp::now();
            self.proof.heard(at);
            self.status.byte_at(at);
            let counters = &self.status.counters;
            counters
                .bytes_received
                .fetch_add(bytes.len() as u64, Relaxed);
            if let Some(heartbeats) = &mut self.sockjs_heartbeats {
                let count = self.receiver.sockjs_heartbeats();
                heartbeats.received(count, !bytes.is_empty(), now);
            }
        }
        match received {
            // The answer to a probe, or SockJS's `h`.
            Ok(bytes)
                if bytes.is_empty()
                    && matches!(self.probing, Probing::Due(_) | Probing::Listening) =>
            {
                self.session.alive(now);
            }
            Ok(bytes) => self.session.receive(bytes, now),
            // The end of the socket answers our DISCONNECT as well as a receipt does.
            Err(_) if self.stage == Stage::Leaving => self.stage = Stage::Left,
            Err(error) => {
                self.session.stream_ended();
                self.end = Some(error);
                self.take_events()?;
                return self.end_once_taken();
            }
        }
        self.take_events()
    }

    /// Takes in what was read, as far as the intake has room, and all behind what ends the
    /// connection; gives the first reason to end it. What is left is taken once a commit is done.
    pub(super) fn take_events(&mut self) -> Result<(), DisconnectReason> {
        self.take_while(Connection::may_take)
    }

    /// The connection has ended, and what was left was read before. It is taken as the journal makes
    /// room for it; at a stop at once.
    ///
    /// # Errors
    /// The journal has failed.
    pub(super) async fn take_what_is_left(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<(), journal::Error> {
        while self.events_left {
            self.status.turn();
            self.start_writing();
            self.start_committing();
            let taken = match stop.is_cancelled() {
                true => self.take_while(|_| true),
                false => self.take_events(),
            };
            if let Err(error) = taken {
                debug!(%error, "the last bytes that were read end the connection, too");
            }
            if !self.events_left {
                break;
            }
            // The link may live for as long as the journal is full, and the server hears of us. A
            // session that has failed has no deadline.
            let (now, beat_at) = (clock::now(), self.session.deadline());
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                (outcome, owed) = self.commit.done(), if self.commit.is_under_way() => {
                    outcome?;
                    if !self.writer.has_failed() {
                        self.acknowledge(&owed);
                    }
                }
                written = self.writer.written(&mut self.session), if self.writer.is_busy() => {
                    match written {
                        Ok(()) => self.reach_ack_written(),
                        Err(error) => debug!(%error, "ACKs cannot be written"),
                    }
                }
                () = sleep_until(beat_at.unwrap_or(now).into()), if beat_at.is_some() => self.beat(),
                () = sleep(TURN) => {}
            }
        }
        self.intake.pause_silences(clock::now());
        Ok(())
    }

    fn take_while(&mut self, goes_on: fn(&Self) -> bool) -> Result<(), DisconnectReason> {
        let before = self.session.frames();
        let outcome = self.take_each(goes_on);
        let counters = &self.status.counters;
        let frames = self.session.frames() - before;
        counters.frames_received.fetch_add(frames, Relaxed);
        self.tell_shown();
        outcome
    }

    fn take_each(&mut self, goes_on: fn(&Self) -> bool) -> Result<(), DisconnectReason> {
        // One time for all that one read has brought: asking the clock costs as much as a frame.
        let (now, instant) = (Timestamp::now(), clock::now());
        let mut outcome = Ok(());
        self.events_left = false;
        loop {
            if outcome.is_ok() && !goes_on(self) {
                self.events_left = true;
                return Ok(());
            }
            match self.poll() {
                Ok(Some(event)) if outcome.is_ok() => {
                    outcome = self.take_event(event, now, instant);
                }
                // What can be acknowledged comes again. It must not be acknowledged behind a
                // message that was withheld: with `client` that would stand for both.
                Ok(Some(Event::Message(message) | Event::Late(message)))
                    if message.ack.is_none() && !self.comes_again(&message.subscription) =>
                {
                    self.intake.take(message, now, instant);
                }
                Ok(Some(Event::Unknown(message))) if message.ack.is_none() => {
                    self.intake.take_unknown(message, now);
                }
                Ok(Some(_)) => {}
                Ok(None) => return outcome,
                Err(ended) => return outcome.and(Err(ended)),
            }
        }
    }

    fn take_event(
        &mut self,
        event: Event,
        now: Timestamp,
        instant: Instant,
    ) -> Result<(), DisconnectReason> {
        match event {
            Event::Connected(connected) => self.connected(&connected)?,
            Event::Subscribed { id, confirmed } => self.topic_subscribed(&id, confirmed, now)?,
            // Unacknowledged, so it comes again.
            Event::Message(message) if self.stage == Stage::Leaving && message.ack.is_some() => {}
            Event::Message(message) | Event::Late(message)
                if self.comes_again(&message.subscription) => {}
            Event::Withheld { .. } if self.stage == Stage::Leaving => {}
            Event::Message(message) => {
                self.heard = true;
                let id = &message.subscription;
                let quiet = self.admission.is_quiet(id).then(|| Arc::clone(id));
                let entry = self.taken();
                self.subscriptions
                    .heard(&message.subscription, entry, instant);
                self.intake.take(message, now, instant);
                faults::reach(Failpoint::MessageRead);
                self.status.enter_receiving();
                if let Some(id) = quiet {
                    self.prove_topic(&id)?;
                }
            }
            Event::Late(message) => {
                // It was in flight, and the server may no longer have the subscription.
                self.subscriptions.late(&message.subscription);
                self.reconnect_if_ignored(&message.subscription);
                self.intake.take(message, now, instant);
            }
            Event::Withheld { id } => self.topic_withheld(id)?,
            // Unacknowledged, so it comes again.
            Event::Unknown(message) if self.stage == Stage::Leaving && message.ack.is_some() => {}
            Event::Unknown(message) => self.intake.take_unknown(message, now),
            Event::Malformed(frame) => self.intake.malformed(&frame),
            Event::Disconnected(_) => self.stage = Stage::Left,
            Event::Unsubscribed { id, confirmed } => self.topic_unsubscribed(&id, confirmed)?,
            Event::Receipt { .. } => {}
        }
        Ok(())
    }

    fn poll(&mut self) -> Result<Option<Event>, DisconnectReason> {
        self.session.poll().map_err(|error| {
            let ended = self.by_session(&error);
            if let SessionError::Protocol(_) = error {
                self.breaks_at(self.session.unfinished_frame().as_ref(), &ended);
            }
            ended
        })
    }

    /// What was read ends the connection.
    fn breaks_at(&mut self, frame: Option<&Frame>, ended: &DisconnectReason) {
        if self.connected {
            let only = match self.wanted.settings.topics.as_slice() {
                [topic] => Some(&*topic.name),
                _ => None,
            };
            let error = ended.to_string();
            let point = BreakPoint::at(frame, only, &error, &self.credentials);
            self.break_point = Some(point);
        }
    }
}
