//! What a configuration comes to: the settings of every part, checked.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::problem::Problem;
use super::test_case::TestCase;
use crate::model::Names;
use crate::rotation::{SecretFiles, Stamp};
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
    /// What devices are called; the decoders have it, too.
    pub names: PlannedNames,
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

/// What devices are called, by the file of `[names]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlannedNames {
    /// There is no `[names]`.
    Absent,
    /// The file says so.
    Read {
        /// The file.
        file: NamesFile,
        /// The names.
        names: Arc<Names>,
    },
    /// The file cannot be read, or not as a table.
    Unread {
        /// The file.
        file: NamesFile,
        /// The names of before; none at the start.
        before: Arc<Names>,
    },
}

impl PlannedNames {
    /// The names; `None`: there is no `[names]`.
    pub fn names(&self) -> Option<&Arc<Names>> {
        match self {
            PlannedNames::Absent => None,
            PlannedNames::Read { names, .. } => Some(names),
            PlannedNames::Unread { before, .. } => Some(before),
        }
    }

    /// The file; `None`: there is no `[names]`.
    pub fn file(&self) -> Option<&NamesFile> {
        match self {
            PlannedNames::Absent => None,
            PlannedNames::Read { file, .. } | PlannedNames::Unread { file, .. } => Some(file),
        }
    }
}

/// The file of `[names]`, as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamesFile {
    path: PathBuf,
    stamp: Option<Stamp>,
}

impl NamesFile {
    /// As it is now.
    pub fn at(path: PathBuf) -> NamesFile {
        let stamp = Stamp::of(&path);
        NamesFile { path, stamp }
    }

    /// Where it lies, or should.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Plan {
    /// The same, with the names of the plan before it where its own could not be read.
    pub fn keeping_names(mut self, old: &Plan) -> Plan {
        let (PlannedNames::Unread { before, .. }, Some(names)) =
            (&mut self.names, old.names.names())
        else {
            return self;
        };
        *before = Arc::clone(names);
        let decoders = self.decoders.iter().map(|(topic, decoder)| {
            let decoder = decoder.clone().with_names(Some(Arc::clone(names)));
            (Arc::clone(topic), decoder)
        });
        self.decoders = Arc::new(decoders.collect());
        self
    }
}
