//! One connection to the broker, shared by the sink that publishes into it and the driver that owns its event loop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rumqttc::{AsyncClient, QoS};
use tokio::sync::Notify;

use super::window::{NotInFlight, Window};

/// Lives from CONNACK to the first error. A connection is never used again after that, and neither is anything
/// that rumqttc kept of it: what was not confirmed comes again from the journal.
#[derive(Debug)]
pub(super) struct Connection {
    client: AsyncClient,
    state: Mutex<State>,
    progress: Notify,
    abandoned: Notify,
}

#[derive(Debug)]
struct State {
    window: Window,
    lost: Option<Arc<str>>,
    /// The publisher is woken once so many are confirmed: waking it for each PUBACK would cost more than the PUBACK.
    wake_at: u64,
}

/// Where a publisher stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// The first so many publishes of the connection are confirmed; the rest may still be.
    Confirmed(u64),
    /// The same, and there will be no more.
    Lost {
        /// The first so many publishes of the connection.
        confirmed: u64,
        /// Why.
        error: Arc<str>,
    },
}

impl Connection {
    pub(super) fn new(client: AsyncClient) -> Connection {
        let state = State { window: Window::new(), lost: None, wake_at: u64::MAX };
        Connection { client, state: Mutex::new(state), progress: Notify::new(), abandoned: Notify::new() }
    }

    /// Publishes handed over so far: the number of the next one.
    pub(super) fn accepted(&self) -> u64 {
        self.state().window.accepted()
    }

    pub(super) fn has_room(&self) -> bool {
        let state = self.state();
        state.lost.is_none() && state.window.has_room()
    }

    /// Hands one publish over. Only where there is room: so rumqttc's queue, which is larger, takes it, unless the
    /// driver has let go of it. Then this connection is over, which [`Connection::progress`] will say.
    pub(super) fn publish(&self, topic: String, qos: QoS, retain: bool, body: Vec<u8>) {
        self.state().window.accept();
        if self.client.try_publish(topic, qos, retain, body).is_err() {
            self.abandon();
        }
    }

    /// Waits until the first `target` are confirmed, or half the window is free again, or all is over.
    pub(super) async fn progress(&self, target: u64) -> Standing {
        loop {
            let confirmed = {
                let mut state = self.state();
                let confirmed = state.window.confirmed();
                if let Some(error) = &state.lost {
                    return Standing::Lost { confirmed, error: error.clone() };
                }
                let half_free = state.window.accepted().saturating_sub(u64::from(Window::ROOM) / 2);
                let wake_at = if state.window.has_room() { target } else { target.min(half_free) };
                state.wake_at = wake_at;
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

    /// The driver: the next publish was written.
    pub(super) fn wrote(&self, packet_id: u16) -> Result<(), NotInFlight> {
        self.record(|window| window.wrote(packet_id))
    }

    /// The driver: a PUBACK came.
    pub(super) fn acknowledged(&self, packet_id: u16) -> Result<(), NotInFlight> {
        self.record(|window| window.acknowledged(packet_id))
    }

    /// The driver: it is over.
    pub(super) fn lose(&self, error: Arc<str>) {
        self.state().lost = Some(error);
        self.progress.notify_one();
    }

    /// Sends DISCONNECT, so that the broker does not take our leaving for an accident.
    pub(super) fn say_goodbye(&self) -> bool {
        self.client.try_disconnect().is_ok()
    }

    fn record(&self, change: impl FnOnce(&mut Window) -> Result<(), NotInFlight>) -> Result<(), NotInFlight> {
        let mut state = self.state();
        change(&mut state.window)?;
        if state.window.confirmed() >= state.wake_at {
            state.wake_at = u64::MAX;
            self.progress.notify_one();
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
