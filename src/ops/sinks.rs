//! The sinks that run, as an operator sees them.

use std::sync::{Arc, PoisonError, RwLock};

use crate::delivery;
use crate::sinks::Health;

/// One sink, as an operator sees it.
#[derive(Debug, Clone)]
pub struct SinkView {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Whether its other side answers.
    pub health: Health,
    /// The delivery's counters.
    pub counters: Arc<delivery::Counters>,
}

/// The sinks that run; a reload changes which these are. Clones share what they hold.
#[derive(Debug, Clone, Default)]
pub struct Sinks(Arc<RwLock<Arc<[SinkView]>>>);

impl Sinks {
    /// As they are now, in the configuration's order.
    pub fn all(&self) -> Arc<[SinkView]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on these run.
    pub fn replace(&self, sinks: impl IntoIterator<Item = SinkView>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = sinks.into_iter().collect();
    }
}
