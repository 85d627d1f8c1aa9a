//! `[source]`: where the STOMP server is, and how the daemon introduces itself to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::context::{Context, unread};
use super::path::Path;
use super::schema::{self, ConnectBackslashes};
use super::secret::Within;
use super::spelling::{self, Spelling};
use super::template::{Draft, Scope};
use super::units::UrlText;
use crate::duration::InWords;
use crate::secret::{
    Lifetime, PLACEHOLDER, Secret, protect, protect_from_echo, protect_text, protect_url,
};
use crate::source::{self, Address, SigninTemplate};
use crate::stomp::Backslashes;

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

impl Context<'_> {
    pub(super) fn source(
        &mut self,
        source: schema::Source,
        topics: Vec<source::Topic>,
        silences: BTreeMap<Arc<str>, Option<Duration>>,
        resyncs: BTreeMap<Arc<str>, source::Resync>,
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
            let (min, found) = (InWords(HEARTBEAT_MIN), InWords(heartbeat));
            let message = format!("expected \"0s\" (off) or at least {min}, found {found}");
            self.report.error(&path.join("heartbeat"), message);
        }
        let silence = self.silence(&path.join("silence"), source.silence.0);
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
            .and_then(|login| self.login(&path.join("login"), &login));
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
            silence,
            silences,
            resyncs,
            backslashes,
            websocket_split: usize::try_from(split).ok().filter(|split| *split != 0),
            tls,
            reconnect,
            topics,
            body_bytes_max: usize::try_from(bytes).unwrap_or(usize::MAX),
        })
    }

    /// How long a silence is; `None`: off.
    pub(super) fn silence(&mut self, path: &Path, written: Duration) -> Option<Duration> {
        if !written.is_zero() && written < SILENCE_MIN {
            let (min, found) = (InWords(SILENCE_MIN), InWords(written));
            let message = format!("expected \"0s\" (off) or at least {min}, found {found}");
            self.report.error(path, message);
        }
        (!written.is_zero()).then_some(written)
    }

    fn source_urls(&mut self, path: &Path, written: Vec<UrlText>) -> Option<Vec<Address>> {
        if written.is_empty() {
            let help = "such as url = \"http://platform.example.com:9004/webSocketServer\"";
            self.report
                .key_error(path, "the address of the STOMP server is missing", help);
            return None;
        }
        // A comma in one text begins a URL, and those of a list stand in parentheses.
        if let [UrlText(first), ..] = &written[..]
            && spelling::is_list(first)
        {
            let texts: Vec<&str> = written.iter().map(|UrlText(text)| text.as_str()).collect();
            self.misspelt(path, &texts.join(","));
            return None;
        }
        let schemes = ["stomp", "stomps", "ws", "wss", "http", "https"];
        let several = written.len() > 1;
        let mut urls = Vec::new();
        for (index, UrlText(text)) in written.iter().enumerate() {
            let here = if several {
                path.join(index.to_string())
            } else {
                path.clone()
            };
            if self.misspelt(&here, text) {
                continue;
            }
            if let Some(doubt) = spelling::doubt(text) {
                self.report.warning(&here, doubt);
            }
            let scope = self.signin_scope();
            let Some(address) = self.address(&here, text, &schemes, &scope) else {
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

    /// Whether a URL is that of another client; the report says how it is written here.
    fn misspelt(&mut self, path: &Path, text: &str) -> bool {
        let Some(Spelling { mistake, advice }) = spelling::meant(text) else {
            return false;
        };
        self.report.error_with(path, mistake, advice);
        true
    }

    /// A URL whose query may depend on the sign-in.
    pub(super) fn address(
        &mut self,
        path: &Path,
        text: &str,
        schemes: &[&str],
        scope: &Scope<'_>,
    ) -> Option<Address> {
        let draft = self.draft(path, text, Within::Url, scope)?;
        self.drafted_address(path, &draft, schemes)
    }

    /// The same of one that is read.
    pub(super) fn drafted_address(
        &mut self,
        path: &Path,
        draft: &Draft,
        schemes: &[&str],
    ) -> Option<Address> {
        if let Ok(url) = Url::parse(draft.text("%00").expose_secret()) {
            protect_url(&url, Lifetime::Configured);
        }
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

    fn login(&mut self, path: &Path, text: &Secret) -> Option<SigninTemplate> {
        let draft = self.draft(
            path,
            text.expose_secret(),
            Within::Text,
            &self.signin_scope(),
        )?;
        if !draft.has_placeholders() {
            protect_from_echo(draft.text("").expose_secret(), Lifetime::Configured);
        }
        Some(draft.plain())
    }

    fn passcode(
        &mut self,
        path: &Path,
        text: Option<Secret>,
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
            (Some(text), None) => {
                let (path, scope) = (path.join("passcode"), self.signin_scope());
                let draft = self.draft(&path, text.expose_secret(), Within::Text, &scope)?;
                let text = draft.text(&PLACEHOLDER.to_string());
                protect_text(text.expose_secret(), Lifetime::Configured);
                Some(draft.plain())
            }
            (None, Some(file)) => {
                let file = self.folders.config.join(file);
                self.secrets.note(&file);
                let text = match fs::read_to_string(&file) {
                    Ok(text) => text,
                    Err(error) => {
                        let message = format!("cannot read {}: {error}", file.display());
                        self.report.error_with(&file_path, message, unread(&error));
                        return None;
                    }
                };
                let text = text.trim_end_matches(['\r', '\n']);
                protect(text, Lifetime::Configured);
                Some(text.into())
            }
            (None, None) => None,
        }
    }

    /// Nobody can know before CONNECT whether a server unescapes it: a user with a backslash in it
    /// must say so.
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
        let initial = written.initial.0;
        let max = written.max.as_ref().map(|max| max.0);
        self.waits(path, initial, max.unwrap_or(initial), RECONNECT_MIN);
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
}
