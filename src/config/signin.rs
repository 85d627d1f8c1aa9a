//! `[source.signin]`: the requests before every connection, and the values taken out of their
//! answers.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::context::Context;
use super::path::Path;
use super::schema::{self, Extracted, ExtractedPart, SigninMethod, SigninStep};
use super::secret::Within;
use super::template::{Draft, Scope, Signin, is_name};
use super::units::{SecretTable, UrlText};
use crate::secret::{Lifetime, PLACEHOLDER, Secret, protect, protect_from_echo, protect_header};
use crate::source::{
    self, AnswerPart, BodyTemplate, Extract, JsonTemplate, SigninTemplate, Step, StepMethod,
};

/// What `{{ signin.NAME }}` may name.
pub(super) fn extracts(written: Option<&schema::Signin>) -> Signin {
    let Some(signin) = written else {
        return Signin::Missing;
    };
    let of_steps = signin.steps.iter().flat_map(|step| step.extract.keys());
    Signin::Extracts(signin.extract.keys().chain(of_steps).cloned().collect())
}

/// A name with one of these in it holds what must not be shown, however it is written.
const SECRET_NAMES: [&str; 6] = ["pass", "pwd", "secret", "token", "key", "code"];

/// More requests than this are no sign-in.
const STEPS_MAX: usize = 10;

/// What a step may name, and what must not be shown of it.
pub(super) struct Reading {
    pub(super) scope: Scope<'static>,
    pub(super) redacted: Vec<Secret>,
    /// What is said where there is no address, and what to do.
    pub(super) no_url: [&'static str; 2],
}

impl Context<'_> {
    pub(super) fn signin(
        &mut self,
        path: &Path,
        mut written: schema::Signin,
    ) -> Option<source::Signin> {
        let timeout = written.timeout.0;
        if timeout.is_zero() {
            self.report
                .error(&path.join("timeout"), "expected a duration above 0");
        }
        let steps = std::mem::take(&mut written.steps);
        let steps = if steps.is_empty() {
            vec![(path.clone(), only_step(written))]
        } else {
            self.refuse_beside_steps(path, &written);
            let list = path.join("steps");
            if steps.len() > STEPS_MAX {
                let message = format!("expected at most {STEPS_MAX} requests");
                self.report.error(&list, message);
            }
            let steps = steps.into_iter().enumerate();
            steps
                .map(|(index, step)| (list.join(index.to_string()), step))
                .collect()
        };
        let mut reading = Reading {
            scope: Scope::SECRETS,
            redacted: Vec::new(),
            no_url: [
                "the address to sign in at is missing",
                "such as url = \"https://platform.example.com/api/login\"",
            ],
        };
        let count = steps.len();
        let (mut read, mut names) = (Vec::new(), Vec::<String>::new());
        for (path, step) in steps {
            for name in step.extract.keys().filter(|name| names.contains(name)) {
                let path = path.join("extract").join(name);
                let help = "choose another name";
                let message = format!("a step before this one extracts `{name}`");
                self.report.key_error(&path, message, help);
            }
            let extracted: Vec<String> = step.extract.keys().cloned().collect();
            read.extend(self.step(&path, step, &mut reading));
            names.extend(extracted);
            reading.scope = Scope {
                signin: Signin::Earlier(names.clone().into()),
                variables: &[],
            };
        }
        (read.len() == count).then_some(source::Signin {
            steps: read,
            timeout,
            redacted: reading.redacted,
        })
    }

    /// What would be one request more.
    fn refuse_beside_steps(&mut self, path: &Path, written: &schema::Signin) {
        let there = [
            ("url", written.url.is_some()),
            ("method", written.method.is_some()),
            ("json", written.json.is_some()),
            ("form", written.form.is_some()),
            ("headers", !written.headers.is_empty()),
            ("expect", written.expect.is_some()),
            ("extract", !written.extract.is_empty()),
        ];
        for (name, _) in there.into_iter().filter(|(_, there)| *there) {
            let message = format!("{name} beside steps");
            let help = "it belongs into one of [[source.signin.steps]]";
            self.report.key_error(&path.join(name), message, help);
        }
    }

