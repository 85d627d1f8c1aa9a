//! A problem of a configuration: its place, the value found and the value expected.

use std::fmt;
use std::path::PathBuf;

use unicode_width::UnicodeWidthChar;

/// Whether the configuration can be used in spite of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It cannot.
    Error,
    /// It can, and somebody should look.
    Warning,
}

/// Where a problem stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In the file.
    File {
        /// The file as it was named.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// The line, with what may be a secret left out.
        source: String,
        /// How many characters from `column` on are meant.
        width: usize,
    },
    /// In an environment variable of that name.
    Variable(String),
    /// In the file as a whole: something is missing, or it cannot be read.
    Whole(PathBuf),
}

/// For one line of a log.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::File {
                file, line, column, ..
            } => write!(f, "{}:{line}:{column}", file.display()),
            Location::Variable(name) => write!(f, "environment variable {name}"),
            Location::Whole(file) => write!(f, "{}", file.display()),
        }
    }
}

impl Location {
    /// The same without anything of its line.
    pub(super) fn hidden(mut self) -> Location {
        if let Location::File { source, .. } = &mut self {
            *source = "…".to_owned();
        }
        self
    }

    /// The same without what its line says after the key. Nothing is left of a line that does not
    /// begin with a key or a table's name: it goes on with a value.
    pub(super) fn without_value(mut self) -> Location {
        if let Location::File { source, .. } = &mut self {
            match source.split_once('=') {
                Some((key, _)) if is_key(key) => *source = format!("{key}= …"),
                None if source.starts_with('[') && is_key(source) => {}
                _ => *source = "…".to_owned(),
            }
        }
        self
    }
}

/// Whether a text can stand before `=`, or be a table's name in its brackets.
fn is_key(text: &str) -> bool {
    let in_pairs = |quote: char| text.matches(quote).count().is_multiple_of(2);
    let plain = |c: char| c.is_alphanumeric() || "-_. \t\"'[]".contains(c);
    text.chars().all(plain) && in_pairs('"') && in_pairs('\'')
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// See [`Level`].
    pub level: Level,
    /// See [`Location`].
    pub place: Location,
    /// The key, such as `sinks.oncall.url`; empty for the whole.
    pub path: String,
    /// The value that was found.
    pub message: String,
    /// The value that is expected, or what to do.
    pub help: Option<String>,
}

/// All problems of a configuration, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Those for which the configuration cannot be used; the others deserve a look.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter().filter(|it| it.level == Level::Error)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}\n")?;
        }
        let errors = self.errors().count();
        write!(
            f,
            "{errors} {}",
            if errors == 1 { "problem" } else { "problems" }
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        let path = if self.path.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.path)
        };
        write!(f, "{level}: {}", self.message)?;
        let margin = match &self.place {
            Location::File {
                line,
                column,
                source,
                width,
                ..
            } => {
                let number = line.to_string();
                let margin = " ".repeat(number.len());
                // The end of the line marks that the rest was left out.
                let first = (column - 1).min(source.chars().count().saturating_sub(1));
                let columns = |character: char| character.width().unwrap_or(1);
                let before: usize = source.chars().take(first).map(columns).sum();
                let meant: usize = source.chars().skip(first).take(*width).map(columns).sum();
                write!(f, "\n{margin}--> {}{path}", self.place)?;
                write!(f, "\n{margin} |\n{number} | {source}")?;
                write!(
                    f,
                    "\n{margin} | {}{}",
                    " ".repeat(before),
                    "^".repeat(meant.max(1))
                )?;
                margin
            }
            place @ (Location::Variable(_) | Location::Whole(_)) => {
                write!(f, "\n --> {place}{path}")?;
                " ".to_owned()
            }
        };
        match &self.help {
            Some(help) => write!(f, "\n{margin} = {help}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_like_a_compilers() {
        let problem = Problem {
            level: Level::Error,
            place: Location::File {
                file: PathBuf::from("config.toml"),
                line: 12,
                column: 8,
                source: "\"故障\" = 5".to_owned(),
                width: 1,
            },
            path: "states.故障".to_owned(),
            message: "expected a table, found 5".to_owned(),
            help: Some("such as { name = \"fault\" }".to_owned()),
        };
        let expected = "\
error: expected a table, found 5
  --> config.toml:12:8 (states.故障)
   |
12 | \"故障\" = 5
   |          ^
   = such as { name = \"fault\" }";
        assert_eq!(problem.to_string(), expected);
    }
}
