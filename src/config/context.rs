//! From the configuration as it is written to each part's own settings: what the values mean, and
//! whether they fit together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use figment::value::{Dict, Value};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::document::{Document, Path};
use super::problem::Problems;
use super::report::{Report, unknown};
use super::schema::{self, ConnectBackslashes, Root, STATES_DEFAULT, WhenFull};
use super::secret::{Secrets, Within};
use super::template::{Draft, Scope, Signin, TemplateError};
use super::{Environment, Plan, signin, sinks};
use crate::pipeline::{State, States};
use crate::source::{self, Address, SigninTemplate};
use crate::stomp::Backslashes;
use crate::{journal, ops, tls};

/// The shortest wait between attempts to connect: below it a refusing server is hammered.
const RECONNECT_MIN: Duration = Duration::from_millis(10);

/// Bodies that may be accepted, in bytes: a few of them are held in memory at once.
const BODY_BYTES: std::ops::RangeInclusive<u64> = 1 << 10..=256 << 20;

/// The shortest heart-beat: below it a scheduler's delay looks like a dead server.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);

/// The shortest silence: below it the wait for an answer to SUBSCRIBE looks like one.
const SILENCE_MIN: Duration = Duration::from_secs(10);

/// Pieces of a WebSocket message, in bytes: smaller ones are mostly header, and larger ones no
/// server asks for.
const SPLIT_BYTES: std::ops::RangeInclusive<u64> = 1 << 10..=16 << 20;

/// The smallest journal: a few batches.
const JOURNAL_BYTES_MIN: u64 = 1 << 20;

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
    folders: Folders,
}

/// Where relative paths lie.
struct Folders {
    /// Databases: systemd's state folder, else beside the configuration.
    state: PathBuf,
    /// Certificates, passcodes: beside the configuration.
    config: PathBuf,
}

/// The plan of a tree of values.
pub(super) fn check(
    document: &Document,
    file: &FilePath,
    mut values: Dict,
    environment: &Environment,
) -> Result<Plan, Problems> {
    let mut report = Report::new(document);
    for (name, meant) in environment.misspelt() {
        report.idle_variable(name, &meant);
    }
    let sinks = values
        .remove("sinks")
        .unwrap_or_else(|| Value::from(Dict::new()));
    let root: Root = report.extract(&Path::default(), values);
    let config = std::path::absolute(file)
        .ok()
        .and_then(|file| file.parent().map(FilePath::to_owned));
    let config = config.unwrap_or_default();
    let folders = Folders {
        state: environment.state().unwrap_or_else(|| config.clone()),
        config,
    };
    let files = root
        .secrets
        .iter()
        .map(|(name, file)| (name.clone(), folders.config.join(&file.0)))
        .collect();
    let secrets = Secrets::new(environment.clone(), files);
    let signed_in = signin::extracts(root.source.signin.as_ref());
    let tables = root.topics.keys().cloned().collect();
    let has_client_id = root.source.headers.contains_key("client-id");
    let mut check = Context {
        report,
        secrets,
        signed_in,
        has_client_id,
        tables,
        folders,
    };

    let states = Arc::new(states(root.states));
    let mut topics = check.topics(root.topics, &states);
    let subscriptions = std::mem::take(&mut topics.topics);
    let source = check.source(root.source, subscriptions);
    let journal = check.journal(root.journal);
    let sinks = sinks::check(&mut check, sinks, &topics, &journal.path);
    let http = check.http(root.http);
    let plan = source.zip(http).map(|(source, http)| Plan {
        source,
        decoders: Arc::new(topics.decoders),
        families: topics.families,
        journal,
        sinks,
        http,
        watch: root.watch.is_some_and(|watch| watch.0),
        warnings: Vec::new(),
    });
    check
        .report
        .finish(plan)
        .map(|(plan, warnings)| Plan { warnings, ..plan })
}

