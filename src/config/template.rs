//! `{{ … }}` in the configuration's own values: a secret, a value of the sign-in, or a variable of
//! a topic's `for`. Nothing else can stand there, so that a value means the same to everybody who
//! reads it.

use std::sync::Arc;

use super::report::unknown;
use super::secret::{Secrets, Within};
use crate::pipeline::percent_encoded;
use crate::secret::Secret;
use crate::source::{Part, SigninTemplate};

/// What a value may name besides secrets.
#[derive(Debug, Clone)]
pub(super) struct Scope<'a> {
    pub(super) signin: Signin,
    /// Of the topic's `for`.
    pub(super) variables: &'a [String],
}

/// The values of the sign-in.
#[derive(Debug, Clone)]
pub(super) enum Signin {
    /// They are not known where this value is used.
    Elsewhere,
    /// There is no `[source.signin]`.
    Missing,
    /// The names in its `extract`, or in those of its steps.
    Extracts(Arc<[String]>),
    /// What the steps before this one extract.
    Earlier(Arc<[String]>),
}

impl Scope<'_> {
    /// Nothing but secrets.
    pub(super) const SECRETS: Scope<'static> = Scope {
        signin: Signin::Elsewhere,
        variables: &[],
    };
}

/// A value's mistake, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TemplateError {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl From<String> for TemplateError {
    fn from(message: String) -> TemplateError {
        TemplateError {
            message,
            help: None,
        }
    }
}

/// A value with its secrets filled in, and with the placeholders that remain.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Secret(Secret),
    Signin(Arc<str>),
    Variable(String),
}

impl Draft {
    /// Reads a value, and looks its secrets up.
    pub(super) fn read(
        source: &str,
        within: Within,
        scope: &Scope<'_>,
        secrets: &Secrets,
    ) -> Result<Draft, TemplateError> {
        let encoded = within == Within::Url && !source.trim_start().starts_with("{{");
        let mut pieces = Vec::new();
        let mut rest = source;
        while let Some((text, after)) = rest.split_once("{{") {
            let (inner, after) = after
                .split_once("}}")
                .ok_or_else(|| "unexpected end: `{{` without `}}`".to_owned())?;
            pieces.push(Piece::Text(text.to_owned()));
            pieces.push(match Expression::read(inner.trim())? {
                Expression::Text(text) => Piece::Text(text.to_owned()),
                Expression::Secret(name) => {
                    let secret = secrets.lookup(name)?;
                    Piece::Secret(if encoded {
                        percent_encoded(secret.expose_secret()).into()
                    } else {
                        secret
                    })
                }
                Expression::Signin(name) => Piece::Signin(scope.signin(name)?),
                Expression::Variable(name) => Piece::Variable(scope.variable(name)?),
            });
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        Ok(Draft(pieces))
    }

    /// Its variables, as often as they stand there.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| {
            if let Piece::Variable(name) = piece {
                Some(name.as_str())
            } else {
                None
            }
        })
    }

    /// Its secrets.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter().filter_map(|piece| {
            if let Piece::Secret(secret) = piece {
                Some(secret)
            } else {
                None
            }
        })
    }

    /// As it is used, with these values for the variables.
    pub(super) fn template<'v>(&self, value: impl Fn(&str) -> &'v str) -> SigninTemplate {
        let part = |piece: &Piece| match piece {
            Piece::Text(text) => Part::Text(text.clone()),
            Piece::Secret(secret) => Part::Secret(secret.clone()),
            Piece::Signin(name) => Part::Signin(Arc::clone(name)),
            Piece::Variable(name) => Part::Text(value(name).to_owned()),
        };
        SigninTemplate::new(self.0.iter().map(part).collect())
    }

    /// As it is used, where it has no variables.
    pub(super) fn plain(&self) -> SigninTemplate {
        self.template(|_| "")
    }

    /// The text, with `placeholder` for each value of the sign-in.
    pub(super) fn text(&self, placeholder: &str) -> Secret {
        let text = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Secret(secret) => secret.expose_secret(),
            Piece::Signin(_) => placeholder,
            Piece::Variable(_) => "",
        });
        text.collect::<String>().into()
    }

    /// What stands before the first `separator` and what stands behind it, where no value of the
    /// sign-in stands before it; `None` where one does.
    pub(super) fn split_before_placeholders(&self, separator: char) -> Option<(Secret, Draft)> {
        let mut before = String::new();
        for (index, piece) in self.0.iter().enumerate() {
            let (text, behind): (&str, fn(String) -> Piece) = match piece {
                Piece::Text(text) => (text, Piece::Text),
                Piece::Secret(secret) => {
                    (secret.expose_secret(), |text| Piece::Secret(text.into()))
                }
                Piece::Signin(_) | Piece::Variable(_) => return None,
            };
            if let Some((start, rest)) = text.split_once(separator) {
                before.push_str(start);
                let rest = std::iter::once(behind(rest.to_owned()))
                    .chain(self.0[index + 1..].iter().cloned());
                return Some((before.into(), Draft(rest.collect())));
            }
            before.push_str(text);
        }
        None
    }

    /// Whether it depends on the sign-in.
    pub(super) fn has_placeholders(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Signin(_)))
    }
}

