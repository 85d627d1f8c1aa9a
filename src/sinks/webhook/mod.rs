//! HTTP POST of events, signed by Standard Webhooks; the cursor moves on 2xx. One event per request, in order, over
//! one connection that is kept alive.

mod answer;
mod attempts;
mod signature;

use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};
use uuid::Uuid;

use self::answer::{Verdict, advice, judge};
use self::attempts::Attempts;
use self::signature::Signer;
use crate::model::{Event, Position};
use crate::pipeline::Template;
use crate::sinks::{Batch, BuildError, Built, Health, Sink, Trouble, Undelivered};

/// A connection that takes longer has failed, however patient `timeout` is.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);
/// An answer is read so far, so that its connection can be used again; a longer one costs the connection.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How much of a refusal's text goes into the log.
const EXCERPT_CHARS: usize = 200;

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
    /// Sign each request (Standard Webhooks, `v1`): base64 of a key, mostly with `whsec_` in front; two during a
    /// rotation; none: requests are not signed.
    pub secrets: Vec<SecretString>,
    /// A request that takes longer has failed.
    pub timeout: Duration,
    /// Waits before the first and each later attempt at one event; the last is repeated for ever while it is the
    /// sink's trouble.
    pub schedule: Vec<Duration>,
}

/// Secrets included.
impl PartialEq for Settings {
    fn eq(&self, other: &Settings) -> bool {
        let Settings { name, url, headers, body, secrets, timeout, schedule } = self;
        let exposed = |secrets: &[SecretString]| {
            secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect::<Vec<_>>()
        };
        let named = |headers: &[(String, SecretString)]| {
            headers.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect::<Vec<_>>()
        };
        (name, url, named(headers), body) == (&other.name, &other.url, named(&other.headers), &other.body)
            && (exposed(secrets), timeout, schedule) == (exposed(&other.secrets), &other.timeout, &other.schedule)
    }
}

/// See [`crate::sinks::build`].
pub(in crate::sinks) fn build(settings: Settings, health: Health) -> Result<Built, BuildError> {
    let problem = |problem: String| BuildError::Settings { name: settings.name.clone(), problem };
    let secrets = settings.secrets.iter().map(ExposeSecret::expose_secret);
    let signer = if settings.secrets.is_empty() { None } else { Some(Signer::new(secrets).map_err(problem)?) };
    let tls = crate::tls::client_config(&crate::tls::Settings::default())?;
    let mut client = Client::builder()
        .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls))
        .redirect(Policy::none())
        .connect_timeout(settings.timeout.min(CONNECT_TIMEOUT_MAX))
        .timeout(settings.timeout)
        .pool_max_idle_per_host(1)
        .default_headers(headers(&settings).map_err(problem)?)
        .user_agent(concat!("stomp-bridge/", env!("CARGO_PKG_VERSION")));
    if is_loopback(&settings.url) {
        // The system's proxy would look for it on its own machine.
        client = client.no_proxy();
    }
    let client = client.build().map_err(|error| problem(format!("http client: {}", chain(&error))))?;
    let attempts = Attempts::new(settings.schedule);
    let target = Target { server: server(&settings.url), url: settings.url, body: settings.body, signer, client };
    Ok(Built { sink: Box::new(Webhook { target, health, attempts }), driver: None })
}

struct Webhook {
    target: Target,
    health: Health,
    attempts: Attempts,
}

/// Where to, and how.
struct Target {
    /// For log lines: path and query may be secrets (chat groups give them out as such).
    server: String,
    url: Url,
    body: Option<Template>,
    signer: Option<Signer>,
    client: Client,
}

/// What became of one request.
struct Outcome {
    verdict: Verdict,
    /// Empty where it is confirmed.
    error: String,
}

