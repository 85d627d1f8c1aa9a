//! One scenario of what comes in: a daemon whose only sink is a SQLite history, and what must be in
//! it at the end.

use std::collections::BTreeSet;
use std::ops::Range;

use super::configuration::Configuration;
use super::daemon::Daemon;
use super::platform::{self, assert_complete};
use super::{history, wait};

const DEVICES: usize = 20;

/// A running scenario.
pub struct Scenario {
    /// The daemon.
    pub daemon: Daemon,
    name: String,
}

impl Scenario {
    /// Adds the history to a configuration, starts a daemon with it, and waits until it is ready.
    pub async fn start(name: &str, configuration: Configuration) -> Scenario {
        let mut daemon = Daemon::start(&configuration.sqlite()).await;
        daemon.ready().await;
        Scenario {
            daemon,
            name: name.to_owned(),
        }
    }

    /// The scenario's messages of these numbers.
    pub fn messages(&self, numbers: Range<usize>) -> impl Iterator<Item = String> + use<> {
        platform::messages(&self.name, numbers, DEVICES)
    }

    /// Waits until every one of `count` messages is in the history.
    pub async fn complete(&mut self, count: usize) {
        let all = wait::reached(count, async || {
            assert!(self.daemon.runs(), "the daemon ended by itself");
            history::count(self.daemon.folder()).await
        })
        .await;
        if !all {
            // Says which are missing.
            assert_complete(
                &self.name,
                &history::rows(self.daemon.folder()).await,
                count,
            );
        }
    }

    /// Waits until all of `count` messages are there, stops the daemon in order and checks
    /// everything. Each message is there at least once, at most `again` of them more than once, and
    /// no event twice.
    pub async fn finish(mut self, count: usize, again: usize) {
        self.complete(count).await;
        let status = self.daemon.stop().await;
        assert_eq!(status.code(), Some(0), "the exit code after SIGTERM");
        let rows = history::rows(self.daemon.folder()).await;
        assert_complete(&self.name, &rows, count);
        let events: BTreeSet<&str> = rows.iter().map(|row| row.event_id.as_str()).collect();
        assert_eq!(
            events.len(),
            rows.len(),
            "{}: an event_id is there twice",
            self.name
        );
        let most = count + again;
        assert!(
            rows.len() <= most,
            "{}: {} rows of {count} messages",
            self.name,
            rows.len()
        );
    }

    /// What `/status` says of the link.
    pub async fn state(&self) -> String {
        let status = self.daemon.status().await;
        status["link"]["state"]
            .as_str()
            .unwrap_or_else(|| panic!("{status}"))
            .to_owned()
    }

    /// What `/status` says that the server is.
    pub async fn broker(&self) -> String {
        let status = self.daemon.status().await;
        status["link"]["broker"]
            .as_str()
            .unwrap_or_else(|| panic!("{status}"))
            .to_owned()
    }

    /// What `/status` promises for a topic.
    pub async fn guarantee(&self, topic: &str) -> String {
        let status = self.daemon.status().await;
        status["link"]["guarantee"][topic]
            .as_str()
            .unwrap_or_else(|| panic!("{status}"))
            .to_owned()
    }

    /// How often the daemon has been connected since its start.
    pub fn connections(&self) -> usize {
        self.daemon
            .log()
            .matches("\"message\":\"connected\"")
            .count()
    }
}
