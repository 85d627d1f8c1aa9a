//! The parts that the checks of all tables share: the list of problems, the places of secrets and
//! files. It also reads texts, URLs, headers and certificates.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};
use url::{ParseError, Url};

use super::environment::Environment;
use super::path::Path;
use super::report::{Report, unknown};
use super::schema;
use super::secret::{Secrets, Within};
use super::template::{self, Draft, Scope, Signin, TemplateError};
use crate::duration::InWords;
use crate::pipeline::Conditions;
use crate::secret::{Lifetime, PLACEHOLDER, Secret, protect_header};
use crate::source::SigninTemplate;
use crate::tls;

/// What all checks share.
pub(super) struct Context<'a> {
    pub(super) report: Report<'a>,
    pub(super) secrets: Secrets,
    /// What the sign-in gives.
    pub(super) signed_in: Signin,
    /// Whether CONNECT has a `client-id`.
    pub(super) has_client_id: bool,
    /// The names of the tables of topics.
    pub(super) tables: HashSet<String>,
    pub(super) folders: Folders,
}

/// Where relative paths lie.
pub(super) struct Folders {
    /// Databases: systemd's state folder, else beside the configuration.
    pub(super) state: PathBuf,
    /// Certificates, passcodes: beside the configuration.
    pub(super) config: PathBuf,
}

impl Folders {
    /// Those of a configuration file.
    pub(super) fn of(file: &FilePath, environment: &Environment) -> Folders {
        let config = std::path::absolute(file).ok();
        let config = config.and_then(|file| file.parent().map(FilePath::to_owned));
        let config = config.unwrap_or_default();
        Folders {
            state: environment.state().unwrap_or_else(|| config.clone()),
            config,
        }
    }
}

