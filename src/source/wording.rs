//! A text of the configuration with blanks for what a sign-in gives. What is secret in it is never
//! shown.

use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

use super::{Pass, SigninError};

/// A piece of a [`Wording`].
#[derive(Debug, Clone)]
pub enum Part {
    /// As it is written.
    Text(String),
    /// What a secret holds, or what is as secret as that.
    Secret(SecretString),
    /// `{{ signin.NAME }}`: a blank, filled in for each connection.
    Signin(Arc<str>),
}

/// See the module. As a text ([`Wording::as_str`], `Display`) it is what may be shown: a secret is
/// `…`, and a blank `{{ signin.NAME }}`, also once its value is known.
#[derive(Clone, Default)]
pub struct Wording {
    parts: Vec<Part>,
    shown: String,
}

impl Wording {
    /// Of these pieces, one after the other.
    pub fn new(parts: Vec<Part>) -> Wording {
        let shown = parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Secret(_) => "…".to_owned(),
            Part::Signin(name) => blank(name),
        });
        Wording {
            shown: shown.collect(),
            parts,
        }
    }

    /// The same, with nothing of it shown but its blanks.
    pub fn hidden(self) -> Wording {
        let hide = |part| match part {
            Part::Text(text) => Part::Secret(text.into()),
            other => other,
        };
        Wording::new(self.parts.into_iter().map(hide).collect())
    }

    /// As it may be shown.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// Whether the character stands in it, blanks apart.
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
    /// A blank that the pass has nothing for.
    pub fn filled(&self, pass: &Pass) -> Result<SecretString, SigninError> {
        self.filled_with(pass, str::to_owned)
    }

    /// The same as the query of a URL: what fills a blank is percent-encoded.
    ///
    /// # Errors
    /// As [`Wording::filled`].
    pub(super) fn filled_in_url(&self, pass: &Pass) -> Result<SecretString, SigninError> {
        self.filled_with(pass, percent_encoded)
    }

    fn filled_with(
        &self,
        pass: &Pass,
        encode: fn(&str) -> String,
    ) -> Result<SecretString, SigninError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Secret(secret) => text.push_str(secret.expose_secret()),
                Part::Signin(name) => text.push_str(&encode(pass.value(name)?.expose_secret())),
            }
        }
        Ok(text.into())
    }
}

/// A blank as it is written.
pub(super) fn blank(name: &str) -> String {
    format!("{{{{ signin.{name} }}}}")
}

/// All but the unreserved characters of RFC 3986, section 2.3, so that a value cannot change the
/// URL around it.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A value as a part of a URL's path or query.
pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

impl From<&str> for Wording {
    fn from(text: &str) -> Wording {
        Wording::new(vec![Part::Text(text.to_owned())])
    }
}

impl From<String> for Wording {
    fn from(text: String) -> Wording {
        Wording::new(vec![Part::Text(text)])
    }
}

impl From<SecretString> for Wording {
    fn from(secret: SecretString) -> Wording {
        Wording::new(vec![Part::Secret(secret)])
    }
}

impl fmt::Display for Wording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Wording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown, f)
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Part) -> bool {
        match (self, other) {
            (Part::Text(a), Part::Text(b)) => a == b,
            (Part::Secret(a), Part::Secret(b)) => a.expose_secret() == b.expose_secret(),
            (Part::Signin(a), Part::Signin(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Part {}

/// Whether two configurations say the same.
impl PartialEq for Wording {
    fn eq(&self, other: &Wording) -> bool {
        self.parts == other.parts
    }
}

impl Eq for Wording {}

#[cfg(test)]
mod tests {
    use super::*;

    fn wording() -> Wording {
        let parts = [
            Part::Text("/topic/".to_owned()),
            Part::Signin("code".into()),
            Part::Text("/".to_owned()),
            Part::Secret("hunter2".into()),
        ];
        Wording::new(parts.to_vec())
    }

    fn pass(code: &str) -> Pass {
        Pass::new([("code".into(), code.into())], Default::default())
    }

    #[test]
    fn blanks_are_filled_and_what_is_secret_is_not_shown() {
        let wording = wording();
        let filled = wording.filled(&pass("a/b 7")).unwrap();
        assert_eq!(filled.expose_secret(), "/topic/a/b 7/hunter2");
        assert_eq!(wording.as_str(), "/topic/{{ signin.code }}/…");
        assert_eq!(
            format!("{wording:?} {wording}").matches("hunter2").count(),
            0
        );
        assert_eq!(wording.hidden().as_str(), "…{{ signin.code }}……");
    }

    #[test]
    fn in_a_url_a_value_is_nothing_but_a_value() {
        let filled = wording().filled_in_url(&pass("a/b&c=é")).unwrap();
        assert_eq!(filled.expose_secret(), "/topic/a%2Fb%26c%3D%C3%A9/hunter2");
    }

    #[test]
    fn a_blank_without_a_value_is_an_error_that_names_it() {
        let error = wording().filled(&Pass::default()).unwrap_err().to_string();
        assert!(error.contains("signin.code"), "{error}");
    }

    #[test]
    fn two_wordings_are_equal_where_they_say_the_same() {
        assert_eq!(wording(), wording());
        assert_ne!(wording(), wording().hidden());
        assert_ne!(
            Wording::from(SecretString::from("a")),
            Wording::from(SecretString::from("b"))
        );
    }
}
