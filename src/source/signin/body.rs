//! The body of a sign-in's request, with placeholders for what earlier requests gave. Nothing of it
//! is ever shown.

use std::fmt;

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::credentials::Credentials;
use super::error::SigninError;
use super::template::SigninTemplate;
use crate::transport::Content;

/// What is sent.
#[derive(Clone, PartialEq)]
pub enum BodyTemplate {
    /// Nothing.
    Empty,
    /// JSON.
    Json(JsonTemplate),
    /// A form: names and values.
    Form(Vec<(String, SigninTemplate)>),
}

/// JSON whose texts may have placeholders.
#[derive(Clone, PartialEq)]
pub enum JsonTemplate {
    /// As it is.
    Plain(Value),
    /// A text.
    Text(SigninTemplate),
    /// An array.
    List(Vec<JsonTemplate>),
    /// An object.
    Table(Vec<(String, JsonTemplate)>),
}

impl BodyTemplate {
    /// The body for one request.
    ///
    /// # Errors
    /// A placeholder that the credentials have no value for.
    pub fn render(&self, credentials: &Credentials) -> Result<Content, SigninError> {
        match self {
            BodyTemplate::Empty => Ok(Content::Empty),
            BodyTemplate::Json(json) => {
                Ok(Content::Json(json.render(credentials)?.to_string().into()))
            }
            BodyTemplate::Form(fields) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                for (name, value) in fields {
                    form.append_pair(name, value.render(credentials)?.expose_secret());
                }
                Ok(Content::Form(form.finish().into()))
            }
        }
    }
}

impl JsonTemplate {
    fn render(&self, credentials: &Credentials) -> Result<Value, SigninError> {
        Ok(match self {
            JsonTemplate::Plain(value) => value.clone(),
            JsonTemplate::Text(text) => Value::from(text.render(credentials)?.expose_secret()),
            JsonTemplate::List(elements) => elements
                .iter()
                .map(|element| element.render(credentials))
                .collect::<Result<Value, _>>()?,
            JsonTemplate::Table(fields) => {
                let field = |(name, value): &(String, JsonTemplate)| {
                    Ok((name.clone(), value.render(credentials)?))
                };
                let fields = fields.iter().map(field);
                Value::Object(fields.collect::<Result<Map<_, _>, SigninError>>()?)
            }
        })
    }
}

impl fmt::Debug for BodyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyTemplate::Empty => "Empty",
            BodyTemplate::Json(_) => "Json",
            BodyTemplate::Form(_) => "Form",
        })
    }
}
