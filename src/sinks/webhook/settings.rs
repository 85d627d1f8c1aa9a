//! The settings of a webhook sink.

use std::time::Duration;

use super::address::Address;
use super::answer::Answers;
use super::body::Posting;
use super::headers::HeaderText;
use super::signature::HeaderSignature;
use crate::secret::Secret;
use crate::sinks::Rate;
use crate::tls;

/// Validated settings of a webhook sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The sink's name in the configuration.
    pub name: String,
    /// Where requests go; `http` or `https`.
    pub url: Address,
    /// See [`Method`].
    pub method: Method,
    /// Sent with every request.
    pub headers: Vec<(String, HeaderText)>,
    /// The body of a request; with templates in `url` or `headers`, of one event.
    pub posting: Posting,
    /// Requests that may be in flight at once; at least 1.
    pub concurrency: usize,
    /// Sign each request (Standard Webhooks, `v1`): base64 of a key, mostly with `whsec_` in front;
    /// two during a rotation; none: requests are not signed.
    pub secrets: Vec<Secret>,
    /// A signature of the body in a header.
    pub hmac: Option<HeaderSignature>,
    /// The most requests in a time.
    pub rate: Option<Rate>,
    /// What an answer means.
    pub answers: Answers,
    /// Of `https`.
    pub tls: tls::Settings,
    /// A request that takes longer has failed.
    pub timeout: Duration,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Without a body: what there is to say stands in the URL and the headers.
    Get,
    /// The usual one.
    #[default]
    Post,
    /// The body becomes what stands at the URL.
    Put,
    /// The body changes what stands there.
    Patch,
}

impl Method {
    /// As HTTP writes it.
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
        }
    }

    /// Whether its requests have a body.
    pub fn has_body(self) -> bool {
        self != Method::Get
    }
}
