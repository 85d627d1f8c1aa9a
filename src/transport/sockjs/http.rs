//! SockJS's HTTP requests: the same headers and cookies on each of them, no redirects. A proxy sees
//! those in clear text as requests to itself (RFC 9112, section 3.2.2), and is asked for a tunnel for the others.

use std::error::Error as _;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, Proxy, RequestBuilder, Response};
use secrecy::ExposeSecret;
use tokio_tungstenite::tungstenite::http::header::{self, HeaderMap, HeaderValue};
use url::Url;

use crate::tls;
use crate::transport::Target;
use crate::transport::cookies::Jar;
use crate::transport::error::{DialError, Stage, tls_advice};
use crate::transport::headers;
use crate::transport::peer::{Peer, Security, shown};
use crate::transport::upgrade::{BODY_SHOWN_BYTES, shown_text};

/// One host's HTTP side, shared by both halves of a connection.
#[derive(Clone)]
pub(super) struct Http {
    client: Client,
    headers: HeaderMap,
    jar: Arc<Mutex<Jar>>,
}

/// A server that vanished in the middle of a long answer is noticed after so much silence of its TCP.
const KEEPALIVE: Duration = Duration::from_secs(45);

impl Http {
    pub(super) fn new(target: &Target, peer: &Peer) -> Result<Http, DialError> {
        let tls = match peer.security {
            Security::Tls => tls::client_config(&target.tls).map_err(DialError::TlsSettings)?,
            Security::Clear => tls::trusting_nobody().map_err(DialError::TlsSettings)?,
        };
        let unusable = |error| DialError::Address { url: shown(&target.url), problem: text_of(&error) };
        let mut client = Client::builder().tls_backend_preconfigured((*tls).clone()).no_proxy();
        if let Some(proxy) = target.proxies.before(peer)? {
            client = client.proxy(Proxy::all(proxy.url.expose_secret()).map_err(unusable)?);
        }
        let client = client
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .referer(false)
            .tcp_keepalive(KEEPALIVE)
            .build()
            .map_err(unusable)?;
        let headers = headers::parse(&target.url, &target.headers)?;
        Ok(Http { client, headers, jar: Arc::default() })
    }

    pub(super) async fn get(&self, url: &Url) -> Result<Response, reqwest::Error> {
        self.ask(url, self.client.get(url.clone())).await
    }

    /// `timeout` is for the whole exchange; `None`: for as long as the server goes on answering.
    pub(super) async fn post(
        &self,
        url: &Url,
        body: String,
        timeout: Option<Duration>,
    ) -> Result<Response, reqwest::Error> {
        // Any other type would be a question to the server's CORS rules (sockjs-client sends this one).
        let mut request = self.client.post(url.clone()).header(header::CONTENT_TYPE, "text/plain;charset=UTF-8");
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        self.ask(url, request.body(body)).await
    }

    /// What the upgrade sends: the configured headers and the cookies so far.
    pub(super) fn headers_for(&self, url: &Url) -> HeaderMap {
        let mut headers = self.headers.clone();
        let Some(cookies) = self.jar.lock().unwrap_or_else(PoisonError::into_inner).header(url) else {
            return headers;
        };
        // A second Cookie header is not allowed (RFC 6265, section 5.4): the user's own comes first in the one.
        let merged = match headers.get(header::COOKIE) {
            Some(own) => HeaderValue::from_bytes(&[own.as_bytes(), b"; ", cookies.as_bytes()].concat()).ok(),
            None => Some(cookies),
        };
        if let Some(mut merged) = merged {
            merged.set_sensitive(true);
            headers.insert(header::COOKIE, merged);
        }
        headers
    }

    async fn ask(&self, url: &Url, request: RequestBuilder) -> Result<Response, reqwest::Error> {
        let answer = request.headers(self.headers_for(url)).send().await?;
        self.jar.lock().unwrap_or_else(PoisonError::into_inner).store(url, answer.headers());
        Ok(answer)
    }
}

/// An unexpected answer, with the first bytes of its body.
pub(super) async fn refusal(url: &Url, mut answer: Response) -> DialError {
    let status = answer.status().as_u16();
    let body = match answer.headers().get(header::LOCATION) {
        Some(location) => format!("to {}", String::from_utf8_lossy(location.as_bytes())),
        None => {
            let mut body = Vec::new();
            while let Ok(Some(bytes)) = answer.chunk().await {
                body.extend_from_slice(&bytes);
                if body.len() >= BODY_SHOWN_BYTES {
                    break;
                }
            }
            shown_text(&body)
        }
    };
    DialError::Http { url: shown(url), status, body }
}

/// What a request failed of, in the same words as the other transports.
pub(super) fn dial_error(peer: &Peer, stage: Stage, error: &reqwest::Error) -> DialError {
    for cause in causes(error) {
        if let Some(refusal) = cause.downcast_ref::<rustls::Error>() {
            let problem = format!("{refusal}; {}", tls_advice(refusal));
            return DialError::Tls { peer: peer.to_string(), problem };
        }
        if cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused) {
            return DialError::Refused { peer: peer.to_string() };
        }
        // hyper's resolver has no type of its own to tell.
        if cause.to_string() == "dns error" {
            let problem = cause.source().map_or_else(|| "no address".to_owned(), ToString::to_string);
            return DialError::Resolve { host: peer.host.clone(), problem };
        }
    }
    DialError::Io { peer: peer.to_string(), stage, reason: io::Error::other(text_of(error)) }
}

/// The innermost cause says most, and holds no URL as the error itself does.
pub(super) fn text_of(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}

type Cause<'a> = &'a (dyn std::error::Error + 'static);

/// What caused an error, and what caused that.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = Cause<'_>> {
    std::iter::successors(error.source(), |cause| cause_of(*cause))
}

/// An `io::Error` hides what it was made of: its source is that of what it hides.
fn cause_of(error: Cause<'_>) -> Option<Cause<'_>> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(hidden) => Some(hidden),
        None => error.source(),
    }
}
