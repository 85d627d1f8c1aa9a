//! What an operator looks at and asks for: health, readiness, metrics, status, delivery
//! accounting, redrives and replays; and systemd's notifications.

mod activity;
pub mod audit;
mod connection;
mod connections;
pub mod control;
mod http;
mod metrics;
pub mod status;
pub mod systemd;

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use crate::journal::Journal;
use crate::sinks::Health;
use crate::{delivery, source};

pub use http::{ListenError, Listener};

/// Validated settings of the HTTP listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one, which the log names.
    pub listen: SocketAddr,
}

/// One sink, as an operator sees it.
#[derive(Debug, Clone)]
pub struct SinkView {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Whether its other side answers.
    pub health: Health,
    /// What was delivered.
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

/// Everything that an operator may look at.
#[derive(Debug, Clone)]
pub struct View {
    /// The STOMP side.
    pub source: Arc<source::Status>,
    /// The log and its cursors.
    pub journal: Journal,
    /// Those of the configuration.
    pub sinks: Sinks,
    /// Whether everything is accounted for.
    pub audit: Arc<audit::Audit>,
}

impl View {
    /// Why the daemon is not ready, one line each; empty when it is connected, subscribed and every
    /// sink is up.
    pub fn unready(&self) -> Vec<String> {
        let link = self.source.link();
        let mut reasons = Vec::new();
        if link.state == source::LinkState::Silent {
            reasons.push(format!(
                "source silent since {}: no message for as long as source.silence allows",
                link.since
            ));
        } else if !link.state.is_ready() {
            let error = link
                .last_error
                .map(|error| format!(": {error}"))
                .unwrap_or_default();
            reasons.push(format!(
                "source {} since {}{error}",
                link.state.as_str(),
                link.since
            ));
        }
        for sink in &*self.sinks.all() {
            let report = sink.health.report();
            if !report.up {
                let error = report
                    .last_error
                    .map(|error| format!(": {error}"))
                    .unwrap_or_default();
                reasons.push(format!(
                    "sink {} not up since {}{error}",
                    sink.name, report.since
                ));
            }
        }
        if self.journal.status().full {
            reasons.push(
                "journal full: nothing is acknowledged until the sinks have caught up, or its \
                 disk has more free space"
                    .to_owned(),
            );
        }
        reasons
    }
}