    pub(super) fn step(
        &mut self,
        path: &Path,
        written: SigninStep,
        reading: &mut Reading,
    ) -> Option<Step> {
        let method = self.method(path, &written, reading);
        let headers_path = path.join("headers");
        let headers = self.header_drafts(&headers_path, written.headers, &reading.scope);
        reading
            .redacted
            .extend(headers.iter().flat_map(|(_, draft)| hidden_of(draft)));
        for (name, draft) in &headers {
            let text = draft.text(&PLACEHOLDER.to_string());
            protect_header(name, text.expose_secret(), Lifetime::Configured);
        }
        let headers = headers
            .into_iter()
            .map(|(name, draft)| (name, draft.plain().hidden()))
            .collect();
        let expect = written.expect.and_then(|expect| {
            let help = "such as expect = { \"/code\" = 200 }, or { status = 302 }";
            self.conditions(&path.join("expect"), &expect, help)
        });
        let extract = written
            .extract
            .into_iter()
            .filter_map(|(name, extracted)| {
                self.extract(&path.join("extract").join(&name), name, extracted)
            })
            .collect();
        let url_path = path.join("url");
        let Some(UrlText(url)) = written.url else {
            let [message, help] = reading.no_url;
            self.report.key_error(&url_path, message, help);
            return None;
        };
        let draft = self.draft(&url_path, &url, Within::Url, &reading.scope)?;
        reading.redacted.extend(hidden_of_url(&draft));
        let url = self.drafted_address(&url_path, &draft, &["http", "https"])?;
        if !url.url().username().is_empty() || url.url().password().is_some() {
            let help = "write json or form, or headers = { Authorization = \"Basic …\" }";
            self.report
                .error_with(&url_path, "a user and password do not belong here", help);
        }
        Some(Step {
            url,
            method,
            headers,
            expect,
            extract,
        })
    }

    fn extract(&mut self, path: &Path, name: String, written: Extracted) -> Option<Extract> {
        if !is_name(&name) {
            let help = "letters, digits and `_`, as in {{ signin.token }}";
            self.report
                .key_error(path, format!("`{name}` cannot name a value"), help);
        }
        let named = |part: fn(String) -> AnswerPart, name: String| match name.trim() {
            "" => Err("expected a name, found an empty text".to_owned()),
            name => Ok(part(name.to_owned())),
        };
        let part = match written {
            Extracted::Pointer(pointer) => pointer.parse().map(AnswerPart::Json).map_err(|error| {
                format!("{error}; or {{ header = … }}, {{ cookie = … }}, {{ input = … }}, {{ text = true }}")
            }),
            Extracted::Part(ExtractedPart::Header(name)) => named(AnswerPart::Header, name),
            Extracted::Part(ExtractedPart::Cookie(name)) => named(AnswerPart::Cookie, name),
            Extracted::Part(ExtractedPart::Input(name)) => named(AnswerPart::Input, name),
            Extracted::Part(ExtractedPart::Text(true)) => Ok(AnswerPart::Text),
            Extracted::Part(ExtractedPart::Text(false)) => {
                Err("expected { text = true }: the whole answer is the value".to_owned())
            }
        };
        Some(Extract {
            name: name.as_str().into(),
            part: self.report.take(path, part)?,
        })
    }

    fn method(&mut self, path: &Path, written: &SigninStep, reading: &mut Reading) -> StepMethod {
        if written.json.is_some() && written.form.is_some() {
            self.report.key_error(
                &path.join("form"),
                "both json and form",
                "remove one of them",
            );
        }
        let method = written.method.unwrap_or_default();
        if let (SigninMethod::Get, Some(name)) = (method, body_of(written)) {
            let message = format!("a GET has no body, and there is {name}");
            self.report.error_with(
                &path.join("method"),
                message,
                "leave method out: it is POST by default",
            );
        }
        let body = if let Some(SecretTable(json)) = &written.json {
            let json = Value::Object(json.clone());
            BodyTemplate::Json(self.json(&path.join("json"), &json, "", reading))
        } else if let Some(SecretTable(form)) = &written.form {
            BodyTemplate::Form(self.form(&path.join("form"), form, reading))
        } else {
            BodyTemplate::Empty
        };
        match method {
            SigninMethod::Get => StepMethod::Get,
            SigninMethod::Post => StepMethod::Post(body),
        }
    }

