//! What of the configuration in force the page and the API show. Plain values without secrets.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::sinks::Look;

/// A topic as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSetup {
    /// Its name.
    pub name: Arc<str>,
    /// As it is written: placeholders stay.
    pub destination: String,
    /// The table whose `for` has made it.
    pub table: Option<Arc<str>>,
    /// No message for longer is a silence.
    pub silence: Option<Duration>,
}

/// What is configured.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The host that the daemon runs on.
    pub host: String,
    /// The first address of the source, without user and query.
    pub server: String,
    /// The heart-beats that are offered.
    pub heartbeat: Duration,
    /// In the configuration's order.
    pub topics: Vec<TopicSetup>,
    /// The type of each sink, by its name.
    pub sinks: BTreeMap<Arc<str>, &'static str>,
    /// The first history, read-only.
    pub history: Option<Look>,
    /// In which times are shown.
    pub zone: TimeZone,
    /// Whether a full journal pauses reception.
    pub pauses_when_full: bool,
    /// When it was applied.
    pub applied_at: Timestamp,
}

/// The one in force; a reload replaces it. Clones share what they hold.
#[derive(Debug, Clone)]
pub struct Setups(Arc<RwLock<Arc<Setup>>>);

impl Setups {
    /// Begins with this one.
    pub fn new(setup: Setup) -> Setups {
        Setups(Arc::new(RwLock::new(Arc::new(setup))))
    }

    /// The one in force.
    pub fn current(&self) -> Arc<Setup> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on this is in force.
    pub fn replace(&self, setup: Setup) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(setup);
    }
}
