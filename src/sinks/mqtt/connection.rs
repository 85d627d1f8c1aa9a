//! One connection to the broker, shared by the sink that publishes into it and the driver that owns
//! its socket.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use rumqttc::{Disconnect, PingReq, Publish, QoS};
use tokio::sync::Notify;

use super::window::{NotInFlight, Window};

/// So much is written while more is made ready.
const OUTBOX_BYTES: usize = 32 * 1024;

/// Lives from CONNACK to the first error. A connection is never used after that: unconfirmed events
/// come again from the journal.
#[derive(Debug, Default)]
pub(super) struct Connection {
    state: Mutex<State>,
    progress: Notify,
    work: Notify,
    abandoned: Notify,
}

#[derive(Debug, Default)]
struct State {
    window: Window,
    /// Packets that are not written yet, at most those of a window.
    outbox: BytesMut,
    /// Nothing comes after the bytes in the outbox.
    said_goodbye: bool,
    /// The last PINGREQ was not answered yet.
    asked: bool,
    lost: Option<Arc<str>>,
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
        /// Why.
        error: Arc<str>,
    },
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
    /// Publishes handed over so far: the number of the next one.
    pub(super) fn accepted(&self) -> u64 {
        self.state().window.accepted()
    }

    pub(super) fn has_room(&self) -> bool {
        let state = self.state();
        state.lost.is_none() && state.window.has_room()
    }

    /// Hands one publish over, whose size was checked. [`Connection::send`] is to follow the last
    /// one, and where this gives true.
    pub(super) fn publish(&self, topic: String, qos: QoS, retain: bool, body: Vec<u8>) -> bool {
        let mut state = self.state();
        let pkid = state.window.accept(qos);
        let publish = Publish {
            retain,
            pkid,
            ..Publish::new(topic, qos, body)
        };
        publish
            .write(&mut state.outbox)
            .expect("a packet of a size that can be stated, with its id");
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
                if let Some(error) = &state.lost {
                    return Standing::Lost {
                        confirmed,
                        error: error.clone(),
                    };
                }
                let half_free = state.window.accepted().saturating_sub(Window::ROOM / 2);
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

    /// The driver: a PUBACK came.
    pub(super) fn acknowledged(&self, packet_id: u16) -> Result<(), NotInFlight> {
        let mut state = self.state();
        state.window.acknowledged(packet_id)?;
        self.tell(state);
        Ok(())
    }

    /// The driver: asks for a sign of life. False where the last one was not given.
    pub(super) fn ping(&self) -> bool {
        let mut state = self.state();
        if std::mem::replace(&mut state.asked, true) {
            return false;
        }
        PingReq.write(&mut state.outbox).expect("two bytes");
        self.work.notify_one();
        true
    }

    /// The driver: PINGRESP came.
    pub(super) fn answered(&self) {
        self.state().asked = false;
    }

    /// The driver: it is over.
    pub(super) fn lose(&self, error: Arc<str>) {
        self.state().lost = Some(error);
        self.progress.notify_one();
    }

    /// Sends DISCONNECT, so that the broker does not take our leaving for an accident.
    pub(super) fn say_goodbye(&self) {
        let mut state = self.state();
        Disconnect.write(&mut state.outbox).expect("two bytes");
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
    use super::*;

    #[tokio::test]
    async fn a_batch_goes_out_in_one_write_and_wakes_its_publisher_once() {
        const BATCH: u16 = 5;
        let connection = Connection::default();
        let (mut writes, mut wakes) = (0, 0);
        for _ in 0..1000 / BATCH {
            for _ in 0..BATCH {
                connection.publish("t".to_owned(), QoS::AtLeastOnce, false, b"body".to_vec());
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
                connection.acknowledged(id).expect("in flight");
                let woken = futures_util::poll!(&mut waiting).is_ready();
                assert_eq!(woken, left == 0);
                wakes += u32::from(woken);
            }
        }
        assert_eq!((writes, wakes), (200, 200));
    }
}
