//! Everything that an operator may look at, in one place.

use std::sync::Arc;

use jiff::Timestamp;

use super::findings::Findings;
use super::reload::Reloads;
use super::sinks::Sinks;
use crate::journal::Journal;
use crate::source::{self, LinkState};

/// More topics with the same trouble are counted.
const TOPICS_SHOWN_MAX: usize = 5;

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
    /// What the source is told.
    pub source_handle: source::Handle,
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

impl View {
    /// Whether the journal accepts nothing, or has no room for what topics may bring, so that they
    /// wait at the server.
    pub(super) fn is_journal_full(&self) -> bool {
        self.journal.log.status().full || self.source.held_back() > 0
    }

    /// Why the daemon is not ready now, one line each; empty when it is connected, every topic is
    /// subscribed and none silent, and every sink is up. What has passed is no reason.
    pub fn unready(&self) -> Vec<String> {
        let mut reasons = self.unready_source();
        for sink in &*self.sinks.all() {
            let report = sink.health.report();
            if !report.up {
                let trouble = report
                    .trouble
                    .map(|trouble| format!(": {trouble}"))
                    .unwrap_or_default();
                reasons.push(format!(
                    "sink {} not up since {:.0}{trouble}",
                    sink.name, report.since
                ));
            }
        }
        if self.journal.log.status().full {
            reasons.push(
                "journal full: it takes only messages that were sent already until the sinks have \
                 caught up, or its disk has more free space"
                    .to_owned(),
            );
        }
        reasons
    }

    fn unready_source(&self) -> Vec<String> {
        let link = self.source.link();
        let mut reasons = unready_link(&link, self.source.held_back());
        let refused = self.source.refused_topics();
        reasons.extend(first_few(
            refused.iter().map(|(topic, it)| {
                format!("topic {topic} refused since {}: {}", it.since, it.error)
            }),
            "topics refused",
        ));
        // Of each topic, that line says it already.
        if link.state != LinkState::Silent {
            let topics = self.source.topics();
            let silent = topics.iter().filter_map(|(topic, it)| {
                let since = it.silent_since?;
                let last = it.last_message.map_or("none has come".to_owned(), |last| {
                    format!("the last came at {last}")
                });
                Some(format!(
                    "topic {topic} silent since {since}: no message for as long as its silence \
                     allows; {last}"
                ))
            });
            reasons.extend(first_few(silent, "topics silent"));
        }
        reasons
    }
}

/// What the state of the link has to do with it.
fn unready_link(link: &source::Link, held_back: u64) -> Vec<String> {
    let (state, since) = (link.state, link.since);
    let trouble = link.trouble.as_ref().map(|trouble| format!(": {trouble}"));
    let why = match state {
        LinkState::Subscribed | LinkState::Receiving => return Vec::new(),
        LinkState::Silent => {
            ": no message of any topic for as long as its silence allows".to_owned()
        }
        LinkState::Paused if held_back > 0 => {
            format!(": {held_back} topics wait at the server until the sinks have caught up")
        }
        LinkState::Paused => format!(
            ": the server is not read until the sinks have caught up{}",
            trouble.unwrap_or_default()
        ),
        LinkState::Connected => ": not every topic is subscribed yet".to_owned(),
        LinkState::Connecting | LinkState::Stopped => trouble.unwrap_or_default(),
    };
    vec![format!("source {} since {since}{why}", state.as_str())]
}

/// The first few lines, and how many more there are.
fn first_few(lines: impl Iterator<Item = String>, of: &str) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    if let more @ 1.. = lines.len().saturating_sub(TOPICS_SHOWN_MAX) {
        lines.truncate(TOPICS_SHOWN_MAX);
        lines.push(format!("{more} more {of}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_says_what_it_waits_for_and_former_trouble_only_where_it_is_the_reason() {
        let trouble = Some("connection refused".to_owned());
        let check = |state, trouble: &Option<String>, expected: &[&str]| {
            let link = source::Link {
                state,
                trouble: trouble.clone(),
                last_error: Some("an old error".to_owned()),
                ..source::Status::new().link()
            };
            let reasons = unready_link(&link, 0);
            let begins = format!("source {} since {}", state.as_str(), link.since);
            let ends: Vec<&str> = reasons
                .iter()
                .map(|line| line.strip_prefix(&begins).expect(line))
                .collect();
            assert_eq!(ends, expected, "{state:?}");
        };
        for state in [LinkState::Subscribed, LinkState::Receiving] {
            check(state, &trouble, &[]);
        }
        check(LinkState::Connecting, &trouble, &[": connection refused"]);
        check(LinkState::Connecting, &None, &[""]);
        check(LinkState::Stopped, &None, &[""]);
        check(
            LinkState::Connected,
            &trouble,
            &[": not every topic is subscribed yet"],
        );
        check(
            LinkState::Silent,
            &trouble,
            &[": no message of any topic for as long as its silence allows"],
        );
        check(
            LinkState::Paused,
            &trouble,
            &[": the server is not read until the sinks have caught up: connection refused"],
        );
    }

    #[test]
    fn of_many_topics_the_first_few_are_named() {
        let lines = |count: usize| (1..=count).map(|number| format!("topic {number}"));
        assert_eq!(first_few(lines(5), "topics silent").len(), 5);
        let many = first_few(lines(500), "topics silent");
        assert_eq!((many.len(), &*many[5]), (6, "495 more topics silent"));
    }
}
