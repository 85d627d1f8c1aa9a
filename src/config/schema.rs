//! The configuration as it is written: every key, and beside it its default. Nothing here is
//! checked but its shape; what the values mean is `check`'s. A key whose value must not be shown
//! has the type [`Secret`], or one that holds it: that is all it takes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::time::Duration;

use figment::value::Value;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::units::{
    Each, List, Mode, MqttProtocol, Plain, Rate, Retention, SecretTable, Size, Span, UrlText,
};
use crate::model::Severity;
use crate::secret::Secret;
use crate::sinks::history::sqlite;
use crate::sinks::mqtt::MAX_INFLIGHT;

/// The whole.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Root {
    pub(super) source: Source,
    pub(super) topics: BTreeMap<String, Topic>,
    pub(super) states: BTreeMap<String, State>,
    #[schemars(with = "BTreeMap<String, SecretFileForm>")]
    pub(super) secrets: BTreeMap<String, SecretFile>,
    pub(super) journal: Journal,
    /// Their tables have a shape by their `type`: who has read that reads the rest.
    #[schemars(with = "BTreeMap<String, AnySink>")]
    pub(super) sinks: Option<Value>,
    pub(super) names: Names,
    pub(super) http: Http,
    pub(super) tests: Vec<Test>,
    pub(super) watch: Plain<bool>,
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
            watch: Plain(false),
            // Most servers answer within seconds, and a machine that boots is not held up by one that
            // is away.
            ready_timeout: Span(Duration::from_secs(30)),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Source {
    pub(super) url: List<UrlText>,
    pub(super) login: Option<Secret>,
    pub(super) passcode: Option<Secret>,
    pub(super) passcode_file: Option<PathBuf>,
    pub(super) host: String,
    pub(super) headers: BTreeMap<String, Secret>,
    pub(super) heartbeat: Span,
    pub(super) silence: Span,
    pub(super) connect_backslashes: Option<ConnectBackslashes>,
    pub(super) websocket_split: Size,
    pub(super) max_body: Size,
    pub(super) tls: Tls,
    pub(super) reconnect: Reconnect,
    pub(super) signin: Option<Signin>,
}

impl Default for Source {
    fn default() -> Source {
        Source {
            url: List::default(),
            login: None,
            passcode: None,
            passcode_file: None,
            // RabbitMQ's default vhost; the other servers take any name.
            host: "/".to_owned(),
            headers: BTreeMap::new(),
            heartbeat: Span(Duration::from_secs(10)),
            // Off: only who knows the platform knows how long its topics may be quiet.
            silence: Span(Duration::ZERO),
            connect_backslashes: None,
            // Off: ActiveMQ takes no frame in pieces.
            websocket_split: Size(0),
            // Room for an array of 30,000 statuses.
            max_body: Size(16 << 20),
            tls: Tls::default(),
            reconnect: Reconnect::default(),
            signin: None,
        }
    }
}

#[derive(Deserialize, Serialize, JsonSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ConnectBackslashes {
    Plain,
    Doubled,
}

/// One request, or `steps`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Signin {
    pub(super) url: Option<UrlText>,
    pub(super) method: Option<SigninMethod>,
    pub(super) json: Option<SecretTable>,
    pub(super) form: Option<SecretTable>,
    pub(super) headers: BTreeMap<String, Secret>,
    pub(super) expect: Option<Map<String, Json>>,
    pub(super) extract: BTreeMap<String, Extracted>,
    pub(super) steps: Vec<SigninStep>,
    pub(super) timeout: Span,
}

impl Default for Signin {
    fn default() -> Signin {
        Signin {
            url: None,
            method: None,
            json: None,
            form: None,
            headers: BTreeMap::new(),
            expect: None,
            extract: BTreeMap::new(),
            steps: Vec::new(),
            timeout: Span(Duration::from_secs(10)),
        }
    }
}

/// One of several requests.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SigninStep {
    pub(super) url: Option<UrlText>,
    pub(super) method: Option<SigninMethod>,
    pub(super) json: Option<SecretTable>,
    pub(super) form: Option<SecretTable>,
    pub(super) headers: BTreeMap<String, Secret>,
    pub(super) expect: Option<Map<String, Json>>,
    pub(super) extract: BTreeMap<String, Extracted>,
}

