//! The requests to a source that runs: other settings by a reload, and to connect at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::settings::Settings;
use crate::pipeline::Decoder;

/// The settings that the source is to have from now on.
#[derive(Debug)]
pub(super) struct ReloadRequest {
    pub(super) settings: Settings,
    /// By the topics' names.
    pub(super) decoders: Arc<HashMap<Arc<str>, Decoder>>,
}

/// The newest request that the source has not read yet. Each says all that is wanted, so a newer
/// one replaces it.
#[derive(Debug, Default)]
struct InboxSlot {
    wanted: Mutex<Option<ReloadRequest>>,
    filled: Notify,
    retry: Notify,
}

/// Where the source finds the newest request.
#[derive(Debug)]
pub(super) struct Inbox(Arc<InboxSlot>);

/// Tells a source what to do from now on.
#[derive(Debug, Clone)]
pub struct Handle {
    slot: Arc<InboxSlot>,
}

impl Inbox {
    /// The other end of a new handle.
    pub(super) fn new() -> (Inbox, Handle) {
        let slot = Arc::new(InboxSlot::default());
        (Inbox(Arc::clone(&slot)), Handle { slot })
    }

    /// Waits for a request. Cancel-safe.
    pub(super) async fn next(&self) -> ReloadRequest {
        loop {
            let wanted = self
                .0
                .wanted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            match wanted {
                Some(wanted) => return wanted,
                None => self.0.filled.notified().await,
            }
        }
    }

    /// Waits until somebody wants the next attempt now. What was asked before counts for nothing.
    pub(super) async fn retry(&self) {
        self.0.retry.notified().await;
    }
}

impl Handle {
    /// Ends a wait for the next attempt to connect. Where nothing waits, nothing happens.
    pub fn retry(&self) {
        self.slot.retry.notify_waiters();
    }

    /// Applies a reload. The source subscribes and unsubscribes the difference on its connection.
    /// If anything but the topics changed, it reconnects once. Returns as soon as the request is
    /// queued.
    pub fn reload(&self, settings: Settings, decoders: Arc<HashMap<Arc<str>, Decoder>>) {
        let wanted = ReloadRequest { settings, decoders };
        *self
            .slot
            .wanted
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(wanted);
        self.slot.filled.notify_one();
    }
}
