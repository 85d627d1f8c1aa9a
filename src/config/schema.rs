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
use crate::pipeline::{Field, ZONE_DEFAULT};
use crate::secret::Secret;
use crate::sinks::history::sqlite;
use crate::sinks::mqtt::MAX_INFLIGHT;

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
    /// Messages, and what is to become of them; `stomp-bridge config test` runs them.
    pub(super) tests: Vec<Test>,
    /// `true`: a changed file is applied at once, as by SIGHUP.
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

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Source {
    /// Required. The server's address. `http` and `https` mean SockJS, `ws` and `wss` WebSocket,
    /// `stomp` TCP, `stomps` TLS. Several addresses are tried in turn. Its query may have
    /// `{{ signin.x }}`.
    pub(super) url: List<UrlText>,
    /// CONNECT's `login`. It may have `{{ secret('x') }}` and `{{ signin.x }}`.
    pub(super) login: Option<Secret>,
    /// CONNECT's `passcode`, such as `"{{ secret('passcode') }}"`. It stands in place of
    /// `passcode_file`.
    pub(super) passcode: Option<Secret>,
    /// A file with the passcode, beside the configuration.
    pub(super) passcode_file: Option<PathBuf>,
    /// CONNECT's `host`: RabbitMQ's virtual host. The other servers accept any.
    pub(super) host: String,
    /// Headers of CONNECT and of every HTTP request to the server, such as
    /// `{ Authorization = "Bearer {{ signin.token }}" }`.
    pub(super) headers: BTreeMap<String, Secret>,
    /// The interval of STOMP's heart-beats, both ways. `0s`: off; WebSocket's pings and SockJS's
    /// own heart-beats then notice a dead link.
    pub(super) heartbeat: Span,
    /// A topic without a message for this time is `silent`: the daemon is not ready, and the log
    /// warns. Over TCP, where the server sends no heart-beats, the daemon reconnects after this
    /// time without a byte. `0s`: off.
    pub(super) silence: Span,
    /// How `\` is written in login, passcode and host. `doubled`: RabbitMQ reads it as an escape.
    /// By default `plain`.
    pub(super) connect_backslashes: Option<ConnectBackslashes>,
    /// Longer frames go in pieces of this size, for Spring's buffers. `0`: whole.
    pub(super) websocket_split: Size,
    /// The longest body. Of a longer one the journal keeps the beginning as undecodable; the
    /// messages after it go on.
    pub(super) max_body: Size,
    /// Files for `stomps`, `wss` and `https`. The system's authorities are always trusted.
    pub(super) tls: Tls,
    /// The waits between attempts to connect, with full jitter.
    pub(super) reconnect: Reconnect,
    /// An HTTP sign-in before every connection; by default there is none.
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
    /// Required, unless there are `steps`. Where the request goes. Redirects are not followed. It
    /// may have `{{ secret('x') }}`.
    pub(super) url: Option<UrlText>,
    /// By default `POST`.
    pub(super) method: Option<SigninMethod>,
    /// A body of JSON. Its texts may have `{{ secret('x') }}`. Without `json` and `form` the
    /// request has no body.
    pub(super) json: Option<SecretTable>,
    /// A form in place of `json`. Its texts may have `{{ secret('x') }}`.
    pub(super) form: Option<SecretTable>,
    /// Headers of this request.
    pub(super) headers: BTreeMap<String, Secret>,
    /// What the answer must be: `status` and JSON pointers, each with a value or a list of values.
    /// Otherwise the answer's words are the error. By default any status from 200 to 299 will do.
    pub(super) expect: Option<Map<String, Json>>,
    /// Names, and where their values stand in the answer. `{{ signin.NAME }}` may then stand in the
    /// source's url (its query), login, passcode and headers, and in a topic's destination, headers
    /// and resync.
    pub(super) extract: BTreeMap<String, Extracted>,
    /// Several requests in place of one, at most 10. Each has the keys of this table but `steps`
    /// and `timeout`. A later one may use what earlier ones have extracted.
    pub(super) steps: Vec<SigninStep>,
    /// Of the whole sign-in.
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
    /// Required. Where the request goes. Redirects are not followed. It may have
    /// `{{ secret('x') }}` and `{{ signin.x }}` of earlier steps.
    pub(super) url: Option<UrlText>,
    /// By default `POST`.
    pub(super) method: Option<SigninMethod>,
    /// A body of JSON. Its texts may have `{{ secret('x') }}` and `{{ signin.x }}`.
    pub(super) json: Option<SecretTable>,
    /// A form in place of `json`.
    pub(super) form: Option<SecretTable>,
    /// Headers of this request.
    pub(super) headers: BTreeMap<String, Secret>,
    /// What the answer must be, as in `[source.signin]`.
    pub(super) expect: Option<Map<String, Json>>,
    /// Names, and where their values stand in the answer.
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
    /// Authorities (PEM). Or a server's own certificate, which is then trusted as it is: for its
    /// names, until its end. With CA:TRUE, or of version 1, it is an authority as well.
    pub(super) ca_file: Option<PathBuf>,
    /// The client's certificate (PEM), with `key_file`.
    pub(super) cert_file: Option<PathBuf>,
    /// The key of `cert_file` (PEM).
    pub(super) key_file: Option<PathBuf>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reconnect {
    /// The first wait. Each further one is up to twice as long.
    pub(super) initial: Span,
    /// The longest wait. By default `60s` where the server keeps every topic's messages meanwhile,
    /// else `5s`.
    pub(super) max: Option<Span>,
    /// After this number of attempts in a row that did not become live the process ends. By default
    /// there is no bound.
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
    /// Required. The name of the queue or topic at the server, such as `/topic/state/1` or
    /// `/queue/alarms`. It may have `{{ signin.x }}`, and the variables of `for`.
    pub(super) destination: Option<String>,
    /// A name that several topics share which bring the same statuses. By default each topic is one
    /// by itself.
    pub(super) stream: Option<String>,
    /// Makes many topics of one table: variables, each with a range or a list of values. There may
    /// be 10,000 topics in all.
    pub(super) r#for: Option<BTreeMap<String, Each>>,
    /// How messages are acknowledged. `client-individual`: each one once it is on disk. `client`:
    /// an ACK covers all older ones. `auto`: the server waits for no ACK.
    pub(super) ack: Ack,
    /// `source.silence` for this topic; `0s`: off.
    pub(super) silence: Option<Span>,
    /// Headers of SUBSCRIBE, such as `{ "prefetch-count" = "1000" }`. Unless a prefetch is named,
    /// it is 256 where messages are acknowledged. `x-delivery-limit` says which limit a policy of
    /// RabbitMQ sets.
    pub(super) headers: BTreeMap<String, Secret>,
    /// Where the parts of a status stand in the message, as JSON pointers. The defaults read the
    /// reference platform's message.
    #[schemars(schema_with = "topic_fields")]
    pub(super) fields: BTreeMap<String, FieldValue>,
    /// JSON pointers that make a status unique, such as `["/eventId"]`: a redelivered status is
    /// then stored once.
    pub(super) event_key: List,
    /// A JSON pointer to the statuses in a body. By default the body is a status or an array of
    /// them.
    pub(super) items: Option<String>,
    /// Objects that are no status, by the message's own names, such as `type == 'heartbeat'`. They
    /// are dropped and counted.
    pub(super) ignore: Option<String>,
    /// The charset of bodies whose message names none, or ISO-8859-1 or US-ASCII: a name of the
    /// Encoding Standard, such as `gb18030`. By default UTF-8.
    pub(super) encoding: Option<String>,
    /// The zone of times in messages that name none.
    pub(super) timezone: String,
    /// A snapshot of all devices of the topic, which is asked for after each time in which it was
    /// not heard. By default there is none.
    pub(super) resync: Option<Resync>,
}

/// How a topic's snapshot is asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Resync {
    /// Required. The platform's REST interface that says the state of every device. Its query may
    /// have `{{ signin.x }}`.
    pub(super) url: Option<UrlText>,
    /// By default `GET`; with `json` or `form` it is `POST`.
    pub(super) method: Option<SigninMethod>,
    /// A body of JSON. Its texts may have `{{ signin.x }}` and `{{ secret('x') }}`.
    pub(super) json: Option<SecretTable>,
    /// A form in place of `json`.
    pub(super) form: Option<SecretTable>,
    /// Headers of this request, such as `{ Authorization = "Bearer {{ signin.token }}" }`.
    pub(super) headers: BTreeMap<String, Secret>,
    /// What a good answer says, as in `[source.signin]`. By default any status from 200 to 299.
    pub(super) expect: Option<Map<String, Json>>,
    /// Files for `https`. By default those of `[source.tls]`.
    pub(super) tls: Option<Tls>,
    /// Of the whole request. `source.max_body` is the longest answer.
    pub(super) timeout: Span,
    /// Asks also while the topic is heard, at this interval. By default it does not.
    pub(super) every: Option<Span>,
    /// A JSON pointer to the statuses in the answer. By default the body is a status or an array of
    /// them.
    pub(super) items: Option<String>,
    /// JSON pointers within a status of the snapshot, where they are not those of the topic's
    /// `fields`.
    #[schemars(schema_with = "snapshot_fields")]
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

/// The keys of a topic's `fields`.
fn topic_fields(generator: &mut SchemaGenerator) -> Schema {
    fields(generator, Field::default_pointer)
}

/// The same of a snapshot: the default is what the topic has.
fn snapshot_fields(generator: &mut SchemaGenerator) -> Schema {
    fields(generator, |_| None)
}

fn fields(generator: &mut SchemaGenerator, default: fn(Field) -> Option<&'static str>) -> Schema {
    let key = |field: Field| {
        let mut value = generator.subschema_for::<FieldValue>();
        value.insert("description".to_owned(), field.about().into());
        if let Some(pointer) = default(field) {
            value.insert("default".to_owned(), pointer.into());
        }
        (field.name().to_owned(), value.to_value())
    };
    let keys: Map<String, Json> = Field::ALL.into_iter().map(key).collect();
    json_schema!({ "type": "object", "properties": keys, "additionalProperties": false })
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
    /// The value.
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
pub(super) const TIMEZONE_DEFAULT: &str = ZONE_DEFAULT;

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

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Journal {
    /// The file. A relative path lies under `$STATE_DIRECTORY` where systemd sets it, else beside
    /// the configuration.
    pub(super) path: PathBuf,
    /// The most that its entries take; at least `1MiB`. The journal also leaves 32 MiB of its disk
    /// free. What a server has sent by its prefetch is journaled even beyond this.
    pub(super) max_bytes: Size,
    /// `pause`: the server is read no more, and nothing that was read is lost. `drop_oldest`: the
    /// oldest entries are evicted, and counted.
    pub(super) when_full: WhenFull,
    /// Delivered entries stay this long for replay, within `max_bytes`.
    pub(super) keep: Span,
    /// Under load, what came within this time is read, journaled and delivered together. `0ms`: at
    /// once, with more CPU. At most `1s`.
    pub(super) commit_interval: Span,
    /// The most devices whose last state is known. Beyond it the one that was not heard for longest
    /// is forgotten.
    pub(super) devices_max: Plain<u32>,
    /// The most that the dead letters of each sink take, beside the entries.
    pub(super) dlq_max_bytes: Size,
    /// Dead letters are dropped after this time.
    pub(super) dlq_keep: Retention,
    /// `pause`: the sink stops until there is room. `drop_oldest`: its oldest dead letters go.
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
    /// UTF-8, beside the configuration. Its first line names the columns: `device` (client/device,
    /// such as 1/7) or `serial`, `name` and `group`. It is read again at a reload.
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
            let about = &delivery["properties"]["type"]["description"];
            table["properties"]["type"] = json!({ "const": name, "description": about });
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
    /// Required. What the sink is.
    #[schemars(with = "String")]
    pub(super) r#type: IgnoredAny,
    /// The kinds of events that the sink gets. `status`: what devices say. `coverage`: when a topic
    /// began and ceased to be heard. By default both at histories, `["status"]` at mqtt and
    /// webhook.
    pub(super) kinds: Option<List>,
    /// Only these topics, of every kind. By default all.
    pub(super) topics: Option<List>,
    /// Only statuses for which this holds, such as `changed and severity >= 'warning'`;
    /// docs/columns.md has the names. Ids are texts: `device_id == '7'`. By default all.
    pub(super) when: Option<String>,
    /// Columns that the sink does not get, such as `["payload", "detail"]`: they are null for it.
    pub(super) omit: List,
    /// Where a new sink begins. `oldest`: with the oldest entry of the journal, the default of
    /// histories. `now`: with the next one, the default of mqtt and webhook.
    pub(super) start: Option<Start>,
    /// The waits after trouble, which go on without end.
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

/// How long a history keeps its rows, by what they are.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HistoryRetention {
    /// How long rows of `status_event` stay.
    pub(super) statuses: Retention,
    /// How long rows of `state_interval`, `fault_episode`, `state_daily` and `coverage_gap` stay.
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
    /// The file. A relative path lies under `$STATE_DIRECTORY` where systemd sets it, else beside
    /// the configuration.
    pub(super) path: PathBuf,
    /// Who may read and write the file. `0640` lets a group read it, such as that of a dashboard,
    /// and enter folders that are made for it.
    pub(super) mode: Mode,
    /// How long rows stay. A clock that jumps ahead deletes nothing.
    pub(super) retention: HistoryRetention,
    /// The zone of the days of `state_daily`.
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

/// The default server: a `Secret` says nothing of itself in the schema.
const POSTGRES_URL: &str = "postgres://127.0.0.1/devices";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Postgres {
    /// The server and the database, such as `postgres://bridge:{{ secret('db') }}@db/devices`.
    /// Another machine needs TLS with a verified certificate, unless `?sslmode=` says otherwise.
    /// `?sslrootcert=ca.pem`, beside the configuration: one more authority. Of several hosts the
    /// first that accepts writes is used.
    #[schemars(extend("default" = POSTGRES_URL))]
    pub(super) url: Secret,
    /// The schema of the tables; it is made where it is missing. By default the first that the
    /// server looks into (`public`).
    pub(super) schema: Option<String>,
    /// How long rows stay. Statuses go by whole months (UTC), below `60d` by whole days.
    pub(super) retention: HistoryRetention,
    /// The zone of the days of `state_daily`.
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

/// Likewise.
const MQTT_URL: &str = "mqtt://127.0.0.1:1883";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Mqtt {
    /// The broker: `mqtt`, `mqtts`, `mqtt+ws` or `mqtt+wss` (WebSocket, at /mqtt if no path is
    /// named). `tcp`, `ssl`, `ws` and `wss` mean the same.
    #[schemars(extend("default" = MQTT_URL))]
    pub(super) url: Secret,
    /// The version of MQTT. `auto`: 5, or 3.1.1 where the broker does not speak it.
    pub(super) protocol: MqttProtocol,
    /// A template of the topic.
    pub(super) topic: String,
    /// A template of the message, such as `{{ state }}`. By default the event as JSON.
    pub(super) body: Option<String>,
    /// 0 or 1.
    pub(super) qos: Plain<u32>,
    /// Whether the broker keeps the newest message of each topic.
    pub(super) retain: Plain<bool>,
    /// The user. It may have `{{ secret('x') }}`.
    pub(super) username: Option<String>,
    /// The password, such as `"{{ secret('mqtt') }}"`.
    pub(super) password: Option<Secret>,
    /// The client id. By default it is made of the sink's name and the journal.
    pub(super) client_id: Option<String>,
    /// The topic that gets `online` and `offline`, retained. By default it lies under the fixed
    /// levels of `topic`. `""`: none.
    pub(super) status_topic: Option<String>,
    /// Files for `mqtts` and `mqtt+wss`.
    pub(super) tls: Tls,
    /// Protocols that TLS offers.
    pub(super) alpn: List<String>,
    /// The most unconfirmed messages. A broker of MQTT 5 may ask for fewer.
    pub(super) max_inflight: Plain<u32>,
    /// A larger message is dead-lettered.
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
    /// Required. Where events are posted. Path and query may name the event, as
    /// `/devices/{{ device_id }}`; what they print is percent-encoded.
    pub(super) url: Option<Secret>,
    /// The request's method. `GET` has no body.
    pub(super) method: WebhookMethod,
    /// Headers of each request, such as `{ Title = "{{ device_id }} is {{ state }}" }`.
    pub(super) headers: BTreeMap<String, Secret>,
    /// A template of the body. By default the event as JSON, of a `batch` a JSON array of events.
    pub(super) body: Option<String>,
    /// The most requests in any such time; the others wait in the journal. By default there is no
    /// bound.
    pub(super) rate: Option<Rate>,
    /// Requests at once, of different devices; each device's events stay in order. 1 to 256.
    pub(super) concurrency: Plain<u32>,
    /// Several events in one request. By default each has its own.
    pub(super) batch: Option<Together>,
    /// Signs each request by Standard Webhooks (`whsec_…`). During a rotation a list of two.
    pub(super) secret: List<Secret>,
    /// Signs the body in a header of its own, as GitHub does. By default there is none.
    pub(super) hmac: Option<HeaderSignature>,
    /// What the answer to an event that has arrived says: values, or lists of values, at JSON
    /// pointers, and `status`. By default every 2xx confirms.
    pub(super) success: Option<Map<String, Json>>,
    /// Answers by which the receiver accepts nothing for now, such as above its rate. In the form
    /// of `success`.
    pub(super) retry_when: Option<Map<String, Json>>,
    /// Answers by which the receiver will never accept the event: it is dead-lettered. In the form
    /// of `success`.
    pub(super) reject_when: Option<Map<String, Json>>,
    /// Files for `https`.
    pub(super) tls: Tls,
    /// Of one request.
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
    /// Required. The header's name, such as `X-Hub-Signature-256`.
    pub(super) header: Option<String>,
    /// Required. The key, such as `"{{ secret('hook') }}"`.
    pub(super) secret: Option<Secret>,
    /// What stands before the signature, such as `sha256=`.
    pub(super) prefix: String,
    /// The hash.
    pub(super) algorithm: Algorithm,
    /// How the signature is written.
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
    /// The most events in one request, 1 to 1000.
    pub(super) max: Plain<u32>,
    /// How long the first event waits for others; at most `1h`.
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

/// The waits between attempts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retry {
    /// The first wait. Each further one is up to twice as long.
    pub(super) initial: Span,
    /// The longest wait.
    pub(super) max: Span,
    /// An event that fails for this long by itself, while others get through, is dead-lettered.
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
