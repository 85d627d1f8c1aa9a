//! The names that `when` expressions and templates may use, and their values for one event. Only
//! what a text uses is taken from the event, so an expression costs what it reads.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Object, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

use super::urlencode::urlencode;
use super::{nearest, portable};
use crate::model::columns::{COVERAGE, KIND, of_status};
use crate::model::{
    Column, ColumnKind, Coverage, CoverageEvent, Event, EventKind, Severity, StatusEvent,
};

/// Steps of one evaluation, so that no template can stall a sink for more than some 30 ms. Printing
/// costs a step for each few bytes: this is enough for a payload of several MiB.
const FUEL: u64 = 1_000_000;

/// The names that one text uses.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    status: Vec<&'static Column<StatusEvent>>,
    coverage: Vec<&'static Column<CoverageEvent>>,
    kind: bool,
}

impl Scope {
    /// A scope of the variables that a template of events of these kinds leaves open.
    ///
    /// # Errors
    /// A text for the user: each name that no such event has, and the nearest that one has.
    pub(super) fn of(
        undeclared: HashSet<String>,
        environment: &Environment<'_>,
        kinds: &BTreeSet<EventKind>,
    ) -> Result<Scope, String> {
        let kind = undeclared.contains(KIND);
        let undeclared = undeclared.into_iter().filter(|name| name != KIND).collect();
        let scope = Scope::of_columns(undeclared, environment, kinds)?;
        Ok(Scope { kind, ..scope })
    }

    /// A scope of the variables that a condition of statuses leaves open.
    ///
    /// # Errors
    /// As in [`Scope::of`].
    pub(super) fn of_statuses(
        undeclared: HashSet<String>,
        environment: &Environment<'_>,
    ) -> Result<Scope, String> {
        Scope::of_columns(undeclared, environment, &[EventKind::Status].into())
    }

    fn of_columns(
        undeclared: HashSet<String>,
        environment: &Environment<'_>,
        kinds: &BTreeSet<EventKind>,
    ) -> Result<Scope, String> {
        let globals: HashSet<&str> = environment.globals().map(|(name, _)| name).collect();
        let mut scope = Scope::default();
        let mut undeclared: Vec<String> = undeclared.into_iter().collect();
        undeclared.sort();
        let mut mistakes = Vec::new();
        for name in undeclared {
            let name = name.as_str();
            if kinds.iter().any(|kind| kind.names().contains(&name)) {
                scope.status.extend(of_status(name));
                scope.coverage.extend(column(&COVERAGE, name));
            } else if !globals.contains(name) {
                mistakes.push(unknown(name, kinds));
            }
        }
        match mistakes.is_empty() {
            true => Ok(scope),
            false => Err(mistakes.join("; ")),
        }
    }

    /// Nothing of the event is used.
    pub(super) fn is_empty(&self) -> bool {
        self.status.is_empty() && self.coverage.is_empty() && !self.kind
    }

    /// The values for one event, with further ones that no text can name.
    pub(super) fn context(&self, event: &Event, hidden: Option<(&'static str, Value)>) -> Value {
        let mut values = self.values(event);
        values.extend(hidden);
        Value::from_object(Context {
            values,
            asked: None,
        })
    }

    /// The same for a status alone.
    pub(super) fn status_context(&self, status: &StatusEvent) -> Value {
        let values = values(&self.status, status);
        Value::from_object(Context {
            values,
            asked: None,
        })
    }

    /// The same as [`Scope::context`], for trying a text on a sample: says afterwards which name it
    /// asked for that such an event does not have.
    pub(super) fn trial(&self, sample: &Event) -> (Value, Asked) {
        let asked = Asked::of(sample.kind());
        let context = Context {
            values: self.values(sample),
            asked: Some(asked.clone()),
        };
        (Value::from_object(context), asked)
    }

    fn values(&self, event: &Event) -> Vec<(&'static str, Value)> {
        let mut values = match event {
            Event::Status(status) => values(&self.status, status),
            Event::Coverage(coverage) => values(&self.coverage, coverage),
        };
        if self.kind {
            values.push((KIND, Value::from(event.kind().as_str())));
        }
        values
    }
}

fn values<Row>(columns: &[&'static Column<Row>], row: &Row) -> Vec<(&'static str, Value)> {
    // One more for the kind, and one for the hidden names.
    let mut values = Vec::with_capacity(columns.len() + 2);
    for column in columns {
        values.push((column.name, value(row, column)));
    }
    values
}

/// The first name that a text asked a sample for and that events of its kind do not have, although
/// others do.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    kind: EventKind,
    name: Arc<Mutex<Option<String>>>,
}

impl Asked {
    pub(super) fn of(kind: EventKind) -> Asked {
        Asked {
            kind,
            name: Arc::default(),
        }
    }

    /// The text has asked for this.
    pub(super) fn note(&self, name: &str) {
        self.name
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| name.to_owned());
    }

    /// The text's mistake, by the names that it asked for.
    pub(super) fn mistake(&self) -> Option<String> {
        let name = self.name.lock().unwrap_or_else(PoisonError::into_inner);
        Some(unknown(name.as_ref()?, &[self.kind].into()))
    }
}

