//! HTTP POST of events, signed by Standard Webhooks; 2xx confirms. Several devices' events are on
//! their way at once, each device's in order, over connections that are kept alive; when and what
//! next is decided by `delivery`.
//!
//! `webhook-id` is the event's id: the same on every attempt, after a crash and on a replay. Where
//! events are posted in batches it is made from the ids of those that the batch holds, in their
//! order: the same events have the same id again. A batch that is refused, or that fails while
//! others arrive, is posted in halves, and those have ids of their own; after a crash other events
//! may come together. A receiver that is to tell repetitions looks at each `event_id` then.

mod answer;
mod body;
mod reach;
mod signature;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use url::{Host, Url};
use uuid::Uuid;

use self::answer::{Verdict, advice, judge};
use self::reach::Reach;
use self::signature::Signer;
use crate::model::{Event, Position};
use crate::secret::Secret;
use crate::sinks::{
    Batch, BuildError, Built, By, Capabilities, Ordering, Sink, Trouble, Undelivered,
};

pub use body::{Body, Posting};

/// A connection that takes longer has failed, however patient `timeout` is.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);
/// An answer is read so far, so that its connection can be used again; a longer one costs the
/// connection.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How much of a refusal's text goes into the log.
const EXCERPT_CHARS: usize = 200;

/// Validated settings of a webhook sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The sink's name in the configuration.
    pub name: String,
    /// Where to POST; `http` or `https`.
    pub url: Url,
    /// Sent with every request.
    pub headers: Vec<(String, Secret)>,
    /// What is in a request.
    pub posting: Posting,
    /// Requests that may be under way at once; at least 1.
    pub concurrency: usize,
    /// Sign each request (Standard Webhooks, `v1`): base64 of a key, mostly with `whsec_` in front;
    /// two during a rotation; none: requests are not signed.
    pub secrets: Vec<Secret>,
    /// A request that takes longer has failed.
    pub timeout: Duration,
}

/// See [`crate::sinks::build`].
pub(in crate::sinks) fn build(settings: Settings) -> Result<Built, BuildError> {
    let problem = |problem: String| BuildError::Settings {
        name: settings.name.clone(),
        problem,
    };
    let secrets = settings.secrets.iter().map(Secret::expose_secret);
    let signer = if settings.secrets.is_empty() {
        None
    } else {
        Some(Signer::new(secrets).map_err(problem)?)
    };
    let tls = crate::tls::client_config(&crate::tls::Settings::default())?;
    let connect_timeout = settings.timeout.min(CONNECT_TIMEOUT_MAX);
    let mut client = Client::builder()
        .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls))
        .redirect(Policy::none())
        .connect_timeout(connect_timeout)
        .timeout(settings.timeout)
        .pool_max_idle_per_host(settings.concurrency)
        .default_headers(headers(&settings).map_err(problem)?)
        .user_agent(concat!("stomp-bridge/", env!("CARGO_PKG_VERSION")));
    if is_loopback(&settings.url) {
        // The system's proxy would look for it on its own machine.
        client = client.no_proxy();
    }
    let client = client
        .build()
        .map_err(|error| problem(format!("http client: {}", chain(&error))))?;
    let target = Arc::new(Target {
        reach: Reach::new(&settings.url, tls, connect_timeout),
        server: server(&settings.url),
        url: settings.url,
        posting: settings.posting,
        signer,
        client,
    });
    Ok(Built {
        sink: Box::new(Webhook {
            target,
            concurrency: settings.concurrency,
        }),
        driver: None,
    })
}

#[derive(Clone)]
struct Webhook {
    target: Arc<Target>,
    concurrency: usize,
}

/// Where to, and how.
struct Target {
    reach: Reach,
    /// For log lines: path and query may be secrets (chat groups give them out as such).
    server: String,
    url: Url,
    posting: Posting,
    signer: Option<Signer>,
    client: Client,
}

impl Sink for Webhook {
    fn capabilities(&self) -> Capabilities {
        let (batch_max, batch_wait) = self.target.posting.size();
        Capabilities {
            batch_max,
            ordering: Ordering::PerDevice {
                concurrency: self.concurrency,
                batch_wait,
            },
            ..Capabilities::default()
        }
    }

