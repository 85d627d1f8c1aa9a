//! The configuration as it is written: every key, and beside it its default. Nothing here is
//! checked but its shape; what the values mean is `check`'s. A key whose value must not be shown
//! has the type [`Secret`], or one that holds it: that is all it takes.

mod history;
mod journal;
mod mqtt;
mod signin;
mod sink;
mod source;
mod topic;
mod webhook;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use figment::value::Value;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

pub(super) use history::{Postgres, Sqlite};
pub(super) use journal::{Journal, WhenFull};
pub(super) use mqtt::Mqtt;
pub(super) use signin::{Extracted, ExtractedPart, Signin, SigninMethod, SigninStep};
use sink::AnySink;
pub(super) use sink::{Delivery, Retry, Start, sink_types};
pub(super) use source::{ConnectBackslashes, Reconnect, Source, Tls};
pub(super) use topic::{Ack, FieldValue, Resync, TIMEZONE_DEFAULT, Topic};
pub(super) use webhook::{Algorithm, Digits, HeaderSignature, Together, Webhook, WebhookMethod};

use super::units::{List, Plain, Span};
use crate::model::Severity;
use crate::secret::Secret;

/// The whole.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Root {
    /// The server: where it is, how the daemon signs in, and how it comes back.
    pub(super) source: Source,
    /// One table for each topic. The table's name is the STOMP subscription id.
    pub(super) topics: BTreeMap<String, Topic>,
    /// What the platform's words for a state mean. 正常, 故障 and 离线 are known unless they stand
    /// here, too.
    pub(super) states: BTreeMap<String, State>,
    /// Files of secrets, beside the configuration.
    #[schemars(with = "BTreeMap<String, SecretFileForm>")]
    pub(super) secrets: BTreeMap<String, SecretFile>,
    /// Where every status is kept until each sink has it.
    pub(super) journal: Journal,
    /// One table for each sink. Its `type` says which keys it may have.
    #[schemars(with = "BTreeMap<String, AnySink>")]
    pub(super) sinks: Option<Value>,
    pub(super) names: Names,
    /// Health, metrics and the status page.
    pub(super) http: Http,
    /// Messages, and what becomes of them; `stomp-bridge config test` runs them.
    pub(super) tests: Vec<Test>,
    /// `true`: a changed file is applied at once, as by SIGHUP; also the file of `[names]`.
    pub(super) watch: Plain<bool>,
    /// How long `systemctl start` waits for the first subscription; at most `1h`. Then the daemon
    /// counts as started, and goes on trying.
    pub(super) ready_timeout: Span,
}

impl Default for Root {
    fn default() -> Root {
        Root {
            source: Source::default(),
            topics: BTreeMap::new(),
            states: BTreeMap::new(),
            secrets: BTreeMap::new(),
            journal: Journal::default(),
            sinks: None,
            names: Names::default(),
            http: Http::default(),
            tests: Vec::new(),
            // Off: an editor may save a half-written file.
            watch: Plain(false),
            // Most servers answer within seconds, and a machine that boots is not held up by one
            // that is away.
            ready_timeout: Span(Duration::from_secs(30)),
        }
    }
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct State {
    /// What the state is called in events. By default the word itself.
    pub(super) name: Option<String>,
    /// How much the state matters.
    #[schemars(with = "String", extend("enum" = Severity::ALL.map(Severity::as_str)))]
    pub(super) severity: Severity,
}

/// The words of the platform, known unless `[states]` says otherwise.
pub(super) const STATES_DEFAULT: [(&str, &str, Severity); 3] = [
    ("正常", "normal", Severity::Ok),
    ("故障", "fault", Severity::Critical),
    ("离线", "offline", Severity::Warning),
];

/// `db = "db.secret"` or `db = { file = "db.secret" }`.
#[derive(Deserialize)]
#[serde(from = "SecretFileForm")]
pub(super) struct SecretFile(pub(super) PathBuf);

#[derive(Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected the path of a file, or { file = \"path\" }"
)]
enum SecretFileForm {
    Path(PathBuf),
    Table(SecretFileTable),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SecretFileTable {
    /// The file, beside the configuration. Line breaks at its end do not count.
    file: PathBuf,
}

impl From<SecretFileForm> for SecretFile {
    fn from(form: SecretFileForm) -> SecretFile {
        match form {
            SecretFileForm::Path(file) | SecretFileForm::Table(SecretFileTable { file }) => {
                SecretFile(file)
            }
        }
    }
}

/// What devices are called.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Names {
    /// UTF-8, beside the configuration. Its first line names the columns: `device` (client/device,
    /// such as 1/7) or `serial`, `name` and `group`. It is read again at a reload.
    /// Where it cannot be read, devices have the names of before, or none: that is a warning.
    pub(super) file: Option<PathBuf>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    /// Address and port of /healthz, /readyz, /metrics, /status and the status page. Beyond
    /// loopback it wants `token` and `tls`, or `insecure = true`.
    pub(super) listen: String,
    /// Host names that requests may have, beside localhost and the address. Another name is refused
    /// (DNS rebinding).
    pub(super) hosts: List,
    /// What /metrics, /status, the page and the reasons of /readyz need, as `Authorization: Bearer`
    /// or by a browser's sign-in. At least 16 characters. By default none.
    pub(super) token: Option<Secret>,
    /// The server's certificate: HTTPS. It is read again where the files change.
    pub(super) tls: HttpTls,
    /// `true`: listen beyond loopback also without token and TLS.
    pub(super) insecure: Plain<bool>,
}

/// The certificate of a server.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpTls {
    /// The certificate, with those that lead to its authority (PEM).
    pub(super) cert_file: Option<PathBuf>,
    /// The key of `cert_file` (PEM).
    pub(super) key_file: Option<PathBuf>,
}

impl Default for Http {
    fn default() -> Http {
        Http {
            listen: "127.0.0.1:9610".to_owned(),
            hosts: List::default(),
            token: None,
            tls: HttpTls::default(),
            // Off: who reaches another address than loopback reads all that the daemon says.
            insecure: Plain(false),
        }
    }
}

/// A message, and what becomes of it.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Test {
    /// What the test is called.
    pub(super) name: Option<String>,
    /// The topic that the message came from. Needed where there are several.
    pub(super) topic: Option<String>,
    /// The message's body.
    pub(super) message: Option<String>,
    /// A file with the body in place of `message`, beside the configuration.
    pub(super) file: Option<PathBuf>,
    /// The state that was last known of the device, in the platform's words. By default none.
    pub(super) last: Option<String>,
    /// Exactly the sinks that take it.
    pub(super) sinks: Option<List>,
    /// Columns of each status in the message, with the values that they are to have.
    pub(super) event: BTreeMap<String, Json>,
    /// `true`: one of its statuses must be undecodable; otherwise none may be. A test has `sinks`,
    /// `event` or `undecodable`.
    pub(super) undecodable: Option<Plain<bool>>,
}
