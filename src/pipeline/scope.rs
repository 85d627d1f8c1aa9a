//! The names that `when` expressions and templates may use, and their values for one event. Only
//! what a text uses is taken from the event, so an expression costs what it reads.

use std::collections::HashSet;
use std::sync::Arc;

use minijinja::value::{Object, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

use super::nearest;
use crate::model::{Event, Position, Severity};

/// Steps of one evaluation, so that no template can stall a sink for more than some 30 ms. Printing
/// costs a step for each few bytes: this is enough for a payload of several MiB.
const FUEL: u64 = 1_000_000;

/// The fields that one text uses.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    names: Vec<&'static str>,
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
        let mut names = Vec::new();
        let mut undeclared: Vec<String> = undeclared.into_iter().collect();
        undeclared.sort();
        for name in undeclared {
            match Event::FIELDS.iter().find(|field| **field == name) {
                Some(field) => names.push(*field),
                None if globals.contains(name.as_str()) => {}
                None => return Err(unknown(&name)),
            }
        }
        Ok(Scope { names })
    }

    /// Nothing of the event is used.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The values for one event, with further ones that no text can name.
    pub(super) fn context(
        &self,
        event: &Event,
        hidden: Option<(&'static str, Value)>,
    ) -> Result<Value, String> {
        let mut values = Vec::with_capacity(self.names.len() + 1);
        for name in &self.names {
            values.push((*name, value(event, name)?));
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
    let fault = Event {
        event_id: "0-1".to_owned(),
        topic: Arc::from("sample"),
        client_id: "1".to_owned(),
        device_id: "1".to_owned(),
        serial: Some("5223".to_owned()),
        old_state: Some("正常".to_owned()),
        new_state: "故障".to_owned(),
        state: "fault".to_owned(),
        severity: Severity::Critical,
        changed: true,
        missed_transition: true,
        place: Default::default(),
        occurred_at: None,
        received_at: jiff::Timestamp::UNIX_EPOCH,
        origin: "0-1".to_owned(),
        position: Position(1),
        payload: serde_json::value::RawValue::NULL.to_owned(),
    };
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

/// A field as minijinja sees it: what is absent is `none`, times are RFC 3339, the payload is its
/// parsed JSON.
pub(super) fn value(event: &Event, name: &str) -> Result<Value, String> {
    let place = &event.place;
    let words = |words: &Option<String>| words.as_deref().map_or(Value::from(()), Value::from);
    let degrees = |degrees: Option<f64>| degrees.map_or(Value::from(()), Value::from);
    Ok(match name {
        "event_id" => Value::from(event.event_id.as_str()),
        "topic" => Value::from(&*event.topic),
        "client_id" => Value::from(event.client_id.as_str()),
        "device_id" => Value::from(event.device_id.as_str()),
        "serial" => words(&event.serial),
        "old_state" => words(&event.old_state),
        "new_state" => Value::from(event.new_state.as_str()),
        "state" => Value::from(event.state.as_str()),
        "severity" => Value::from(event.severity.as_str()),
        "changed" => Value::from(event.changed),
        "missed_transition" => Value::from(event.missed_transition),
        "province" => words(&place.province),
        "city" => words(&place.city),
        "district" => words(&place.district),
        "detail" => words(&place.detail),
        "coordinate_system" => words(&place.coordinate_system),
        "longitude" => degrees(place.raw.map(|point| point.longitude)),
        "latitude" => degrees(place.raw.map(|point| point.latitude)),
        "wgs84_longitude" => degrees(place.wgs84.map(|point| point.longitude)),
        "wgs84_latitude" => degrees(place.wgs84.map(|point| point.latitude)),
        "occurred_at" => event
            .occurred_at
            .map_or(Value::from(()), |at| Value::from(at.to_string())),
        "received_at" => Value::from(event.received_at.to_string()),
        "origin" => Value::from(event.origin.as_str()),
        "payload" => {
            let payload: serde_json::Value = serde_json::from_str(event.payload.get())
                .map_err(|error| format!("payload: {error}"))?;
            Value::from(minijinja::value::Serde(payload))
        }
        _ => Value::UNDEFINED,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_an_event_has_a_value() {
        let [event, _] = samples();
        for name in Event::FIELDS {
            assert!(!value(&event, name).unwrap().is_undefined(), "{name}");
        }
    }
}
