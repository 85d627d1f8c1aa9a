//! Topic and body templates over the names of an event.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, Value};
use minijinja::{Environment, Error, Output, State};

use super::expression::Vocabulary;
use super::scope::{Scope, language, mistake, one_line, samples};
use super::types::{self, Findings, Word};
use super::urlencode::{is_encoded, percent_encoded, printed, urlencode_once};
use crate::model::{Event, EventKind};

/// The only template of each environment.
const NAME: &str = "template";

/// The variable that carries the encoding; no template can name it.
const ENCODING: &str = "\0encoding";

/// A compiled template such as `devices/{{ client_id }}/{{ device_id }}/status`. An absent value
/// prints nothing; lists and objects (of `payload`) print as JSON.
#[derive(Clone)]
pub struct Template {
    source: Arc<str>,
    environment: Arc<Environment<'static>>,
    scope: Scope,
    words: Arc<[Word]>,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.source()).finish()
    }
}

/// Compares the written text.
impl PartialEq for Template {
    fn eq(&self, other: &Template) -> bool {
        self.source == other.source
    }
}

impl Template {
    /// Compiles a template of events of these kinds. Beside their columns it has `kind`.
    ///
    /// # Errors
    /// A text for the user: the place that does not parse, the unknown variable with the nearest
    /// known name, or a variable that events of a kind do not have.
    pub fn parse(source: &str, kinds: &BTreeSet<EventKind>) -> Result<Template, String> {
        let environment = compile(source)?;
        let undeclared = compiled(&environment)?.undeclared_variables(false);
        let scope = Scope::of(undeclared, &environment, kinds);
        let Findings { mistakes, words } = types::of_template(source);
        let scope = match (scope, mistakes.is_empty()) {
            (Ok(scope), true) => scope,
            (scope, _) => {
                let mistakes = scope.err().into_iter().chain(mistakes);
                return Err(mistakes.collect::<Vec<_>>().join("; "));
            }
        };
        for sample in kinds.iter().flat_map(|kind| samples(*kind)) {
            let (context, asked) = scope.trial(&sample);
            let rendered = compiled(&environment)?.render(context);
            let mistake = rendered.err().and_then(|error| mistake(&error));
            mistake.or_else(|| asked.mistake()).map_or(Ok(()), Err)?;
        }
        Ok(Template {
            source: Arc::from(source),
            environment: Arc::new(environment),
            scope,
            words: words.into(),
        })
    }

    /// What it compares with words that the vocabulary does not have: one text for each.
    pub fn doubts(&self, vocabulary: &Vocabulary<'_>) -> Vec<String> {
        vocabulary.doubts(&self.words)
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text for one event.
    ///
    /// # Errors
    /// What failed in rendering it.
    pub fn render(&self, event: &Event) -> Result<String, String> {
        self.render_in(self.scope.context(event, None))
    }

    /// The text for one event, each printed value passed through `encode`; what stands between them
    /// is not.
    ///
    /// # Errors
    /// What failed in rendering it.
    pub fn render_with(&self, event: &Event, encode: fn(&str) -> String) -> Result<String, String> {
        self.render_encoding(event, Encoding::By(encode))
    }

    /// The text for one event as a part of a URL: each printed value is percent-encoded, unless the
    /// filter `urlencode` has done that; what stands between them is not.
    ///
    /// # Errors
    /// What failed in rendering it.
    pub fn render_url(&self, event: &Event) -> Result<String, String> {
        self.render_encoding(event, Encoding::Url)
    }

    /// As [`Template::render_url`], in parts: what the template prints of an event, and its own text
    /// between.
    ///
    /// # Errors
    /// What failed in rendering it.
    pub fn render_url_parts(&self, event: &Event) -> Result<Vec<UrlPart>, String> {
        let text = self.render_encoding(event, Encoding::MarkedUrl)?;
        let mut parts = Vec::new();
        for own in text.split(VALUE_END) {
            let (own, value) = match own.split_once(VALUE_BEGIN) {
                Some((own, value)) => (own, Some(value)),
                None => (own, None),
            };
            parts.push(UrlPart::Own(own.to_owned()));
            parts.extend(value.map(|value| UrlPart::Value(value.to_owned())));
        }
        Ok(parts)
    }

    fn render_encoding(&self, event: &Event, encoding: Encoding) -> Result<String, String> {
        let hidden = Some((ENCODING, Value::from_object(encoding)));
        self.render_in(self.scope.context(event, hidden))
    }

    fn render_in(&self, context: Value) -> Result<String, String> {
        compiled(&self.environment)?
            .render(context)
            .map_err(|error| one_line(&error))
    }
}

/// An environment with one template.
pub(super) fn compile(source: &str) -> Result<Environment<'static>, String> {
    let mut environment = language();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(print);
    environment.add_filter("urlencode", urlencode_once);
    environment
        .add_template_owned(NAME, source.to_owned())
        .map_err(|error| one_line(&error))?;
    Ok(environment)
}

