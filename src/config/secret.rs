//! `{{ secret('x') }}` in the configuration's own values: where secrets are looked for, and how they are filled in.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use minijinja::{Environment as Language, Error, ErrorKind, UndefinedBehavior};
use secrecy::{ExposeSecret, SecretString};

use super::Environment;
use super::environment::SECRET_PREFIX;

/// Looks for secrets: a systemd credential of that name, then the file that `[secrets]` names, then an environment
/// variable.
#[derive(Debug, Clone)]
pub struct Secrets {
    environment: Environment,
    files: BTreeMap<String, PathBuf>,
}

/// What becomes of a secret within its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// It is the text, or stands in it as it is.
    Text,
    /// It is a part of a URL: what has a meaning there is percent-encoded, but for a secret at the very start, which
    /// is taken for the whole URL.
    Url,
}

impl Secrets {
    /// Secrets of an environment, and of `[secrets]` with absolute paths.
    pub fn new(environment: Environment, files: BTreeMap<String, PathBuf>) -> Secrets {
        Secrets { environment, files }
    }

    /// The secret of that name, without the line end that editors leave.
    ///
    /// # Errors
    /// Where it was looked for; never its text.
    pub fn lookup(&self, name: &str) -> Result<SecretString, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return Err(format!("a secret's name is of letters, digits, `-`, `_` and `.`, found `{name}`"));
        }
        let variable = format!("{SECRET_PREFIX}{}", name.to_uppercase().replace(['-', '.'], "_"));
        let credential = self.environment.credentials().map(|folder| folder.join(name));
        let file = credential.as_ref().filter(|file| file.exists()).or_else(|| self.files.get(name));
        if let Some(file) = file {
            return match fs::read_to_string(file) {
                Ok(text) => Ok(SecretString::from(text.trim_end_matches(['\r', '\n']))),
                Err(error) => Err(format!("secret `{name}`: cannot read {}: {error}", file.display())),
            };
        }
        self.environment.variables.get(&variable).map(|value| SecretString::from(value.as_str())).ok_or_else(|| {
            let credential = match credential {
                Some(file) => format!("{}, ", file.display()),
                None => "$CREDENTIALS_DIRECTORY (not set), ".to_owned(),
            };
            format!("secret `{name}` not found; looked in {credential}[secrets] and the variable {variable}")
        })
    }

    /// A value of the configuration with its secrets filled in.
    ///
    /// # Errors
    /// A text for the user: what does not parse, which secret is missing, which other name was used.
    pub fn render(&self, source: &str, within: Within) -> Result<SecretString, String> {
        if !source.contains("{{") {
            return Ok(SecretString::from(source));
        }
        let mut language = Language::empty();
        language.set_undefined_behavior(UndefinedBehavior::Strict);
        let secrets = Arc::new(self.clone());
        let encoded = within == Within::Url && !source.trim_start().starts_with("{{");
        language.add_function("secret", move |name: String| {
            let secret = secrets.lookup(&name).map_err(|error| Error::new(ErrorKind::InvalidOperation, error))?;
            Ok::<String, Error>(match encoded {
                true => percent_encoded(secret.expose_secret()),
                false => secret.expose_secret().to_owned(),
            })
        });
        let template = language.template_from_str(source).map_err(|error| text_of(&error))?;
        let mut names: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        names.sort();
        match names.iter().find(|name| *name != "secret").map(String::as_str) {
            Some("signin") => Err("`signin` is not in this version: there is no sign-in yet".to_owned()),
            Some(name) => Err(format!("unknown variable `{name}`: here only secret('name') has a value")),
            None => template.render(()).map(SecretString::from).map_err(|error| text_of(&error)),
        }
    }
}

fn text_of(error: &Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

/// All but the unreserved characters of RFC 3986, section 2.3.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> (tempfile::TempDir, Secrets) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("credentials")).unwrap();
        fs::write(folder.path().join("credentials/both"), "from systemd\n").unwrap();
        fs::write(folder.path().join("file"), "0123\r\n").unwrap();
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let environment = Environment {
            variables: BTreeMap::from([
                variable("CREDENTIALS_DIRECTORY", folder.path().join("credentials").to_str().unwrap()),
                variable("STOMP_BRIDGE_SECRET_BOTH", "from the environment"),
                variable("STOMP_BRIDGE_SECRET_MY_DB", "p@ss:w/rd"),
            ]),
        };
        let file = |name: &str, path: &str| (name.to_owned(), folder.path().join(path));
        let files = BTreeMap::from([file("file", "file"), file("both", "file"), file("gone", "gone")]);
        (folder, Secrets::new(environment, files))
    }

    #[test]
    fn a_secret_is_found_where_it_stands_first() {
        let (_folder, secrets) = secrets();
        for (name, expected) in [("both", "from systemd"), ("file", "0123"), ("my-db", "p@ss:w/rd")] {
            assert_eq!(secrets.lookup(name).unwrap().expose_secret(), expected, "{name}");
        }
        for (name, expected) in [
            ("nowhere", "the variable STOMP_BRIDGE_SECRET_NOWHERE"),
            ("gone", "cannot read"),
            ("../etc/passwd", "of letters, digits"),
            ("", "of letters, digits"),
        ] {
            let error = secrets.lookup(name).unwrap_err();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }

    #[test]
    fn a_secret_in_a_url_cannot_change_the_url() {
        let (_folder, secrets) = secrets();
        for (source, within, expected) in [
            ("postgres://u:{{ secret('my-db') }}@h/d", Within::Url, "postgres://u:p%40ss%3Aw%2Frd@h/d"),
            ("{{ secret('my-db') }}", Within::Url, "p@ss:w/rd"),
            ("Bearer {{ secret('my-db') }}", Within::Text, "Bearer p@ss:w/rd"),
            ("{ no template }", Within::Text, "{ no template }"),
        ] {
            assert_eq!(secrets.render(source, within).unwrap().expose_secret(), expected, "{source}");
        }
    }

    #[test]
    fn nothing_but_secrets_has_a_value() {
        let (_folder, secrets) = secrets();
        for (source, expected) in [
            ("{{ signin.token }}", "`signin` is not in this version"),
            ("{{ device_id }}", "unknown variable `device_id`"),
            ("{{ secret('nowhere') }}", "secret `nowhere` not found"),
            ("{{ secret('both'", "unexpected end"),
        ] {
            let error = secrets.render(source, Within::Text).unwrap_err();
            assert!(error.contains(expected), "{source}: {error}");
        }
    }
}
