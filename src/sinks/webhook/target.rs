//! One request to the receiver, and its answer as far as that is worth reading.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Request, Response};
use serde::de::IgnoredAny;
use tokio::time::timeout;

use super::address::Address;
use super::answer::{Answer, Answers, Verdict, advice};
use super::body::{Body as Posted, Posting};
use super::denial::Denials;
use super::exchange::{Exchange, failure};
use super::headers::Rendered;
use super::reach::Reach;
use super::settings::Method;
use super::signature::{HeaderSigner, Signer};
use crate::model::Event;
use crate::pipeline::Body;
use crate::secret::beginning;
use crate::sinks::{By, Trouble};

/// An answer is read so far, so that its connection can be used again; a longer one costs the
/// connection.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long an answer is read whose text decides nothing. Where it decides, how long nothing more
/// may come of a text that is whole.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);
/// How much of the text goes into the proof of a delivery, which is bounded in bytes besides.
const PROOF_CHARS: usize = 1024;
/// How much of a refusal's text goes into the log.
const EXCERPT_CHARS: usize = 200;

/// Where to, and how.
pub(super) struct Target {
    /// The sink's.
    pub(super) name: String,
    pub(super) reach: Reach,
    /// For log lines: path and query may be secrets (chat groups give them out as such).
    pub(super) server: String,
    pub(super) url: Address,
    pub(super) method: Method,
    /// Those that differ from one event to another.
    pub(super) headers: Rendered,
    pub(super) posting: Posting,
    pub(super) signer: Option<Signer>,
    pub(super) hmac: Option<HeaderSigner>,
    pub(super) answers: Answers,
    pub(super) exchange: Exchange,
    /// What to do about answers of 2xx that look like refusals.
    pub(super) denials: Denials,
}

impl Target {
    /// Posts the events in one request. Gives the answer: its status, and the beginning of its text.
    ///
    /// # Errors
    /// Why they are not confirmed.
    pub(super) async fn post(&self, events: &[Event]) -> Result<String, Trouble> {
        let request = self.request(events).map_err(|error| Trouble::Refused {
            index: None,
            by: By::Us,
            error,
        })?;
        match self.exchange.send(request).await {
            Ok(response) => self.read(response).await,
            Err(error) => {
                // Without a connection the event never left us.
                let at_the_door = error.is_connect();
                let error = format!("{}: {}", self.server, failure(error));
                Err(if at_the_door {
                    Trouble::Retry { error, after: None }
                } else {
                    Trouble::Unclear { error }
                })
            }
        }
    }

    fn request(&self, events: &[Event]) -> Result<Request, String> {
        let event = events.first().ok_or("a request without an event")?;
        let Posted { id, mut bytes } = self.posting.body(events)?;
        if !self.method.has_body() {
            bytes.clear();
        }
        let mut headers = HeaderMap::new();
        self.headers.add(event, &mut headers)?;
        let timestamp = Timestamp::now().as_second();
        let unfit = |_| format!("event id {id:?} cannot stand in a header");
        let header = HeaderValue::from_str(&id).map_err(unfit)?;
        headers.insert(HeaderName::from_static("webhook-id"), header);
        headers.insert(
            HeaderName::from_static("webhook-timestamp"),
            timestamp.into(),
        );
        if let Some(signer) = &self.signer {
            let signature = HeaderValue::from_str(&signer.sign(&id, timestamp, &bytes));
            let name = HeaderName::from_static("webhook-signature");
            headers.insert(name, signature.map_err(unfit)?);
        }
        if let Some(hmac) = &self.hmac {
            let (name, signature) = hmac.sign(&bytes);
            headers.insert(name, signature);
        }
        let request = self.exchange.request(self.method, self.url.of(event)?);
        let request = match self.method.has_body() {
            true => request.body(bytes),
            false => request,
        };
        let unfit = |error: reqwest::Error| format!("no request: {}", error.without_url());
        request.headers(headers).build().map_err(unfit)
    }