/// The template of such an environment.
pub(super) fn compiled<'e>(
    environment: &'e Environment<'static>,
) -> Result<minijinja::Template<'e, 'e>, String> {
    environment
        .get_template(NAME)
        .map_err(|error| one_line(&error))
}

/// A part of a rendered URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlPart {
    /// As it stands in the template.
    Own(String),
    /// A printed value, percent-encoded.
    Value(String),
}

/// Around a printed value: no percent-encoded text has them.
const VALUE_BEGIN: char = '\u{1}';
const VALUE_END: char = '\u{2}';

/// What becomes of each printed value.
#[derive(Debug)]
enum Encoding {
    By(fn(&str) -> String),
    /// A part of a URL, unless it is one already.
    Url,
    /// The same, between [`VALUE_BEGIN`] and [`VALUE_END`].
    MarkedUrl,
}

impl Object for Encoding {}

/// Prints one `{{ value }}`.
fn print(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let Some(text) = printed(value)? else {
        return Ok(());
    };
    let encoding = state.lookup(ENCODING);
    let encoding = encoding
        .as_ref()
        .and_then(|value| value.downcast_object_ref::<Encoding>());
    match encoding {
        Some(Encoding::By(encode)) => out.write_str(&encode(&text))?,
        Some(Encoding::Url) if !is_encoded(value) => out.write_str(&percent_encoded(&text))?,
        Some(Encoding::MarkedUrl) => {
            let text = match is_encoded(value) {
                true => text,
                false => percent_encoded(&text),
            };
            out.write_str(&format!("{VALUE_BEGIN}{text}{VALUE_END}"))?;
        }
        Some(Encoding::Url) | None => out.write_str(&text)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CoverageEvent, Payload, StatusEvent};

    fn parse(source: &str, kinds: &[EventKind]) -> Result<Template, String> {
        Template::parse(source, &kinds.iter().copied().collect())
    }

    fn rendered(source: &str, payload: &str) -> String {
        let payload = Payload::parse(payload).unwrap();
        let status = StatusEvent {
            payload,
            ..StatusEvent::sample()
        };
        parse(source, &[EventKind::Status])
            .unwrap_or_else(|error| panic!("{source}: {error}"))
            .render(&status.into())
            .unwrap()
    }

    #[test]
    fn templates_print_the_fields_of_an_event() {
        for (source, expected) in [
            (
                "devices/{{ client_id }}/{{ device_id }}/status",
                "devices/1/1/status",
            ),
            (
                "{{ old_state }} -> {{ new_state }} <{{ severity }}>",
                "正常 -> 故障 <critical>",
            ),
            ("[{{ province }}]", "[]"),
            ("{{ province|tojson }}", "null"),
            ("{{ payload.x.y }} {{ payload.missing }}", "7 "),
            ("{{ payload }}", r#"{"x":{"y":7}}"#),
            ("{% if changed %}changed{% endif %}", "changed"),
            ("{{ changed }}", "true"),
            ("no value at all", "no value at all"),
            ("{{ received_at }}", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(rendered(source, r#"{"x":{"y":7}}"#), expected, "{source}");
        }
    }

    #[test]
    fn a_large_payload_does_not_run_out_of_fuel() {
        let payload = format!("{{\"x\":\"{}\"}}", "故".repeat(1 << 20));
        assert_eq!(rendered("{{ payload }}", &payload), payload);
    }

    #[test]
    fn each_printed_value_is_encoded_and_nothing_else() {
        let event = Event::from(StatusEvent {
            device_id: "a/b".to_owned(),
            ..StatusEvent::sample()
        });
        let source = "x/{{ device_id }}/{% if changed %}y/{% endif %}{{ client_id }}";
        let template = parse(source, &[EventKind::Status]).unwrap();
        assert_eq!(
            template
                .render_with(&event, |text| text.replace('/', "%"))
                .unwrap(),
            "x/a%b/y/1"
        );
        assert_eq!(template.render(&event).unwrap(), "x/a/b/y/1");
    }

    #[test]
    fn a_value_in_a_url_is_encoded_once() {
        let event = Event::from(StatusEvent {
            device_id: "a/b c&d=é%".to_owned(),
            serial: None,
            ..StatusEvent::sample()
        });
        let encoded = "a%2Fb%20c%26d%3D%C3%A9%25";
        for (source, expected) in [
            ("/x?d={{ device_id }}&y", format!("/x?d={encoded}&y")),
            ("/{{ device_id|urlencode }}", format!("/{encoded}")),
            ("/{{ serial|urlencode }}{{ serial }}", "/".to_owned()),
            ("/{{ changed|urlencode }}", "/true".to_owned()),
            ("/{{ payload.x|urlencode }}", "/%5B7%5D".to_owned()),
        ] {
            let event = match &event {
                Event::Status(status) => Event::from(StatusEvent {
                    payload: Payload::parse(r#"{"x":[7]}"#).unwrap(),
                    ..(**status).clone()
                }),
                Event::Coverage(_) => unreachable!(),
            };
            let template = parse(source, &[EventKind::Status]).unwrap();
            assert_eq!(template.render_url(&event).unwrap(), expected, "{source}");
        }
        // A form's body is no URL: there only the filter encodes, and an MQTT topic encodes all.
        let template = parse("d={{ device_id|urlencode }}", &[EventKind::Status]).unwrap();
        assert_eq!(template.render(&event).unwrap(), format!("d={encoded}"));
        let by = template.render_with(&event, |text| text.replace('%', "!"));
        assert_eq!(by.unwrap(), format!("d={}", encoded.replace('%', "!")));
    }

    #[test]
    fn a_mistake_is_found_when_it_is_compiled() {
        for (source, expected) in [
            (
                "{{ devcie_id|tojsno }} {{ seial }} {{ topic|uper(1) }}",
                "did you mean `device_id`?; unknown variable `seial`, did you mean `serial`?; \
                 unknown filter `tojsno`, did you mean `tojson`?; \
                 unknown filter `uper`, did you mean `upper`?",
            ),
            ("{{ devcie_id }}", "did you mean `device_id`?"),
            ("{{ device_id", "unexpected end"),
            ("{{ signin.code }}", "`signin` is for the source"),
            ("{{ device_id|nonsense }}", "unknown filter"),
            ("{% include 'x' %}", "unknown statement"),
            (
                "{% for i in range(9999) %}{% for j in range(9999) %}{{ j }}{% endfor %}{% endfor %}",
                "steps",
            ),
        ] {
            let error = parse(source, &[EventKind::Status]).expect_err(source);
            assert!(error.contains(expected), "{source}: {error}");
        }
    }

    #[test]
    fn a_name_must_be_one_of_every_kind_that_asks_for_it() {
        let either = "{% if kind == 'coverage' %}{{ topic }} {{ cause or 'heard' }}\
            {% else %}{{ device_id }} {{ state }}{% endif %}";
        let (status, coverage) = (&[EventKind::Status][..], &[EventKind::Coverage][..]);
        for (source, kinds, expected) in [
            ("{{ kind }} {{ topic }}", coverage, Ok("coverage sample")),
            (
                "{{ heard }} {{ at }}",
                coverage,
                Ok("false 1970-01-01T00:00:00Z"),
            ),
            (either, &EventKind::ALL, Ok("sample connection_lost")),
            (
                "{{ device_id }}",
                coverage,
                Err(
                    "an event of the kind coverage has no `device_id`; it has event_id, topic, heard",
                ),
            ),
            (
                "{{ device_id }}",
                &EventKind::ALL,
                Err("an event of the kind coverage has no `device_id`"),
            ),
            (
                "{{ heard }}",
                status,
                Err(
                    "an event of the kind status has no `heard`; it has event_id, topic, client_id",
                ),
            ),
            ("{{ caus }}", coverage, Err("did you mean `cause`?")),
            (
                "{{ temperature }}",
                coverage,
                Err("expected one of event_id, topic, heard, cause, at, received_at, origin"),
            ),
        ] {
            let parsed = parse(source, kinds);
            let text =
                parsed.map(|template| template.render(&CoverageEvent::sample().into()).unwrap());
            match (text, expected) {
                (Ok(text), Ok(expected)) => assert_eq!(text, expected, "{source}"),
                (Err(error), Err(expected)) => {
                    assert!(error.contains(expected), "{source}: {error}");
                }
                (found, _) => panic!("{source}: {found:?}"),
            }
        }
        let template = parse(either, &EventKind::ALL).unwrap();
        let text = template.render(&StatusEvent::sample().into());
        assert_eq!(text.as_deref(), Ok("1 fault"));
    }
}
