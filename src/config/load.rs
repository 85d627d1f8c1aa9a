//! From a file to a [`Plan`], or to everything that is wrong with it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::check::{self, check};
use super::document::Document;
use super::environment::Environment;
use super::foreign;
use super::masking::Masking;
use super::plan::Plan;
use super::problem::{Level, Location, Problem, Problems};
use super::reading::Reading;
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
    parse(path, text_of(path)?, environment)
}

/// The text of a file.
///
/// # Errors
/// The file cannot be read, or is not UTF-8.
pub(super) fn text_of(path: &Path) -> Result<String, Problems> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    String::from_utf8(bytes)
        .map_err(|error| Problems(vec![foreign::not_utf8(path, error.as_bytes())]))
}

/// The problem of a file that cannot be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Problems {
    let (why, help) = match error.kind() {
        ErrorKind::IsADirectory => (
            "it is a folder".to_owned(),
            format!("write --config {}", path.join("config.toml").display()),
        ),
        ErrorKind::PermissionDenied => (
            "this user may not read it".to_owned(),
            "run this as the user that the daemon runs as, or as root, or let its group read the \
             file"
                .to_owned(),
        ),
        ErrorKind::NotFound => (
            "there is no such file".to_owned(),
            format!(
                "name the file with --config: this one would be {}",
                std::path::absolute(path)
                    .unwrap_or_else(|_| path.to_owned())
                    .display()
            ),
        ),
        _ => (
            error.to_string(),
            "name another file with --config".to_owned(),
        ),
    };
    Problems(vec![Problem {
        level: Level::Error,
        place: Location::Whole(path.to_owned()),
        path: String::new(),
        message: format!("cannot read the configuration: {why}"),
        help: Some(help),
    }])
}

/// The configuration in a text, as if it stood in the file `path`.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &Path, text: String, environment: &Environment) -> Result<Plan, Problems> {
    let masking = Masking::of::<Root>();
    let (document, values) = Document::parse(path.to_owned(), text, environment, masking);
    check(&document, path, values?, environment)
}

/// How entries are read, and which of them each sink wants, by a file and the environment of this
/// process.
///
/// # Errors
/// The file cannot be read, or is no TOML.
pub fn reading(path: &Path) -> Result<Reading, Problems> {
    reading_of(path, text_of(path)?, &Environment::of_process())
}

/// The same of a text, as if it stood in the file `path`.
pub(super) fn reading_of(
    path: &Path,
    text: String,
    environment: &Environment,
) -> Result<Reading, Problems> {
    let masking = Masking::of::<Root>();
    let (document, values) = Document::parse(path.to_owned(), text, environment, masking);
    Ok(check::reading(&document, path, values?, environment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_says_what_to_do() {
        for (kind, message, help) in [
            (
                ErrorKind::PermissionDenied,
                "this user may not read it",
                "as root",
            ),
            (
                ErrorKind::IsADirectory,
                "it is a folder",
                "/etc/x/config.toml",
            ),
            (
                ErrorKind::NotFound,
                "there is no such file",
                "--config: this one would be /etc/x",
            ),
            (ErrorKind::TimedOut, "timed out", "--config"),
        ] {
            let said = unreadable(Path::new("/etc/x"), &kind.into()).to_string();
            assert!(said.contains(message) && said.contains(help), "{said}");
        }
    }
}
