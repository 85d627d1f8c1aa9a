//! A configuration file and the variables over it, as one tree of values that knows where each of
//! them was written.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

use figment::value::{Dict, Map, Num, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::Environment;
use super::foreign;
use super::line::{self, LONG_QUOTES, Mistake};
use super::masking::{Masking, may_hold_credentials};
use super::path::Path;
use super::problem::{Level, Location, Problem, Problems};

/// What a problem points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Key,
    Value,
}

/// The file's text with the place of each key and value, and what of it may be shown.
pub(super) struct Document {
    file: PathBuf,
    text: String,
    masking: Masking,
    /// The values that are never shown, in bytes.
    hidden: Vec<Range<usize>>,
    /// Where each key and its value stand, in bytes.
    spans: HashMap<Path, (Range<usize>, Range<usize>)>,
    /// Which variable gave what overrides the file.
    variables: HashMap<Path, String>,
}

/// A mistake in the file's TOML.
struct SyntaxError {
    place: Location,
    message: String,
    help: Option<String>,
}

impl SyntaxError {
    fn into_problem(self) -> Problem {
        let SyntaxError {
            place,
            message,
            help,
        } = self;
        Problem {
            level: Level::Error,
            place,
            path: String::new(),
            message: format!("not TOML: {message}"),
            help,
        }
    }
}

impl Document {
    /// Parses a file's text and lays the environment's variables over it. Gives the values, and the
    /// errors of text that is no TOML.
    pub(super) fn parse(
        file: PathBuf,
        text: String,
        environment: &Environment,
        masking: Masking,
    ) -> (Document, Result<Dict, Problems>) {
        let mut document = Document {
            file,
            masking,
            hidden: Vec::new(),
            spans: HashMap::new(),
            variables: HashMap::new(),
            text,
        };
        let text = document.text.clone();
        let (table, errors) = DeTable::parse_recoverable(&text);
        document.remember(&Path::default(), table.get_ref());
        if !errors.is_empty() {
            let errors = document.syntax_errors(&errors).into_iter();
            let problems = Problems(errors.map(SyntaxError::into_problem).collect());
            return (document, Err(problems));
        }
        let written = dict(table.get_ref());
        let overriding = document.overriding(&written, environment);
        let layers = Figment::from(Layer(written)).merge(Layer(overriding));
        let values = layers
            .extract()
            .expect("any tree of values is a tree of values");
        (document, Ok(values))
    }

    /// Where a key was written, else the nearest of those around it.
    pub(super) fn place(&self, path: &Path, part: Part) -> Location {
        let mut path = Some(path.clone());
        let mut part = part;
        while let Some(here) = path.filter(|path| !path.0.is_empty()) {
            if let Some(variable) = self.variables.get(&here) {
                return Location::Variable(variable.clone());
            }
            if let Some((key, value)) = self.spans.get(&here) {
                return self.at(if part == Part::Key { key } else { value });
            }
            // A missing key is reported at the table that should have it.
            part = Part::Key;
            path = here.parent();
        }
        Location::Whole(self.file.clone())
    }

    /// Whether what stands at a path may be, or hold, something that must not be shown.
    pub(super) fn is_masked(&self, path: &Path) -> bool {
        self.masking.is_masked(path)
    }

    /// Whether a value must not be shown. One outside the schema may hold a URL, too.
    pub(super) fn hides(&self, path: &Path, text: Option<&str>) -> bool {
        let is_url = |text: &str| text.contains("://") && may_hold_credentials(text);
        self.masking.hides(path, text) || text.is_some_and(is_url)
    }

    fn at(&self, span: &Range<usize>) -> Location {
        let start = self.text[..span.start.min(self.text.len())]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let line = self.text[..start].matches('\n').count() + 1;
        let line_bytes = self.text[start..].lines().next().unwrap_or_default().len();
        let column = self.text[start..span.start].chars().count() + 1;
        let end = span.end.min(start + line_bytes).max(span.start);
        let width = self.text[span.start..end].chars().count().max(1);
        Location::File {
            file: self.file.clone(),
            line,
            column,
            source: self.shown(start..start + line_bytes),
            width,
        }
    }

    /// A line up to the first value in it that must not be shown.
    fn shown(&self, line: Range<usize>) -> String {
        let text = &self.text[line.clone()];
        let hidden = self
            .hidden
            .iter()
            .filter(|value| value.start < line.end && line.start < value.end)
            .map(|value| value.start.saturating_sub(line.start))
            .min();
        // A value outside the schema may hold a URL, too.
        let url = (text.contains("://") && may_hold_credentials(text)).then(|| key_end(text));
        match hidden.into_iter().chain(url).min() {
            Some(end) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        }
    }