fn states(written: BTreeMap<String, schema::State>) -> States {
    let state = |(word, name, severity): (&str, &str, _)| {
        (
            word.to_owned(),
            State {
                name: name.to_owned(),
                severity,
            },
        )
    };
    let mut words: HashMap<String, State> = STATES_DEFAULT.map(state).into();
    for (word, written) in written {
        let name = written.name.unwrap_or_else(|| word.clone());
        words.insert(
            word,
            State {
                name,
                severity: written.severity,
            },
        );
    }
    States { words }
}

impl Context<'_> {
    fn source(
        &mut self,
        source: schema::Source,
        topics: Vec<source::Topic>,
    ) -> Option<source::Settings> {
        let path = Path::from("source");
        let signin = source
            .signin
            .map(|signin| self.signin(&path.join("signin"), signin));
        let urls = self.source_urls(&path.join("url"), source.url.0);
        let passcode = self.passcode(&path, source.passcode, source.passcode_file);
        if passcode.is_some() && source.login.is_none() {
            self.report.key_error(
                &path.join("login"),
                "a passcode without a login",
                "add login = \"…\"",
            );
        }
        let headers = self.worded_headers(&path.join("headers"), source.headers);
        let heartbeat = source.heartbeat.0;
        if !heartbeat.is_zero() && heartbeat < HEARTBEAT_MIN {
            let message =
                format!("expected \"0s\" (off) or at least {HEARTBEAT_MIN:?}, found {heartbeat:?}");
            self.report.error(&path.join("heartbeat"), message);
        }
        let silence = source.silence.0;
        if !silence.is_zero() && silence < SILENCE_MIN {
            let message =
                format!("expected \"0s\" (off) or at least {SILENCE_MIN:?}, found {silence:?}");
            self.report.error(&path.join("silence"), message);
        }
        let split = source.websocket_split.0;
        if split != 0 && !SPLIT_BYTES.contains(&split) {
            let message =
                format!("expected \"0\" (off) or \"1KiB\" to \"16MiB\", found {split} bytes");
            self.report.error(&path.join("websocket_split"), message);
        }
        let bytes = source.max_body.0;
        if !BODY_BYTES.contains(&bytes) {
            let message = format!("expected \"1KiB\" to \"256MiB\", found {bytes} bytes");
            self.report.error(&path.join("max_body"), message);
        }
        let tls = self.tls(&path.join("tls"), source.tls);
        let reconnect = self.reconnect(&path.join("reconnect"), &source.reconnect);
        let login = source
            .login
            .and_then(|login| self.template(&path.join("login"), &login));
        let backslashes = self.backslashes(
            &path,
            source.connect_backslashes,
            [
                ("login", login.as_ref()),
                ("passcode", passcode.as_ref()),
                ("host", Some(&SigninTemplate::from(source.host.as_str()))),
            ],
        );
        Some(source::Settings {
            urls: urls?,
            signin: match signin {
                Some(signin) => Some(signin?),
                None => None,
            },
            login: login.map(SigninTemplate::hidden),
            passcode: passcode.map(SigninTemplate::hidden),
            host: source.host,
            headers: headers
                .into_iter()
                .map(|(name, value)| (name, value.hidden()))
                .collect(),
            heartbeat,
            silence: (!silence.is_zero()).then_some(silence),
            backslashes,
            websocket_split: usize::try_from(split).ok().filter(|split| *split != 0),
            tls,
            reconnect,
            topics,
            body_bytes_max: usize::try_from(bytes).unwrap_or(usize::MAX),
        })
    }

    fn source_urls(&mut self, path: &Path, written: Vec<String>) -> Option<Vec<Address>> {
        if written.is_empty() {
            let help = "such as url = \"http://platform.example.com:9004/webSocketServer\"";
            self.report
                .key_error(path, "the address of the STOMP server is missing", help);
            return None;
        }
        let schemes = ["stomp", "stomps", "ws", "wss", "http", "https"];
        let several = written.len() > 1;
        let mut urls = Vec::new();
        for (index, text) in written.iter().enumerate() {
            let here = if several {
                path.join(index.to_string())
            } else {
                path.clone()
            };
            let Some(address) = self.address(&here, text, &schemes) else {
                continue;
            };
            if !address.url().username().is_empty() || address.url().password().is_some() {
                self.report.error(
                    &here,
                    "a user and password do not belong here: write login and passcode_file",
                );
            }
            urls.push(address);
        }
        (urls.len() == written.len()).then_some(urls)
    }

    /// A URL whose query may depend on the sign-in.
    fn address(&mut self, path: &Path, text: &str, schemes: &[&str]) -> Option<Address> {
        let draft = self.draft(path, text, Within::Url, &self.signin_scope())?;
        if !draft.has_placeholders() {
            return self
                .checked_url(path, draft.text("").expose_secret(), schemes)
                .map(Address::from);
        }
        let Some((base, query)) = draft.split_before_placeholders('?') else {
            let help = "such as wss://host/ws?token={{ signin.token }}";
            self.report.error_with(
                path,
                "a value of the sign-in can stand in a URL's query only",
                help,
            );
            return None;
        };
        let url = self.checked_url(path, base.expose_secret(), schemes)?;
        Some(Address::new(url, query.plain()))
    }

    fn passcode(
        &mut self,
        path: &Path,
        text: Option<String>,
        file: Option<PathBuf>,
    ) -> Option<SigninTemplate> {
        let file_path = path.join("passcode_file");
        match (text, file) {
            (Some(_), Some(_)) => {
                self.report.key_error(
                    &file_path,
                    "both passcode and passcode_file",
                    "remove one of them",
                );
                None
            }
            (Some(text), None) => self.template(&path.join("passcode"), &text),
            (None, Some(file)) => {
                let file = self.folders.config.join(file);
                let text = fs::read_to_string(&file)
                    .map_err(|error| format!("cannot read {}: {error}", file.display()));
                let text = self.report.take(&file_path, text)?;
                Some(text.trim_end_matches(['\r', '\n']).into())
            }
            (None, None) => None,
        }
    }

    /// Which servers unescape CONNECT cannot be known before it is sent: whoever has a backslash in
    /// it is asked.
    fn backslashes(
        &mut self,
        path: &Path,
        written: Option<ConnectBackslashes>,
        values: [(&str, Option<&SigninTemplate>); 3],
    ) -> Backslashes {
        if written.is_none() {
            let has_one = |value: &&SigninTemplate| value.has('\\');
            for (name, _) in values
                .iter()
                .filter(|(_, value)| value.as_ref().is_some_and(has_one))
            {
                let message = format!(
                    "{name} has a backslash, which RabbitMQ alone takes for an escape: write connect_backslashes = \
                     \"doubled\" for RabbitMQ, \"plain\" for any other server"
                );
                self.report.warning(&path.join(*name), message);
            }
        }
        match written {
            Some(ConnectBackslashes::Doubled) => Backslashes::Doubled,
            Some(ConnectBackslashes::Plain) | None => Backslashes::Plain,
        }
    }

    fn reconnect(&mut self, path: &Path, written: &schema::Reconnect) -> source::Reconnect {
        let (initial, max) = (written.initial.0, written.max.0);
        if initial < RECONNECT_MIN {
            self.report.error(
                &path.join("initial"),
                format!("expected at least {RECONNECT_MIN:?}, found {initial:?}"),
            );
        }
        if max < initial {
            self.report.error(
                &path.join("max"),
                format!("expected at least initial ({initial:?}), found {max:?}"),
            );
        }
        let attempts = written.attempts.map(|attempts| attempts.0);
        if attempts == Some(0) {
            self.report.error(
                &path.join("attempts"),
                "expected 1 or more; without the key there is no bound",
            );
        }
        source::Reconnect {
            initial,
            max,
            attempts,
        }
    }

    fn journal(&mut self, written: schema::Journal) -> journal::Settings {
        let bytes_max = written.max_bytes.0;
        if bytes_max < JOURNAL_BYTES_MIN {
            self.report
                .error(&Path::from("journal.max_bytes"), "expected at least 1MiB");
        }
        let when_full = match written.when_full {
            WhenFull::Pause => journal::WhenFull::Pause,
            WhenFull::DropOldest => journal::WhenFull::DropOldest,
        };
        journal::Settings {
            path: self.state_file(&written.path),
            bytes_max,
            when_full,
            retain: written.retain.0,
        }
    }

    fn http(&mut self, written: schema::Http) -> Option<ops::Settings> {
        let listen = written.listen.parse::<SocketAddr>().map_err(|_| {
            format!(
                "expected an address and port such as \"127.0.0.1:9610\" or \"[::1]:0\", found \"{}\"",
                written.listen
            )
        });
        let listen = self.report.take(&Path::from("http.listen"), listen)?;
        Some(ops::Settings { listen })
    }

    /// A database of ours.
    pub(super) fn state_file(&self, path: &FilePath) -> PathBuf {
        self.folders.state.join(path)
    }

    /// A value with its secrets filled in.
    pub(super) fn secret(
        &mut self,
        path: &Path,
        text: &str,
        within: Within,
    ) -> Option<SecretString> {
        Some(self.draft(path, text, within, &Scope::SECRETS)?.text(""))
    }

    /// A value that may depend on the sign-in.
    fn template(&mut self, path: &Path, text: &str) -> Option<SigninTemplate> {
        Some(
            self.draft(path, text, Within::Text, &self.signin_scope())?
                .plain(),
        )
    }

    fn signin_scope(&self) -> Scope<'static> {
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

    fn checked_url(&mut self, path: &Path, text: &str, schemes: &[&str]) -> Option<Url> {
        let expected = || {
            format!(
                "expected a URL that starts with {}://",
                schemes.join("://, ")
            )
        };
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(error) => {
                self.report
                    .error_with(path, format!("not a URL: {error}"), expected());
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
        written: BTreeMap<String, String>,
    ) -> Vec<(String, SecretString)> {
        let drafts = self.header_drafts(path, written, &Scope::SECRETS);
        drafts
            .into_iter()
            .map(|(name, draft)| (name, draft.text("")))
            .collect()
    }

    /// Headers that may depend on the sign-in.
    fn worded_headers(
        &mut self,
        path: &Path,
        written: BTreeMap<String, String>,
    ) -> Vec<(String, SigninTemplate)> {
        let drafts = self.header_drafts(path, written, &self.signin_scope());
        drafts
            .into_iter()
            .map(|(name, draft)| (name, draft.plain()))
            .collect()
    }

    fn header_drafts(
        &mut self,
        path: &Path,
        written: BTreeMap<String, String>,
        scope: &Scope<'_>,
    ) -> Vec<(String, Draft)> {
        let mut headers = Vec::new();
        for (name, value) in written {
            let path = path.join(&name);
            // RFC 9110, section 5.6.2: token.
            let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            if name.is_empty() || !name.chars().all(token) {
                self.report.key_error(
                    &path,
                    format!("`{name}` cannot name a header"),
                    "letters, digits and `-`",
                );
            }
            let Some(value) = self.draft(&path, &value, Within::Text, scope) else {
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

    /// Certificates that can be read.
    pub(super) fn tls(&mut self, path: &Path, written: schema::Tls) -> tls::Settings {
        let mut file = |name: &str, file: Option<PathBuf>| {
            let file = self.folders.config.join(file?);
            if let Err(error) = fs::File::open(&file) {
                self.report.error(
                    &path.join(name),
                    format!("cannot read {}: {error}", file.display()),
                );
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