impl Context<'_> {
    /// A database of ours.
    pub(super) fn state_file(&self, path: &FilePath) -> PathBuf {
        self.folders.state.join(path)
    }

    /// Whether there can be a database of ours at `file`: no folder, and below folders only. Those
    /// that are missing are made at the start.
    pub(super) fn database(&mut self, path: &Path, file: &FilePath) {
        if file.to_string_lossy().contains(char::is_control) {
            let message = "the path has a control character: between \" and \" `\\t` is one";
            let help = "write the path between ' and '";
            self.report.error_with(path, message, help);
        }
        let found = |at: &FilePath| fs::metadata(at).ok();
        if found(file).is_some_and(|found| found.is_dir()) {
            let message = format!("{} is a folder", file.display());
            self.report
                .error_with(path, message, "name a file in it, such as \"data.db\"");
        }
        let above = file
            .ancestors()
            .skip(1)
            .find_map(|at| Some((at, found(at)?)));
        if let Some((above, found)) = above
            && !found.is_dir()
        {
            let message = format!("{} is no folder", above.display());
            self.report
                .error_with(path, message, "name a file below a folder");
        }
    }

    /// The bounds of the waits between attempts: those of the first wait and of every wait.
    pub(super) fn waits(&mut self, path: &Path, initial: Duration, max: Duration, min: Duration) {
        let (shown, least) = (InWords(initial), InWords(min));
        if initial < min {
            let message = format!("expected at least {least}, found {shown}");
            self.report.error(&path.join("initial"), message);
        }
        if max < initial {
            let message = format!(
                "expected at least initial ({shown}), found {}",
                InWords(max)
            );
            self.report.error(&path.join("max"), message);
        }
    }

    /// A value with its secrets filled in.
    pub(super) fn secret(&mut self, path: &Path, text: &str, within: Within) -> Option<Secret> {
        Some(self.draft(path, text, within, &Scope::SECRETS)?.text(""))
    }

    pub(super) fn signin_scope(&self) -> Scope<'static> {
        Scope {
            signin: self.signed_in.clone(),
            variables: &[],
        }
    }

    /// A value that may name what the scope has.
    pub(super) fn draft(
        &mut self,
        path: &Path,
        text: &str,
        within: Within,
        scope: &Scope<'_>,
    ) -> Option<Draft> {
        match Draft::read(text, within, scope, &self.secrets) {
            Ok(draft) => Some(draft),
            Err(TemplateError {
                message,
                help: Some(help),
            }) => {
                self.report.error_with(path, message, help);
                None
            }
            Err(TemplateError {
                message,
                help: None,
            }) => {
                self.report.error(path, message);
                None
            }
        }
    }

    /// A URL with its secrets filled in, of one of these schemes and with a host.
    pub(super) fn url(&mut self, path: &Path, text: &str, schemes: &[&str]) -> Option<Url> {
        let text = self.secret(path, text, Within::Url)?;
        self.checked_url(path, text.expose_secret(), schemes)
    }

    pub(super) fn checked_url(&mut self, path: &Path, text: &str, schemes: &[&str]) -> Option<Url> {
        let expected = || {
            format!(
                "expected a URL that starts with {}://",
                schemes.join("://, ")
            )
        };
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(error) => {
                let (message, help) = match (wide_sign(text), error) {
                    (Some((found, meant)), _) => (
                        format!("{found} is a full-width sign"),
                        format!("write {meant} in its place"),
                    ),
                    (None, ParseError::RelativeUrlWithoutBase) => {
                        ("the URL has no scheme".to_owned(), expected())
                    }
                    (None, error) => (format!("not a URL: {error}"), expected()),
                };
                self.report.error_with(path, message, help);
                return None;
            }
        };
        if !schemes.contains(&url.scheme()) {
            self.report.error_with(
                path,
                unknown("scheme", url.scheme(), schemes.iter().copied()),
                expected(),
            );
            return None;
        }
        if url.host_str().is_none_or(str::is_empty) {
            self.report
                .error_with(path, "a URL without a host", expected());
            return None;
        }
        Some(url)
    }

    /// Headers of requests, with their secrets filled in.
    pub(super) fn headers(
        &mut self,
        path: &Path,
        written: BTreeMap<String, Secret>,
    ) -> Vec<(String, Secret)> {
        let drafts = self.header_drafts(path, written, &Scope::SECRETS);
        drafts
            .into_iter()
            .map(|(name, draft)| (name, draft.text("")))
            .collect()
    }

    /// Headers that may depend on the sign-in.
    pub(super) fn worded_headers(
        &mut self,
        path: &Path,
        written: BTreeMap<String, Secret>,
    ) -> Vec<(String, SigninTemplate)> {
        let drafts = self.header_drafts(path, written, &self.signin_scope());
        let header = |(name, draft): (String, Draft)| {
            let text = draft.text(&PLACEHOLDER.to_string());
            protect_header(&name, text.expose_secret(), Lifetime::Configured);
            (name, draft.plain())
        };
        drafts.into_iter().map(header).collect()
    }

    /// Headers whose values may name what the scope has.
    pub(super) fn header_drafts(
        &mut self,
        path: &Path,
        written: BTreeMap<String, Secret>,
        scope: &Scope<'_>,
    ) -> Vec<(String, Draft)> {
        let mut headers = Vec::new();
        for (name, value) in written {
            let path = path.join(&name);
            if !is_header_name(&name) {
                self.report.key_error(
                    &path,
                    format!("`{name}` cannot name a header"),
                    "letters, digits and `-`",
                );
            }
            let Some(value) = self.draft(&path, value.expose_secret(), Within::Text, scope) else {
                continue;
            };
            if value.text("").expose_secret().chars().any(char::is_control) {
                self.report.error(
                    &path,
                    "a header's value has no line ends and no other control characters",
                );
            }
            headers.push((name, value));
        }
        headers
    }

    /// A template of events with its secrets filled in; `None`: it names nothing of an event.
    pub(super) fn of_events(&mut self, path: &Path, text: &str, within: Within) -> Option<Secret> {
        match template::of_events(text, within, &self.secrets) {
            Ok(text) => text,
            Err(TemplateError { message, .. }) => {
                self.report.error(path, message);
                None
            }
        }
    }

    /// Warns of words that `who` compares a column with, and that are none.
    pub(super) fn doubted(&mut self, path: &Path, who: &str, doubts: &[String]) {
        if !doubts.is_empty() {
            let message = format!(
                "{who} asks for words that are not known: {}",
                doubts.join("; ")
            );
            self.report.warning(path, message);
        }
    }

    /// Conditions on an answer.
    pub(super) fn conditions(
        &mut self,
        path: &Path,
        written: &Map<String, Value>,
        help: impl Into<String>,
    ) -> Option<Conditions> {
        if written.is_empty() {
            let message = "an expectation without a condition";
            self.report.error_with(path, message, help);
            return None;
        }
        match Conditions::read(written) {
            Ok(conditions) => Some(conditions),
            Err(mistake) => {
                self.report.error(&path.join(mistake.key), mistake.message);
                None
            }
        }
    }

    /// Certificates that can be read.
    pub(super) fn tls(&mut self, path: &Path, written: schema::Tls) -> tls::Settings {
        let mut file = |name: &str, file: Option<PathBuf>| {
            let file = self.folders.config.join(file?);
            if let Err(error) = fs::File::open(&file) {
                let message = format!("cannot read {}: {error}", file.display());
                let help = unread(&error);
                self.report.error_with(&path.join(name), message, help);
            }
            Some(file)
        };
        let settings = tls::Settings {
            ca_file: file("ca_file", written.ca_file),
            cert_file: file("cert_file", written.cert_file),
            key_file: file("key_file", written.key_file),
        };
        let lacking = match (&settings.cert_file, &settings.key_file) {
            (Some(_), None) => Some(("cert_file", "key_file")),
            (None, Some(_)) => Some(("key_file", "cert_file")),
            _ => None,
        };
        if let Some((there, missing)) = lacking {
            self.report.key_error(
                &path.join(missing),
                format!("{there} without {missing}"),
                "a client certificate needs both",
            );
        }
        settings
    }
}

/// The first sign of a Chinese keyboard that stands where a URL has a sign of ASCII.
fn wide_sign(url: &str) -> Option<(char, char)> {
    let signs = [
        ('：', ':'),
        ('／', '/'),
        ('．', '.'),
        ('。', '.'),
        ('？', '?'),
        ('＠', '@'),
    ];
    url.chars()
        .find_map(|c| signs.into_iter().find(|(foreign, _)| *foreign == c))
}

/// What to do about a file that cannot be read.
pub(super) fn unread(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "a relative path lies beside the configuration",
        ErrorKind::PermissionDenied => {
            "this user may not read it: run this as the daemon's user, and let that user read it"
        }
        ErrorKind::IsADirectory => "it is a folder: name a file in it",
        _ => "name another file",
    }
}

/// RFC 9110, section 5.6.2: token.
pub(super) fn is_header_name(name: &str) -> bool {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty() && name.chars().all(token)
}
