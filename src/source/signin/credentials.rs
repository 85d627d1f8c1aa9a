//! The values that a sign-in gave, for one connection: the next connection signs in again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::error::SigninError;
use crate::secret::{Lifetime, Secret, protect, redact_echo};
use crate::transport::Jar;

/// The values that a sign-in gave, for one connection. The default is that of a source without a
/// sign-in: it gives nothing.
#[derive(Clone, Default)]
pub struct Credentials {
    values: Arc<BTreeMap<Arc<str>, Secret>>,
    cookies: Jar,
}

/// A shorter value gives nothing away, and stands in many a text by chance.
const REDACTED_CHARS_MIN: usize = 4;

impl Credentials {
    /// Of these values and cookies.
    pub fn new(values: impl IntoIterator<Item = (Arc<str>, Secret)>, cookies: Jar) -> Credentials {
        Credentials {
            values: Arc::new(values.into_iter().collect()),
            cookies,
        }
    }

    /// These, and what a further answer gave. The cookies are all that there are then.
    pub(super) fn with(
        &self,
        values: impl IntoIterator<Item = (Arc<str>, Secret)>,
        cookies: Jar,
    ) -> Credentials {
        let known = self.values.iter();
        let known = known.map(|(name, value)| (Arc::clone(name), value.clone()));
        Credentials::new(known.chain(values), cookies)
    }

    /// A value.
    ///
    /// # Errors
    /// The sign-in extracts none of that name; `check` does not let that through.
    pub(in crate::source) fn value(&self, name: &str) -> Result<&Secret, SigninError> {
        let missing =
            || SigninError::Refused(format!("nothing is extracted for {}", placeholder(name)));
        self.values.get(name).ok_or_else(missing)
    }

    /// What the sign-in has set.
    pub(in crate::source) fn cookies(&self) -> &Jar {
        &self.cookies
    }

    /// A text fit for a log: what a server has repeated of our values stands in it by name.
    pub fn redact(&self, text: &str) -> String {
        let mut values: Vec<(&Arc<str>, &str)> = self
            .values
            .iter()
            .map(|(name, value)| (name, value.expose_secret()))
            .collect();
        // One value may hold another.
        values.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        values.retain(|(_, value)| value.chars().count() >= REDACTED_CHARS_MIN);
        let text = values
            .into_iter()
            .fold(text.to_owned(), |text, (name, value)| {
                text.replace(value, &placeholder(name))
            });
        redact_echo(&text).into_owned()
    }

    /// From now on nothing shows what the sign-in gave.
    pub(super) fn protect(&self) {
        for value in self.values.values() {
            protect(value.expose_secret(), Lifetime::Given);
        }
        for value in self.cookies.values() {
            protect(value, Lifetime::Given);
        }
    }
}

/// A value's name, as it is written in the configuration and shown in a log.
pub(super) fn placeholder(name: &str) -> String {
    format!("{{{{ signin.{name} }}}}")
}

/// The names alone.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&Arc<str>> = self.values.keys().collect();
        f.debug_struct("Credentials")
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
        let value = |name: &str, value: &str| (Arc::from(name), Secret::from(value));
        let values = [
            value("token", "abcdef"),
            value("long", "abcdefgh"),
            value("n", "7"),
        ];
        let credentials = Credentials::new(values, Jar::default());
        assert_eq!(credentials.redact("no abcdef"), "no {{ signin.token }}");
        assert_eq!(
            credentials.redact("abcdefgh of 7"),
            "{{ signin.long }} of 7"
        );
        assert_eq!(Credentials::default().redact("abcdef"), "abcdef");
        let shown = format!("{credentials:?}");
        assert!(
            shown.contains("token") && !shown.contains("abcdef"),
            "{shown}"
        );
    }
}
