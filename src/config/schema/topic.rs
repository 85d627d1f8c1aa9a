//! The keys of a topic.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::{SigninMethod, Tls};
use crate::config::units::{Each, List, SecretTable, Span, UrlText};
use crate::pipeline::{Field, ZONE_DEFAULT};
use crate::secret::Secret;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Topic {
    /// Required. The name of the queue or topic at the server, such as `/topic/state/1` or
    /// `/queue/alarms`. It may have `{{ signin.x }}`, and the variables of `for`.
    pub(in crate::config) destination: Option<String>,
    /// A name that several topics share which bring the same statuses. By default each topic is one
    /// by itself.
    pub(in crate::config) stream: Option<String>,
    /// Makes many topics of one table: variables, each with a range or a list of values. There may
    /// be 10,000 topics in all.
    pub(in crate::config) r#for: Option<BTreeMap<String, Each>>,
    /// How messages are acknowledged. `client-individual`: each one once it is on disk. `client`:
    /// an ACK covers all older ones. `auto`: the server waits for no ACK.
    pub(in crate::config) ack: Ack,
    /// `source.silence` for this topic; `0s`: off.
    pub(in crate::config) silence: Option<Span>,
    /// Headers of SUBSCRIBE, such as `{ "prefetch-count" = "1000" }`. Unless a prefetch is named,
    /// it is 256 where messages are acknowledged. `x-delivery-limit` says which limit a policy of
    /// RabbitMQ sets.
    pub(in crate::config) headers: BTreeMap<String, Secret>,
    /// Where the parts of a status stand in the message, as JSON pointers. The defaults read the
    /// reference platform's message.
    #[schemars(schema_with = "topic_fields")]
    pub(in crate::config) fields: BTreeMap<String, FieldValue>,
    /// JSON pointers that make a status unique, such as `["/eventId"]`: a redelivered status is
    /// then stored once.
    pub(in crate::config) event_key: List,
    /// A JSON pointer to the statuses in a body. By default the body is a status or an array of
    /// them.
    pub(in crate::config) items: Option<String>,
    /// Objects that are no status, by the message's own names, such as `type == 'heartbeat'`. They
    /// are dropped and counted.
    pub(in crate::config) ignore: Option<String>,
    /// The charset of bodies whose message names none, or ISO-8859-1 or US-ASCII: a name of the
    /// Encoding Standard, such as `gb18030`. By default UTF-8.
    pub(in crate::config) encoding: Option<String>,
    /// The zone of times in messages that name none.
    pub(in crate::config) timezone: String,
    /// A snapshot of all devices of the topic, which is asked for after each time in which it was
    /// not heard. By default there is none.
    pub(in crate::config) resync: Option<Resync>,
}

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
pub(in crate::config) enum Ack {
    #[default]
    Auto,
    Client,
    ClientIndividual,
}

/// How a topic's snapshot is asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Resync {
    /// Required. The platform's REST interface that says the state of every device. Its query may
    /// have `{{ signin.x }}`, and all of it the variables of `for`. A topic takes each device in the
    /// answer.
    pub(in crate::config) url: Option<UrlText>,
    /// By default `GET`; with `json` or `form` it is `POST`.
    pub(in crate::config) method: Option<SigninMethod>,
    /// A body of JSON. Its texts may have `{{ signin.x }}` and `{{ secret('x') }}`.
    pub(in crate::config) json: Option<SecretTable>,
    /// A form in place of `json`.
    pub(in crate::config) form: Option<SecretTable>,
    /// Headers of this request, such as `{ Authorization = "Bearer {{ signin.token }}" }`.
    pub(in crate::config) headers: BTreeMap<String, Secret>,
    /// What a good answer says, as in `[source.signin]`. By default any status from 200 to 299.
    pub(in crate::config) expect: Option<Map<String, Json>>,
    /// Files for `https`. By default those of `[source.tls]`.
    pub(in crate::config) tls: Option<Tls>,
    /// Of the whole request. `source.max_body` is the longest answer.
    pub(in crate::config) timeout: Span,
    /// Asks also while the topic is heard, at this interval: at least `10s`. By default it does not.
    pub(in crate::config) every: Option<Span>,
    /// A JSON pointer to the statuses in the answer. By default the body is a status or an array of
    /// them.
    pub(in crate::config) items: Option<String>,
    /// JSON pointers within a status of the snapshot, where they are not those of the topic's
    /// `fields`.
    #[schemars(schema_with = "snapshot_fields")]
    pub(in crate::config) fields: BTreeMap<String, FieldValue>,
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
pub(in crate::config) enum FieldValue {
    Pointer(String),
    Constant(Constant),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Constant {
    /// The value.
    pub(in crate::config) r#const: Scalar,
}

/// A text, or something that reads the same as one.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Scalar {
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
pub(in crate::config) const TIMEZONE_DEFAULT: &str = ZONE_DEFAULT;
