//! Collects problems while a configuration is read, so that all of them are reported at once.

use std::collections::HashSet;

use figment::error::{Actual, Kind};
use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use super::document::{Document, Part};
use super::path::Path;
use super::problem::{Level, Location, Problem, Problems};
use crate::pipeline::nearest;

/// The problems of one configuration: each key has one at most, and what follows from another is
/// left out.
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

    /// The value at `path` deserves a look, and this is what to do.
    pub(super) fn warning_with(
        &mut self,
        path: &Path,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let (message, help) = (message.into(), Some(help.into()));
        self.add(Level::Warning, path, Part::Value, message, help);
    }

    /// A line of another file deserves a look.
    pub(super) fn line_warning(
        &mut self,
        path: &Path,
        file: &std::path::Path,
        (line, source): (usize, String),
        message: String,
    ) {
        self.problems.push(Problem {
            level: Level::Warning,
            place: Location::File {
                file: file.to_owned(),
                line,
                column: 1,
                width: source.chars().count().max(1),
                source,
            },
            path: path.to_string(),
            message,
            help: None,
        });
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

    /// The problems of this table and below it say by which name people know it.
    pub(super) fn name(&mut self, table: &Path, name: &str) {
        let (own, below) = (table.to_string(), format!("{table}."));
        let is_of_it =
            |problem: &&mut Problem| problem.path == own || problem.path.starts_with(&below);
        for problem in self.problems.iter_mut().filter(is_of_it) {
            problem.message = format!("{name}: {}", problem.message);
        }
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

    /// All problems, and nothing else.
    pub(super) fn problems(self) -> Vec<Problem> {
        self.problems
    }

    /// A `T` of the values at `path`. serde stops at the first mistake. Each mistake is reported,
    /// its value is taken out, and the rest is read again until there is none.
    pub(super) fn extract<T: DeserializeOwned + Default>(&mut self, path: &Path, table: Dict) -> T {
        self.extract_beside(path, table, &[])
    }

    /// The same of a table that may have these keys, too: they were read before.
    pub(super) fn extract_beside<T: DeserializeOwned + Default>(
        &mut self,
        path: &Path,
        mut table: Dict,
        others: &[&'static str],
    ) -> T {
        loop {
            match Value::from(table.clone()).deserialize::<T>() {
                Ok(values) => return values,
                Err(error) => {
                    let here = path.below(&error.path);
                    let is_of_table = error.path.len() == 1;
                    let others = if is_of_table { others } else { &[] };
                    self.mistake(&here, error.kind, others);
                    self.redacted.insert(here);
                    if !remove(&mut table, &error.path) {
                        return T::default();
                    }
                }
            }
        }
    }

    fn mistake(&mut self, path: &Path, kind: Kind, others: &[&'static str]) {
        let masked = self.document.is_masked(path);
        match kind {
            Kind::UnknownField(name, expected) => {
                let known = expected.iter().chain(others).copied();
                self.unknown_key(path, &name, known);
            }
            Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
                let found = if masked {
                    kind_of(&found).to_owned()
                } else {
                    shown(&found)
                };
                let expected = in_words(&expected);
                self.error(path, format!("expected {expected}, found {found}"));
            }
            // What else it says may hold the value.
            _ if masked => self.error(path, "this value cannot be used"),
            Kind::UnknownVariant(name, expected) => {
                let message = unknown("value", &name, expected.iter().copied());
                self.error_with(
                    path,
                    message,
                    format!("expected one of {}", expected.join(", ")),
                );
            }
            Kind::Message(message) => self.error(path, message),
            Kind::MissingField(name) => self.error(path, format!("the key `{name}` is missing")),
            Kind::DuplicateField(name) => {
                self.error(
                    path,
                    format!("the key `{name}` is here for the second time"),
                );
            }
            Kind::InvalidLength(found, expected) => {
                let expected = in_words(&expected);
                self.error(path, format!("expected {expected}, found {found} values"));
            }
            _ => self.error(path, "this value cannot be used"),
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
        if self.is_news(path) {
            // A key that nothing knows may be a mistyped password.
            let place = self.document.place(path, Part::Key).without_value();
            self.problems.push(Problem {
                level: Level::Error,
                place,
                path: path.to_string(),
                message: unknown("key", name, known.clone()),
                help: Some(format!("expected one of {}", listed.join(", "))),
            });
        }
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
        if self.is_news(path) {
            self.problems.push(Problem {
                level,
                place: self.document.place(path, part),
                path: path.to_string(),
                message,
                help,
            });
        }
    }

    /// Whether this is the first problem of a key, and follows from no other.
    fn is_news(&mut self, path: &Path) -> bool {
        let follows =
            (1..=path.0.len()).any(|end| self.redacted.contains(&Path(path.0[..end].to_vec())));
        !follows && self.told.insert(path.clone())
    }
}

/// ``unknown key `urll`, did you mean `url`?``
pub(super) fn unknown<'k>(what: &str, name: &str, known: impl Iterator<Item = &'k str>) -> String {
    match nearest(name, known) {
        Some(near) => format!("unknown {what} `{name}`, did you mean `{near}`?"),
        None => format!("unknown {what} `{name}`"),
    }
}

/// What serde expects, without the names of our types.
fn in_words(expected: &str) -> &str {
    match expected {
        "path string" => "a path",
        "a string" => "a text",
        "a sequence" => "a list",
        "a map" => "a table",
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        expected if expected.starts_with("struct ") => "a table",
        expected if expected.starts_with("enum") => "a text",
        expected if expected.contains("tuple") => "a list",
        expected => expected,
    }
}

/// A value as it is written; of a long one its kind.
fn shown(found: &Actual) -> String {
    match found {
        Actual::Bool(switch) => switch.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Str(text) => format!("\"{text}\""),
        other => kind_of(other).to_owned(),
    }
}

fn kind_of(found: &Actual) -> &'static str {
    match found {
        Actual::Bool(_) => "a boolean",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        Actual::Str(_) => "a text",
        _ => "something else",
    }
}

/// Takes out what lies at a path: a key of a table, also of one in a list; else the list that it lies
/// in. False where there is nothing.
fn remove(table: &mut Dict, path: &[String]) -> bool {
    let Some((name, below)) = path.split_first() else {
        return false;
    };
    match table.get_mut(name) {
        None => false,
        Some(Value::Dict(_, inner)) if !below.is_empty() => remove(inner, below),
        Some(Value::Array(_, elements)) if below.len() > 1 => {
            match below[0].parse().map(|index: usize| elements.get_mut(index)) {
                Ok(Some(Value::Dict(_, inner))) => remove(inner, &below[1..]),
                _ => table.remove(name).is_some(),
            }
        }
        Some(_) => table.remove(name).is_some(),
    }
}