/// Where a value stands in an answer.
#[derive(Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a JSON pointer such as \"/data/token\", { header = \"Authorization\" }, \
                 { cookie = \"XSRF-TOKEN\" }, { input = \"_csrf\" } or { text = true }"
)]
pub(super) enum Extracted {
    Pointer(String),
    Part(ExtractedPart),
}

/// One of these.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ExtractedPart {
    Header(String),
    Cookie(String),
    Input(String),
    Text(bool),
}

#[derive(Deserialize, Serialize, JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum SigninMethod {
    Get,
    #[default]
    Post,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tls {
    pub(super) ca_file: Option<PathBuf>,
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reconnect {
    pub(super) initial: Span,
    pub(super) max: Option<Span>,
    pub(super) attempts: Option<Plain<u32>>,
}

impl Default for Reconnect {
    fn default() -> Reconnect {
        Reconnect {
            initial: Span(Duration::from_secs(1)),
            max: None,
            attempts: None,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Topic {
    pub(super) destination: Option<String>,
    pub(super) stream: Option<String>,
    pub(super) r#for: Option<BTreeMap<String, Each>>,
    pub(super) ack: Ack,
    /// `source.silence` where absent.
    pub(super) silence: Option<Span>,
    pub(super) headers: BTreeMap<String, Secret>,
    pub(super) fields: BTreeMap<String, FieldValue>,
    pub(super) event_key: List,
    pub(super) items: Option<String>,
    pub(super) ignore: Option<String>,
    pub(super) encoding: Option<String>,
    pub(super) timezone: String,
    pub(super) resync: Option<Resync>,
}

/// How a topic's snapshot is asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Resync {
    pub(super) url: Option<UrlText>,
    /// GET, unless there is a body.
    pub(super) method: Option<SigninMethod>,
    pub(super) json: Option<SecretTable>,
    pub(super) form: Option<SecretTable>,
    pub(super) headers: BTreeMap<String, Secret>,
    pub(super) expect: Option<Map<String, Json>>,
    /// `source.tls` where absent.
    pub(super) tls: Option<Tls>,
    pub(super) timeout: Span,
    pub(super) every: Option<Span>,
    pub(super) items: Option<String>,
    pub(super) fields: BTreeMap<String, FieldValue>,
}

impl Default for Resync {
    fn default() -> Resync {
        Resync {
            url: None,
            method: None,
            json: None,
            form: None,
            headers: BTreeMap::new(),
            expect: None,
            tls: None,
            // All devices are more than a sign-in.
            timeout: Span(Duration::from_secs(30)),
            every: None,
            items: None,
            fields: BTreeMap::new(),
        }
    }
}

/// Where a field's value stands in a status, or the value itself.
#[derive(Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a JSON pointer such as \"/id\", or { const = \"x\" }"
)]
pub(super) enum FieldValue {
    Pointer(String),
    Constant(Constant),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Constant {
    pub(super) r#const: Scalar,
}

/// A text, or something that reads the same as one.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Scalar {
    Text(String),
    Integer(i64),
    Number(f64),
    Boolean(bool),
}

impl Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Text(text) => text.fmt(f),
            Scalar::Integer(integer) => integer.fmt(f),
            Scalar::Number(number) => number.fmt(f),
            Scalar::Boolean(boolean) => boolean.fmt(f),
        }
    }
}

/// The zone of the platform's times.
pub(super) const TIMEZONE_DEFAULT: &str = "Asia/Shanghai";

impl Default for Topic {
    fn default() -> Topic {
        Topic {
            destination: None,
            stream: None,
            r#for: None,
            ack: Ack::default(),
            silence: None,
            headers: BTreeMap::new(),
            fields: BTreeMap::new(),
            event_key: List::default(),
            items: None,
            ignore: None,
            encoding: None,
            timezone: TIMEZONE_DEFAULT.to_owned(),
            resync: None,
        }
    }
}

#[derive(Deserialize, Serialize, JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Ack {
    #[default]
    Auto,
    Client,
    ClientIndividual,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct State {
    /// The word itself where absent.
    pub(super) name: Option<String>,
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

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Journal {
    pub(super) path: PathBuf,
    pub(super) max_bytes: Size,
    pub(super) when_full: WhenFull,
    pub(super) keep: Span,
    pub(super) commit_interval: Span,
    pub(super) devices_max: Plain<u32>,
    pub(super) dlq_max_bytes: Size,
    pub(super) dlq_keep: Retention,
    pub(super) dlq_when_full: WhenFull,
}

impl Default for Journal {
    fn default() -> Journal {
        Journal {
            path: PathBuf::from("journal.db"),
            max_bytes: Size(1 << 30),
            when_full: WhenFull::default(),
            keep: Span(Duration::from_secs(7 * 86_400)),
            // What it adds to a status's way is short; most of the daemon's work is saved.
            commit_interval: Span(Duration::from_millis(5)),
            devices_max: Plain(1_000_000),
            dlq_max_bytes: Size(256 << 20),
            dlq_keep: Retention(None),
            dlq_when_full: WhenFull::default(),
        }
    }
}

#[derive(Deserialize, Serialize, JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(super) enum WhenFull {
    #[default]
    Pause,
    DropOldest,
}