    fn form(
        &mut self,
        path: &Path,
        written: &Map<String, Value>,
        reading: &mut Reading,
    ) -> Vec<(String, SigninTemplate)> {
        let mut form = Vec::new();
        for (name, value) in written {
            let path = path.join(name);
            let value = match value {
                Value::String(text) => self.text(&path, text, name, reading),
                Value::Array(_) | Value::Object(_) | Value::Null => {
                    self.report.error_with(
                        &path,
                        "a form has texts, numbers, true and false",
                        "json may have more",
                    );
                    continue;
                }
                plain => SigninTemplate::from(Secret::from(plain.to_string())),
            };
            form.push((name.clone(), value));
        }
        form
    }

    /// A value with its texts' secrets filled in.
    fn json(
        &mut self,
        path: &Path,
        value: &Value,
        name: &str,
        reading: &mut Reading,
    ) -> JsonTemplate {
        match value {
            Value::String(text) => JsonTemplate::Text(self.text(path, text, name, reading)),
            Value::Array(elements) => {
                let elements = elements.iter().enumerate();
                let element = |(index, element): (usize, &Value)| {
                    self.json(&path.join(index.to_string()), element, name, reading)
                };
                JsonTemplate::List(elements.map(element).collect())
            }
            Value::Object(fields) => {
                let field = |(name, field): (&String, &Value)| {
                    (
                        name.clone(),
                        self.json(&path.join(name), field, name, reading),
                    )
                };
                JsonTemplate::Table(fields.iter().map(field).collect())
            }
            plain => JsonTemplate::Plain(plain.clone()),
        }
    }

    /// A text with its secrets filled in, of which nothing is shown.
    fn text(
        &mut self,
        path: &Path,
        text: &str,
        name: &str,
        reading: &mut Reading,
    ) -> SigninTemplate {
        let Some(draft) = self.draft(path, text, Within::Text, &reading.scope) else {
            return SigninTemplate::default();
        };
        reading.redacted.extend(draft.secrets().cloned());
        let name = name.to_ascii_lowercase();
        if !draft.has_placeholders() {
            let whole = draft.text("");
            if SECRET_NAMES.iter().any(|secret| name.contains(secret)) {
                protect(whole.expose_secret(), Lifetime::Configured);
                reading.redacted.push(whole);
            } else {
                protect_from_echo(whole.expose_secret(), Lifetime::Configured);
            }
        }
        draft.plain().hidden()
    }
}

/// The request that stands in the table itself.
fn only_step(written: schema::Signin) -> SigninStep {
    SigninStep {
        url: written.url,
        method: written.method,
        json: written.json,
        form: written.form,
        headers: written.headers,
        expect: written.expect,
        extract: written.extract,
    }
}

/// What must not be shown of a header's value: its secrets, and all of it, with and without its
/// scheme, where it is ours alone.
fn hidden_of(draft: &Draft) -> Vec<Secret> {
    let mut hidden: Vec<Secret> = draft.secrets().cloned().collect();
    if !draft.has_placeholders() {
        let whole = draft.text("");
        let behind_scheme = whole.expose_secret().split_once(' ');
        let credentials = behind_scheme.map(|(_, credentials)| Secret::from(credentials.trim()));
        hidden.extend(credentials.filter(gives_something_away));
        hidden.push(whole);
    }
    hidden
}

/// A part of a value that is shorter stands in many a text by chance.
fn gives_something_away(part: &Secret) -> bool {
    part.expose_secret().chars().count() >= 4
}

/// What must not be shown of a URL: its secrets, as they are and as they stand in it, and the query
/// of one that is a secret as a whole.
fn hidden_of_url(draft: &Draft) -> Vec<Secret> {
    let mut hidden = Vec::new();
    for secret in draft.secrets() {
        let text = secret.expose_secret();
        let decoded = percent_decode_str(text).decode_utf8_lossy();
        hidden.push(decoded.as_ref().into());
        hidden.push(secret.clone());
        if let Some((_, query)) = text.split_once('?') {
            let pairs = form_urlencoded::parse(query.as_bytes());
            let values = pairs.map(|(_, value)| value.as_ref().into());
            hidden.extend(values.filter(gives_something_away));
        }
    }
    hidden
}

fn body_of(written: &SigninStep) -> Option<&'static str> {
    [
        ("json", written.json.is_some()),
        ("form", written.form.is_some()),
    ]
    .into_iter()
    .find_map(|(name, there)| there.then_some(name))
}
