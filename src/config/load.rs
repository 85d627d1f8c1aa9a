//! From a file to a [`Plan`], or to everything that is wrong with it.

use std::fs;
use std::path::Path;

use super::check::check;
use super::document::{Document, SyntaxError};
use super::environment::Environment;
use super::masking::Masking;
use super::plan::Plan;
use super::problem::{Level, Location, Problem, Problems};
use super::schema::Root;

/// The configuration in a file, under the environment of this process.
///
/// # Errors
/// Every problem, each with its place, the value found and the value expected.
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
    let masking = Masking::of::<Root>();
    let (document, values) = Document::parse(path.to_owned(), text, environment, masking);
    match values {
        Ok(values) => check(&document, path, values, environment),
        Err(errors) => Err(Problems(
            errors.into_iter().map(SyntaxError::into_problem).collect(),
        )),
    }
}
