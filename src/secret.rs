//! A text that must not be shown: a password, a token, a URL with one of them in it. It stands in
//! no log, no error and no `Debug`, and its memory is wiped when it is dropped.

mod beginning;
mod redaction;
mod spellings;
mod unescaped;

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

pub use beginning::{Beginning, beginning, beginning_bytes};
pub use redaction::{
    Lifetime, OUR_TEXTS, PLACEHOLDER, is_secret_name, protect, protect_from_echo, protect_header,
    protect_text, protect_url, protect_url_path, redact, redact_echo,
};

/// A text that prints nothing of itself. Two are equal where their texts are.
#[derive(Clone, Default)]
pub struct Secret(SecretString);

impl Secret {
    /// The text, for the code that sends it. The only way to it.
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text.into())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl PartialEq for Secret {
    /// Every byte is looked at: how long it takes says nothing of how much is the same.
    fn eq(&self, other: &Secret) -> bool {
        let (a, b) = (self.expose_secret(), other.expose_secret());
        let differences = a
            .bytes()
            .zip(b.bytes())
            .fold(0, |all, (a, b)| all | (a ^ b));
        a.len() == b.len() && differences == 0
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        let secret = Secret::from("hunter2");
        assert_eq!(
            format!("{secret:?} {:?}", Some(&secret)),
            "Secret(…) Some(Secret(…))"
        );
        assert_eq!(secret.expose_secret(), "hunter2");
    }

    #[test]
    fn secrets_are_equal_where_their_texts_are() {
        for (a, b, equal) in [
            ("hunter2", "hunter2", true),
            ("hunter2", "hunter3", false),
            ("hunter2", "xunter2", false),
            ("hunter2", "hunter22", false),
            ("hunter2", "", false),
            ("", "", true),
        ] {
            assert_eq!(Secret::from(a) == Secret::from(b), equal, "{a} {b}");
        }
    }
}
