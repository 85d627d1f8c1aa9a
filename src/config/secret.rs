//! Where the secrets are looked for that a configuration names.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use url::Url;

use super::environment::{Environment, SECRET_PREFIX};
use crate::rotation::SecretFiles;
use crate::secret::{Lifetime, Secret, protect, protect_url, protect_url_path};

/// Looks for secrets: a systemd credential of that name, then the file that `[secrets]` names, then
/// an environment variable.
#[derive(Debug, Clone)]
pub(super) struct Secrets {
    environment: Environment,
    files: BTreeMap<String, PathBuf>,
    /// Those that were looked at.
    read: RefCell<SecretFiles>,
}

/// What becomes of a secret within its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// It is the text, or stands in it as it is.
    Text,
    /// It is a part of a URL: characters with a meaning there are percent-encoded. A secret at the
    /// very start is the whole URL and is left as it is.
    Url,
}

impl Secrets {
    /// Secrets of an environment, and of `[secrets]` with absolute paths.
    pub(super) fn new(environment: Environment, files: BTreeMap<String, PathBuf>) -> Secrets {
        Secrets {
            environment,
            files,
            read: RefCell::default(),
        }
    }

    /// This file is read for a secret.
    pub(super) fn note(&self, file: &Path) {
        self.read.borrow_mut().note(file);
    }

    /// The files that were read, or would have been if they were there.
    pub(super) fn read(&self) -> SecretFiles {
        self.read.borrow().clone()
    }

    /// The secret of that name, without the line end that editors leave. From then on nothing shows
    /// it.
    ///
    /// # Errors
    /// Where it was looked for; never its text.
    pub(super) fn lookup(&self, name: &str) -> Result<Secret, String> {
        let secret = self.find(name)?;
        protect(secret.expose_secret(), Lifetime::Configured);
        if let Ok(url) = Url::parse(secret.expose_secret()) {
            protect_url(&url, Lifetime::Configured);
            protect_url_path(&url, Lifetime::Configured);
        }
        Ok(secret)
    }

    fn find(&self, name: &str) -> Result<Secret, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return Err(format!(
                "a secret's name is of letters, digits, `-`, `_` and `.`, found `{name}`"
            ));
        }
        let variable = format!(
            "{SECRET_PREFIX}{}",
            name.to_uppercase().replace(['-', '.'], "_")
        );
        let credential = self
            .environment
            .credentials()
            .map(|folder| folder.join(name));
        for file in credential.iter().chain(self.files.get(name)) {
            self.note(file);
        }
        let file = credential
            .as_ref()
            .filter(|file| file.exists())
            .or_else(|| self.files.get(name));
        if let Some(file) = file {
            return match fs::read_to_string(file) {
                // Such as one that is about to be written.
                Ok(text) if text.trim().is_empty() => {
                    Err(format!("secret `{name}`: {} is empty", file.display()))
                }
                Ok(text) => Ok(Secret::from(text.trim_end_matches(['\r', '\n']))),
                Err(error) => Err(format!(
                    "secret `{name}`: cannot read {}: {error}",
                    file.display()
                )),
            };
        }
        self.environment.variables.get(&variable).map(|value| Secret::from(value.as_str())).ok_or_else(|| {
            let credential = match credential {
                Some(file) => format!("{}, ", file.display()),
                None => "$CREDENTIALS_DIRECTORY (not set), ".to_owned(),
            };
            format!(
                "secret `{name}` not found; looked in {credential}[secrets] and the variable {variable}; \
                 set one of them (a daemon that runs sees a new variable after a restart alone)"
            )
        })
    }
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
                variable(
                    "CREDENTIALS_DIRECTORY",
                    folder.path().join("credentials").to_str().unwrap(),
                ),
                variable("STOMP_BRIDGE_SECRET_BOTH", "from the environment"),
                variable("STOMP_BRIDGE_SECRET_MY_DB", "p@ss:w/rd"),
            ]),
        };
        let file = |name: &str, path: &str| (name.to_owned(), folder.path().join(path));
        let files = BTreeMap::from([
            file("file", "file"),
            file("both", "file"),
            file("gone", "gone"),
        ]);
        (folder, Secrets::new(environment, files))
    }

    #[test]
    fn a_secret_is_found_where_it_stands_first() {
        let (_folder, secrets) = secrets();
        for (name, expected) in [
            ("both", "from systemd"),
            ("file", "0123"),
            ("my-db", "p@ss:w/rd"),
        ] {
            assert_eq!(
                secrets.lookup(name).unwrap().expose_secret(),
                expected,
                "{name}"
            );
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
}
