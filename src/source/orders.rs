//! What the source is told to do: at its start, and by each reload while it runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::Settings;
use crate::journal::{self, Journal, LastState};
use crate::pipeline::Decoder;

/// See the module.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) settings: Settings,
    /// By the topics' names.
    pub(super) decoders: Arc<HashMap<Arc<str>, Decoder>>,
    /// What the journal remembers of every device; taken by the intake.
    pub(super) last_states: Vec<LastState>,
}

/// The newest orders that nobody has taken yet. They say all that is to be, so older ones are of no
/// use.
#[derive(Debug, Default)]
struct Slot {
    orders: Mutex<Option<Orders>>,
    filled: Notify,
}

/// Where the source finds its orders.
#[derive(Debug)]
pub(super) struct Inbox(Arc<Slot>);

/// Tells a source what to do from now on.
#[derive(Debug, Clone)]
pub struct Handle {
    journal: Journal,
    slot: Arc<Slot>,
}

impl Inbox {
    /// The other end of a new handle.
    pub(super) fn new(journal: Journal) -> (Inbox, Handle) {
        let slot = Arc::new(Slot::default());
        (Inbox(Arc::clone(&slot)), Handle { journal, slot })
    }

    /// Waits for orders. Cancel-safe.
    pub(super) async fn next(&self) -> Orders {
        loop {
            let orders = self
                .0
                .orders
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            match orders {
                Some(orders) => return orders,
                None => self.0.filled.notified().await,
            }
        }
    }
}

impl Handle {
    /// The difference is subscribed and unsubscribed on the connection that lives. Where anything
    /// but the topics is another, the source connects anew, once. Returns as soon as the source has
    /// been told.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn reload(
        &self,
        settings: Settings,
        decoders: Arc<HashMap<Arc<str>, Decoder>>,
    ) -> Result<(), journal::Error> {
        let last_states = self.journal.last_states().await?;
        let orders = Orders {
            settings,
            decoders,
            last_states,
        };
        *self
            .slot
            .orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(orders);
        self.slot.filled.notify_one();
        Ok(())
    }
}
