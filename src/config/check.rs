//! From the configuration as it is written to each part's own settings: what the values mean, and whether they fit
//! together.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use figment::value::{Dict, Value};
use jiff::tz::TimeZone;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::document::{Document, Path};
use super::problem::Problems;
use super::report::{Report, unknown};
use super::schema::{self, Ack, ConnectBackslashes, Root, STATES_DEFAULT, TIMEZONE_DEFAULT, WhenFull};
use super::secret::{Secrets, Within};
use super::{Environment, Plan, sinks};
use crate::pipeline::{Decoder, Field, Mapping, Pointer, State, States};
use crate::stomp::{AckMode, Backslashes};
use crate::{journal, ops, source, tls};

/// The shortest wait between attempts to connect: below it a refusing server is hammered.
const RECONNECT_MIN: Duration = Duration::from_millis(10);

/// Bodies that may be accepted, in bytes: a few of them are held in memory at once.
const BODY_BYTES: std::ops::RangeInclusive<u64> = 1 << 10..=256 << 20;

/// The shortest heart-beat: below it a scheduler's delay looks like a dead server.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);

/// The shortest silence: below it the wait for an answer to SUBSCRIBE looks like one.
const SILENCE_MIN: Duration = Duration::from_secs(10);

/// Pieces of a WebSocket message, in bytes: smaller ones are mostly header, and larger ones no server asks for.
const SPLIT_BYTES: std::ops::RangeInclusive<u64> = 1 << 10..=16 << 20;

/// The smallest journal: a few batches.
const JOURNAL_BYTES_MIN: u64 = 1 << 20;

/// Headers of SUBSCRIBE that name a durable subscription to ActiveMQ and to Artemis.
const DURABLE_NAMES: [&str; 2] = ["activemq.subscriptionName", "durable-subscription-name"];

/// Headers of SUBSCRIBE that are ours to set (STOMP 1.2, section SUBSCRIBE).
const SUBSCRIBE_HEADERS: [&str; 4] = ["id", "destination", "ack", "receipt"];

/// What all checks share.
pub(super) struct Check<'a> {
    pub(super) report: Report<'a>,
    pub(super) secrets: Secrets,
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
    let sinks = values.remove("sinks").unwrap_or_else(|| Value::from(Dict::new()));
    let root: Root = report.extract(&Path::default(), values);
    let config = std::path::absolute(file).ok().and_then(|file| file.parent().map(FilePath::to_owned));
    let config = config.unwrap_or_default();
    let folders = Folders { state: environment.state().unwrap_or_else(|| config.clone()), config };
    let files = root.secrets.iter().map(|(name, file)| (name.clone(), folders.config.join(&file.0))).collect();
    let mut check = Check { report, secrets: Secrets::new(environment.clone(), files), folders };

    if root.watch.is_some() {
        check.report.key_error(&Path::from("watch"), "`watch` is not in this version", "restart to take up a change");
    }
    let states = Arc::new(states(root.states));
    let (topics, decoders) = check.topics(root.topics, &states);
    let source = check.source(root.source, topics);
    let journal = check.journal(root.journal);
    let topic_names: Vec<Arc<str>> = decoders.keys().cloned().collect();
    let sinks = sinks::check(&mut check, sinks, &topic_names, &journal.path);
    let http = check.http(root.http);
    let plan = source.zip(http).map(|(source, http)| Plan {
        source,
        decoders: Arc::new(decoders),
        journal,
        sinks,
        http,
        warnings: Vec::new(),
    });
    check.report.finish(plan).map(|(plan, warnings)| Plan { warnings, ..plan })
}

fn states(written: BTreeMap<String, schema::State>) -> States {
    let state =
        |(word, name, severity): (&str, &str, _)| (word.to_owned(), State { name: name.to_owned(), severity });
    let mut words: HashMap<String, State> = STATES_DEFAULT.map(state).into();
    for (word, written) in written {
        let name = written.name.unwrap_or_else(|| word.clone());
        words.insert(word, State { name, severity: written.severity });
    }
    States { words }
}

