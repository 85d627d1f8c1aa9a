//! The names that `when` expressions and templates may use, and their values for one event. Only
//! what a text uses is taken from the event, so an expression costs what it reads.

use std::collections::HashSet;
use std::sync::Arc;

use minijinja::value::{Object, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

use super::nearest;
use crate::model::{Column, ColumnKind, Event, Severity, columns};

/// Steps of one evaluation, so that no template can stall a sink for more than some 30 ms. Printing
/// costs a step for each few bytes: this is enough for a payload of several MiB.
const FUEL: u64 = 1_000_000;

/// The columns that one text uses.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    columns: Vec<&'static Column<Event>>,
}

impl Scope {
    /// A scope of the variables that a text leaves open.
    ///
    /// # Errors
    /// A text for the user: the name that no event has, and the nearest that it has.
    pub(super) fn of(
        undeclared: HashSet<String>,
        environment: &Environment<'_>,
    ) -> Result<Scope, String> {
        let globals: HashSet<&str> = environment.globals().map(|(name, _)| name).collect();
        let mut columns = Vec::new();
        let mut undeclared: Vec<String> = undeclared.into_iter().collect();
        undeclared.sort();
        for name in undeclared {
            match column(&name) {
                Some(column) => columns.push(column),
                None if globals.contains(name.as_str()) => {}
                None => return Err(unknown(&name)),
            }
        }
        Ok(Scope { columns })
    }

    /// Nothing of the event is used.
    pub(super) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The values for one event, with further ones that no text can name.
    pub(super) fn context(
        &self,
        event: &Event,
        hidden: Option<(&'static str, Value)>,
    ) -> Result<Value, String> {
        let mut values = Vec::with_capacity(self.columns.len() + 1);
        for column in &self.columns {
            values.push((column.name, value(event, column)?));
        }
        values.extend(hidden);
        Ok(Value::from_object(Context { values }))
    }
}

pub(super) fn unknown(name: &str) -> String {
    match name {
        "signin" => {
            "`signin` is for the source (its url and headers, destinations), not for templates of events".to_owned()
        }
        "secret" => {
            "`secret` is for the configuration's own values (url, headers, passwords), not for templates of events"
                .to_owned()
        }
        _ => match nearest(name, Event::FIELDS) {
            Some(near) => format!("unknown variable `{name}`, did you mean `{near}`?"),
            None => format!("unknown variable `{name}`, expected one of {}", Event::FIELDS.join(", ")),
        },
    }
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
    environment
}

/// What is wrong with a text whatever the event; other errors may be the sample's.
pub(super) fn mistake(error: &Error) -> Option<String> {
    use ErrorKind::{OutOfFuel, UnknownFilter, UnknownFunction, UnknownMethod, UnknownTest};
    matches!(
        error.kind(),
        UnknownFilter | UnknownFunction | UnknownMethod | UnknownTest | OutOfFuel
    )
    .then(|| one_line(error))
}

/// Two events that differ in everything that a condition is likely to ask: an unknown filter, test
/// or function shows only when it is reached.
pub(super) fn samples() -> [Event; 2] {
    let fault = Event::sample();
    let normal = Event {
        severity: Severity::Ok,
        changed: false,
        missed_transition: false,
        ..fault.clone()
    };
    [fault, normal]
}

#[derive(Debug)]
struct Context {
    values: Vec<(&'static str, Value)>,
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.values
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value.clone())
    }
}

/// The column of that name.
pub(super) fn column(name: &str) -> Option<&'static Column<Event>> {
    columns::STATUS.iter().find(|column| column.name == name)
}

/// A column as minijinja sees it: what is absent is `none`, times are RFC 3339, the payload is its
/// parsed JSON.
pub(super) fn value(event: &Event, column: &Column<Event>) -> Result<Value, String> {
    Ok(match column.kind {
        ColumnKind::Word(read) | ColumnKind::Text(read) => Value::from(read(event)),
        ColumnKind::Boolean(read) => Value::from(read(event)),
        ColumnKind::Number(read) => Value::from(read(event)),
        ColumnKind::Time(read) => Value::from(read(event).map(|at| at.to_string())),
        ColumnKind::Json(read) => {
            let json: serde_json::Value = serde_json::from_str(read(event).get())
                .map_err(|error| format!("{}: {error}", column.name))?;
            Value::from(minijinja::value::Serde(json))
        }
    })
}