/// A template of events with its secrets filled in, all else as it is written; `None`: it names
/// nothing of an event.
pub(super) fn of_events(
    source: &str,
    within: Within,
    secrets: &Secrets,
) -> Result<Option<Secret>, TemplateError> {
    let encoded = within == Within::Url && !source.trim_start().starts_with("{{");
    let (mut text, mut rest) = (String::new(), source);
    let mut names_events = false;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((inner, behind)) = after.split_once("}}") else {
            break;
        };
        text.push_str(before);
        match Expression::read(inner.trim()) {
            Ok(Expression::Secret(name)) => {
                let secret = secrets.lookup(name)?;
                // Whatever it holds, it is no placeholder.
                text.push_str(&match encoded {
                    true => percent_encoded(secret.expose_secret()),
                    false => secret.expose_secret().replace('{', "{{ '{' }}"),
                });
            }
            read => {
                names_events |= !matches!(read, Ok(Expression::Text(_) | Expression::Signin(_)));
                text.push_str(&format!("{{{{{inner}}}}}"));
            }
        }
        rest = behind;
    }
    text.push_str(rest);
    names_events |= source.contains("{%") && source.contains("%}");
    Ok(names_events.then(|| Secret::from(text)))
}

/// A text of a topic's table with values for the variables of its `for`; all else is as it is
/// written.
pub(super) fn with_variables(text: &str, values: &[(&str, &str)]) -> String {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, inner, behind)) = next_placeholder(rest) {
        filled.push_str(before);
        match values.iter().find(|(name, _)| *name == inner.trim()) {
            Some((_, value)) => filled.push_str(value),
            None => filled.push_str(&format!("{{{{{inner}}}}}")),
        }
        rest = behind;
    }
    filled + rest
}

/// What stands before the first placeholder, in it and behind it.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, after) = text.split_once("{{")?;
    let (inner, behind) = after.split_once("}}")?;
    Some((before, inner, behind))
}

/// What stands between the braces.
enum Expression<'a> {
    Text(&'a str),
    Secret(&'a str),
    Signin(&'a str),
    Variable(&'a str),
}

impl Expression<'_> {
    fn read(inner: &str) -> Result<Expression<'_>, String> {
        let expected =
            || "between `{{` and `}}` stands secret('name'), signin.name or a variable".to_owned();
        if let Some(text) = quoted(inner) {
            return Ok(Expression::Text(text));
        }
        if let Some(argument) = inner
            .strip_prefix("secret")
            .map(str::trim_start)
            .and_then(|a| a.strip_prefix('('))
        {
            let name = argument
                .strip_suffix(')')
                .and_then(|name| quoted(name.trim()));
            return name
                .map(Expression::Secret)
                .ok_or_else(|| "expected secret('name')".to_owned());
        }
        match inner.split_once('.') {
            Some(("signin", name)) if is_name(name) => Ok(Expression::Signin(name)),
            None if is_name(inner) => Ok(Expression::Variable(inner)),
            _ => Err(expected()),
        }
    }
}

/// Without the quotes around it.
fn quoted(text: &str) -> Option<&str> {
    ['\'', '"'].into_iter().find_map(|quote| {
        let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.contains(quote)).then_some(inner)
    })
}

/// Whether a value of the sign-in, or a variable, can have this name.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(plain)
}