impl Check<'_> {
    fn source(&mut self, source: schema::Source, topics: Vec<source::Topic>) -> Option<source::Settings> {
        let path = Path::from("source");
        if source.signin.is_some() {
            let help = "remove the table; log in by login and passcode_file, or by headers";
            self.report.key_error(&path.join("signin"), "sign-in is not in this version", help);
        }
        let urls = self.source_urls(&path.join("url"), source.url.0);
        let passcode = self.passcode(&path, source.passcode, source.passcode_file);
        if passcode.is_some() && source.login.is_none() {
            self.report.key_error(&path.join("login"), "a passcode without a login", "add login = \"…\"");
        }
        let headers = self.headers(&path.join("headers"), source.headers);
        if headers.iter().all(|(name, _)| name != "client-id") {
            self.durable_without_client_id(&topics);
        }
        let heartbeat = source.heartbeat.0;
        if !heartbeat.is_zero() && heartbeat < HEARTBEAT_MIN {
            let message = format!("expected \"0s\" (off) or at least {HEARTBEAT_MIN:?}, found {heartbeat:?}");
            self.report.error(&path.join("heartbeat"), message);
        }
        let silence = source.silence.0;
        if !silence.is_zero() && silence < SILENCE_MIN {
            let message = format!("expected \"0s\" (off) or at least {SILENCE_MIN:?}, found {silence:?}");
            self.report.error(&path.join("silence"), message);
        }
        let split = source.websocket_split.0;
        if split != 0 && !SPLIT_BYTES.contains(&split) {
            let message = format!("expected \"0\" (off) or \"1KiB\" to \"16MiB\", found {split} bytes");
            self.report.error(&path.join("websocket_split"), message);
        }
        let bytes = source.max_body.0;
        if !BODY_BYTES.contains(&bytes) {
            let message = format!("expected \"1KiB\" to \"256MiB\", found {bytes} bytes");
            self.report.error(&path.join("max_body"), message);
        }
        let tls = self.tls(&path.join("tls"), source.tls);
        let reconnect = self.reconnect(&path.join("reconnect"), &source.reconnect);
        let login = source.login.and_then(|login| self.secret(&path.join("login"), &login, Within::Text));
        let backslashes = self.backslashes(
            &path,
            source.connect_backslashes,
            [
                ("login", login.as_ref()),
                ("passcode", passcode.as_ref()),
                ("host", Some(&SecretString::from(source.host.as_str()))),
            ],
        );
        Some(source::Settings {
            urls: urls?.into_iter().map(source::Address::from).collect(),
            signin: None,
            login: login.map(source::Wording::from),
            passcode: passcode.map(source::Wording::from),
            host: source.host,
            headers: headers.into_iter().map(|(name, value)| (name, value.into())).collect(),
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

    /// The servers know a durable subscription by its name and the `client-id` of CONNECT together. Without the second,
    /// ActiveMQ makes up one for each connection: what came in between is lost, and nobody ends the subscription.
    fn durable_without_client_id(&mut self, topics: &[source::Topic]) {
        for topic in topics {
            for (header, _) in topic.headers.iter().filter(|(header, _)| DURABLE_NAMES.contains(&header.as_str())) {
                let path = Path::from("topics").join(&*topic.name).join("headers").join(header);
                let help = "add client-id = \"…\" to source.headers; one that no other client has";
                self.report.key_error(&path, "a durable subscription without a client-id", help);
            }
        }
    }

    fn source_urls(&mut self, path: &Path, written: Vec<String>) -> Option<Vec<Url>> {
        if written.is_empty() {
            let help = "such as url = \"http://platform.example.com:9004/webSocketServer\"";
            self.report.key_error(path, "the address of the STOMP server is missing", help);
            return None;
        }
        let schemes = ["stomp", "stomps", "ws", "wss", "http", "https"];
        let several = written.len() > 1;
        let mut urls = Vec::new();
        for (index, text) in written.iter().enumerate() {
            let here = if several { path.join(index.to_string()) } else { path.clone() };
            let Some(url) = self.url(&here, text, &schemes) else { continue };
            if !url.username().is_empty() || url.password().is_some() {
                self.report.error(&here, "a user and password do not belong here: write login and passcode_file");
            }
            urls.push(url);
        }
        (urls.len() == written.len()).then_some(urls)
    }

    fn passcode(&mut self, path: &Path, text: Option<String>, file: Option<PathBuf>) -> Option<SecretString> {
        let file_path = path.join("passcode_file");
        match (text, file) {
            (Some(_), Some(_)) => {
                self.report.key_error(&file_path, "both passcode and passcode_file", "remove one of them");
                None
            }
            (Some(text), None) => self.secret(&path.join("passcode"), &text, Within::Text),
            (None, Some(file)) => {
                let file = self.folders.config.join(file);
                let text =
                    fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()));
                let text = self.report.take(&file_path, text)?;
                Some(SecretString::from(text.trim_end_matches(['\r', '\n'])))
            }
            (None, None) => None,
        }
    }

    /// Which servers unescape CONNECT cannot be known before it is sent: whoever has a backslash in it is asked.
    fn backslashes(
        &mut self,
        path: &Path,
        written: Option<ConnectBackslashes>,
        values: [(&str, Option<&SecretString>); 3],
    ) -> Backslashes {
        if written.is_none() {
            let has_one = |value: &&SecretString| value.expose_secret().contains('\\');
            for (name, _) in values.iter().filter(|(_, value)| value.as_ref().is_some_and(has_one)) {
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
            self.report
                .error(&path.join("initial"), format!("expected at least {RECONNECT_MIN:?}, found {initial:?}"));
        }
        if max < initial {
            self.report.error(&path.join("max"), format!("expected at least initial ({initial:?}), found {max:?}"));
        }
        let attempts = written.attempts.map(|attempts| attempts.0);
        if attempts == Some(0) {
            self.report.error(&path.join("attempts"), "expected 1 or more; without the key it goes on for ever");
        }
        source::Reconnect { initial, max, attempts }
    }

    fn topics(
        &mut self,
        written: BTreeMap<String, schema::Topic>,
        states: &Arc<States>,
    ) -> (Vec<source::Topic>, HashMap<Arc<str>, Decoder>) {
        let path = Path::from("topics");
        if written.is_empty() {
            let help = "add [topics.NAME] with destination = \"/topic/…\"";
            self.report.key_error(&path, "there is no topic to subscribe to", help);
        }
        let (mut topics, mut decoders) = (Vec::<source::Topic>::new(), HashMap::new());
        for (name, topic) in written {
            let path = path.join(&name);
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if name.is_empty() || !name.chars().all(plain) {
                let help = "it is the STOMP subscription id: letters, digits, `-` and `_`";
                self.report.key_error(&path, format!("`{name}` cannot name a topic"), help);
            }
            let name: Arc<str> = Arc::from(name);
            let mapping = self.mapping(&path, &topic);
            decoders.insert(Arc::clone(&name), Decoder::new(Arc::clone(&name), mapping, Arc::clone(states)));
            if let Some(topic) = self.topic(&path, name, topic) {
                if let Some(same) = topics.iter().find(|other| other.destination == topic.destination) {
                    let message = format!(
                        "{} is also the destination of `{}`: each message comes twice",
                        topic.destination, same.name
                    );
                    self.report.warning(&path, message);
                }
                topics.push(topic);
            }
        }
        (topics, decoders)
    }

    fn topic(&mut self, path: &Path, name: Arc<str>, topic: schema::Topic) -> Option<source::Topic> {
        let destination_path = path.join("destination");
        let mut headers = Vec::new();
        for (header, value) in topic.headers {
            let path = path.join("headers").join(&header);
            if SUBSCRIBE_HEADERS.contains(&header.as_str()) {
                self.report.key_error(&path, format!("the header `{header}` is set by the daemon"), "remove it");
            }
            if let Some(value) = self.secret(&path, &value, Within::Text) {
                headers.push((header, value.expose_secret().into()));
            }
        }
        let Some(destination) = topic.destination.filter(|destination| !destination.trim().is_empty()) else {
            let help = "such as destination = \"/topic/state/1\"";
            self.report.key_error(&destination_path, format!("topic `{name}` has no destination"), help);
            return None;
        };
        let destination = self.secret(&destination_path, &destination, Within::Text)?.expose_secret().into();
        let ack = match topic.ack {
            Ack::Auto => AckMode::Auto,
            Ack::Client => AckMode::Client,
            Ack::ClientIndividual => AckMode::ClientIndividual,
        };
        Some(source::Topic { name, destination, ack, headers })
    }

    fn mapping(&mut self, path: &Path, topic: &schema::Topic) -> Mapping {
        let mut mapping = Mapping::default();
        for (name, pointer) in &topic.fields {
            let path = path.join("fields").join(name);
            match Field::ALL.into_iter().find(|field| field.name() == name) {
                Some(field) => {
                    if let Some(pointer) = self.report.take(&path, pointer.parse()) {
                        mapping.set(field, Some(pointer));
                    }
                }
                None => self.report.unknown_key(&path, name, Field::ALL.iter().map(|field| field.name())),
            }
        }
        if let Some(items) = &topic.items {
            mapping.items = self.report.take(&path.join("items"), items.parse());
        }
        let key: Vec<Option<Pointer>> =
            topic.event_key.0.iter().map(|key| self.report.take(&path.join("event_key"), key.parse())).collect();
        mapping.event_key = key.into_iter().flatten().collect();
        if topic.timezone != TIMEZONE_DEFAULT {
            let help = "expected a name of the IANA database, such as \"Asia/Shanghai\" or \"UTC\"";
            match TimeZone::get(&topic.timezone) {
                Ok(zone) => mapping.zone = zone,
                Err(error) => self.report.error_with(&path.join("timezone"), error.to_string(), help),
            }
        }
        mapping
    }

    fn journal(&mut self, written: schema::Journal) -> journal::Settings {
        let bytes_max = written.max_bytes.0;
        if bytes_max < JOURNAL_BYTES_MIN {
            self.report.error(&Path::from("journal.max_bytes"), "expected at least 1MiB");
        }
        let when_full = match written.when_full {
            WhenFull::Pause => journal::WhenFull::Pause,
            WhenFull::DropOldest => journal::WhenFull::DropOldest,
        };
        journal::Settings { path: self.state_file(&written.path), bytes_max, when_full, retain: written.retain.0 }
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
    pub(super) fn secret(&mut self, path: &Path, text: &str, within: Within) -> Option<SecretString> {
        let rendered = self.secrets.render(text, within);
        self.report.take(path, rendered)
    }

    /// A URL with its secrets filled in, of one of these schemes and with a host.
    pub(super) fn url(&mut self, path: &Path, text: &str, schemes: &[&str]) -> Option<Url> {
        let text = self.secret(path, text, Within::Url)?;
        let expected = || format!("expected a URL that starts with {}://", schemes.join("://, "));
        let url = match Url::parse(text.expose_secret()) {
            Ok(url) => url,
            Err(error) => {
                self.report.error_with(path, format!("not a URL: {error}"), expected());
                return None;
            }
        };
        if !schemes.contains(&url.scheme()) {
            self.report.error_with(path, unknown("scheme", url.scheme(), schemes.iter().copied()), expected());
            return None;
        }
        if url.host_str().is_none_or(str::is_empty) {
            self.report.error_with(path, "a URL without a host", expected());
            return None;
        }
        Some(url)
    }

    /// Headers of requests, with their secrets filled in.
    pub(super) fn headers(&mut self, path: &Path, written: BTreeMap<String, String>) -> Vec<(String, SecretString)> {
        let mut headers = Vec::new();
        for (name, value) in written {
            let path = path.join(&name);
            // RFC 9110, section 5.6.2: token.
            let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            if name.is_empty() || !name.chars().all(token) {
                self.report.key_error(&path, format!("`{name}` cannot name a header"), "letters, digits and `-`");
            }
            let Some(value) = self.secret(&path, &value, Within::Text) else { continue };
            if value.expose_secret().chars().any(char::is_control) {
                self.report.error(&path, "a header's value has no line ends and no other control characters");
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
                self.report.error(&path.join(name), format!("cannot read {}: {error}", file.display()));
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