/// What devices are called.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Names {
    pub(super) file: Option<PathBuf>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    pub(super) listen: String,
    pub(super) hosts: List,
    pub(super) token: Option<Secret>,
    pub(super) tls: HttpTls,
    pub(super) insecure: Plain<bool>,
}

/// The certificate of a server.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpTls {
    pub(super) cert_file: Option<PathBuf>,
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

/// Where a sink begins that is new.
#[derive(Deserialize, Serialize, JsonSchema, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(super) enum Start {
    Oldest,
    Now,
}

/// Makes the schema of a type of sink.
type SinkSchema = fn(&mut SchemaGenerator) -> Schema;

/// The values of a sink's `type`, each with the keys that it has beside [`Delivery`]'s.
const SINK_TYPES: &[(&str, SinkSchema)] = &[
    ("sqlite", Sqlite::json_schema),
    ("postgres", Postgres::json_schema),
    ("mqtt", Mqtt::json_schema),
    ("webhook", Webhook::json_schema),
];

/// The values of a sink's `type`.
pub(super) fn sink_types() -> Vec<&'static str> {
    SINK_TYPES.iter().map(|(name, _)| *name).collect()
}

/// A sink's table, whatever its `type`.
enum AnySink {}

impl JsonSchema for AnySink {
    fn schema_name() -> Cow<'static, str> {
        "Sink".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let types = SINK_TYPES.iter().map(|(name, keys)| {
            let mut table = keys(generator).to_value();
            let delivery = Delivery::json_schema(generator).to_value();
            let all = delivery["properties"].as_object().into_iter().flatten();
            for (key, schema) in all {
                table["properties"][key] = schema.clone();
            }
            table["properties"]["type"] = json!({ "const": name });
            table["required"] = json!(["type"]);
            table
        });
        json_schema!({ "anyOf": types.collect::<Vec<_>>() })
    }
}

/// The keys of every sink, which stand in its table beside those of its `type`.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(default)]
pub(super) struct Delivery {
    #[schemars(with = "String")]
    pub(super) r#type: IgnoredAny,
    pub(super) kinds: Option<List>,
    pub(super) topics: Option<List>,
    pub(super) when: Option<String>,
    pub(super) omit: List,
    pub(super) start: Option<Start>,
    pub(super) retry: Retry,
}

impl Delivery {
    /// Their names.
    pub(super) const KEYS: [&str; 7] =
        ["type", "kinds", "topics", "when", "omit", "start", "retry"];
}

/// A message, and what is to become of it.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Test {
    pub(super) name: Option<String>,
    pub(super) topic: Option<String>,
    pub(super) message: Option<String>,
    pub(super) file: Option<PathBuf>,
    pub(super) last: Option<String>,
    pub(super) sinks: Option<List>,
    pub(super) event: BTreeMap<String, Json>,
    pub(super) undecodable: Option<Plain<bool>>,
}

/// How long a history keeps its rows, by what they are.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HistoryRetention {
    /// Those of `status_event`.
    pub(super) statuses: Retention,
    /// Those of `state_interval`, `fault_episode`, `state_daily` and `coverage_gap`.
    pub(super) intervals: Retention,
}

