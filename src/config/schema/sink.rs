//! The keys that every sink has, and the values of its `type`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::history::{Postgres, Sqlite};
use super::mqtt::Mqtt;
use super::webhook::Webhook;
use crate::config::units::{List, Span};

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
pub(in crate::config) fn sink_types() -> Vec<&'static str> {
    SINK_TYPES.iter().map(|(name, _)| *name).collect()
}

/// A sink's table, whatever its `type`.
pub(super) enum AnySink {}

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
pub(in crate::config) struct Delivery {
    /// Required. What the sink is.
    #[schemars(with = "String")]
    pub(in crate::config) r#type: IgnoredAny,
    /// The kinds of events that the sink gets. `status`: what devices say. `coverage`: when a topic
    /// began and ceased to be heard. By default both at histories, `["status"]` at mqtt and
    /// webhook.
    pub(in crate::config) kinds: Option<List>,
    /// Only these topics, of every kind. By default all.
    pub(in crate::config) topics: Option<List>,
    /// Only statuses for which this holds, such as `changed and severity >= 'warning'`;
    /// docs/columns.md has the names. Ids are texts: `device_id == '7'`. By default all.
    pub(in crate::config) when: Option<String>,
    /// Columns that the sink does not get, such as `["payload", "detail"]`: they are null for it.
    pub(in crate::config) omit: List,
    /// Where a new sink begins. `oldest`: with the oldest entry of the journal, the default of
    /// histories. `now`: with the next one, the default of mqtt and webhook.
    pub(in crate::config) start: Option<Start>,
    /// The waits after trouble, which go on without end.
    pub(in crate::config) retry: Retry,
}

impl Delivery {
    /// Their names.
    pub(in crate::config) const KEYS: [&str; 7] =
        ["type", "kinds", "topics", "when", "omit", "start", "retry"];
}

/// Where a sink begins that is new.
#[derive(Deserialize, Serialize, JsonSchema, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Start {
    Oldest,
    Now,
}

/// The waits between attempts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Retry {
    /// The first wait. Each further one is up to twice as long.
    pub(in crate::config) initial: Span,
    /// The longest wait.
    pub(in crate::config) max: Span,
    /// An event that fails for this long by itself, while others get through, is dead-lettered.
    pub(in crate::config) give_up: Span,
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
