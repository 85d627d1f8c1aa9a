//! What a sign-in has given, for one connection and no longer: the next one signs in anew.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::SigninError;
use super::wording::blank;
use crate::transport::Jar;

/// See the module. The default is that of a source without a sign-in: it gives nothing.
#[derive(Clone, Default)]
pub struct Pass {
    values: Arc<BTreeMap<Arc<str>, SecretString>>,
    cookies: Jar,
}

/// A shorter value gives nothing away, and stands in many a text by chance.
const HUSHED_CHARS_MIN: usize = 4;

impl Pass {
    /// Of these values and cookies.
    pub fn new(values: impl IntoIterator<Item = (Arc<str>, SecretString)>, cookies: Jar) -> Pass {
        Pass {
            values: Arc::new(values.into_iter().collect()),
            cookies,
        }
    }

    /// A value.
    ///
    /// # Errors
    /// The sign-in extracts none of that name; `check` does not let that through.
    pub(super) fn value(&self, name: &str) -> Result<&SecretString, SigninError> {
        let missing = || SigninError::Refused(format!("nothing is extracted for {}", blank(name)));
        self.values.get(name).ok_or_else(missing)
    }

    /// What the sign-in has set.
    pub(super) fn cookies(&self) -> &Jar {
        &self.cookies
    }

    /// A text fit for a log: what a server has repeated of our values stands in it by name.
    pub fn hush(&self, text: &str) -> String {
        let mut values: Vec<(&Arc<str>, &str)> = self
            .values
            .iter()
            .map(|(name, value)| (name, value.expose_secret()))
            .collect();
        // One value may hold another.
        values.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        values.retain(|(_, value)| value.chars().count() >= HUSHED_CHARS_MIN);
        values
            .into_iter()
            .fold(text.to_owned(), |text, (name, value)| {
                text.replace(value, &blank(name))
            })
    }
}

/// The names alone.
impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&Arc<str>> = self.values.keys().collect();
        f.debug_struct("Pass")
            .field("values", &names)
            .field("cookies", &self.cookies)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_repeats_is_shown_by_its_name() {
        let value = |name: &str, value: &str| (Arc::from(name), SecretString::from(value));
        let values = [
            value("token", "abcdef"),
            value("long", "abcdefgh"),
            value("n", "7"),
        ];
        let pass = Pass::new(values, Jar::default());
        assert_eq!(pass.hush("no abcdef"), "no {{ signin.token }}");
        assert_eq!(pass.hush("abcdefgh of 7"), "{{ signin.long }} of 7");
        assert_eq!(Pass::default().hush("abcdef"), "abcdef");
        let shown = format!("{pass:?}");
        assert!(
            shown.contains("token") && !shown.contains("abcdef"),
            "{shown}"
        );
    }
}
