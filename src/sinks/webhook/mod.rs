//! HTTP POST of events, signed by Standard Webhooks; the cursor moves on 2xx.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::pipeline::Template;

/// Validated settings of a webhook sink.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sink's name in the configuration.
    pub name: String,
    /// Where to POST; `http` or `https`.
    pub url: Url,
    /// Sent with every request.
    pub headers: Vec<(String, SecretString)>,
    /// The body; `None`: the event's JSON.
    pub body: Option<Template>,
    /// Signs each request (Standard Webhooks, `v1`); the bytes behind `whsec_`, decoded.
    pub secret: Option<SecretString>,
    /// A request that takes longer has failed.
    pub timeout: Duration,
    /// Waits before the first and each later attempt at one event; the last is repeated for ever while it is the
    /// sink's trouble.
    pub schedule: Vec<Duration>,
}

pub(in crate::sinks) fn build(
    _settings: Settings,
    _health: crate::sinks::Health,
) -> Result<crate::sinks::Built, crate::sinks::BuildError> {
    todo!("being built")
}
