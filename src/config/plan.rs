//! What a configuration comes to: the settings of every part, checked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::problem::Problem;
use super::test_case::TestCase;
use crate::rotation::SecretFiles;
use crate::{delivery, journal, ops, pipeline, source};

/// The settings of every part, which fit together.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The STOMP side.
    pub source: source::Settings,
    /// How the messages of each topic are decoded, by its name.
    pub decoders: Arc<HashMap<Arc<str>, pipeline::Decoder>>,
    /// The topics that a table's `for` has made of it, by the table's name.
    pub families: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// The log.
    pub journal: journal::Settings,
    /// How often, under load, what has come is read, journaled and handed to the sinks; zero: at
    /// once.
    pub commit_interval: Duration,
    /// Each sink's delivery and destination, by name.
    pub sinks: Vec<(delivery::Settings, crate::sinks::Settings)>,
    /// The HTTP listener.
    pub http: ops::Settings,
    /// How long systemd waits for the first subscription.
    pub ready_timeout: Duration,
    /// A changed file is applied without a signal.
    pub watch: bool,
    /// What `config test` runs.
    pub tests: Vec<TestCase>,
    /// The files that its secrets were read from.
    pub secret_files: SecretFiles,
    /// What deserves a look, though it works.
    pub warnings: Vec<Problem>,
}
