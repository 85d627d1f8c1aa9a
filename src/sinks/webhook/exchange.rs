//! Sends one request and waits for the head of its answer, over connections that are kept alive. What
//! a request means is not its concern.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Client, ClientBuilder, Request, RequestBuilder, Response};
use url::Url;

use super::settings::Method;
use crate::tls;

/// How long an idle connection is kept for the next request.
const KEPT_MAX: Duration = Duration::from_secs(90);

/// The connections to one receiver.
pub(super) struct Exchange {
    client: Client,
    /// Each of its requests has a connection of its own.
    fresh: Client,
    /// Connections are kept.
    keeps: bool,
    /// The last answer: its connection may be kept since.
    answered: Mutex<Option<Instant>>,
}

impl Exchange {
    /// Of two equal clients, of which at most `kept` connections wait for requests. With none, each
    /// request is sent once: the receiver counts them.
    ///
    /// # Errors
    /// Why there is no client.
    pub(super) fn new(client: impl Fn() -> ClientBuilder, kept: usize) -> Result<Exchange, String> {
        let build = |kept| {
            let client = client()
                .pool_max_idle_per_host(kept)
                .pool_idle_timeout(KEPT_MAX);
            let problem = |error: reqwest::Error| format!("http client: {}", chain(&error));
            client.build().map_err(problem)
        };
        Ok(Exchange {
            client: build(kept)?,
            fresh: build(0)?,
            keeps: kept > 0,
            answered: Mutex::default(),
        })
    }

    /// A request with what all requests have.
    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let method = match method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
        };
        self.client.request(method, url)
    }

    /// Sends a request. A server may close a kept connection just when it is used again: such a
    /// request is sent again at once, over a fresh connection.
    ///
    /// # Errors
    /// Why no head of an answer has come.
    pub(super) async fn send(&self, request: Request) -> reqwest::Result<Response> {
        let spare = self.may_be_kept().then(|| request.try_clone()).flatten();
        let sent = match (self.client.execute(request).await, spare) {
            (Err(error), Some(request)) if is_closed(&error) => self.fresh.execute(request).await,
            (sent, _) => sent,
        };
        if sent.is_ok() {
            *self.lock() = Some(Instant::now());
        }
        sent
    }

    /// Whether a connection may have been kept that the next request goes over.
    fn may_be_kept(&self) -> bool {
        self.keeps && self.lock().is_some_and(|at| at.elapsed() < KEPT_MAX)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the connection was closed where an answer should have begun.
fn is_closed(error: &reqwest::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    if error.is_connect() || error.is_timeout() {
        return false;
    }
    causes(error).any(|cause| {
        let http = cause.downcast_ref::<hyper::Error>();
        let network = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        http.is_some_and(hyper::Error::is_incomplete_message)
            || matches!(
                network,
                Some(BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
            )
    })
}

/// What has failed, without the URL; where it was the handshake, with what to do about it.
pub(super) fn failure(error: reqwest::Error) -> String {
    let is_https = error.url().is_some_and(|url| url.scheme() == "https");
    let error = error.without_url();
    let handshake = causes(&error).find_map(handshake_problem);
    match handshake {
        Some(problem) if is_https && error.is_connect() => problem,
        _ => chain(&error),
    }
}

/// What TLS says is an error of IO to reqwest, and its source does not name it.
fn handshake_problem(cause: &(dyn Error + 'static)) -> Option<String> {
    if let Some(refusal) = cause.downcast_ref::<rustls::Error>() {
        return Some(tls::explained(refusal));
    }
    let outer: &io::Error = cause.downcast_ref()?;
    let inner = outer.get_ref().and_then(|error| error.downcast_ref());
    tls::handshake_problem(inner.unwrap_or(outer))
}

/// An error with its sources: reqwest's own text alone says no more than that it failed.
fn chain(error: &reqwest::Error) -> String {
    let texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    texts.join(": ")
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let first: &(dyn Error + 'static) = error;
    successors(Some(first), |&cause| cause.source())
}