impl Scope<'_> {
    fn signin(&self, name: &str) -> Result<Arc<str>, TemplateError> {
        let extracts = match &self.signin {
            Signin::Elsewhere => {
                return Err(TemplateError {
                    message: format!("`signin.{name}` has no value here"),
                    help: Some(
                        "it has one in source.url, login, passcode and headers, and in a topic's destination, headers and resync"
                            .to_owned(),
                    ),
                });
            }
            Signin::Missing => {
                return Err(TemplateError {
                    message: format!("`signin.{name}` has no value: there is no [source.signin]"),
                    help: Some(format!(
                        "add [source.signin] with url and extract = {{ {name} = \"/…\" }}"
                    )),
                });
            }
            Signin::Extracts(extracts) | Signin::Earlier(extracts) => extracts,
        };
        if extracts.iter().any(|known| known == name) {
            return Ok(name.into());
        }
        let names: Vec<String> = extracts
            .iter()
            .map(|known| format!("signin.{known}"))
            .collect();
        let help = match (&names[..], &self.signin) {
            ([], Signin::Earlier(_)) => "the steps before this one extract nothing".to_owned(),
            (names, Signin::Earlier(_)) => {
                format!("the steps before this one give {}", names.join(", "))
            }
            ([], _) => format!("add extract = {{ {name} = \"/…\" }} to [source.signin]"),
            (names, _) => format!("source.signin.extract gives {}", names.join(", ")),
        };
        let message = unknown(
            "value",
            &format!("signin.{name}"),
            names.iter().map(String::as_str),
        );
        Err(TemplateError {
            message,
            help: Some(help),
        })
    }

    fn variable(&self, name: &str) -> Result<String, TemplateError> {
        if self.variables.iter().any(|known| known == name) {
            return Ok(name.to_owned());
        }
        let help = match (self.variables, &self.signin) {
            (_, Signin::Elsewhere) => "here only secret('name') has a value".to_owned(),
            ([], _) => format!("in a topic, for = {{ {name} = [1, 2, 3] }} gives it values"),
            (variables, _) => format!("the topic's `for` has {}", variables.join(", ")),
        };
        let message = unknown("variable", name, self.variables.iter().map(String::as_str));
        Err(TemplateError {
            message,
            help: Some(help),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Environment;
    use super::*;

    fn read(source: &str, within: Within, scope: &Scope<'_>) -> Result<Draft, TemplateError> {
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let variables = BTreeMap::from([variable("STOMP_BRIDGE_SECRET_MY_DB", "p@ss:w/rd")]);
        Draft::read(
            source,
            within,
            scope,
            &Secrets::new(Environment { variables }, BTreeMap::new()),
        )
    }

    #[test]
    fn a_template_of_events_has_its_secrets_filled_in_and_nothing_else() {
        let check = |source: &str, within: Within, value: &str, expected: Option<&str>| {
            let variables = [("STOMP_BRIDGE_SECRET_S".to_owned(), value.to_owned())];
            let environment = Environment {
                variables: variables.into(),
            };
            let secrets = Secrets::new(environment, BTreeMap::new());
            let text = of_events(source, within, &secrets).unwrap();
            let text = text.as_ref().map(Secret::expose_secret);
            assert_eq!(text, expected, "{source}");
        };
        let (url, text) = (Within::Url, Within::Text);
        check(
            "http://h/{{ device_id }}?k={{ secret('s') }}",
            url,
            "a/{{b}}&",
            Some("http://h/{{ device_id }}?k=a%2F%7B%7Bb%7D%7D%26"),
        );
        check(
            "{{ secret('s') }}&d={{ device_id }}",
            url,
            "http://h/?k=a/b",
            Some("http://h/?k=a/b&d={{ device_id }}"),
        );
        check(
            "Bearer {{secret('s')}} {{ device_id|urlencode }}",
            text,
            "{{ x }}",
            Some("Bearer {{ '{' }}{{ '{' }} x }} {{ device_id|urlencode }}"),
        );
        check(
            "{% if changed %}{{ secret('s') }}{% endif %}",
            text,
            "k",
            Some("{% if changed %}k{% endif %}"),
        );
        check("Bearer {{ secret('s') }}", text, "k", None);
        check("{{ '{{' }} {% no", text, "k", None);
        check("http://h/{{ signin.code }}", url, "k", None);
        check("http://h/{{ open", url, "k", None);
    }

    #[test]
    fn a_secret_in_a_url_cannot_change_the_url() {
        for (source, within, expected) in [
            (
                "postgres://u:{{ secret('my-db') }}@h/d",
                Within::Url,
                "postgres://u:p%40ss%3Aw%2Frd@h/d",
            ),
            ("{{ secret('my-db') }}", Within::Url, "p@ss:w/rd"),
            (
                "Bearer {{secret( \"my-db\" )}}",
                Within::Text,
                "Bearer p@ss:w/rd",
            ),
            ("{ no template }", Within::Text, "{ no template }"),
            ("a {{ '{{' }} b }}", Within::Text, "a {{ b }}"),
        ] {
            let draft = read(source, within, &Scope::SECRETS).unwrap();
            assert_eq!(draft.text("").expose_secret(), expected, "{source}");
        }
    }

    #[test]
    fn what_is_not_known_is_told_with_what_is() {
        let variables = ["client".to_owned()];
        let scope = |signin, variables| Scope { signin, variables };
        let topic = &scope(
            Signin::Extracts(["token".to_owned(), "code".to_owned()].into()),
            &variables,
        );
        let source = &scope(topic.signin.clone(), &[]);
        let (elsewhere, missing, empty) = (
            &Scope::SECRETS,
            &scope(Signin::Missing, &[]),
            &scope(Signin::Extracts([].into()), &[]),
        );
        for (source, scope, message, help) in [
            (
                "{{ signin.token }}",
                elsewhere,
                "`signin.token` has no value here",
                "a topic's destination, headers and resync",
            ),
            (
                "{{ signin.a }}",
                missing,
                "there is no [source.signin]",
                "extract = { a =",
            ),
            (
                "{{ signin.cod }}",
                topic,
                "unknown value `signin.cod`, did you mean `signin.code`?",
                "gives signin.token, signin.code",
            ),
            (
                "{{ signin.x }}",
                empty,
                "unknown value",
                "add extract = { x =",
            ),
            (
                "{{ device_id }}",
                elsewhere,
                "unknown variable `device_id`",
                "only secret('name')",
            ),
            (
                "{{ cleint }}",
                topic,
                "unknown variable `cleint`, did you mean `client`?",
                "`for` has client",
            ),
            (
                "{{ client }}",
                source,
                "unknown variable `client`",
                "for = { client = [1, 2, 3] }",
            ),
            (
                "{{ secret('nowhere') }}",
                topic,
                "secret `nowhere` not found",
                "",
            ),
            ("{{ secret('both'", topic, "unexpected end", ""),
            ("{{ secret(x) }}", topic, "expected secret('name')", ""),
            (
                "{{ signin.a.b }}",
                topic,
                "between `{{` and `}}` stands",
                "",
            ),
            (
                "{{ client|upper }}",
                topic,
                "between `{{` and `}}` stands",
                "",
            ),
            ("{{ }}", topic, "between `{{` and `}}` stands", ""),
        ] {
            let mistake = read(source, Within::Text, scope).unwrap_err();
            assert!(mistake.message.contains(message), "{source}: {mistake:?}");
            assert!(
                mistake.help.unwrap_or_default().contains(help),
                "{source}: {help}"
            );
        }
    }

    #[test]
    fn variables_are_filled_and_values_of_the_sign_in_stay_open() {
        let scope = Scope {
            signin: Signin::Extracts(["code".to_owned()].into()),
            variables: &["client".to_owned()],
        };
        let draft = read(
            "/topic/{{ signin.code }}/{{ client }}",
            Within::Text,
            &scope,
        )
        .unwrap();
        assert_eq!(draft.variables().collect::<Vec<_>>(), ["client"]);
        assert_eq!(
            draft.template(|_| "7").as_str(),
            "/topic/{{ signin.code }}/7"
        );
    }

    #[test]
    fn a_url_is_parted_at_its_query_unless_a_blank_stands_before() {
        let scope = Scope {
            signin: Signin::Extracts(["t".to_owned()].into()),
            variables: &[],
        };
        let parted = |source: &str| {
            let (before, behind) = read(source, Within::Url, &scope)
                .unwrap()
                .split_before_placeholders('?')?;
            Some((
                before.expose_secret().to_owned(),
                behind.plain().to_string(),
            ))
        };
        let expected = ("ws://h/ws".to_owned(), "a={{ signin.t }}&b=1".to_owned());
        assert_eq!(parted("ws://h/ws?a={{ signin.t }}&b=1"), Some(expected));
        assert_eq!(parted("ws://{{ signin.t }}/ws?a=1"), None);
        assert_eq!(parted("ws://h/{{ signin.t }}"), None);
    }
}