/// What to say of a name that no event of these kinds has.
pub(super) fn unknown(name: &str, kinds: &BTreeSet<EventKind>) -> String {
    match name {
        "signin" => {
            return "`signin` is for the source (its url and headers, destinations), not for templates of events"
                .to_owned();
        }
        "secret" => {
            return "`secret` is for the configuration's own values (url, headers, passwords), not for templates of events"
                .to_owned();
        }
        _ => {}
    }
    let known = || kinds.iter().flat_map(|kind| kind.names()).copied();
    if is_column(name)
        && let Some(kind) = kinds.first()
    {
        let (kind, columns) = (kind.as_str(), kind.names().join(", "));
        return format!("an event of the kind {kind} has no `{name}`; it has {columns}");
    }
    if let Some(near) = nearest(name, known()) {
        return format!("unknown variable `{name}`, did you mean `{near}`?");
    }
    let mut columns: Vec<&str> = Vec::new();
    known().for_each(|name| {
        if !columns.contains(&name) {
            columns.push(name);
        }
    });
    format!(
        "unknown variable `{name}`, expected one of {}",
        columns.join(", ")
    )
}

/// What minijinja says, in one line; a mistake with the place where it stands.
pub(super) fn one_line(error: &Error) -> String {
    let detail = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.kind() {
        ErrorKind::OutOfFuel => format!("takes more than {FUEL} steps"),
        ErrorKind::SyntaxError => match error.range() {
            Some(range) => format!("{detail}, at character {}", range.start + 1),
            None => detail,
        },
        kind if error.detail().is_some() => format!("{kind}: {detail}"),
        _ => detail,
    }
}

/// The language of expressions and templates: minijinja's, without a way to stall, to load or to
/// write anything. What a payload does not have is absent however deep it is asked for.
pub(super) fn language() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.add_filter("urlencode", urlencode);
    environment
}

/// The text's mistake for every event; other errors may be the sample's.
pub(super) fn mistake(error: &Error) -> Option<String> {
    use ErrorKind::{OutOfFuel, UnknownFilter, UnknownFunction, UnknownMethod, UnknownTest};
    matches!(
        error.kind(),
        UnknownFilter | UnknownFunction | UnknownMethod | UnknownTest | OutOfFuel
    )
    .then(|| one_line(error))
}

/// Two statuses that differ in everything that a condition is likely to ask: an unknown filter,
/// test or function shows only when it is reached.
pub(super) fn status_samples() -> [StatusEvent; 2] {
    let fault = StatusEvent::sample();
    let normal = StatusEvent {
        severity: Severity::Ok,
        changed: false,
        missed_transition: false,
        ..fault.clone()
    };
    [fault, normal]
}

/// Two events of a kind that differ likewise.
pub(super) fn samples(kind: EventKind) -> [Event; 2] {
    match kind {
        EventKind::Status => status_samples().map(Event::from),
        EventKind::Coverage => {
            let lost = CoverageEvent::sample();
            let heard = CoverageEvent {
                coverage: Coverage {
                    heard: true,
                    cause: None,
                    ..lost.coverage
                },
                ..lost.clone()
            };
            [lost, heard].map(Event::from)
        }
    }
}

#[derive(Debug)]
struct Context {
    values: Vec<(&'static str, Value)>,
    /// Where a text is only tried.
    asked: Option<Asked>,
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let value = self.values.iter().find(|(name, _)| *name == key);
        if let (None, Some(asked)) = (value, &self.asked)
            && is_column(key)
        {
            asked.note(key);
        }
        value.map(|(_, value)| value.clone())
    }
}

/// Whether events of some kind have a column of that name.
fn is_column(name: &str) -> bool {
    EventKind::ALL
        .iter()
        .any(|kind| kind.names().contains(&name))
}

/// The column of that name.
fn column<Row>(columns: &'static [Column<Row>], name: &str) -> Option<&'static Column<Row>> {
    columns.iter().find(|column| column.name == name)
}

/// What an event has under a name; `None`: it has no such name.
pub(super) fn lookup(event: &Event, name: &str) -> Option<Value> {
    if name == KIND {
        return Some(Value::from(event.kind().as_str()));
    }
    match event {
        Event::Status(status) => Some(value(&**status, of_status(name)?)),
        Event::Coverage(coverage) => Some(value(&**coverage, column(&COVERAGE, name)?)),
    }
}

/// A payload's parsed JSON. One with a number that no double holds, or deeper than is parsed, is its
/// text.
fn payload(json: &str) -> Value {
    let parsed = serde_json::from_str::<serde_json::Value>(json)
        .or_else(|_| serde_json::from_str(&portable(json)));
    match parsed {
        Ok(parsed) => Value::from(minijinja::value::Serde(parsed)),
        Err(_) => Value::from(json),
    }
}

/// A column as minijinja sees it: an absent value is `none`, times are RFC 3339, the payload is its
/// parsed JSON.
fn value<Row>(row: &Row, column: &Column<Row>) -> Value {
    match column.kind {
        ColumnKind::Word(read) | ColumnKind::Text(read) => Value::from(read(row)),
        ColumnKind::Boolean(read) => Value::from(read(row)),
        ColumnKind::Number(read) => Value::from(read(row)),
        ColumnKind::Time(read) => Value::from(read(row).map(|at| at.to_string())),
        ColumnKind::Json(read) => payload(read(row).get()),
    }
}
