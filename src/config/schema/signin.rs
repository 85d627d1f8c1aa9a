//! The keys of `[source.signin]`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::config::units::{SecretTable, Span, UrlText};
use crate::secret::Secret;

/// One request, or `steps`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Signin {
    /// Required, unless there are `steps`. Where the request goes. Redirects are not followed. It
    /// may have `{{ secret('x') }}`.
    pub(in crate::config) url: Option<UrlText>,
    /// By default `POST`.
    pub(in crate::config) method: Option<SigninMethod>,
    /// A body of JSON. Its texts may have `{{ secret('x') }}`. Without `json` and `form` the
    /// request has no body.
    pub(in crate::config) json: Option<SecretTable>,
    /// A form in place of `json`. Its texts may have `{{ secret('x') }}`.
    pub(in crate::config) form: Option<SecretTable>,
    /// Headers of this request.
    pub(in crate::config) headers: BTreeMap<String, Secret>,
    /// What the answer must be: `status` and JSON pointers, each with a value or a list of values.
    /// Otherwise the answer's words are the error. By default any status from 200 to 299 will do.
    pub(in crate::config) expect: Option<Map<String, Json>>,
    /// Names, and where their values stand in the answer. `{{ signin.NAME }}` may then stand in the
    /// source's url (its query), login, passcode and headers, and in a topic's destination, headers
    /// and resync.
    pub(in crate::config) extract: BTreeMap<String, Extracted>,
    /// Several requests in place of one, at most 10. Each has the keys of this table but `steps`
    /// and `timeout`. A later one may use what earlier ones have extracted.
    pub(in crate::config) steps: Vec<SigninStep>,
    /// Of the whole sign-in.
    pub(in crate::config) timeout: Span,
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
pub(in crate::config) struct SigninStep {
    /// Required. Where the request goes. Redirects are not followed. It may have
    /// `{{ secret('x') }}` and `{{ signin.x }}` of earlier steps.
    pub(in crate::config) url: Option<UrlText>,
    /// By default `POST`.
    pub(in crate::config) method: Option<SigninMethod>,
    /// A body of JSON. Its texts may have `{{ secret('x') }}` and `{{ signin.x }}`.
    pub(in crate::config) json: Option<SecretTable>,
    /// A form in place of `json`.
    pub(in crate::config) form: Option<SecretTable>,
    /// Headers of this request.
    pub(in crate::config) headers: BTreeMap<String, Secret>,
    /// What the answer must be, as in `[source.signin]`.
    pub(in crate::config) expect: Option<Map<String, Json>>,
    /// Names, and where their values stand in the answer.
    pub(in crate::config) extract: BTreeMap<String, Extracted>,
}

/// Where a value stands in an answer.
#[derive(Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a JSON pointer such as \"/data/token\", { header = \"Authorization\" }, \
                 { cookie = \"XSRF-TOKEN\" }, { input = \"_csrf\" } or { text = true }"
)]
pub(in crate::config) enum Extracted {
    Pointer(String),
    Part(ExtractedPart),
}

/// One of these.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum ExtractedPart {
    Header(String),
    Cookie(String),
    Input(String),
    Text(bool),
}

#[derive(Deserialize, Serialize, JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "UPPERCASE")]
pub(in crate::config) enum SigninMethod {
    Get,
    #[default]
    Post,
}
