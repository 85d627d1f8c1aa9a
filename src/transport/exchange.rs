//! One HTTP request and its whole answer, for code that must ask something before it dials. It
//! knows nothing of the question.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio_tungstenite::tungstenite::http::header::{self, HeaderMap, HeaderValue};
use url::Url;

use super::cookies::Jar;
use super::error::{DialError, Stage};
use super::location::shown_location;
use super::peer::{Deadline, Peer};
use super::proxy::Proxies;
use super::{headers, http};
use crate::secret::Secret;

/// What to ask, and whom.
#[derive(Clone)]
pub struct Request {
    /// `http` or `https`.
    pub url: Url,
    /// The method, with its content.
    pub method: Method,
    /// Sent with it; a `Content-Type` or `Accept` of these replaces ours.
    pub headers: Vec<(String, Secret)>,
    /// Those that are for the URL are sent.
    pub cookies: Jar,
    /// Extra roots, client certificate.
    pub tls: crate::tls::Settings,
    /// Which servers are behind an HTTP proxy.
    pub proxies: Proxies,
    /// What it is called in errors.
    pub stage: Stage,
    /// The whole exchange may take this long.
    pub timeout: Duration,
    /// More of the answer is not read.
    pub body_bytes_max: usize,
}

/// How a server is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// Without a body.
    Get,
    /// With one.
    Post(Content),
}

/// The content of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing.
    Empty,
    /// `application/json`.
    Json(Secret),
    /// `application/x-www-form-urlencoded`.
    Form(Secret),
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Each with its first value, by its name in small letters.
    pub headers: BTreeMap<String, Secret>,
    /// The body.
    pub body: Body,
    /// Those of the request, and what the answer has set.
    pub cookies: Jar,
    /// The names of the cookies that the answer has set.
    pub cookies_set: Vec<String>,
}

impl Answer {
    /// The first value of a header, whose name is in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.expose_secret())
    }

    /// The body, as far as it was read.
    pub fn bytes(&self) -> &[u8] {
        let (Body::Whole(body) | Body::Cut(body)) = &self.body;
        body
    }

    /// The same as a text.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes())
    }

    /// Where a redirect leads to, with all of it.
    pub fn redirect(&self) -> Option<&str> {
        let location = self.header("location");
        location.filter(|_| (300..400).contains(&self.status))
    }

    /// Where the answer leads to, without what may be secret in it.
    pub fn location(&self) -> Option<&str> {
        self.header("location").map(shown_location)
    }

    /// How long the server asks to be left alone: `Retry-After` of 429 and 503.
    pub fn retry_after(&self) -> Option<Duration> {
        http::asked_wait(self.status, self.header("retry-after")?)
    }
}

/// An answer's body, and whether that is all of it.
#[derive(Debug)]
pub enum Body {
    /// All.
    Whole(Vec<u8>),
    /// As much as [`Request::body_bytes_max`] allows; there is more.
    Cut(Vec<u8>),
}

/// Asks, and reads the answer, whatever its status. No redirect is followed.
///
/// # Errors
/// There is no answer, or not all of it in time.
pub async fn exchange(request: &Request) -> Result<Answer, DialError> {
    let peer = Peer::of(&request.url)?;
    Deadline::after(request.timeout)
        .bound(&peer, request.stage, ask(request, &peer))
        .await
}

async fn ask(request: &Request, peer: &Peer) -> Result<Answer, DialError> {
    let Request {
        url,
        tls,
        proxies,
        stage,
        body_bytes_max,
        ..
    } = request;
    let client = http::client(url, peer, tls, proxies).await?;
    let asked = match &request.method {
        Method::Get => client.get(url.clone()),
        Method::Post(Content::Empty) => client.post(url.clone()).body(""),
        Method::Post(Content::Json(text) | Content::Form(text)) => client
            .post(url.clone())
            .body(text.expose_secret().to_owned()),
    };
    let failed = |error: reqwest::Error| http::dial_error(peer, *stage, &error);
    let mut answer = asked
        .headers(headers_of(request)?)
        .send()
        .await
        .map_err(failed)?;
    let mut cookies = request.cookies.clone();
    let cookies_set = cookies.store(url, answer.headers());
    let mut headers = BTreeMap::new();
    for (name, value) in answer.headers() {
        let text = || String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers
            .entry(name.as_str().to_owned())
            .or_insert_with(|| text().into());
    }
    let status = answer.status().as_u16();
    let mut read = Vec::new();
    let body = loop {
        let Some(bytes) = answer.chunk().await.map_err(failed)? else {
            break Body::Whole(read);
        };
        let room = body_bytes_max - read.len();
        read.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            break Body::Cut(read);
        }
    };
    Ok(Answer {
        status,
        headers,
        body,
        cookies,
        cookies_set,
    })
}

/// As the web pages' usual client has it. A server that has only text is not told to keep it.
const ACCEPT: &str = "application/json, text/plain, */*";

fn headers_of(request: &Request) -> Result<HeaderMap, DialError> {
    let mut headers = headers::parse(&request.url, &request.headers)?;
    let content_type = match &request.method {
        Method::Get | Method::Post(Content::Empty) => None,
        Method::Post(Content::Json(_)) => Some("application/json"),
        Method::Post(Content::Form(_)) => Some("application/x-www-form-urlencoded"),
    };
    if let Some(content_type) = content_type {
        headers
            .entry(header::CONTENT_TYPE)
            .or_insert(HeaderValue::from_static(content_type));
    }
    headers
        .entry(header::ACCEPT)
        .or_insert(HeaderValue::from_static(ACCEPT));
    Ok(headers::with_cookies(
        &headers,
        &request.cookies,
        &request.url,
    ))
}

/// Without the URL's query and the values of headers.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("url", &super::peer::shown(&self.url))
            .field("method", &self.method)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}