impl Sink for Webhook {
    /// There is nothing to open: whether the receiver answers is seen at the first event.
    fn open(&mut self, _journal: Uuid) -> BoxFuture<'_, Result<Option<Position>, Trouble>> {
        async move {
            if self.health.report().last_error.is_none() {
                self.health.able();
            }
            Ok(None)
        }
        .boxed()
    }

    fn deliver<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), Undelivered>> {
        async move {
            for (index, event) in batch.events.iter().enumerate() {
                self.deliver_one(index, event).await.map_err(|trouble| Undelivered { confirmed: index, trouble })?;
            }
            Ok(())
        }
        .boxed()
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

impl Webhook {
    async fn deliver_one(&mut self, index: usize, event: &Event) -> Result<(), Trouble> {
        let wait = self.attempts.begin(&event.event_id);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let Outcome { verdict, error } = self.target.post(event).await;
        match verdict {
            Verdict::Confirmed => {
                self.health.able();
                Ok(())
            }
            // The receiver is well: only this event is not to its liking.
            Verdict::Refused => {
                self.health.able();
                Err(Trouble::Refused { index: Some(index), error })
            }
            Verdict::Disabled => {
                self.health.in_trouble(&error);
                Err(Trouble::Disabled { error })
            }
            Verdict::Retry(asked) => {
                self.health.in_trouble(&error);
                let scheduled = self.attempts.failed(fastrand::f64());
                Err(Trouble::Retry { error, after: Some(asked.unwrap_or(scheduled)) })
            }
        }
    }
}

impl Target {
    async fn post(&self, event: &Event) -> Outcome {
        let refused = |error| Outcome { verdict: Verdict::Refused, error };
        let body = match self.body.as_ref().map(|template| template.render(event)) {
            None => event.to_json(),
            Some(Ok(body)) => body.into_bytes(),
            Some(Err(error)) => return refused(error),
        };
        let Ok(id) = HeaderValue::from_str(&event.event_id) else {
            return refused(format!("event id {:?} cannot stand in a header", event.event_id));
        };
        let timestamp = Timestamp::now().as_second();
        let mut request =
            self.client.post(self.url.clone()).header("webhook-id", id).header("webhook-timestamp", timestamp);
        if let Some(signer) = &self.signer {
            request = request.header("webhook-signature", signer.sign(&event.event_id, timestamp, &body));
        }
        match request.body(body).send().await {
            Ok(response) => self.read(response).await,
            Err(error) => {
                let error = format!("{}: {}", self.server, chain(&error.without_url()));
                Outcome { verdict: Verdict::Retry(None), error }
            }
        }
    }

    async fn read(&self, mut response: Response) -> Outcome {
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let verdict = judge(status, retry_after, SystemTime::now());
        let mut answer = Vec::new();
        // What the status says stands, whatever becomes of the text behind it.
        while let Ok(Some(piece)) = response.chunk().await {
            answer.extend_from_slice(&piece[..piece.len().min(ANSWER_BYTES_MAX - answer.len())]);
            if answer.len() == ANSWER_BYTES_MAX {
                break;
            }
        }
        let mut error = String::new();
        if verdict != Verdict::Confirmed {
            error = format!("{} answered {status}", self.server);
            let excerpt = excerpt(&answer);
            if !excerpt.is_empty() {
                error = format!("{error}: {excerpt}");
            }
            if let Some(advice) = advice(status) {
                error = format!("{error}; {advice}");
            }
        }
        Outcome { verdict, error }
    }
}

/// The settings' headers, with what the body is where they do not say it.
fn headers(settings: &Settings) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in &settings.headers {
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("headers: {name:?} cannot be a header's name"))?;
        let mut value = HeaderValue::from_str(value.expose_secret())
            .map_err(|_| format!("headers: the value of {name:?} has characters that a header cannot have"))?;
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
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}", url.scheme())
}

/// An error with its sources: reqwest's own text alone says no more than that it failed.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The beginning of an answer, on one line.
fn excerpt(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EXCERPT_CHARS).collect();
    one_line.trim().to_owned()
}
