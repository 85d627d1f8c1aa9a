//! Collects problems while a configuration is read, so that all of them are told at once.

use std::collections::HashSet;

use figment::error::{Actual, Kind};
use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use super::document::{Document, Part, Path};
use super::problem::{Level, Location, Problem, Problems};
use crate::pipeline::nearest;

/// Keys whose values are never shown, whatever is wrong with them.
const SECRET_KEYS: [&str; 7] = [
    "passcode", "password", "secret", "headers", "login", "json", "form",
];

/// Reads values of the document, and collects every problem with its place.
pub(super) struct Report<'a> {
    document: &'a Document,
    problems: Vec<Problem>,
    /// Keys that have a problem already.
    told: HashSet<Path>,
    /// Keys that were taken out, or were meant by another: what follows for them and below them is
    /// not told.
    redacted: HashSet<Path>,
}

impl<'a> Report<'a> {
    pub(super) fn new(document: &'a Document) -> Report<'a> {
        Report {
            document,
            problems: Vec::new(),
            told: HashSet::new(),
            redacted: HashSet::new(),
        }
    }

    /// The value at `path` is wrong.
    pub(super) fn error(&mut self, path: &Path, message: impl Into<String>) {
        self.add(Level::Error, path, Part::Value, message.into(), None);
    }

    /// The value at `path` is wrong, and this is what to do.
    pub(super) fn error_with(
        &mut self,
        path: &Path,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(
            Level::Error,
            path,
            Part::Value,
            message.into(),
            Some(help.into()),
        );
    }

    /// The key at `path` is wrong, or missing.
    pub(super) fn key_error(
        &mut self,
        path: &Path,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(
            Level::Error,
            path,
            Part::Key,
            message.into(),
            Some(help.into()),
        );
    }

    /// The key at `path` deserves a look.
    pub(super) fn warning(&mut self, path: &Path, message: impl Into<String>) {
        self.add(Level::Warning, path, Part::Key, message.into(), None);
    }

    /// A variable that does nothing.
    pub(super) fn idle_variable(&mut self, name: &str, meant: &str) {
        self.problems.push(Problem {
            level: Level::Warning,
            place: Location::Variable(name.to_owned()),
            path: String::new(),
            message: format!("the variable {name} does nothing"),
            help: Some(format!(
                "did you mean {meant}? tables are separated by two underscores"
            )),
        });
    }

    /// The value of a result; its error is the problem of the value at `path`.
    pub(super) fn take<T>(&mut self, path: &Path, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.error(path, message)).ok()
    }

    /// The warnings where there are no errors, else everything, in the order of the lines.
    pub(super) fn finish<T>(mut self, plan: Option<T>) -> Result<(T, Vec<Problem>), Problems> {
        self.problems.sort_by_key(|problem| match &problem.place {
            Location::File { line, column, .. } => (*line, *column),
            Location::Variable(_) | Location::Whole(_) => (usize::MAX, 0),
        });
        let errors = self
            .problems
            .iter()
            .any(|problem| problem.level == Level::Error);
        match plan {
            Some(plan) if !errors => Ok((plan, self.problems)),
            _ => Err(Problems(self.problems)),
        }
    }

    /// A `T` of the values at `path`. serde stops at the first mistake: it is told, what is
    /// mistaken is taken out, and what is left is read again, until there is none.
    pub(super) fn extract<T: DeserializeOwned + Default>(
        &mut self,
        path: &Path,
        mut table: Dict,
    ) -> T {
        loop {
            match Value::from(table.clone()).deserialize::<T>() {
                Ok(values) => return values,
                Err(error) => {
                    let here = path.below(&error.path);
                    self.mistake(&here, error.kind);
                    self.redacted.insert(here);
                    if !remove(&mut table, &error.path) {
                        return T::default();
                    }
                }
            }
        }
    }

    fn mistake(&mut self, path: &Path, kind: Kind) {
        match kind {
            Kind::UnknownField(name, expected) => {
                self.unknown_key(path, &name, expected.iter().copied())
            }
            Kind::UnknownVariant(name, expected) => {
                let message = unknown("value", &name, expected.iter().copied());
                self.error_with(
                    path,
                    message,
                    format!("expected one of {}", expected.join(", ")),
                );
            }
            Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
                let found = if secret(path) {
                    kind_of(&found).to_owned()
                } else {
                    found.to_string()
                };
                let expected = if expected == "path string" {
                    "a path"
                } else {
                    expected.as_str()
                };
                self.error(path, format!("expected {expected}, found {found}"));
            }
            Kind::Message(message) => self.error(path, message),
            other => self.error(path, other.to_string()),
        }
    }

    /// A key that nothing reads.
    pub(super) fn unknown_key<'k>(
        &mut self,
        path: &Path,
        name: &str,
        known: impl Iterator<Item = &'k str> + Clone,
    ) {
        let mut listed: Vec<&str> = known.clone().collect();
        listed.sort_unstable();
        self.key_error(
            path,
            unknown("key", name, known.clone()),
            format!("expected one of {}", listed.join(", ")),
        );
        if let (Some(near), Some(parent)) = (nearest(name, known), path.parent()) {
            self.redacted.insert(parent.join(near));
        }
    }

    fn add(
        &mut self,
        level: Level,
        path: &Path,
        part: Part,
        message: String,
        help: Option<String>,
    ) {
        let redacted =
            (1..=path.0.len()).any(|end| self.redacted.contains(&Path(path.0[..end].to_vec())));
        if redacted || !self.told.insert(path.clone()) {
            return;
        }
        let place = self.document.place(path, part);
        // A key that nothing knows may be a mistyped password.
        let hidden = secret(path) || message.starts_with("unknown key") || signed_url(&place);
        let place = if hidden {
            self.document.without_value(place)
        } else {
            place
        };
        self.problems.push(Problem {
            level,
            place,
            path: path.to_string(),
            message,
            help,
        });
    }
}

/// ``unknown key `urll`, did you mean `url`?``
pub(super) fn unknown<'k>(what: &str, name: &str, known: impl Iterator<Item = &'k str>) -> String {
    match nearest(name, known) {
        Some(near) => format!("unknown {what} `{name}`, did you mean `{near}`?"),
        None => format!("unknown {what} `{name}`"),
    }
}

fn secret(path: &Path) -> bool {
    path.0
        .iter()
        .any(|name| SECRET_KEYS.contains(&name.as_str()))
        || (path.0.first().is_some_and(|first| first == "sinks")
            && path.0.last().is_some_and(|last| last == "url"))
}

/// A line with a URL that may hold a password or a token.
fn signed_url(place: &Location) -> bool {
    matches!(place, Location::File { source, .. } if source.contains("://") && source.contains(['@', '?']))
}

fn kind_of(found: &Actual) -> &'static str {
    match found {
        Actual::Bool(_) => "a boolean",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "something else",
    }
}

/// Takes out what lies at a path, or the list that it lies in. False where there is nothing.
fn remove(table: &mut Dict, path: &[String]) -> bool {
    let Some((name, below)) = path.split_first() else {
        return false;
    };
    match table.get_mut(name) {
        None => false,
        Some(Value::Dict(_, inner)) if !below.is_empty() => remove(inner, below),
        Some(_) => table.remove(name).is_some(),
    }
}
