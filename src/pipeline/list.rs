//! Body templates over several events at once: `{% for event in events %}{{ event.state }}{% endfor
//! %}`.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use minijinja::Environment;
use minijinja::value::{Object, ObjectRepr, Value};

use super::expression::Vocabulary;
use super::scope::{Asked, lookup, mistake, one_line, samples};
use super::template::{compile, compiled};
use super::types::{self, EVENTS, Findings, Word};
use crate::model::{Event, EventKind};

/// A compiled template in which `events` is a list; each of them has the names of its kind.
/// Otherwise as [`Template`](super::Template).
#[derive(Clone)]
pub struct ListTemplate {
    source: Arc<str>,
    environment: Arc<Environment<'static>>,
    words: Arc<[Word]>,
}

impl fmt::Debug for ListTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ListTemplate").field(&self.source).finish()
    }
}

/// Compares the written text.
impl PartialEq for ListTemplate {
    fn eq(&self, other: &ListTemplate) -> bool {
        self.source == other.source
    }
}

impl ListTemplate {
    /// Compiles a template of events of these kinds.
    ///
    /// # Errors
    /// A text for the user: where it does not parse, or the unknown variable or field.
    pub fn parse(source: &str, kinds: &BTreeSet<EventKind>) -> Result<ListTemplate, String> {
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
        let Findings { mistakes, words } = types::of_list_template(source);
        if !mistakes.is_empty() {
            return Err(mistakes.join("; "));
        }
        let samples: Vec<(Event, Asked)> = kinds
            .iter()
            .flat_map(|kind| samples(*kind).map(|sample| (sample, Asked::of(*kind))))
            .collect();
        let items = samples.iter().map(|(sample, asked)| Item {
            event: sample.clone(),
            asked: Some(asked.clone()),
        });
        let rendered = template.render(context(items));
        let mistake = rendered.err().and_then(|error| mistake(&error));
        let mut asked = samples.iter().filter_map(|(_, asked)| asked.mistake());
        mistake.or_else(|| asked.next()).map_or(Ok(()), Err)?;
        Ok(ListTemplate {
            source: Arc::from(source),
            environment: Arc::new(environment),
            words: words.into(),
        })
    }

    /// What it compares with words that the vocabulary does not have: one text for each.
    pub fn doubts(&self, vocabulary: &Vocabulary<'_>) -> Vec<String> {
        vocabulary.doubts(&self.words)
    }

    /// The text for these events, of which the template keeps copies while it is rendered.
    ///
    /// # Errors
    /// What failed in rendering it.
    pub fn render(&self, events: &[Event]) -> Result<String, String> {
        let items = events.iter().map(|event| Item {
            event: event.clone(),
            asked: None,
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
    event: Event,
    /// Where a template is only tried.
    asked: Option<Asked>,
}

impl Object for Item {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let value = lookup(&self.event, name);
        if let (None, Some(asked)) = (&value, &self.asked) {
            asked.note(name);
        }
        value
    }

    fn enumerate(self: &Arc<Self>) -> minijinja::value::Enumerator {
        let kind = self.event.kind();
        let is_named = self
            .event
            .status()
            .is_some_and(|status| status.label.is_some());
        minijinja::value::Enumerator::Str(match is_named {
            true => kind.names(),
            false => kind.columns(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::scope::status_samples;
    use super::super::states::States;
    use super::*;
    use crate::model::{CoverageEvent, Payload, StatusEvent};

    fn check(source: &str, expected: Result<&str, &str>) {
        check_kinds(source, &[EventKind::Status], expected);
    }

    /// Two statuses, and where it is wanted one of coverage.
    fn check_kinds(source: &str, kinds: &[EventKind], expected: Result<&str, &str>) {
        let kinds = kinds.iter().copied().collect();
        let rendered = ListTemplate::parse(source, &kinds).and_then(|template| {
            let statuses = status_samples().map(|status| StatusEvent {
                payload: raw(),
                ..status
            });
            let coverage = Event::from(CoverageEvent::sample());
            let events = statuses.map(Event::from).into_iter().chain([coverage]);
            let events: Vec<Event> = events
                .filter(|event| kinds.contains(&event.kind()))
                .collect();
            template.render(&events)
        });
        match (rendered, expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected, "{source}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{source}: {error}"),
            (found, _) => panic!("{source}: {found:?}"),
        }
    }

    fn raw() -> Payload {
        Payload::parse(r#"{"x":[7]}"#).unwrap()
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
        check(
            "{% if false %}{{ events|tojsno }}{% endif %}",
            Err("unknown filter `tojsno`, did you mean `tojson`?"),
        );
        check(
            "{% for e in events %}{% if e.device_id == 3 %}x{% endif %}{% endfor %}",
            Err("`e.device_id` is a text and `3` is a number, so they are never equal: write '3'"),
        );
        check(
            "{{ 'x' if (events|first).severity >= 'warning' }}",
            Err("write severity in ['warning', 'critical']"),
        );
        check(
            "{% for e in events|reverse if e.state in 'fault' %}x{% endfor %}",
            Err("write a list, e.state in ['fault']"),
        );
    }

    #[test]
    fn words_of_each_event_are_judged_by_the_vocabulary() {
        let states = States::default();
        let vocabulary = Vocabulary {
            states: &states,
            topics: &[],
        };
        let doubts = |source: &str| {
            let template = ListTemplate::parse(source, &[EventKind::Status].into()).unwrap();
            template.doubts(&vocabulary).join("; ")
        };
        let source = "{% for e in events %}{{ 'x' if e.severity == 'crtical' }}{% endfor %}\
                      {% if events[0]['kind'] == 'statsu' %}{% endif %}";
        assert_eq!(
            doubts(source),
            "there is no severity 'crtical', did you mean 'critical'?; \
             there is no kind 'statsu', did you mean 'status'?"
        );
        // Of something else.
        let other = "{% for e in events[0].payload.x %}{{ e.severity == 'crtical' }}{% endfor %}";
        assert_eq!(doubts(other), "");
    }

    #[test]
    fn an_event_of_a_batch_has_the_names_of_its_kind() {
        let both = &EventKind::ALL;
        check_kinds(
            "{% for e in events %}{{ e.kind }} {{ e.device_id if e.kind == 'status' else e.cause }};\
             {% endfor %}",
            both,
            Ok("status 1;status 1;coverage connection_lost;"),
        );
        check_kinds(
            "{% for e in events %}{{ e.device_id }}{% endfor %}",
            both,
            Err("an event of the kind coverage has no `device_id`; it has event_id, topic"),
        );
        check(
            "{% for e in events %}{{ e.heard }}{% endfor %}",
            Err("an event of the kind status has no `heard`"),
        );
    }
}
