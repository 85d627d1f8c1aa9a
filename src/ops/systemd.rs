//! systemd's notifications: READY, RELOADING, STOPPING, STATUS, and a watchdog that is fed only
//! while the source makes progress. Without `$NOTIFY_SOCKET` all of it does nothing.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::source;

/// The daemon runs and accepts work; whether its peers answer is readiness, not this.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read again. Until [`ready`] is said, `systemctl reload` waits.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "the monotonic clock cannot be read"),
    }
}

/// The daemon has begun to stop.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Feeds the watchdog at a third of its interval, as long as the source's loop has turned since the
/// last time. Returns when stopped; never while systemd wants feeding and the source hangs, since
/// systemd then restarts us.
pub async fn feed_watchdog(source: Arc<source::Status>, stop: CancellationToken) {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return stop.cancelled().await;
    };
    let mut every = tokio::time::interval((interval / 3).max(Duration::from_millis(100)));
    let mut turns_before = None;
    let mut link_before = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        let turns = source.turns();
        if turns_before != Some(turns) {
            notify(&[NotifyState::Watchdog]);
        }
        turns_before = Some(turns);
        let state = source.link().state;
        if link_before != Some(state) {
            notify(&[NotifyState::Status(state.as_str())]);
            link_before = Some(state);
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not notified");
    }
}
