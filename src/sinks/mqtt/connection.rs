//! One connection to the broker, shared by the sink that publishes into it and the driver that owns
//! its socket.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use super::aliases::Aliases;
use super::outgoing::{self, Publish};
use super::reason::Reason;
use super::settings::Qos;
use super::terms::Terms;
use super::window::{NotInFlight, Window};

/// So much is written while more is made ready.
const OUTBOX_BYTES: usize = 32 * 1024;

/// Lives from CONNACK to the first error. A connection is never used after that: unconfirmed events
/// come again from the journal.
#[derive(Debug)]
pub(super) struct Connection {
    terms: Terms,
    state: Mutex<State>,
    progress: Notify,
    work: Notify,
    abandoned: Notify,
}

#[derive(Debug)]
struct State {
    window: Window,
    aliases: Aliases,
    /// Packets that are not written yet, at most those of a window.
    outbox: BytesMut,
    /// Nothing comes after the bytes in the outbox.
    said_goodbye: bool,
    /// The last PINGREQ was not answered yet.
    asked: bool,
    lost: Option<Lost>,
    /// The publisher is woken once this many are confirmed: waking it for each PUBACK would cost
    /// more than the PUBACK.
    wake_at: Option<u64>,
}

/// Where a publisher stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// How many of the connection's first publishes are confirmed; the rest may still be.
    Confirmed(u64),
    /// The same, and there will be no more.
    Lost {
        /// How many of the connection's first publishes.
        confirmed: u64,
        /// Why not the rest.
        lost: Lost,
    },
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    /// Where and why.
    pub(super) error: Arc<str>,
    pub(super) blame: Blame,
}

/// Whether the end was for what we published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// The broker said something else.
    Nothing,
    /// It may have been for the publish in flight.
    Perhaps,
    /// It was for the publish in flight.
    ThePublish,
}

/// The bytes to be written next.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) bytes: BytesMut,
    /// How many of the connection's first publishes are written then.
    pub(super) through: u64,
    /// DISCONNECT is the end of it.
    pub(super) last: bool,
}

