//! Values that are not shown, or not all of them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::config::masking;
use crate::secret::Secret;

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::from)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        masking::always(json_schema!({ "type": "string" }))
    }
}

/// A URL, which may be shown where it has no user, no password and no query.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub(in crate::config) struct UrlText(pub(in crate::config) String);

impl From<String> for UrlText {
    fn from(text: String) -> UrlText {
        UrlText(text)
    }
}

impl JsonSchema for UrlText {
    fn schema_name() -> Cow<'static, str> {
        "Url".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        masking::credentials(json_schema!({ "type": "string" }))
    }
}

/// A table of any shape, of which nothing is shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(in crate::config) struct SecretTable(pub(in crate::config) Map<String, Value>);

impl JsonSchema for SecretTable {
    fn schema_name() -> Cow<'static, str> {
        "SecretTable".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        masking::always(json_schema!({ "type": "object" }))
    }
}
