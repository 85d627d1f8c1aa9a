//! HTTP requests, for SockJS and for a sign-in: the settings of one client, and the same errors as
//! for all other connections. Redirects are never followed. A proxy sees requests in clear text as
//! requests to itself (RFC 9112, section 3.2.2), and is asked for a tunnel for the others.

use std::error::Error as _;
use std::io;
use std::time::{Duration, SystemTime};

use reqwest::header::{self, HeaderMap};
use reqwest::{Client, Proxy};
use url::Url;

use super::error::{DialError, Stage};
use super::peer::{Peer, Security, shown};
use super::proxy::Proxies;
use crate::{retry, tls};

/// A server that vanished in the middle of a long answer is noticed after so much silence of its
/// TCP.
const KEEPALIVE: Duration = Duration::from_secs(45);

/// A client for the server of `url`.
pub(super) async fn client(
    url: &Url,
    peer: &Peer,
    tls: &tls::Settings,
    proxies: &Proxies,
) -> Result<Client, DialError> {
    let tls = match peer.security {
        Security::Tls => tls::dialling_config(tls).await,
        Security::Clear => tls::trusting_nobody(),
    };
    let tls = tls.map_err(DialError::TlsSettings)?;
    let unusable = |error| DialError::Address {
        url: shown(url),
        problem: text_of(&error),
    };
    let mut client = Client::builder()
        .tls_backend_preconfigured((*tls).clone())
        .no_proxy();
    if let Some(proxy) = proxies.before(peer)? {
        client = client.proxy(Proxy::all(proxy.url.expose_secret()).map_err(unusable)?);
    }
    let client = client
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .referer(false);
    client.tcp_keepalive(KEEPALIVE).build().map_err(unusable)
}

/// What a request failed of, in the same words as the other transports.
pub(super) fn dial_error(peer: &Peer, stage: Stage, error: &reqwest::Error) -> DialError {
    for cause in causes(error) {
        if let Some(refusal) = cause.downcast_ref::<rustls::Error>() {
            return DialError::Tls {
                peer: peer.to_string(),
                problem: tls::explained(refusal),
            };
        }
        if cause
            .downcast_ref::<io::Error>()
            .is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused)
        {
            return DialError::Refused {
                peer: peer.to_string(),
            };
        }
        // hyper's resolver has no type of its own to tell.
        if cause.to_string() == "dns error" {
            let problem = cause
                .source()
                .map_or_else(|| "no address".to_owned(), ToString::to_string);
            return DialError::Resolve {
                host: peer.host.clone(),
                problem,
            };
        }
    }
    DialError::Io {
        peer: peer.to_string(),
        stage,
        reason: io::Error::other(text_of(error)),
    }
}

/// How long a server asks to be left alone, by the headers of its answer.
pub(super) fn retry_after(status: u16, headers: &HeaderMap) -> Option<Duration> {
    asked_wait(status, headers.get(header::RETRY_AFTER)?.to_str().ok()?)
}

/// The same by the text of `Retry-After`, from a server that is too busy for us (RFC 9110, section
/// 10.2.3).
pub(super) fn asked_wait(status: u16, text: &str) -> Option<Duration> {
    matches!(status, 429 | 503)
        .then(|| retry::retry_after(text, SystemTime::now()))
        .flatten()
}

/// The innermost cause says most, and holds no URL as the error itself does.
pub(super) fn text_of(error: &reqwest::Error) -> String {
    causes(error)
        .last()
        .map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}

type Cause<'a> = &'a (dyn std::error::Error + 'static);

/// What caused an error, and what caused that.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = Cause<'_>> {
    std::iter::successors(error.source(), |cause| cause_of(*cause))
}

/// An `io::Error` hides what it was made of: its source is that of what it hides.
fn cause_of(error: Cause<'_>) -> Option<Cause<'_>> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(hidden) => Some(hidden),
        None => error.source(),
    }
}
