//! The values that are taken out of an answer.

use std::fmt;
use std::sync::Arc;

use super::{ANSWER_BYTES_MAX, Step};
use crate::pipeline::Pointer;
use crate::secret::Secret;
use crate::source::signin::error::SigninError;
use crate::source::signin::html;
use crate::source::signin::outline::outline;
use crate::transport::{Answer, Body};

/// A value of the answer, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extract {
    /// As in `{{ signin.NAME }}`.
    pub name: Arc<str>,
    /// In the answer.
    pub part: AnswerPart,
}

/// A place in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerPart {
    /// In its JSON.
    Json(Pointer),
    /// The value of a header.
    Header(String),
    /// The value of a cookie that this answer, or one before it, has set.
    Cookie(String),
    /// The value of a field in its HTML.
    Input(String),
    /// All of its text.
    Text,
}

impl fmt::Display for AnswerPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnswerPart::Json(pointer) => write!(f, "at \"{pointer}\""),
            AnswerPart::Header(name) => write!(f, "in the header {name}"),
            AnswerPart::Cookie(name) => write!(f, "in the cookie {name}"),
            AnswerPart::Input(name) => write!(f, "in the page's field {name}"),
            AnswerPart::Text => f.write_str("as the answer's text"),
        }
    }
}

impl Step {
    pub(super) fn extract(&self, answer: &Answer) -> Result<Vec<(Arc<str>, Secret)>, SigninError> {
        let value = |extract: &Extract| {
            let refused = |problem: String| {
                let (url, status) = (&self.url, answer.status);
                SigninError::Refused(format!("{url} answered {status}, but {problem}"))
            };
            let value = self.value(&extract.part, answer).map_err(|unfit| {
                let (part, name) = (&extract.part, &extract.name);
                match unfit {
                    Unfit::Answer(problem) => refused(problem),
                    Unfit::Value { found, shown } if shown.is_empty() => {
                        refused(format!("{part} (extract.{name}) {found}"))
                    }
                    Unfit::Value { found, shown } => refused(format!(
                        "{part} (extract.{name}) {found}; it came as {shown}"
                    )),
                }
            })?;
            Ok((Arc::clone(&extract.name), value))
        };
        self.extract.iter().map(value).collect()
    }

    pub(super) fn pointers(&self) -> impl Iterator<Item = &Pointer> {
        self.extract
            .iter()
            .filter_map(|extract| match &extract.part {
                AnswerPart::Json(pointer) => Some(pointer),
                _ => None,
            })
    }

    fn value(&self, part: &AnswerPart, answer: &Answer) -> Result<Secret, Unfit> {
        let nothing = |shown: String| Unfit::Value {
            found: "there is nothing".to_owned(),
            shown,
        };
        let value = match part {
            AnswerPart::Json(pointer) => {
                let text = whole_text(answer)?;
                return value_at(pointer, text).map_err(|unfit| match unfit {
                    NoValue::NotJson => Unfit::Answer(format!(
                        "the answer is not JSON ({}, {} bytes): is this the address to sign in at",
                        answer.header("content-type").unwrap_or("of no type"),
                        text.len()
                    )),
                    NoValue::Found(found) => Unfit::Value {
                        found,
                        shown: outline(text, self.pointers()),
                    },
                });
            }
            AnswerPart::Header(name) => answer
                .header(&name.to_ascii_lowercase())
                .ok_or_else(|| nothing(listed("headers", answer.headers.keys())))?
                .to_owned(),
            AnswerPart::Cookie(name) => answer
                .cookies
                .value(name)
                .ok_or_else(|| nothing(listed("cookies", answer.cookies_set.iter())))?
                .expose_secret()
                .to_owned(),
            AnswerPart::Input(name) => {
                html::field(whole_text(answer)?, name).ok_or_else(|| nothing(String::new()))?
            }
            AnswerPart::Text => whole_text(answer)?.trim().to_owned(),
        };
        checked(value).map_err(|found| Unfit::Value {
            found,
            shown: String::new(),
        })
    }
}

/// Why there is no value.
enum Unfit {
    /// The answer is none.
    Answer(String),
    /// What there is in the value's place, and in the answer.
    Value { found: String, shown: String },
}

/// Why there is none in JSON.
enum NoValue {
    NotJson,
    /// What there is instead.
    Found(String),
}

/// Names without values.
fn listed<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    match &names[..] {
        [] => format!("an answer without {what}"),
        names => format!("an answer with the {what} {}", names.join(", ")),
    }
}

fn whole_text(answer: &Answer) -> Result<&str, Unfit> {
    let Body::Whole(body) = &answer.body else {
        return Err(Unfit::Answer(format!(
            "with more than {ANSWER_BYTES_MAX} bytes: is this the address to sign in at"
        )));
    };
    let text = std::str::from_utf8(body)
        .map_err(|_| Unfit::Answer("the answer is not UTF-8".to_owned()))?;
    Ok(text.trim_start_matches('\u{feff}'))
}

/// A text, a number as it is written, or `true` or `false`.
fn value_at(pointer: &Pointer, json: &str) -> Result<Secret, NoValue> {
    let found = |what: &str| NoValue::Found(format!("there is {what}"));
    let raw = pointer
        .find(json)
        .map_err(|_| NoValue::NotJson)?
        .ok_or_else(|| found("nothing"))?;
    let value = match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(raw).map_err(|_| NoValue::NotJson)?,
        Some(b'{') => return Err(found("an object, not a text or a number")),
        Some(b'[') => return Err(found("an array, not a text or a number")),
        Some(b'n') => return Err(found("null")),
        _ => raw.to_owned(),
    };
    checked(value).map_err(NoValue::Found)
}

/// A value that a header can hold; else what there is.
fn checked(value: String) -> Result<Secret, String> {
    if value.trim().is_empty() {
        return Err("there is an empty text".to_owned());
    }
    // It would end a header of HTTP or STOMP and begin another.
    if value.chars().any(char::is_control) {
        return Err(
            "there is a text with a line end or another control character, which no header can hold"
                .to_owned(),
        );
    }
    Ok(value.into())
}
