//! The keys of a sink `webhook`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::Tls;
use crate::config::units::{List, Plain, Rate, Span};
use crate::secret::Secret;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Webhook {
    /// Required. Where events are posted. Path and query may name the event, as
    /// `/devices/{{ device_id }}`; what they print is percent-encoded.
    pub(in crate::config) url: Option<Secret>,
    /// The request's method. `GET` has no body.
    pub(in crate::config) method: WebhookMethod,
    /// Headers of each request, such as `{ Title = "{{ device_id }} is {{ state }}" }`.
    pub(in crate::config) headers: BTreeMap<String, Secret>,
    /// A template of the body. By default the event as JSON, of a `batch` a JSON array of events.
    pub(in crate::config) body: Option<String>,
    /// The most requests in any such time; the others wait in the journal. By default there is no
    /// bound.
    pub(in crate::config) rate: Option<Rate>,
    /// Requests at once, of different devices; each device's events stay in order. 1 to 256.
    pub(in crate::config) concurrency: Plain<u32>,
    /// Several events in one request. By default each has its own.
    pub(in crate::config) batch: Option<Together>,
    /// Signs each request by Standard Webhooks (`whsec_…`). During a rotation a list of two.
    pub(in crate::config) secret: List<Secret>,
    /// Signs the body in a header of its own, as GitHub does. By default there is none.
    pub(in crate::config) hmac: Option<HeaderSignature>,
    /// What the answer to an event that has arrived says: values, or lists of values, at JSON
    /// pointers, and `status`. By default every 2xx confirms.
    pub(in crate::config) success: Option<Map<String, Json>>,
    /// Answers by which the receiver accepts nothing for now, such as above its rate. In the form
    /// of `success`.
    pub(in crate::config) retry_when: Option<Map<String, Json>>,
    /// Answers by which the receiver will never accept the event: it is dead-lettered. In the form
    /// of `success`.
    pub(in crate::config) reject_when: Option<Map<String, Json>>,
    /// Files for `https`.
    pub(in crate::config) tls: Tls,
    /// Of one request.
    pub(in crate::config) timeout: Span,
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
pub(in crate::config) enum WebhookMethod {
    Get,
    #[default]
    Post,
    Put,
    Patch,
}

/// A signature of the body in a header of its own.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct HeaderSignature {
    /// Required. The header's name, such as `X-Hub-Signature-256`.
    pub(in crate::config) header: Option<String>,
    /// Required. The key, such as `"{{ secret('hook') }}"`.
    pub(in crate::config) secret: Option<Secret>,
    /// What stands before the signature, such as `sha256=`.
    pub(in crate::config) prefix: String,
    /// The hash.
    pub(in crate::config) algorithm: Algorithm,
    /// How the signature is written.
    pub(in crate::config) encoding: Digits,
}

#[derive(Deserialize, Serialize, JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Algorithm {
    #[default]
    Sha256,
    Sha512,
}

#[derive(Deserialize, Serialize, JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Digits {
    #[default]
    Hex,
    Base64,
}

/// Events in one request.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Together {
    /// The most events in one request, 1 to 1000.
    pub(in crate::config) max: Plain<u32>,
    /// How long the first event waits for others; at most `1h`.
    pub(in crate::config) wait: Span,
}

impl Default for Together {
    fn default() -> Together {
        Together {
            max: Plain(100),
            wait: Span(Duration::from_secs(1)),
        }
    }
}
