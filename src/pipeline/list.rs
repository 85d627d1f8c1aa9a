//! Body templates over several events at once: `{% for event in events %}{{ event.state }}{% endfor
//! %}`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::Environment;
use minijinja::value::{Object, ObjectRepr, Value};

use super::scope::{column, mistake, one_line, samples, unknown, value};
use super::template::{compile, compiled};
use crate::model::Event;

/// The only variable.
const EVENTS: &str = "events";

/// A compiled template in which `events` is a list; each of them has the names of an event.
/// Otherwise as [`Template`](super::Template).
#[derive(Clone)]
pub struct ListTemplate {
    source: Arc<str>,
    environment: Arc<Environment<'static>>,
}

impl fmt::Debug for ListTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ListTemplate").field(&self.source).finish()
    }
}

/// By what is written.
impl PartialEq for ListTemplate {
    fn eq(&self, other: &ListTemplate) -> bool {
        self.source == other.source
    }
}

impl ListTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    /// A text for the user: where it does not parse, or the unknown variable or field.
    pub fn parse(source: &str) -> Result<ListTemplate, String> {
        let environment = compile(source)?;
        let template = compiled(&environment)?;
        let globals: Vec<&str> = environment.globals().map(|(name, _)| name).collect();
        let mut undeclared: Vec<String> =
            template.undeclared_variables(false).into_iter().collect();
        undeclared.sort();
        if let Some(name) = undeclared
            .iter()
            .find(|name| *name != EVENTS && !globals.contains(&name.as_str()))
        {
            return Err(format!(
                "unknown variable `{name}`: a batch's template has `{EVENTS}`, as in {{% for event in {EVENTS} %}}"
            ));
        }
        let asked = Arc::new(Mutex::new(None));
        let items = samples().map(|event| Item {
            event: Arc::new(event),
            unknown: Some(Arc::clone(&asked)),
        });
        let rendered = template.render(context(items));
        rendered
            .err()
            .and_then(|error| mistake(&error))
            .map_or(Ok(()), Err)?;
        if let Some(name) = asked.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(unknown(&name));
        }
        Ok(ListTemplate {
            source: Arc::from(source),
            environment: Arc::new(environment),
        })
    }

    /// The text for these events, of which the template keeps copies while it is rendered.
    ///
    /// # Errors
    /// What failed in rendering it.
    pub fn render(&self, events: &[Event]) -> Result<String, String> {
        let items = events.iter().map(|event| Item {
            event: Arc::new(event.clone()),
            unknown: None,
        });
        compiled(&self.environment)?
            .render(context(items))
            .map_err(|error| one_line(&error))
    }
}

fn context(items: impl IntoIterator<Item = Item>) -> Value {
    let items: Vec<Value> = items.into_iter().map(Value::from_object).collect();
    minijinja::context! { events => items }
}

/// One event as a template sees it: only what it asks for is taken from it.
#[derive(Debug)]
struct Item {
    event: Arc<Event>,
    /// The first name that was asked for and is none.
    unknown: Option<Arc<Mutex<Option<String>>>>,
}

impl Object for Item {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let Some(column) = column(name) else {
            if let Some(unknown) = &self.unknown {
                unknown
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert_with(|| name.to_owned());
            }
            return None;
        };
        // A payload is valid JSON, or it would have been undecodable when it came.
        value(&self.event, column).ok()
    }

    fn enumerate(self: &Arc<Self>) -> minijinja::value::Enumerator {
        minijinja::value::Enumerator::Str(&Event::FIELDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: Result<&str, &str>) {
        let rendered = ListTemplate::parse(source).and_then(|template| {
            template.render(&samples().map(|event| Event {
                payload: raw(),
                ..event
            }))
        });
        match (rendered, expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected, "{source}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{source}: {error}"),
            (found, _) => panic!("{source}: {found:?}"),
        }
    }

    fn raw() -> Box<serde_json::value::RawValue> {
        serde_json::value::RawValue::from_string(r#"{"x":[7]}"#.to_owned()).unwrap()
    }

    #[test]
    fn events_are_a_list_of_what_a_template_knows() {
        check(
            "{% for e in events %}{{ e.device_id }} {{ e.severity }};{% endfor %}",
            Ok("1 critical;1 ok;"),
        );
        check(
            "{{ events|length }} {{ events[0].payload.x[0] }}",
            Ok("2 7"),
        );
        check(
            "{{ events|map(attribute='state')|join(',') }}",
            Ok("fault,fault"),
        );
        check(
            "{{ (events|first).payload.missing }}{{ events[9].state }}",
            Ok(""),
        );
        check(
            r#"{"all":{{ events|map(attribute='client_id')|list|tojson }}}"#,
            Ok(r#"{"all":["1", "1"]}"#),
        );
    }

    #[test]
    fn a_mistake_is_found_when_it_is_compiled() {
        check("{{ device_id }}", Err("a batch's template has `events`"));
        check(
            "{% for e in events %}{{ e.devcie_id }}{% endfor %}",
            Err("did you mean `device_id`?"),
        );
        check(
            "{% for e in events %}{{ e.state|nonsense }}{% endfor %}",
            Err("unknown filter"),
        );
        check("{% for e in events %}", Err("unexpected end"));
    }
}