impl Connection {
    pub(super) fn new(terms: Terms) -> Connection {
        let state = State {
            window: Window::new(terms.room),
            aliases: Aliases::new(terms.aliases_max),
            outbox: BytesMut::new(),
            said_goodbye: false,
            asked: false,
            lost: None,
            wake_at: None,
        };
        Connection {
            terms,
            state: Mutex::new(state),
            progress: Notify::new(),
            work: Notify::new(),
            abandoned: Notify::new(),
        }
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Publishes handed over so far: the number of the next one.
    pub(super) fn accepted(&self) -> u64 {
        self.state().window.accepted()
    }

    /// Whether one more may be published, the first of its batch being of this number: after a
    /// rejection the rest of the batch waits.
    pub(super) fn has_room(&self, first: u64) -> bool {
        let state = self.state();
        state.lost.is_none() && state.window.has_room() && !state.window.has_rejected(first)
    }

    /// Whether the broker has rejected a publish of this number or a later one.
    pub(super) fn has_rejected(&self, from: u64) -> bool {
        self.state().window.has_rejected(from)
    }

    /// What the broker has rejected, before this number; it is forgotten here.
    pub(super) fn take_rejected(&self, before: u64) -> BTreeMap<u64, Reason> {
        let mut state = self.state();
        let rejected = state.window.take_rejected(before);
        if !rejected.is_empty() {
            // Whether the broker has learned a number by a publish that it rejects is its own.
            state.aliases.stop();
        }
        rejected
    }

    /// How many publishes from this number on and before another one the broker has accepted
    /// although nobody subscribes; they are forgotten here.
    pub(super) fn take_unheard(&self, from: u64, before: u64) -> u64 {
        self.state().window.take_unheard(from, before)
    }

    /// Hands one publish over, whose size was checked. [`Connection::send`] is to follow the last
    /// one, and where this gives true.
    pub(super) fn publish(&self, topic: &str, qos: Qos, retain: bool, body: Bytes) -> bool {
        let mut state = self.state();
        let packet_id = state.window.accept(qos);
        let (topic, alias) = state.aliases.of(topic);
        let publish = Publish {
            version: self.terms.version,
            topic,
            alias,
            qos,
            retain,
            packet_id,
            body,
        };
        if let Err(error) = publish.write(&mut state.outbox) {
            let error = format!("publish not sent: {error}").into();
            let blame = Blame::ThePublish;
            state.lost.get_or_insert(Lost { error, blame });
            self.progress.notify_one();
            self.abandoned.notify_one();
        }
        state.outbox.len() >= OUTBOX_BYTES
    }

    /// The outbox is to be written now; the driver does it when the caller waits or yields.
    pub(super) fn send(&self) {
        self.work.notify_one();
    }

    /// Waits until the first `target` are confirmed, or half the window is free again, or all is
    /// over.
    pub(super) async fn progress(&self, target: u64) -> Standing {
        loop {
            let confirmed = {
                let mut state = self.state();
                let confirmed = state.window.confirmed();
                if let Some(lost) = state.lost.clone() {
                    return Standing::Lost { confirmed, lost };
                }
                let half = state.window.room() / 2;
                let half_free = state.window.accepted().saturating_sub(half);
                let wake_at = if state.window.has_room() {
                    target
                } else {
                    target.min(half_free)
                };
                state.wake_at = Some(wake_at);
                (confirmed >= wake_at).then_some(confirmed)
            };
            if let Some(confirmed) = confirmed {
                return Standing::Confirmed(confirmed);
            }
            // A permit is kept where the driver was faster than this line.
            self.progress.notified().await;
        }
    }

    /// How many are confirmed now, without waiting.
    pub(super) fn confirmed(&self) -> u64 {
        self.state().window.confirmed()
    }

    /// Asks the driver for another connection in place of this one.
    pub(super) fn abandon(&self) {
        self.abandoned.notify_one();
    }

    /// Until the publisher has asked for another connection.
    pub(super) async fn abandoned(&self) {
        self.abandoned.notified().await;
    }

    /// The driver: waits for bytes to be written, and takes all of them.
    pub(super) async fn outbox(&self) -> Outbox {
        loop {
            self.work.notified().await;
            let mut state = self.state();
            if !state.outbox.is_empty() {
                let through = state.window.accepted();
                return Outbox {
                    bytes: state.outbox.split(),
                    through,
                    last: state.said_goodbye,
                };
            }
        }
    }

    /// The driver: the first `through` publishes are written.
    pub(super) fn wrote(&self, through: u64) {
        let mut state = self.state();
        state.window.wrote(through);
        self.tell(state);
    }

    /// The driver: a PUBACK came. Gives the number of its publish.
    pub(super) fn acknowledged(&self, packet_id: u16, reason: Reason) -> Result<u64, NotInFlight> {
        let mut state = self.state();
        let number = state.window.acknowledged(packet_id, reason)?;
        self.tell(state);
        Ok(number)
    }

    /// The driver: asks for a sign of life. False where the last one was not given.
    pub(super) fn ping(&self) -> bool {
        let mut state = self.state();
        if std::mem::replace(&mut state.asked, true) {
            return false;
        }
        state.outbox.extend_from_slice(&outgoing::PINGREQ);
        self.work.notify_one();
        true
    }

    /// The driver: PINGRESP came.
    pub(super) fn answered(&self) {
        self.state().asked = false;
    }

    /// The driver: it is over.
    pub(super) fn lose(&self, lost: Lost) {
        self.state().lost = Some(lost);
        self.progress.notify_one();
    }

    /// Sends DISCONNECT, so that the broker does not take our leaving for an accident.
    pub(super) fn say_goodbye(&self) {
        let mut state = self.state();
        state.outbox.extend_from_slice(&outgoing::DISCONNECT);
        state.said_goodbye = true;
        self.work.notify_one();
    }

    /// Wakes the publisher if it waits for these confirmations.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        if state
            .wake_at
            .is_some_and(|wake_at| state.window.confirmed() >= wake_at)
        {
            state.wake_at = None;
            self.progress.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::incoming::Properties;
    use super::super::terms::Version;
    use super::*;

    #[tokio::test]
    async fn a_batch_goes_out_in_one_write_and_wakes_its_publisher_once() {
        const BATCH: u16 = 5;
        let terms = Terms::new(Version::V311, &Properties::default(), 1000);
        let connection = Connection::new(terms);
        let (mut writes, mut wakes) = (0, 0);
        for _ in 0..1000 / BATCH {
            for _ in 0..BATCH {
                connection.publish("t", Qos::AtLeastOnce, false, Bytes::from_static(b"body"));
            }
            connection.send();
            let Outbox { bytes, through, .. } = connection.outbox().await;
            writes += 1;
            assert!(!bytes.is_empty() && through == connection.accepted());
            connection.wrote(through);
            let target = connection.accepted();
            let mut waiting = std::pin::pin!(connection.progress(target));
            assert!(futures_util::poll!(&mut waiting).is_pending());
            for left in (0..BATCH).rev() {
                let id = u16::try_from(target).expect("below 1,000") - left;
                let answer = connection.acknowledged(id, Reason::default());
                answer.expect("in flight");
                let woken = futures_util::poll!(&mut waiting).is_ready();
                assert_eq!(woken, left == 0);
                wakes += u32::from(woken);
            }
        }
        assert_eq!((writes, wakes), (200, 200));
    }
}