impl Default for HistoryRetention {
    fn default() -> HistoryRetention {
        HistoryRetention {
            statuses: Retention(Some(Duration::from_secs(365 * 86_400))),
            intervals: Retention(Some(Duration::from_secs(5 * 365 * 86_400))),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Sqlite {
    pub(super) path: PathBuf,
    pub(super) mode: Mode,
    pub(super) retention: HistoryRetention,
    pub(super) timezone: String,
}

impl Default for Sqlite {
    fn default() -> Sqlite {
        Sqlite {
            path: PathBuf::from("history.db"),
            mode: Mode(sqlite::Settings::MODE),
            retention: HistoryRetention::default(),
            timezone: TIMEZONE_DEFAULT.to_owned(),
        }
    }
}

/// Where a SQL history and an MQTT sink are by default. A secret has no form that is shown, but these
/// are none.
const POSTGRES_URL: &str = "postgres://127.0.0.1/devices";
const MQTT_URL: &str = "mqtt://127.0.0.1:1883";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Postgres {
    #[schemars(extend("default" = POSTGRES_URL))]
    pub(super) url: Secret,
    pub(super) schema: Option<String>,
    pub(super) retention: HistoryRetention,
    pub(super) timezone: String,
}

impl Default for Postgres {
    fn default() -> Postgres {
        Postgres {
            url: POSTGRES_URL.into(),
            schema: None,
            retention: HistoryRetention::default(),
            timezone: TIMEZONE_DEFAULT.to_owned(),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Mqtt {
    #[schemars(extend("default" = MQTT_URL))]
    pub(super) url: Secret,
    pub(super) protocol: MqttProtocol,
    pub(super) topic: String,
    pub(super) body: Option<String>,
    pub(super) qos: Plain<u32>,
    pub(super) retain: Plain<bool>,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) client_id: Option<String>,
    pub(super) status_topic: Option<String>,
    pub(super) tls: Tls,
    pub(super) alpn: List<String>,
    pub(super) max_inflight: Plain<u32>,
    pub(super) max_packet_bytes: Size,
}

impl Default for Mqtt {
    fn default() -> Mqtt {
        Mqtt {
            url: MQTT_URL.into(),
            protocol: MqttProtocol::default(),
            topic: "devices/{{ client_id }}/{{ device_id }}/status".to_owned(),
            body: None,
            qos: Plain(1),
            retain: Plain(true),
            username: None,
            password: None,
            client_id: None,
            status_topic: None,
            tls: Tls::default(),
            alpn: List::default(),
            max_inflight: Plain(MAX_INFLIGHT.into()),
            max_packet_bytes: Size(256 << 10),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Webhook {
    pub(super) url: Option<Secret>,
    pub(super) method: WebhookMethod,
    pub(super) headers: BTreeMap<String, Secret>,
    pub(super) body: Option<String>,
    pub(super) rate: Option<Rate>,
    pub(super) concurrency: Plain<u32>,
    pub(super) batch: Option<Together>,
    pub(super) secret: List<Secret>,
    pub(super) hmac: Option<HeaderSignature>,
    pub(super) success: Option<Map<String, Json>>,
    pub(super) retry_when: Option<Map<String, Json>>,
    pub(super) reject_when: Option<Map<String, Json>>,
    pub(super) tls: Tls,
    pub(super) timeout: Span,
}

impl Default for Webhook {
    fn default() -> Webhook {
        Webhook {
            url: None,
            method: WebhookMethod::default(),
            headers: BTreeMap::new(),
            body: None,
            rate: None,
            concurrency: Plain(8),
            batch: None,
            secret: List::default(),
            hmac: None,
            success: None,
            retry_when: None,
            reject_when: None,
            tls: Tls::default(),
            timeout: Span(Duration::from_secs(15)),
        }
    }
}

#[derive(Deserialize, Serialize, JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum WebhookMethod {
    Get,
    #[default]
    Post,
    Put,
    Patch,
}

/// A signature of the body in a header of its own.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HeaderSignature {
    pub(super) header: Option<String>,
    pub(super) secret: Option<Secret>,
    pub(super) prefix: String,
    pub(super) algorithm: Algorithm,
    pub(super) encoding: Digits,
}

#[derive(Deserialize, Serialize, JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum Algorithm {
    #[default]
    Sha256,
    Sha512,
}

#[derive(Deserialize, Serialize, JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum Digits {
    #[default]
    Hex,
    Base64,
}

/// Events in one request.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Together {
    pub(super) max: Plain<u32>,
    pub(super) wait: Span,
}

impl Default for Together {
    fn default() -> Together {
        Together {
            max: Plain(100),
            wait: Span(Duration::from_secs(1)),
        }
    }
}

/// Of every sink.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retry {
    pub(super) initial: Span,
    pub(super) max: Span,
    pub(super) give_up: Span,
}

impl Default for Retry {
    fn default() -> Retry {
        let retry = crate::retry::Retry::default();
        Retry {
            initial: Span(retry.initial),
            max: Span(retry.max),
            give_up: Span(retry.give_up),
        }
    }
}
