//! Everything that an operator may look at, in one place.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::findings::Findings;
use super::reload::Reloads;
use super::samples::Samples;
use super::setup::Setups;
use super::sinks::Sinks;
use super::turns::Turns;
use crate::journal::Journal;
use crate::pipeline::Decoders;
use crate::source;

/// A sink is behind once an entry has waited longer for it: one that gathers a batch, or that a
/// moment's load has held, is not.
const BEHIND_MIN: SignedDuration = SignedDuration::from_secs(60);

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
    pub audit: Arc<Findings>,
    /// The requests to the source.
    pub source_handle: source::Handle,
    /// How what is received is decoded.
    pub decoders: Decoders,
    /// What is configured.
    pub setup: Setups,
    /// What is sampled now and then.
    pub samples: Arc<Samples>,
    /// Until when the loops behind the listener and the audit are to turn.
    pub turns: Arc<Turns>,
    /// How the last reload ended.
    pub reloads: Reloads,
    /// When the daemon started.
    pub started_at: Timestamp,
    /// See [`Bounds`].
    pub bounds: Bounds,
}

/// The bounds of what grows, as they are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// `journal.max_bytes`.
    pub journal_bytes: u64,
    /// `journal.dlq_max_bytes`, of each sink.
    pub dlq_bytes: u64,
    /// `journal.devices_max`.
    pub devices: u64,
}

/// A sink for which events have waited for long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Behind {
    pub(super) name: String,
    #[schema(value_type = String)]
    pub(super) since: Timestamp,
    pub(super) pending: u64,
}

impl View {
    /// How long until the journal is full, where a sink that waits fills it; `None`, too, where it is.
    pub(super) fn journal_full_in(&self) -> Option<Duration> {
        let full_in = self.samples.full_in();
        full_in.filter(|_| !self.is_journal_full())
    }

    /// What waits for a sink, where it has waited for long.
    pub(super) fn behind(&self, name: &str) -> Option<Behind> {
        let status = self.journal.log.status();
        let sink = status.sinks.iter().find(|sink| &*sink.name == name)?;
        let since = self.journal.log.waits_since(sink.cursor)?;
        (Timestamp::now().duration_since(since) > BEHIND_MIN).then(|| Behind {
            name: sink.name.to_string(),
            since,
            pending: sink.pending(status.head),
        })
    }

    /// The sink for which the journal keeps the most.
    pub(super) fn journal_held_by(&self) -> Option<Arc<str>> {
        let status = self.journal.log.status();
        let behind = status.sinks.iter().filter(|sink| sink.cursor < status.head);
        let held_by = behind.min_by_key(|sink| sink.cursor)?;
        Some(Arc::clone(&held_by.name))
    }

    /// Whether the journal accepts nothing, or has no room for what topics may bring, so that they
    /// wait at the server.
    pub(super) fn is_journal_full(&self) -> bool {
        self.journal.log.status().full || self.source.held_back() > 0
    }
}
