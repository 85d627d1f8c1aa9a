//! Everything that an operator may look at, in one place.

use std::sync::Arc;

use super::findings::Findings;
use super::sinks::Sinks;
use crate::journal::Journal;
use crate::source;

/// More refused topics are counted.
const REFUSED_SHOWN_MAX: usize = 5;

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
}

impl View {
    /// Why the daemon is not ready, one line each; empty when it is connected, every topic is
    /// subscribed and every sink is up.
    pub fn unready(&self) -> Vec<String> {
        let link = self.source.link();
        let mut reasons = Vec::new();
        if link.state == source::LinkState::Silent {
            reasons.push(format!(
                "source silent since {}: no message for as long as source.silence allows",
                link.since
            ));
        } else if link.state == source::LinkState::Paused {
            reasons.push(format!(
                "source {} since {}: {} topics wait at the server until the sinks have caught up",
                link.state.as_str(),
                link.since,
                self.source.held_back()
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
        let refused = self.source.refused_topics();
        let shown = refused.iter().take(REFUSED_SHOWN_MAX);
        reasons.extend(
            shown.map(|(topic, it)| {
                format!("topic {topic} refused since {}: {}", it.since, it.error)
            }),
        );
        if let more @ 1.. = refused.len().saturating_sub(REFUSED_SHOWN_MAX) {
            reasons.push(format!("{more} more topics refused"));
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
        if self.journal.log.status().full {
            reasons.push(
                "journal full: nothing is acknowledged until the sinks have caught up, or its \
                 disk has more free space"
                    .to_owned(),
            );
        }
        reasons
    }
}
