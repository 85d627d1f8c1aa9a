//! SockJS's HTTP requests: the same headers and cookies on each of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use tokio_tungstenite::tungstenite::http::header::{self, HeaderMap};
use url::Url;

use crate::transport::cookies::Jar;
use crate::transport::error::DialError;
use crate::transport::peer::{Peer, shown};
use crate::transport::target::Target;
use crate::transport::upgrade::{BODY_READ_BYTES, led_to, shown_text};
use crate::transport::{headers, http, survey};

/// One host's HTTP side, shared by both halves of a connection.
#[derive(Clone)]
pub(super) struct Http {
    client: Client,
    headers: HeaderMap,
    jar: Arc<Mutex<Jar>>,
}

impl Http {
    pub(super) async fn new(target: &Target, peer: &Peer) -> Result<Http, DialError> {
        let client = http::client(&target.url, peer, &target.tls, &target.proxies).await?;
        let headers = headers::parse(&target.url, &target.headers)?;
        Ok(Http {
            client,
            headers,
            jar: Arc::new(Mutex::new(target.cookies.clone())),
        })
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
        // Any other type would be a question to the server's CORS rules (sockjs-client sends this
        // one).
        let mut request = self
            .client
            .post(url.clone())
            .header(header::CONTENT_TYPE, "text/plain;charset=UTF-8");
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        self.ask(url, request.body(body)).await
    }

    /// What the upgrade sends: the configured headers and the cookies so far.
    pub(super) fn headers_for(&self, url: &Url) -> HeaderMap {
        let jar = self.jar.lock().unwrap_or_else(PoisonError::into_inner);
        headers::with_cookies(&self.headers, &jar, url)
    }

    async fn ask(&self, url: &Url, request: RequestBuilder) -> Result<Response, reqwest::Error> {
        let answer = request.headers(self.headers_for(url)).send().await?;
        self.jar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .store(url, answer.headers());
        let date = answer.headers().get(header::DATE);
        survey::date(date.map(|date| date.as_bytes()));
        Ok(answer)
    }
}

/// An unexpected answer, with the first bytes of its body.
pub(super) async fn refusal(url: &Url, mut answer: Response) -> DialError {
    let status = answer.status().as_u16();
    let retry_after = http::retry_after(status, answer.headers());
    let body = match answer.headers().get(header::LOCATION) {
        Some(location) => led_to(location),
        None => {
            let mut body = Vec::new();
            while let Ok(Some(bytes)) = answer.chunk().await {
                body.extend_from_slice(&bytes);
                if body.len() >= BODY_READ_BYTES {
                    break;
                }
            }
            shown_text(&body)
        }
    };
    DialError::Http {
        url: shown(url),
        status,
        body,
        retry_after,
    }
}
