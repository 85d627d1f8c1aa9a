//! `[source.signin]`: the request before every connection, and the values taken out of its answer.

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::context::Context;
use super::path::Path;
use super::schema::{self, SigninMethod};
use super::secret::Within;
use super::template::{Scope, Signin, is_name};
use super::units::{SecretTable, UrlText};
use crate::pipeline::Pointer;
use crate::secret::Secret;
use crate::source::{self, Extract};
use crate::transport::{Content, Method};

/// What `{{ signin.NAME }}` may name.
pub(super) fn extracts(written: Option<&schema::Signin>) -> Signin {
    written.map_or(Signin::Missing, |signin| {
        Signin::Extracts(signin.extract.keys().cloned().collect())
    })
}

/// A name with one of these in it holds what must not be shown, however it is written.
const SECRET_NAMES: [&str; 6] = ["pass", "pwd", "secret", "token", "key", "code"];

impl Context<'_> {
    pub(super) fn signin(
        &mut self,
        path: &Path,
        written: schema::Signin,
    ) -> Option<source::Signin> {
        let mut redacted = Vec::new();
        let method = self.method(path, &written, &mut redacted);
        let headers = self.headers(&path.join("headers"), written.headers);
        redacted.extend(headers.iter().map(|(_, value)| value.clone()));
        if written.timeout.0.is_zero() {
            self.report
                .error(&path.join("timeout"), "expected a duration above 0");
        }
        let mut extract = Vec::new();
        for (name, pointer) in &written.extract {
            let path = path.join("extract").join(name);
            if !is_name(name) {
                let help = "letters, digits and `_`, as in {{ signin.token }}";
                self.report
                    .key_error(&path, format!("`{name}` cannot name a value"), help);
            }
            if let Some(pointer) = self.report.take(&path, pointer.parse::<Pointer>()) {
                extract.push(Extract {
                    name: name.as_str().into(),
                    pointer,
                });
            }
        }
        let url_path = path.join("url");
        let Some(UrlText(url)) = written.url else {
            let help = "such as url = \"https://platform.example.com/api/login\"";
            self.report
                .key_error(&url_path, "the address to sign in at is missing", help);
            return None;
        };
        let url = self.url(&url_path, &url, &["http", "https"])?;
        if !url.username().is_empty() || url.password().is_some() {
            let help = "write json or form, or headers = { Authorization = \"Basic …\" }";
            self.report
                .error_with(&url_path, "a user and password do not belong here", help);
        }
        Some(source::Signin {
            url,
            method,
            headers,
            timeout: written.timeout.0,
            extract,
            redacted,
        })
    }

    fn method(
        &mut self,
        path: &Path,
        written: &schema::Signin,
        redacted: &mut Vec<Secret>,
    ) -> Method {
        if written.json.is_some() && written.form.is_some() {
            self.report.key_error(
                &path.join("form"),
                "both json and form",
                "remove one of them",
            );
        }
        if let (SigninMethod::Get, Some(name)) = (written.method, body_of(written)) {
            let message = format!("a GET has no body, and there is {name}");
            self.report.error_with(
                &path.join("method"),
                message,
                "leave method out: it is POST by default",
            );
        }
        let content = if let Some(SecretTable(json)) = &written.json {
            let value = self.render(
                &path.join("json"),
                &Value::Object(json.clone()),
                "",
                redacted,
            );
            Content::Json(value.to_string().into())
        } else if let Some(SecretTable(form)) = &written.form {
            Content::Form(self.form(&path.join("form"), form, redacted))
        } else {
            Content::Empty
        };
        match written.method {
            SigninMethod::Get => Method::Get,
            SigninMethod::Post => Method::Post(content),
        }
    }

    fn form(
        &mut self,
        path: &Path,
        written: &Map<String, Value>,
        redacted: &mut Vec<Secret>,
    ) -> Secret {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (name, value) in written {
            let path = path.join(name);
            match self.render(&path, value, name, redacted) {
                Value::String(text) => form.append_pair(name, &text),
                Value::Array(_) | Value::Object(_) | Value::Null => {
                    self.report.error_with(
                        &path,
                        "a form has texts, numbers, true and false",
                        "json may have more",
                    );
                    continue;
                }
                plain => form.append_pair(name, &plain.to_string()),
            };
        }
        form.finish().into()
    }

    /// A value with its texts' secrets filled in.
    fn render(
        &mut self,
        path: &Path,
        value: &Value,
        name: &str,
        redacted: &mut Vec<Secret>,
    ) -> Value {
        match value {
            Value::String(text) => {
                let Some(draft) = self.draft(path, text, Within::Text, &Scope::SECRETS) else {
                    return Value::Null;
                };
                let text = draft.text("");
                redacted.extend(draft.secrets().cloned());
                if SECRET_NAMES
                    .iter()
                    .any(|secret| name.to_ascii_lowercase().contains(secret))
                {
                    redacted.push(text.clone());
                }
                Value::from(text.expose_secret())
            }
            Value::Array(elements) => elements
                .iter()
                .enumerate()
                .map(|(index, element)| {
                    self.render(&path.join(index.to_string()), element, name, redacted)
                })
                .collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, field)| {
                    (
                        name.clone(),
                        self.render(&path.join(name), field, name, redacted),
                    )
                })
                .collect(),
            plain => plain.clone(),
        }
    }
}

fn body_of(written: &schema::Signin) -> Option<&'static str> {
    [
        ("json", written.json.is_some()),
        ("form", written.form.is_some()),
    ]
    .into_iter()
    .find_map(|(name, there)| there.then_some(name))
}
