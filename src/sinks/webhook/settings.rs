//! The settings of a webhook sink.

use std::time::Duration;

use url::Url;

use super::answer::Answers;
use super::body::Posting;
use crate::secret::Secret;
use crate::tls;

/// Validated settings of a webhook sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The sink's name in the configuration.
    pub name: String,
    /// Where to POST; `http` or `https`.
    pub url: Url,
    /// Sent with every request.
    pub headers: Vec<(String, Secret)>,
    /// The body of a request.
    pub posting: Posting,
    /// Requests that may be in flight at once; at least 1.
    pub concurrency: usize,
    /// Sign each request (Standard Webhooks, `v1`): base64 of a key, mostly with `whsec_` in front;
    /// two during a rotation; none: requests are not signed.
    pub secrets: Vec<Secret>,
    /// What an answer means.
    pub answers: Answers,
    /// Of `https`.
    pub tls: tls::Settings,
    /// A request that takes longer has failed.
    pub timeout: Duration,
}