    async fn read(&self, mut response: Response) -> Result<String, Trouble> {
        let status = response.status().as_u16();
        let retry_after = text_of(response.headers(), &RETRY_AFTER);
        let read = self.body(&mut response).await;
        let (body, unreadable) = text(response.headers(), &read);
        let answer = Answer {
            status,
            retry_after: retry_after.as_deref(),
            body: &body,
        };
        let (verdict, why) = self.answers.judge(answer, SystemTime::now());
        if verdict == Verdict::Confirmed {
            self.look_for_denial(status, &body);
            let beginning = || beginning(body.as_bytes(), PROOF_CHARS).marked();
            let text = unreadable.unwrap_or_else(beginning);
            return Ok(format!("HTTP {status} {text}").trim_end().to_owned());
        }
        let text = unreadable.unwrap_or_else(|| excerpt(&body));
        let mut error = format!("{} answered {status}", self.server);
        if let Some(why) = &why {
            error = format!("{error}, {why}");
        }
        if !text.is_empty() {
            error = format!("{error}: {text}");
        }
        if let Some(advice) = advice(status, &body).filter(|_| why.is_none()) {
            error = format!("{error}; {advice}");
        }
        if verdict == Verdict::Unclear && self.answers.is_denied(&body) {
            error.push_str("; where it never accepts such an event, set `reject_when`");
        }
        Err(match verdict {
            Verdict::Refused => Trouble::Refused {
                index: None,
                by: By::Them,
                error,
            },
            Verdict::Disabled => Trouble::Disabled { error },
            Verdict::Confirmed | Verdict::Unclear => Trouble::Unclear { error },
            Verdict::Retry(after) => Trouble::Retry { error, after },
        })
    }

    /// Warns of a receiver that seems to say no in answers that nobody looks at.
    fn look_for_denial(&self, status: u16, body: &str) {
        if self.answers.read_body() {
            return;
        }
        if let Some(advice) = self.denials.note(body, &self.server, status) {
            tracing::warn!(
                sink = self.name,
                advice,
                "events may be refused inside of answers of 2xx"
            );
        }
    }

    /// The beginning of an answer's text. Where it decides nothing, the status stands whatever
    /// becomes of the text, which is read for the log and so that the connection can be used again.
    async fn body(&self, response: &mut Response) -> Vec<u8> {
        let mut body = Vec::new();
        if self.answers.read_body() {
            while read_on(response, &mut body).await {}
        } else {
            let all = async { while piece(response, &mut body).await {} };
            // Where it does not end in time, its connection is not used again.
            let _ = timeout(ANSWER_WAIT_MAX, all).await;
        }
        body
    }
}

/// An answer's text as far as it was read, also where a server compresses it though it was asked not
/// to. Where nobody can read it: what there is to say in its place.
fn text<'a>(headers: &HeaderMap, read: &'a [u8]) -> (Cow<'a, str>, Option<String>) {
    let said = |name| text_of(headers, name).unwrap_or_default();
    let encoding = said(&CONTENT_ENCODING);
    let body = Body {
        bytes: read,
        content_type: said(&CONTENT_TYPE).into(),
        content_encoding: encoding.clone().into(),
    };
    match body.text(ANSWER_BYTES_MAX) {
        Some(text) => (text, None),
        None => {
            let is_encoded = !encoding.is_empty() && encoding != "identity";
            let unreadable = is_encoded.then(|| format!("a text in {encoding}"));
            (String::from_utf8_lossy(read), unreadable)
        }
    }
}

/// Reads the next piece of a text that decides. False where that was all: it may be whole though it
/// does not end.
async fn read_on(response: &mut Response, body: &mut Vec<u8>) -> bool {
    match timeout(ANSWER_WAIT_MAX, piece(response, body)).await {
        Ok(more) => more,
        Err(_) => serde_json::from_slice::<IgnoredAny>(body).is_err(),
    }
}

/// Reads the next piece. False where there is none, or none that is kept.
async fn piece(response: &mut Response, body: &mut Vec<u8>) -> bool {
    let Ok(Some(piece)) = response.chunk().await else {
        return false;
    };
    body.extend_from_slice(&piece[..piece.len().min(ANSWER_BYTES_MAX - body.len())]);
    body.len() < ANSWER_BYTES_MAX
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The beginning of an answer, on one line.
fn excerpt(text: &str) -> String {
    let text = beginning(text.trim().as_bytes(), EXCERPT_CHARS).marked();
    text.replace(char::is_control, " ")
}
