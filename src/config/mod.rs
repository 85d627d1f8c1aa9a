//! Configuration: a file and the environment over it, checked as a whole, and turned into each
//! part's own settings.
//!
//! Layers are figment's; which line a mistake stands in is known from toml's spans; every problem
//! is told at once. No other part knows this one.

mod context;
mod document;
mod environment;
mod problem;
mod report;
mod schema;
mod secret;
mod signin;
mod sinks;
mod template;
mod topics;
mod units;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::{delivery, journal, ops, pipeline, source};

pub use environment::Environment;
pub use problem::{Level, Location, Problem, Problems};
pub use secret::{Secrets, Within};

/// What every part is told.
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
    /// Each sink's delivery and destination, by name.
    pub sinks: Vec<(delivery::Settings, crate::sinks::Settings)>,
    /// The HTTP listener.
    pub http: ops::Settings,
    /// A changed file is applied without a signal.
    pub watch: bool,
    /// What deserves a look, though it works.
    pub warnings: Vec<Problem>,
}

/// The configuration in a file, under the environment of this process.
///
/// # Errors
/// Every problem, each with its place, what was found and what was expected.
pub fn load(path: &Path) -> Result<Plan, Problems> {
    load_in(path, &Environment::of_process())
}

/// The configuration in a file, under a given environment.
///
/// # Errors
/// As [`load`].
pub fn load_in(path: &Path, environment: &Environment) -> Result<Plan, Problems> {
    match fs::read_to_string(path) {
        Ok(text) => parse(path, text, environment),
        Err(error) => Err(Problems(vec![Problem {
            level: Level::Error,
            place: Location::Whole(path.to_owned()),
            path: String::new(),
            message: format!("cannot read the configuration: {error}"),
            help: Some("name the file with --config".to_owned()),
        }])),
    }
}

/// The configuration in a text, as if it stood in the file `path`.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &Path, text: String, environment: &Environment) -> Result<Plan, Problems> {
    let (document, values) = document::Document::parse(path.to_owned(), text, environment);
    match values {
        Ok(values) => context::check(&document, path, values, environment),
        Err(errors) => Err(Problems(
            errors
                .into_iter()
                .map(document::SyntaxError::into_problem)
                .collect(),
        )),
    }
}