    /// Each mistake once: the parser may stumble over one several times.
    fn syntax_errors(&self, errors: &[toml::de::Error]) -> Vec<SyntaxError> {
        let starts = errors.iter().filter_map(toml::de::Error::span);
        let gave_up = starts.map(|span| span.start).min().unwrap_or_default();
        if let Some(mistake) = foreign::language(&self.text, gave_up) {
            return vec![self.named(mistake)];
        }
        let mut named = Vec::new();
        let mut told = Vec::new();
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            let mistake = line::mistake(&self.text, at);
            match mistake.filter(|mistake| !self.is_in_a_text(mistake.at)) {
                Some(mistake) if named.contains(&mistake) => {}
                Some(mistake) => {
                    named.push(mistake.clone());
                    told.push(self.named(mistake));
                }
                None => told.push(self.syntax_error(error)),
            }
        }
        told
    }

    fn named(&self, mistake: Mistake) -> SyntaxError {
        SyntaxError {
            place: self.at(&(mistake.at..mistake.at)).without_value(),
            message: mistake.message,
            help: Some(mistake.help),
        }
    }

    fn syntax_error(&self, error: &toml::de::Error) -> SyntaxError {
        let place = error
            .span()
            .map_or_else(|| Location::Whole(self.file.clone()), |span| self.at(&span));
        let (message, help) = match (error.message(), error.span()) {
            // The parser does not name it: it is what two topics of one name are.
            ("duplicate key", Some(span)) => {
                let help = "give this one another name, or write one table of both";
                let message = format!("`{}` is here for the second time", &self.text[span]);
                (message, Some(help.to_owned()))
            }
            (message, _) => (message.replace('\n', ", "), None),
        };
        let goes_on = error
            .span()
            .is_some_and(|span| self.is_in_a_text(span.start));
        SyntaxError {
            place: if goes_on {
                place.hidden()
            } else {
                place.without_value()
            },
            message,
            help,
        }
    }

    /// Whether the line of a place goes on with a text that began in an earlier one.
    fn is_in_a_text(&self, at: usize) -> bool {
        let before = &self.text[..at];
        let line = before.rfind('\n').map_or(0, |newline| newline + 1);
        LONG_QUOTES
            .into_iter()
            .any(|quotes| !before[..line].matches(quotes).count().is_multiple_of(2))
    }

    fn remember(&mut self, path: &Path, table: &DeTable<'_>) {
        for (key, value) in table.iter() {
            self.remember_value(path.join(key.get_ref().as_ref()), key.span(), value);
        }
    }

    fn remember_value(&mut self, path: Path, key: Range<usize>, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.remember(&path, table),
            DeValue::Array(array) => {
                for (index, element) in array.iter().enumerate() {
                    self.remember_value(path.join(index.to_string()), element.span(), element);
                }
            }
            scalar => {
                if self.masking.hides(&path, scalar.as_str()) {
                    self.hidden.push(value.span());
                }
            }
        }
        self.spans.insert(path, (key, value.span()));
    }

    /// The variables as a tree, all of them texts. A name is that of a written key where it is the
    /// same but for case and `-`, which a variable's name cannot have.
    fn overriding(&mut self, written: &Dict, environment: &Environment) -> Dict {
        let mut overriding = Dict::new();
        for (variable, path, text) in environment.overrides() {
            let mut table = Some(written);
            let mut names = Vec::new();
            for name in path {
                let same = |key: &&String| key.to_lowercase().replace('-', "_") == name;
                let key = table
                    .and_then(|table| table.keys().find(same))
                    .cloned()
                    .unwrap_or(name);
                table = table
                    .and_then(|table| table.get(&key))
                    .and_then(Value::as_dict);
                names.push(key);
            }
            insert(&mut overriding, &names, Value::from(text));
            self.variables.insert(Path(names), variable.to_owned());
        }
        overriding
    }
}

fn insert(table: &mut Dict, path: &[String], value: Value) {
    let Some((name, below)) = path.split_first() else {
        return;
    };
    if below.is_empty() {
        table.insert(name.clone(), value);
        return;
    }
    let mut inner = match table.remove(name) {
        Some(Value::Dict(_, inner)) => inner,
        _ => Dict::new(),
    };
    insert(&mut inner, below, value);
    table.insert(name.clone(), Value::from(inner));
}

fn dict(table: &DeTable<'_>) -> Dict {
    table
        .iter()
        .map(|(key, value)| (key.get_ref().to_string(), figment_value(value.get_ref())))
        .collect()
}

fn figment_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(switch) => Value::from(*switch),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Num(Tag::Default, Num::I64(number)),
            Err(_) => Value::from(number.to_string()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Num(Tag::Default, Num::F64(number)),
            Err(_) => Value::from(number.to_string()),
        },
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(array) => Value::from(
            array
                .iter()
                .map(|element| figment_value(element.get_ref()))
                .collect::<Vec<Value>>(),
        ),
        DeValue::Table(table) => Value::from(dict(table)),
    }
}

/// Where the value begins in a line such as `key = value`.
fn key_end(line: &str) -> usize {
    line.find('=').map_or(0, |equals| {
        let value = line[equals + 1..].trim_start();
        line.len() - value.len()
    })
}

/// A tree of values as a layer for figment.
struct Layer(Dict);

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named("configuration")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.0.clone())]))
    }
}