    /// There is nothing to open: whether the receiver answers is seen at the first event.
    fn open(&mut self, _journal: Uuid) -> BoxFuture<'_, Result<Option<Position>, Trouble>> {
        async { Ok(None) }.boxed()
    }

    fn attempt<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), Undelivered>> {
        async move {
            let (max, _) = self.target.posting.size();
            for (before, events) in batch.events.chunks(max).enumerate() {
                let confirmed = before * max;
                let posted = self.target.post(events).await;
                posted.map_err(|trouble| Undelivered { confirmed, trouble })?;
            }
            Ok(())
        }
        .boxed()
    }

    /// Connects, and sends nothing.
    fn idle(&mut self) -> BoxFuture<'_, Result<(), Trouble>> {
        async move {
            let reached = self.target.reach.probe().await;
            reached.map_err(|error| Trouble::Retry {
                error: format!("{}: {error}", self.target.server),
                after: None,
            })
        }
        .boxed()
    }

    fn another(&self) -> Option<Box<dyn Sink>> {
        Some(Box::new(self.clone()))
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

impl Target {
    async fn post(&self, events: &[Event]) -> Result<(), Trouble> {
        let ours = |error| Trouble::Refused {
            index: None,
            by: By::Us,
            error,
        };
        let Body { id, bytes } = self.posting.body(events).map_err(ours)?;
        let header = HeaderValue::from_str(&id)
            .map_err(|_| ours(format!("event id {id:?} cannot stand in a header")))?;
        let timestamp = Timestamp::now().as_second();
        let mut request = self
            .client
            .post(self.url.clone())
            .header("webhook-id", header)
            .header("webhook-timestamp", timestamp);
        if let Some(signer) = &self.signer {
            request = request.header("webhook-signature", signer.sign(&id, timestamp, &bytes));
        }
        match request.body(bytes).send().await {
            Ok(response) => self.read(response).await,
            Err(error) => {
                // Without a connection the event never left us.
                let at_the_door = error.is_connect();
                let error = format!("{}: {}", self.server, chain(&error.without_url()));
                Err(if at_the_door {
                    Trouble::Retry { error, after: None }
                } else {
                    Trouble::Unclear { error }
                })
            }
        }
    }

    async fn read(&self, mut response: Response) -> Result<(), Trouble> {
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        let verdict = judge(status, retry_after, SystemTime::now());
        let mut answer = Vec::new();
        // What the status says stands, whatever becomes of the text behind it.
        while let Ok(Some(piece)) = response.chunk().await {
            answer.extend_from_slice(&piece[..piece.len().min(ANSWER_BYTES_MAX - answer.len())]);
            if answer.len() == ANSWER_BYTES_MAX {
                break;
            }
        }
        let mut error = format!("{} answered {status}", self.server);
        let excerpt = excerpt(&answer);
        if !excerpt.is_empty() {
            error = format!("{error}: {excerpt}");
        }
        if let Some(advice) = advice(status) {
            error = format!("{error}; {advice}");
        }
        match verdict {
            Verdict::Confirmed => Ok(()),
            Verdict::Refused => Err(Trouble::Refused {
                index: None,
                by: By::Them,
                error,
            }),
            Verdict::Disabled => Err(Trouble::Disabled { error }),
            Verdict::Unclear => Err(Trouble::Unclear { error }),
            Verdict::Retry(after) => Err(Trouble::Retry { error, after }),
        }
    }
}

/// The settings' headers, with what the body is where they do not say it.
fn headers(settings: &Settings) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in &settings.headers {
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("headers: {name:?} cannot be a header's name"))?;
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| {
            format!("headers: the value of {name:?} has characters that a header cannot have")
        })?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok(headers)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn server(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{}://{host}{port}", url.scheme())
}

/// An error with its sources: reqwest's own text alone says no more than that it failed.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// The beginning of an answer, on one line.
fn excerpt(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let one_line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(EXCERPT_CHARS)
        .collect();
    one_line.trim().to_owned()
}
