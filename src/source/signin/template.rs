//! A text of the configuration with placeholders for what a sign-in gives. Its secrets are never
//! shown.

use std::fmt;
use std::sync::Arc;

use super::credentials::{Credentials, placeholder};
use super::error::SigninError;
use crate::pipeline::percent_encoded;
use crate::secret::Secret;

/// A piece of a [`SigninTemplate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it is written.
    Text(String),
    /// What a secret holds, or what is as secret as that.
    Secret(Secret),
    /// `{{ signin.NAME }}`: a placeholder, rendered for each connection.
    Signin(Arc<str>),
}

/// A text with placeholders for values of the sign-in. As a text ([`SigninTemplate::as_str`],
/// `Display`) it may be shown: a secret is `…`, and a placeholder stays `{{ signin.NAME }}`, also
/// with a known value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SigninTemplate {
    parts: Vec<Part>,
    shown: String,
}

impl SigninTemplate {
    /// Of these pieces, one after the other.
    pub fn new(parts: Vec<Part>) -> SigninTemplate {
        let shown = parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Secret(_) => "…".to_owned(),
            Part::Signin(name) => placeholder(name),
        });
        SigninTemplate {
            shown: shown.collect(),
            parts,
        }
    }

    /// The same, with nothing of it shown but its placeholders.
    pub fn hidden(self) -> SigninTemplate {
        let hide = |part| match part {
            Part::Text(text) => Part::Secret(text.into()),
            other => other,
        };
        SigninTemplate::new(self.parts.into_iter().map(hide).collect())
    }

    /// As it may be shown.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// Whether the character stands in it, placeholders apart.
    pub fn has(&self, character: char) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Text(text) => text.contains(character),
            Part::Secret(secret) => secret.expose_secret().contains(character),
            Part::Signin(_) => false,
        })
    }

    /// The text for one connection.
    ///
    /// # Errors
    /// A placeholder that the credentials have no value for.
    pub fn render(&self, credentials: &Credentials) -> Result<Secret, SigninError> {
        self.rendered_with(credentials, str::to_owned)
    }

    /// The same as the query of a URL: what fills a placeholder is percent-encoded.
    ///
    /// # Errors
    /// As [`SigninTemplate::render`].
    pub(in crate::source) fn render_in_url(
        &self,
        credentials: &Credentials,
    ) -> Result<Secret, SigninError> {
        self.rendered_with(credentials, percent_encoded)
    }

    fn rendered_with(
        &self,
        credentials: &Credentials,
        encode: fn(&str) -> String,
    ) -> Result<Secret, SigninError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Secret(secret) => text.push_str(secret.expose_secret()),
                Part::Signin(name) => {
                    text.push_str(&encode(credentials.value(name)?.expose_secret()))
                }
            }
        }
        Ok(text.into())
    }
}

impl From<&str> for SigninTemplate {
    fn from(text: &str) -> SigninTemplate {
        SigninTemplate::new(vec![Part::Text(text.to_owned())])
    }
}

impl From<String> for SigninTemplate {
    fn from(text: String) -> SigninTemplate {
        SigninTemplate::new(vec![Part::Text(text)])
    }
}

impl From<Secret> for SigninTemplate {
    fn from(secret: Secret) -> SigninTemplate {
        SigninTemplate::new(vec![Part::Secret(secret)])
    }
}

impl fmt::Display for SigninTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for SigninTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> SigninTemplate {
        let parts = [
            Part::Text("/topic/".to_owned()),
            Part::Signin("code".into()),
            Part::Text("/".to_owned()),
            Part::Secret("hunter2".into()),
        ];
        SigninTemplate::new(parts.to_vec())
    }

    fn credentials(code: &str) -> Credentials {
        Credentials::new([("code".into(), code.into())], Default::default())
    }

    #[test]
    fn blanks_are_filled_and_what_is_secret_is_not_shown() {
        let template = template();
        let rendered = template.render(&credentials("a/b 7")).unwrap();
        assert_eq!(rendered.expose_secret(), "/topic/a/b 7/hunter2");
        assert_eq!(template.as_str(), "/topic/{{ signin.code }}/…");
        assert_eq!(
            format!("{template:?} {template}")
                .matches("hunter2")
                .count(),
            0
        );
        assert_eq!(template.hidden().as_str(), "…{{ signin.code }}……");
    }

    #[test]
    fn in_a_url_a_value_is_nothing_but_a_value() {
        let rendered = template().render_in_url(&credentials("a/b&c=é")).unwrap();
        assert_eq!(
            rendered.expose_secret(),
            "/topic/a%2Fb%26c%3D%C3%A9/hunter2"
        );
    }

    #[test]
    fn a_blank_without_a_value_is_an_error_that_names_it() {
        let error = template()
            .render(&Credentials::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("signin.code"), "{error}");
    }

    #[test]
    fn two_wordings_are_equal_where_they_say_the_same() {
        assert_eq!(template(), template());
        assert_ne!(template(), template().hidden());
        assert_ne!(
            SigninTemplate::from(Secret::from("a")),
            SigninTemplate::from(Secret::from("b"))
        );
    }
}
